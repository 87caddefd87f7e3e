# SPDX-License-Identifier: Apache-2.0
"""Every connection and every exec has its one record, or is counted as lost: by numbers, under load."""

import pytest

from harness.load import Load

SESSIONS = 50
STEPS = 20
ROOMY = "ring_bytes: 64MiB\nstate_bytes: 4GiB\n"


@pytest.mark.parametrize("connections", [12_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_every_connection_and_every_exec(new_daemon, programs, netns, connections):
	"""Fifty sessions at once, of hundreds or thousands of processes that live for milliseconds."""
	daemon = new_daemon(config=ROOMY)
	with Load(daemon, programs, netns, SESSIONS, connections // SESSIONS // STEPS, STEPS) as load:
		load.begin().finish()
		assert load.made("connections") == connections
		assert load.made("exec") == connections + SESSIONS
		tally = load.tally()
		load.check(tally)
		print(f"{load.made('connections')} connections, {load.made('exec')} execs, {tally.records} records, lost {dict(tally.lost)}")
