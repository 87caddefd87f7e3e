# SPDX-License-Identifier: Apache-2.0
"""`affiant run --user`: the command is another user's from the session's first moment, and all else is as without it."""

import os
import pwd
import signal
import subprocess
import time

import pytest

from harness import wait
from harness.proof import worths

NOBODY = 65534
SHOW = 'echo "$(id -ru):$(id -u):$(id -rg):$(id -g)" "$(id -G)" "$HOME" "$USER" "$LOGNAME"'
ROOTS_SESSION = "root's power"
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def run_as(daemon, user, *command, **more):
	return daemon.run(*command, options=["--user", user, *more.pop("options", ())], **more)


# ---- which user ----

@pytest.mark.parametrize("user", ["games", "5"])
def test_with_an_entry(daemon, user):
	"""The entry's group and home, by name or by number."""
	entry = pwd.getpwnam("games")
	run = run_as(daemon, user, "/bin/sh", "-c", SHOW)
	groups = " ".join(map(str, os.getgrouplist("games", entry.pw_gid)))
	assert run.stdout.strip() == f"5:5:{entry.pw_gid}:{entry.pw_gid} {groups} {entry.pw_dir} games games"


def test_without_an_entry(daemon):
	"""Numbers that nobody has: no other groups, and the environment stays."""
	run = run_as(daemon, "54321:54322", "/bin/sh", "-c", SHOW, env={"HOME": "/somewhere"})
	assert run.stdout.strip() == "54321:54321:54322:54322 54322 /somewhere"


def test_all_ids_and_capabilities(daemon):
	"""Also the saved and the filesystem's, and nothing of root's is inherited, whatever the launcher had."""
	before = ["setpriv", "--inh-caps=+dac_override,+sys_admin", "--ambient-caps=+dac_override,+sys_admin", "--groups=4,6,24"]
	run = run_as(daemon, "nobody", "/bin/cat", "/proc/self/status", before=before)
	status = dict(line.split(":\t", 1) for line in run.stdout.splitlines())
	assert status["Uid"].split() == [str(NOBODY)] * 4
	assert status["Gid"].split() == [str(NOBODY)] * 4
	assert status["Groups"].split() == [str(NOBODY)]
	assert [status[name].strip("0") for name in CAPABILITIES] == [""] * 4


@pytest.mark.parametrize("securebits", ["+keep_caps_locked", "+no_setuid_fixup", "+keep_caps_locked,+no_setuid_fixup"])
def test_strange_launcher(daemon, securebits):
	"""With bits under which root's capabilities outlive its id."""
	run = run_as(daemon, "nobody", "/bin/cat", "/proc/self/status", before=["setpriv", f"--securebits={securebits}"])
	status = dict(line.split(":\t", 1) for line in run.stdout.splitlines())
	assert [status[name].strip("0") for name in CAPABILITIES] == [""] * 4
	assert worths(run.records()) == ["observed"]


@pytest.mark.parametrize("user, word", [
	("no-such-user", "no user 'no-such-user'"),
	("54321", "no user '54321'"),
	("54321:", "no user"),
	(":5", "no user"),
	("games:games", "no user"),
	("", "no user"),
	("-1:-1", "no user"),
	("4294967295:5", "no user"),
	("4294967296:5", "no user"),
	("0", "is root"),
	("root", "is root"),
	("0:5", "is root"),
])
def test_no_such_user(daemon, place, user, word):
	run = run_as(daemon, user, "/usr/bin/touch", place / "ran", check=False)
	assert run.returncode == 125
	assert word in run.stderr and "affiant" in run.stderr
	assert not (place / "ran").exists()
	assert run.task not in daemon.affiant("sessions").stdout
	assert not run.records_so_far()


def test_only_root_becomes_another(daemon, place):
	run = run_as(daemon, "games", "/usr/bin/touch", place / "ran", check=False,
		     before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
	assert run.returncode == 125
	assert "only root" in run.stderr
	assert not (place / "ran").exists()


# ---- the session ----

def test_no_image_had_roots_power(daemon, programs):
	"""From the first record on, also of the process that opened it; the launcher is no member."""
	run = run_as(daemon, "nobody", "/bin/sh", "-c", f"{programs['nothing']}; {programs['nothing']}")
	records = run.records()
	assert {(r.process.uid, r.process.euid, r.process.gid, r.process.egid) for r in records} == {(NOBODY,) * 4}
	assert {(r.process.cap_effective, r.process.cap_permitted) for r in records} == {(0, 0)}
	assert worths(records) == ["observed"] * 3
	ended = records.one("session_ended").session_ended
	assert (ended.processes, ended.execs) == (3, 3)


def test_says_when_digests_are_not_proven(daemon):
	assert run_as(daemon, "nobody", "/bin/true").stderr.count(ROOTS_SESSION) == 0
	said = [line for line in daemon.run("/bin/true").stderr.splitlines() if ROOTS_SESSION in line]
	assert len(said) == 1 and "--user" in said[0]


def test_open_descriptors(daemon):
	"""What opened the session leaves nothing behind in it."""
	run = run_as(daemon, "nobody", "/bin/ls", "/proc/self/fd")
	assert run.stdout.split() == ["0", "1", "2", "3"]	# ls has the directory open
	assert run_as(daemon, "nobody", "/bin/sh", "-c", "cat /proc/self/stat; cat /proc/$$/task/$$/children").stdout.count("affiant") == 0


def test_no_daemon(new_daemon, place):
	daemon = new_daemon(start=False)
	daemon.runtime.mkdir()
	run = run_as(daemon, "nobody", "/usr/bin/touch", place / "ran", check=False)
	assert run.returncode == 125
	assert str(daemon.socket) in run.stderr
	assert not (place / "ran").exists()


def test_daemon_dies_meanwhile(new_daemon, place):
	daemon = new_daemon()
	daemon.suspend()
	place.chmod(0o777)
	run = daemon.launch("/usr/bin/touch", place / "ran", options=["--user", "nobody"])
	wait.until("affiant run is that user", lambda: os.stat(f"/proc/{run.pid}").st_uid in (0, NOBODY) and
		   f"Uid:\t{NOBODY}" in open(f"/proc/{run.pid}/status", encoding="ascii").read())
	time.sleep(0.2)
	daemon.kill()
	assert run.wait().returncode == 125
	assert run.stderr
	assert not (place / "ran").exists()


# ---- the command's own life passes through ----

@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_code(daemon, status):
	assert run_as(daemon, "nobody", "/bin/sh", "-c", f"exit {status}", check=False).returncode == status


def test_killed_by_a_signal(daemon):
	assert run_as(daemon, "nobody", "/bin/sh", "-c", "kill -TERM $$", check=False).returncode == -signal.SIGTERM


def test_signals_reach_the_command(daemon):
	run = daemon.launch("/bin/sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 1; done", options=["--user", "nobody"])
	assert run.line() == "ready"
	os.kill(run.pid, signal.SIGTERM)
	assert run.wait().returncode == 42


def test_input_and_output(daemon):
	run = daemon.launch("/bin/sh", "-c", 'cat; echo "$MARK" >&2', env={"MARK": "here"}, stdin=subprocess.PIPE,
			    options=["--user", "nobody"])
	run.process.stdin.write("through")
	run.wait()
	assert run.stdout == "through"
	assert run.stderr.splitlines()[-1] == "here"


def test_not_found(daemon, place):
	run = run_as(daemon, "nobody", place / "missing", check=False)
	assert run.returncode == 127
	assert "missing" in run.stderr


def test_not_executable(daemon, place):
	(place / "text").write_text("no program")
	run = run_as(daemon, "nobody", place / "text", check=False)
	assert run.returncode == 126
	assert "text" in run.stderr


def test_not_executable_by_that_user(daemon, place):
	"""Found by root, refused to the user: the session has begun and ends at once."""
	program = place / "program"
	program.write_text("#!/bin/sh\n")
	program.chmod(0o700)
	run = run_as(daemon, "nobody", program, check=False)
	assert run.returncode == 126
	assert str(program) in run.stderr
	assert run.records().one("session_ended").session_ended.execs == 0


def test_many_groups(daemon):
	"""A launcher with many groups of its own passes none of them on."""
	groups = ",".join(str(n) for n in range(70000, 70300))
	before = ["setpriv", f"--groups={groups}"]
	assert run_as(daemon, "54321:54322", "/usr/bin/id", "-G", before=before).stdout.strip() == "54322"
