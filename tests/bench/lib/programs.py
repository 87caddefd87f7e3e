# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds per kernel program, by the kernel's own statistics (kernel.bpf_stats_enabled)."""

import pathlib

from . import affiant, figures, machine

SWITCH = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")

# link: (operation, its runs per operation). Tail-called programs count as part of their stub.
RUNS = {
	"fork": ("exec-fork", 1), "exec": ("exec-fork", 1), "exit": ("exec-fork", 1),
	"sock_create": ("tcp", 1), "asked_connect4": ("tcp", 1), "connect4": ("tcp", 1), "state": ("tcp", 2),
	"sock_release": ("tcp", 1), "asked_sendmsg4": ("sendto", 1), "sendmsg4": ("sendto", 1),
}
# The state's two runs come to one connection.
CONNECT = ("sock_create", "asked_connect4", "connect4", "state", "sock_release")


class _Statistics:
	def __enter__(self):
		self.before = SWITCH.read_text()
		SWITCH.write_text("1")

	def __exit__(self, *_):
		SWITCH.write_text(self.before)


def _counters(daemon):
	"""link: (nanoseconds, runs) so far."""
	found = {}
	for link in RUNS:
		path = daemon.pins / f"link_{link}"
		if path.exists():
			program = machine.bpftool("prog", "show", "id", machine.bpftool("link", "show", "pinned", path)["prog_id"])
			found[link] = program.get("run_time_ns", 0), program.get("run_cnt", 0)
	return found


def _measure(bench, daemon, run, what, milliseconds):
	before = _counters(daemon)
	done = bench.done(run(*bench.work_command(what, milliseconds)))
	after = _counters(daemon)
	return done, {link: (after[link][0] - before[link][0], after[link][1] - before[link][1]) for link in after}


def _per_run(found, link, done, idle):
	"""The machine's other processes run the programs too: untracked, at what that takes."""
	ns, count = found[link]
	ours = done * RUNS[link][1]
	return (ns - max(0, count - ours) * idle) / ours


def programs(bench):
	"""nanoseconds a run of each kernel program, untracked and tracked"""
	plain, tracked, lost = {}, {}, 0
	with _Statistics(), affiant.Daemon(bench) as daemon:
		daemon.run("/bin/true")
		for number in range(bench.rounds):
			bench.say(f"programs: round {number + 1} of {bench.rounds}")
			for what, milliseconds in (("exec-fork", 250), ("tcp", 40), ("sendto", 40)):
				_, idle = _measure(bench, daemon, machine.command, what, milliseconds)
				done, busy = _measure(bench, daemon, daemon.run, what, milliseconds)
				daemon.settle()
				for link in (name for name in idle if RUNS[name][0] == what and idle[name][1]):
					cheap = idle[link][0] / idle[link][1]
					plain.setdefault(link, []).append(cheap)
					tracked.setdefault(link, []).append(_per_run(busy, link, done, cheap))
		lost = daemon.lost()
	for link, values in plain.items():
		yield figures.of(f"{link}, untracked", "ns", values, 0, budget=("<=", 150))
		yield figures.of(f"{link}, tracked", "ns", tracked[link], lost,
				 budget=("<=", 1500) if link == "exec" else None)
	whole = [sum(tracked[link][n] * RUNS[link][1] for link in CONNECT if link in tracked)
		 for n in range(bench.rounds)]
	yield figures.of("all programs of one TCP connection, tracked", "ns", whole, lost, budget=("<=", 2000))
