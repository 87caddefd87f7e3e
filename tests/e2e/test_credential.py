# SPDX-License-Identifier: Apache-2.0
"""TPM2_MakeCredential in OpenSSL, against a TPM, tpm2_makecredential, and the text of the specification in Python."""

import hashlib
import hmac
import os
import struct
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from harness.tpmtools import TpmTools, attest_tool

ALGORITHMS = {"sha256": (0x000B, hashes.SHA256()), "sha384": (0x000C, hashes.SHA384()), "sha512": (0x000D, hashes.SHA512())}
CURVES = {"P-256": (ec.SECP256R1(), 3, 32), "P-384": (ec.SECP384R1(), 4, 48)}
EK_ATTRIBUTES = 0x000300B2
NAME = b"\0\x0b" + hashlib.sha256(b"an object").digest()


def sized(data):
	return struct.pack(">H", len(data)) + data


@pytest.mark.parametrize("kind", ["ecc", "ecc384", "rsa"])
def test_a_tpm_activates_it(place, kind):
	with TpmTools(place) as tpm:
		tpm.keys(kind)
		for length in (1, 16, 32):
			secret = os.urandom(length)
			(place / "secret").write_bytes(secret)
			attest_tool("credential", place / "ek.pub", place / "ak.name", place / "secret", place / "credential")
			assert tpm.activate(place / "credential") == secret


def test_a_tpm_refuses_it_for_another_key(place):
	"""The secret is bound to the AK's name, and to the EK."""
	with TpmTools(place) as tpm:
		tpm.keys()
		(place / "secret").write_bytes(os.urandom(32))
		(place / "other.name").write_bytes(NAME)
		attest_tool("credential", place / "ek.pub", place / "other.name", place / "secret", place / "credential")
		assert tpm.activate(place / "credential", ok=False) is None
		good = place / "good"
		attest_tool("credential", place / "ek.pub", place / "ak.name", place / "secret", good)
		for at in (12, 60, len(good.read_bytes()) - 1):	# HMAC, identity, secret
			bad = bytearray(good.read_bytes())
			bad[at] ^= 1
			(place / "bad").write_bytes(bad)
			assert tpm.activate(place / "bad", ok=False) is None
		assert tpm.activate(good) == (place / "secret").read_bytes()


class SoftwareEk:
	"""An EK whose private half is here, and Part 1, section 24, read backwards."""

	def __init__(self, kind, digest, bits):
		self.alg, self.hash = ALGORITHMS[digest]
		self.bits = bits
		head = struct.pack(">HHI", 0x0001 if kind == "rsa" else 0x0023, self.alg, EK_ATTRIBUTES) + sized(b"")
		symmetric = struct.pack(">HHH", 0x0006, bits, 0x0043)
		if kind == "rsa":
			self.key = rsa.generate_private_key(65537, 2048)
			n = self.key.public_key().public_numbers().n.to_bytes(256, "big")
			self.public = head + symmetric + struct.pack(">HHI", 0x0010, 2048, 0) + sized(n)
		else:
			curve, number, self.size = CURVES[kind]
			self.key = ec.generate_private_key(curve)
			point = self.key.public_key().public_numbers()
			self.x = point.x.to_bytes(self.size, "big")
			self.public = (
				head + symmetric + struct.pack(">HHH", 0x0010, number, 0x0010)
				+ sized(self.x) + sized(point.y.to_bytes(self.size, "big"))
			)

	def digest(self, data):
		h = hashes.Hash(self.hash)
		h.update(data)
		return h.finalize()

	def kdfa(self, key, label, context, bits):
		message = struct.pack(">I", 1) + label + b"\0" + context + struct.pack(">I", bits)
		return hmac.new(key, message, self.hash.name).digest()[: bits // 8]

	def seed(self, secret):
		if isinstance(self.key, rsa.RSAPrivateKey):
			return self.key.decrypt(secret, padding.OAEP(padding.MGF1(self.hash), self.hash, b"IDENTITY\0"))
		x, y = secret[2 : 2 + self.size], secret[4 + self.size :]
		assert secret == sized(x) + sized(y)
		peer = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), self.key.curve)
		z = self.key.exchange(ec.ECDH(), peer.public_key())
		return self.digest(struct.pack(">I", 1) + z + b"IDENTITY\0" + x + self.x)

	def open(self, credential, name):
		assert credential[:8] == b"\xba\xdc\xc0\xde\0\0\0\1"
		(length,) = struct.unpack(">H", credential[8:10])
		identity, secret = credential[10 : 10 + length], credential[10 + length :]
		assert secret[:2] == struct.pack(">H", len(secret) - 2)
		seed = self.seed(secret[2:])
		mac, encrypted = identity[2 : 2 + self.hash.digest_size], identity[2 + self.hash.digest_size :]
		assert identity[:2] == struct.pack(">H", len(mac))
		key = self.kdfa(seed, b"INTEGRITY", b"", 8 * self.hash.digest_size)
		assert hmac.new(key, encrypted + name, self.hash.name).digest() == mac
		key = self.kdfa(seed, b"STORAGE", name, self.bits)
		plain = Cipher(algorithms.AES(key), modes.CFB(bytes(16))).decryptor().update(encrypted)
		assert plain[:2] == struct.pack(">H", len(plain) - 2)
		return plain[2:]


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("digest", ALGORITHMS)
@pytest.mark.parametrize("kind", ["rsa", "P-256", "P-384"])
def test_the_specification_opens_it(place, kind, digest, bits):
	for _ in range(1 if kind == "rsa" else 16):	# coordinates that begin with a zero byte among them
		ek = SoftwareEk(kind, digest, bits)
		secret = os.urandom(32)
		(place / "ek.pub").write_bytes(ek.public)
		(place / "name").write_bytes(NAME)
		(place / "secret").write_bytes(secret)
		attest_tool("credential", place / "ek.pub", place / "name", place / "secret", place / "credential")
		assert ek.open((place / "credential").read_bytes(), NAME) == secret


def test_makecredential_agrees(place):
	"""What tpm2_makecredential makes opens the same way: the reading of the specification above is a shared one."""
	ek = SoftwareEk("rsa", "sha256", 128)
	(place / "ek.pem").write_bytes(
		ek.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
	)
	(place / "secret").write_bytes(b"0123456789abcdef")
	subprocess.run(
		["tpm2_makecredential", "-Q", "-T", "none", "-G", "rsa", "-u", "ek.pem", "-s", "secret", "-n", NAME.hex(), "-o", "made"],
		cwd=place, check=True,
	)
	assert ek.open((place / "made").read_bytes(), NAME) == b"0123456789abcdef"


def test_what_is_no_ek_is_refused(place):
	(place / "name").write_bytes(NAME)
	(place / "secret").write_bytes(bytes(32))
	ek = SoftwareEk("P-256", "sha256", 128)
	ak = ek.public[:10] + struct.pack(">H", 0x0010) + ek.public[16:]	# no symmetric algorithm
	off = ek.public[:-1] + bytes([ek.public[-1] ^ 1])			# a point beside the curve
	for public in (ak, off, ek.public[:-1], ek.public + b"\0", b""):
		(place / "ek.pub").write_bytes(public)
		attest_tool("credential", place / "ek.pub", place / "name", place / "secret", place / "made", refused=True)
	(place / "ek.pub").write_bytes(ek.public)
	for secret in (b"", bytes(33)):
		(place / "secret").write_bytes(secret)
		attest_tool("credential", place / "ek.pub", place / "name", place / "secret", place / "made", refused=True)
