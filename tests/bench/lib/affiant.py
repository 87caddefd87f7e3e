# SPDX-License-Identifier: Apache-2.0
"""An affiantd of the benchmark's own, and what it lost."""

import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from . import machine

_numbers = itertools.count(1)

# Nothing matches, everything is looked up.
SELECTORS = """\
agents:
  - name: bench
    selectors:
      - cgroup: /affiant-bench-nowhere/*
      - exe: /usr/bin/getent
      - user: games
"""


class Daemon:
	"""with Daemon(bench) as daemon: it is ready; afterwards it and its pins are gone."""

	def __init__(self, bench, config=""):
		self.bench = bench
		self.directory = pathlib.Path(tempfile.mkdtemp(prefix="affiant-bench-"))
		self.pins = pathlib.Path(f"/sys/fs/bpf/affiant-bench-{os.getpid()}-{next(_numbers)}")
		self.socket = self.directory / "run" / "affiant.sock"
		self.config = self.directory / "affiant.yaml"
		self.config.write_text(config)
		self.process = None
		self.started_ns = None

	def __enter__(self):
		try:
			self._start()
		except BaseException:
			self.__exit__()
			raise
		return self

	def _start(self):
		path = self.directory / "notify"
		with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.directory / "log", "wb") as log:
			notify.bind(str(path))
			notify.settimeout(60)
			self.started_ns = machine.boottime()
			self.process = subprocess.Popen(
				[self.bench.affiantd, "--config", self.config, "--state-dir", self.directory / "state",
				 "--runtime-dir", self.directory / "run", "--socket", self.socket, "--pin-dir", self.pins],
				stdin=subprocess.DEVNULL, stdout=log, stderr=log,
				env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": str(path)})
			while b"READY=1" not in notify.recv(4096).split(b"\n"):
				pass

	def __exit__(self, *_):
		if self.process:
			self.process.terminate()
			try:
				self.process.wait(60)
			except subprocess.TimeoutExpired:
				self.process.kill()
				self.process.wait()
		if self.pins.exists():
			machine.command(self.bench.affiant, "uninstall-bpf", "--pin-dir", self.pins)
		shutil.rmtree(self.directory)

	# ---- what it does ----

	def status(self):
		return json.loads(machine.command(self.bench.affiant, "status", "-o", "json", "--socket", self.socket))

	def as_agent(self, *argv, task="bench"):
		return [self.bench.affiant, "run", "--socket", self.socket, "--agent", "bench", "--task", task, "--", *argv]

	def run(self, *argv):
		return machine.command(*self.as_agent(*argv))

	def settle(self):
		"""Until it has read all there was."""
		machine.until("the ring is empty", lambda: self.status()["ring_used"] == 0, every=0.02)

	# ---- what it lost ----

	def dropped(self):
		"""By the kernel's own counters, now."""
		counters = machine.bpftool("map", "dump", "pinned", self.pins / "map_losses")
		return sum(int.from_bytes(bytes(int(b, 16) for b in cpu["value"]), "little")
			   for entry in counters for cpu in entry["values"])

	def lost(self):
		"""Of all kinds and stages. The daemon tells losses once a second."""
		self.settle()
		time.sleep(1.1)
		told = sum(entry["count"] for entry in self.status()["lost"])
		return max(told, self.dropped())

	# ---- what it takes ----

	def cpu_seconds(self):
		fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
		return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

	def memory(self):
		"""KiB by kind, from smaps_rollup: Rss, Pss, Pss_Anon, ..."""
		rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]
		return {key: int(value.split()[0]) for key, value in (line.split(":") for line in rollup)}


class Empty:
	"""Programs that return at once on the same hooks: what no code of ours can be below."""

	def __init__(self, bench):
		root = next(line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
			    if " - cgroup2 " in line)
		self.command = [bench.program("empty"), root]

	def __enter__(self):
		self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		if self.process.stdout.readline() != "ready\n":
			raise RuntimeError("empty programs could not be attached")
		return self

	def __exit__(self, *_):
		self.process.communicate()
