# SPDX-License-Identifier: Apache-2.0
"""asker.py LIBRARY SOCKET: an agent that asks about itself through libaffiant, and does as it is told.

Reads a line of JSON, {"do": NAME, ...}, and answers with one. All of it is ctypes and the standard library: what an
agent in any language can do.
"""

import base64
import ctypes
import json
import os
import signal
import sys
import threading

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

SIGN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint8))


class Request(ctypes.Structure):
	_fields_ = [("nonce", ctypes.c_char_p), ("audience", ctypes.c_char_p), ("cnf", ctypes.c_char_p), ("sign", SIGN),
		    ("data", ctypes.c_void_p), ("host", ctypes.c_bool), ("ima_from", ctypes.c_uint64)]


class Evidence(ctypes.Structure):
	_fields_ = [("cmw", ctypes.c_void_p), ("len", ctypes.c_size_t), ("cnf", ctypes.c_void_p)]


lib = ctypes.CDLL(sys.argv[1], use_errno=True)
for name in ("affiant_error", "affiant_error_code"):
	getattr(lib, name).restype = ctypes.c_char_p
	getattr(lib, name).argtypes = [ctypes.c_void_p]
lib.affiant_free.argtypes = [ctypes.c_void_p]
lib.affiant_disconnect.argtypes = [ctypes.c_void_p]


def text(value):
	return None if value is None else value.encode()


class Connection:
	def __init__(self):
		self.handle = ctypes.c_void_p()
		self.err = lib.affiant_connect(sys.argv[2].encode(), ctypes.byref(self.handle))

	def answer(self, err, **more):
		if err == 0:
			return {"err": 0, **more}
		return {"err": err, "code": lib.affiant_error_code(self.handle).decode(), "text": lib.affiant_error(self.handle).decode()}

	def evidence(self, nonce, audience, key=None, cnf=None, signer=None, host=False, ima_from=0):
		"""cnf: another JWK than that of key. signer: another key; "replay": the signature made last, once more."""
		request = Request(text(nonce), text(audience), host=host, ima_from=ima_from)
		if key:
			request.cnf = (cnf or json.dumps(jwk(key))).encode()
			request.sign = SIGN(lambda data, message, size, ret: sign(signer or key, message[:size], ret))
		evidence = Evidence()
		err = lib.affiant_get_evidence(self.handle, ctypes.byref(request), ctypes.byref(evidence))
		if err:
			return self.answer(err)
		answer = self.answer(0, cmw=ctypes.string_at(evidence.cmw, evidence.len).decode(), cnf=ctypes.string_at(evidence.cnf).decode())
		lib.affiant_evidence_clear(ctypes.byref(evidence))
		return answer

	def proof(self, function, *words):
		jwt = ctypes.c_void_p()
		err = function(self.handle, *map(text, words), ctypes.byref(jwt))
		if err:
			return self.answer(err)
		answer = self.answer(0, jwt=ctypes.string_at(jwt).decode())
		lib.affiant_free(jwt)
		return answer


def jwk(key):
	numbers = key.public_key().public_numbers()
	return {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}


def b64(data):
	return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key, message, ret):
	global signature
	if key != "replay":
		r, s = decode_dss_signature(key.sign(bytes(message), ec.ECDSA(hashes.SHA256())))
		signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
	ctypes.memmove(ret, signature, 64)
	return 0


signature = None
connection = None
keys = {}


def one():
	"""The one connection, made when it is asked for."""
	global connection
	connection = connection or Connection()
	return connection


def key_named(name):
	if name == "replay":
		return name
	if name and name not in keys:
		keys[name] = ec.generate_private_key(ec.SECP256R1())
	return keys.get(name)


def do_connect():
	global connection
	connection = Connection()
	return {"err": connection.err}


def do_evidence(nonce="nonce-of-a-verifier", audience="https://tokens.example", key=None, signer=None, **more):
	return one().evidence(nonce, audience, key_named(key), signer=key_named(signer), **more)


def do_dpop(method="POST", url="https://tokens.example/token", nonce=None, access_token=None):
	return one().proof(lib.affiant_dpop, method, url, nonce, access_token)


def do_wpt(audience="https://api.example", wit="a.workload.token", access_token=None):
	return one().proof(lib.affiant_wpt, audience, wit, access_token)


def do_become(uid, gid, namespace=False):
	"""Another user, since its exec; or one by its own word, in a user namespace of its own."""
	global connection
	if namespace:
		if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):	# CLONE_NEWUSER
			return {"err": -ctypes.get_errno(), "code": "", "text": "no user namespaces"}
		for name, own in (("uid_map", 0), ("setgroups", None), ("gid_map", 0)):
			with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
				file.write("deny" if own is None else f"{uid if name == 'uid_map' else gid} {own} 1")
	os.setresgid(gid, gid, gid)
	os.setresuid(uid, uid, uid)
	connection = None
	return {"err": 0, "uid": os.geteuid(), "gid": os.getegid()}


def do_thread():
	"""A thread that stays, so that the process has one that is not its leader."""
	known = threading.Event()
	thread = threading.Thread(target=lambda: (known.set(), threading.Event().wait()), daemon=True)
	thread.start()
	known.wait()
	return {"tid": thread.native_id}


def do_threads(count):
	"""So many that stay."""
	threading.stack_size(65536)
	for _ in range(count):
		threading.Thread(target=threading.Event().wait, daemon=True).start()
	return {"err": 0}


def do_twice(**more):
	"""A second request, on a connection of its own, while the first waits."""
	answers = [None, None]

	def ask(n):
		answers[n] = Connection().evidence("nonce-of-a-verifier", "https://tokens.example")

	threads = [threading.Thread(target=ask, args=(n,)) for n in (0, 1)]
	for thread in threads:
		thread.start()
	for thread in threads:
		thread.join()
	return {"answers": answers}


def do_child(**command):
	"""A child does it, on a connection of its own."""
	global connection
	read, write = os.pipe()
	pid = os.fork()
	if pid == 0:
		connection = None
		os.write(write, json.dumps(answer_to(command["command"])).encode())
		os._exit(0)
	os.close(write)
	with open(read, encoding="utf-8") as pipe:
		answer = json.load(pipe)
	os.waitpid(pid, 0)
	return answer


def do_children(count):
	"""So many children at once, each with a connection of its own; the codes of their answers."""
	global connection
	read, write = os.pipe()
	go, begin = os.pipe()
	for _ in range(count):
		if os.fork() == 0:
			os.close(begin)
			connection = Connection()
			os.read(go, 1)
			os.write(write, (do_evidence().get("code", "given") + "\n").encode())
			os._exit(0)
	os.close(begin)
	os.close(go)
	os.close(write)
	with open(read, encoding="utf-8") as pipe:
		codes = pipe.read().split()
	for _ in range(count):
		os.wait()
	return {"codes": codes}


SLEEPERS = []


def do_sleepers(count):
	"""So many children that do nothing."""
	for _ in range(count):
		SLEEPERS.append(os.fork())
		if not SLEEPERS[-1]:
			while True:
				signal.pause()
	return {"err": 0}


def do_sleepers_end():
	for pid in SLEEPERS:
		os.kill(pid, signal.SIGKILL)
		os.waitpid(pid, 0)
	SLEEPERS.clear()
	return {"err": 0}


def do_hang(told=False):
	"""Asks, and executes something meanwhile, which waits for the close of a file: programs/exec_hang.c.

	told: it says when it is connected, and asks when it is told to.
	"""
	connection = Connection()
	if told:
		print(json.dumps({"err": connection.err}), flush=True)
		sys.stdin.readline()
	threading.Thread(target=lambda: connection.evidence("nonce-of-a-verifier", "https://tokens.example"), daemon=True).start()
	sys.stdin.readline()
	os.set_inheritable(int(os.environ["HANGING"]), False)
	os.execv("/bin/true", ["true"])


def do_exec():
	"""The answer is the next image's."""
	os.execv("/proc/self/exe", [sys.executable, *sys.argv[:3], "executed"])


def answer_to(command):
	return globals()["do_" + command.pop("do")](**command)


if sys.argv[3:]:
	print(json.dumps({"err": 0}), flush=True)
for line in sys.stdin:
	print(json.dumps(answer_to(json.loads(line))), flush=True)
