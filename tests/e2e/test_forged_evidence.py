# SPDX-License-Identifier: Apache-2.0
"""Evidence for a process that let go of its own file and wrote a trusted program's bytes into it: never affirmed as what is proven."""

import re
import subprocess

import pytest

from harness.evidence import LIBRARY, Taken, library_environment
from harness.forging import NOBODY, victims
from test_verify import Verifier

OTHER = "/usr/bin/true"


@pytest.fixture
def rounds(request):
	return 20 if request.config.getoption("--long") else 5


def forge_and_ask(attested, one, *words):
	"""What it got: the daemon stands still until the forged file is back in place. It ends when it has asked."""
	run = attested.daemon.launch("/bin/sh", "-c", 'read go; exec "$@"', "sh", one.path, OTHER, *words, "ask", LIBRARY,
				     attested.daemon.socket, user=(NOBODY, NOBODY), stdin=subprocess.PIPE, env=library_environment())
	run.wait_exec("/bin/sh")
	attested.daemon.suspend()
	try:
		run.process.stdin.write("\n")
		run.process.stdin.flush()
		if (line := run.line()) != "forged":
			run.wait()
			pytest.skip(line)
	finally:
		attested.daemon.resume()
	answer = run.line()
	run.wait()
	assert one.forged()
	return answer


class Usual(Verifier):
	"""Its policy says nothing of states, unless it is told to, and takes the forged file's digest for a trusted program's."""

	def policy(self, **changed):
		path = super().policy(**changed)
		if "states" not in changed:
			text, count = re.subn(r"(?m)^ *hash_states:.*\n", "", path.read_text())
			assert count == 1
			path.write_text(text)
		return path


def test_forged(attested, enrolled, programs, place, rounds):
	"""Given as unproven: nobody takes it for proven, and a policy that lists unproven gets what it asked for."""
	affirmed = 0
	for one in victims(programs["forge_let_go"], place, rounds):
		taken = Taken(forge_and_ask(attested, one)).check()
		role, state, path, digest = taken.files(taken.workload["process"])[0]
		assert (role, state, path, digest) == ("executable", "unproven", one.path, one.after)
		verifier = Usual(attested, enrolled.place, enrolled, taken)
		trusted = one.after.hex()
		for how in ({}, {"states": "[kernel, verity, observed]"}, {"states": "[observed, claimed]"}):
			affirmed += verifier(taken.text, executable=trusted, **how) != (1, "hash_state")
		assert verifier(taken.text, executable=trusted, states="[observed, unproven]") == (0, "")
		assert verifier(taken.text, executable=one.before.hex(), states="[observed, unproven]") == (1, "executable_digest")
	assert affirmed == 0, f"{affirmed} of {3 * rounds}"


def test_executable_stays_another(attested, programs, place, rounds):
	"""Its /proc/PID/exe leads to a program of root's: nothing is quoted."""
	for one in victims(programs["forge_let_go"], place, rounds):
		assert forge_and_ask(attested, one, "stay") == "executable_changed"
