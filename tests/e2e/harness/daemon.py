# SPDX-License-Identifier: Apache-2.0
"""affiantd in directories of its own, and `affiant` talking to it."""

import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import uuid

import pytest

from . import programs, records, wait

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("AFFIANT_BUILD", TOP / "build" / "release"))
AFFIANTD = BUILD / "userspace" / "affiantd"
AFFIANTD_NEXT = BUILD / "tests" / "e2e" / "affiantd_next"	# with another BPF object
AFFIANT = BUILD / "userspace" / "affiant"
BPFFS = pathlib.Path("/sys/fs/bpf")

_numbers = itertools.count(1)


def environment():
	"""What programs run with: nothing of the caller's own settings."""
	return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
		"HOME": "/nonexistent"}


class Daemon:
	"""One affiantd. Its pins outlive stop() and kill(), as they do in life; remove() takes all away."""

	def __init__(self, directory, config=None, options=(), env=None):
		self.directory = pathlib.Path(directory)
		self.state = self.directory / "state"
		self.runtime = self.directory / "run"
		self.socket = self.runtime / "affiant.sock"
		self.pins = BPFFS / f"affiant-test-{os.getpid()}-{next(_numbers)}"
		self.log_path = self.directory / "affiantd.log"
		self.config = self.directory / "affiant.yaml"
		if config is not None:
			self.config.write_text(config)
		self.options = list(options)
		self.env = dict(env or {})
		self.program = AFFIANTD
		self.process = None

	# ---- the process ----

	def command(self):
		command = [str(self.program), "--state-dir", str(self.state), "--runtime-dir", str(self.runtime),
			   "--pin-dir", str(self.pins), "--socket", str(self.socket)]
		if self.config.exists():
			command += ["--config", str(self.config)]
		return command + self.options

	def spawn(self, **more):
		"""Starts it without waiting for anything."""
		assert not self.running(), "it runs already"
		log = open(self.log_path, "ab")
		try:
			self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
							env=environment() | self.env | more.pop("env", {}), **more)
		finally:
			log.close()
		return self

	def start(self):
		"""Starts it and waits until it says READY=1 to the service manager, which is us."""
		path = self.directory / "notify"
		path.unlink(missing_ok=True)
		with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
			notify.bind(str(path))
			notify.settimeout(0.2)
			self.spawn(env={"NOTIFY_SOCKET": str(path)})
			wait.until("affiantd is ready", lambda: self._ready(notify), explain=self.log)
		return self

	def _ready(self, notify):
		assert self.running(), f"affiantd ended with {self.process.returncode}:\n{self.log()}"
		try:
			return b"READY=1" in notify.recv(4096).split(b"\n")
		except TimeoutError:
			return False

	def running(self):
		return self.process is not None and self.process.poll() is None

	def stop(self, deadline=wait.DEADLINE):
		"""SIGTERM; it must end well."""
		if not self.running():
			return
		self.process.send_signal(signal.SIGCONT)
		self.process.terminate()
		status = self.process.wait(deadline)
		assert status == 0, f"affiantd ended with {status}:\n{self.log()}"

	def kill(self):
		"""SIGKILL. The kernel programs go on."""
		self.process.kill()
		self.process.wait()

	def suspend(self):
		"""SIGSTOP: it is there and does nothing."""
		self.process.send_signal(signal.SIGSTOP)

	def resume(self):
		self.process.send_signal(signal.SIGCONT)

	def remove(self):
		"""Stops it whatever its state, and removes its pins."""
		try:
			self.stop()
		finally:
			if self.running():
				self.kill()
			if self.pins.exists():
				done = self.affiant("uninstall-bpf", "--pin-dir", str(self.pins), socket=False)
				assert done.returncode == 0, done.stderr
			assert not self.pins.exists(), f"uninstall-bpf left {self.pins}"

	def log(self):
		return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

	# ---- the command ----

	def affiant(self, subcommand, *arguments, socket=True, text=True, timeout=wait.DEADLINE, **more):
		"""Runs `affiant SUBCOMMAND ...` to its end, whatever its exit code."""
		command = [str(AFFIANT), subcommand]
		if socket:
			command += ["--socket", str(self.socket)]
		env = environment() | more.pop("env", {})
		return subprocess.run([*command, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
				      text=text, timeout=timeout, env=env, **more)

	def launch(self, *command, agent="tester", task=None, options=(), netns=None, user=None, env=None,
		   before=(), **more):
		"""Starts a command as an agent; returns the Run.

		netns: a harness.net.Namespace. user: (uid, gid), which affiant becomes before the session begins.
		before: a command that runs affiant.
		"""
		task = task or f"T-{uuid.uuid4()}"
		if user:
			options = ["--user", f"{user[0]}:{user[1]}", *options]
		argv = [str(AFFIANT), "run", "--socket", str(self.socket), "--agent", agent, "--task", task, *options,
			"--"]
		argv = [*before, *argv, *map(str, command)]
		if netns:
			argv = netns.command(*argv)
		more.setdefault("stdin", subprocess.DEVNULL)
		process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
					   env=environment() | (env or {}), **more)
		return Run(self, process, task)

	def run(self, *command, check=True, **more):
		"""Runs a command as an agent to its end. A skip asked for by the program skips the test."""
		run = self.launch(*command, **more)
		run.wait()
		if run.returncode == programs.SKIP:
			pytest.skip((run.stdout.strip().splitlines() or ["the program gave no reason"])[-1])
		assert not check or run.returncode == 0, f"{command} ended with {run.returncode}:\n{run.stdout}{run.stderr}"
		return run

	# ---- what it wrote ----

	def records(self, *filters):
		"""All records so far; filters are options of `affiant events`."""
		done = self.affiant("events", "-o", "proto", *filters, text=False)
		assert done.returncode == 0, f"affiant events: {done.stderr.decode()}\n{self.log()}"
		return records.decode(done.stdout)

	def events(self, *filters):
		"""The same as OCSF: a list of dictionaries."""
		done = self.affiant("events", "-o", "json", *filters)
		assert done.returncode == 0, f"affiant events: {done.stderr}\n{self.log()}"
		return [json.loads(line) for line in done.stdout.splitlines()]

	def wait_records(self, what, test, *filters, deadline=wait.DEADLINE):
		"""Waits until test(records) is true; returns the records."""
		seen = []

		def probe():
			seen[:] = [self.records(*filters)]
			return test(seen[0])

		wait.until(what, probe, deadline, explain=lambda: f"{seen[0].text()}\n{self.log()}")
		return seen[0]


class Run:
	"""A command under `affiant run`, and its records."""

	def __init__(self, daemon, process, task):
		self.daemon = daemon
		self.process = process
		self.task = task
		self.stdout = self.stderr = ""

	@property
	def returncode(self):
		return self.process.returncode

	@property
	def pid(self):
		return self.process.pid

	def line(self):
		"""The next line that the command says."""
		return self.process.stdout.readline().rstrip("\n")

	def wait(self, timeout=wait.DEADLINE):
		"""Ends its input, if that is a pipe, and waits for its end."""
		try:
			self.stdout, self.stderr = self.process.communicate(timeout=timeout)
		except subprocess.TimeoutExpired:
			self.kill()
			raise
		return self

	def kill(self):
		self.process.kill()
		self.stdout, self.stderr = self.process.communicate()

	def records(self, until=None):
		"""The session's records, once it has ended and all are there (Records.whole()), in the order of their time.

		until(records): what else to wait for.
		"""
		def complete(found):
			return found.whole() and (not until or until(found))

		return self.wait_records(f"all records of {self.task}", complete).in_time()

	def wait_records(self, what, test):
		"""As Daemon.wait_records(), of this session only."""
		return self.daemon.wait_records(what, test, "--task", self.task)

	def wait_exec(self, argv0):
		"""The record of the exec with this argv[0], while the session goes on."""
		name = str(argv0).encode()

		def matching(found):
			return found.execs.where(lambda r: list(r.process.argv[:1]) == [name])

		return matching(self.wait_records(f"the exec of {argv0}", matching)).only()

	def records_so_far(self):
		return self.daemon.records("--task", self.task)
