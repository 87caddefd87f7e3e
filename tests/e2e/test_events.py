# SPDX-License-Identifier: Apache-2.0
"""`affiant events`: filters, formats, and following."""

import json
import os
import pty
import re
import subprocess
import sys
import time
import uuid

import pytest

from harness import daemon as daemons
from harness import wait
from harness.records import kind, outcome

# A compiled OCSF schema with its checker, kept beside a checkout where there is one.
OCSF = daemons.TOP.parent / "shared" / "engines" / "ocsf"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def filled(daemon, programs, lab):
	"""A daemon whose records are of every kind that a healthy one writes."""
	with lab.peer.serve("0.0.0.0") as server:
		daemon.run(programs["tcp"], "exchange", lab.host4, server.port, netns=lab.agent, agent="one",
			   options=["--on-behalf-of", "alice@example.com", "--purpose", "to test"]).records(
				   until=lambda r: r.of("close"))
	daemon.run(programs["tcp"], "fails", lab.host4, 9, netns=lab.agent, agent="two").records()
	daemon.run(programs["hookless"], "raw", agent="two").records()
	daemon.run(programs["udp"], "sendto", lab.host4, 2000, netns=lab.agent, agent="two").records()
	return daemon


def test_formats_agree(filled):
	records, events = filled.records(), filled.events()
	assert [kind(r) for r in records] == [e["metadata"]["event_code"] for e in events]
	assert [r.sequence for r in records] == [e["metadata"]["sequence"] for e in events]
	assert [r.sequence for r in records] == list(range(records[0].sequence, records[0].sequence + len(records)))
	compact = filled.affiant("events", "--all")
	assert compact.returncode == 0
	assert len(compact.stdout.splitlines()) == len(records)


def test_ocsf(filled):
	if not (OCSF / "ocsf_check.py").exists():
		pytest.skip("no OCSF schema beside the checkout")
	done = filled.affiant("events", "-o", "json")
	checked = subprocess.run([sys.executable, str(OCSF / "ocsf_check.py"), str(OCSF / "ocsf-1.9.0.json.gz")],
				 input=done.stdout, capture_output=True, text=True, check=False)
	assert checked.returncode == 0, checked.stdout
	assert "0 invalid" in checked.stdout


@pytest.mark.parametrize("options, keeps", [
	(["--agent", "one"], lambda r: r.agent.name == "one"),
	(["--type", "connect"], lambda r: kind(r) == "connect"),
	(["--outcome", "refused"], lambda r: kind(r) == "connect" and outcome(r.connect) == "refused"),
	(["--principal", "alice@example.com"], lambda r: r.principal.subject == "alice@example.com"),
	(["--dst", "9"], lambda r: kind(r) in ("connect", "close") and _destination(r).port == 9),
	(["--dst", "10.99.0.0/24"], lambda r: kind(r) in ("connect", "close") and _destination(r).address[:3] == b"\x0a\x63\x00"),
], ids=lambda p: p[0] if isinstance(p, list) else "")
def test_filters(filled, options, keeps):
	expected = [r.sequence for r in filled.records() if keeps(r)]
	assert expected
	assert [r.sequence for r in filled.records(*options)] == expected


def _destination(record):
	return record.connect.reached if kind(record) == "connect" else record.close.remote


def test_follow(filled):
	follower = subprocess.Popen([str(daemons.AFFIANT), "events", "--socket", str(filled.socket), "-f", "-o", "json", "--agent",
				     "followed"], stdout=subprocess.PIPE, text=True, env=daemons.environment())
	try:
		run = filled.run("/bin/true", agent="followed")
		seen = []
		for line in follower.stdout:
			seen.append(json.loads(line))
			if seen[-1]["metadata"]["event_code"] == "session_ended":
				break
	finally:
		follower.kill()
		follower.communicate()
	told = {e["metadata"]["sequence"] for e in seen}
	assert told <= {r.sequence for r in run.records()}
	assert {e["metadata"]["event_code"] for e in seen} >= {"exec", "exit", "session_ended"}


def test_a_hostile_name_stays_text(filled, programs, place):
	"""Trap 41: what an agent calls its files and arguments does nothing to a terminal."""
	name = place / "x\033]0;owned\007\u202egpj"
	programs.copy("nothing", name)
	run = filled.run(name, "a\nb\r\033[31m", "\x9b31m")
	record = run.records().execs[-1]
	assert record.process.executable.path.decode() == str(name)
	for form in ([], ["-o", "json"]):
		done = filled.affiant("events", "--task", run.task, *form)
		assert done.returncode == 0
		assert not CONTROL.search(done.stdout)
		assert len(done.stdout.splitlines()) == len(run.records())


def test_output_closed_early(filled):
	"""`affiant events | head -1` ends quietly."""
	done = subprocess.run(["/bin/sh", "-c", f"{daemons.AFFIANT} events --socket {filled.socket} | head -n 1"], capture_output=True,
			      text=True, timeout=wait.DEADLINE, check=False, env=daemons.environment())
	assert len(done.stdout.splitlines()) == 1
	assert not done.stderr


# ---- more filters ----

def sequences(records):
	return [r.sequence for r in records]


def test_filters_by_time(filled):
	"""Both ends belong to the span, as with journalctl(1)."""
	records = filled.records()
	middle = records[len(records) // 2]
	seconds, ns = divmod(middle.wall_ns, 10**9)
	when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ns:09}Z"
	since, until = filled.records("--since", when), filled.records("--until", when)
	assert sequences(since) == [r.sequence for r in records if r.wall_ns >= middle.wall_ns]
	assert sequences(until) == [r.sequence for r in records if r.wall_ns <= middle.wall_ns]
	assert len(since) < len(records) and len(until) < len(records)
	assert sequences(filled.records("--since", "-1h")) == sequences(records)
	assert not filled.records("--until", "-1h")


def test_filters_by_session_and_task(filled):
	run = filled.run("/bin/true", agent="two")
	mine = run.records()
	session = str(uuid.UUID(bytes=mine[0].session.id))
	for option in (["--session", session], ["--session", session[-8:]], ["--task", run.task], ["--task", run.task[:-1] + "?"]):
		assert sequences(filled.records(*option)) == sorted(r.sequence for r in mine), option


def test_filters_together(filled):
	"""Values of one option add up, different options narrow down."""
	records = filled.records()
	expected = [r.sequence for r in records if kind(r) in ("exec", "exit") and r.agent.name in ("one", "two")]
	assert sequences(filled.records("--type", "exec,exit", "--agent", "one", "--agent", "tw?")) == expected
	assert not filled.records("--agent", "one", "--outcome", "refused")


@pytest.mark.parametrize("options", [["--type", "nonsense"], ["--dst", "300.0.0.0/8"], ["--since", "yesterdayish"], ["--outcome", "good"],
				      ["-o", "xml"], ["--no-such"], ["stray"]], ids=" ".join)
def test_wrong_options(filled, options):
	done = filled.affiant("events", *options)
	assert done.returncode == 64
	assert not done.stdout
	assert options[-1].lstrip("-") in done.stderr


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
			 ids=["terminal", "NO_COLOR", "empty", "dumb"])
def test_colour(filled, env, coloured):
	"""A terminal gets colours unless it, or its user, wants none."""
	master, terminal = pty.openpty()
	try:
		done = subprocess.run([str(daemons.AFFIANT), "events", "--socket", str(filled.socket), "-n", "1"], stdout=terminal,
				      stdin=subprocess.DEVNULL, check=False, timeout=wait.DEADLINE,
				      env=daemons.environment() | {"TERM": "xterm"} | env)
		assert done.returncode == 0
		assert (b"\033[" in os.read(master, 65536)) == coloured
	finally:
		os.close(master)
		os.close(terminal)
