# SPDX-License-Identifier: Apache-2.0
"""Requests to the local socket made by hand, in scripts that agents run: what libaffiant would never send."""

import tempfile

from . import records

_api = None


def api():
	"""The directory of api.proto as Python's module affiant.v1.api_pb2: a script's PYTHONPATH."""
	global _api
	if _api is None:
		_api = tempfile.TemporaryDirectory(prefix="affiant-api-")
		records.generate(_api.name, "api", "record")
	return _api.name


CLIENT = """
import ctypes, os, socket, struct, sys
from affiant.v1 import api_pb2 as api

def connect(path, s=None):
	s = s or socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect(path)
	s.set_inheritable(True)
	return s, api.Hello.FromString(s.recv(65536)).challenge

def evidence(challenge):
	return api.Request(challenge=challenge, get_evidence=api.GetEvidence(
		nonce="nonce-of-a-verifier", audience="https://tokens.example")).SerializeToString()

def dpop(challenge):
	return api.Request(challenge=challenge, sign_proof=api.SignProof(
		dpop=api.Dpop(htm="POST", htu="https://tokens.example/token"))).SerializeToString()

def answer(s):
	try:
		data = s.recv(1 << 20)
	except ConnectionResetError:
		data = b""
	if not data:
		return "closed"
	r = api.Response.FromString(data)
	return f"{r.error.code}: {r.error.text}" if r.HasField("error") else r.WhichOneof("answer")

def say(*words):
	print(*words, flush=True)
"""


def script(text):
	return ["/usr/bin/python3", "-B", "-c", CLIENT + text]
