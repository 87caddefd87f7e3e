# SPDX-License-Identifier: Apache-2.0
"""The longest turn of the daemon's loop, while agents have many of what any program may have as many of as it likes."""

import subprocess
import time

from . import affiant, figures, machine

GOAL = 50	# ms of CPU time
CROWDS = (("processes", 4000), ("threads", 4000), ("sockets", 8000))
LOOKS = 12	# seconds: two looks at what events did not tell


def _crowd(bench, daemon, what, count):
	"""The CPU time of the longest turn of a daemon of its own, in ms, and its losses."""
	command = daemon.as_agent(bench.program("many"), what, count)
	with subprocess.Popen([str(a) for a in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
		if crowd.stdout.readline() != "ready\n":
			raise RuntimeError(f"crowd {what} {count} did not begin")
		time.sleep(bench.size(LOOKS, 1))
		daemon.status()
	machine.until("the crowd is gone", lambda: daemon.status()["processes"] == 0, 120, 0.2)
	time.sleep(bench.size(LOOKS, 1))
	return daemon.status()["turns"]["cpu_us"] / 1000, daemon.lost()


def turn(bench):
	"""the longest turn of the daemon's loop, while an agent has thousands of processes, threads, sockets"""
	for what, count in CROWDS:
		count = bench.size(count, 50)
		longest, lost = [], 0
		for number in range(min(bench.rounds, 5)):
			bench.say(f"turn: {count:,} {what}, {number + 1} of {min(bench.rounds, 5)}")
			with affiant.Daemon(bench) as daemon:
				ms, more = _crowd(bench, daemon, what, count)
				longest.append(ms)
				lost += more
		yield figures.of(f"longest turn, {count:,} {what} of an agent", "ms", longest, lost, budget=("<=", GOAL))
