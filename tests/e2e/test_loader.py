# SPDX-License-Identifier: Apache-2.0
"""Which loader a program began in, and which script was executed: the kernel's word, whatever was tried before, and whatever was
opened without that it was told of."""

import hashlib
import os
import pathlib
import platform

import pytest

from harness.records import pb
from test_verify import Verifier

NOBODY = (65533, 65533)
ROUNDS = 5
LOADER = "/lib64/ld-linux-x86-64.so.2"
SCRIPT = "/usr/bin/zgrep"	# any of root's: a policy lists it

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the loader's path is that of x86-64")


def sha256(path):
	return hashlib.sha256(pathlib.Path(path).read_bytes()).digest()


@pytest.fixture(scope="module")
def verifier(attested, enrolled):
	"""Lists the loader that is root's, and takes what is proven alone."""

	class Listing(Verifier):
		def policy(self, **changed):
			path = super().policy(states="[observed]", **changed)
			path.write_text(path.read_text().replace("loaders: [any]", f"loaders: [{sha256(LOADER).hex()}]"))
			return path

	agent = attested.agent(user=NOBODY)
	taken = agent.evidence(host=True)
	agent.end()
	return Listing(attested, enrolled.place, enrolled, taken)


def loaders(taken):
	return [(state, digest) for role, state, _, digest in taken.files(taken.workload["process"]) if role == "loader"]


def test_true(attested, verifier):
	agent = attested.agent(user=NOBODY)
	taken = agent.evidence(host=True).check()
	assert [digest for _, digest in loaders(taken)] == [sha256(LOADER)]
	if loaders(taken)[0][0] != "observed":
		pytest.skip("the loader is on a filesystem that proves nothing")
	assert verifier(taken.text) == (0, "")
	agent.end()


@pytest.mark.parametrize("how", ["untold", "tried"])
def test_another(attested, verifier, programs, how):
	"""In evidence: never the one that did not run, and never none."""
	for _ in range(ROUNDS):
		agent = attested.agent(within=(programs.static("forge_chain"), how, os.path.realpath(LOADER)), user=NOBODY)
		taken = agent.evidence(host=True).check()
		(state, digest), = loaders(taken)
		assert state in ("too_late", "unproven") and digest != sha256(LOADER)
		assert verifier(taken.text) == (1, "hash_state")
		agent.end()


def test_another_script(attested, programs):
	"""It was offered to no interpreter: what was is another one, or none is named."""
	for _ in range(ROUNDS):
		run = attested.daemon.run(programs.static("forge_chain"), "script", SCRIPT, "#!/bin/sh\nexit 0\n", user=NOBODY)
		record = run.records().execs.where(lambda r: list(r.process.argv[1:]) == [b"/mnt/script"]).only()
		scripts = [step for step in record.process.chain if step.kind in (pb.STEP_SCRIPT, pb.STEP_SCRIPT_ARGUMENT)]
		assert all(step.path == b"/mnt/script" and step.digest.sha256 != sha256(SCRIPT) for step in scripts)
