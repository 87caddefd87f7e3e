#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
"""Takes what a boot left to attest: logs, PCRs and a quote of them, all of one moment. usage: sample.py DIRECTORY [violation]

Files of a directory: see tests/data/attest/README.md.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SECURITY = pathlib.Path("/sys/kernel/security")
IMA = SECURITY / "integrity/ima/binary_runtime_measurements"
TPM = pathlib.Path("/sys/class/tpm/tpm0")
NONCE = bytes(range(32)).hex()
SELECTION = "sha256:0,1,2,3,4,5,6,7,8,9,10,11,14"
HANDLE = "0x81018000"	# affiant-softtpm has its endorsement keys below

# A tmpfs, which no policy measures: what is written elsewhere is measured anew each time it is read.
out = pathlib.Path(tempfile.mkdtemp(dir="/run"))


def run(*command):
	done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
	assert done.returncode == 0, f"{command}: {done.stderr.decode()}"


def create_key():
	run("tpm2_createek", "-Q", "-G", "ecc", "-c", "/scratch/ek.ctx", "-u", out / "ek.pub")
	run("tpm2_createak", "-Q", "-C", "/scratch/ek.ctx", "-c", "/scratch/ak.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa",
	    "-u", out / "ak.pub", "-n", out / "ak.name")
	run("tpm2_readpublic", "-Q", "-c", "/scratch/ak.ctx", "-f", "pem", "-o", out / "ak.pem")
	run("tpm2_evictcontrol", "-Q", "-c", "/scratch/ak.ctx", HANDLE)


def sign_and_execute():
	"""Files with an IMA signature, which template ima-sig shows. What evmctl read was measured before it was signed:
	so a copy of it is executed."""
	run("openssl", "req", "-new", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=affiant test", "-quiet", "-sha256",
	    "-keyout", "/scratch/key.pem", "-out", "/scratch/certificate.pem")
	for name in ("true", "id", "uname"):
		signed, copy = f"/scratch/{name}.signed", f"/scratch/{name}"
		run("cp", f"/bin/{name}", signed)
		run("cp", signed, copy)
		run("evmctl", "ima_sign", "-a", "sha256", "--key", "/scratch/key.pem", signed)
		os.setxattr(copy, "security.ima", os.getxattr(signed, "security.ima"))
		run(copy)


def work():
	for command in ("ls /", "ps", "ip link", "curl --version", "find /etc/ssl -maxdepth 1", "tar --version", "python3 -I -S -c 1"):
		run(*command.split())


def violate():
	"""Time of measure, time of use: somebody opens it to write while a reader has it open."""
	path = pathlib.Path("/scratch/changed")
	path.write_text("before\n")
	with open(path) as reader:
		reader.read()
		path.write_text("after\n")


def take():
	ima = IMA.read_bytes()
	run("tpm2_quote", "-Q", "-c", HANDLE, "-l", SELECTION, "-q", NONCE, "-g", "sha256", "-m", out / "quote.msg",
	    "-s", out / "quote.sig")
	lines = []
	for bank in sorted(TPM.glob("pcr-*")):
		for pcr in sorted(bank.iterdir(), key=lambda p: int(p.name)):
			lines.append(f"{bank.name.removeprefix('pcr-')} {pcr.name} {pcr.read_text().strip().lower()}\n")
	(out / "pcrs.txt").write_text("".join(lines))
	(out / "binary_runtime_measurements").write_bytes(ima)
	(out / "binary_bios_measurements").write_bytes((SECURITY / "tpm0/binary_bios_measurements").read_bytes())
	for name, path in (("cmdline", "/proc/cmdline"), ("version", "/proc/version"), ("lockdown", SECURITY / "lockdown")):
		(out / f"{name}.txt").write_text(pathlib.Path(path).read_text())
	return IMA.read_bytes() == ima


create_key()
work()
sign_and_execute()
if "violation" in sys.argv:
	violate()
for attempt in range(5):		# the first time measures the tools themselves
	if take():
		break
else:
	sys.exit("the measurement list never stood still")
shutil.copytree(out, sys.argv[1])
