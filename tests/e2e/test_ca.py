# SPDX-License-Identifier: Apache-2.0
"""affiant ca: the whole enrolment by files, with a software TPM and its own CA as the host."""

import json
import os
import stat
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from harness import enrolment
from harness.enrolment import ca, challenge, issue
from harness.tpmtools import TpmTools

UNKNOWN = "refused: no challenge waits for this answer"


@pytest.fixture
def authority(place):
	ca(place, "init")
	return place


def host(tpm, kind="ecc384"):
	"""Its request; the file of who vouches for its TPM is tpm.ca."""
	tpm.keys(kind)
	chain = [tpm.certificate(), tpm_issuer(tpm)]
	return enrolment.request((tpm.directory / "ek.pub").read_bytes(), (tpm.directory / "ak.pub").read_bytes(), chain)


def tpm_issuer(tpm):
	return x509.load_pem_x509_certificate(tpm.issuer.read_bytes()).public_bytes(serialization.Encoding.DER)


def answer(tpm, document):
	(tpm.directory / "credential").write_bytes(enrolment.tpm2_tools_credential(document))
	return enrolment.answer(document, tpm.activate(tpm.directory / "credential"))


def test_what_others_can_write(authority):
	"""Neither the authority, nor who vouches for TPMs, nor what waits for an answer."""
	place = authority
	with TpmTools(place) as tpm:
		request = host(tpm)
		trust = place / "trust"
		trust.mkdir(mode=0o700)
		(trust / "tpm.pem").write_bytes(tpm.ca.read_bytes())
		options = ("--trust", trust / "tpm.pem", "--allow-software-tpm")
		challenge(place, request, *options)
		for path in (place / "ca/pending", place / "ca", trust, trust / "tpm.pem"):
			mode = stat.S_IMODE(path.stat().st_mode)
			path.chmod(mode | 0o002)
			challenge(place, request, *options, refused=f"{path}: can be written by others than its owner")
			path.chmod(mode)
		answered = answer(tpm, challenge(place, request, *options))
		pending, = (place / "ca/pending").iterdir()
		for path in (pending, pending.parent, place / "ca/ca.key", place / "ca/ca.pem", place / "ca"):
			mode = stat.S_IMODE(path.stat().st_mode)
			path.chmod(mode | 0o002)
			issue(place, answered, refused=f"{path}: can be written by others than its owner")
			path.chmod(mode)
		issue(place, answered)
	other = place / "open"
	other.mkdir()
	other.chmod(0o777)
	done = subprocess.run([enrolment.BUILD / "userspace/affiant", "ca", "init", "--dir", other], capture_output=True, text=True, check=False)
	assert done.returncode == 1 and "can be written by others" in done.stderr and list(other.iterdir()) == []


def test_enrolment(authority):
	place = authority
	with TpmTools(place) as tpm:
		request = host(tpm)
		challenge(place, request, "--trust", tpm.ca, refused="this TPM is a program")
		given = challenge(place, request, "--trust", tpm.ca, "--allow-software-tpm")
		pending = list((place / "ca/pending").iterdir())
		assert [stat.S_IMODE(path.stat().st_mode) for path in pending] == [0o600]
		answered = answer(tpm, given)
		wrong = {**answered, "proof": enrolment.b64(bytes(32))}
		issue(place, wrong, refused="does not show that the TPM opened the credential")
		(place / "chain.pem").write_text(issue(place, answered, "--days", "7"))
		issue(place, answered, refused=UNKNOWN)
		assert list((place / "ca/pending").iterdir()) == []

	subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "chain.pem"], cwd=place, check=True)
	leaf = x509.load_pem_x509_certificate((place / "chain.pem").read_bytes())
	assert (place / "chain.pem").read_text().count("BEGIN CERTIFICATE") == 2
	extensions = leaf.extensions
	assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
	assert [p.dotted_string for p in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == ["2.23.133.8.3"]
	usage = extensions.get_extension_for_class(x509.KeyUsage)
	assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
	names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
	assert not names.critical
	ueid = enrolment.ueid((place / "ek.pub").read_bytes())
	assert [name.value for name in names.value] == [f"tag:affiant.dev,2026:ueid:{ueid}"]
	point = leaf.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
	assert point[1:49] in (place / "ak.pub").read_bytes() and point[49:] in (place / "ak.pub").read_bytes()


@pytest.mark.parametrize("kind", ["ecc", "rsa"])
def test_other_keys(authority, kind):
	place = authority
	with TpmTools(place) as tpm:
		given = challenge(place, host(tpm, kind), "--trust", tpm.ca, "--allow-software-tpm")
		assert issue(place, answer(tpm, given)).startswith("-----BEGIN CERTIFICATE-----")


def test_no_certificate(authority):
	"""A TPM that is known by its ueid alone."""
	place = authority
	with TpmTools(place) as tpm:
		request = host(tpm)
		request["ek_chain"] = []
		ueid = enrolment.ueid((place / "ek.pub").read_bytes())
		challenge(place, request, "--trust", tpm.ca, refused="the TPM has no certificate for its EK")
		challenge(place, request, "--ueid", ueid[:-1] + "A", refused=f"the request's ueid is {ueid}")
		given = challenge(place, request, "--ueid", ueid)
		assert issue(place, answer(tpm, given)).startswith("-----BEGIN CERTIFICATE-----")


def test_two_tpms(authority):
	"""The EK of one TPM with the AK of another: the challenge is made, and neither of them opens it."""
	place = authority
	(place / "other").mkdir()
	with TpmTools(place) as tpm, TpmTools(place / "other", fresh=True) as other:
		request = host(tpm)
		other.keys()
		request["ak_public"] = enrolment.b64((place / "other/ak.pub").read_bytes())
		given = challenge(place, request, "--trust", tpm.ca, "--allow-software-tpm")
		(place / "credential").write_bytes(enrolment.tpm2_tools_credential(given))
		assert tpm.activate(place / "credential", ok=False) is None
		assert other.activate(place / "credential", ok=False) is None


def test_expired(authority):
	place = authority
	with TpmTools(place) as tpm:
		given = challenge(place, host(tpm), "--trust", tpm.ca, "--allow-software-tpm", "--expires", "1s")
		answered = answer(tpm, given)
		(pending,) = (place / "ca/pending").iterdir()
		while time.time() <= json.loads(pending.read_text())["expires"]:
			time.sleep(0.1)
		issue(place, answered, refused="the challenge has expired")
		other = {**host(tpm), "ek_chain": []}	# another AK: its challenge clears away what nobody answered in time
		challenge(place, other, "--ueid", enrolment.ueid((place / "ek.pub").read_bytes()))
		assert not pending.exists() and len(list((place / "ca/pending").iterdir())) == 1


def test_another_challenge_replaces_the_first(authority):
	place = authority
	with TpmTools(place) as tpm:
		request = host(tpm)
		first = challenge(place, request, "--trust", tpm.ca, "--allow-software-tpm")
		second = challenge(place, request, "--trust", tpm.ca, "--allow-software-tpm")
		assert first["secret"] != second["secret"]
		issue(place, answer(tpm, first), refused="does not show that the TPM opened the credential")
		issue(place, answer(tpm, second))


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_init(place, curve):
	ca(place, "init", "--curve", curve, "--name", "Prüfstelle", "--days", "10")
	assert stat.S_IMODE(os.stat(place / "ca/ca.key").st_mode) == 0o600
	subprocess.run(["openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "ca/ca.pem", "ca/ca.pem"], cwd=place, check=True)
	before = (place / "ca/ca.key").read_bytes(), (place / "ca/ca.pem").read_bytes()
	ca(place, "init", refused="ca.key: File exists")
	assert before == ((place / "ca/ca.key").read_bytes(), (place / "ca/ca.pem").read_bytes())
	assert sorted(path.name for path in (place / "ca").iterdir()) == ["ca.key", "ca.pem"]


@pytest.mark.parametrize("args", [
	["init", "file"], ["challenge", "file"], ["challenge", "--trust", "x", "--ueid", "y", "file"], ["challenge", "--trust", "x"],
	["issue"], ["issue", "a", "b"], ["init", "--curve", "P-521"], ["init", "--days", "0"], ["init", "--days", "x"], ["init", "--name", ""],
	["init", "--name", "x" * 65], ["challenge", "--expires", "1", "--trust", "x", "f"], ["revoke"], ["init", "--unknown"],
])
def test_wrong_calls(place, args):
	assert ca(place, *args, code=64) == ""
	assert not (place / "ca").exists()


def test_unreadable_files(authority):
	place = authority
	for text in ("", "{", "[]", '{"type":1}', '{"type":"a","type":"b"}', "[" * 1000, "x" * 200000):
		(place / "file").write_text(text)
		ca(place, "challenge", "--trust", "ca/ca.pem", "file", refused="file: ")
		ca(place, "issue", "file", refused="file: ")
	ca(place, "challenge", "--trust", "ca/ca.pem", "missing", refused="missing: No such file")
	(place / "ca/ca.key").unlink()
	ca(place, "issue", "file", refused="ca.key: No such file")
