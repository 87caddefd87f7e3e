# SPDX-License-Identifier: Apache-2.0
"""The host's side of enrolment in Python, from docs/evidence.md, and affiant ca as the other side."""

import base64
import hashlib
import hmac
import json
import subprocess

from harness.tpmtools import BUILD

HOST_ID = "5f3c0d9a1be24e7791c0a8d2f06b4e13"
TYPE = "tag:affiant.dev,2026:enrolment-%s#1"


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
	return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ueid(ek_public):
	return b64(b"\1" + hashlib.sha256(ek_public).digest())


def request(ek_public, ak_public, ek_chain):
	return {
		"type": TYPE % "request", "host_id": HOST_ID, "ek_public": b64(ek_public), "ak_public": b64(ak_public),
		"ek_chain": [b64(der) for der in ek_chain],
	}


def tpm2_tools_credential(challenge):
	"""A challenge's credential as tpm2_activatecredential reads it."""
	return b"\xba\xdc\xc0\xde\0\0\0\1" + unb64(challenge["credential"]) + unb64(challenge["secret"])


def answer(challenge, key):
	name = unb64(challenge["ak_name"])
	proof = hmac.digest(key, b"affiant/enrol/v1\0" + name, "sha256")
	return {"type": TYPE % "answer", "ak_name": challenge["ak_name"], "proof": b64(proof)}


def ca(place, *args, refused=None, code=None):
	"""affiant ca with the authority in place/ca; what it prints, or with refused=TEXT nothing but that on stderr."""
	verb, *rest = map(str, args)
	done = subprocess.run(
		[BUILD / "userspace/affiant", "ca", verb, "--dir", place / "ca", *rest], capture_output=True, text=True, cwd=place
	)
	assert done.returncode == (code if code is not None else 1 if refused else 0), done.stderr
	if refused:
		assert refused in done.stderr and not done.stdout, done.stderr
	return done.stdout


def challenge(place, document, *args, refused=None):
	(place / "request.json").write_text(json.dumps(document))
	out = ca(place, "challenge", *args, "request.json", refused=refused)
	return None if refused else json.loads(out)


def issue(place, document, *args, refused=None):
	(place / "answer.json").write_text(json.dumps(document))
	return ca(place, "issue", *args, "answer.json", refused=refused)
