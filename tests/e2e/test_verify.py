# SPDX-License-Identifier: Apache-2.0
"""affiant verify with evidence of a real daemon and a software TPM: what passes, what is remembered, and what is forged."""

import concurrent.futures
import copy
import fcntl
import glob
import hashlib
import json
import os
import pathlib
import pty
import re
import stat
import subprocess

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import daemon as daemons
from harness import eat
from harness import wait
from harness.evidence import AUDIENCE, NONCE, b64, measured, unb64

POLICY = """\
max_age: 10m
trust:
  software_tpm: [{root}, {issuer}]
  enrolment: [ca/ca.pem]
  allow_software_tpm: {software}
hosts:
  - ueid: {ueid}
    asset: the test's host
    agents: ["{agent}"]
boot: {{mode: {boot}}}
ima: {{required: no}}
daemon: {{executables: [{daemon}], configurations: [any], bpf: [any]}}
agents:
  - id: "{agent}"
    tier: software-tpm
    executables: [{executable}]
    arguments: [any]
    loaders: [any]
    interpreters: [any]
    ancestors: [any]
    hash_states: {states}
    late_sessions: {late}
    folded_sessions: {folded}
    isolation: [landlock, uid, none]
    principal: asserted
"""


def digest(path):
	return hashlib.sha256(open(path, "rb").read()).hexdigest()


class Verifier:
	"""affiant verify in a directory of its own, which has no daemon, no root's privileges and no TPM."""

	def __init__(self, attested, place, enrolment, taken):
		self.place = place
		self.values = {
			"root": attested.tpm.ca, "issuer": attested.tpm.issuer, "software": "yes", "boot": "none",
			"late": "refused", "folded": "refused",
			"states": "[observed, unproven]",	# an agent that is root's: nothing that it executes is proven
			"ueid": taken.claims["ueid"], "agent": taken.claims["sub"], "daemon": digest(daemons.AFFIANTD),
			"executable": digest("/usr/bin/python3"),
		}
		self.enrolment = enrolment

	def policy(self, **changed):
		path = self.place / "policy.yaml"
		path.write_text(POLICY.format(**(self.values | changed)))
		return path

	def run(self, text, *options, nonce=NONCE, audience=AUDIENCE, env=None, **changed):
		command = [daemons.AFFIANT, "verify", "--policy", self.policy(**changed), "--nonce", nonce, "--audience", audience,
			   *options]
		return subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=False, timeout=120,
				      env=daemons.environment() | (env or {}))

	def __call__(self, text, *options, **more):
		"""(exit code, code of the refusal)"""
		done = self.run(text, "-o", "json", *options, **more)
		assert done.returncode in (0, 1, 2), done.stderr
		result = json.loads(done.stdout)
		assert (result["verdict"], done.returncode) in (("affirmed", 0), ("refused", 1), ("undecided", 2))
		return done.returncode, result["code"]


@pytest.fixture(scope="module")
def agent(attested, enrolled):
	return attested.agent()


@pytest.fixture(scope="module")
def taken(agent):
	return agent.evidence(host=True)


@pytest.fixture
def verifier(attested, enrolled, taken):
	return Verifier(attested, enrolled.place, enrolled, taken)


def test_affirmed(verifier, taken):
	assert verifier(taken.text) == (0, "")
	done = verifier.run(taken.text)
	assert done.returncode == 0, done.stdout
	assert "affirmed" in done.stdout and "tier: software-tpm" in done.stdout and "\033" not in done.stdout


def test_result_in_json(verifier, agent, taken, place):
	"""Its members are those of docs/json.md, each where that says."""
	told = (daemons.TOP / "docs/json.md").read_text().split("## affiant verify -o json\n")[1].split("\n## ")[0]
	members = set(re.findall(r"^\| `(\w+)` \|", told, re.M))
	always = {"verdict", "code", "reason", "tier", "checks"}
	for text, how, more in (
		(taken.text, {}, {"asset", "claims"}), (taken.text, {"executable": "0" * 64}, {"asset"}), ("{}", {}, set()),
		(agent.evidence().text, {}, {"asset", "ima_from"}),
	):
		result = json.loads(verifier.run(text, "-o", "json", **how).stdout)
		assert set(result) == always | more and set(result) <= members
		assert {tuple(sorted(check)) for check in result["checks"]} <= {("check", "outcome", "showed")}
		assert {check["outcome"] for check in result["checks"]} <= {"passed", "failed", "not-judged"}
		assert (result["reason"] == "") == (result["code"] == "") == (result["verdict"] == "affirmed")


def test_as_nobody(verifier, taken, place):
	"""Without root, daemon, BPF or TPM."""
	for name in ("ca/ca.pem",):
		(place / name).parent.mkdir()
		(place / name).write_bytes((verifier.place / name).read_bytes())
	roots = {}
	for name in ("root", "issuer"):
		roots[name] = place / f"{name}.pem"
		roots[name].write_bytes(open(verifier.values[name], "rb").read())
	verifier.place = place
	policy = verifier.policy(**roots)
	evidence = place / "evidence.json"
	evidence.write_text(taken.text)
	done = subprocess.run([daemons.AFFIANT, "verify", "-p", policy, "--nonce", NONCE, "--audience", AUDIENCE, evidence],
			      user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True, check=False, timeout=120,
			      env=daemons.environment())
	assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("changed, code", [
	({"software": "no"}, "software_tpm"),
	({"boot": "log"}, "pcrs_unextended"),
	({"executable": "0" * 64}, "executable_digest"),
	({"states": "[kernel, verity, held, observed]"}, "hash_state"),
	({"daemon": "0" * 64}, "daemon_digest"),
	({"agent": "spiffe://example.org/agent/other"}, "agent_unknown"),
	({"ueid": "AQ" + "A" * 42}, "host_unknown"),
	({"nonce": "another-nonce"}, "nonce"),
	({"audience": "https://other.example"}, "audience"),
])
def test_refused(verifier, taken, changed, code):
	assert verifier(taken.text, **changed) == (1, code)


def test_proven(verifier, attested):
	"""A runtime that is root's, run by another user: what a policy takes without a word."""
	agent = attested.agent(options=["--user", "nobody"])
	text = agent.evidence(host=True).text
	assert verifier(text, states="[kernel, verity, held, observed]", late="any") == (0, "")
	done = verifier.run(text, states="[unproven]", late="any")
	assert done.returncode == 1 and "its executable is 'observed'" in done.stdout
	agent.end()


def test_longest_texts(verifier, attested):
	"""What a session can be opened with, evidence has room for, and a verifier takes."""
	options = ["--purpose", "p" * 1024, "--on-behalf-of", "ä" * 512, *sum((["--scope", f"{n}" * 1024] for n in range(5)), [])]
	agent = attested.agent(options=[*options, "--task", "t" * 1024])
	taken = agent.evidence(host=True)
	workload = taken.claims["submods"]["workload"]
	assert workload["task"]["id"] == "t" * 1024 and workload["task"]["purpose"] == "p" * 1024
	assert workload["principal"]["subject"] == "ä" * 512 and len(workload["task"]["scope"]) == 5
	assert verifier(taken.text) == (0, "")
	agent.end()
	for option in ("--task", "--purpose", "--on-behalf-of", "--scope"):
		for text in ("x" * 1025, ""):
			done = attested.daemon.affiant("run", "--agent", "researcher", option, text, "--", "/bin/true")
			assert done.returncode == 125 and "1 to 1024 bytes" in done.stderr, done.stderr


def test_unproven_says_what_to_do(verifier, taken):
	done = verifier.run(taken.text, states="[observed]")
	assert done.returncode == 1 and "hash_state" in done.stdout
	assert "run it as another user, or list 'unproven'" in " ".join(done.stdout.split())
	done = verifier.run(taken.text)
	assert done.returncode == 0 and "the executable is 'unproven'" in " ".join(done.stdout.split())


def test_times(verifier, taken):
	iat = taken.claims["iat"]
	assert verifier(taken.text, "--time", str(iat + 10)) == (0, "")
	assert verifier(taken.text, "--time", str(iat - 60)) == (1, "not_yet_valid")
	assert verifier(taken.text, "--time", str(iat + 86400)) == (1, "expired")


def test_remembered(verifier, agent, taken, place):
	state = ("--state", place)
	alone = agent.evidence()
	assert verifier(alone.text, *state) == (2, "host_evidence_needed")
	assert verifier(taken.text, *state) == (0, "")
	kept = place / (taken.claims["ueid"] + ".json")
	lock = kept.with_suffix(".lock")
	assert sorted(place.iterdir()) == sorted([kept, lock])
	assert all(path.stat().st_mode & 0o777 == 0o600 for path in (kept, lock)), "nobody else can hold the lock"
	assert verifier(alone.text, *state) == (0, "")
	assert verifier(alone.text, *state, daemon="any") == (2, "host_evidence_needed"), "judged by another policy"
	changed = json.loads(kept.read_text())
	changed["clock"]["resets"] += 1
	kept.write_text(json.dumps(changed))
	assert verifier(taken.text, *state) == (1, "clock_reset_backwards")


def opened_by_a_child(path):
	"""Of this process: to look at all that there are takes as long as a lock is waited for."""
	for pid in " ".join(f.read_text() for f in pathlib.Path("/proc/self/task").glob("*/children")).split():
		try:
			if any(os.readlink(link) == str(path) for link in glob.iglob(f"/proc/{pid}/fd/*")):
				return True
		except OSError:
			pass	# it ended meanwhile
	return False


def test_remembered_by_two_at_once(verifier, taken, place):
	"""Who comes second judges by what the first has found."""
	state = ("--state", place)
	assert verifier(taken.text, *state) == (0, "")
	kept, = place.glob("*.json")
	later = json.loads(kept.read_text())
	later["clock"]["resets"] += 1
	lock = kept.with_suffix(".lock")
	first = os.open(lock, os.O_RDWR)
	with concurrent.futures.ThreadPoolExecutor() as pool:
		try:
			fcntl.flock(first, fcntl.LOCK_EX)
			second = pool.submit(verifier, taken.text, *state)
			wait.until("the second has it open", lambda: second.done() or opened_by_a_child(lock))
			assert not second.done(), "it did not wait"
			kept.write_text(json.dumps(later))
		finally:
			os.close(first)
		assert second.result() == (1, "clock_reset_backwards")


def edit(taken, change, host=False):
	cmw = copy.deepcopy(taken.cmw)
	change(cmw["host"] if host else cmw)
	return json.dumps(cmw)


def put(cmw, name, data):
	cmw[name][1] = b64(data)


def sign(taken, key, **claims):
	"""The genuine claims, changed, by a key of one's own."""
	jwk = private_jwk(key)[1]
	thumbprint = b64(hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest())
	return jwt.encode(taken.claims | {"kid": thumbprint} | claims, key, "ES256",
			  headers={"typ": "eat+jwt", "jwk": jwk}).encode()


def test_forged(verifier, agent, taken):
	key = ec.generate_private_key(ec.SECP256R1())
	other = agent.evidence(nonce="another-nonce", host=True)
	quote = taken.content("quote")
	chains = {name: taken.host[name] for name in ("ek_chain", "ak_chain")}

	def replace(name, data, host=False):
		return edit(taken, lambda cmw: put(cmw, name, data), host)

	def drop(name):
		return edit(taken, lambda cmw: cmw.pop(name), True)

	header, payload, signature = taken.eat.split(".")
	none = b64(json.dumps({"alg": "none", "typ": "eat+jwt", "jwk": taken.header["jwk"]}).encode())
	cases = [
		(replace("eat", sign(taken, key, aud=AUDIENCE)), 1, "quote_extra"),
		(replace("eat", sign(taken, key, sub="spiffe://example.org/agent/admin")), 1, "quote_extra"),
		(replace("eat", f"{none}.{payload}.{signature}".encode()), 1, "token_algorithm"),
		(replace("eat", f"{header}.{payload}.".encode()), 2, "malformed_token"),
		(replace("quote", other.content("quote")), 1, "quote_signature"),
		(edit(taken, lambda cmw: cmw.update(quote=other.cmw["quote"], signature=other.cmw["signature"])), 1, "quote_extra"),
		(edit(taken, lambda cmw: cmw.update(path=other.cmw["path"], eat=other.cmw["eat"])), 1, "nonce"),
		(replace("quote", quote + b"\0"), 2, "malformed_quote"),
		(replace("quote", quote[:-1]), 2, "malformed_quote"),
		(replace("quote", quote[:20] + bytes([quote[20] ^ 1]) + quote[21:]), 1, "quote_signature"),
		(replace("pcrs", bytes(32 * 12) + b"\1" * 32), 1, "quote_pcrs"),
		(replace("pcrs", bytes(32)), 2, "malformed_pcrs"),
		(drop("ak_chain"), 1, "ak_not_enrolled"),
		(drop("ek_chain"), 1, "ek_no_certificate"),
		(edit(taken, lambda host: host.update(ak_chain=chains["ek_chain"]), True), 1, "ak_chain"),
		(edit(taken, lambda host: host.update(ek_chain=chains["ak_chain"]), True), 1, "ek_chain"),
		(edit(taken, lambda host: host.update(ak_public=host["ek_public"]), True), 1, "ak_invalid"),
		(edit(taken, lambda host: host.update(ek_public=host["ak_public"]), True), 1, "ek_invalid"),
		(replace("claims", unb64(taken.host["claims"][1]).replace(b"enrolled\":true", b"enrolled\":false"), True), 1,
		 "host_claims_mismatch"),
	]
	for number, (text, status, code) in enumerate(cases):
		assert verifier(text) == (status, code), number


def private_jwk(key):
	"""(with the private number, without)"""
	numbers = key.private_numbers()
	point = numbers.public_numbers
	public = {"kty": "EC", "crv": "P-256", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
	return public | {"d": b64(numbers.private_value.to_bytes(32, "big"))}, public


def test_result(verifier, taken, place):
	"""Signed for those who never see the evidence; read by python3-jwt."""
	key = ec.generate_private_key(ec.SECP256R1())
	(place / "key.json").write_text(json.dumps(private_jwk(key)[0]))
	for profile, status in (("ietf", "ear_status"), ("veraison", "ear.status")):
		for text, code, host, agent in ((taken.text, 0, "affirming", "affirming"),
						(taken.text[:-1], 2, "none", "none")):
			done = verifier.run(text, "-o", "ear", "--ear-key", place / "key.json", "--ear-profile", profile)
			assert done.returncode == code, done.stderr
			ear = jwt.decode(done.stdout.strip(), key.public_key(), ["ES256"])
			assert (ear["submods"]["host"][status], ear["submods"]["agent"][status]) == (host, agent)
			assert ear["eat_nonce"] == NONCE
	done = verifier.run(taken.text, "-o", "ear")
	assert done.returncode == 64 and "--ear-key" in done.stderr


@pytest.fixture(scope="module")
def ear_reader():
	"""Veraison's own crate (tests/oracle/ear), where there is a Rust for it."""
	return eat.reader("ear")


@pytest.mark.long
def test_result_in_rust(verifier, agent, place, ear_reader):
	"""It takes nonces in base64url alone."""
	nonce = b64(bytes(range(16)))
	taken = agent.evidence(nonce=nonce, host=True)
	key = ec.generate_private_key(ec.SECP256R1())
	private, public = private_jwk(key)
	(place / "key.json").write_text(json.dumps(private))
	lines, expected = "", []
	for text, states in ((taken.text, "agent=affirming host=affirming"), (taken.text[:-1], "agent=none host=none")):
		token = verifier.run(text, "-o", "ear", "--ear-key", place / "key.json", nonce=nonce).stdout.strip()
		lines += f"{json.dumps(public, separators=(',', ':'))} {token}\n"
		expected.append(f"tag:ietf.org,2026:rats/ear#04 {states}")
	done = subprocess.run([ear_reader], input=lines, capture_output=True, text=True, check=True)
	assert done.stdout.splitlines() == expected


def test_policy_mistakes(verifier, place):
	def told(text):
		(place / "p.yaml").write_text(text)
		done = subprocess.run([daemons.AFFIANT, "verify", "--policy", place / "p.yaml", "--check-policy"],
				      capture_output=True, text=True, check=False, env=daemons.environment())
		return done.returncode, done.stderr

	assert told("max_age: 1m\n") == (0, "")
	for text, where in (("max_ag: 1m\n", ":1: max_ag: no such key"), ("hosts:\n  - ueid: AQ\n", ":2: hosts[0].ueid: 'AQ'"),
			    ("boot:\n  mode: some\n", ":2: boot.mode: 'some' is not one of log, none"),
			    ("trust:\n  tpm: [nothing.pem]\n", ":2: trust.tpm[0]: 'nothing.pem'"),
			    ("boot:\n  closed: [10]\n", ":2: boot.closed[0]: '10'"),
			    ("boot: {mode: none, kernels: [any]}\n", ""),
			    ("agents:\n  - id: spiffe://a/b\n    hash_states: [offered]\n", ":3: agents[0].hash_states[0]: 'offered'"),
			    ("agents:\n  - id: spiffe://a/b\n    hash_states: []\n", ":3: agents[0].hash_states: is empty"),
			    ("agents:\n  - id: spiffe://a/b\n    isolation: []\n", ":3: agents[0].isolation: is empty"),
			    ("daemon:\n  bpf: [any, any]\n", ":2: daemon.bpf[0]: 'any'")):
		code, error = told(text)
		assert where in error and (code == 64 or not where), (text, error)


def test_what_others_can_write(verifier, taken, place):
	"""A policy, what it names, the state and the EAR's key: none that somebody else could have changed, or put there."""
	state, keys = place / "state", place / "keys"
	for directory in (state, keys):
		directory.mkdir(mode=0o700)
	key = keys / "key.json"
	key.write_text(json.dumps(private_jwk(ec.generate_private_key(ec.SECP256R1()))[0]))
	options = ("--state", state, "-o", "ear", "--ear-key", key)
	policy = verifier.policy()
	issuer = verifier.place / "ca/ca.pem"
	assert verifier.run(taken.text, *options).returncode == 0
	for path, code in ((policy, 64), (policy.parent, 64), (issuer, 64), (issuer.parent, 64), (key, 64), (keys, 64), (state, 2)):
		mode = stat.S_IMODE(path.stat().st_mode)
		for other in (mode | 0o002, mode | 0o022):
			path.chmod(other)
			done = verifier.run(taken.text, *options)
			path.chmod(mode)
			assert done.returncode == code and not done.stdout, (path, done.stdout, done.stderr)
			assert f"{path}: can be written by others than its owner (mode {other:04o}): chmod go-w it" in done.stderr
		if os.geteuid() == 0:
			os.chown(path, 12345, -1)
			done = verifier.run(taken.text, *options)
			os.chown(path, 0, -1)
			assert done.returncode == code and f"{path}: belongs to user 12345: chown it to root" in done.stderr
	assert verifier.run(taken.text, *options).returncode == 0
	# By a group of root's alone, as the own group of a user is; and of another group.
	if os.geteuid() == 0:
		policy.chmod(0o660)
		os.chown(policy, -1, 12345)
		assert verifier.run(taken.text).returncode == 64
		os.chown(policy, -1, 0)
		policy.chmod(0o600)


def test_colour(verifier, taken):
	"""On a terminal, unless NO_COLOR says otherwise."""
	for env, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
		leader, follower = pty.openpty()
		command = [daemons.AFFIANT, "verify", "--policy", verifier.policy(), "--nonce", NONCE, "--audience", AUDIENCE]
		done = subprocess.run(list(map(str, command)), input=taken.text.encode(), stdout=follower, check=False,
				      env=daemons.environment() | env)
		os.close(follower)
		assert done.returncode == 0
		assert (b"\033[32m" in os.read(leader, 65536)) == coloured
		os.close(leader)


EXAMPLE = daemons.TOP / "tools/examples/verify.py"


def example(text, ak, nonce=NONCE, audience=AUDIENCE):
	return subprocess.run([EXAMPLE, nonce, audience, ak], input=text, capture_output=True, text=True, check=False)


def test_reader_of_fifty_lines(agent, taken, enrolled, place):
	"""tools/examples/verify.py: other libraries, and the same answers."""
	ak = enrolled.path("certificate.pem")
	done = example(taken.text, ak)
	assert done.returncode == 0, done.stderr
	files = [{"path": path, "role": role, "state": state, "sha256": digest.hex() if entry[0] == 296 else None}
		 for entry in taken.claims["measurements"] for role, state, path, digest in [measured(entry)]]
	assert json.loads(done.stdout) == {**taken.claims, "measurements": files} and files
	other = agent.evidence(nonce="another-nonce")
	for text, how in (
		(taken.text, {"nonce": "another-nonce"}), (taken.text, {"audience": "https://other.example"}),
		(edit(taken, lambda cmw: put(cmw, "quote", taken.content("quote") + b"\0")), {}),
		(edit(taken, lambda cmw: put(cmw, "signature", taken.content("signature") + b"\0")), {}),
		(edit(taken, lambda cmw: put(cmw, "pcrs", bytes(13 * 32 - 1) + b"\1")), {}),
		(edit(taken, lambda cmw: cmw.update(quote=other.cmw["quote"], signature=other.cmw["signature"])), {}),
		(edit(taken, lambda cmw: cmw.update(path=["", b64(bytes(15) + b"\1" + bytes(7) + b"\2"), 4])), {}),
		(edit(taken, lambda cmw: put(cmw, "eat", sign(taken, ec.generate_private_key(ec.SECP256R1()), aud=AUDIENCE))), {}),
	):
		assert example(text, ak, **how).returncode == 1
	stranger = place / "stranger.pem"
	stranger.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
		serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
	assert "InvalidSignature" in example(taken.text, stranger).stderr


SAMPLES = daemons.TOP / "tests/data/attest/evidence"


@pytest.mark.parametrize("name, code", json.loads((SAMPLES / "verdicts.json").read_text()).items())
def test_samples(name, code):
	"""Good and bad evidence as files, of one host that never was."""
	done = subprocess.run([daemons.AFFIANT, "verify", "-p", SAMPLES / "policy.yaml", "--nonce", "mZ4vQ0h8T2a9Yc1LrB7uXw", "--audience",
			       "https://sts.example.org/token", "--time", "1793600010", "-o", "json", SAMPLES / name],
			      capture_output=True, text=True, check=False, env=daemons.environment())
	result = json.loads(done.stdout)
	assert result["code"] == code and (done.returncode == 0) == (code == "")
	assert (result["tier"] == "runtime-measured") == (code in ("", "agent_unknown"))


def test_documents(place):
	"""Every refusal is told in docs/token-services.md, and its example policies are ones."""
	text = (daemons.TOP / "userspace/attest/verify.h").read_text()
	codes = set(re.findall(r"X\((\w+)\)", text)) - {"name"}
	told = set(re.findall(r"^\| `(\w+)` \|", (daemons.TOP / "docs/token-services.md").read_text(), re.M))
	assert len(codes) > 60 and codes <= told
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
			"-keyout", "/dev/null", "-out", place / "x.pem"], check=True, capture_output=True)
	for name in ("tpm-makers.pem", "enrolment-ca.pem", "swtpm-ca.pem"):
		(place / name).write_bytes((place / "x.pem").read_bytes())
	(place / "allowlist").write_text(f"# programs\nsha256:{'0' * 64} /usr/bin/*\nany /var/log/*\n")
	for example in (daemons.TOP / "docs/examples").glob("policy*.yaml"):
		(place / example.name).write_text(example.read_text())
		done = subprocess.run([daemons.AFFIANT, "verify", "-p", place / example.name, "--check-policy"], capture_output=True,
				      text=True, check=False, env=daemons.environment())
		assert done.returncode == 0, done.stderr
