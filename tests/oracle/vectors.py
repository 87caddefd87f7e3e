#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Test vectors of docs/evidence.md, computed from that page alone: hashlib, no line of the product.

vectors.py          compares tests/data/attest/vectors.json with what is computed here
vectors.py --write  writes it
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys

FILE = pathlib.Path(__file__).resolve().parents[1] / "data/attest/vectors.json"
DOMAINS = {"evidence": b"affiant/evidence/v1", "ledger": b"affiant/ledger/v1"}


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sha(data):
	return hashlib.sha256(data).digest()


def root(leaves):
	"""RFC 6962, section 2.1, over leaf hashes."""
	if len(leaves) < 2:
		return leaves[0] if leaves else sha(b"")
	k = 1
	while 2 * k < len(leaves):
		k *= 2
	return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def path(m, leaves):
	"""Section 2.1.1, from the leaf upwards."""
	if len(leaves) == 1:
		return []
	k = 1
	while 2 * k < len(leaves):
		k *= 2
	if m < k:
		return path(m, leaves[:k]) + [root(leaves[k:])]
	return path(m - k, leaves[k:]) + [root(leaves[:k])]


def batch(domain, size):
	name = DOMAINS[domain]
	inputs = [b"eyJhbGciOiJFUzI1NiJ9.%d" % i for i in range(size)]
	leaves = [sha(b"\0" + name + b"\0" + data) for data in inputs]
	top = root(leaves)
	return {
		"domain": domain,
		"inputs": [data.decode() for data in inputs],
		"leaves": [leaf.hex() for leaf in leaves],
		"root": top.hex(),
		"extra": sha(name + b"\0" + struct.pack(">Q", size) + top).hex(),
		"paths": [[node.hex() for node in path(i, leaves)] for i in range(size)],
	}


def collection(**members):
	return json.dumps({"__cmwc_t": "tag:affiant.dev,2026:evidence#1", **members}, separators=(",", ":"))


def cmw():
	quote, path_type = "application/vnd.affiant.tpms-attest", "application/vnd.affiant.path+json"
	good = [quote, b64(b"\xffTCG"), 4]
	other = json.dumps({"__cmwc_t": "tag:affiant.dev,2026:host#1", "quote": good})
	return {
		"type": "tag:affiant.dev,2026:evidence#1",
		"items": {"quote": quote, "path": path_type},
		"nested": ["host"],
		"good": [
			{"json": collection(quote=good), "content": {"quote": b"\xffTCG".hex()}},
			{"json": collection(quote=[quote, "", 4]), "content": {"quote": ""}},
			{
				"json": collection(path=[path_type, b64(b"{}"), 4], quote=good, host={"__cmwc_t": "tag:affiant.dev,2026:host#1"}),
				"content": {"quote": b"\xffTCG".hex(), "path": b"{}".hex()},
			},
		],
		"bad": [
			{"json": other, "why": "__cmwc_t"},
			{"json": json.dumps({"quote": good}), "why": "__cmwc_t"},
			{"json": collection(quotes=good), "why": "quotes"},
			{"json": collection(quote=[path_type, b64(b"x"), 4]), "why": "quote"},
			{"json": collection(quote=[quote, b64(b"x")]), "why": "quote"},
			{"json": collection(quote=[quote, b64(b"x"), 2]), "why": "quote"},
			{"json": collection(quote=[quote, b64(b"x"), 4.0]), "why": "quote"},
			{"json": collection(quote=[quote, b64(b"x"), 4, 4]), "why": "quote"},
			{"json": collection(quote=[quote, b64(b"x") + "==", 4]), "why": "quote"},
			{"json": collection(quote=[quote, "eB", 4]), "why": "quote"},
			{"json": collection(quote=[quote, "e A", 4]), "why": "quote"},
			{"json": collection(quote=[quote, "/+8", 4]), "why": "quote"},
			{"json": collection(quote=[quote, 7, 4]), "why": "quote"},
			{"json": collection(quote=[None, b64(b"x"), 4]), "why": "quote"},
			{"json": collection(quote={"0": quote}), "why": "quote"},
			{"json": collection(quote=b64(b"x")), "why": "quote"},
		],
	}


def cnf():
	challenge, nonce, audience = bytes(range(32)), b"nonce-0123456789", "https://sts.example/ü".encode()
	message = b"affiant/cnf/v1\0" + challenge
	for text in (nonce, audience):
		message += struct.pack(">Q", len(text)) + text
	return {"challenge": challenge.hex(), "nonce": nonce.decode(), "audience": audience.decode(), "message": message.hex()}


def programs():
	listed = [
		(4, sha(b"python"), b"/usr/bin/python3.11"),
		(4, sha(b"git"), b"/usr/bin/git"),
		(5, None, b"/tmp/\xff gone"),
		(2, None, b"/usr/bin/verity"),
		(4, sha(b"git"), b"/usr/bin/git"),
		(3, sha(b"git"), b"/usr/bin/git"),
		(10, sha(b"git"), b"/usr/bin/git"),
		(10, None, b"/home/alice/bin/git"),
		(11, sha(b"script"), b"/home/alice/agent.py"),
		(12, None, b"/usr/bin/git"),
	]
	leaves = [sha(b"\0affiant/program/v1\0" + bytes([state]) + (digest or bytes(32)) + name) for state, digest, name in listed]
	return {
		"programs": [
			{"state": state, "sha256": digest.hex() if digest else None, "path": name.hex(), "leaf": leaf.hex()}
			for (state, digest, name), leaf in zip(listed, leaves)
		],
		"count": len(set(leaves)),
		"root": root(sorted(set(leaves))).hex(),
	}


def enrol():
	key, name = bytes(range(32)), b"\0\x0b" + sha(b"an attestation key")
	proof = hmac.digest(key, b"affiant/enrol/v1\0" + name, "sha256")
	return {"key": key.hex(), "ak_name": name.hex(), "proof": proof.hex()}


def vectors():
	return {
		"batch": [batch(domain, size) for domain in DOMAINS for size in (1, 2, 3, 5, 8)],
		"cmw": cmw(),
		"cnf": cnf(),
		"programs": programs(),
		"enrol": enrol(),
	}


def main():
	text = json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"
	if sys.argv[1:] == ["--write"]:
		FILE.write_text(text, encoding="utf-8")
	elif FILE.read_text(encoding="utf-8") != text:
		sys.exit(f"{FILE} is not what {sys.argv[0]} computes")


if __name__ == "__main__":
	main()
