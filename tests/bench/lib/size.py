# SPDX-License-Identifier: Apache-2.0
"""What the daemon takes: memory, and the time it needs to begin."""

import subprocess
import time

from . import affiant, figures, machine, records

MIB = 1024


class _Crowd:
	"""So many processes of a session, each with so many connections open."""

	def __init__(self, bench, daemon, processes, sockets):
		total = processes * sockets
		program = bench.program("crowd")
		self.server = subprocess.Popen([program, "serve", str(total)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
					       text=True)
		try:
			port = self.server.stdout.readline().split()[1]
			self.members = subprocess.Popen(
				list(map(str, daemon.as_agent(program, processes, sockets, port))), stdin=subprocess.PIPE,
				stdout=subprocess.PIPE, text=True)
			if self.members.stdout.readline() != "ready\n":
				raise RuntimeError(f"crowd: {processes} processes with {sockets} sockets each did not come about")
		except BaseException:
			self.server.communicate()
			raise

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.members.communicate()
		self.server.communicate()


def _figure(what, daemon, bound, lost):
	memory, ring = daemon.memory(), daemon.status()["ring_bytes"] / 1024
	note = f"beyond the ring of {ring / MIB:.0f} MiB; {memory['Pss_Anon'] / MIB:.1f} MiB of its own, the rest is files"
	return figures.Figure(what, "MiB", (memory["Rss"] - ring) / MIB, samples=1, lost=lost, budget=("<=", bound), note=note)


def memory(bench):
	"""resident memory of the daemon beyond its ring, idle and with 10,000 processes and 50,000 sockets"""
	processes, sockets = bench.size(10000, 50), 5
	with affiant.Daemon(bench) as daemon:
		time.sleep(1)
		yield _figure("idle", daemon, 24, daemon.lost())
		bench.say(f"memory: starting {processes} processes")
		with _Crowd(bench, daemon, processes, sockets):
			daemon.settle()
			status = daemon.status()
			if status["processes"] < processes or status["connections"] < processes * sockets:
				raise RuntimeError(f"the daemon knows {status['processes']} processes and {status['connections']} "
						   "connections only")
			yield _figure(f"{status['processes']:,} processes, {status['connections']:,} connections open", daemon, 64,
				      daemon.lost())
		machine.until("the crowd is gone", lambda: daemon.status()["processes"] < 10, 120, 0.2)
		yield _figure("when they have ended", daemon, 64, daemon.lost())


def start(bench):
	"""from the start of the daemon's process to the first event"""
	ready, first, lost = [], [], 0
	for number in range(bench.rounds):
		bench.say(f"start: {number + 1} of {bench.rounds}")
		with affiant.Daemon(bench) as daemon:
			ready.append((machine.boottime() - daemon.started_ns) / 1e6)
			daemon.run("/bin/true")
			lost += daemon.lost()
			at = min(record.boottime_ns for record in records.read(daemon) if record.kind == records.EXEC)
			first.append((at - daemon.started_ns) / 1e6)
	yield figures.of("until it says it is ready", "ms", ready, lost)
	yield figures.of("until the first event, of 'affiant run' called then", "ms", first, lost, budget=("<=", 300))
