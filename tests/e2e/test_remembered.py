# SPDX-License-Identifier: Apache-2.0
"""Numbers that name a file name another one later: device numbers are given again, and on btrfs inode numbers are there
several times. No digest that is remembered, and no selector, is taken in by that."""

import contextlib
import os
import shutil
import subprocess

import pytest

from harness import wait
from harness.records import hash_state, sha256, stated_digest

OTHER = (65533, 65533)	# nobody's
LONG_AGO = "1700000000"

requires_ext4 = pytest.mark.skipif(not (shutil.which("mkfs.ext4") and shutil.which("debugfs")), reason="needs e2fsprogs")
requires_btrfs = pytest.mark.skipif(not shutil.which("btrfs") or "btrfs" not in open("/proc/filesystems").read(),
				    reason="needs btrfs and its tools")


def run(*command):
	return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def mounted(image, at, options="defaults", device=None):
	"""Yields the loop device."""
	at.mkdir(exist_ok=True)
	if device:
		run("losetup", device, image)
	else:
		device = run("losetup", "--find", "--show", image)
	try:
		run("mount", "-o", options, device, at)
		try:
			yield device
		finally:
			# The daemon may still have a file open.
			wait.until(f"{at} is unmounted", lambda: not subprocess.run(["umount", at], capture_output=True).returncode)
	finally:
		run("losetup", "--detach", device)


def image_of(place, name, program):
	"""An ext4 image with directories 'bin' and 'other'. All images' 'bin/tool' look alike, but for their bytes."""
	tree, image = place / f"{name}.tree", place / f"{name}.img"
	(tree / "bin").mkdir(parents=True)
	shutil.copy(program, tree / "bin" / "tool")
	for path in (tree, tree / "bin", tree / "bin" / "tool"):
		path.chmod(0o755)
	os.utime(tree / "bin" / "tool", (int(LONG_AGO), int(LONG_AGO)))
	run("truncate", "--size", "16M", image)
	run("mkfs.ext4", "-q", "-O", "^metadata_csum", "-d", tree, image)
	run("debugfs", "-w", "-R", "mkdir other", image)	# last: inodes are numbered in order
	for field in (f"ctime @{LONG_AGO}", "ctime_extra 0", "generation 7", "uid 0", "gid 0"):
		run("debugfs", "-w", "-R", f"set_inode_field bin/tool {field}", image)
	return image


@pytest.fixture
def images(place):
	"""(of a user, of root), and the programs in them: the same but for a byte behind what is read."""
	mine, roots = shutil.copy("/bin/sleep", place / "mine"), shutil.copy("/bin/sleep", place / "roots")
	for path, byte in ((mine, b"u"), (roots, b"r")):
		with open(path, "ab") as file:
			file.write(byte)
	return image_of(place, "user", mine), image_of(place, "root", roots), mine, roots


def executed(run, path):
	digest = run.records().exec_of(path).process.executable.digest
	return hash_state(digest), stated_digest(digest)


@requires_ext4
def test_another_image_on_the_same_device(daemon, images, place):
	"""As desktops mount anybody's image, and then root's own on the same loop device."""
	users, roots, users_tool, roots_tool = images
	at = place / "at"
	tool = str(at / "bin" / "tool")
	with mounted(users, at, "nosuid,nodev") as device:
		assert executed(daemon.run(tool, "0.5", user=OTHER), tool) == ("unproven", sha256(users_tool))
	with mounted(roots, at, device=device):
		assert executed(daemon.run(tool, "0.5", user=OTHER), tool) == ("observed", sha256(roots_tool))


@requires_ext4
def test_another_overlay_of_the_same_number(new_daemon, programs, images, place):
	"""The user's overlays, one over his own image and one over root's, look the same to stat(2)."""
	users, roots, users_tool, roots_tool = images
	below, other, at = place / "below", place / "other", place / "at"
	at.mkdir()
	with mounted(users, below, "nosuid,nodev"), mounted(roots, other):
		agent = new_daemon("hash: {wait: 10s}\n").run(programs["overlay_twice"], at, f"{below}/bin:{below}/other",
							      f"{other}/bin:{other}/other", "tool", user=OTHER)
		numbers = agent.stdout.split()
		if numbers[0] != numbers[1]:
			pytest.skip("the number was taken by somebody else")
		digests = [r.process.executable.digest for r in agent.records().execs.where(
			lambda r: r.process.executable.path == os.fsencode(at / "tool"))]
	assert [hash_state(d) for d in digests] == ["unproven", "observed"]
	assert stated_digest(digests[0]) == sha256(users_tool)
	assert stated_digest(digests[1]) == sha256(roots_tool)


@requires_btrfs
def test_a_subvolume_with_the_same_inodes(new_daemon, programs, place):
	"""A directory of the user's has the number of the one that a selector names: what is in it is no agent."""
	image, at = place / "image", place / "at"
	run("truncate", "--size", "256M", image)
	run("mkfs.btrfs", "-q", image)
	with mounted(image, at):
		(at / "opt").mkdir()
		(at / "home").mkdir()
		os.chown(at / "home", *OTHER)
		agent = programs.copy("nothing", at / "opt" / "agent")
		run("setpriv", f"--reuid={OTHER[0]}", f"--regid={OTHER[1]}", "--clear-groups", "btrfs", "subvolume", "create",
		    at / "home" / "own")
		for n in range(100):
			twin = at / "home" / "own" / str(n)
			twin.mkdir()
			os.chown(twin, *OTHER)
			if twin.stat().st_ino == (at / "opt").stat().st_ino:
				break
		assert twin.stat().st_ino == (at / "opt").stat().st_ino
		impostor = programs.copy("nothing", twin / "agent")
		daemon = new_daemon(f"agents:\n  - name: named\n    selectors:\n      - exe: {agent}\n")
		run(impostor)
		run(agent)
		found = daemon.wait_records("its end", lambda r: r.of("session_ended"))
		assert {r.process.executable.path for r in found.execs} == {os.fsencode(agent)}
