# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: a daemon, the agents' programs, network namespaces, records."""
