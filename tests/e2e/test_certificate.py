# SPDX-License-Identifier: Apache-2.0
"""EK certificates as makers issue them, malformed in the ways that are known, and in ways that must not pass."""

import datetime
import json
import struct
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from harness import enrolment
from harness.enrolment import challenge
from harness.tpmtools import BUILD

EK_PURPOSE, AK_PURPOSE = ObjectIdentifier("2.23.133.8.1"), ObjectIdentifier("2.23.133.8.3")
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.utcnow().replace(microsecond=0)
NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59)


def sized(data):
	return struct.pack(">H", len(data)) + data


def public(key, attributes=0x000300B2):
	"""TPMT_PUBLIC of an EK with that key."""
	head = struct.pack(">HHI", 1 if isinstance(key, rsa.RSAPublicKey) else 0x23, 0x0B, attributes) + sized(b"")
	head += struct.pack(">HHH", 6, 128, 0x43)
	numbers = key.public_numbers()
	if isinstance(key, rsa.RSAPublicKey):
		return head + struct.pack(">HHI", 0x10, key.key_size, 0) + sized(numbers.n.to_bytes(key.key_size // 8, "big"))
	return head + struct.pack(">HHH", 0x10, 3, 0x10) + sized(numbers.x.to_bytes(32, "big")) + sized(numbers.y.to_bytes(32, "big"))


def ak_public():
	numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
	head = struct.pack(">HHI", 0x23, 0x0B, 0x00050072) + sized(b"")
	return head + struct.pack(">HHHHH", 0x10, 0x18, 0x0B, 3, 0x10) + sized(numbers.x.to_bytes(32, "big")) + sized(numbers.y.to_bytes(32, "big"))


def name(text):
	return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def tpm_name(manufacturer, model="SLB9670"):
	return x509.SubjectAlternativeName([x509.DirectoryName(x509.Name([
		x509.NameAttribute(ObjectIdentifier("2.23.133.2.1"), manufacturer),
		x509.NameAttribute(ObjectIdentifier("2.23.133.2.2"), model),
		x509.NameAttribute(ObjectIdentifier("2.23.133.2.3"), "id:0D0B"),
	]))])


USAGE = dict.fromkeys(["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
	"key_cert_sign", "crl_sign", "encipher_only", "decipher_only"], False)


def usage(**bits):
	return x509.KeyUsage(**{**USAGE, **bits})


class Issuer:
	def __init__(self, text="Maker", parent=None, key=None, ca=True, path=None):
		self.key = key or ec.generate_private_key(ec.SECP256R1())
		self.name = name(text)
		signer = parent or self
		builder = (
			x509.CertificateBuilder().subject_name(self.name).issuer_name(signer.name).public_key(self.key.public_key())
			.serial_number(x509.random_serial_number()).not_valid_before(NOW - DAY).not_valid_after(NOW + 1000 * DAY)
			.add_extension(usage(key_cert_sign=True), True)
		)
		if ca is not None:
			builder = builder.add_extension(x509.BasicConstraints(ca, path), True)
		self.certificate = builder.sign(signer.key, hashes.SHA256())

	def pem(self):
		return self.certificate.public_bytes(serialization.Encoding.PEM)

	def der(self):
		return self.certificate.public_bytes(serialization.Encoding.DER)

	def issue(self, key, subject="", extensions=None, start=NOW - DAY, end=NOW + DAY, digest=hashes.SHA256()):
		builder = (
			x509.CertificateBuilder().subject_name(name(subject)).issuer_name(self.name).public_key(key)
			.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
		)
		for extension, critical in extensions if extensions is not None else USUAL:
			builder = builder.add_extension(extension, critical)
		return builder.sign(self.key, digest).public_bytes(serialization.Encoding.DER)


SAN = (tpm_name("id:49465800"), True)
NOT_CA = (x509.BasicConstraints(False, None), True)
AGREES = (usage(key_agreement=True), True)
EK_ONLY = (x509.ExtendedKeyUsage([EK_PURPOSE]), False)
USUAL = [SAN, NOT_CA, AGREES, EK_ONLY]


@pytest.fixture
def maker(place):
	issuer = Issuer()
	(place / "trust.pem").write_bytes(issuer.pem())
	(place / "ca").mkdir()
	return issuer


@pytest.fixture
def key():
	return ec.generate_private_key(ec.SECP256R1()).public_key()


def offer(place, key, chain, *args, refused=None):
	challenge(place, enrolment.request(public(key), ak_public(), chain), "--trust", "trust.pem", *args, refused=refused)


KNOWN = {
	"usual": {},
	"critical SAN under an empty subject": {"extensions": [SAN, NOT_CA, AGREES]},
	"no SAN": {"subject": "EK", "extensions": [NOT_CA, AGREES, EK_ONLY]},
	"no extension at all": {"subject": "EK", "extensions": []},
	"no key usage": {"extensions": [SAN, NOT_CA, EK_ONLY]},
	"year 9999": {"end": NEVER},
	"key encipherment of an ECC key": {"extensions": [SAN, NOT_CA, (usage(key_encipherment=True), True)]},
	"another purpose beside": {"extensions": [SAN, NOT_CA, (x509.ExtendedKeyUsage([AK_PURPOSE, EK_PURPOSE]), True)]},
}


@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN.keys())
def test_known(place, maker, key, case):
	offer(place, key, [maker.issue(key, **case)])


@pytest.mark.parametrize("padding", [b"\0", b"\xff", b"\0" * 500, b"\xff" * 500])
def test_padding(place, maker, key, padding):
	offer(place, key, [maker.issue(key) + padding])


@pytest.mark.parametrize("tail", [b"\1", b"\0\xff", b"\0" * 10 + b"\1", b"0\0"])
def test_other_bytes_behind(place, maker, key, tail):
	offer(place, key, [maker.issue(key) + tail], refused="a certificate of the EK is malformed")


def test_rsaes_oaep_key(place, maker):
	"""The key is labelled id-RSAES-OAEP, which nobody but TPM makers does: patched into the DER, and signed again."""
	key = rsa.generate_private_key(65537, 2048).public_key()
	der = maker.issue(key, extensions=[SAN, NOT_CA, (usage(key_encipherment=True), True)])
	plain, oaep = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010107")
	offer(place, key, [der])
	body = x509.load_der_x509_certificate(der).tbs_certificate_bytes
	assert body.count(plain) == 1
	body = body.replace(plain, oaep)
	signature = maker.key.sign(body, ec.ECDSA(hashes.SHA256()))
	patched = sequence(body + bytes.fromhex("300a06082a8648ce3d040302") + b"\x03" + length(signature, 1) + b"\0" + signature)
	offer(place, key, [patched])
	offer(place, rsa.generate_private_key(65537, 2048).public_key(), [patched], refused="the certificate is for another key")
	for at in (20, 80, len(body) - 10, len(patched) - 10):
		changed = bytearray(patched)
		changed[at] ^= 1
		offer(place, key, [bytes(changed)], refused="refused: ")
	# The label changed without the issuer: the signature is over another one.
	offer(place, key, [der.replace(plain, oaep)], refused="signature failure")
	(place / "trust.pem").write_bytes(Issuer("Maker").pem())
	offer(place, key, [patched], refused="signature failure")


def length(data, more=0):
	n = len(data) + more
	return bytes([n]) if n < 128 else bytes([0x82]) + struct.pack(">H", n)


def sequence(data):
	return b"\x30" + length(data) + data


def test_intermediates(place, maker, key):
	"""Issuers that come with the EK are used, in any order and with others between them, and are trusted for nothing."""
	middle = Issuer("Middle", maker)
	low = Issuer("Low", middle)
	leaf = low.issue(key)
	offer(place, key, [leaf, low.der(), middle.der()])
	offer(place, key, [leaf, middle.der(), Issuer("Other").der(), low.der()])
	offer(place, key, [leaf, low.der()], refused="unable to get local issuer certificate")
	stranger = Issuer("Stranger")
	offer(place, key, [stranger.issue(key), stranger.der()], refused="self")
	offer(place, key, [low.der(), middle.der(), leaf], refused="the certificate is a CA's")
	(place / "trust.pem").write_bytes(low.pem())	# an anchor need not sign itself
	offer(place, key, [leaf])


UNKNOWN_EXTENSION = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4.5"), b"\x05\0")
REFUSED = {
	"unknown critical extension": ({"extensions": [*USUAL, (UNKNOWN_EXTENSION, True)]}, "unhandled critical extension"),
	"expired": ({"end": NOW - DAY / 2}, "certificate has expired"),
	"not yet valid": ({"start": NOW + DAY / 2}, "certificate is not yet valid"),
	"a CA": ({"extensions": [(x509.BasicConstraints(True, None), True), (usage(key_cert_sign=True), True)], "subject": "x"}, "a CA's"),
	"a CA with an EK's key usage": ({"extensions": [SAN, (x509.BasicConstraints(True, None), True), AGREES, EK_ONLY]}, "a CA's"),
	"a CA without a key usage": ({"extensions": [SAN, (x509.BasicConstraints(True, 0), True), EK_ONLY]}, "a CA's"),
	"signs certificates": ({"extensions": [SAN, (usage(key_agreement=True, key_cert_sign=True), True), EK_ONLY]}, "a CA's"),
	"signs certificates, and says it is no CA": ({"extensions": [SAN, NOT_CA, (usage(key_agreement=True, key_cert_sign=True), True)]}, "a CA's"),
	"of an AK": ({"extensions": [SAN, NOT_CA, AGREES, (x509.ExtendedKeyUsage([AK_PURPOSE]), False)]}, "extended key usage"),
	"for signing": ({"extensions": [SAN, NOT_CA, (usage(digital_signature=True), True)]}, "key usage is not that of an EK"),
	"SHA-1": ({"digest": hashes.SHA1()}, "weaker than 112 bits"),
}


@pytest.mark.parametrize("case,why", REFUSED.values(), ids=REFUSED.keys())
def test_refused(place, maker, key, case, why):
	offer(place, key, [maker.issue(key, **case)], refused=why)


def test_unknown_but_not_critical(place, maker, key):
	offer(place, key, [maker.issue(key, extensions=[*USUAL, (UNKNOWN_EXTENSION, False)])])


def test_another_key(place, maker, key):
	other = ec.generate_private_key(ec.SECP256R1()).public_key()
	offer(place, key, [maker.issue(other)], refused="the certificate is for another key")


def test_weak_issuer(place, key):
	(place / "ca").mkdir()
	weak = Issuer("Weak", key=rsa.generate_private_key(65537, 1024))
	(place / "trust.pem").write_bytes(weak.pem())
	offer(place, key, [weak.issue(key)], refused="weaker than 112 bits")


def test_middle_that_is_no_ca(place, maker, key):
	middle = Issuer("Middle", maker, ca=False)
	offer(place, key, [middle.issue(key), middle.der()], refused="invalid CA certificate")
	silent = Issuer("Silent", maker, ca=None)	# may sign certificates, and does not say that it is a CA
	offer(place, key, [silent.issue(key), silent.der()], refused="invalid CA certificate")
	narrow = Issuer("Narrow", maker, path=0)
	low = Issuer("Low", narrow)
	offer(place, key, [low.issue(key), low.der(), narrow.der()], refused="path length constraint exceeded")


@pytest.mark.parametrize("manufacturer,model,software", [
	("id:00001014", "x", True), ("id:49424D00", "swtpm", True), ("id:53544D20", "TPM Simulator", True),
	("id:53544D20", "ST33HTPH", False), ("id:474F4F47", "vTPM", False),
])
def test_software(place, maker, key, manufacturer, model, software):
	der = maker.issue(key, extensions=[(tpm_name(manufacturer, model), True), NOT_CA, AGREES])
	offer(place, key, [der], refused="this TPM is a program" if software else None)
	offer(place, key, [der], "--allow-software-tpm")


def test_hostile_texts(place, maker, key):
	"""What an issuer let into a name does not reach the terminal as it is."""
	der = maker.issue(key, extensions=[(tpm_name("\x1b[2J", "a\nb\u202e"), True), NOT_CA, AGREES])
	(place / "request.json").write_text(json.dumps(enrolment.request(public(key), ak_public(), [der])))
	done = subprocess.run([BUILD / "userspace/affiant", "ca", "challenge", "--dir", place / "ca", "--trust", "trust.pem", "request.json"],
		cwd=place, capture_output=True, check=True)
	assert b"\\x1b[2J" in done.stderr and b"\x1b" not in done.stderr and done.stderr.count(b"\n") == 1


def test_every_truncation(place, maker, key):
	"""No beginning of a certificate passes, and none with a byte changed does that its signature covers."""
	der = maker.issue(key)
	for cut in range(1, len(der), 23):
		offer(place, key, [der[:cut]], refused="a certificate of the EK is malformed")
	for at in range(8, len(der) - 80, 29):
		changed = bytearray(der)
		changed[at] ^= 0x10
		offer(place, key, [bytes(changed)], refused="refused: ")
