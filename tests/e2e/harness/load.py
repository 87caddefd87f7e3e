# SPDX-License-Identifier: Apache-2.0
"""Many sessions at once that execute and connect as often as they are told, and what has to be recorded of them."""

import json
import subprocess

from . import wait
from .tally import Tally

DEADLINE = 900.0


class Session:
	"""One `programs/load.c run` under `affiant run`, with an address of its own to connect to."""

	def __init__(self, load, number, processes, steps, width):
		self.steps = steps
		self.agent = f"load{number}"
		self.address = f"127.1.{number // 250}.{number % 250 + 1}"
		self.run = load.daemon.launch(load.program, "run", self.address, load.open, load.closed, processes, steps, width,
					      agent=self.agent, netns=load.netns, stdin=subprocess.PIPE)
		assert self.run.line() == "ready", self.run.wait().stderr
		self.processes = None

	def begin(self):
		self.run.process.stdin.write("\n")
		self.run.process.stdin.flush()

	def finish(self):
		"""Ends its input, and waits until it has done what it was told."""
		self.run.wait(DEADLINE)
		assert self.run.returncode == 0, f"{self.agent}: {self.run.returncode}\n{self.run.stderr}"
		self.processes = int(self.run.stdout)

	def expected(self):
		"""Counts by kind of record and by outcome."""
		kinds = [self.processes * sum(left % 3 == kind for left in range(1, self.steps + 1)) for kind in range(3)]
		opened, refused, datagram = kinds
		return {
			"session_started": 1, "session_ended": 1,
			"exec": 1 + self.processes * self.steps, "exit": 1 + self.processes,
			"connections": sum(kinds), "established": opened, "refused": refused, "attempted": datagram, "pending": 0,
			"close": opened + datagram,
		}


class Load:
	"""`count` such sessions in a network namespace, with one server for all.

	processes 0: until finish().
	"""

	def __init__(self, daemon, programs, netns, count, processes, steps=12, width=2):
		self.daemon = daemon
		self.netns = netns
		self.program = programs.static("load")
		self.server = subprocess.Popen(netns.command(self.program, "serve"), stdin=subprocess.DEVNULL,
					       stdout=subprocess.PIPE, text=True)
		self.sessions = []
		try:
			self.open, self.closed = self.server.stdout.readline().split()
			for number in range(count):
				self.sessions.append(Session(self, number, processes, steps, width))
		except BaseException:
			self.close()
			raise

	def begin(self):
		for session in self.sessions:
			session.begin()
		return self

	def finish(self):
		for session in self.sessions:
			session.run.process.stdin.close()
			session.run.process.stdin = None
		for session in self.sessions:
			session.finish()
		return self

	def close(self):
		"""Ends whatever is left."""
		for session in self.sessions:
			if session.run.returncode is None:
				session.run.kill()
		self.server.kill()
		self.server.communicate()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def made(self, kind):
		return sum(session.expected()[kind] for session in self.sessions)

	# ---- what was recorded ----

	def tally(self):
		"""Waits until nothing more can come, and counts."""
		wait.until("all sessions have ended", lambda: idle(self.daemon), every=0.5,
			   explain=lambda: f"{status(self.daemon)}\n{self.daemon.log()}")
		return Tally(self.daemon)

	def check(self, tally):
		"""What was made is there, once, and each session's own; what is not is counted as lost."""
		counts = {(s.run.task, kind): tally.tasks[s.run.task][kind] for s in self.sessions for kind in s.expected()}
		for session in self.sessions:
			self._check_attribution(session, tally.tasks[session.run.task])
		for kind, event in (("exec", "exec"), ("connections", "connect")):
			recorded = sum(n for (_, each), n in counts.items() if each == kind)
			assert recorded + tally.lost["ring", event] == self.made(kind), kind
		if not self.lost(tally):
			assert counts == {(s.run.task, kind): n for s in self.sessions for kind, n in s.expected().items()}

	@staticmethod
	def lost(tally):
		"""What is gone. A hook that the kernel skipped while it ran is not: the connection's next event tells for it."""
		return {what: count for what, count in tally.lost.items() if what != ("hook", "run")}

	@staticmethod
	def _check_attribution(session, counted):
		assert counted.agents == {session.agent}
		assert len(counted.sessions) == 1
		assert counted.addresses == {session.address}
		assert counted["session_started"] == counted["session_ended"] == 1
		ended = counted.ended
		assert (ended.execs, ended.connections, ended.processes) == \
			(counted["exec"], counted["connections"], counted["exit"])


def status(daemon):
	done = daemon.affiant("status", "-o", "json")
	assert done.returncode == 0, done.stderr
	return json.loads(done.stdout)


def idle(daemon):
	now = status(daemon)
	return not (now["sessions"] or now["processes"] or now["connections"] or now["ring_used"])
