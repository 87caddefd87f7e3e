# SPDX-License-Identifier: Apache-2.0
"""Mounts by the thousand, and filesystems that do not answer: the daemon goes on, and ends when it is to."""

import contextlib
import json
import re
import socket
import subprocess
import time

import pytest

from harness import daemon as daemons
from harness import records, wait
from harness.proof import NOBODY
from harness.records import hash_state, pb
from harness.silent import Silent

LOOP = ["/bin/sh", "-c", "i=0; while [ $i -lt 40 ]; do /bin/true; i=$((i+1)); done"]
CPU_US = 250000	# of one turn of the loop; the fault that this is about took seconds


def bounds():
	"""What a turn of the loop may ask for."""
	text = (daemons.TOP / "userspace" / "daemon" / "turn.h").read_text()
	found = re.findall(r"#define TURN_(FILES|BYTES|ENTRIES)_MAX\s+\(?(\d+)u?(?: << (\d+)\))?", text)
	assert len(found) == 3, found
	return {name.lower(): int(n) << int(shift or 0) for name, n, shift in found}


def status(daemon):
	done = daemon.affiant("status", "-o", "json")
	assert done.returncode == 0, done.stderr
	return json.loads(done.stdout)


def assert_turns_are_short(daemon):
	turns = status(daemon)["turns"]
	for what, most in bounds().items():
		assert turns[what] <= most, turns
	assert turns["cpu_us"] < CPU_US, turns


@pytest.fixture
def on_full_host(new_daemon, programs, place):
	"""A daemon whose host has 300 mounts more than this one."""
	(place / "host").mkdir()
	daemon = new_daemon(start=False)
	command = daemon.command
	daemon.command = lambda: [programs["many_mounts"], "bind", "300", place / "host", *command()]
	return daemon.start()


@pytest.mark.parametrize("how, many", [("overlay", 100), ("overlay", 400), ("tmpfs", 100), ("tmpfs", 400),
				       ("bind", 500), ("bind", 2000)])
def test_many_mounts_of_an_agent(on_full_host, programs, place, how, many):
	"""In a user namespace of its own: no turn of the loop is longer for it, and all that it executes is told."""
	daemon = on_full_host
	(place / "own").mkdir()
	run = daemon.run(programs["many_mounts"], how, many, place / "own", *LOOP, user=NOBODY)
	found = run.records()
	assert len(found.execs.where(lambda r: list(r.process.argv) == [b"/bin/true"])) == 40
	assert_turns_are_short(daemon)
	assert not found.of("lost")


@pytest.mark.parametrize("many", [50, 200])
def test_many_mount_namespaces(on_full_host, programs, place, many):
	"""One after the other, each of them new to the daemon."""
	daemon = on_full_host
	script = f"i=0; while [ $i -lt {many} ]; do unshare -rm /bin/true; i=$((i+1)); done"
	found = daemon.run("/bin/sh", "-c", script, user=NOBODY).records()
	assert len(found.execs.where(lambda r: list(r.process.argv) == [b"/bin/true"])) == many
	assert_turns_are_short(daemon)


def test_the_host_mounts_all_the_time(new_daemon, place):
	"""As fusermount lets any user do: what is proven is so by what was mounted then, and comes in time."""
	daemon = new_daemon()
	(place / "m").mkdir()
	mount = f"while :; do mount -t tmpfs t {place}/m; umount {place}/m; done"
	with subprocess.Popen(["/bin/sh", "-c", mount]) as mounting:
		try:
			for _ in range(5):
				run = daemon.run("/bin/true", user=NOBODY)
				[exe] = [r.process.executable.digest for r in run.records().execs
					 if list(r.process.argv) == [b"/bin/true"]]
				assert hash_state(exe) in ("observed", "verity", "unproven"), exe
			assert_turns_are_short(daemon)
		finally:
			mounting.kill()
	subprocess.run(["umount", place / "m"], stderr=subprocess.DEVNULL, check=False)


def script_states(found, path):
	"""Of the scripts that the kernel opened."""
	return [hash_state(step.digest) for r in found.execs for step in r.process.chain
		if step.kind == pb.STEP_SCRIPT and step.path.endswith(f"/{path.name}".encode())]


def test_the_first_script(new_daemon, place):
	"""Its filesystem is marked before the session begins."""
	daemon = new_daemon()
	script = place / "first"
	script.write_text("#!/bin/sh\n:\n")
	script.chmod(0o755)
	wait.settled(script)
	for _ in range(10):
		assert script_states(daemon.run(script).records(), script) == ["offered"]


def test_a_filesystem_of_an_agent(new_daemon, place):
	"""What is mounted in a namespace of a session's own is marked when something is executed there, a second later."""
	daemon = new_daemon()
	(place / "m").mkdir()
	script = place / "m" / "script"
	inside = f"mount -t tmpfs t {place}/m; printf '#!/bin/sh\\n:\\n' > {script}; chmod 755 {script}; " \
		 f"sleep 1.5; /bin/true; sleep 1; {script}; sleep 1"
	found = daemon.run("unshare", "-m", "/bin/sh", "-c", inside).records()
	assert script_states(found, script) == ["offered"]


# ---- what does not answer ----

@pytest.fixture
def silent(place):
	"""silent(N): N filesystems, of which every other server takes what it is asked."""
	made = []

	def make(count):
		for i in range(count):
			made.append(Silent(place / f"silent{i}", reads=i % 2 == 1))
		return [fs.path for fs in made]

	yield make
	for fs in made:
		fs.remove()


def test_it_ends_whatever_hangs(new_daemon, silent):
	"""More filesystems than there are threads: named by scripts, executables, and what is to be measured."""
	daemon = new_daemon(config="hash: { workers: 1 }\n")
	stuck = []
	try:
		for path in silent(12):
			for _ in range(2):	# the second waits for the first one's lock, in the kernel
				stuck.append(daemon.launch("python3", path / "agent.py"))
				stuck.append(daemon.launch("/bin/sh", "-c", f"cd {path} 2>/dev/null; exec node {path}/sub/a.js"))
			stuck.append(daemon.launch("/bin/sh", "-c", f"exec {path}/program"))
			stuck.append(daemon.launch("/bin/true", options=["--measure", path / "code"]))
		for _ in range(5):
			began = time.monotonic()
			found = daemon.run("/bin/true").records()
			assert len(found.execs) >= 1
			assert time.monotonic() - began < 10
		assert_turns_are_short(daemon)
		tasks = [run.task for run in stuck]
		daemon.wait_records("its scripts", lambda r: len(script_arguments(r)) >= 24)
		for step in script_arguments(daemon.records()):
			assert hash_state(step.digest) in ("unreadable", "too_late"), step
		began = time.monotonic()
		daemon.stop(deadline=10)
		assert time.monotonic() - began < 5
		assert "the state was not saved" not in daemon.log()
		assert len(set(tasks)) == len(tasks)
		# Nothing is lost with it, and it starts again beside what hangs.
		daemon.start()
		assert daemon.run("/bin/true").records()
		daemon.stop(deadline=10)
	finally:
		for run in stuck:
			run.process.kill()


def script_arguments(found):
	return [step for r in found.execs for step in r.process.chain
		if step.kind == pb.STEP_SCRIPT_ARGUMENT and b"/silent" in step.path]


def test_it_starts_beside_what_hangs(new_daemon, silent, place):
	"""Mounted on the host, and on the way to a selector's executable."""
	[path] = silent(1)
	daemon = new_daemon(config=f"agents:\n  - name: a\n    selectors:\n      - exe: {path}/bin/agent\n", start=False)
	began = time.monotonic()
	daemon.start()
	assert time.monotonic() - began < 30
	assert daemon.run("/bin/true", agent="a").records()
	began = time.monotonic()
	daemon.stop(deadline=10)
	assert time.monotonic() - began < 5
	done = daemon.affiant("uninstall-bpf", "--pin-dir", daemon.pins, socket=False)
	assert done.returncode == 0, done.stderr


# ---- limits ----

LIMITS = [("instances", "inotify instances", "fs.inotify.max_user_instances"),
	  ("watches", "inotify watches", "fs.inotify.max_user_watches"),
	  ("groups", "fanotify groups", "fs.fanotify.max_user_groups"),
	  ("marks", "fanotify marks", "fs.fanotify.max_user_marks")]


@pytest.mark.parametrize("which, name, raise_what", LIMITS)
def test_a_limit_names_itself(new_daemon, programs, which, name, raise_what):
	"""It starts all the same, says what is blind and what to raise, once, and sees what it can."""
	daemon = new_daemon(start=False)
	command = daemon.command
	daemon.command = lambda: [programs["at_limit"], which, *command()]
	daemon.start()
	found = daemon.run("/bin/sh", "-c", "sleep 1; sleep 1").records()
	assert [hash_state(r.process.executable.digest) in ("observed", "unproven") for r in found.execs].count(True) >= 3
	[told] = wait.until("it is told", lambda: status(daemon)["limits"])
	assert told.startswith(name) and told.endswith(f"raise {raise_what}" + (" and restart affiantd" if which == "groups" else ""))
	assert told in daemon.affiant("status").stdout
	wait.until("it is logged", lambda: f"a limit ran out: {told}" in daemon.log())
	daemon.run("/bin/true").records()
	time.sleep(2)
	assert daemon.log().count("a limit ran out") == 1


def test_few_files(new_daemon):
	"""As many as it takes, and more sessions than that: it says so, and who waits is served in the end."""
	daemon = new_daemon(start=False)
	command = daemon.command
	daemon.command = lambda: ["prlimit", "--nofile=256:256", *command()]
	daemon.start()
	with contextlib.ExitStack() as clients:
		for _ in range(250):
			client = clients.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
			client.connect(str(daemon.socket))
		wait.until("it is told", lambda: "a limit ran out: open files (RLIMIT_NOFILE)" in daemon.log())
	assert daemon.run("/bin/true").records()
	assert any("LimitNOFILE" in each for each in status(daemon)["limits"])


@pytest.mark.parametrize("before, word", [(["prlimit", "--nofile=64:64"], "LimitNOFILE"), (["at_limit", "threads"], "TasksMax")])
def test_too_little_to_start(new_daemon, programs, before, word):
	"""It ends at once, and says what to raise."""
	daemon = new_daemon(start=False)
	command = daemon.command
	program = programs[before[0]] if before[0] == "at_limit" else before[0]
	daemon.command = lambda: [program, *before[1:], *command()]
	daemon.spawn()
	assert daemon.process.wait(30) != 0
	assert word in daemon.log()
