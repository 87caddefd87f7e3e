# SPDX-License-Identifier: Apache-2.0
"""A FUSE filesystem whose server says how it can be spoken to, and nothing more."""

import ctypes
import os
import pathlib
import struct
import threading

import pytest

_libc = ctypes.CDLL(None, use_errno=True)

INIT_OUT = struct.pack("<IIIIHHI", 7, 26, 0, 0, 0, 0, 4096) + bytes(40)

MNT_FORCE, MNT_DETACH = 1, 2	# linux/fs.h


class Silent:
	"""Mounted at path, for everybody. reads: its server takes each request, after which no signal ends the wait."""

	def __init__(self, path, reads=False):
		self.path = pathlib.Path(path)
		self.path.mkdir()
		try:
			self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
		except OSError as e:
			pytest.skip(f"no FUSE here: {e}")
		options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
		if _libc.mount(b"silent", str(path).encode(), b"fuse", 0, options.encode()):
			error = os.strerror(ctypes.get_errno())
			os.close(self.device)
			pytest.skip(f"no FUSE filesystem can be mounted: {error}")
		unique = struct.unpack("<IIQ", os.read(self.device, 1 << 17)[:16])[2]
		os.write(self.device, struct.pack("<IiQ", 16 + len(INIT_OUT), 0, unique) + INIT_OUT)
		self.taken = 0
		self.server = threading.Thread(target=self._take, daemon=True) if reads else None
		if self.server:
			self.server.start()

	def _take(self):
		try:
			while os.read(self.device, 1 << 17):
				self.taken += 1
		except OSError:
			pass	# unmounted

	def remove(self):
		"""Whoever waits gets an error."""
		if _libc.umount2(str(self.path).encode(), MNT_FORCE | MNT_DETACH):
			raise OSError(ctypes.get_errno(), f"umount of {self.path}")
		if self.server:
			self.server.join(5)
		os.close(self.device)
		self.path.rmdir()
