# SPDX-License-Identifier: Apache-2.0
"""fs-verity: where a file has a digest of the kernel's own, that is what its record says."""

import errno
import fcntl
import hashlib
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from harness import wait
from harness.forging import COLLUDER, MARK, NOBODY, PAGE, Beside, assert_unproven, pinned_outside, victim, victims
from harness.records import hash_state, sha256, unproven
from test_verify import Verifier

FS_IOC_ENABLE_VERITY = 0x40806685
BLOCK = 4096


@pytest.fixture
def verity(place):
	"""The root of an ext4 filesystem whose files can have fs-verity."""
	image, mount = place / "image", place / "mount"
	mount.mkdir()
	image.touch()
	os.truncate(image, 16 << 20)
	subprocess.run(["mkfs.ext4", "-q", "-O", "verity", "-b", str(BLOCK), image], check=True, capture_output=True)
	done = subprocess.run(["mount", "-o", "loop", image, mount], capture_output=True, text=True, check=False)
	if done.returncode:
		pytest.skip(f"an ext4 filesystem with fs-verity can't be mounted here: {done.stderr.strip()}")
	yield mount
	wait.until("nobody reads from it", lambda: subprocess.run(["umount", mount], capture_output=True, check=False).returncode == 0)


def enable(path):
	"""SHA-256, blocks of 4096 bytes, no salt (struct fsverity_enable_arg)."""
	with open(path, "rb") as file:
		try:
			fcntl.ioctl(file, FS_IOC_ENABLE_VERITY, struct.pack("<IIIIQIIQ88x", 1, 1, BLOCK, 0, 0, 0, 0, 0))
		except OSError as error:
			if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY):
				pytest.skip("this kernel has no fs-verity (CONFIG_FS_VERITY)")
			raise


def measurement(path):
	"""The file's digest as Documentation/filesystems/fsverity.rst has it: of a descriptor with the root of a tree."""
	data = path.read_bytes()
	level = [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]
	while True:
		hashes = [hashlib.sha256(block.ljust(BLOCK, b"\0")).digest() for block in level]
		if len(hashes) == 1:
			break
		joined = b"".join(hashes)
		level = [joined[at:at + BLOCK] for at in range(0, len(joined), BLOCK)]
	descriptor = struct.pack("<BBBBIQ64s32s144x", 1, 1, 12, 0, 0, len(data), hashes[0], b"")
	return hashlib.sha256(descriptor).digest()


def digest_of(daemon, program, user=(NOBODY, NOBODY)):
	"""What its record says; it runs until then."""
	wait.settled(program)
	run = daemon.launch(program, stdin=subprocess.PIPE, user=user)
	digest = run.wait_exec(program).process.executable.digest
	run.wait()
	return digest


def test_verity(daemon, programs, verity):
	program = verity / "program"
	shutil.copy(programs["wait_input"], program)
	enable(program)
	digest = digest_of(daemon, program)
	assert hash_state(digest) == "verity"
	assert digest.verity_algorithm == "sha256"
	assert digest.verity == measurement(program)
	assert not digest.sha256


def test_beside_it(daemon, programs, verity):
	"""A file of the same filesystem that has none."""
	program = verity / "program"
	shutil.copy(programs["wait_input"], program)
	digest = digest_of(daemon, program)
	assert hash_state(digest) == "observed"
	assert digest.sha256 == sha256(program)


# ---- nobody's: an fs-verity digest is not one of what ran ----

def owned(path):
	shutil.chown(path, NOBODY, NOBODY)
	return path


def test_nobodys(daemon, programs, verity):
	"""Nothing is forged, but the owner could have: it is read, and what fs-verity says is not repeated."""
	program = owned(programs.copy("wait_input", verity / "program"))
	enable(program)
	digest = digest_of(daemon, program)
	assert (hash_state(digest), unproven(digest)) == ("unproven", "owner")
	assert digest.unproven_sha256 == sha256(program)
	assert not digest.sha256 and not digest.verity


def test_with_roots_power(daemon, programs, verity):
	"""The file is proof, but the session could have gone below it."""
	program = programs.copy("wait_input", verity / "program")
	enable(program)
	digest = digest_of(daemon, program, user=None)
	assert (hash_state(digest), unproven(digest)) == ("unproven", "power")
	assert not digest.sha256 and not digest.verity


# ---- over a page that a direct read still stores into, whose owner enables fs-verity himself ----

def enable_as(uid, path):
	os.seteuid(uid)
	try:
		enable(path)
	finally:
		os.seteuid(0)


@pytest.mark.parametrize("looked", [True, False], ids=["after", "before"])	# the store comes after the daemon looked, or before
@pytest.mark.parametrize("uid", [NOBODY, COLLUDER], ids=["own", "another's"])
def test_over_a_pinned_page(daemon, programs, verity, uid, looked):
	"""The kernel keeps the page: other bytes run than those that its digest is of."""
	records = []
	for one in victims(programs.static("forge_victim"), verity, 5, uid=uid):
		with (pinned_outside(programs.static("forge_pinned"), one.path, uid) as land,
		      Beside(daemon, [(one.path, "image")]) as beside):
			enable_as(uid, one.path)
			if not looked:
				daemon.suspend()
			try:
				beside.word()
				beside.hear("running")
				if looked:
					beside.wait_execs([one.path])
				land()
				beside.word()
				beside.hear("changed")
			finally:
				daemon.resume()
			records.append(beside.wait_execs([one.path])[one.path])
			beside.records()
		assert one.forged()
	assert_unproven(records, "owner")


def test_evidence_over_a_pinned_page(attested, enrolled, programs, verity, place):
	"""A policy that takes fs-verity's digests doesn't take this one, whichever bytes it is asked for."""
	interpreter = pathlib.Path("/usr/bin/python3").read_bytes()
	page = MARK.ljust(PAGE, b"\0")	# which an ELF file bears behind its end
	(place / "marked").write_bytes(interpreter + bytes(-len(interpreter) % PAGE) + page)
	one = victim(place / "marked", verity / "victim")
	with pinned_outside(programs.static("forge_pinned"), one.path) as land:
		enable_as(NOBODY, one.path)
		agent = attested.agent(program=one.path, user=(NOBODY, NOBODY))
		before = agent.evidence(host=True).check()
		land()
		assert one.forged()
		after = agent.evidence(host=True).check()
		agent.end()
	for taken in (before, after):
		role, state, path, digest = taken.files(taken.workload["process"])[0]
		assert (role, state, path) == ("executable", "unproven", one.path)
		assert digest in (one.before, one.after)
		verifier = Verifier(attested, enrolled.place, enrolled, taken)
		for executable in (one.before, one.after, measurement(pathlib.Path(one.path))):
			assert verifier(taken.text, executable=executable.hex(), states="[kernel, verity, observed]") == (1, "hash_state")
