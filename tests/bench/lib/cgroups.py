# SPDX-License-Identifier: Apache-2.0
"""What it costs that the kernel looks at every cgroup that is made."""

import os
import pathlib
import time

from . import affiant, figures

# One that passes whatever root makes, and 62 that are looked at wherever something is made at the top.
PATTERNS = "agents:\n  - name: bench\n    selectors:\n      - cgroup: /**/affiant-bench-nowhere-*\n" + "".join(
	f"      - cgroup: /affiant-bench-*-nowhere{n}-*/x\n" for n in range(62))


class _Tree:
	"""So many cgroups, as a busy host has them."""

	def __init__(self, count):
		root = next(line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
			    if " - cgroup2 " in line)
		self.top = pathlib.Path(root) / f"affiant-bench-{os.getpid()}"
		self.count = count

	def __enter__(self):
		for n in range(self.count):
			(self.top / f"pod{n // 50}" / f"c{n}").mkdir(parents=True)
		self.top.mkdir(exist_ok=True)
		return self

	def __exit__(self, *_):
		for path in sorted((p for p in self.top.rglob("*") if p.is_dir()), reverse=True):
			path.rmdir()
		self.top.rmdir()

	def pairs(self, count):
		"""Nanoseconds of one mkdir and rmdir, each time."""
		path, values = self.top / "unrelated", []
		for _ in range(count):
			start = time.perf_counter_ns()
			path.mkdir()
			path.rmdir()
			values.append(time.perf_counter_ns() - start)
		return values


def _busy(daemon, tree, seconds):
	before, start = daemon.cpu_seconds(), time.monotonic()
	while time.monotonic() < start + seconds:
		if tree:
			tree.pairs(1)
		time.sleep(0.05)
	return (daemon.cpu_seconds() - before) / (time.monotonic() - start)


def cgroups(bench):
	"""cgroups that no selector wants: the daemon's CPU at 20 a second, and one mkdir and rmdir with 63 patterns"""
	seconds, many = bench.size(30, 1), bench.size(3000, 50)
	with _Tree(many) as tree:
		bare = tree.pairs(bench.size(500, 20))
		with affiant.Daemon(bench, PATTERNS) as daemon:
			idle = _busy(daemon, None, seconds)
			busy = _busy(daemon, tree, seconds)
			traced = tree.pairs(bench.size(500, 20))
			lost = daemon.lost()
	yield figures.Figure(f"20 cgroups a second beside {many:,} others: the daemon, above idle", "cores", max(busy - idle, 0),
			     samples=1, lost=lost, budget=("<=", 0.01))
	yield figures.of("mkdir + rmdir of a cgroup: bare", "ns", bare, 0)
	yield figures.of("mkdir + rmdir of a cgroup: 63 patterns", "ns", traced, lost)
