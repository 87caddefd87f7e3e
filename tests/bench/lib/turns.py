# SPDX-License-Identifier: Apache-2.0
"""What an operation costs with and without tracing: bare, empty programs, affiant and auditd take turns.

Every round goes through all of them, with the bare system first and last; a figure is the ratio to the bare turns of
the same round, so that what the machine does meanwhile is in both. The rows that are asked for share the rounds.
"""

import collections
import statistics
import time

from . import affiant, auditd, figures
from .machine import command

# row: (operation of work.c, milliseconds, what it is, budget of an untracked, of a tracked process)
OPERATIONS = {
	"exec": (("exec-fork", 250, "fork + exec + wait of /bin/true", 1.01, 1.03),
		 ("exec-spawn", 250, "posix_spawn + wait of /bin/true", 1.01, 1.03)),
	"connect": (("tcp", 50, "TCP connect + reset on loopback", 1.04, 1.12),),
	"udp": (("udp", 25, "UDP socket + connect + close", 1.06, 1.32),),
	"sendto": (("sendto", 50, "UDP sendto", 1.12, 1.20),),
}
REPEATS = 3

BARE, EMPTY, UNTRACKED, TRACKED, SELECTED, PEER = (
	"bare", "empty programs", "untracked", "tracked", "untracked, selectors configured", "auditd, execve + connect")


class Turns:
	def __init__(self, bench, names):
		self.bench = bench
		self.operations = [o for name in names for o in OPERATIONS[name]]
		self.values = collections.defaultdict(list)	# (variant, operation): nanoseconds, one a round
		self.lost = collections.Counter()
		self.refusal = auditd.refusal()

	def _turn(self, variant, run, settle=lambda: None, lost=lambda: 0):
		for what, milliseconds, *_ in self.operations:
			before, medians = lost(), []
			for _ in range(self.bench.size(REPEATS, 1)):
				batches = self.bench.batches(run(*self.bench.work_command(what, milliseconds)))
				medians.append(statistics.median(batches))
				settle()
			self.values[variant, what].append(statistics.median(medians))
			self.lost[variant, what] += lost() - before

	def _late(self, daemon, *variants):
		"""What the kernel did not count was lost at a time that nobody knows: it counts with every operation."""
		lost = daemon.lost() - daemon.dropped()
		for variant in variants:
			for what, *_ in self.operations:
				self.lost[variant, what] += lost

	def _round(self, peer):
		self._turn(BARE, command)
		with affiant.Empty(self.bench):
			self._turn(EMPTY, command)
		with affiant.Daemon(self.bench) as daemon:
			self._turn(UNTRACKED, command, lost=daemon.dropped)
			daemon.run("/bin/true")		# its digest is known from now on
			self._turn(TRACKED, daemon.run, daemon.settle, daemon.dropped)
			self._late(daemon, UNTRACKED, TRACKED)
		with affiant.Daemon(self.bench, affiant.SELECTORS) as daemon:
			self._turn(SELECTED, command, lost=daemon.dropped)
			self._late(daemon, SELECTED)
		if peer:
			with peer.turn() as turn:
				self._turn(PEER, command, turn.settle, turn.lost)
		self._turn(BARE, command)

	def measure(self):
		start = time.monotonic()
		with auditd.Peer() if not self.refusal else _Nothing() as peer:
			for number in range(self.bench.rounds):
				self.bench.say(f"round {number + 1} of {self.bench.rounds}, {time.monotonic() - start:.0f} s")
				self._round(peer)
		return self

	def _ratios(self, variant, what):
		bare = self.values[BARE, what]
		return [value * 2 / (bare[2 * n] + bare[2 * n + 1]) for n, value in enumerate(self.values[variant, what])]

	def figures(self, name):
		for what, _, title, untracked, tracked in OPERATIONS[name]:
			yield figures.of(f"{title}: {BARE}", "ns", self.values[BARE, what], 0)
			# Of two bare turns in one round: what is not above this is noise.
			bare = self.values[BARE, what]
			yield figures.of(f"{title}: {BARE}, again", "x", [b / a for a, b in zip(bare[::2], bare[1::2])], 0)
			for variant, bound in ((EMPTY, None), (UNTRACKED, untracked), (SELECTED, untracked), (TRACKED, tracked),
					       (PEER, None)):
				label = f"{title}: {variant}"
				if not self.values[variant, what]:
					yield figures.missing(label, f"not measurable here: {self.refusal}")
					continue
				yield figures.of(label, "x", self._ratios(variant, what), self.lost[variant, what],
						 budget=bound and ("<=", bound))


class _Nothing:
	def __enter__(self):
		return None

	def __exit__(self, *_):
		pass


def row(name):
	def measure(bench):
		if bench.turns is None:
			bench.turns = Turns(bench, [n for n in OPERATIONS if n in bench.wanted]).measure()
		yield from bench.turns.figures(name)
	measure.__doc__ = " and ".join(operation[2] for operation in OPERATIONS[name]) + ", beside bare and auditd"
	return measure
