# SPDX-License-Identifier: Apache-2.0
"""A software TPM of a test's own: tools/affiant-softtpm, its state copied from one that was made once."""

import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from . import wait
from .daemon import TOP, environment

SOFTTPM = TOP / "tools" / "affiant-softtpm"
NEEDED = ("swtpm", "swtpm_setup", "tpm2_createek", "openssl")

_prepared = None


def _master():
	"""The state that all are copies of."""
	global _prepared
	if _prepared is None:
		place = tempfile.TemporaryDirectory(prefix="affiant-softtpm-")
		done = subprocess.run([SOFTTPM, "--prepare", "--state-dir", f"{place.name}/state"], capture_output=True,
				      text=True, env=environment(), timeout=wait.DEADLINE)
		assert done.returncode == 0, done.stderr
		_prepared = place
	return pathlib.Path(_prepared.name) / "state"


class Softtpm:
	"""One software TPM in @directory. It outlives the daemon; remove() ends it whatever its state.

	softtpm.socket   its socket: for the configuration, softtpm.tcti is what to write there
	softtpm.ca       PEM file of the root that certified its endorsement keys: what a verifier's policy names
	softtpm.issuer   PEM file of the intermediate certificate
	"""

	def __init__(self, directory, fresh=False):
		missing = [name for name in NEEDED if not shutil.which(name, path=environment()["PATH"])]
		if missing:
			pytest.skip(f"not installed: {', '.join(missing)}")
		self.directory = pathlib.Path(directory)
		self.state = self.directory / "softtpm"
		self.socket = self.directory / "tpm.sock"
		self.tcti = f"swtpm:path={self.socket}"
		self.ca = self.state / "ca" / "swtpm-localca-rootca-cert.pem"
		self.issuer = self.state / "ca" / "issuercert.pem"
		self.log_path = self.directory / "softtpm.log"
		self.process = None
		# fresh: keys that no other TPM of the tests has.
		if not fresh:
			shutil.copytree(_master(), self.state)

	def start(self):
		assert not self.running(), "it runs already"
		with open(self.log_path, "ab") as log:
			self.process = subprocess.Popen([SOFTTPM, "--foreground", "--state-dir", self.state, "--socket", self.socket],
							stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
		wait.until("the software TPM listens", self._listens, explain=self.log)
		return self

	def _listens(self):
		assert self.running(), f"affiant-softtpm ended with {self.process.returncode}:\n{self.log()}"
		with socket.socket(socket.AF_UNIX) as probe:
			try:
				probe.connect(str(self.socket))
			except (FileNotFoundError, ConnectionRefusedError):
				return False
		return True

	def running(self):
		return self.process is not None and self.process.poll() is None

	def stop(self):
		"""SIGTERM: it keeps its state, and the PCRs are gone, as with power."""
		if self.running():
			self.resume()
			self.process.terminate()
			self.process.wait(wait.DEADLINE)

	def kill(self):
		self.process.kill()
		self.process.wait()

	def restart(self):
		self.stop()
		return self.start()

	def suspend(self):
		"""SIGSTOP: it is there, connections are taken, nothing answers."""
		self.process.send_signal(signal.SIGSTOP)

	def resume(self):
		self.process.send_signal(signal.SIGCONT)

	def remove(self):
		if self.running():
			self.kill()

	def log(self):
		return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

	def tool(self, *command, check=True):
		"""Runs one of tpm2-tools. It waits for ever while a daemon is connected: one client at a time."""
		env = environment() | {"TPM2TOOLS_TCTI": self.tcti}
		done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
				      cwd=self.directory, timeout=wait.DEADLINE)
		assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
		return done

	def extend(self, pcr, digest):
		"""Extends a PCR by a SHA-256 digest (32 bytes)."""
		self.tool("tpm2_pcrextend", f"{pcr}:sha256={digest.hex()}")
