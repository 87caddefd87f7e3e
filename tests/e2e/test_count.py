# SPDX-License-Identifier: Apache-2.0
"""Every connection and every exec has its one record, or is counted as lost: by numbers, under load."""

import os
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait
from harness.load import DEADLINE, Load, idle, status
from harness.tally import Tally

SESSIONS = 50
SESSIONS_FEW = 5
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


def on_each_cpu(daemon):
	"""An exec on every CPU."""
	for cpu in os.sched_getaffinity(0):
		daemon.run("taskset", "-c", cpu, "/bin/true")


def gaps_explain_losses(daemon):
	"""As many numbers are told missing as events lost. Only what comes well after them shows that they are missing."""
	on_each_cpu(daemon)
	told = [r.lost for r in daemon.records("--type", "lost")]
	missing = sum(each.last - each.first + 1 for lost in told for each in lost.ranges)
	return missing and missing == sum(each.count for lost in told for each in lost.counts if each.stage == "ring")


def made(load):
	"""Events by type, of what has been done since the load began."""
	processes = sum(s.processes for s in load.sessions)
	return {
		"fork": processes,
		"exec": load.made("exec") - SESSIONS_FEW,
		"exit": load.made("exit"),
		"connect": load.made("connections"),
		"outcome": load.made("established") + load.made("refused"),
		"close": load.made("close"),
	}


def test_what_a_small_ring_loses_is_counted(new_daemon, programs, netns):
	"""A stopped daemon and a ring of 16 KiB: of each type, what was read and what was lost is what was made."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	on_each_cpu(daemon)
	with Load(daemon, programs, netns, SESSIONS_FEW, 20) as load:
		wait.until("the sessions have begun", lambda: not status(daemon)["ring_used"])
		before = status(daemon)["events"]
		daemon.suspend()
		load.begin().finish()
		daemon.resume()
		wait.until("the ring is read", lambda: not status(daemon)["ring_used"])
		after = status(daemon)["events"]
		wait.until("the gaps are as large as the losses", lambda: gaps_explain_losses(daemon), every=1)
		tally = load.tally()
	expected = made(load)
	read = {kind: after[kind] - before[kind] for kind in expected}
	lost = {kind: tally.lost["ring", kind] for kind in expected}
	assert {kind: read[kind] + lost[kind] for kind in expected} == expected
	assert sum(lost.values()) > 1000
	found = load.lost(tally)
	assert found.pop(("sequence", "number")) == sum(found.values())	# each event that was lost left its number
	assert set(found) == {("ring", kind) for kind in expected if lost[kind]}
	assert tally.lost == tally.totals
	assert tally.gaps == sum(lost.values())

	# Of the records: an exec or connection without one is one that is counted.
	tasks = [tally.tasks[s.run.task] for s in load.sessions]
	assert sum(t["exec"] for t in tasks) - SESSIONS_FEW + lost["exec"] == expected["exec"]
	assert sum(t["connections"] for t in tasks) + lost["connect"] == expected["connect"]
	# Nothing stays in a table: tally() waits for that. No session goes on for ever.
	assert all(t["session_ended"] == 1 for t in tasks)


@pytest.mark.parametrize("processes", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_processes_at_once(new_daemon, processes):
	"""Each has its tag while it lives, is known by a daemon that comes later, and leaves nothing behind."""
	daemon = new_daemon(config=ROOMY)
	run = daemon.launch(daemons.BUILD / "tests" / "bench" / "crowd", processes, 0, 1, stdin=subprocess.PIPE)
	assert run.line() == "ready"
	now = wait.until("all are known", lambda: (s := status(daemon))["processes"] == processes + 1 and s)
	assert now["tags"] == processes + 1
	daemon.kill()
	daemon.start()
	now = status(daemon)
	assert now["processes"] == now["tags"] == processes + 1
	print(f"{processes} processes: {now['resident_bytes'] >> 20} MiB with a ring of 64")
	run.wait(DEADLINE)
	wait.until("all are gone", lambda: idle(daemon))
	assert status(daemon)["tags"] == 0
	counted = Tally(daemon).tasks[run.task]
	assert counted["exec"] == counted["exit"] == processes + 1
	assert counted.ended.processes == processes + 1


def test_more_processes_than_there_are_tags(new_daemon):
	"""A quarter for a session: who finds no room is counted; what did find some leaves nothing behind."""
	daemon = new_daemon(config="max_tags: 64\n")
	command = "for i in $(seq 100); do sleep 1000 & done; echo ready; read a; kill $(jobs -p); wait"
	run = daemon.launch("/bin/bash", "-c", command, stdin=subprocess.PIPE)
	assert run.line() == "ready"
	lost = daemon.wait_records("what found no room is told", lambda found: found, "--type", "lost")
	counts = {(each.stage, each.kind): each.count for each in lost[-1].lost.totals}
	assert counts["tag", "process"] == 100 - 15
	assert status(daemon)["tags"] == 16
	run.process.stdin.write("\n")
	run.process.stdin.flush()
	run.wait()
	wait.until("all are gone", lambda: idle(daemon))
	assert status(daemon)["tags"] == 0
