# SPDX-License-Identifier: Apache-2.0
"""JWS and proofs against python3-jwt, and the format's files against programs that are not ours."""

import base64
import copy
import hashlib
import json
import pathlib
import subprocess
import sys

import jsonschema
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from harness.tpmtools import attest_tool

TOP = pathlib.Path(__file__).resolve().parents[2]
JTI = "019a1c2d-3e4f-7a5b-8c6d-7e8f90a1b2c3"


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_in(place, curve=ec.SECP256R1):
	key = ec.generate_private_key(curve())
	pem = key.private_bytes(
		serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
	)
	(place / "key.pem").write_bytes(pem)
	return key


def jwk_of(key):
	"""Ours: PyJWT's to_jwk() leaves leading zeros of a coordinate away (RFC 7518, section 6.2.1.2 wants them)."""
	numbers, size = key.public_key().public_numbers(), (key.curve.key_size + 7) // 8
	return {
		"kty": "EC", "crv": f"P-{key.curve.key_size}",
		"x": b64(numbers.x.to_bytes(size, "big")), "y": b64(numbers.y.to_bytes(size, "big")),
	}


@pytest.mark.parametrize("curve,alg", [(ec.SECP256R1, "ES256"), (ec.SECP384R1, "ES384")])
def test_pyjwt_verifies_ours(place, curve, alg):
	key = key_in(place, curve)
	header, payload = {"alg": alg, "typ": "eat+jwt", "kid": "k"}, {"iss": "ü", "n": 2**53}
	(place / "header").write_text(json.dumps(header))
	(place / "payload").write_text(json.dumps(payload))
	token = attest_tool("jws", place / "key.pem", place / "header", place / "payload")
	assert jwt.decode(token, key.public_key(), algorithms=[alg]) == payload
	assert jwt.get_unverified_header(token) == header


@pytest.mark.parametrize("curve,alg", [(ec.SECP256R1, "ES256"), (ec.SECP384R1, "ES384")])
def test_ours_verifies_pyjwt(place, curve, alg):
	key = key_in(place, curve)
	(place / "jwk").write_text(json.dumps(jwk_of(key)))
	for n in range(50):
		token = jwt.encode({"n": n}, key, algorithm=alg)
		(place / "token").write_text(token)
		assert json.loads(attest_tool("verify", place / "token", place / "jwk")) == {"n": n}
		head, body, signature = token.split(".")
		(place / "token").write_text(f"{head}.{b64(json.dumps({'n': n + 1}).encode())}.{signature}")
		attest_tool("verify", place / "token", place / "jwk", refused=True)


def test_thumbprint(place):
	key = key_in(place)
	jwk = jwk_of(key)
	canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
	assert attest_tool("thumbprint", place / "key.pem") == b64(hashlib.sha256(canonical.encode()).digest())


def sha(text):
	return b64(hashlib.sha256(text.encode()).digest())


def test_dpop(place):
	"""RFC 9449, section 4.3, as a resource server checks it."""
	key = key_in(place)
	token = attest_tool("dpop", place / "key.pem", "POST", "https://sts.example/token?x=1#y", "n-1", "access", JTI, 1793600000)
	header = jwt.get_unverified_header(token)
	assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk_of(key)}
	assert "d" not in header["jwk"]
	shown = jwt.algorithms.ECAlgorithm.from_jwk(json.dumps(header["jwk"]))
	assert jwt.decode(token, shown, algorithms=["ES256"], options={"verify_iat": False}) == {
		"jti": JTI, "htm": "POST", "htu": "https://sts.example/token", "iat": 1793600000, "nonce": "n-1", "ath": sha("access"),
	}
	token = attest_tool("dpop", place / "key.pem", "GET", "https://sts.example/", "", "", JTI, 1)
	assert jwt.decode(token, shown, algorithms=["ES256"]) == {
		"jti": JTI, "htm": "GET", "htu": "https://sts.example/", "iat": 1,
	}


def test_wpt(place):
	key = key_in(place)
	token = attest_tool("wpt", place / "key.pem", "https://api.example/x", "the.wit", "access", JTI, 1793600030)
	assert jwt.get_unverified_header(token) == {"typ": "wpt+jwt", "alg": "ES256"}
	claims = jwt.decode(token, key.public_key(), algorithms=["ES256"], audience="https://api.example/x", options={"verify_exp": False})
	assert claims == {
		"aud": "https://api.example/x", "exp": 1793600030, "jti": JTI, "wth": sha("the.wit"), "ath": sha("access"),
	}


@pytest.mark.parametrize("htm,htu", [("", "https://a/"), ("P ST", "https://a/"), ("GET", ""), ("GET", "a/b"), ("GET", "https:"),
	("GET", "https://a/\n"), ("GET", "https://a/ü"), ("GET", "https://a/" + "a" * 9000)])
def test_dpop_refused(place, htm, htu):
	key_in(place)
	attest_tool("dpop", place / "key.pem", htm, htu, "", "", JTI, 1, refused=True)


def test_proofs_are_es256(place):
	key_in(place, ec.SECP384R1)
	attest_tool("dpop", place / "key.pem", "GET", "https://a/", "", "", JTI, 1, refused=True)
	attest_tool("wpt", place / "key.pem", "https://a/", "wit", "", JTI, 1, refused=True)


def test_vectors():
	subprocess.run([sys.executable, TOP / "tests/oracle/vectors.py"], check=True)


def samples(directory):
	return {path.stem: json.loads(path.read_text()) for path in sorted((TOP / "tests/data/attest" / directory).glob("*.json"))}


VALUES = [None, True, False, -1, 0, 1, 7.5, 2**32, 2**63 - 1, "", "x", "missing", "\n", "x" * 1025, [], [[]], [0], [-1], [500], {}, {"id": []}]


def changes(value):
	"""Copies of a document in which one value anywhere is missing, or another."""
	if isinstance(value, dict):
		for name in value:
			yield {k: v for k, v in value.items() if k != name}
			for other in changes(value[name]):
				yield {**value, name: other}
	elif isinstance(value, list):
		for i in range(len(value)):
			for other in changes(value[i]):
				yield value[:i] + [other] + value[i + 1 :]
	elif isinstance(value, str) and value.startswith("{"):
		yield from (json.dumps(other) for other in changes(json.loads(value)))
	yield from (v for v in VALUES if v != value or type(v) is not type(value))


# Lengths in bytes, indices, what must agree (exp), and the point of a key are beyond a schema.
BEYOND = {"exp", "cnf.jwk", "submods.workload.process.files", "submods.workload.ancestors.files", "submods.workload.manifest_roots"}


@pytest.mark.parametrize("schema,directory,beyond", [("evidence-1", "claims", BEYOND), ("host-1", "host-claims", set())])
def test_schema(place, schema, directory, beyond):
	"""The schema and the parser agree about every sample with any one value changed, but for what a schema can't say."""
	schema = json.loads((TOP / f"docs/schema/{schema}.json").read_text())
	jsonschema.Draft202012Validator.check_schema(schema)
	validator = jsonschema.Draft202012Validator(schema)

	def problems(document):
		"""contentSchema is for the reader to ask: the measurements are texts."""
		found = [error.message for error in validator.iter_errors(document)]
		for content_format, text in [] if found else document.get("measurements", []):
			inner = validator.evolve(schema={"$ref": "#/$defs/" + {296: "component", 65040: "file"}[content_format],
							 "$defs": schema["$defs"]})
			try:
				found += [error.message for error in inner.iter_errors(json.loads(text))]
			except ValueError:
				found.append("no JSON")
		return found

	given = samples(directory)
	for sample in given.values():
		assert not problems(sample)
	documents = [given["large"], {**given["usual"], "another": [1]}]
	documents += [change for name in ("small", "usual", "unproven")
		      if name in given for change in changes(copy.deepcopy(given[name])) if isinstance(change, dict)]
	(place / "list").write_text(json.dumps(documents))
	answers = attest_tool(directory, place / "list").splitlines()
	assert len(answers) == len(documents) > 1000
	stricter = 0
	for document, answer in zip(documents, answers):
		found = problems(document)
		if found:
			assert answer != "ok", found[0]
		else:
			assert answer == "ok" or answer in beyond, (answer, document)
			stricter += answer != "ok"
	assert answers[:2] == ["ok", "ok"] and (stricter > 0) == bool(beyond)
