# SPDX-License-Identifier: Apache-2.0
"""Root's own programs, on what nobody writes to below: images, mapped identities; and scripts, opened twice."""

import os
import subprocess

import pytest

from harness import wait
from harness.forging import (CONFIG, NOBODY, Beside, assert_observed, assert_unproven, pinned_outside, scripts_of, sha256_of, skip_of, static,
			     victims)
from harness.images import image_of, unmounted
from harness.records import hash_state

on = pytest.mark.parametrize


@pytest.fixture(scope="module")
def forged(new_daemon_of_module):
	return new_daemon_of_module(CONFIG)


@pytest.fixture
def rounds(request):
	return 20 if request.config.getoption("--long") else 5


# ---- images that nobody owns ----

def forge(daemon, commands, made, why):
	"""The bytes change while the daemon stands still; it looks when all is done."""
	with Beside(daemon, commands) as beside:
		daemon.suspend()
		try:
			beside.word()
			beside.hear("forged")
		finally:
			daemon.resume()
		assert all(one.forged() for one in made)
		execs = beside.wait_execs([one.path for one in made])
		beside.records()
	assert_unproven([execs[one.path] for one in made], why)


@on("kind, options, why", [("ext4", "loop,nosuid,nodev", "mount"), ("erofs", "loop,nosuid,nodev", "mount"),
			   ("squashfs", "loop,nosuid,nodev", "mount"), ("erofs", "nosuid,nodev", "mount")],
    ids=["ext4", "erofs", "squashfs", "erofs from the file itself"])
def test_image_of_nobodys(forged, programs, place, rounds, kind, options, why):
	"""As desktops mount them for anybody: root's programs, whose bytes change below with all times standing still."""
	(tree := place / "tree").mkdir()
	made = victims(static(programs, "forge_below"), tree, rounds, uid=0)
	with image_of(kind, place, options, tree, NOBODY) as (image, point):
		for one in made:
			one.path = one.path.replace(str(tree), str(point))
		forge(forged, [(one.path, image) for one in made], made, why)


# ---- an idmapped mount ----

@pytest.fixture
def idmapped(programs, place):
	"""(a directory of root's, the same shown as nobody's), on a file system of its own: all of it is told as `mount` meanwhile."""
	(tree := place / "tree").mkdir()
	(tree / "roots").mkdir()
	(shown := place / "shown").mkdir()
	with image_of("ext4", place, tree=tree) as (_, point):
		there = point / "roots"
		done = subprocess.run([static(programs, "idmapped"), there, shown, str(NOBODY)], capture_output=True, text=True, check=False)
		skip_of(done)
		assert done.returncode == 0, done.stderr
		yield there, shown
		unmounted(shown)


def test_idmapped(forged, programs, idmapped, rounds):
	"""Root's by its inode, nobody's by the mount that it is executed through."""
	there, shown = idmapped
	made = victims(static(programs, "forge_let_go"), there, rounds, uid=0)
	for one in made:
		one.path = one.path.replace(str(there), str(shown))
		assert os.stat(one.path).st_uid == NOBODY
	forge(forged, [(one.path, os.path.realpath("/bin/true")) for one in made], made, "mount")


def test_pinned_by_an_idmapped_mount(forged, programs, idmapped):
	"""Nobody has the page by the mount that makes him its owner, and executes it by another way, where it is root's."""
	there, shown = idmapped
	one, = victims(static(programs, "forge_victim"), there, 1, uid=0)
	with pinned_outside(static(programs, "forge_pinned"), shown / "victim0") as land:
		with Beside(forged, [(one.path, "image")]) as beside:
			forged.suspend()
			try:
				beside.word()
				beside.hear("running")
				land()
				beside.word()
				beside.hear("changed")
			finally:
				forged.resume()
			execs = beside.wait_execs([one.path])
			beside.records()
	assert_unproven([execs[one.path]], "mount")


# ---- scripts ----

SHELL = os.path.realpath("/bin/sh")


@on("how", ["rename", "turn", "store"])
def test_script(forged, programs, place, rounds, how):
	"""Between the kernel's look at it and the interpreter's."""
	os.chown(place, NOBODY, NOBODY)
	good = "#!/bin/sh\necho good\nread go || :\n"
	commands, paths = [], []
	for number in range(rounds):
		script, other, target = (place / f"{name}{number}" for name in ("script", "other", "target"))
		for path, text in ((script if how != "turn" else target, good), (other, good.replace("good", "other"))):
			path.write_text(text)
			path.chmod(0o755)
			os.chown(path, NOBODY, NOBODY)
		if how == "turn":
			script.symlink_to(target)
		paths.append(str(script))
		commands.append((static(programs, "forge_script"), how, script, other))
	wait.settled(other)
	with Beside(forged, commands) as beside:
		beside.word()
		beside.hear("other")
		found = beside.records()
	ran = [r for r in found.execs if len(r.process.argv) > 1 and r.process.argv[1].decode() in paths]
	assert len(ran) == rounds
	for record in ran:
		assert_observed(record, SHELL)
		# Where the name does not lead to what the kernel opened any more, none is named rather than a wrong one.
		named = scripts_of(record)
		assert len(named) == 1 if how == "store" else len(named) <= 1
		assert all(not d.sha256 or hash_state(d) == "offered" for d in named)


def test_script_that_nobody_turned(forged, place):
	"""A script is offered to its interpreter, no more, whoever owns it; its digest is that of the file."""
	path = place / "task"
	path.write_text("#!/bin/sh\necho running\nread go || :\n")
	path.chmod(0o755)
	wait.settled(path)
	with Beside(forged, [(path,)]) as beside:
		beside.word()
		beside.hear("running")
		found = beside.records()
	record, = [r for r in found.execs if str(path).encode() in list(r.process.argv[1:2])]
	assert_observed(record, SHELL)
	digest, = scripts_of(record)
	assert (hash_state(digest), digest.sha256) == ("offered", sha256_of(path.read_bytes()))
