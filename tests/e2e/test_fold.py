# SPDX-License-Identifier: Apache-2.0
"""One agent can't push everybody's records out of the ledger: past its budget it is counted, and the counts are exact."""

import collections

import pytest

from harness import daemon as daemons
from harness import wait
from harness.disk import Disk
from harness.evidence import Attested
from harness.load import status
from harness.records import kind, pb
from harness.tally import Tally

PYTHON = "/usr/bin/python3"
FLOOD = daemons.TOP / "tests" / "e2e" / "agents" / "flood.py"
SMALL = "segment_bytes: 256KiB\nstate_bytes: 4MiB\nring_bytes: 64MiB\n"
SHARE = 50	# of the defaults, and of the figures that are to hold with them


def flood(daemon, *what, check=True, **more):
	run = daemon.run(PYTHON, FLOOD, *what, agent="flood", env={"PLACE": str(daemon.directory)}, check=check, **more)
	return run


def groups(record):
	folded = record.folded
	return [*folded.first, *folded.busiest]


class Sum:
	"""What a session did, by its records: told one by one, counted, and both together."""

	def __init__(self, records):
		self.told, self.folded = collections.Counter(), collections.Counter()
		self.outcomes = collections.Counter()
		self.records = records
		for record in records.final():
			self.told["connect"] += 1
			self.outcomes[pb.Outcome.Name(record.connect.outcome)] += 1
		for name in ("close", "exec", "exit"):
			self.told[name] = len(records.of(name))
		for record in records.of("folded"):
			assert record.session.folded
			assert record.folded.from_boottime_ns <= record.folded.to_boottime_ns <= record.boottime_ns
			assert not record.HasField("process")
			for each in [*groups(record), *record.folded.others]:
				name = pb.FoldedKind.Name(each.kind).removeprefix("FOLDED_").lower()
				self.folded[name] += each.count - each.again
			for each in groups(record):
				if each.HasField("outcome"):
					self.outcomes[pb.Outcome.Name(each.outcome)] += each.count
					self.outcomes["PENDING"] -= each.again
		self.all = self.told + self.folded

	def check(self):
		ended = self.records.one("session_ended").session_ended
		assert (self.all["connect"], self.all["exec"], self.all["exit"]) == (ended.connections, ended.execs, ended.processes), \
			f"told {self.told} folded {self.folded}"
		assert len({r.id for r in self.records}) == len(self.records)
		return self


def settled(run, closes):
	"""The records of a session that has ended, when all its sockets' ends are told or counted, too."""
	found = []

	def whole():
		found[:] = [run.records_so_far()]
		return found[0].of("session_ended") and Sum(found[0]).all["close"] >= closes

	wait.until(f"{closes} ends are told or counted", whole, every=0.3, explain=lambda: f"{found[0].text()[-3000:]}\n{run.daemon.log()}")
	return Sum(found[0]).check()


def test_a_flood_leaves_the_others_records(new_daemon):
	"""60,000 sockets with a destination each would fill this ledger a dozen times."""
	daemon = new_daemon(config=SMALL)
	quiet = daemon.run("/bin/true", agent="quiet")
	run = flood(daemon, "udp", 60_000)
	later = daemon.run("/bin/true", agent="quiet")
	told = settled(run, 60_000)
	assert told.all["connect"] == 60_000
	assert told.told["connect"] < 2000
	everything = daemon.records()
	assert everything[0].sequence == 1 and not everything.of("gap")
	assert sum(r.ByteSize() for r in everything if r.agent.name == "flood") < 4 << 20 >> 1
	for each in (quiet, later):
		records = each.records()
		assert [kind(r) for r in records] == ["session_started", "exec", "exit", "session_ended"]
		assert not any(r.session.folded for r in records)
	assert status(daemon)["events_folded"] == sum(told.folded.values())
	assert "events are counted" in daemon.affiant("status").stdout
	listed = [line for line in daemon.affiant("sessions", "--all").stdout.splitlines() if " flood " in line]
	assert len(listed) == 1 and listed[0].endswith("folded")
	shown = daemon.affiant("events", "--type", "folded").stdout
	assert "FOLDED" in shown and "connect" in shown


def test_of_every_kind(new_daemon):
	"""What was told and what was counted is what was done, with outcomes, and nothing pends."""
	daemon = new_daemon(config=SMALL)
	run = flood(daemon, "udp", 3000, "tcp", 2000, "refused", 1500, "unix", 1000, "run", 500)
	told = settled(run, 5000)
	assert told.all == {"connect": 7500, "close": 5000, "exec": 501, "exit": 501}
	assert told.folded["connect"] > 4000 and told.folded["exec"] > 200
	counted = told.records.of("folded")
	destinations = [g for r in counted for g in groups(r)]
	assert any(g.destination.path.startswith(b"\0flood-") for g in destinations)
	assert any(g.path == b"/usr/bin/true" for g in destinations)
	closed = [g for g in destinations if g.kind == pb.FOLDED_CLOSE and g.protocol == pb.PROTOCOL_TCP]
	assert closed
	if not any(o.kind == pb.FOLDED_CONNECT for r in counted for o in r.folded.others):
		assert told.outcomes["REFUSED"] == 1500
		assert told.outcomes["ESTABLISHED"] == 2000
		assert told.outcomes["PENDING"] == 0


def test_destinations_are_named_once(new_daemon):
	"""New destinations stand first; the budget is used up at one, and then come others."""
	daemon = new_daemon(config=SMALL)
	run = flood(daemon, "refused", 3000, "udp", 300)
	told = settled(run, 300)
	named = [g.destination.address for r in told.records.of("folded") for g in r.folded.first if g.protocol == pb.PROTOCOL_UDP]
	assert len(named) == len(set(named)) == 300
	assert not any(g.destination.port == 1 for r in told.records.of("folded") for g in r.folded.first)


def test_a_program_s_first_run_is_told(new_daemon):
	"""However much there was before: a new executable has a record, with its digest, as long as there is credit."""
	daemon = new_daemon(config=SMALL)
	run = flood(daemon, "udp", 20_000, "run", 30, "made", 20)
	told = settled(run, 20_000)
	names = [r.process.argv[0] for r in told.records.execs]
	assert names.count(b"true") == 1
	assert [f"made{n}".encode() in names for n in range(20)] == [True] * 20
	assert told.folded["exec"] == 29
	# The others are told as soon as there is no flood, and all the time.
	assert all(r.process.executable.digest.HasField("state") for r in told.records.execs)


def test_new_programs_without_end(new_daemon):
	"""Programs that are made for one run each are told on credit: that ends, too."""
	daemon = new_daemon(config=SMALL)
	quiet = daemon.run("/bin/true", agent="quiet")
	run = flood(daemon, "udp", 10_000, "made", 1500)
	told = settled(run, 10_000)
	assert told.all["exec"] == 1501
	assert 100 < told.told["exec"] < 800
	assert any(o.kind == pb.FOLDED_EXEC for r in told.records.of("folded") for o in [*r.folded.others, *groups(r)])
	assert len(quiet.records()) == 4


def test_ordinary_work_stays_below(new_daemon):
	"""A crawler with 100,000 connections, and a compile of 20,000 processes, by the defaults: here a fiftieth of both."""
	daemon = new_daemon(config=f"segment_bytes: 1MiB\nstate_bytes: {1024 // SHARE}MiB\n")
	for what in (("tcp", 100_000 // SHARE), ("run", 20_000 // SHARE)):
		run = daemon.run(PYTHON, FLOOD, *what, agent=what[0])
		records = settled(run, what[1] if what[0] == "tcp" else 0).records
		assert not records.of("folded")
		assert not any(r.session.folded for r in records)


@pytest.mark.parametrize("after", [1, 3])
def test_killed_in_the_midst(new_daemon, after):
	"""Killed while it folds, twice: the same is decided again, nothing is told or counted twice."""
	daemon = new_daemon(config=SMALL)
	run = daemon.launch(PYTHON, FLOOD, "udp", 15_000, "tcp", 2000, "pause", after, "udp", 15_000, "run", 300, "refused", 1000,
			    "pause", 2, "unix", 500, agent="flood")
	for _ in range(after):
		run.line()
	daemon.kill()
	daemon.start()
	wait.until("it folds again", lambda: status(daemon)["events_folded"])
	run.line()
	daemon.kill()
	daemon.start()
	run.wait()
	told = settled(run, 32_000)
	assert told.all == {"connect": 33_500, "close": 32_000, "exec": 301, "exit": 301}
	tally = Tally(daemon)
	assert not tally.lost
	assert tally.tasks[run.task]["session_ended"] == 1


def test_stopped_in_the_midst(new_daemon):
	"""What is counted and not told yet outlives an ordinary stop, too."""
	daemon = new_daemon(config=SMALL)
	run = daemon.launch(PYTHON, FLOOD, "udp", 8000, "pause", 1, "udp", 8000, agent="flood")
	run.line()
	daemon.stop()
	daemon.start()
	run.wait()
	assert settled(run, 16_000).all["connect"] == 16_000


def test_disk_full(new_daemon):
	"""While the disk takes nothing, nothing is folded: events wait in the ring. Then it goes on, and the sums are exact."""
	daemon = new_daemon(start=False, config=SMALL)
	disk = Disk(daemon)
	try:
		daemon.start()
		run = daemon.launch(PYTHON, FLOOD, "udp", 8000, "pause", 3, "udp", 8000, "run", 100, agent="flood")
		run.line()
		disk.fill()
		run.wait()
		disk.free()
		disk.wait_for("can be written again")
		told = settled(run, 16_000)
		assert told.all["connect"] == 16_000 and told.all["exec"] == 101
	finally:
		daemon.stop()
		disk.remove()


def test_evidence_says_so(new_daemon):
	"""From then on, for the session's life; its programs and execs are what they would be without."""
	attested = Attested(new_daemon, more=SMALL)
	try:
		plain = attested.agent().evidence().claims["submods"]["workload"]
		assert "folded" not in plain
		within = ["/bin/sh", "-c", f'{PYTHON} {FLOOD} udp 4000 run 200 >/dev/null; exec "$@"', "sh"]
		agent = attested.agent(within=within, agent="flood")
		workload = agent.evidence().claims["submods"]["workload"]
		assert workload["folded"] is True
		assert workload["execs"] == 203
		assert workload["programs"]["count"] > plain["programs"]["count"]
		agent.run.wait_records("a Folded record", lambda found: found.of("folded"))
	finally:
		attested.remove()
