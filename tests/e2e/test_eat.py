# SPDX-License-Identifier: Apache-2.0
"""The claims are an EAT: by the CDDL of RFC 9711, and by one of our own after RFC 10013."""

import json
import subprocess

import pytest

from harness import daemon as daemons
from harness import eat
from harness.evidence import measured, unb64

DATA = daemons.TOP / "tests/data/attest"
COMPONENTS = (DATA / "measurements.cddl").read_text()


@pytest.fixture(scope="module")
def program():
	return eat.reader("cddl")


@pytest.fixture(scope="module")
def claims_set(program, tmp_path_factory):
	schema = eat.Cddl(program, tmp_path_factory.mktemp("cddl") / "claims-set", eat.schema())
	yield schema
	schema.end()


@pytest.fixture(scope="module")
def bodies(program, tmp_path_factory):
	"""By content-format."""
	place = tmp_path_factory.mktemp("cddl")
	schemas = {number: eat.Cddl(program, place / root, f"root = {root}\n{COMPONENTS}")
		   for number, root in ((296, "measured-component"), (65040, "file"))}
	yield schemas
	for schema in schemas.values():
		schema.end()


def check(claims, claims_set, bodies):
	assert claims_set([json.dumps(claims)]) == ["ok"]
	for number, schema in bodies.items():
		texts = [text for content_format, text in claims["measurements"] if content_format == number]
		assert schema(texts) == ["ok"] * len(texts)
	assert all(map(measured, claims["measurements"]))


@pytest.mark.parametrize("path", sorted(DATA.glob("*claims/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_samples(path, claims_set, bodies):
	check(json.loads(path.read_text()), claims_set, bodies)


def test_what_the_daemon_says(attested, place, claims_set, bodies):
	"""With a script, a file that proves nothing, and a manifest."""
	script = place / "agent"
	script.write_text('#!/bin/sh\n"$@"\n:\n')
	script.chmod(0o755)
	agent = attested.agent(within=[str(script)], options=["--measure", script, "--on-behalf-of", "alice@example.com", "--purpose", "a test"])
	taken = agent.evidence(host=True).check()
	assert {entry[0] for entry in taken.claims["measurements"]} >= {296}
	check(taken.claims, claims_set, bodies)
	check(taken.host_claims(), claims_set, bodies)
	agent.end()


DIGEST = "zneiv03LICh84KSPhRI1wBs4BxFyl4phi-VAScbsAdM"


@pytest.mark.parametrize("path, value", [
	# As this profile had them before.
	("swversion", "0.1.0"),
	("measurements", [["application/measured-component+json", "{}"]]),
	("measurements", [[296, {"id": ["/bin/sh"]}]]),
	("submods.host", ["sha-256", DIGEST]),
	("submods.workload.manifests", [5]),
	("measurements", []),
	# What the parser refuses too.
	("swversion", ["0.1.0", 16384, 1]),
	("measurements", [[65536, "{}"]]),
	("measurements", [[-1, "{}"]]),
	("measurements", [[296]]),
	("eat_nonce", "1234567"),
	("eat_nonce", "x" * 89),
	("eat_nonce", ["one-of-one"]),
	("ueid", "A" * 48),
	("iat", "now"),
	("submods.host", ["DIGEST", ["SHA-256", 7]]),
	("submods.host", ["DIGEST", ["SHA-256"]]),
	("submods.host", ["HASH", ["SHA-256", DIGEST]]),
], ids=str)
def test_validator_refuses(path, value, claims_set):
	"""That it says ok means something: what is no EAT is none to it."""
	claims = json.loads((DATA / "claims/usual.json").read_text())
	*holders, name = path.split(".")
	o = claims
	for holder in holders:
		o = o[holder]
	o[name] = value
	assert claims_set([json.dumps(claims)]) != ["ok"]


@pytest.mark.parametrize("number, body", [
	(296, {"id": ["/bin/sh"], "flags": "AAAAAAAAAQU"}),
	(296, {"id": ["/bin/sh"], "measurement": [1, DIGEST], "flags": "AAAAAAAAAQQ"}),
	(296, {"id": ["/bin/sh"], "digested-measurement": ["sha-256"], "flags": "AAAAAAAAAQQ"}),
	(296, {"id": ["/bin/sh"], "digested-measurement": [1, DIGEST], "role": "executable"}),
	(296, {"id": ["/bin/sh"], "digested-measurement": [1, DIGEST], "flags": "AQQ"}),
	(296, {"id": "/bin/sh", "digested-measurement": [1, DIGEST], "flags": "AAAAAAAAAQQ"}),
	(65040, {"id": ["/bin/sh"], "digested-measurement": [1, DIGEST], "flags": "AAAAAAAAAQQ"}),
], ids=str)
def test_bodies_refused(number, body, bodies):
	assert bodies[number]([json.dumps(body)]) != ["ok"]


# ---- the collection around them (RFC 9999) ----

def told(o, path=""):
	yield f"{path} {o['__cmwc_t']}"
	for name, value in o.items():
		if isinstance(value, list):
			yield f"{path}/{name} {value[0]} {str(value[2] == 4).lower()} {len(unb64(value[1]))}"
		elif isinstance(value, dict):
			yield from told(value, f"{path}/{name}")


@pytest.mark.long
def test_collection_in_rust(attested):
	"""Veraison's crate finds in a collection what we put there; what is none it refuses."""
	program = eat.reader("cmw")
	agent = attested.agent()
	cmw = agent.evidence(host=True).cmw
	agent.end()
	bad = {**cmw, "quote": [cmw["quote"][0], cmw["quote"][1] + "="]}
	done = subprocess.run([program], input="".join(json.dumps(o) + "\n" for o in (cmw, bad)), capture_output=True, text=True, check=True)
	first, second, rest = done.stdout.split("end\n")
	assert sorted(first.splitlines()) == sorted(told(cmw)) and len(first.splitlines()) > 10
	assert second.startswith("refused: ") and not rest
