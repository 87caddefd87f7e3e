# SPDX-License-Identifier: Apache-2.0
"""What the daemon does under load: whether it keeps up, at what cost, and how soon records can be read."""

import os
import select
import subprocess
import time

from . import affiant, auditd, figures, machine, records

RATES = (10000, 25000, 50000, 100000)


def _together(bench, wrap, milliseconds, rate=0):
	"""On all CPUs, with nothing special about its priority; returns connections, their rate, and seconds."""
	each = ["-r", rate // len(bench.cpus)] if rate else []
	command = [str(a) for a in wrap(bench.program("work"), "-t", milliseconds, *each, "tcp")]
	start = time.monotonic()
	running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
		   for _ in bench.cpus]
	done = sum(bench.done(process.communicate()[0]) for process in running)
	return done, done / milliseconds * 1000, time.monotonic() - start


def _of_daemon(bench, daemon, label, milliseconds, rate=0, budgets=False):
	lost, cpu = daemon.lost(), daemon.cpu_seconds()
	done, per_second, seconds = _together(bench, daemon.as_agent, milliseconds, rate)
	cpu = daemon.cpu_seconds() - cpu
	lost = daemon.lost() - lost
	yield figures.Figure(f"{label}: connections", "/s", per_second, samples=1, lost=lost)
	yield figures.Figure(f"{label}: lost events of {done:,} connections", "events", lost, samples=1, lost=lost,
			     budget=("<=", 0) if budgets else None)
	yield figures.Figure(f"{label}: the daemon", "cores", cpu / seconds, samples=1, lost=lost,
			     budget=("<=", 0.5) if budgets else None)


def _of_peer(bench, milliseconds):
	label = "auditd, top rate"
	if why := auditd.refusal():
		yield figures.missing(label, f"not measurable here: {why}")
		return
	with auditd.Peer() as peer, peer.turn() as turn:
		lost = turn.lost()
		_, per_second, _ = _together(bench, lambda *argv: argv, milliseconds)
		backlog = turn.backlog()
		yield figures.Figure(f"{label}: connections", "/s", per_second, samples=1, lost=turn.lost() - lost,
				     note=f"backlog then {backlog}")


def throughput(bench):
	"""TCP connections at the machine's own top rate, and at given rates: losses and the daemon's share"""
	long, short = bench.size(60000, 200), bench.size(5000, 200)
	bench.say("throughput: bare")
	_, per_second, _ = _together(bench, lambda *argv: argv, short)
	yield figures.Figure("bare, top rate: connections", "/s", per_second, samples=1, lost=0)
	for rate in bench.size(RATES, RATES[:1]):
		bench.say(f"throughput: {rate:,}/s")
		with affiant.Daemon(bench) as daemon:
			yield from _of_daemon(bench, daemon, f"tracked, {rate:,}/s", short, rate)
	bench.say(f"throughput: top rate for {long / 1000:.0f} s")
	with affiant.Daemon(bench) as daemon:
		yield from _of_daemon(bench, daemon, "tracked, top rate", long, budgets=True)
	bench.say("throughput: auditd")
	yield from _of_peer(bench, short)


def _delays(bench, daemon, command):
	"""Milliseconds between the event and its record's arrival at a reader, of each connection."""
	reader = subprocess.Popen([str(a) for a in (bench.affiant, "events", "-f", "-o", "proto", "--socket", daemon.socket)],
				  stdout=subprocess.PIPE)
	worker = subprocess.Popen([str(a) for a in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
	delays, data, count = [], b"", None
	try:
		while count is None or len(delays) < count:
			if not select.select([reader.stdout], [], [], 60)[0]:
				raise RuntimeError(f"{len(delays)} of {count or '?'} records came, and then none for a minute")
			data += os.read(reader.stdout.fileno(), 1 << 20)
			now = machine.boottime()
			found, used = records.decode(data)
			data = data[used:]
			delays += [(now - r.boottime_ns) / 1e6 for r in found if r.kind == records.CONNECT]
			if count is None and worker.poll() is not None:
				count = bench.done(worker.stdout.read())
	finally:
		worker.communicate()
		reader.terminate()
		reader.communicate()
	return delays


def latency(bench):
	"""from connect() to the record in a local reader's hands, at 1,000 a second"""
	milliseconds, rate = bench.size(20000, 500), 1000
	bench.say(f"latency: {milliseconds / 1000:.0f} s")
	with affiant.Daemon(bench) as daemon:
		before = daemon.lost()
		command = daemon.as_agent(bench.program("work"), "-t", milliseconds, "-r", rate, "tcp")
		delays = sorted(_delays(bench, daemon, command))
		lost = daemon.lost() - before
	for name, part, bound in (("p50", 0.5, 2), ("p99", 0.99, 20), ("maximum", 1, None)):
		yield figures.Figure(f"{name} of {len(delays):,} connections", "ms",
				     delays[min(len(delays) - 1, int(len(delays) * part))], samples=1, lost=lost,
				     budget=bound and ("<=", bound))
