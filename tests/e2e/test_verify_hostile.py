# SPDX-License-Identifier: Apache-2.0
"""affiant verify: what a stranger's body costs it, and what a neighbour on its machine can do to what it remembers."""

import base64
import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import daemon as daemons
from harness.evidence import AUDIENCE, NONCE, b64, unb64
from test_verify import Verifier, agent, taken, verifier  # noqa: F401: fixtures

BODY = 64 << 20
TYPE = '"__cmwc_t":"tag:affiant.dev,2026:evidence#1"'


def fill(begin, part, end=""):
	return begin + part * ((BODY - len(begin)) // len(part)) + end


def with_list(taken, size):
	"""Genuine, but for an IMA list of that many bytes."""
	cmw = json.loads(taken.text)
	cmw["host"]["ima_log"] = ["application/vnd.affiant.ima-log", "A" * (size // 4 * 4), 4]
	cmw["host"]["ima_range"] = ["application/vnd.affiant.ima-range+json", b64(b'{"from":0,"entries":0}'), 4]
	return json.dumps(cmw)


BODIES = {
	"brackets": lambda taken: fill("", "["),
	"lists": lambda taken: fill("{" + TYPE + ',"x":[[]', ",[]", "]}"),
	"numbers": lambda taken: fill("{" + TYPE + ',"x":[0', ",0", "]}"),
	"members": lambda taken: "{" + TYPE + "".join(f',"{n}":0' for n in range(BODY // 12)) + "}",
	"token": lambda taken: fill("{" + TYPE + ',"eat":["application/eat+jwt","', "eyJh", '",4]}'),
	"spaces": lambda taken: fill("{" + TYPE, " ", "}"),
}


# The kernel counts from what the process that forked had: this one has the bodies.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
"""


def most(verifier, text, nonce=NONCE):
	"""(exit code, bytes of memory at most) of one verification."""
	command = [sys.executable, "-c", MEASURE, daemons.AFFIANT, "verify", "--policy", verifier.policy(), "--nonce", nonce,
		   "--audience", AUDIENCE]
	done = subprocess.run(list(map(str, command)), input=text, stdout=subprocess.PIPE, text=True, check=True,
			      env=daemons.environment())
	return tuple(map(int, done.stdout.split()))


@pytest.mark.parametrize("body", BODIES)
def test_a_long_body_costs_its_own_length(verifier, taken, body):
	"""It is read into a buffer that doubles. Trees were built of it, of 40 times its length, and more than once."""
	code, memory = most(verifier, BODIES[body](taken))
	assert code == 2 and memory < 2 * BODY + (32 << 20)


def test_a_long_list_is_not_decoded_for_a_stranger(verifier, taken):
	text = with_list(taken, BODY)
	code, memory = most(verifier, text, nonce="another-nonce-than-that")
	assert code == 1 and memory < 2 * BODY + (32 << 20)


# ---- what is remembered ----

@pytest.fixture
def kept(verifier, taken, place):
	assert verifier(taken.text, "--state", place) == (0, "")
	return place / (taken.claims["ueid"] + ".json")


def changed(kept, **members):
	kept.write_text(json.dumps(json.loads(kept.read_text()) | members))


def replace(kept, make):
	kept.unlink()
	make(kept)


STATES = {
	"empty": lambda kept: kept.write_text(""),
	"no members": lambda kept: kept.write_text("{}"),
	"cut": lambda kept: kept.write_text(kept.read_text()[:-20]),
	"too long": lambda kept: kept.write_text(kept.read_text() + " " * 70000),
	"of another version": lambda kept: changed(kept, type="tag:affiant.dev,2027:host-state#2"),
	"a FIFO": lambda kept: replace(kept, os.mkfifo),
	"a link": lambda kept: replace(kept, lambda path: path.symlink_to("/dev/zero")),
	"a device": lambda kept: replace(kept, lambda path: os.mknod(path, 0o20600, os.makedev(1, 5))),
	"others can write it": lambda kept: kept.chmod(0o666),
	"somebody else's": lambda kept: os.chown(kept, 65534, 65534),
}


@pytest.mark.parametrize("state", STATES)
def test_what_is_no_state_counts_as_nothing(verifier, agent, taken, place, kept, state):
	"""Nothing waits for it, it is told, and the host can show itself anew."""
	STATES[state](kept)
	alone = agent.evidence()
	done = verifier.run(alone.text, "--state", place, "-o", "json")
	assert done.returncode == 2 and json.loads(done.stdout)["code"] == "host_evidence_needed"
	assert str(kept) in done.stderr and "host evidence" in done.stderr
	assert verifier(taken.text, "--state", place) == (0, "")
	assert verifier(alone.text, "--state", place) == (0, "")
	assert verifier.run(alone.text, "--state", place).stderr == ""


def test_a_directory_as_state(verifier, agent, taken, place, kept):
	replace(kept, lambda path: path.mkdir())
	assert verifier(agent.evidence().text, "--state", place) == (2, "host_evidence_needed")
	done = verifier.run(taken.text, "--state", place)
	assert done.returncode == 2 and str(kept) in done.stderr, "it can't be remembered"


def test_enrolled_anew(verifier, agent, taken, place, kept):
	"""
	Another AK is kept of the host than the one that signs: what was refused as a forgery is for host evidence to tell. What
	is kept stays until that was judged.
	"""
	point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
	ak = unb64(json.loads(kept.read_text())["ak"])
	other = ak[:-68] + b"\0\x20" + point.x.to_bytes(32, "big") + b"\0\x20" + point.y.to_bytes(32, "big")
	assert len(other) == len(ak)
	changed(kept, ak=b64(other))
	before = kept.read_text()
	alone = agent.evidence()
	assert verifier(alone.text, "--state", place) == (2, "host_evidence_needed")
	cmw = json.loads(taken.text)
	signature = unb64(cmw["signature"][1])
	cmw["signature"][1] = b64(signature[:-1] + bytes([signature[-1] ^ 1]))
	assert verifier(json.dumps(cmw), "--state", place) == (1, "quote_signature")
	assert kept.read_text() == before, "a stranger's evidence changes nothing"
	assert verifier(taken.text, "--state", place) == (0, "")
	assert verifier(alone.text, "--state", place) == (0, "")


def test_readers_hold_no_lock(verifier, taken, place, kept):
	"""Whoever may read the directory can lock it, and what lies in it: nobody waits for that."""
	place.chmod(0o755)
	held = [os.open(place, os.O_RDONLY), os.open(kept, os.O_RDONLY)]
	try:
		for fd in held:
			fcntl.flock(fd, fcntl.LOCK_EX)
		assert verifier(taken.text, "--state", place) == (0, "")
	finally:
		for fd in held:
			os.close(fd)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.touch(0o666)])
def test_what_is_no_lock(verifier, taken, place, kept, make):
	lock = kept.with_suffix(".lock")
	replace(lock, make)
	if lock.is_file():
		lock.chmod(0o666)
	done = verifier.run(taken.text, "--state", place)
	assert done.returncode == 2 and str(lock) in done.stderr


def test_a_lock_that_is_never_let_go(verifier, taken, place, kept):
	lock = kept.with_suffix(".lock")
	with open(lock, "rb") as held:
		fcntl.flock(held, fcntl.LOCK_EX)
		done = verifier.run(taken.text, "--state", place)
		assert done.returncode == 2 and f"{lock}: another affiant verify has had it for 5 s" in done.stderr
		assert verifier(taken.text, "--state", place, nonce="another-nonce-than-that") == (1, "nonce"), \
			"a token that is refused waits for no lock"


def test_no_lock_for_strangers(verifier, taken, place):
	"""Evidence of others leaves nothing in the directory."""
	state = ("--state", place)
	assert verifier(taken.text, *state, nonce="another-nonce-than-that") == (1, "nonce")
	assert verifier(taken.text, *state, ueid=b64(b"\1" + bytes(32))) == (1, "host_unknown")
	assert verifier("{}", *state) == (2, "malformed_evidence")
	assert not list(place.iterdir())


def test_many_at_once(verifier, agent, taken, place):
	"""On one directory: each is judged, and what is left is whole."""
	texts = [taken.text if n % 2 else agent.evidence().text for n in range(8)]
	answers = []
	threads = [threading.Thread(target=lambda text=text: answers.append(verifier(text, "--state", place))) for text in texts]
	policy = verifier.policy()
	verifier.policy = lambda **_: policy	# written once
	for thread in threads:
		thread.start()
	for thread in threads:
		thread.join()
	assert len(answers) == 8 and set(answers) <= {(0, ""), (2, "host_evidence_needed")}
	assert verifier(agent.evidence().text, "--state", place) == (0, "")
	assert base64.urlsafe_b64decode(json.loads((place / (taken.claims["ueid"] + ".json")).read_text())["ueid"] + "==")
