# SPDX-License-Identifier: Apache-2.0
"""Sessions of one user are out of each other's reach (Landlock), and what becomes of setuid programs."""

import ctypes
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import wait

SYS_LANDLOCK_CREATE_RULESET = 444
UNKNOWN, NONE, LANDLOCK, UID = range(4)		# Isolation
OTHER = 65533	# nobody's

ATTACKS = ["signal", "queue", "pidfd_signal", "ptrace", "vm_read", "vm_write", "getfd", "mem", "root"]


@pytest.fixture
def landlock():
	abi = ctypes.CDLL(None).syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, 1)
	if abi < 6:
		pytest.skip(f"this kernel has no Landlock that scopes signals (ABI {abi}, 6 is needed)")


def isolation_of(run):
	return {record.session.isolation for record in run.records()}


def as_user(uid):
	return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid else []


def attack(daemon, programs, how, uid, attacker, victim):
	"""What an attacker in one session is told that reaches for a victim in another one of the same user."""
	user = (uid, uid) if uid else None
	program = programs.static("attack")	# at one address in all its processes
	other = daemon.launch(program, "be_there", stdin=subprocess.PIPE, user=user, options=["--isolation", victim])
	assert other.line() == "here"
	run = daemon.run(program, how, other.pid, user=user, options=["--isolation", attacker])
	other.wait()
	return run.stdout.strip()


@pytest.mark.parametrize("how", ATTACKS)
@pytest.mark.parametrize("uid", [0, OTHER], ids=["root", "user"])
def test_out_of_reach(daemon, programs, landlock, how, uid):
	assert attack(daemon, programs, how, uid, "landlock", "landlock") in ("EPERM", "EACCES")


@pytest.mark.parametrize("how", ATTACKS)
def test_within_reach_without(daemon, programs, how):
	"""That it is Landlock which refuses, and nothing else."""
	assert attack(daemon, programs, how, OTHER, "none", "none") == "done"


def test_outsiders_are_out_of_reach(daemon, programs, landlock):
	with subprocess.Popen([*as_user(OTHER), programs["attack"], "be_there"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
			      text=True) as outsider:
		assert outsider.stdout.readline() == "here\n"
		for how in ("signal", "ptrace", "vm_write", "getfd"):
			run = daemon.run(programs["attack"], how, outsider.pid, user=(OTHER, OTHER))
			assert run.stdout.strip() in ("EPERM", "EACCES"), how


@pytest.mark.parametrize("uid", [0, OTHER], ids=["root", "user"])
def test_within_a_session_all_goes_on(daemon, programs, landlock, uid):
	"""A shell signals its children, a debugger traces its own, whatever the depth."""
	program = programs.static("attack")
	script = f"exec 3<&0; {program} be_there <&3 & until [ $(cat /proc/$!/comm) = {os.path.basename(program)} ]; do sleep 0.01; done; " \
		 + "; ".join(f"{program} {how} $!" for how in ATTACKS) + "; wait"
	run = daemon.launch("/bin/sh", "-c", script, user=(uid, uid) if uid else None, stdin=subprocess.PIPE)
	told = [run.line() for _ in range(len(ATTACKS) + 1)]
	told.remove("here")
	assert told == ["done"] * len(ATTACKS)
	assert run.wait().returncode == 0


def test_a_session_in_a_session_is_refused_not_nested(daemon, programs, landlock):
	"""What a nested `affiant run` enters before it is refused is its own alone."""
	run = daemon.run("/bin/sh", "-c", "sleep 1000 & kill $! && echo reached")
	assert run.stdout.strip() == "reached"


# ---- the record says which ----

def test_landlock_by_default(daemon, landlock):
	assert isolation_of(daemon.run("/bin/true")) == {LANDLOCK}


@pytest.mark.parametrize("option, value", [("landlock", LANDLOCK), ("none", NONE)])
def test_as_asked_for(daemon, landlock, option, value):
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE, user=(OTHER, OTHER), options=["--isolation", option])
	run.wait_exec("/bin/cat")
	listed = daemon.affiant("sessions", "-o", "json").stdout
	assert [s["isolation"] for s in map(json.loads, listed.splitlines()) if s["task"] == run.task] == [option]
	run.wait()
	assert isolation_of(run) == {value}
	assert not run.stderr


def test_kernel_without_landlock(daemon, programs):
	run = daemon.run("/bin/true", before=[programs["without_landlock"]])
	assert "no isolation" in run.stderr
	assert isolation_of(run) == {NONE}


def test_kernel_without_landlock_that_is_asked_for(daemon, programs, place):
	run = daemon.run("/bin/touch", place / "ran", before=[programs["without_landlock"]], options=["--isolation", "landlock"],
			 check=False)
	assert run.returncode == 125
	assert "Landlock" in run.stderr
	assert not (place / "ran").exists()
	assert not run.records_so_far()


def test_a_user_of_its_own(new_daemon):
	daemon = new_daemon(f"launchers:\n  users: [\"{OTHER}\"]\nagents:\n  - name: tester\n    isolation: uid\n    user: \"{OTHER}\"\n")
	run = daemon.run("/bin/true", before=as_user(OTHER), options=["--isolation", "none"])
	assert isolation_of(run) == {UID}


# ---- setuid ----

@pytest.fixture
def setuid_cat(place):
	path = shutil.copy("/bin/cat", place / "cat")
	os.chmod(path, 0o4755)
	return wait.settled(path)


def effective_uid(status):
	return int(re.search(r"^Uid:\t\d+\t(\d+)", status, re.MULTILINE)[1])


def no_new_privs(status):
	return int(re.search(r"^NoNewPrivs:\t(\d)", status, re.MULTILINE)[1])


@pytest.fixture
def launchers(new_daemon):
	return new_daemon(f"launchers:\n  users: [\"{OTHER}\"]\n" "agents:\n  - name: tester\n")


@pytest.mark.parametrize("option, uid, privs", [("landlock", OTHER, 1), ("none", 0, 0)])
def test_setuid_of_a_user(launchers, landlock, setuid_cat, option, uid, privs):
	"""Without CAP_SYS_ADMIN a Landlock domain costs no_new_privs."""
	run = launchers.run(setuid_cat, "/proc/self/status", before=as_user(OTHER), options=["--isolation", option])
	assert (effective_uid(run.stdout), no_new_privs(run.stdout)) == (uid, privs)
	record = run.records().exec_of(setuid_cat)
	assert record.process.euid == uid
	assert record.process.setuid == (uid == 0)


def test_setuid_of_root(daemon, landlock, setuid_cat):
	"""With it there is no such price."""
	run = daemon.run(setuid_cat, "/proc/self/status", user=(OTHER, OTHER))
	assert (effective_uid(run.stdout), no_new_privs(run.stdout)) == (0, 0)
	assert run.records().exec_of(setuid_cat).process.setuid
