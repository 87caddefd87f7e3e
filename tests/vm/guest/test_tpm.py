# SPDX-License-Identifier: Apache-2.0
"""A machine with a TPM, firmware that measures, and a kernel that does: what attestation starts from."""

import os
import pathlib
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import measured  # noqa: E402

SECURITY = pathlib.Path("/sys/kernel/security")
TPM = pathlib.Path("/sys/class/tpm/tpm0")


def pcr(number):
	return (TPM / "pcr-sha256" / str(number)).read_text().strip().lower()


def test_device():
	assert stat.S_ISCHR(os.stat("/dev/tpmrm0").st_mode)
	done = subprocess.run(["tpm2_getrandom", "-T", "device:/dev/tpmrm0", "--hex", "16"], capture_output=True, check=True)
	assert len(done.stdout.strip()) == 32


def test_kernel_parameters():
	assert "ima_policy=tcb" in pathlib.Path("/proc/cmdline").read_text().split()
	assert "bpf" in (SECURITY / "lsm").read_text().split(",")


def test_ima_list_replays():
	path = SECURITY / "integrity/ima/binary_runtime_measurements"
	for _ in range(10):		# whatever is measured meanwhile stands in one of the two only
		before = path.read_bytes()
		register = pcr(10)
		if path.read_bytes() == before:
			break
	value, count = measured.replay_ima(before, "sha256")
	assert value == register
	assert count > 10


def test_firmware_log_replays():
	done = subprocess.run(["tpm2_eventlog", SECURITY / "tpm0/binary_bios_measurements"], capture_output=True, text=True, check=True)
	found = measured.replay_events(done.stdout)
	assert {number for _, number in found} >= set(range(8))
	for (bank, number), value in found.items():
		assert bank == "sha256"
		assert value == pcr(number)
