# SPDX-License-Identifier: Apache-2.0
"""The demo's other half: a software TPM, its enrolment, and a token service that checks evidence, forgeries too."""

import base64
import copy
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import time

from report import paint

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build" / "release" / "userspace"
BPF = TOP / "build" / "release" / "bpf" / "affiant_bpf" / "affiant.bpf.o"
STATE = TOP / "build" / "demo-tpm"	# making one takes some seconds: it is kept
AUDIENCE = "https://sts.example.com/token"


class Failure(Exception):
	"""For a person: which command failed, and what it said."""


def run(*command, stdin=None, codes=(0,)):
	done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, check=False)
	if done.returncode not in codes:
		raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
	return done


def digest(path):
	return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class SoftTpm:
	"""tools/affiant-softtpm, for as long as the demo lasts."""

	def __init__(self, place):
		self.socket = place / "tpm.sock"
		self.root = STATE / "ca" / "swtpm-localca-rootca-cert.pem"
		self.issuer = STATE / "ca" / "issuercert.pem"

	def start(self):
		run(TOP / "tools" / "affiant-softtpm", "--state-dir", STATE, "--socket", self.socket)
		self.pid = int(pathlib.Path(f"{self.socket}.pid").read_text())

	def stop(self):
		try:
			os.kill(self.pid, 15)
			while pathlib.Path(f"/proc/{self.pid}").exists():
				time.sleep(0.05)
		except ProcessLookupError:
			pass

	def configuration(self):
		return f"tpm:\n  tcti: swtpm:path={self.socket}\n"


class Verifier:
	"""A token service: it has the enrolment CA, a policy, and what it learnt of hosts. It trusts nothing else."""

	def __init__(self, place, tpm):
		self.place = place / "verifier"
		self.place.mkdir()
		self.tpm = tpm
		self.policy = self.place / "policy.yaml"
		self.nonce = secrets.token_urlsafe(16)
		run(BIN / "affiant", "ca", "init", "--dir", self.place / "ca")

	def enrol(self, socket):
		"""The three steps of affiant enroll, and the verifier's two."""
		at = self.place
		enroll = [BIN / "affiant", "enroll", "--socket", socket]
		run(*enroll, "-o", at / "request.json")
		run(BIN / "affiant", "ca", "challenge", "--dir", at / "ca", "--trust", self.tpm.root, "--trust", self.tpm.issuer, "--allow-software-tpm",
		    "-O", at / "challenge.json", at / "request.json")
		run(*enroll, "--activate", at / "challenge.json", "-o", at / "answer.json")
		run(BIN / "affiant", "ca", "issue", "--dir", at / "ca", "-O", at / "ak.pem", at / "answer.json")
		run(*enroll, "--install", at / "ak.pem")

	def write_policy(self, engine):
		"""Made before any evidence is seen. The ueid was learnt when the host was enrolled."""
		ek = unb64(json.loads((self.place / "request.json").read_text())["ek_public"])
		executable, argument = engine.asks()
		template = (pathlib.Path(__file__).parent / "policy.yaml").read_text()
		self.policy.write_text(template.format(
			tpm_root=self.tpm.root, tpm_issuer=self.tpm.issuer, ca=self.place / "ca" / "ca.pem",
			ueid=b64(b"\1" + hashlib.sha256(ek).digest()), agent=f"spiffe://affiant.invalid/agent/{engine.name}",
			affiantd=digest(BIN / "affiantd"), bpf=digest(BPF), executable=digest(executable),
			argument=digest(argument) if argument else "any"))

	def verify(self, evidence, nonce=None, audience=AUDIENCE, output="json"):
		"""(exit code, what it printed)"""
		done = run(BIN / "affiant", "verify", "--policy", self.policy, "--nonce", nonce or self.nonce, "--audience",
			   audience, "-o", output, "-", stdin=evidence, codes=(0, 1, 2))
		return done.returncode, done.stdout


# ---- forgeries ----


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
	return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def raw_signature(der):
	"""r and s, 32 bytes each, out of ECDSA-Sig-Value."""
	parts, at = b"", 2
	for _ in range(2):
		size = der[at + 1]
		parts += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
		at += 2 + size
	return parts


class Forger:
	"""Somebody with the evidence, a key of his own, and no TPM."""

	def __init__(self, evidence, place):
		self.evidence = json.loads(evidence)
		self.key = place / "forger.pem"
		run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)

	def _with(self, member, change):
		forged = copy.deepcopy(self.evidence)
		forged[member][1] = b64(change(unb64(forged[member][1])))
		return json.dumps(forged)

	def _public(self):
		der = subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"], capture_output=True,
				     check=True).stdout
		return {"kty": "EC", "crv": "P-256", "x": b64(der[-64:-32]), "y": b64(der[-32:])}

	def claims_signed_anew(self):
		"""Another principal; well signed, by a key that the claims name, as the daemon's would be."""
		def change(token):
			claims = json.loads(unb64(token.split(b".")[1].decode()))
			jwk = self._public()
			canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
			claims["kid"] = b64(hashlib.sha256(canonical.encode()).digest())
			claims["submods"]["workload"]["principal"]["subject"] = "mallory@example.com"
			header = {"alg": "ES256", "typ": "eat+jwt", "jwk": jwk}
			signed = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
			der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(),
					     capture_output=True, check=True).stdout
			return f"{signed}.{b64(raw_signature(der))}".encode()
		return self._with("eat", change)

	def another_pcr(self):
		return self._with("pcrs", lambda pcrs: hashlib.sha256(b"a kernel of mine").digest() + pcrs[32:])

	def signed_outside_the_tpm(self):
		"""The same quote under the forger's key."""
		quote = unb64(self.evidence["quote"][1])
		der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=quote, capture_output=True,
				     check=True).stdout
		raw = raw_signature(der)
		return self._with("signature", lambda _: b"\0\x18\0\x0b\0\x20" + raw[:32] + b"\0\x20" + raw[32:])

	def longer_quote(self):
		return self._with("quote", lambda quote: quote + b"\0")


def forgeries(verifier, evidence, place):
	"""(what was done, exit code, refusal code) of each."""
	forger = Forger(evidence, place)
	cases = [
		("replayed for another request (nonce)", evidence, {"nonce": secrets.token_urlsafe(16)}),
		("taken to another service (audience)", evidence, {"audience": "https://other.example.com"}),
		("another user named, claims signed anew", forger.claims_signed_anew(), {}),
		("the value of PCR 0 replaced", forger.another_pcr(), {}),
		("the quote signed outside the TPM", forger.signed_outside_the_tpm(), {}),
		("a byte behind the quote", forger.longer_quote(), {}),
	]
	for what, forged, how in cases:
		status, output = verifier.verify(forged, **how)
		yield what, status, json.loads(output)["code"]


def show(verifier, evidence, place):
	"""What the token service makes of it all. Raises Failure if a forgery passes."""
	print("   Its policy takes what no policy should outside a demonstration: " +
	      paint("a software TPM, no boot log, a user that the launcher named", "yellow"))
	print(f"  $ affiant verify --policy policy.yaml --nonce {verifier.nonce} --audience {AUDIENCE}")
	status, output = verifier.verify(evidence, output="text")
	print("".join(f"  {line}\n" for line in output.splitlines()), end="")
	if status:
		raise Failure("the evidence was not accepted")
	print("\n   and of six forgeries:\n")
	for what, refused, code in forgeries(verifier, evidence, place):
		if refused == 0:
			raise Failure(f"a forgery passed: {what}")
		word = paint("refused", "red") if refused == 1 else paint("malformed", "red")
		print(f"  {what:<42} {word}: {code}")
