# SPDX-License-Identifier: Apache-2.0
"""`affiant run`, and who may do what over the local socket."""

import ctypes
import datetime
import json
import os
import signal
import subprocess
import time

import pytest

from harness import daemon as daemons
from harness import wait
from harness.cgroups import inside
from harness.records import kind

NOBODY = (65534, 65534)
ROOTS_SESSION = "affiant: this session has root's power: its digests can't be proven (see --user)"


# ---- the command's own life passes through ----

@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_code(daemon, status):
	assert daemon.run("/bin/sh", "-c", f"exit {status}", check=False).returncode == status


def test_killed_by_a_signal(daemon):
	assert daemon.run("/bin/sh", "-c", "kill -TERM $$", check=False).returncode == -signal.SIGTERM


def test_signals_reach_the_command(daemon, programs):
	run = daemon.launch("/bin/sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 1; done")
	assert run.line() == "ready"
	os.kill(run.pid, signal.SIGTERM)
	assert run.wait().returncode == 42


LANDLOCK_SCOPED = 6	# the ABI that isolates sessions without breaking mount(2)


def landlock_abi():
	"""landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)"""
	return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))


def test_input_output_and_environment(daemon):
	run = daemon.launch("/bin/sh", "-c", 'cat; echo "$MARK" >&2', env={"MARK": "here"}, stdin=subprocess.PIPE)
	run.process.stdin.write("through")
	run.wait()
	assert run.stdout == "through"
	said = run.stderr.splitlines()
	assert said.pop(0) == ROOTS_SESSION
	if landlock_abi() < LANDLOCK_SCOPED:
		assert said.pop(0).startswith("affiant: no isolation")
	assert said == ["here"]


def test_not_found(daemon, place):
	run = daemon.run(place / "missing", check=False)
	assert run.returncode == 127
	assert "missing" in run.stderr


def test_not_executable(daemon, place):
	(place / "text").write_text("no program")
	run = daemon.run(place / "text", check=False)
	assert run.returncode == 126
	assert "text" in run.stderr


@pytest.mark.parametrize("arguments", [[], ["--agent", "x"], ["--agent", "x", "--"], ["--no-such-option", "--", "/bin/true"],
				       ["--", "/bin/true"], ["--agent", "x", "--expires", "soon", "--", "/bin/true"]])
def test_usage(daemon, arguments):
	done = daemon.affiant("run", *arguments)
	assert done.returncode == 64
	assert done.stderr


# ---- nothing runs untracked ----

def test_no_daemon(new_daemon, place):
	daemon = new_daemon(start=False)
	daemon.runtime.mkdir()
	run = daemon.run("/bin/sh", "-c", f"touch {place}/ran", check=False)
	assert run.returncode == 125
	assert str(daemon.socket) in run.stderr
	assert not (place / "ran").exists()


def test_daemon_dies_meanwhile(new_daemon, place):
	daemon = new_daemon()
	daemon.suspend()
	run = daemon.launch("/bin/sh", "-c", f"touch {place}/ran")
	wait.until("affiant run waits for the daemon", lambda: os.path.exists(f"/proc/{run.pid}/syscall") and
		   "socket:" in " ".join(_descriptors(run.pid)))
	daemon.kill()
	assert run.wait().returncode == 125
	assert run.stderr
	assert not (place / "ran").exists()


def _descriptors(pid):
	found = []
	for name in os.listdir(f"/proc/{pid}/fd"):
		try:
			found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
		except FileNotFoundError:
			pass
	return found


# ---- who may ----

def as_nobody(daemon, *arguments):
	return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", str(daemons.AFFIANT),
			       *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
			      timeout=wait.DEADLINE, check=False, env=daemons.environment())


def test_nobody_may_not_launch(daemon, place):
	done = as_nobody(daemon, "run", "--socket", daemon.socket, "--agent", "x", "--", "/bin/touch", place / "ran")
	assert done.returncode == 125
	assert done.stderr
	assert not (place / "ran").exists()


@pytest.mark.parametrize("command", [["events"], ["sessions"], ["status"]], ids=lambda c: c[0])
def test_nobody_may_not_read(daemon, command):
	done = as_nobody(daemon, command[0], "--socket", daemon.socket, *command[1:])
	assert done.returncode not in (0, 64)
	assert not done.stdout
	assert done.stderr


def test_an_agent_is_no_launcher(daemon):
	"""Not even root's agent opens a session for somebody else, or names a principal."""
	inner = [str(daemons.AFFIANT), "run", "--socket", str(daemon.socket), "--agent", "other", "--on-behalf-of", "bob@example.com",
		 "--", "/bin/true"]
	run = daemon.run(*inner, check=False)
	assert run.returncode == 125
	assert run.stderr
	assert {r.agent.name for r in run.records()} == {"tester"}
	assert not daemon.records("--agent", "other")


def test_an_agent_ends_no_session(daemon):
	other = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	session = other.wait_exec("/bin/cat").session.id
	run = daemon.run(str(daemons.AFFIANT), "session", "end", "--socket", str(daemon.socket), _uuid(session), check=False)
	assert run.returncode not in (0, 64)
	assert not other.records_so_far().of("session_ended")
	other.wait()
	assert other.records().one("session_ended").session_ended.reason == 1	# its last exit


def _uuid(data):
	text = data.hex()
	return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# ---- sessions ----

def test_sessions(daemon):
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE, agent="lister", options=["--on-behalf-of", "alice@example.com"])
	session = _uuid(run.wait_exec("/bin/cat").session.id)
	listed = daemon.affiant("sessions")
	assert listed.returncode == 0, listed.stderr
	line = next(line for line in listed.stdout.splitlines() if session in line)
	assert "lister" in line and run.task in line and "alice@example.com" in line
	run.wait()
	run.records()
	assert session not in daemon.affiant("sessions").stdout


def test_session_end(daemon):
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	session = _uuid(run.wait_exec("/bin/cat").session.id)
	done = daemon.affiant("session", "end", session)
	assert done.returncode == 0, done.stderr
	found = run.wait_records("the session has ended", lambda records: records.of("session_ended"))
	assert found.one("session_ended").session_ended.reason == 2	# requested
	run.wait()
	# Its processes stay recorded until they exit.
	run.wait_records("the exit", lambda records: records.of("exit"))


def test_session_end_kills(daemon):
	"""With --kill all of its processes go, whatever they ignore and whoever their parent is."""
	run = daemon.launch("/bin/sh", "-c", "trap '' TERM; (setsid /bin/cat /dev/zero >/dev/null &); echo ready; while :; do sleep 1; done",
			    stdin=subprocess.PIPE)
	assert run.line() == "ready"
	session = _uuid(run.wait_exec("/bin/cat").session.id)
	done = daemon.affiant("session", "end", "--kill", session)
	assert done.returncode == 0, done.stderr
	run.wait()
	assert run.returncode == -signal.SIGKILL

	def killed(records):
		return {bytes(r.process.argv[0]) for r in records.of("exit") if r.exit.status == signal.SIGKILL}

	found = run.wait_records("their exits", lambda records: killed(records) >= {b"/bin/cat", b"/bin/sh"})
	assert found.one("session_ended").session_ended.reason == 2	# requested


def test_kill_catches_who_forks_all_the_time(daemon, programs):
	run = daemon.launch(programs["hydra"], "4", stdin=subprocess.PIPE)
	session = _uuid(run.wait_exec(programs["hydra"]).session.id)
	wait.until("its heads", lambda: _listed(daemon, session)["processes_total"] > 50)
	done = daemon.affiant("session", "end", session, "--kill")
	assert done.returncode == 0, done.stderr
	wait.until("nobody is left", lambda: not _listed(daemon, session)["processes"])
	assert run.process.wait(wait.DEADLINE) == -signal.SIGKILL
	found = run.wait().wait_records("all exits", lambda r: len(r.of("exit")) >= _listed(daemon, session)["processes_total"])
	assert found.one("session_ended").session_ended.reason == 2


def _listed(daemon, session):
	"""What `affiant sessions` says of one."""
	done = daemon.affiant("sessions", "--all", "-o", "json")
	assert done.returncode == 0, done.stderr
	return next(one for one in map(json.loads, done.stdout.splitlines()) if one["session"] == session)


def test_match(daemon):
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE, agent="matched")
	run.wait_exec("/bin/cat")
	told = daemon.affiant("match", run.pid)
	assert told.returncode == 0, told.stderr
	assert "matched" in told.stdout
	run.wait()


def test_status(daemon):
	status = daemon.affiant("status")
	assert status.returncode == 0, status.stderr
	for word in ("sessions", "processes", "lost", "digests", "memory"):
		assert word in status.stdout.lower()


def test_first_record_comes_before_the_command(daemon):
	"""There is no moment untracked: the command's own exec is the session's, and first."""
	records = daemon.run("/bin/true").records()
	assert kind(records[0]) == "session_started"
	first = records.execs[0]
	assert bytes(first.process.argv[0]) == b"/bin/true"


# ---- the task ----

def test_task(daemon):
	"""What the launcher said of it is in every record and in the list."""
	before = time.time()
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE, options=["--purpose", "to fix the build", "--expires", "90m", "--scope",
			    "repo:read", "--scope", "net:*", "--on-behalf-of", "alice@example.com"])
	session = _uuid(run.wait_exec("/bin/cat").session.id)
	listed = _listed(daemon, session)
	assert (listed["task"], listed["purpose"], listed["scope"]) == (run.task, "to fix the build", ["repo:read", "net:*"])
	assert (listed["principal"], listed["assurance"]) == ("alice@example.com", "asserted")
	run.wait()
	for record in run.records():
		assert list(record.task.scope) == ["repo:read", "net:*"]
		assert record.task.purpose == "to fix the build"
		expires = record.task.expires_wall_ns / 1e9
		assert before + 90 * 60 - 1 <= expires <= time.time() + 90 * 60
	told = datetime.datetime.fromisoformat(listed["expires"]).timestamp()
	assert told == int(expires)


@pytest.mark.parametrize("options", [["--expires", "0s"], ["--expires", "-1h"], ["--expires", "1y"], ["--isolation", "chroot"],
				     [option for _ in range(65) for option in ("--scope", "x")]], ids=lambda o: " ".join(o[:2]))
def test_task_that_makes_no_sense(daemon, options):
	done = daemon.affiant("run", "--agent", "x", *options, "--", "/bin/true")
	assert done.returncode == 64
	assert options[0] in done.stderr


def default_ring(limit=None):
	"""The largest power of two from 8 to 64 MiB below a 128th of the memory, and a quarter of the cgroup's limit."""
	with open("/proc/meminfo") as file:
		bound = int(next(line for line in file if line.startswith("MemTotal:")).split()[1]) * 1024 // 128
	bound = min(bound, limit // 4) if limit else bound
	return next((size << 20 for size in (64, 32, 16) if size << 20 <= bound), 8 << 20)


def test_ring_follows_memory(new_daemon, cgroup):
	"""Of the host, and of the daemon's own cgroup; what the configuration says goes before."""
	parent = cgroup.path.parent
	if "memory" not in (parent / "cgroup.controllers").read_text().split():
		pytest.skip("the memory controller is not of cgroup v2 here")
	(parent / "cgroup.subtree_control").write_text("+memory")
	for limit in (512 << 20, 128 << 20):
		(cgroup.path / "memory.max").write_text(str(limit))
		daemon = new_daemon(start=False)
		command = daemon.command
		daemon.command = lambda command=command: inside(cgroup, *command())
		daemon.start()
		assert json.loads(daemon.affiant("status", "-o", "json").stdout)["ring_bytes"] == default_ring(limit)
		text = daemon.affiant("status").stdout
		assert f"of {default_ring(limit) >> 20}MiB used" in text
		daemon.stop()
	daemon = new_daemon(config="ring_bytes: 1MiB\n")
	assert json.loads(daemon.affiant("status", "-o", "json").stdout)["ring_bytes"] == 1 << 20


def test_status_fields(new_daemon):
	daemon = new_daemon()
	run = daemon.launch("/bin/sh", "-c", "/bin/true; echo ready; cat", stdin=subprocess.PIPE)
	assert run.line() == "ready"
	run.wait_exec("cat")
	status = json.loads(daemon.affiant("status", "-o", "json").stdout)
	assert (status["sessions"], status["processes"], status["tags"]) == (1, 2, 2)
	assert status["tags_max"] == 65536 and status["ring_bytes"] == default_ring()
	assert status["events"]["exec"] == 3
	assert status["records"]["records"] == len(daemon.records())
	assert status["lost"] == []
	assert status["cache"]["misses"] >= 3 and status["cache"]["bytes_hashed"] > os.path.getsize("/bin/true")
	assert status["resident_bytes"] > 1 << 20
	sequences = [r.sequence for r in daemon.records()]
	assert (status["oldest_sequence"], status["last_sequence"]) == (min(sequences), max(sequences))
	assert set(status["features"]).isdisjoint(status["missing"])
	run.wait()
	run.records()
	after = json.loads(daemon.affiant("status", "-o", "json").stdout)
	assert (after["sessions"], after["processes"], after["tags"]) == (0, 0, 0)
	assert after["records"]["records"] > status["records"]["records"]
