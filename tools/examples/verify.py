#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""verify.py NONCE AUDIENCE AK.pem < evidence: appraises evidence without a line of affiant's own (docs/evidence.md).

AK.pem: the attestation key's certificate, or public key, from enrolment: who trusts it trusts the TPM behind it. Prints the
claims, the files in words, or says why not. What it leaves out, and affiant verify does: whose EK that is, boot log, IMA list, policy."""
import base64, hashlib, json, struct, sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

DOMAIN = b"affiant/evidence/v1\0"
PROFILE = "tag:affiant.dev,2026:evidence#1"
ROLES = "executable script interpreter loader argument manifest".split()
STATES = "kernel verity held observed too_late too_large changed unreadable disabled unproven offered claimed".split()


def unb64(text):
	return base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)


def check(fact, otherwise):
	if not fact:  # not assert, which python -O leaves out
		raise SystemExit(f"refused: {otherwise}")


def sized(data, at):
	end = at + 2 + int.from_bytes(data[at:at + 2], "big")
	check(end <= len(data), "a structure is cut")
	return data[at + 2:end], end


def verify(text, nonce, audience, key):
	cmw = json.loads(text)
	eat, quote, signature, pcrs, path = (unb64(cmw[name][1]) for name in ("eat", "quote", "signature", "pcrs", "path"))

	# TPMT_SIGNATURE (TPM 2.0 Library, Part 2, 11.3.4), ECDSA with SHA-256, over TPMS_ATTEST (10.12.12) as it stands there
	check(signature[:4] == bytes.fromhex("0018000b"), "not the scheme of this key")
	r, at = sized(signature, 4)
	s, at = sized(signature, at)
	check(at == len(signature), "a tail")
	key.verify(utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")), quote, ec.ECDSA(hashes.SHA256()))
	check(quote[:6] == bytes.fromhex("ff5443478018"), "no quote of a TPM")
	_, at = sized(quote, 6)
	extra, at = sized(quote, at)
	at += 17 + 8  # clock, firmware
	check(quote[at:at + 7] == bytes.fromhex("00000001000b03"), "not one selection of the bank sha256")
	digest, end = sized(quote, at + 10)
	check(end == len(quote), "a tail")
	check(hashlib.sha256(pcrs).digest() == digest, "PCR values that were not quoted")

	# The claims stand in the batch that was quoted: RFC 9162, 2.1.3.2
	index, size = struct.unpack_from(">QQ", path)
	node = hashlib.sha256(b"\0" + DOMAIN + eat.rpartition(b".")[0]).digest()
	n, last = index, size - 1
	check(index < size <= 4096 and len(path) % 32 == 16, "a malformed path")
	for sibling in (path[i:i + 32] for i in range(16, len(path), 32)):
		check(last, "too long a path")
		left = n & 1 or n == last
		while left and not n & 1 and n:
			n, last = n >> 1, last >> 1
		node = hashlib.sha256(b"\1" + (sibling + node if left else node + sibling)).digest()
		n, last = n >> 1, last >> 1
	check(last == 0 and hashlib.sha256(DOMAIN + struct.pack(">Q", size) + node).digest() == extra, "claims that were not quoted")

	header = jwt.get_unverified_header(eat)
	claims = jwt.decode(eat, jwt.PyJWK(header["jwk"], "ES256").key, ["ES256"], audience=audience,
			    options={"require": ["exp", "iat", "aud"]})
	check(claims["eat_nonce"] == nonce, "another nonce")
	check(claims["eat_profile"] == PROFILE, "another profile: its flags say something else")
	return claims


def files(claims):
	"""What the measurements say: 296 is a measured component (RFC 10013), 65040 a file that has no digest to go by."""
	for content_format, text in claims.get("measurements", []):
		body = json.loads(text)
		role, state = unb64(body["flags"])[6:]
		digest = body["digested-measurement"][1] if content_format == 296 else None
		yield {"path": body["id"][0], "role": ROLES[role - 1], "state": STATES[state - 1],
		       "sha256": digest and unb64(digest).hex()}


def main(nonce, audience, ak):
	pem = open(ak, "rb").read()
	key = (x509.load_pem_x509_certificate(pem).public_key() if b"CERTIFICATE" in pem else
	       serialization.load_pem_public_key(pem))
	claims = verify(sys.stdin.read(), nonce, audience, key)
	print(json.dumps({**claims, "measurements": list(files(claims))}, indent=1))


if __name__ == "__main__":
	main(*sys.argv[1:])
