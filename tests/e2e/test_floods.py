# SPDX-License-Identifier: Apache-2.0
"""Sessions are always told: who begins them without end pushes nobody's records out of the ledger all the same."""

import collections
import shutil
import subprocess
import uuid

import pytest

from harness import daemon as daemons
from harness import wait
from harness.load import status
from harness.records import kind

SMALL = "segment_bytes: 256KiB\nstate_bytes: 4MiB\nring_bytes: 64MiB\n"
NOBODY = 65534
PER_MINUTE = 30	# sessions that are opened of an agent far past its budget
TIMES = 4000


def selected(program):
	return SMALL + f"agents:\n  - name: quiet\n  - name: chosen\n    selectors:\n      - exe: {program}\n"


def repeat(times, *command, user=None, check=True):
	"""Runs a command so often, one after the other, as a user with no rights at all."""
	words = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
	script = f'i=0; bad=0; while [ $i -lt {times} ]; do "$@" || bad=$((bad+1)); i=$((i+1)); done; echo $bad'
	done = subprocess.run([*words, "/bin/sh", "-c", script, "sh", *map(str, command)], check=check, text=True,
			      capture_output=True, env=daemons.environment())
	return int(done.stdout), done.stderr


@pytest.fixture
def program(place):
	copy = place / "selected"
	shutil.copy("/bin/true", copy)
	copy.chmod(0o755)
	return copy


def kinds(records, agent):
	return collections.Counter(kind(record) for record in records if record.agent.name == agent)


def joined(daemon):
	return wait.until("joined selectors", lambda: status(daemon)["selectors_joined"])


def test_what_is_selected_without_end(new_daemon, program):
	daemon = new_daemon(config=selected(program))
	daemon.run("/bin/true", agent="quiet").records()
	repeat(TIMES, program, user=NOBODY)
	joined(daemon)
	before = kinds(daemon.records(), "chosen")
	repeat(TIMES, program, user=NOBODY)
	found = daemon.records()
	assert found[0].sequence == 1 and not found.of("gap")
	after = kinds(found, "chosen")
	assert after["session_started"] - before["session_started"] <= 1, f"{before} {after}"
	started = [one for one in found.of("session_started") if one.session_started.joined]
	assert len(started) == 1 and started[0].session_started.selector == f"exe {program}"
	assert started[0].agent.name == "chosen" and not started[0].session_started.late


def test_a_restart_and_an_end_by_request(new_daemon, program):
	daemon = new_daemon(config=selected(program))
	repeat(TIMES, program, user=NOBODY)
	joined(daemon)
	repeat(10, program, user=NOBODY)

	def living():
		return [one for one in daemon.records().of("session_started") if one.session_started.joined]

	first = wait.until("a session that is joined", living)
	daemon.kill()
	repeat(10, program, user=NOBODY)
	daemon.start()
	joined(daemon)
	repeat(10, program, user=NOBODY)
	daemon.stop()
	daemon.start()
	joined(daemon)
	repeat(10, program, user=NOBODY)
	wait.until("all of them are read", lambda: status(daemon)["processes"] == 0)
	assert len(living()) == 1

	# Whoever ends it begins no flood: the next is one session, too.
	done = daemon.affiant("session", "end", str(uuid.UUID(bytes=first[0].session.id)))
	assert done.returncode == 0, done.stderr
	ended = daemon.wait_records("its end", lambda found: found.of("session_ended") and any(
		one.session.id == first[0].session.id for one in found.of("session_ended")))
	# Each run is counted once, by a session of its own or by the joined one.
	assert sum(one.session_ended.execs for one in ended.of("session_ended")) == TIMES + 4 * 10
	repeat(200, program, user=NOBODY)
	wait.until("all of them are read", lambda: status(daemon)["processes"] == 0)
	assert len(living()) == 2


def test_what_is_opened_without_end(new_daemon):
	daemon = new_daemon(config=SMALL)
	daemon.run("/bin/true", agent="quiet").records()
	command = (daemons.AFFIANT, "run", "--socket", daemon.socket, "--agent", "flood", "--", "/bin/true")

	def refused():
		repeat(100, *command)
		return status(daemon)["opens_refused"]

	wait.until("refusals", refused, deadline=300)
	before = kinds(daemon.records(), "flood")["session_started"]
	bad, errors = repeat(2 * PER_MINUTE + 5, *command)
	assert bad >= 5 and "far past its budget" in errors and "state_bytes" in errors
	found = daemon.records()
	assert kinds(found, "flood")["session_started"] - before <= 2 * PER_MINUTE
	assert found[0].sequence == 1
	assert daemon.log().count("sessions of agent 'flood' are refused") <= 3
	# Nobody else is held up.
	assert daemon.run("/bin/true", agent="quiet").returncode == 0
