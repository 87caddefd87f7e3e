# SPDX-License-Identifier: Apache-2.0
"""What the digest of an executable is worth: questions that the tests of proofs share."""

import shutil

from . import wait
from .records import hash_state, sha256, stated_digest, unproven

NOBODY = (65534, 65534)


def worth(record):
	"""'observed', 'power', 'owner', ...: why it is not proven, else its state."""
	digest = record.process.executable.digest
	return unproven(digest) or hash_state(digest)


def worths(records):
	"""Of each exec, in their order."""
	return [worth(r) for r in records.in_time().execs]


def assert_proven(record, path):
	"""Observed, and of these bytes."""
	assert worth(record) == "observed", record.process.executable
	assert record.process.executable.digest.sha256 == sha256(path)


def assert_unproven(record, why, path=None):
	assert worth(record) == why, record.process.executable
	assert not record.process.executable.digest.sha256
	if path:
		assert stated_digest(record.process.executable.digest) == sha256(path)


def install(source, target, mode=0o755, owner=(0, 0)):
	"""As install(1): made new, given away, then its mode."""
	shutil.copyfile(source, target)
	shutil.chown(target, *owner)
	target.chmod(mode)
	return wait.settled(target)
