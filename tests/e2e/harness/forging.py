# SPDX-License-Identifier: Apache-2.0
"""Programs that would have a digest of other bytes than those that ran called proven: who they are, and how they are run.

Each victim has a page of its own (programs/forge.h): one byte of it tells whether it was forged, a number makes its digests
its own.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess
import threading

import pytest

from . import programs as builds
from . import wait
from .records import hash_state, stated_digest, step_kind, unproven

NOBODY, COLLUDER, STRANGER_GROUP = 65534, 65533, 65531
PROVEN = ("kernel", "verity", "held", "observed")
MARK = b"affiant-forge-mark: these bytes A"
PAGE = 4096
CONFIG = "hash: {wait: 10s}\nagents:\n  - name: tester\n"
_numbers = iter(range(1, 1 << 30))


def as_user(uid):
	"""A command that runs another one as this user, outside of any session."""
	return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


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
BESIDE = """
read go
exec 3<&0
for c; do (IFS=,; set -f; exec $c <&3) & pids="$pids $!"; done
code=0
for pid in $pids; do wait $pid || code=$?; done
exit $code
"""


class Beside:
	"""Commands beside each other in one session of nobody's. Whatever happens, they end with the block."""

	def __init__(self, daemon, commands, user=(NOBODY, NOBODY), options=()):
		self.daemon, self.count = daemon, len(commands)
		words = [",".join(map(str, command)) for command in commands]
		self.run = daemon.launch("/bin/sh", "-c", BESIDE, "sh", *words, stdin=subprocess.PIPE, user=user, options=options,
					 start_new_session=True)
		self.watchdog = threading.Timer(2 * wait.DEADLINE, self.kill)
		self.watchdog.start()

	def __enter__(self):
		self.run.wait_exec("/bin/sh")
		return self

	def __exit__(self, *error):
		self.watchdog.cancel()
		if self.run.process.poll() is None:
			self.kill()
			self.run.process.communicate()

	def kill(self):
		with contextlib.suppress(ProcessLookupError):
			os.killpg(self.run.pid, signal.SIGKILL)

	def word(self, count=1):
		self.run.process.stdin.write("\n" * count)
		self.run.process.stdin.flush()

	def hear(self, expected):
		"""All of them say this. One that can't says why, and skips the test."""
		for _ in range(self.count):
			line = self.run.line()
			if line != expected:
				self.run.wait()
				assert self.run.returncode == builds.SKIP, f"'{line}', not '{expected}': {self.run.returncode} {self.run.stderr}"
				pytest.skip(line)

	def wait_execs(self, paths):
		"""The records of these, by path, while the programs still run: whoever wants to look at them can."""
		def execs(found):
			return {record.process.argv[0].decode(): record for record in found.execs if record.process.argv}

		return execs(self.run.wait_records("the execs", lambda found: set(paths) <= set(execs(found))))

	def records(self):
		self.run.wait()
		assert self.run.returncode == 0, self.run.stderr
		return self.run.records()


@contextlib.contextmanager
def pinned_outside(program, path, uid=NOBODY):
	"""programs/forge_pinned of this user's, outside of the session, has a page of the file. The value stores into it."""
	command = [*as_user(uid), program, "fuse", path, "outside"]
	with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
		said = process.stdout.readline().strip()
		if said != "pinned":
			assert process.wait() == builds.SKIP, said
			pytest.skip(said)

		def land():
			process.stdin.write("\n")
			process.stdin.flush()
			assert process.stdout.readline() == "landed\n"

		yield land


def digest_of(record):
	return record.process.executable.digest


def assert_unproven(records, why):
	"""The bytes were somebody's to change: no digest of them is called proven, whatever its value, and a word says why.

	None: there is no digest at all, since the daemon does not read from there.
	"""
	digests = list(map(digest_of, records))
	proven = [digest for digest in digests if hash_state(digest) in PROVEN or digest.sha256 or digest.verity]
	assert not proven, f"{len(proven)} of {len(digests)} are called proven: {proven}"
	said = [(hash_state(digest), unproven(digest)) for digest in digests]
	assert set(said) == {("unproven", why) if why else ("unreadable", None)}, said


FILESYSTEMS = {"tmpfs": "filesystem", "overlayfs": "overlay"}


def reason_on(path):
	"""Why a file of nobody's is not proven, wherever the tests' directory lies."""
	done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
	return FILESYSTEMS.get(done.stdout.strip(), "owner")


def stated(record):
	return stated_digest(digest_of(record))


def assert_observed(record, path):
	digest = digest_of(record)
	assert hash_state(digest) == "observed", f"{hash_state(digest)} {unproven(digest)}"
	assert digest.sha256 == sha256_of(pathlib.Path(path).read_bytes())


def scripts_of(record):
	"""The digests of the scripts on the chain, which are offered to the interpreter, no more."""
	digests = [step.digest for step in record.process.chain if step_kind(step) == "script"]
	for digest in digests:
		assert hash_state(digest) not in PROVEN, f"{hash_state(digest)} {digest.sha256.hex()}"
	return digests


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
