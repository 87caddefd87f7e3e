# SPDX-License-Identifier: Apache-2.0
"""Programs that would have a digest of other bytes than those that ran called proven: who they are, and how they are run.

Each victim has a page of its own (programs/forge.h): one byte of it tells whether it was forged, a number makes its digests
its own.
"""

import dataclasses
import hashlib
import os
import pathlib
import subprocess

import pytest

from . import programs as builds
from . import wait
from .records import hash_state, step_kind

NOBODY, COLLUDER, STRANGER_GROUP = 65534, 65533, 65531
PROVEN = ("kernel", "verity", "held", "observed")
UNPROVEN = "unproven"
MARK = b"affiant-forge-mark: these bytes A"
PAGE = 4096
CONFIG = f"hash: {{wait: 10s}}\nagents:\n  - name: tester\nlaunchers:\n  users: [\"{NOBODY}\"]\n"
_numbers = iter(range(1, 1 << 30))


def as_user(uid=NOBODY, gid=None, groups=(), options=()):
	"""A command that runs another one as this user: for `affiant run`, so that the session never was root's."""
	listed = [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
	return ["setpriv", f"--reuid={uid}", f"--regid={uid if gid is None else gid}", *listed, *options, "--"]


@dataclasses.dataclass
class Victim:
	path: str
	before: bytes	# SHA-256 of what is there at first
	after: bytes	# and of what is there after the forgery

	def forged(self):
		return sha256_of(pathlib.Path(self.path).read_bytes()) == self.after


def sha256_of(data):
	return hashlib.sha256(data).digest()


def victim(program, path, uid=NOBODY, gid=None, mode=0o755):
	"""A copy of a program with a page of its own."""
	data = bytearray(pathlib.Path(program).read_bytes())
	at = next(at for at in range(0, len(data), PAGE) if data[at:at + len(MARK)] == MARK)
	data[at + 64:at + 80] = b"%016d" % next(_numbers)
	before = sha256_of(data)
	pathlib.Path(path).write_bytes(data)
	os.chown(path, uid, uid if gid is None else gid)
	os.chmod(path, mode)
	data[at + len(MARK) - 1] = ord("B")
	return Victim(str(path), before, sha256_of(data))


def victims(program, place, count, **how):
	made = [victim(program, pathlib.Path(place) / f"victim{number}", **how) for number in range(count)]
	wait.settled(made[-1].path)
	return made


# Every command (words with a comma between) runs beside the others, once a line has come; all have the session's input.
BESIDE = 'read go; exec 3<&0; for c; do (IFS=,; set -f; exec $c <&3) & done; wait'


class Beside:
	"""Commands beside each other in one session of nobody's."""

	def __init__(self, daemon, commands, before=None, options=()):
		self.daemon, self.count = daemon, len(commands)
		words = [",".join(map(str, command)) for command in commands]
		self.run = daemon.launch("/bin/sh", "-c", BESIDE, "sh", *words, stdin=subprocess.PIPE, before=before or as_user(),
					 options=options)
		self.run.wait_exec("/bin/sh")

	def word(self, count=1):
		self.run.process.stdin.write("\n" * count)
		self.run.process.stdin.flush()

	def hear(self, expected):
		"""All of them say this. Whoever can't says why, and skips the test."""
		for _ in range(self.count):
			line = self.run.line()
			if line != expected:
				self.run.wait()
				assert not self.run.stderr, self.run.stderr
				pytest.skip(line or f"nobody says '{expected}'")

	def execs(self, found):
		return {record.process.argv[0].decode(): record for record in found.execs if record.process.argv}

	def records(self):
		self.run.wait()
		return self.run.records()


def assert_not_proven(record):
	"""The bytes were somebody's to change: no digest of them is called proven, whatever its value."""
	digest = record.process.executable.digest
	assert hash_state(digest) not in PROVEN, f"{hash_state(digest)} {digest.sha256.hex()}"
	assert not digest.sha256 and not digest.verity
	for step in record.process.chain:
		if step_kind(step) in ("script", "script_argument"):
			assert hash_state(step.digest) not in PROVEN


def unproven(record):
	"""The SHA-256 that is offered without proof. (The field is new: an old record has none.)"""
	digest = record.process.executable.digest
	assert hash_state(digest) == UNPROVEN, f"{hash_state(digest)} {digest.sha256.hex()}"
	assert not digest.sha256
	return digest.unproven_sha256


def assert_observed(record, path):
	digest = record.process.executable.digest
	assert hash_state(digest) == "observed", hash_state(digest)
	assert digest.sha256 == sha256_of(pathlib.Path(path).read_bytes())


def static(programs, name, *flags):
	"""A static program; -m32 skips the test where the compiler has no such libraries."""
	try:
		return programs.static(name, "-DFORGE_STATIC", *flags)
	except AssertionError as error:
		if "-m32" in flags and "cannot find" in str(error):
			pytest.skip("no 32-bit libraries (gcc-multilib)")
		raise


def skip_of(done):
	if done.returncode == builds.SKIP:
		pytest.skip(done.stdout.strip())
