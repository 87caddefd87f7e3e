# SPDX-License-Identifier: Apache-2.0
"""Programs of nobody's that change the bytes of a file behind an exec: no digest of it is ever called proven.

Each forgery is certain: its steps wait for each other, and the test asks the program, or the file, whether it worked.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import wait
from harness.forging import (COLLUDER, CONFIG, NOBODY, STRANGER_GROUP, Beside, as_user, assert_not_proven, static, unproven,
			     victim, victims)

OTHER = os.path.realpath("/bin/true")


@pytest.fixture(scope="module")
def forged(new_daemon_of_module):
	return new_daemon_of_module(CONFIG)


@pytest.fixture
def rounds(request):
	return 20 if request.config.getoption("--long") else 5


def owned(path, uid=NOBODY):
	path.mkdir(exist_ok=True)
	os.chown(path, uid, uid)
	return path


def mounted(place, *options):
	subprocess.run(["mount", *options, place], check=True, capture_output=True)


def unmounted(place):
	wait.until(f"nobody uses {place}", lambda: subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0)


def image_of(place, make, size):
	"""A file system made by root in a file of root's, mounted as the host's own."""
	if not shutil.which(make[0]):
		pytest.skip(f"not installed: {make[0]}")
	image = place / "image"
	image.touch()
	os.truncate(image, size)
	subprocess.run([*make, image], check=True, capture_output=True)
	done = subprocess.run(["mount", "-o", "loop", image, owned(place / "mounted")], capture_output=True, text=True, check=False)
	if done.returncode:
		pytest.skip(f"{make[0]}: {done.stderr.strip()}")
	return place / "mounted"


IMAGES = {"xfs": (["mkfs.xfs", "-q"], 320 << 20), "btrfs": (["mkfs.btrfs", "-q"], 256 << 20)}


@pytest.fixture
def somewhere(request, place):
	"""A directory of nobody's on a file system of this kind. root-overlay: root mounted it, the files are in its upper layer."""
	kind = request.param
	with contextlib.ExitStack() as stack:
		if kind == "tmpfs":
			mounted(place, "-t", "tmpfs", "tmpfs")
			stack.callback(unmounted, place)
		elif kind == "root-overlay":
			for name in ("lower", "upper", "work", "merged"):
				owned(place / name)
			mounted(place / "merged", "-t", "overlay", "overlay", "-o",
				f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work")
			stack.callback(unmounted, place / "merged")
			place = place / "merged"
		elif kind in IMAGES:
			place = image_of(place, *IMAGES[kind])
			stack.callback(unmounted, place)
		yield owned(place / "nobodys")


on = pytest.mark.parametrize
everywhere = on("somewhere", ["ext4", "tmpfs", "root-overlay", "xfs", "btrfs"], indirect=True)


def assert_none_proven(beside, made, found):
	"""The record of every victim's exec is there, and proves nothing."""
	execs = beside.execs(found)
	for one in made:
		assert_not_proven(execs[one.path])


# ---- a process that lets go of its own file ----

def let_go(daemon, made, *words, before=None, stopped=True):
	"""All at once, while the daemon stands still: it looks when the old file is back in place."""
	beside = Beside(daemon, [(one.path, OTHER, *words) for one in made], before)
	if stopped:
		daemon.suspend()
	try:
		beside.word()
		beside.hear("forged")
	finally:
		daemon.resume()
	found = beside.records()
	assert all(one.forged() for one in made)
	assert_none_proven(beside, made, found)


@everywhere
@on("flags", [[], ["-m32"]], ids=["64", "32"])
def test_let_go(forged, programs, somewhere, rounds, flags):
	let_go(forged, victims(static(programs, "forge_let_go", *flags), somewhere, rounds))


@on("somewhere", ["ext4"], indirect=True)
@on("words", [["thread"], ["stay"]], ids=lambda w: w[0])
def test_let_go_otherwise(forged, programs, somewhere, rounds, words):
	let_go(forged, victims(static(programs, "forge_let_go"), somewhere, rounds), *words)


@on("somewhere", ["ext4"], indirect=True)
def test_let_go_beside_a_running_daemon(forged, programs, somewhere, rounds):
	let_go(forged, victims(static(programs, "forge_let_go"), somewhere, rounds), stopped=False)


@on("somewhere", ["ext4", "tmpfs"], indirect=True)
def test_let_go_by_another_name(forged, programs, somewhere):
	one, = victims(static(programs, "forge_let_go"), somewhere, 1)
	os.link(one.path, somewhere / "other-name")
	let_go(forged, [one], "as", somewhere / "other-name")


OWNERS = {
	"for all to write": ({"uid": 0, "mode": 0o757}, as_user()),
	"of a group": ({"uid": 0, "gid": STRANGER_GROUP, "mode": 0o775}, as_user(groups=[STRANGER_GROUP])),
	"set-group-id and of that group": ({"uid": 0, "gid": STRANGER_GROUP, "mode": 0o2775}, as_user()),
	"set-group-id and for all": ({"uid": 0, "mode": 0o2757}, as_user()),
	"of a second user, for all": ({"uid": COLLUDER, "mode": 0o757}, as_user()),
}


@on("owner", OWNERS)
def test_let_go_of_a_file_that_others_own(forged, programs, place, owner):
	how, before = OWNERS[owner]
	made = victims(static(programs, "forge_let_go"), place, 1, **how)
	beside = Beside(forged, [(made[0].path, OTHER)], before, options=["--isolation", "none"])
	beside.word()
	beside.hear("forged")
	found = beside.records()
	assert made[0].forged()
	assert_none_proven(beside, made, found)


# ---- stores into what runs ----

def stored(daemon, made, commands, stopped=False, before=None):
	"""Victims run; then they are stored to; they see it. stopped: before the daemon had a look."""
	beside = Beside(daemon, commands, before)
	if stopped:
		daemon.suspend()
	try:
		beside.word()
		beside.hear("running")
		if not stopped:	# every digest is of the time before
			daemon.wait_records("the execs", lambda found: all(one in beside.execs(found) for one in made), "--task", beside.run.task)
		beside.word(len(made))
		beside.hear("changed")
	finally:
		daemon.resume()
	found = beside.records()
	for path in made:
		assert_not_proven(beside.execs(found)[path])


looked = on("stopped", [False, True], ids=["after", "before"])	# the store comes after the daemon looked, or before


@everywhere
@looked
@on("how", ["fuse", "odirect"])
def test_pinned(forged, programs, somewhere, rounds, how, stopped):
	made = victims(static(programs, "forge_victim"), somewhere, rounds)
	stored(forged, [one.path for one in made], [(static(programs, "forge_pinned"), how, one.path) for one in made], stopped)
	assert all(one.forged() for one in made)


@on("somewhere", ["ext4"], indirect=True)
def test_pinned_in_32_bits(forged, programs, somewhere, rounds):
	made = victims(static(programs, "forge_victim", "-m32"), somewhere, rounds)
	stored(forged, [one.path for one in made], [(static(programs, "forge_pinned", "-m32"), "fuse", one.path) for one in made])


@on("somewhere", ["tmpfs"], indirect=True)
@looked
def test_registered(forged, programs, somewhere, rounds, stopped):
	made = victims(static(programs, "forge_victim"), somewhere, rounds)
	stored(forged, [one.path for one in made], [(static(programs, "forge_registered"), one.path) for one in made], stopped)
	assert all(one.forged() for one in made)


@on("uid, mode", [(COLLUDER, 0o755), (0, 0o757), (NOBODY, 0o755)], ids=["his own", "for all", "ours"])
def test_pinned_by_a_second_user(forged, programs, place, uid, mode):
	"""Who is no agent, and owns nothing that the session knows of, has the pages."""
	one, = victims(static(programs, "forge_victim"), place, 1, uid=uid, mode=mode)
	user = NOBODY if uid == NOBODY else COLLUDER
	with subprocess.Popen([*as_user(user), static(programs, "forge_pinned"), "fuse", one.path, "outside"], stdin=subprocess.PIPE,
			      stdout=subprocess.PIPE, text=True) as outsider:
		said = outsider.stdout.readline().strip()
		if said != "pinned":
			pytest.skip(said)
		beside = Beside(forged, [(one.path, "image")])
		beside.word()
		beside.hear("running")
		record = beside.run.wait_exec(one.path)
		outsider.stdin.write("\n")
		outsider.stdin.flush()
		assert outsider.stdout.readline() == "landed\n"
		beside.word()
		beside.hear("changed")
		beside.records()
	assert_not_proven(record)


# ---- layers and memory of one's own ----

@pytest.fixture(params=["ext4", "tmpfs"])
def layers(request, place):
	"""What an overlay of nobody's is made of, on either."""
	if request.param == "tmpfs":
		mounted(place, "-t", "tmpfs", "tmpfs")
	yield place
	if request.param == "tmpfs":
		unmounted(place)


@looked
@on("how", ["upper-write", "upper-map"])
def test_upper(forged, programs, layers, rounds, how, stopped):
	made, commands = [], []
	for number in range(rounds):
		top = owned(layers / str(number))
		for name in ("lower", "upper", "work", "merged"):
			owned(top / name)
		one = victim(static(programs, "forge_victim"), top / "upper" / "victim")
		made.append(f"{top}/merged/victim")
		commands.append((static(programs, "forge_store"), how, one.path, top))
	stored(forged, made, commands, stopped)


@looked
@on("how", ["memfd-write", "memfd-map", "memfd-registered"])
def test_memfd(forged, programs, place, rounds, how, stopped):
	"""One after another: all have the same name."""
	for one in victims(static(programs, "forge_victim"), place, rounds):
		command = (static(programs, "forge_store"), how, one.path, place)
		if how == "memfd-registered":
			command = (static(programs, "forge_registered"), f"memfd:{one.path}")
		stored(forged, ["in-memory"], [command], stopped)


# ---- what is not forged is not proven either ----

@on("somewhere", ["ext4", "tmpfs", "root-overlay", "xfs", "btrfs"], indirect=True)
def test_nobodys_program(forged, programs, somewhere):
	"""It says in one word that nothing is proven, and what the bytes seemed to be."""
	one, = victims(static(programs, "forge_victim"), somewhere, 1)
	beside = Beside(forged, [(one.path, "image")])
	beside.word()
	beside.hear("running")
	record = beside.run.wait_exec(one.path)
	beside.word()
	beside.hear("same")
	beside.records()
	assert unproven(record) == one.before
