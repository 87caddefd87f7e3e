# SPDX-License-Identifier: Apache-2.0
"""Counting what a ledger holds, one record at a time: there may be a million of them."""

import collections
import subprocess

from . import records
from .daemon import AFFIANT, environment

CHUNK = 1 << 20


def stream(daemon):
	"""All records there are, as they come out of `affiant events`."""
	command = [str(AFFIANT), "events", "--socket", str(daemon.socket), "-o", "proto"]
	with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment()) as process:
		data = b""
		while more := process.stdout.read(CHUNK):
			data += more
			at = 0
			while (end := records.end_of(data, at)) is not None:
				start, at = end
				yield records.pb.Record.FromString(data[start:at])
			data = data[at:]
		assert not data, "the last record is cut"
	assert process.returncode == 0


class Counted(collections.Counter):
	"""Of one task: kinds of records, outcomes, and who and where."""

	def __init__(self):
		super().__init__()
		self.sessions = set()
		self.agents = set()
		self.addresses = set()
		self.ended = None


class Tally:
	"""Reads a ledger, and fails where something in it is missing, doubled or contradicts itself.

	tasks: by task, its Counted. lost: (stage, kind) to count. gaps: numbers missing, of all ranges that Lost records
	name. started: each DaemonStarted.
	"""

	def __init__(self, daemon):
		self.tasks = collections.defaultdict(Counted)
		self.lost = collections.Counter()
		self.totals = {}
		self.gaps = 0
		self.records = 0
		self.started = []
		self._seen = set()
		self._told = {}
		for record in stream(daemon):
			self._take(record)

	def _take(self, record):
		self.records += 1
		assert record.sequence == self.records, f"record {record.sequence} comes after {self.records - 1}"
		self._once("id", record.id)
		kind = records.kind(record)
		body = getattr(record, kind)
		if kind == "lost":
			self._take_lost(body)
			return
		if kind == "daemon_started":
			self.started.append(body)
		if not record.HasField("session"):
			return
		counted = self.tasks[record.task.id]
		counted.sessions.add(record.session.id)
		counted.agents.add(record.agent.name)
		counted[kind] += 1
		take = getattr(self, f"_take_{kind}", None)
		if take:
			take(record, body, counted)

	def _once(self, *what):
		before = len(self._seen)
		self._seen.add(what)
		assert len(self._seen) > before, f"twice: {what}"

	def _take_lost(self, lost):
		for each in lost.counts:
			self.lost[each.stage, each.kind] += each.count
		self.totals = {(each.stage, each.kind): each.count for each in lost.totals}
		self.gaps += sum(each.last - each.first + 1 for each in lost.ranges)

	def _take_exec(self, record, _, counted):
		key = record.process.id
		self._once("exec", key.tgid, key.start_boottime_ns, key.exec_seq)
		if len(record.process.argv) > 2:
			counted.addresses.add(record.process.argv[2].decode())

	def _take_exit(self, record, _, __):
		key = record.process.id
		self._once("exit", key.tgid, key.start_boottime_ns)

	def _take_connect(self, record, connect, counted):
		number = connect.connection.number
		outcome = records.outcome(connect)
		before = self._told.get(number)
		assert before in (None, "pending"), f"connection {number} is {before}, and then {outcome}"
		assert outcome != "pending" or before is None, f"connection {number} is pending twice"
		assert connect.completes_pending == (before == "pending"), f"connection {number}: {before}, {outcome}"
		self._told[number] = outcome
		counted.addresses.add(records.address(connect.reached))
		counted["connections"] += before is None
		counted["pending"] += (outcome == "pending") - (before == "pending")
		counted[outcome] += outcome != "pending"

	def _take_close(self, _, close, __):
		number = close.connection.number
		self._once("close", number)
		assert self._told.get(number) in ("established", "attempted"), f"connection {number} closes, and never was"

	def _take_session_ended(self, _, ended, counted):
		counted.ended = ended
