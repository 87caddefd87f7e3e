# SPDX-License-Identifier: Apache-2.0
"""A digest is proven where root alone could have written the file: by owner, mode, mount and filesystem."""

import os
import shutil
import struct
import subprocess
import time

import pytest

from harness import images
from harness import wait
from harness.proof import NOBODY, assert_proven, assert_unproven, install, worth, worths
from harness.records import hash_state, sha256, step_kind

GAMES = (5, 60)		# a user of every Debian that nothing runs as
NO_ID = 0xffffffff


def start(daemon, path, **more):
	"""Executes it as nobody; the exec's record."""
	run = daemon.run(path, user=NOBODY, **more)
	return run.records().exec_of(str(path))


@pytest.fixture
def nothing(programs):
	return programs.static("nothing")


# ---- who can write the file ----

def test_roots_program(daemon, place, nothing):
	path = install(nothing, place / "program")
	assert_proven(start(daemon, path), path)


def test_with_loader(daemon, programs):
	"""The ELF loader is a file like another."""
	record = start(daemon, programs["nothing"])
	assert_proven(record, programs["nothing"])
	[loader] = [step for step in record.process.chain if step_kind(step) == "loader"]
	assert hash_state(loader.digest) == "observed"


@pytest.mark.parametrize("mode", [0o755, 0o555, 0o711, 0o4755, 0o2755, 0o1755], ids=oct)
def test_modes_that_let_nobody_write(daemon, place, nothing, mode):
	path = install(nothing, place / "program", mode)
	assert_proven(start(daemon, path), path)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777], ids=oct)
def test_modes_that_let_others_write(daemon, place, nothing, mode):
	path = install(nothing, place / "program", mode)
	assert_unproven(start(daemon, path), "writable", path)


def test_acl(daemon, place, nothing):
	"""The writers of an ACL show in the group's bits."""
	path = install(nothing, place / "program")
	# user::rwx, user:5:rwx, group::r-x, mask::rwx, other::r-x (acl(5), linux/posix_acl_xattr.h)
	acl = [(1, 7, NO_ID), (2, 7, GAMES[0]), (4, 5, NO_ID), (16, 7, NO_ID), (32, 5, NO_ID)]
	try:
		os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in acl))
	except OSError as error:
		pytest.skip(f"this filesystem takes no ACL: {error}")
	wait.settled(path)
	assert_unproven(start(daemon, path), "writable", path)


@pytest.mark.parametrize("owner", [NOBODY, GAMES], ids=["own", "another's"])
def test_owners(daemon, place, nothing, owner):
	path = install(nothing, place / "program", owner=owner)
	assert_unproven(start(daemon, path), "owner", path)


def test_trusted_owners(new_daemon, place, nothing):
	trusted = install(nothing, place / "trusted", owner=GAMES)
	writable = install(nothing, place / "writable", 0o775, owner=GAMES)
	other = install(nothing, place / "other", owner=NOBODY)
	daemon = new_daemon("hash: {wait: 10s}\ntrusted_owners: [games]\n")
	assert_proven(start(daemon, trusted), trusted)
	assert_unproven(start(daemon, writable), "writable")
	assert_unproven(start(daemon, other), "owner")


def test_just_changed(daemon, place, nothing):
	"""Within the clock of change times it can't be told whether it was changed before or after."""
	path = place / "program"
	install(nothing, path)
	for _ in range(10):
		path.chmod(0o755)
		touched = time.time()
		record = start(daemon, path)
		if record.wall_ns / 1e9 - touched < 0.01:
			assert_unproven(record, "changed")


def test_moved_while_it_runs(daemon, place, programs):
	"""A rename moves the change time, too: what else happened meanwhile it doesn't tell."""
	path = install(programs.copy("wait_input", place / "salted"), place / "program")
	run = daemon.launch("/bin/sh", "-c", f"read line; exec {path}", user=NOBODY, stdin=subprocess.PIPE)
	run.wait_exec("/bin/sh")
	daemon.suspend()	# else it has read the file by then
	run.process.stdin.write("go\n")
	run.process.stdin.flush()
	assert run.line() == "running"
	os.rename(path, place / "moved")
	daemon.resume()
	assert_unproven(run.wait_exec(path), "changed", place / "moved")
	run.wait()


# ---- the filesystem ----

@pytest.fixture
def tmpfs(place):
	mount = place / "tmpfs"
	mount.mkdir()
	subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "affiant-test", mount], check=True)
	yield mount
	subprocess.run(["umount", "--lazy", mount], check=True)


def start_waiting(daemon, path):
	"""As start(), of a wait_input: where a mount is watched only a second after it was made, or never."""
	run = daemon.launch(path, user=NOBODY, stdin=subprocess.PIPE)
	record = run.wait_exec(path)
	run.wait()
	return record


def test_tmpfs(daemon, programs, tmpfs):
	path = install(programs.static("wait_input"), tmpfs / "program")
	assert_unproven(start_waiting(daemon, path), "filesystem", path)


class Overlay:
	def __init__(self, place):
		self.lower, self.upper, self.work, self.merged = (place / n for n in ("lower", "upper", "work", "merged"))
		for directory in (self.lower, self.upper, self.work, self.merged):
			directory.mkdir()

	def options(self):
		return f"lowerdir={self.lower},upperdir={self.upper},workdir={self.work}"


@pytest.fixture
def overlay(place, nothing):
	"""Mounted by root, with a program of root's below."""
	made = Overlay(place)
	install(nothing, made.lower / "program")
	subprocess.run(["mount", "-t", "overlay", "overlay", "-o", made.options(), made.merged], check=True)
	time.sleep(1.2)	# the daemon looks for new filesystems once a second (marks.c)
	yield made
	subprocess.run(["umount", "--lazy", made.merged], check=True)


def test_overlay_of_roots(daemon, overlay):
	"""The first overlay that is met may teach where overlayfs keeps its lower files: then the next exec is proven."""
	path = overlay.merged / "program"
	wait.until("overlayfs is understood", lambda: worth(start(daemon, path)) == "observed", every=0.5)
	assert_proven(start(daemon, path), overlay.lower / "program")


def test_overlay_copied_up(daemon, overlay):
	path = overlay.merged / "program"
	wait.until("overlayfs is understood", lambda: worth(start(daemon, path)) == "observed", every=0.5)
	path.chmod(0o755)	# copies it up
	wait.settled(path)
	assert (overlay.upper / "program").exists()
	assert_unproven(start(daemon, path), "overlay")


def test_overlay_copied_up_while_it_runs(daemon, programs, overlay):
	"""The lower file is what runs, and stays what it was."""
	path = overlay.merged / "waiting"
	install(programs.static("wait_input"), overlay.lower / "waiting")
	wait.until("overlayfs is understood", lambda: worth(start(daemon, overlay.merged / "program")) == "observed", every=0.5)
	run = daemon.launch(path, user=NOBODY, stdin=subprocess.PIPE)
	assert run.line() == "running"
	assert_proven(run.wait_exec(path), overlay.lower / "waiting")
	path.chmod(0o755)
	wait.settled(path)
	run.wait()
	assert_unproven(start(daemon, path), "overlay")


def test_overlay_of_nobodys(daemon, place, programs):
	"""Mounted in a user namespace of his own over root's files: he writes above, never below."""
	made = Overlay(place)
	path = install(programs.static("wait_input"), made.lower / "program")
	for directory in (made.upper, made.work):
		shutil.chown(directory, *NOBODY)
	script = (f"mount -t overlay overlay -o {made.options()},userxattr {made.merged} || exit 77\n"
		  f"cp {made.merged}/program {made.merged}/copy; sleep 0.2\n"
		  f"sleep 0.5 | {made.merged}/program; sleep 0.5 | {made.merged}/copy\n")
	found = []

	def once():
		run = daemon.run("/usr/bin/unshare", "-Urm", "/bin/sh", "-c", script, user=NOBODY)
		found[:] = [run.records()]
		return worth(found[0].exec_of(f"{made.merged}/program")) == "observed"

	wait.until("overlayfs is understood", once, every=0.5)
	assert_proven(found[0].exec_of(f"{made.merged}/program"), path)
	assert_unproven(found[0].exec_of(f"{made.merged}/copy"), "overlay")


@pytest.mark.parametrize("option, expected", [("nosuid", "mount"), ("suid", "observed")])
def test_image_that_root_mounted(daemon, place, programs, option, expected):
	"""With nosuid, as desktops do it for anybody, the host itself doesn't trust what is on it."""
	image, mount = place / "image", place / "mount"
	mount.mkdir()
	with open(image, "wb") as file:
		file.truncate(16 << 20)
	subprocess.run(["mkfs.ext4", "-q", image], check=True)
	done = subprocess.run(["mount", "-o", f"loop,{option}", image, mount], capture_output=True, text=True, check=False)
	if done.returncode:
		pytest.skip(f"no loop device: {done.stderr.strip()}")
	try:
		path = install(programs.static("wait_input"), mount / "program")
		assert worth(start_waiting(daemon, path)) == expected
	finally:
		images.unmounted(mount)


def test_bound_nosuid(daemon, place, nothing):
	"""Not asked of the mount executed through: bubblewrap binds everything with nosuid."""
	path = install(nothing, place / "program")
	script = f"mount --bind {place} {place} && mount -o remount,bind,nosuid {place} && exec {path}"
	run = daemon.run("/usr/bin/unshare", "-Urm", "/bin/sh", "-c", script, user=NOBODY)
	assert_proven(run.records().exec_of(path), path)


# ---- upgrades ----

def test_upgrade_during_a_session(daemon, programs, place):
	"""What ran before it was what it was; what is executed after it is the new file."""
	path = place / "program"
	install(programs.copy("wait_input", place / "one", b"one"), path)
	install(programs.copy("wait_input", place / "two", b"two"), place / "next")
	old, new = sha256(path), sha256(place / "next")
	run = daemon.launch("/bin/sh", "-c", f"{path}; sleep 0; {path}", user=NOBODY, stdin=subprocess.PIPE)
	assert run.line() == "running"
	first = run.wait_exec(path)
	os.rename(place / "next", path)
	wait.settled(path)
	run.wait()
	records = run.records()
	digests = [r.process.executable.digest.sha256 for r in records.in_time().execs
		   if r.process.argv[0] == str(path).encode()]
	assert (first.process.executable.digest.sha256, digests) == (old, [old, new])
	assert set(worths(records)) == {"observed"}


def test_upgrades_under_load(daemon, programs, place):
	"""Renamed over again and again while it is executed: each digest that is called proven is of one of the versions."""
	path = place / "program"
	versions = [programs.copy("nothing", place / f"v{n}", bytes([n])) for n in range(4)]
	known = {sha256(version) for version in versions}
	install(versions[0], path)
	run = daemon.launch("/bin/sh", "-c", f"n=0; while [ $n -lt 300 ]; do {path}; n=$((n + 1)); done", user=NOBODY)
	n = 0
	while run.process.poll() is None:
		n += 1
		install(versions[n % 4], place / "next")
		os.rename(place / "next", path)
		time.sleep(0.01)
	run.wait()
	execs = run.records().execs.where(lambda r: r.process.argv[0] == str(path).encode())
	assert len(execs) == 300
	assert set(worths(execs)) <= {"observed", "changed", "too_late"}
	assert {r.process.executable.digest.sha256 for r in execs} - {b""} <= known
	assert "observed" in worths(execs)
