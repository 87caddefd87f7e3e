# SPDX-License-Identifier: Apache-2.0
"""Evidence for many at once: what is measured is how many share a quote, and what the daemon does for each."""

import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from . import affiant, figures, machine

TOP = pathlib.Path(__file__).resolve().parents[3]
CONFIG = "hash: {{wait: 10s}}\ntpm: {{tcti: 'swtpm:path={tcti}', timeout: 30s}}\nevidence: {{rate: 1000, burst: 1000}}\n"
SESSIONS, SLOW_MS = 5, 300
SAID = re.compile(r"^asked (\d+) answered (\d+) given (\d+) longest (\d+)$", re.M)
SIZE_MAX = 6 * 1024


class Tpm:
	"""affiant-softtpm, behind slow_tpm.py when each command is to take its time (delay, in ms)."""

	def __init__(self, prepared, delay=0):
		self.directory = pathlib.Path(tempfile.mkdtemp(prefix="affiant-bench-tpm-"))
		shutil.copytree(prepared, self.directory / "state")
		self.socket = self.directory / "tpm.sock"
		self.front = self.directory / "front.sock" if delay else self.socket
		self.processes = []
		self._start(TOP / "tools" / "affiant-softtpm", "--foreground", "--state-dir", self.directory / "state", "--socket",
			    self.socket)
		machine.until("the software TPM listens", self.socket.exists)
		if delay:
			self._start(TOP / "tests" / "bench" / "slow_tpm.py", "--delay", delay, self.socket, self.front)
			machine.until("the slow TPM listens", self.front.exists)

	def _start(self, *command):
		self.processes.append(subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
						       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

	def __enter__(self):
		return self

	def __exit__(self, *_):
		for process in reversed(self.processes):
			process.send_signal(signal.SIGTERM)
			process.wait()
		shutil.rmtree(self.directory)


class Crowd:
	"""So many processes in several sessions, ready to ask."""

	def __init__(self, bench, daemon, count):
		each = count // SESSIONS
		command = daemon.as_agent(bench.program("askers"), daemon.socket, each)
		self.groups = [subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
			       for _ in range(SESSIONS)]
		for group in self.groups:
			if group.stdout.readline() != "ready\n":
				raise RuntimeError("askers: not all could connect")

	def ask(self):
		"""(milliseconds from the first request to the last answer, how many were given, bytes of the longest)"""
		for group in self.groups:
			group.stdin.close()
		said = [list(map(int, SAID.search(group.stdout.read()).groups())) for group in self.groups]
		for group in self.groups:
			group.wait()
		asked, answered, given, longest = zip(*said)
		return (max(answered) - min(asked)) / 1e6, sum(given), max(longest)


def _round(bench, prepared, delay, count):
	with Tpm(prepared, delay) as tpm, affiant.Daemon(bench, CONFIG.format(tcti=tpm.front)) as daemon:
		machine.until("the TPM is ready", lambda: daemon.status()["tpm"]["state"] == "ready", seconds=120, every=0.1)
		lost = daemon.lost()
		crowd = Crowd(bench, daemon, count)
		daemon.settle()
		before, cpu = daemon.status()["tpm"]["commands"], daemon.cpu_seconds()
		milliseconds, given, longest = crowd.ask()
		cpu = daemon.cpu_seconds() - cpu
		commands = daemon.status()["tpm"]["commands"] - before
		if given != count:
			raise RuntimeError(f"{count - given} of {count} requests were refused")
		return milliseconds, commands, longest, cpu * 1e6 / count, daemon.lost() - lost


def evidence(bench):
	"""1,000 requests for evidence at once, with a TPM as slow as hardware, and with a fast one"""
	count, rounds, slow = bench.size(1000, 10), bench.size(min(bench.rounds, 5), 1), bench.size(SLOW_MS, SLOW_MS // 10)
	with tempfile.TemporaryDirectory(prefix="affiant-bench-tpm-") as place:
		bench.say("evidence: a software TPM")
		machine.command(TOP / "tools" / "affiant-softtpm", "--prepare", "--state-dir", f"{place}/state")
		for delay, what, budget in ((slow, f"a TPM that takes {slow} ms a command", 2 * slow + 100),
					    (0, "a software TPM at full speed", 150)):
			found = []
			for number in range(rounds):
				bench.say(f"evidence: {what}, {number + 1} of {rounds}")
				found.append(_round(bench, f"{place}/state", delay, count))
			times, commands, longest, cpu, lost = map(list, zip(*found))
			yield figures.of(f"{count:,} requests at once, {what}", "ms", times, sum(lost), budget=("<=", budget))
			yield figures.of(f"{what}: its commands for them", "commands", commands, sum(lost), budget=("<=", 3))
			yield figures.of(f"{what}: the daemon, for each request", "us of CPU", cpu, sum(lost))
	yield figures.Figure("evidence without the host's part", "bytes", max(longest), samples=1, lost=0, budget=("<=", SIZE_MAX),
			     note=f"of a batch of {count:,}")
