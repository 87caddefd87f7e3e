# SPDX-License-Identifier: Apache-2.0
"""Who gets no evidence, with the code that says why; and what is no reason to refuse it."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import uuid

import pytest

from harness import daemon as daemons
from harness import wait
from harness.evidence import ASKER, AUDIENCE, LIBRARY, NONCE, Attested, library_environment


@pytest.fixture
def agent(attested):
	agent = attested.agent()
	yield agent
	agent.end()


# ---- who asks ----

def test_untagged(attested):
	with subprocess.Popen(["/usr/bin/python3", "-B", ASKER, LIBRARY, attested.daemon.socket], stdin=subprocess.PIPE,
			      stdout=subprocess.PIPE, text=True, env=daemons.environment() | library_environment()) as outsider:
		for do in ("evidence", "dpop", "wpt"):
			outsider.stdin.write(json.dumps({"do": do}) + "\n")
			outsider.stdin.flush()
			answer = json.loads(outsider.stdout.readline())
			assert (answer["err"], answer["code"]) == (-1, "untagged")
			assert "affiant run" in answer["text"]
		outsider.communicate()
	done = attested.daemon.affiant("evidence", "--nonce", NONCE, "--audience", AUDIENCE)
	assert (done.returncode, done.stdout) == (1, "")
	assert "untagged" in done.stderr
	assert attested.refused("untagged") == 4


def end_session(agent):
	record = agent.run.wait_exec("/usr/bin/python3")
	done = agent.attested.daemon.affiant("session", "end", str(uuid.UUID(bytes=record.session.id)))
	assert done.returncode == 0, done.stderr


def test_session_ended(attested, agent):
	agent.evidence()
	before = attested.refused("session_ended")
	end_session(agent)
	assert agent.refusal() == "session_ended"
	assert agent.refusal("dpop") == "session_ended"
	assert agent.refusal("child", command={"do": "evidence"}) == "session_ended"
	assert attested.refused("session_ended") == before + 3


def test_task_expired(attested):
	agent = attested.agent(options=["--expires", "3s"])
	agent.evidence()
	wait.until("the task has expired", lambda: agent.ask("evidence").get("code") == "task_expired", every=0.2)
	assert agent.refusal("wpt") == "task_expired"


# ---- traced ----

@contextlib.contextmanager
def traced(programs, tid):
	with subprocess.Popen([programs["trace"], str(tid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
		assert tracer.stdout.readline() == f"tracing {tid}\n"
		yield
		tracer.communicate()


@pytest.mark.parametrize("thread", ["leader", "another"])
def test_traced(agent, programs, thread):
	agent.evidence()
	tid = agent.pid if thread == "leader" else agent.ask("thread")["tid"]
	assert (tid == agent.pid) == (thread == "leader")
	with traced(programs, tid):
		assert agent.refusal() == "traced"
		assert agent.refusal("dpop") == "traced"
	agent.evidence().check()


# ---- the executable ----

@pytest.fixture
def python(place):
	"""An interpreter of the test's own."""
	return pathlib.Path(wait.settled(shutil.copy("/usr/bin/python3", place / "python3")))


def replace(path):
	shutil.copy(path, f"{path}.new")
	os.rename(f"{path}.new", path)


@pytest.mark.parametrize("touch", [lambda path: path.chmod(0o700), os.unlink, replace, lambda path: os.link(path, f"{path}.link"),
				   lambda path: os.rename(path, f"{path}.moved")], ids=["chmod", "unlink", "replace", "link", "rename"])
def test_executable_touched_alone(attested, python, touch):
	"""What the record has is of the exec, and stays true: an upgrade of the agent ends no agent that runs."""
	agent = attested.agent(program=python)
	before = agent.evidence().check()
	touch(python)
	after = agent.evidence().check()
	assert after.files(after.workload["process"]) == before.files(before.workload["process"])


def test_executable_link_forged(attested, programs):
	"""Its /proc/PID/exe leads to a program that is trusted, as an unprivileged process may have it."""
	forged = attested.daemon.run(programs["forge_exe"], os.path.realpath("/usr/bin/python3"), LIBRARY, attested.daemon.socket,
				     user=(65533, 65533), env=library_environment())
	assert "is now" in forged.stdout
	assert forged.stdout.splitlines()[-1] == "executable_changed"


# ---- how often ----

def test_limit(new_daemon):
	attested = Attested(new_daemon, rate=1, burst=3)
	agent, another = attested.agent(), attested.agent()
	for _ in range(3):
		agent.evidence()
	answers = [agent.ask("evidence") for _ in range(3)]
	limited = [answer for answer in answers if answer["err"]]
	assert limited
	for answer in limited:
		assert answer["code"] == "limit"
		assert "evidence.rate" in answer["text"]
	another.evidence()
	wait.until("another is given", lambda: agent.ask("evidence")["err"] == 0, every=0.3)
	attested.remove()


def test_limit_counts_threads(new_daemon):
	"""Each is looked at, for a proof, too: else one process of a thousand kept the daemon from all others."""
	attested = Attested(new_daemon, rate=1, burst=20)
	agent = attested.agent()
	agent.evidence()
	agent.ask("threads", count=640)
	answers = [agent.ask(do) for do in ("evidence", "dpop")]
	assert answers[0]["err"] == 0
	assert answers[1]["code"] == "limit" and "threads" in answers[1]["text"]
	assert agent.refusal() == "limit"
	wait.until("its bucket has filled", lambda: agent.ask("dpop")["err"] == 0, every=0.5)
	attested.remove()


def test_busy(attested, agent):
	attested.tpm.suspend()
	try:
		agent.begin("twice")
		wait.until("one of them is refused", lambda: attested.refused("busy") == 1)
	finally:
		attested.tpm.resume()
	answers = agent.answer()["answers"]
	assert sorted(answer.get("code", "") for answer in answers) == ["", "busy"]
	agent.evidence()


# ---- what is asked ----

@pytest.mark.parametrize("nonce", ["short12", "n" * 89, "with a blank", "with\"quote", "with\\backslash", "nönce-nönce", "nonce\x7fnonce", ""],
			 ids=range(8))
def test_nonce(agent, nonce):
	assert agent.refusal(nonce=nonce) == "bad_request"


@pytest.mark.parametrize("audience", ["", "a" * 513, "two\nlines", "\u0085"], ids=range(4))
def test_audience(agent, audience):
	assert agent.refusal(audience=audience) == "bad_request"


def test_without_nonce_or_audience(agent):
	"""Refused before the daemon is asked."""
	assert agent.refusal(nonce=None) == agent.refusal(audience=None) == ""


def test_somebody_elses_key(agent):
	"""The public key of another, signed with one's own."""
	assert agent.refusal(key="theirs", signer="mine") == "denied"
	assert agent.evidence(key="mine").claims["key_custody"] == "process"


def test_signature_of_an_earlier_challenge(agent):
	"""What was overheard, or kept from a request before."""
	agent.evidence(key="mine")
	assert agent.refusal(key="mine", signer="replay") == "denied"


def test_signature_for_another_verifier(agent):
	"""Nonce and audience are under it: what one process signs for one verifier is no use at another."""
	agent.ask("connect")
	assert agent.ask("evidence", key="mine", nonce="nonce-of-another")["err"] == 0
	assert agent.refusal(key="mine", signer="replay", nonce=NONCE) == "denied"


JWKS = {
	"private": lambda jwk: json.dumps(jwk | {"d": jwk["x"]}),
	"not on the curve": lambda jwk: json.dumps(jwk | {"x": jwk["y"]}),
	"another curve": lambda jwk: json.dumps(jwk | {"crv": "P-384"}),
	"symmetric": lambda jwk: json.dumps({"kty": "oct", "k": "AAAA"}),
	"no JSON": lambda jwk: "{",
	"a list": lambda jwk: "[]",
	"deep": lambda jwk: json.dumps({"kty": [[[[]]]]}),
	"doubled member": lambda jwk: json.dumps(jwk)[:-1] + ', "kty": "EC"}',
	"padded": lambda jwk: json.dumps(jwk | {"x": jwk["x"] + "="}),
	"long": lambda jwk: json.dumps(jwk | {"more": "m" * 1024}),
}


@pytest.mark.parametrize("name", JWKS)
def test_key_that_is_none(agent, name):
	jwk = agent.evidence(key="mine").cnf
	assert agent.refusal(key="mine", cnf=JWKS[name](jwk)) == "bad_request"


# ---- keys that are not held ----

def test_no_key_held(agent):
	assert agent.refusal("dpop") == agent.refusal("wpt") == "not_found"
	agent.evidence(key="mine")
	assert agent.refusal("dpop") == "not_found", "its own key is its own to use"
	agent.evidence()
	assert agent.ask("dpop")["err"] == 0


@pytest.mark.parametrize("how", [{"method": ""}, {"url": ""}, {"method": "PO\nST"}, {"nonce": "\t"}, {"url": "u" * 4096}], ids=range(5))
def test_proof_of_nonsense(agent, how):
	agent.evidence()
	assert agent.refusal("dpop", **how) == "bad_request"


# ---- no TPM ----

@pytest.mark.parametrize("tcti, says", [("none", "no TPM is configured"), ("device:/dev/affiant-test-nowhere", "can't connect")],
			 ids=["none", "absent"])
def test_no_tpm(new_daemon, tcti, says):
	daemon = new_daemon(f"tpm: {{tcti: '{tcti}'}}\n")
	run = daemon.run(daemons.AFFIANT, "evidence", "--socket", daemon.socket, "--nonce", NONCE, "--audience", AUDIENCE, check=False)
	assert (run.returncode, run.stdout) == (1, "")
	assert "no_tpm" in run.stderr and says in run.stderr
	assert run.records().execs, "tracing needs none"


def test_device_that_gets_its_group_later(new_daemon, place):
	"""As udev gives it to "tss" when the driver has made it, before or after the daemon began. It opens: and is no TPM."""
	device = place / "tpmrm0"
	daemon = new_daemon(f"tpm: {{tcti: 'device:{device}'}}\n")

	def error():
		return json.loads(daemon.affiant("status", "-o", "json").stdout)["tpm"]["error"] or ""

	wait.until("it is not there", lambda: "No such file" in error(), explain=daemon.log)
	made = place / "made"
	made.touch()
	made.chmod(0o660)
	os.chown(made, 54321, 54322)
	made.rename(device)
	wait.until("it was looked at", lambda: "No such file" not in error(), explain=daemon.log)
	assert "ioctl" in error(), error()
