# SPDX-License-Identifier: Apache-2.0
"""A FUSE filesystem whose server says how it can be spoken to, and nothing more."""

import ctypes
import os
import pathlib
import struct
import subprocess
import threading

import pytest

_libc = ctypes.CDLL(None, use_errno=True)

INIT_OUT = struct.pack("<IIIIHHI", 7, 26, 0, 0, 0, 0, 4096) + bytes(40)


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
		number = next(int(line.split()[2].split(":")[1]) for line in open("/proc/self/mountinfo")
				       if line.split()[4] == str(self.path))
		control = pathlib.Path(f"/sys/fs/fuse/connections/{number}/abort")
		if control.exists():
			control.write_text("1")
		subprocess.run(["umount", "-l", str(self.path)], check=True)
		if self.server:
			self.server.join(5)
		os.close(self.device)
		self.path.rmdir()
