# SPDX-License-Identifier: Apache-2.0
"""Root's own programs, executed by nobody: their digests are proven, wherever the host itself would trust them."""

import os
import shutil
import subprocess
import time

import pytest

from harness import wait
from harness.forging import CONFIG, NOBODY, Beside, assert_observed, assert_unproven, static
from harness.images import MAKE, image_of, mounted

on = pytest.mark.parametrize


@pytest.fixture(scope="module")
def daemon(new_daemon_of_module):
	return new_daemon_of_module(CONFIG)


def program_in(programs, directory, name="victim"):
	"""A program of root's."""
	path = directory / name
	shutil.copy(static(programs, "forge_victim"), path)
	path.chmod(0o755)
	return path


def installed(path):
	"""Written out (xfs counts that as a change), and some time ago (squashfs and a small ext4 keep whole seconds)."""
	subprocess.run(["sync", "-f", path], check=True)
	changed = os.stat(path).st_ctime
	wait.until(f"the clock has moved on from the change of {path}", lambda: time.time() > changed + 1.1)


def executed(daemon, path, *within, real=None):
	"""The record of its exec by nobody. real: where it is seen outside, if nobody mounts something of his own."""
	installed(real or path)
	with Beside(daemon, [(*within, path, "image")]) as beside:
		beside.word()
		beside.hear("running")
		record = beside.run.wait_exec(path)
		beside.word()
		beside.hear("same")
		beside.records()
	return record


@on("kind", MAKE)
def test_file_system(daemon, programs, place, kind):
	"""Mounted as the host's own: what it takes setuid programs from, it trusts."""
	(tree := place / "tree").mkdir()
	program_in(programs, tree)
	with image_of(kind, place, tree=tree) as (_, point):
		path = point / "victim"
		if not path.exists():
			program_in(programs, point)
		assert_observed(executed(daemon, path), path)


def layers(programs, place, uid):
	for name in ("lower", "upper", "work", "merged"):
		(place / name).mkdir()
		os.chown(place / name, 0 if name == "lower" else uid, 0 if name == "lower" else uid)
	program_in(programs, place / "lower")
	return f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"


def test_lower_file(daemon, programs, place):
	options = layers(programs, place, 0)
	with mounted(place / "merged", "-t", "overlay", "overlay", "-o", options) as merged:
		assert_observed(executed(daemon, merged / "victim"), merged / "victim")
		os.chmod(merged / "victim", 0o711)	# copied up
		assert_unproven([executed(daemon, merged / "victim")], "overlay")


def test_lower_file_of_ones_own_overlay(daemon, programs, place):
	"""Nobody's overlay shows root's file: it is that file."""
	options = layers(programs, place, NOBODY)
	mount = place / "mount"
	mount.write_text(f"#!/bin/sh\nmount -t overlay overlay -o {options},userxattr {place}/merged || exit 77\nexec \"$@\"\n")
	mount.chmod(0o755)
	real = place / "lower" / "victim"
	record = executed(daemon, place / "merged" / "victim", "/usr/bin/unshare", "-Ur", "--mount", mount, real=real)
	assert_observed(record, real)


# ---- setuid programs ----

@pytest.fixture
def helper(programs, place):
	"""As sudo: root's, set-user-id."""
	path = place / "helper"
	shutil.copy(static(programs, "setuid_helper"), path)
	path.chmod(0o4755)
	return path


def after(daemon, helper, path, *command):
	"""The record of the exec of a program of root's that comes after the helper, in the same session."""
	installed(helper)
	installed(path)
	script = f"{helper} {' '.join(map(str, command))} || exit; exec {path} image"
	run = daemon.launch("/bin/sh", "-c", script, stdin=subprocess.PIPE, user=(NOBODY, NOBODY), options=["--isolation", "none"])
	record = run.wait_exec(path)
	run.wait()
	if run.returncode == 77:
		pytest.skip(run.stdout)
	return record


def test_after_a_setuid_program(daemon, programs, place, helper):
	"""Itself proven, and executes nothing with what it gained: nothing is lost."""
	path = program_in(programs, place)
	assert_observed(after(daemon, helper, path), path)


def test_after_a_command_as_root(daemon, programs, place, helper):
	path = program_in(programs, place)
	assert_unproven([after(daemon, helper, path, "/bin/true")], "power")
