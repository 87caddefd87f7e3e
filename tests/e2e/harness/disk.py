# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up when a test wants it to."""

import contextlib
import subprocess

from . import wait

SIZE = "64m"


class Disk:
	"""A small filesystem with the daemon's state on it."""

	def __init__(self, daemon):
		self.daemon = daemon
		self.mount = daemon.state
		self.mount.mkdir(mode=0o700)
		subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "affiant-test", self.mount], check=True)
		self.ballast = self.mount / "ballast"

	def fill(self):
		"""To the last byte, whatever the daemon writes meanwhile, until it says so."""
		def full():
			self.take()
			return self.says("cannot be written")

		wait.until("the daemon finds the disk full", full, explain=self.daemon.log)

	def take(self):
		"""To the last byte; the daemon finds it out when it writes."""
		with open(self.ballast, "ab", buffering=0) as file:
			for size in (1 << 20, 1 << 12, 1):
				with contextlib.suppress(OSError):
					while True:
						file.write(bytes(size))

	def free(self):
		self.ballast.unlink()

	def says(self, words):
		return words in self.daemon.log()

	def wait_for(self, words):
		wait.until(f"the daemon says '{words}'", lambda: self.says(words), explain=self.daemon.log)

	def remove(self):
		subprocess.run(["umount", "--lazy", self.mount], check=True)
