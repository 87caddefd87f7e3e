# SPDX-License-Identifier: Apache-2.0
"""Evidence from an agent's request to what a verifier sees: checked by others' programs, and against the records."""

import hashlib
import json
import os
import shutil
import subprocess
import time
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import daemon as daemons
from harness import wait
from harness.evidence import ASKER, AUDIENCE, NONCE, SELECTED, SIZE_MAX, STATES, Taken, b64, measured, proof, thumbprint
from harness.records import hash_state, sha256, stated_digest

PYTHON = "/usr/bin/python3"
SHELL = ["/bin/sh", "-c", '"$@"; :', "sh"]	# which starts what follows as its child


@pytest.fixture
def agent(attested):
	agent = attested.agent(options=["--on-behalf-of", "alice@example.com", "--purpose", "a test", "--scope", "repo:read",
					"--expires", "1h"])
	yield agent
	agent.end()


# ---- what it is ----

def test_by_others_programs(agent, place):
	"""The quote by tpm2_checkquote, the claims by python3-jwt, the tree by the page that describes it."""
	taken = agent.evidence(host=True).check()
	done = taken.checkquote(place)
	assert done.returncode == 0, done.stderr
	other = agent.evidence(host=True).check()
	other.cmw["signature"] = taken.cmw["signature"]
	assert other.checkquote(place).returncode != 0


def test_size(agent):
	assert len(agent.evidence().check().text) <= SIZE_MAX


def test_times(agent):
	before = int(time.time())
	claims = agent.evidence().claims
	assert before <= claims["iat"] <= time.time()
	assert claims["exp"] == claims["iat"] + 300
	assert uuid.UUID(claims["jti"]).version == 7
	assert agent.evidence().claims["jti"] != claims["jti"]


def test_never_beyond_the_task(attested):
	agent = attested.agent(options=["--expires", "30s"])
	claims = agent.evidence().claims
	assert claims["exp"] == claims["submods"]["workload"]["task"]["expires"] <= claims["iat"] + 30


@pytest.mark.parametrize("nonce", ["8letters", "~" * 88])
@pytest.mark.parametrize("audience", ["a", "é" * 256])
def test_nonce_and_audience_as_given(agent, nonce, audience):
	answer = agent.ask("evidence", nonce=nonce, audience=audience)
	Taken(answer["cmw"], json.loads(answer["cnf"]), audience).check(nonce, audience)


# ---- that it says what the records say ----

def key_of(process):
	return (process.tgid, process.start_boottime_ns, process.exec_seq)


def claimed(process):
	return (process["pid"], process["started_ns"], process["exec_seq"])


def recorded_files(process):
	roles = {1: "script", 2: "interpreter", 3: "loader", 4: "argument"}
	files = [("executable", process.executable)] + [(roles[step.kind], step) for step in process.chain]
	return [(role, hash_state(file.digest), file.path.decode(), stated_digest(file.digest)) for role, file in files]


def test_claims_are_the_records(agent):
	taken = agent.evidence().check()
	record = agent.run.wait_exec(PYTHON)
	work = taken.workload
	assert work["session"]["id"] == str(uuid.UUID(bytes=record.session.id))
	assert (work["session"]["origin"], work["session"]["late"]) == ("run", False)
	assert (work["agent"], taken.claims["sub"]) == (record.agent.name, record.agent.spiffe_id)
	assert work["task"] == {"id": agent.run.task, "purpose": "a test", "scope": ["repo:read"],
				"expires": record.task.expires_wall_ns // 10**9}
	assert work["principal"] == {"subject": "alice@example.com", "assurance": "asserted"}
	assert claimed(work["process"]) == key_of(record.process.id)
	assert work["process"]["pid"] == agent.pid
	assert (work["process"]["uid"], work["process"]["gid"]) == (0, 0)
	files = taken.files(work["process"])
	assert files == recorded_files(record.process)
	assert ("executable", sha256(PYTHON)) in [(role, digest) for role, _, _, digest in files]
	assert ("argument", "offered", str(ASKER), sha256(ASKER)) in files
	assert (work["execs"], work["lost"], work["ancestors"]) == (1, 0, [])
	assert "ancestors_cut" not in work


@pytest.mark.parametrize("own", [False, True], ids=["root's", "its own"])
def test_unproven_stands_apart(attested, place, own):
	"""Nobody's session: what root installed is proven, what it could have changed itself is not, and not by its digest either."""
	program = place / "python3"
	if own:
		wait.settled(shutil.copy(PYTHON, program))
		os.chown(program, 65534, 65534)
		place.chmod(0o755)
	agent = attested.agent(program=program if own else PYTHON, options=["--user", "nobody"])
	taken = agent.evidence().check()
	entry = next(e for e in taken.claims["measurements"] if measured(e)[0] == "executable")
	record = agent.run.wait_exec(program if own else PYTHON)
	assert taken.files(taken.workload["process"]) == recorded_files(record.process)
	body = json.loads(entry[1])
	member, state = ("unproven_measurement", "unproven") if own else ("digested-measurement", "observed")
	assert entry[0] == (65040 if own else 296)
	assert set(body) == {"id", member, "flags"} and body[member] == [1, b64(sha256(PYTHON))]
	assert measured(entry)[1] == state
	records = agent.run.records_so_far().of("session_started", "exec")
	found = [file for r in records for file in recorded_files(r.process)]
	assert taken.workload["programs"]["root"] == programs_root(found)[1]
	agent.end()


def test_ancestors_are_the_records(attested):
	"""A shell that starts a shell that starts the agent."""
	agent = attested.agent(within=[*SHELL, *SHELL])
	taken = agent.evidence().check()
	records = agent.run.wait_records("three execs", lambda r: len(r.execs) == 3)
	record = agent.run.wait_exec(PYTHON)
	assert [claimed(p) for p in taken.workload["ancestors"]] == [key_of(a.id) for a in record.process.ancestry]
	shells = {key_of(r.process.id): recorded_files(r.process) for r in records.execs if r.process.argv[0] == b"/bin/sh"}
	assert [taken.files(p) for p in taken.workload["ancestors"]] == [shells[claimed(p)] for p in taken.workload["ancestors"]]
	assert len(shells) == 2


def programs_root(found):
	"""docs/evidence.md, "Claims": of all distinct programs of a session."""
	leaves = {hashlib.sha256(b"\0affiant/program/v1\0" + bytes([STATES.index(state) + 1]) + (digest or bytes(32)) + path.encode()).digest()
		  for _, state, path, digest in found}

	def root(nodes):
		if len(nodes) == 1:
			return nodes[0]
		half = 1 << (len(nodes) - 1).bit_length() - 1
		return hashlib.sha256(b"\1" + root(nodes[:half]) + root(nodes[half:])).digest()

	return len(leaves), b64(root(sorted(leaves)))


def test_programs_are_the_records(attested):
	"""Whoever has the session's records can recompute what evidence says of all that it ran."""
	agent = attested.agent(within=["/bin/sh", "-c", '/bin/true; /bin/true; /bin/ls >/dev/null; "$@"; :', "sh"])
	work = agent.evidence().check().workload
	records = agent.run.wait_records("five execs", lambda r: len(r.execs) == 5)
	found = [file for record in records.of("session_started", "exec") for file in recorded_files(record.process)]
	assert (work["programs"]["count"], work["programs"]["root"]) == programs_root(found)
	assert work["execs"] == 5


@pytest.mark.parametrize("namespace", [False, True], ids=["setuid", "namespace"])
def test_user_is_that_of_the_exec(attested, namespace):
	"""Whoever it became since, and whatever a user namespace of its own calls that: the kernel's word at the exec counts."""
	agent = attested.agent(options=["--isolation", "none"])
	record = agent.run.wait_exec(PYTHON)
	became = agent.ask("become", uid=65533, gid=65532, namespace=namespace)
	if became["err"]:
		pytest.skip(became["text"])
	assert (became["uid"], became["gid"]) == (65533, 65532)
	process = agent.evidence().check().workload["process"]
	assert (process["uid"], process["gid"]) == (record.process.euid, record.process.egid) == (0, 0)
	agent.end()


def test_user_and_manifest(attested, place):
	(place / "prompt.txt").write_text("be good")
	agent = attested.agent(user=(65533, 65532), options=["--measure", place / "prompt.txt", "--isolation", "none"])
	taken = agent.evidence().check()
	assert (taken.workload["process"]["uid"], taken.workload["process"]["gid"]) == (65533, 65532)
	assert taken.workload["isolation"] == "none"
	started = agent.run.records_so_far().one("session_started").session_started
	index, = taken.workload["manifest_roots"]
	role, _, path, digest = measured(taken.claims["measurements"][index])
	assert (role, path, digest) == ("manifest", str(place / "prompt.txt"), started.manifest.paths[0].root)


# ---- the host ----

def test_host(attested, agent):
	taken = agent.evidence(host=True).check()
	assert "host" not in agent.evidence().cmw
	host = taken.host_claims()
	assert host["tpm"]["enrolled"] is False
	assert "ak_chain" not in taken.host
	files = {role: digest for role, _, _, digest in map(measured, host["measurements"])}
	assert files["executable"] == sha256(daemons.AFFIANTD)
	assert files["configuration"] == sha256(attested.daemon.config)
	ek_public = taken.content("ek_public", taken.host)
	assert taken.claims["ueid"] == b64(b"\1" + hashlib.sha256(ek_public).digest())
	ak_public = taken.content("ak_public", taken.host)
	assert host["tpm"]["ak"] == "000b" + hashlib.sha256(ak_public).hexdigest() == attested.status()["tpm"]["ak_name"]
	with open("/proc/sys/kernel/osrelease", encoding="ascii") as release:
		assert host["kernel"] == release.read().strip()


def test_host_endorsement_chain(attested, agent, place):
	"""The EK's certificate leads to the software TPM's own authority, by `openssl verify`."""
	taken = agent.evidence(host=True)
	(place / "ek.pem").write_bytes(taken.content("ek_chain", taken.host))
	subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", attested.tpm.ca, "-untrusted", attested.tpm.issuer, "ek.pem"],
		       cwd=place, check=True, capture_output=True)


def test_ima_from(agent):
	"""The list from an entry on; without a list, none can be asked for."""
	whole = agent.evidence(host=True).host
	if "ima_log" not in whole:
		assert agent.refusal(host=True, ima_from=1) == "bad_request"
		return
	entries = json.loads(Taken.content(None, "ima_range", whole))["entries"]
	part = agent.evidence(host=True, ima_from=entries - 1).host
	assert json.loads(Taken.content(None, "ima_range", part))["from"] == entries - 1
	assert Taken.content(None, "ima_log", whole).endswith(Taken.content(None, "ima_log", part)[:64])
	assert agent.refusal(host=True, ima_from=entries + 10**6) == "bad_request"


# ---- the key that it is bound to ----

def test_own_key(agent):
	taken = agent.evidence(key="mine").check()
	assert taken.claims["key_custody"] == "process"
	assert agent.evidence(key="mine").cnf == taken.cnf != agent.evidence(key="another").cnf


def test_held_key(agent):
	taken = agent.evidence().check()
	assert taken.claims["key_custody"] == "daemon"
	assert agent.evidence().cnf == taken.cnf
	assert taken.cnf != taken.header["jwk"]
	assert set(taken.cnf) == {"kty", "crv", "x", "y"}


def test_dpop(agent):
	"""RFC 9449, section 4.2."""
	cnf = agent.evidence().cnf
	answer = agent.ask("dpop", method="POST", url="https://tokens.example/token", nonce="from-the-server", access_token="at")
	header, claims = proof(answer["jwt"], cnf)
	assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": cnf}
	assert (claims["htm"], claims["htu"], claims["nonce"]) == ("POST", "https://tokens.example/token", "from-the-server")
	assert claims["ath"] == b64(hashlib.sha256(b"at").digest())
	assert abs(claims["iat"] - time.time()) < 60
	_, again = proof(agent.ask("dpop")["jwt"], cnf)
	assert again["jti"] != claims["jti"]
	assert not {"nonce", "ath"} & set(again)


def test_wpt(agent):
	cnf = agent.evidence().cnf
	answer = agent.ask("wpt", audience="https://api.example", wit="a.workload.token", access_token="at")
	header, claims = proof(answer["jwt"], cnf, "https://api.example")
	assert (header["typ"], header["alg"]) == ("wpt+jwt", "ES256")
	assert claims["wth"] == b64(hashlib.sha256(b"a.workload.token").digest())
	assert claims["ath"] == b64(hashlib.sha256(b"at").digest())
	assert 0 < claims["exp"] - time.time() <= 60


# ---- the command ----

def command(attested, *options, check=True):
	return attested.daemon.run(daemons.AFFIANT, "evidence", "--socket", attested.daemon.socket, *options, check=check)


def test_command_cmw(attested):
	run = command(attested, "--nonce", NONCE, "--audience", AUDIENCE)
	taken = Taken(run.stdout).check()
	assert taken.claims["key_custody"] == "daemon"
	record = run.records().execs.only()
	assert claimed(taken.workload["process"]) == key_of(record.process.id)
	assert taken.files(taken.workload["process"]) == recorded_files(record.process)


def test_command_key(attested, place):
	key = ec.generate_private_key(ec.SECP256R1())
	private = jwk_of(key)
	(place / "key.jwk").write_text(json.dumps(private))
	taken = Taken(command(attested, "--nonce", NONCE, "--audience", AUDIENCE, "--key", place / "key.jwk").stdout).check()
	assert taken.claims["key_custody"] == "process"
	assert thumbprint(taken.claims["cnf"]["jwk"]) == thumbprint(private)
	assert "d" not in taken.claims["cnf"]["jwk"]


def jwk_of(key):
	numbers = key.private_numbers()
	values = (numbers.public_numbers.x, numbers.public_numbers.y, numbers.private_value)
	return {"kty": "EC", "crv": "P-256"} | {name: b64(value.to_bytes(32, "big")) for name, value in zip("xyd", values)}


@pytest.mark.parametrize("change", [{"d": None}, {"crv": "P-384"}, {"x": "AA"}, {"kty": "RSA"}], ids=lambda c: next(iter(c)))
def test_command_bad_key(attested, place, change):
	private = {name: value for name, value in (jwk_of(ec.generate_private_key(ec.SECP256R1())) | change).items() if value}
	(place / "key.jwk").write_text(json.dumps(private))
	run = command(attested, "--nonce", NONCE, "--audience", AUDIENCE, "--key", place / "key.jwk", check=False)
	assert (run.returncode, run.stdout) == (1, "")
	assert "private JWK" in run.stderr


def test_command_json(attested):
	"""For people: decoded, with the host's part only in what a verifier takes."""
	run = command(attested, "--nonce", NONCE, "--audience", AUDIENCE, "--host", "-o", "json")
	shown = json.loads(run.stdout)
	assert shown["claims"]["eat_nonce"] == NONCE
	assert tuple(map(int, shown["pcrs"])) == SELECTED
	assert shown["path"]["size"] == 1
	whole = Taken(command(attested, "--nonce", NONCE, "--audience", AUDIENCE, "--host").stdout).check()
	assert whole.host


@pytest.mark.parametrize("options, says", [
	((), "--nonce"), (("--nonce", NONCE), "--audience"), (("--nonce", NONCE, "--audience", "a", "--ima-from", "x"), "--ima-from"),
	(("--nonce", NONCE, "--audience", "a", "-o", "xml"), "--output"), (("--nonce", NONCE, "--audience", "a", "more"), "more")])
def test_command_wrong(attested, options, says):
	run = command(attested, *options, check=False)
	assert (run.returncode, run.stdout) == (64, "")
	assert says in run.stderr
