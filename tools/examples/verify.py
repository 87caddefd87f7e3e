#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Appraises evidence with pyjwt and cryptography alone, to show that nothing in docs/evidence.md is exotic.

usage: verify.py EVIDENCE.json ENROLMENT-CA.pem NONCE AUDIENCE

The evidence carries its host part. Judging by a policy (hosts, boot logs, executables) is left out: affiant verify does that.
"""

import base64
import datetime
import hashlib
import json
import struct
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


def sha256(*parts):
	return hashlib.sha256(b"".join(parts)).digest()


def record(collection, name, media_type):
	found, content, indicator = collection[name]
	assert (found, indicator) == (media_type, 4), f"{name}: not evidence of type {media_type}"
	return base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))


def sized(data, at):
	"""A TPM2B at that place, and what is behind it."""
	end = at + 2 + int.from_bytes(data[at:at + 2], "big")
	assert end <= len(data), "cut short"
	return data[at + 2:end], end


def attest(data):
	"""TPMS_ATTEST (TPM 2.0, Part 2, 10.12.12) of a quote over one bank: signer, extraData, PCRs, pcrDigest."""
	assert data[:6] == bytes.fromhex("ff5443478018"), "not a TPM's quote"
	signer, at = sized(data, 6)
	extra, at = sized(data, at)
	count, bank, size, pcrs = struct.unpack_from(">IHB3s", data, at + 17 + 8)	# behind clock and firmware version
	assert (count, bank, size) == (1, 0x000b, 3), "not one selection of the SHA-256 bank"
	digest, end = sized(data, at + 17 + 8 + 10)
	assert end == len(data), "bytes behind the quote"
	return signer, extra, [n for n in range(24) if pcrs[n // 8] >> n % 8 & 1], digest


def root_of(leaf, path):
	"""RFC 9162, 2.1.3.2: what the audit path leads to, and the size of the tree."""
	index, size = struct.unpack_from(">QQ", path)
	node, last = leaf, size - 1
	assert index < size <= 4096 and len(path) % 32 == 16, "no path"
	for at in range(16, len(path), 32):
		sibling = path[at:at + 32]
		assert last, "too long a path"
		if index & 1 or index == last:
			node = sha256(b"\1", sibling, node)
			while not index & 1 and index:
				index, last = index >> 1, last >> 1
		else:
			node = sha256(b"\1", node, sibling)
		index, last = index >> 1, last >> 1
	assert not last, "too short a path"
	return node, size


def verify(evidence, ca, nonce, audience):
	# The attestation key is the one that the CA certified, whatever the evidence says of itself.
	ak = x509.load_pem_x509_certificate(record(evidence["host"], "ak_chain", "application/pem-certificate-chain"))
	ca.public_key().verify(ak.signature, ak.tbs_certificate_bytes, ec.ECDSA(ak.signature_hash_algorithm))
	assert ak.issuer == ca.subject, "of another issuer"
	assert ak.not_valid_before <= datetime.datetime.utcnow() <= ak.not_valid_after, "not valid now"
	assert not ak.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "a CA is no attestation key"
	usages = ak.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
	assert x509.ObjectIdentifier("2.23.133.8.3") in usages, "not certified as an attestation key"

	quote = record(evidence, "quote", "application/vnd.affiant.tpms-attest")
	signature = record(evidence, "signature", "application/vnd.affiant.tpmt-signature")
	assert signature[:4] == bytes.fromhex("0018000b"), "not ECDSA with SHA-256"
	r, at = sized(signature, 4)
	s, end = sized(signature, at)
	assert end == len(signature), "bytes behind the signature"
	der = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
	ak.public_key().verify(der, quote, ec.ECDSA(hashes.SHA256()))
	_, extra, pcrs, digest = attest(quote)
	assert sha256(record(evidence, "pcrs", "application/vnd.affiant.pcrs")) == digest, "other PCR values than were quoted"

	# The quote covers a tree of claims sets, of which this is one.
	token = record(evidence, "eat", "application/eat+jwt").decode()
	leaf = sha256(b"\0affiant/evidence/v1\0", token.rpartition(".")[0].encode())
	root, size = root_of(leaf, record(evidence, "path", "application/vnd.affiant.path"))
	assert extra == sha256(b"affiant/evidence/v1\0", struct.pack(">Q", size), root), "not the claims that were quoted"

	key = jwt.PyJWK(jwt.get_unverified_header(token)["jwk"], algorithm="ES256").key
	claims = jwt.decode(token, key, algorithms=["ES256"], audience=audience, options={"require": ["exp", "iat", "aud"]})
	assert claims["eat_profile"] == "tag:affiant.dev,2026:evidence#1" and claims["eat_nonce"] == nonce, "not for this nonce"
	return claims, pcrs


def main():
	if len(sys.argv) != 5:
		sys.exit(__doc__)
	with open(sys.argv[1], encoding="utf-8") as file, open(sys.argv[2], "rb") as ca:
		claims, pcrs = verify(json.load(file), x509.load_pem_x509_certificate(ca.read()), *sys.argv[3:])
	workload = claims["submods"]["workload"]
	print(f"{claims['sub']}, session {workload['session']['id']}, for {workload.get('principal', {}).get('subject')}; PCRs {pcrs}")
	for _, component in claims["measurements"]:
		print(f"  {component['role']:<12} {component['id'][0]} {component.get('measurement', [component['state']])[-1]}")
	print(f"a credential is to be bound to the key {json.dumps(claims['cnf']['jwk'])}")


if __name__ == "__main__":
	main()
