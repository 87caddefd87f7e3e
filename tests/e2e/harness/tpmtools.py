# SPDX-License-Identifier: Apache-2.0
"""A software TPM of a test's own, and tpm2-tools on it: the other side of what affiant's own code makes."""

import os
import pathlib
import subprocess

from harness.wait import until

BUILD = pathlib.Path(os.environ.get("AFFIANT_BUILD", pathlib.Path(__file__).resolve().parents[3] / "build/release"))


def attest_tool(*args, refused=False):
	"""What tests/oracle/attest_tool prints; with refused=True the reason instead."""
	done = subprocess.run([BUILD / "tests/oracle/attest_tool", *map(str, args)], capture_output=True, text=True)
	assert done.returncode == (1 if refused else 0), done.stderr
	return (done.stderr if refused else done.stdout).strip()


class TpmTools:
	"""With a directory: swtpm with fresh state in it, ended at exit."""

	def __init__(self, place, state=None):
		self.place = pathlib.Path(place)
		self.state = state or self.place / "tpm"

	def __enter__(self):
		self.state.mkdir(exist_ok=True)
		socket = self.place / "tpm.sock"
		self.process = subprocess.Popen(
			[
				"swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state},mode=0600",
				"--server", f"type=unixio,path={socket},mode=0600",
				"--ctrl", f"type=unixio,path={socket}.ctrl,mode=0600",
				"--flags", "not-need-init,startup-clear",
			],
			stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL,
		)
		self.tcti = f"swtpm:path={socket}"
		until("swtpm listens", lambda: socket.exists() and pathlib.Path(f"{socket}.ctrl").exists())
		return self

	def __exit__(self, *error):
		self.process.terminate()
		self.process.wait()

	def run(self, *command, check=True):
		"""A tool of tpm2-tools in the test's directory; what was loaded is flushed behind it."""
		environment = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
		done = subprocess.run(command, cwd=self.place, env=environment, capture_output=True, text=True)
		if check:
			assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
			subprocess.run(["tpm2_flushcontext", "-t"], cwd=self.place, env=environment, check=True)
		return done

	def keys(self, kind="ecc", digest="sha256", scheme="ecdsa"):
		"""An EK and an AK under it: ek.ctx, ak.ctx, ek.pub and ak.pub (TPMT_PUBLIC), ak.name."""
		self.kind = kind
		self.run("tpm2_createek", "-Q", "-G", kind, "-c", "ek.ctx", "-u", "ek.tss", "-f", "tss")
		self.run("tpm2_createak", "-Q", "-C", "ek.ctx", "-c", "ak.ctx", "-G", kind, "-g", digest, "-s", scheme,
			"-u", "ak.tss", "-n", "ak.name", "-f", "tss")
		for name in ("ek", "ak"):	# without the size that TPM2B_PUBLIC has
			(self.place / f"{name}.pub").write_bytes((self.place / f"{name}.tss").read_bytes()[2:])

	def activate(self, credential, ok=True):
		"""What the credential holds, by TPM2_ActivateCredential; None when the TPM refuses and ok=False."""
		command = ["tpm2_activatecredential", "-Q", "-c", "ak.ctx", "-C", "ek.ctx", "-i", str(credential), "-o", "secret.out"]
		if self.kind == "ecc384":	# of the high range (H-3): the empty password will do
			done = self.run(*command, check=ok)
		else:
			self.run("tpm2_startauthsession", "--policy-session", "-S", "session.ctx")
			self.run("tpm2_policysecret", "-Q", "-S", "session.ctx", "-c", "e")
			done = self.run(*command, "-P", "session:session.ctx", check=ok)
			self.run("tpm2_flushcontext", "session.ctx")
		return (self.place / "secret.out").read_bytes() if done.returncode == 0 else None
