# SPDX-License-Identifier: Apache-2.0
"""A daemon with a software TPM, agents that ask for evidence, and evidence taken apart by docs/evidence.md: by Python's
own libraries and tpm2-tools, without a line of the product."""

import base64
import dataclasses
import hashlib
import json
import re
import struct
import subprocess

import jwt

from . import daemon as daemons
from . import wait
from .softtpm import Softtpm

LIBRARY = daemons.BUILD / "userspace" / "libaffiant.so"
ASKER = daemons.TOP / "tests" / "e2e" / "agents" / "asker.py"
NONCE, AUDIENCE = "nonce-of-a-verifier", "https://tokens.example"
DOMAIN = b"affiant/evidence/v1"
SELECTED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14)
SIZE_MAX = 6 * 1024


def library_environment():
	"""For programs that load libaffiant: a sanitizer's runtime, with which it was built, has to come first."""
	linked = subprocess.run(["ldd", LIBRARY], capture_output=True, text=True, check=True).stdout
	runtimes = re.findall(r"=> (\S*/lib(?:asan|ubsan)\.so\S*)", linked)
	return {"LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"} if runtimes else {}


def unb64(text):
	assert "=" not in text
	return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def config(tcti, timeout="30s", more="", rate=1000, burst=1000):
	return (f"hash: {{wait: 10s}}\ntpm:\n  tcti: {tcti}\n  timeout: {timeout}\n"
		f"evidence:\n  rate: {rate}\n  burst: {burst}\n{more}")


class Attested:
	"""A daemon (attested.daemon) and its TPM (attested.tpm). ready: the TPM has been reached."""

	def __init__(self, new_daemon, front=None, ready=True, fresh=False, **more):
		self.daemon = new_daemon(start=False)
		self.tpm = Softtpm(self.daemon.directory, fresh)
		self.agents = []
		self.daemon.config.write_text(config(f"swtpm:path={front}" if front else self.tpm.tcti, **more))
		self.tpm.start()
		if ready:
			self.start()

	def start(self):
		self.daemon.start()
		self.wait_state("ready")

	def status(self):
		done = self.daemon.affiant("status", "-o", "json")
		assert done.returncode == 0, done.stderr
		return json.loads(done.stdout)

	def wait_state(self, state):
		wait.until(f"the TPM is {state}", lambda: self.status()["tpm"]["state"] == state, explain=self.daemon.log)

	def wait_waiting(self, count=1):
		"""Until so many requests have come and are not answered."""
		wait.until(f"{count} requests wait", lambda: self.status()["evidence"]["waiting"] == count, explain=self.status)

	def wait_batches(self, count):
		wait.until(f"{count} batches were handed to the TPM", lambda: self.status()["evidence"]["batches"] >= count,
			   explain=self.status)

	def refused(self, code):
		return self.status()["evidence"]["refused"].get(code, 0)

	def agent(self, **options):
		agent = Agent(self, **options)
		self.agents.append(agent)
		return agent

	def remove(self):
		for agent in self.agents:
			agent.end()
		self.tpm.remove()


class Agent:
	"""agents/asker.py under `affiant run`: agent.ask("evidence", nonce=...) and so on."""

	def __init__(self, attested, program="/usr/bin/python3", within=(), **options):
		"""within: a command that runs another one, which stands behind it."""
		self.attested = attested
		self.run = attested.daemon.launch(*within, program, "-B", ASKER, LIBRARY, attested.daemon.socket,
						  stdin=subprocess.PIPE, env=library_environment(), **options)

	@property
	def pid(self):
		"""Of `affiant run`, which becomes the command."""
		return self.run.pid

	def begin(self, do, **how):
		"""Asks, and does not wait for the answer."""
		self.run.process.stdin.write(json.dumps({"do": do, **how}) + "\n")
		self.run.process.stdin.flush()

	def answer(self):
		line = self.run.line()
		assert line, f"the agent ended: {self.run.wait().stderr}"
		return json.loads(line)

	def ask(self, do, **how):
		self.begin(do, **how)
		return self.answer()

	def evidence(self, **how):
		"""Evidence that is given, taken apart."""
		answer = self.ask("evidence", **how)
		assert answer["err"] == 0, answer
		return Taken(answer["cmw"], json.loads(answer["cnf"]))

	def refusal(self, do="evidence", **how):
		"""The code of a request that is refused."""
		answer = self.ask(do, **how)
		assert answer["err"] < 0, answer
		assert answer["text"], answer
		return answer["code"]

	def end(self):
		if self.run.process.poll() is None:
			self.run.wait()


@dataclasses.dataclass
class Quote:
	extra: bytes
	selected: tuple
	digest: bytes


def parse_quote(attest):
	"""TPMS_ATTEST of a quote (TPM 2.0 Library, Part 2, 10.12.12) over one bank."""
	magic, kind = struct.unpack_from(">IH", attest)
	assert (magic, kind) == (0xff544347, 0x8018)
	at = 6
	at += 2 + struct.unpack_from(">H", attest, at)[0]
	size, = struct.unpack_from(">H", attest, at)
	extra = attest[at + 2:at + 2 + size]
	at += 2 + size + 17 + 8
	count, bank, octets = struct.unpack_from(">IHB", attest, at)
	assert (count, bank, octets) == (1, 0x000b, 3)
	bits = int.from_bytes(attest[at + 7:at + 10], "little")
	at += 10
	size, = struct.unpack_from(">H", attest, at)
	assert at + 2 + size == len(attest), "bytes behind it"
	return Quote(extra, tuple(n for n in range(24) if bits >> n & 1), attest[at + 2:])


def serialized_pcrs(selected, values):
	"""As tpm2_quote --pcr_format=serialized writes them: TPML_PCR_SELECTION and TPML_DIGESTs as they lie in memory."""
	bits = sum(1 << n for n in selected).to_bytes(3, "little")
	data = struct.pack("<IHB", 1, 0x000b, 3) + bits
	data = data.ljust(4 + 16 * 8, b"\0")
	digests = [values[at:at + 32] for at in range(0, len(values), 32)]
	lists = [digests[at:at + 8] for at in range(0, len(digests), 8)]
	data += struct.pack("<I", len(lists))
	for some in lists:
		entry = struct.pack("<I", len(some)) + b"".join(struct.pack("<H", 32) + d.ljust(64, b"\0") for d in some)
		data += entry.ljust(4 + 8 * 66, b"\0")
	return data


def root_of(leaf, index, size, path):
	"""RFC 9162, section 2.1.3.2."""
	fn, sn, node = index, size - 1, leaf
	for sibling in path:
		assert sn
		if fn & 1 or fn == sn:
			node = hashlib.sha256(b"\1" + sibling + node).digest()
			while not fn & 1 and fn:
				fn, sn = fn >> 1, sn >> 1
		else:
			node = hashlib.sha256(b"\1" + node + sibling).digest()
		fn, sn = fn >> 1, sn >> 1
	assert sn == 0
	return node


class Taken:
	"""Evidence taken apart; check() is what any verifier does first."""

	def __init__(self, cmw, cnf=None, audience=AUDIENCE):
		self.text = cmw
		self.cmw = json.loads(cmw)
		self.cnf = cnf
		self.host = self.cmw.get("host")
		self.eat = self.content("eat").decode()
		self.header = jwt.get_unverified_header(self.eat)
		self.claims = jwt.decode(self.eat, jwt.PyJWK(self.header["jwk"], "ES256").key, ["ES256"], audience=audience,
					 options={"require": ["exp", "iat", "aud"]})
		self.workload = self.claims["submods"]["workload"]
		self.quote = parse_quote(self.content("quote"))

	def content(self, name, collection=None):
		media_type, content, kind = (collection or self.cmw)[name]
		assert kind == 4 and media_type
		return unb64(content)

	def check(self, nonce=NONCE, audience=AUDIENCE):
		assert self.cmw["__cmwc_t"] == "tag:affiant.dev,2026:evidence#1"
		assert set(self.cmw) - {"host"} == {"__cmwc_t", "eat", "quote", "signature", "pcrs", "path"}
		assert (self.claims["eat_nonce"], self.claims["aud"]) == (nonce, audience)
		assert self.claims["kid"] == thumbprint(self.header["jwk"])
		assert self.cnf is None or self.claims["cnf"]["jwk"] == self.cnf
		path = self.content("path")
		index, size = struct.unpack_from(">QQ", path)
		hashes = [path[at:at + 32] for at in range(16, len(path), 32)]
		leaf = hashlib.sha256(b"\0" + DOMAIN + b"\0" + self.eat.rpartition(".")[0].encode()).digest()
		root = root_of(leaf, index, size, hashes)
		assert self.quote.extra == hashlib.sha256(DOMAIN + b"\0" + struct.pack(">Q", size) + root).digest()
		assert self.quote.selected == SELECTED
		assert self.quote.digest == hashlib.sha256(self.content("pcrs")).digest()
		return self

	def batch(self):
		"""(index, size): its place among those that the quote covers."""
		return struct.unpack_from(">QQ", self.content("path"))

	def checkquote(self, place, key="ak.tss"):
		"""tpm2_checkquote with the AK of the host evidence that came along, or the key in this file."""
		public = self.content("ak_public", self.host)
		(place / "ak.tss").write_bytes(struct.pack(">H", len(public)) + public)
		for name in ("quote", "signature"):
			(place / name).write_bytes(self.content(name))
		(place / "pcrs").write_bytes(serialized_pcrs(self.quote.selected, self.content("pcrs")))
		return subprocess.run(["tpm2_checkquote", "-Q", "-u", key, "-m", "quote", "-s", "signature", "-f", "pcrs",
				       "-g", "sha256", "-q", self.quote.extra.hex()],
				      cwd=place, capture_output=True, text=True, check=False)

	def host_claims(self):
		text = self.content("claims", self.host)
		assert b64(hashlib.sha256(text).digest()) == self.claims["submods"]["host"][1][1]
		return json.loads(text)

	def files(self, process):
		"""(role, state, path, digest) of what a process executed."""
		return [measured(self.claims["measurements"][index]) for index in process["files"]]


ROLES = ("executable", "script", "interpreter", "loader", "argument", "manifest", "configuration", "bpf")
STATES = ("kernel", "verity", "held", "observed", "too_late", "too_large", "changed", "unreadable", "disabled", "unproven",
	  "offered", "claimed")
MEMBERS = {"verity": "verity_measurement", "unproven": "unproven_measurement"}


def measured(entry):
	"""(role, state, path, digest) of an entry of measurements: docs/evidence.md, "Measurements"."""
	content_format, text = entry
	body = json.loads(text)
	*zero, role, state = unb64(body["flags"])
	assert zero == [0] * 6
	role, state = ROLES[role - 1], STATES[state - 1]
	assert content_format == (296 if state in ("kernel", "held", "observed", "offered") else 65040)
	member = MEMBERS.get(state, "digested-measurement")
	assert set(body) <= {"id", "flags", member} and (content_format == 65040 or member in body)
	algorithm, digest = body.get(member, (None, None))
	assert algorithm in (None, 1, 8)
	path, = body["id"]
	return role, state, path, digest and unb64(digest)


def thumbprint(jwk):
	"""RFC 7638."""
	required = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
	return b64(hashlib.sha256(required.encode()).digest())


def proof(token, cnf, audience=None):
	"""Header and claims of a proof of possession, checked against the key of cnf by python3-jwt."""
	key = jwt.PyJWK(cnf, "ES256").key
	return jwt.get_unverified_header(token), jwt.decode(token, key, ["ES256"], audience=audience)
