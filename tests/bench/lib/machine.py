# SPDX-License-Identifier: Apache-2.0
"""The machine, and what is common to all rows: paths, sizes, work."""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = os.environ.get("AFFIANT_BUILD", str(TOP / "build" / "release"))


def command(*argv, check=True, **more):
	"""Runs a command to its end; returns its output."""
	done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
	if check and done.returncode:
		raise RuntimeError(f"{' '.join(map(str, argv))} ended with {done.returncode}: {done.stderr.strip()}")
	return done.stdout


def until(what, probe, seconds=60.0, every=0.01):
	end = time.monotonic() + seconds
	while not (found := probe()):
		if time.monotonic() > end:
			raise RuntimeError(f"not within {seconds:.0f} s: {what}")
		time.sleep(every)
	return found


def bpftool(*arguments):
	return json.loads(command("bpftool", "-j", *arguments) or "null")


def boottime():
	return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Bench:
	def __init__(self, build, wanted, quick, rounds, progress):
		self.build = pathlib.Path(build)
		self.wanted = wanted
		self.turns = None	# what rows that take turns share
		self.quick = quick
		self.rounds = rounds
		self.progress = progress
		self.cpus = sorted(os.sched_getaffinity(0))
		for path in (self.affiantd, self.affiant, self.program("work")):
			if not os.access(path, os.X_OK):
				raise SystemExit(f"run: {path} is not built")

	@property
	def affiantd(self):
		return self.build / "userspace" / "affiantd"

	@property
	def affiant(self):
		return self.build / "userspace" / "affiant"

	def program(self, name):
		return self.build / "tests" / "bench" / name

	def say(self, text):
		if self.progress:
			print(f"\r\033[K{text}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n",
			      file=sys.stderr, flush=True)

	def size(self, full, quick):
		return quick if self.quick else full

	def work_command(self, what, milliseconds):
		"""On the last CPU, before all others there: the daemon and the machine's other work have the rest."""
		alone = ["-c", self.cpus[-1], "-f"] if len(self.cpus) > 1 else []
		return [self.program("work"), "-t", milliseconds, *alone, what]

	@staticmethod
	def batches(output):
		"""Nanoseconds per operation, a value a batch."""
		values = [float(text) for text in output.split("\n") if text and not text.startswith("done")]
		if not values:
			raise RuntimeError("work did not finish a batch")
		return values

	@staticmethod
	def done(output):
		return int(re.search(r"^done (\d+)$", output, re.M)[1])

	def describe(self):
		"""Also what else hooks into the kernel meanwhile: it is in every figure."""
		links = [link for link in bpftool("link", "show") or [] if "prog_id" in link]
		return {
			"cpus": len(self.cpus),
			"kernel": ".".join(platform.release().split(".")[:2]),
			"virtual": " hypervisor" in pathlib.Path("/proc/cpuinfo").read_text(),
			"build": self.build.name,
			"rounds": self.rounds,
			"load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
			"other_hooks": len(links),
		}
