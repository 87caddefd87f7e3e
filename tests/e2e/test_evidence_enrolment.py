# SPDX-License-Identifier: Apache-2.0
"""Enrolment by files, end to end: affiant enroll here, affiant ca at the verifier's."""

import json
import stat
import subprocess

import pytest

from harness import daemon as daemons
from harness.enrolled import Enrolment
from harness.evidence import Attested


@pytest.fixture
def attested(new_daemon):
	instance = Attested(new_daemon)
	yield instance
	instance.remove()


@pytest.fixture
def enrolment(attested, place):
	return Enrolment(attested, place)


def enrolled(attested):
	return attested.status()["tpm"]["enrolled"]


def test_enrolment(attested, enrolment):
	agent = attested.agent()
	before = agent.evidence(host=True).check()
	assert not enrolled(attested)
	enrolment()
	assert enrolled(attested)
	assert "enrolled" in attested.daemon.affiant("status").stdout
	taken = agent.evidence(host=True).check()
	assert taken.host_claims()["tpm"]["enrolled"] is True
	assert before.claims["submods"]["host"] != taken.claims["submods"]["host"]
	chain = taken.content("ak_chain", taken.host)
	assert chain == enrolment.path("certificate.pem").read_bytes()
	enrolment.run("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.pem", "certificate.pem")


def test_certificate_signs_the_quotes_key(attested, enrolment):
	"""tpm2_checkquote with the certificate's key instead of the daemon's word."""
	enrolment()
	taken = attested.agent().evidence(host=True)
	public = subprocess.run(["openssl", "x509", "-in", "certificate.pem", "-noout", "-pubkey"], cwd=enrolment.place, check=True,
				capture_output=True).stdout
	(enrolment.place / "ak.pem").write_bytes(public)
	done = taken.checkquote(enrolment.place, "ak.pem")
	assert done.returncode == 0, done.stderr


def test_outlives_the_daemon(attested, enrolment):
	enrolment()
	kept = attested.daemon.state / "tpm" / "ak-chain.pem"
	assert stat.S_IMODE(kept.stat().st_mode) == 0o600
	attested.daemon.stop()
	attested.start()
	agent = attested.agent()
	assert "ak_chain" in agent.evidence(host=True).host
	assert enrolled(attested)


@pytest.fixture
def other(new_daemon):
	instance = Attested(new_daemon, fresh=True)
	yield instance
	instance.remove()


def test_certificate_of_another_key(attested, enrolment, other, place):
	"""One that another host's AK was given; one cut; none at all. What was there stays."""
	(place / "other").mkdir()
	theirs = Enrolment(other, place / "other")
	theirs.certificate()
	enrolment.enroll("--install", theirs.path("certificate.pem"), refused="attestation key")
	assert not enrolled(attested)
	enrolment()
	enrolment.enroll("--install", theirs.path("certificate.pem"), refused="attestation key")
	text = enrolment.path("certificate.pem").read_text()
	for bad in (text[:200], "nothing", text.replace("CERTIFICATE", "PRIVATE KEY")):
		enrolment.path("bad.pem").write_text(bad)
		enrolment.enroll("--install", "bad.pem", refused="does not begin with a certificate")
	assert enrolled(attested)
	assert attested.agent().evidence(host=True).host["ak_chain"]


def test_challenge_of_another_key(attested, enrolment, other, place):
	"""The TPM itself refuses what was not made for it."""
	(place / "other").mkdir()
	theirs = Enrolment(other, place / "other")
	theirs.challenge()
	enrolment.enroll("--activate", theirs.path("challenge.json"), refused="not made for this TPM")
	challenge = json.loads(theirs.path("challenge.json").read_text())
	for name in ("credential", "secret"):
		enrolment.path("bad.json").write_text(json.dumps(challenge | {name: "AAAA"}))
		enrolment.enroll("--activate", "bad.json", refused="not the structure that a TPM takes")
	attested.wait_state("ready")
	assert attested.agent().evidence()


def test_key_made_anew(attested, enrolment):
	"""Without its blob the AK is another one: the certificate is not this one's, and the host not enrolled."""
	enrolment()
	before = attested.status()["tpm"]["ak_name"]
	attested.daemon.stop()
	blobs = [path for path in (attested.daemon.state / "tpm").iterdir() if path.name != "ak-chain.pem"]
	assert blobs
	for blob in blobs:
		blob.unlink()
	attested.start()
	assert attested.status()["tpm"]["ak_name"] != before
	assert not enrolled(attested)
	assert "ak_chain" not in attested.agent().evidence(host=True).host
	enrolment()
	assert enrolled(attested)


def test_root_alone(attested, enrolment):
	"""Neither another user, nor an agent that runs as root."""
	as_user = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--"]
	done = enrolment.run(*as_user, daemons.AFFIANT, "enroll", "--socket", attested.daemon.socket, refused="may not enrol the host")
	assert not done.stdout
	run = attested.daemon.run(daemons.AFFIANT, "enroll", "--socket", attested.daemon.socket, check=False)
	assert (run.returncode, run.stdout) == (1, "")
	assert "a process of a session may not" in run.stderr


def test_no_tpm(new_daemon, place):
	daemon = new_daemon("tpm: {tcti: none}\n")
	done = daemon.affiant("enroll")
	assert (done.returncode, done.stdout) == (1, "")
	assert "no TPM is configured" in done.stderr


def test_disk_full(attested, enrolment):
	"""A certificate that can't be kept is refused, and what was there stays."""
	enrolment()
	tpm = attested.daemon.state / "tpm"
	kept = (tpm / "ak-chain.pem").read_bytes()
	(tpm / "ak-chain.pem.new").mkdir()
	enrolment.enroll("--install", "certificate.pem", refused="can't be kept")
	assert (tpm / "ak-chain.pem").read_bytes() == kept
