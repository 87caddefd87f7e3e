# SPDX-License-Identifier: Apache-2.0
"""Programs of nobody's that change the bytes of a file behind an exec: no digest of it is ever called proven.

Each forgery is certain: its steps wait for each other, and the test asks the program, or the file, whether it worked.
"""

import contextlib
import os

import pytest

from harness.forging import (COLLUDER, CONFIG, NOBODY, STRANGER_GROUP, Beside, assert_unproven, pinned_outside, reason_on, stated,
			     static, victim, victims)
from harness.images import SIZES, image_of, mounted

OTHER = os.path.realpath("/bin/true")
on = pytest.mark.parametrize


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


@pytest.fixture
def somewhere(request, place):
	"""A directory of nobody's on a file system of this kind. root-overlay: root mounted it, the files are in its upper layer."""
	kind = request.param
	with contextlib.ExitStack() as stack:
		if kind == "tmpfs":
			stack.enter_context(mounted(place, "-t", "tmpfs", "tmpfs"))
		elif kind == "root-overlay":
			for name in ("lower", "upper", "work", "merged"):
				owned(place / name)
			layers = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
			place = stack.enter_context(mounted(place / "merged", "-t", "overlay", "overlay", "-o", layers))
		elif kind in SIZES:
			_, place = stack.enter_context(image_of(kind, place))
		yield owned(place / "nobodys")


KINDS = ("ext4", "tmpfs", "root-overlay", "xfs", "btrfs")


def everywhere(names, values, *usual):
	"""Each of these on each file system; all but the usual ones are long."""
	cases = [pytest.param(kind, *values[name], id=f"{kind}-{name}", marks=() if f"{kind}-{name}" in usual else pytest.mark.long)
		 for kind in KINDS for name in values]
	return on(f"somewhere, {names}", cases, indirect=["somewhere"])


def on_kind(*kinds):
	return on("somewhere", kinds, indirect=True)


# ---- a process that lets go of its own file ----

def let_go(daemon, made, why, *words, stopped=True, **how):
	"""All at once, while the daemon stands still: it looks when the old file is back in place."""
	with Beside(daemon, [(one.path, OTHER, *words) for one in made], **how) as beside:
		if stopped:
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


@everywhere("flags", {"64": [[]], "32": [["-m32"]]}, "ext4-64", "ext4-32", "tmpfs-64", "root-overlay-64")
def test_let_go(forged, programs, somewhere, rounds, flags):
	let_go(forged, victims(static(programs, "forge_let_go", *flags), somewhere, rounds), reason_on(somewhere))


@on_kind("ext4")
@on("words", [["thread"], ["stay"]], ids=lambda w: w[0])
def test_let_go_otherwise(forged, programs, somewhere, rounds, words):
	let_go(forged, victims(static(programs, "forge_let_go"), somewhere, rounds), reason_on(somewhere), *words)


@on_kind("ext4")
def test_let_go_beside_a_running_daemon(forged, programs, somewhere, rounds):
	let_go(forged, victims(static(programs, "forge_let_go"), somewhere, rounds), reason_on(somewhere), stopped=False)


@on_kind("ext4", "tmpfs")
def test_let_go_by_another_name(forged, programs, somewhere):
	one, = victims(static(programs, "forge_let_go"), somewhere, 1)
	os.link(one.path, somewhere / "other-name")
	let_go(forged, [one], reason_on(somewhere), "as", somewhere / "other-name")


# A set-group-id program is of its file's group, and what that may not the others' bits don't give it.
OWNERS = {
	"for all to write": ({"uid": 0, "mode": 0o757}, NOBODY, "writable"),
	"of a group": ({"uid": 0, "gid": STRANGER_GROUP, "mode": 0o775}, STRANGER_GROUP, "writable"),
	"set-group-id and of that group": ({"uid": 0, "gid": STRANGER_GROUP, "mode": 0o2775}, NOBODY, "writable"),
	"set-group-id and for all": ({"uid": 0, "mode": 0o2777}, NOBODY, "writable"),
	"of a second user, for all": ({"uid": COLLUDER, "mode": 0o757}, NOBODY, "owner"),
}


@on("owner", OWNERS)
def test_let_go_of_a_file_that_others_own(forged, programs, place, rounds, owner):
	how, group, why = OWNERS[owner]
	let_go(forged, victims(static(programs, "forge_let_go"), place, rounds, **how), why, user=(NOBODY, group),
	       options=["--isolation", "none"])


# ---- stores into what runs ----

def stored(daemon, made, commands, stopped, why):
	"""Victims run; then they are stored to; they see it. stopped: before the daemon had a look."""
	with Beside(daemon, commands) as beside:
		if stopped:
			daemon.suspend()
		try:
			beside.word()
			beside.hear("running")
			if not stopped:	# every digest is of the time before
				beside.wait_execs(made)
			beside.word(len(made))
			beside.hear("changed")
		finally:
			daemon.resume()
		execs = beside.wait_execs(made)
		beside.records()
	assert_unproven([execs[path] for path in made], why)


looked = on("stopped", [False, True], ids=["after", "before"])	# the store comes after the daemon looked, or before


@everywhere("how, stopped", {"fuse-after": ("fuse", False), "fuse-before": ("fuse", True), "odirect-after": ("odirect", False),
			     "odirect-before": ("odirect", True)},
	    "ext4-fuse-after", "ext4-fuse-before", "ext4-odirect-before", "tmpfs-fuse-before", "root-overlay-fuse-after")
def test_pinned(forged, programs, somewhere, rounds, how, stopped):
	made = victims(static(programs, "forge_victim"), somewhere, rounds)
	commands = [(static(programs, "forge_pinned"), how, one.path) for one in made]
	stored(forged, [one.path for one in made], commands, stopped, reason_on(somewhere))
	assert all(one.forged() for one in made)


@on_kind("ext4")
def test_pinned_in_32_bits(forged, programs, somewhere, rounds):
	made = victims(static(programs, "forge_victim", "-m32"), somewhere, rounds)
	commands = [(static(programs, "forge_pinned", "-m32"), "fuse", one.path) for one in made]
	stored(forged, [one.path for one in made], commands, True, reason_on(somewhere))
	assert all(one.forged() for one in made)


@on_kind("tmpfs")
@looked
def test_registered(forged, programs, somewhere, rounds, stopped):
	made = victims(static(programs, "forge_victim"), somewhere, rounds)
	commands = [(static(programs, "forge_registered"), one.path) for one in made]
	stored(forged, [one.path for one in made], commands, stopped, reason_on(somewhere))
	assert all(one.forged() for one in made)


@on("uid, mode, why", [(COLLUDER, 0o755, "owner"), (0, 0o757, "writable"), (NOBODY, 0o755, "owner")],
    ids=["his own", "for all", "ours"])
def test_pinned_by_a_second_user(forged, programs, place, uid, mode, why):
	"""Who is no agent, and owns nothing that the session knows of, has the pages."""
	one, = victims(static(programs, "forge_victim"), place, 1, uid=uid, mode=mode)
	with (pinned_outside(static(programs, "forge_pinned"), one.path, NOBODY if uid == NOBODY else COLLUDER) as land,
	      Beside(forged, [(one.path, "image")]) as beside):
		beside.word()
		beside.hear("running")
		record = beside.run.wait_exec(one.path)
		land()
		beside.word()
		beside.hear("changed")
		beside.records()
	assert one.forged()
	assert_unproven([record], why)


# ---- layers and memory of one's own ----

@pytest.fixture
def layers(request, place):
	"""(what an overlay of nobody's is made of, why a file in it is not proven). Nobody's overlay on tmpfs is not read."""
	with contextlib.ExitStack() as stack:
		if request.param == "tmpfs":
			stack.enter_context(mounted(place, "-t", "tmpfs", "tmpfs"))
		yield place, {"filesystem": None}.get(reason_on(place), "overlay")


@on("layers", ["ext4", "tmpfs"], indirect=True)
@on("how, stopped", [("upper-write", False), ("upper-map", True), pytest.param("upper-write", True, marks=pytest.mark.long),
		     pytest.param("upper-map", False, marks=pytest.mark.long)],
    ids=["write-after", "map-before", "write-before", "map-after"])
def test_upper(forged, programs, layers, rounds, how, stopped):
	(directory, why), made, commands = layers, [], []
	for number in range(rounds):
		top = owned(directory / str(number))
		for name in ("lower", "upper", "work", "merged"):
			owned(top / name)
		one = victim(static(programs, "forge_victim"), top / "upper" / "victim")
		made.append(f"{top}/merged/victim")
		commands.append((static(programs, "forge_store"), how, one.path, top))
	stored(forged, made, commands, stopped, why)


@on("how", ["write", "map", "registered"])
@looked
def test_memfd(forged, programs, place, rounds, how, stopped):
	made = victims(static(programs, "forge_victim"), place, rounds)
	if how == "registered":
		commands = [(static(programs, "forge_registered"), f"memfd:{one.path}") for one in made]
	else:
		commands = [(static(programs, "forge_store"), f"memfd-{how}", one.path, place) for one in made]
	stored(forged, [one.path for one in made], commands, stopped, "filesystem")


# ---- what is not forged is not proven either ----

@on_kind(*KINDS)
def test_nobodys_program(forged, programs, somewhere):
	"""It says in one word that nothing is proven, and what the bytes seemed to be."""
	one, = victims(static(programs, "forge_victim"), somewhere, 1)
	with Beside(forged, [(one.path, "image")]) as beside:
		beside.word()
		beside.hear("running")
		record = beside.run.wait_exec(one.path)
		beside.word()
		beside.hear("same")
		beside.records()
	assert_unproven([record], reason_on(one.path))
	assert stated(record) == one.before
