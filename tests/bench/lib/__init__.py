# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/run is made of: figures, the machine, the things that are measured beside each other, and rows."""
