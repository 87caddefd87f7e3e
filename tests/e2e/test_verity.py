# SPDX-License-Identifier: Apache-2.0
"""fs-verity: where a file has a digest of the kernel's own, that is what its record says."""

import errno
import fcntl
import hashlib
import os
import shutil
import struct
import subprocess

import pytest

from harness import wait
from harness.records import hash_state, sha256

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


def digest_of(daemon, program):
	"""What its record says; it runs until then."""
	wait.settled(program)
	run = daemon.launch(program, stdin=subprocess.PIPE, user=(65534, 65534))
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
