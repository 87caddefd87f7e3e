# SPDX-License-Identifier: Apache-2.0
"""What an agent in Python needs to ask for evidence about itself: libaffiant by ctypes, nothing else."""

import ctypes


class Request(ctypes.Structure):
	"""struct affiant_evidence_request (affiant.h)"""
	_fields_ = [("nonce", ctypes.c_char_p), ("audience", ctypes.c_char_p), ("cnf", ctypes.c_char_p),
		    ("sign", ctypes.c_void_p), ("data", ctypes.c_void_p), ("host", ctypes.c_bool),
		    ("ima_from", ctypes.c_uint64)]


class Evidence(ctypes.Structure):
	"""struct affiant_evidence"""
	_fields_ = [("cmw", ctypes.c_char_p), ("len", ctypes.c_size_t), ("cnf", ctypes.c_char_p)]


class Affiant:
	"""A connection to affiantd. socket None: where it usually is."""

	def __init__(self, library="libaffiant.so.0", socket=None):
		self.lib = ctypes.CDLL(library)
		self.lib.affiant_error.restype = ctypes.c_char_p
		self.handle = ctypes.c_void_p()
		error = self.lib.affiant_connect(socket.encode() if socket else None, ctypes.byref(self.handle))
		if error:
			raise OSError(-error, "affiantd does not answer")

	def check(self, error):
		if error:
			raise OSError(-error, self.lib.affiant_error(self.handle).decode())

	def evidence(self, nonce, audience, host=False):
		"""For that verifier's nonce; bound to a key that affiantd holds for this process."""
		request = Request(nonce=nonce.encode(), audience=audience.encode(), host=host)
		result = Evidence()
		self.check(self.lib.affiant_get_evidence(self.handle, ctypes.byref(request), ctypes.byref(result)))
		text = result.cmw.decode()
		self.lib.affiant_evidence_clear(ctypes.byref(result))
		return text

	def dpop(self, method, url):
		"""A proof that this process is the one that the evidence was given to (RFC 9449)."""
		token = ctypes.c_char_p()
		self.check(self.lib.affiant_dpop(self.handle, method.encode(), url.encode(), None, None, ctypes.byref(token)))
		text = token.value.decode()
		self.lib.affiant_free(token)
		return text
