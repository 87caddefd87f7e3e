# SPDX-License-Identifier: Apache-2.0
"""tpm2-tools on a software TPM, and tests/oracle/attest_tool: the two sides of what affiant makes and others read."""

import os
import pathlib
import subprocess

from .daemon import TOP
from .softtpm import Softtpm

BUILD = pathlib.Path(os.environ.get("AFFIANT_BUILD", TOP / "build/release"))
CERTIFICATES = {"ecc": "0x01C0000A", "ecc384": "0x01C00016", "rsa": "0x01C00002"}


def attest_tool(*args, refused=False):
	"""What it prints; with refused=True the reason instead."""
	done = subprocess.run([BUILD / "tests/oracle/attest_tool", *map(str, args)], capture_output=True, text=True)
	assert done.returncode == (1 if refused else 0), done.stderr
	return (done.stderr if refused else done.stdout).strip()


class TpmTools(Softtpm):
	"""With a directory: a software TPM in it, ended at exit. Files of its methods are in that directory."""

	def __enter__(self):
		return self.start()

	def __exit__(self, *error):
		self.remove()

	def run(self, *command, check=True):
		"""A tool; what it left loaded is flushed."""
		done = self.tool(*command, check=check)
		self.tool("tpm2_flushcontext", "-t")
		return done

	def keys(self, kind="ecc"):
		"""An EK and an AK under it: ek.ctx, ak.ctx, ek.pub and ak.pub (TPMT_PUBLIC), ak.name."""
		digest, scheme = "sha384" if kind == "ecc384" else "sha256", "rsassa" if kind == "rsa" else "ecdsa"
		self.kind = kind
		self.run("tpm2_createek", "-Q", "-G", kind, "-c", "ek.ctx", "-u", "ek.tss", "-f", "tss")
		self.run("tpm2_createak", "-Q", "-C", "ek.ctx", "-c", "ak.ctx", "-G", kind, "-g", digest, "-s", scheme,
			 "-u", "ak.tss", "-n", "ak.name", "-f", "tss")
		for name in ("ek", "ak"):	# without the size that TPM2B_PUBLIC has
			(self.directory / f"{name}.pub").write_bytes((self.directory / f"{name}.tss").read_bytes()[2:])

	def certificate(self):
		"""The EK's, as it is in NV memory."""
		self.run("tpm2_nvread", "-Q", CERTIFICATES[self.kind], "-o", "ek.der")
		return (self.directory / "ek.der").read_bytes()

	def activate(self, credential, ok=True):
		"""What the credential holds, by TPM2_ActivateCredential; None when the TPM refuses and ok=False."""
		command = ["tpm2_activatecredential", "-Q", "-c", "ak.ctx", "-C", "ek.ctx", "-i", credential, "-o", "secret.out"]
		if self.kind == "ecc384":	# of the high range (H-3): the empty password will do
			done = self.run(*command, check=ok)
		else:
			self.run("tpm2_startauthsession", "--policy-session", "-S", "session.ctx")
			self.run("tpm2_policysecret", "-Q", "-S", "session.ctx", "-c", "e")
			done = self.run(*command, "-P", "session:session.ctx", check=ok)
			self.run("tpm2_flushcontext", "session.ctx")
		return (self.directory / "secret.out").read_bytes() if done.returncode == 0 else None
