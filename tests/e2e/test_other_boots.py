# SPDX-License-Identifier: Apache-2.0
"""Boot logs of other machines, from the test data of go-eventlog and go-attestation, which Go's module proxy has: they lead to
the values to which tpm2_eventlog, go-attestation and go-eventlog come, in every bank, or it is said here why not."""

import base64
import collections
import json

import pytest
from harness.oracles import go_attestation, module, ours, tpm2_eventlog

BANKS = ("sha1", "sha256", "sha384")
ALL, SEVEN = 0xff, 1 << 7

# of a log: banks; whether Secure Boot was on; PCRs with a sound separator, and those with events that can't be explained
Log = collections.namedtuple("Log", "banks secure_boot separators unexplained", defaults=("unknown", ALL, 0))
SHIELDED = Log(BANKS, "no")
LOGS = {
	"arch-linux-workstation.bin": Log(BANKS[:2]),		# the variable SecureBoot is empty
	"cos-101-amd-sev.bin": Log(BANKS, "yes"),
	"cos-85-amd-sev.bin": Log(BANKS, "yes"),
	"cos-93-amd-sev.bin": Log(BANKS, "yes"),
	"debian-10.bin": Log(BANKS[:1], "yes"),			# the log of TPM 1.2's form
	"glinux-alex.bin": Log(BANKS[:2], "no"),		# a record of four zeros in PCR 0; locality 3
	"rhel8-uefi.bin": Log(BANKS, "yes"),
	"ubuntu-1804-amd-sev.bin": SHIELDED,
	"ubuntu-2104-no-dbx.bin": SHIELDED,
	"ubuntu-2104-no-secure-boot.bin": SHIELDED,
	"ubuntu-2404-amd-sevsnp.bin": SHIELDED,
	"coreos_36_shielded_vm_no_secure_boot_eventlog": SHIELDED,
	"crypto_agile_eventlog": Log(("sha256",)),		# SecureBoot is empty
	"ebs_event_missing_eventlog": Log(("sha1",), "no"),
	"linux_tpm12.json": Log(("sha1",), unexplained=SEVEN),	# SecureBoot's digest is not that of its data
	"option_rom_eventlog": Log(("sha1",), "yes", ALL, 0x7000),	# Windows, with types of its own in PCRs 12-14
	"sb_cert_eventlog": Log(BANKS, "yes", SEVEN),		# cut
	"short_no_action_eventlog": Log(()),			# extends nothing
	"ubuntu_2104_shielded_vm_no_secure_boot_eventlog": SHIELDED,
	"windows_gcp_shielded_vm.json": Log(("sha1",), "yes", SEVEN, 0x7000),	# no separator in PCRs 0-6
}

# Of a TDX guest: registers that are no PCRs, in SHA-384 alone. Read for their form: the area that the log was kept in, all of
# it, with 0xff to its end.
TDX = {"cos-113-intel-tdx.bin", "cos-113-intel-tdx-dupe-separator.bin", "event_log.bin"}
TDX_CUT = {"cos-113-intel-tdx-dupe-separator-unpadded.bin", "CCEL_unpadded.data.bin"}
NO_LOGS = {"CCEL.bin", "cos-113-intel-tdx.table.bin"}		# ACPI tables, which say where a log is

# Where tpm2_eventlog (5.4) differs.
LOCALITY = {"glinux-alex.bin": {"0"}}		# it lets PCR 0 begin at locality 0
CRASHES = {"option_rom_eventlog"}		# it ends by a signal


class Sample:
	"""A file of their test data: a log, or JSON with a log and the values that the TPM had."""

	def __init__(self, path, place):
		self.name, self.path, self.values = path.name, path, {}
		if path.suffix == ".json":
			log = json.loads(path.read_text())["Log"]
			self.path = place / path.name
			self.path.write_bytes(base64.b64decode(log["Raw"]))
			self.values = {str(v["Index"]): base64.b64decode(v["Digest"]).hex() for v in log["PCRs"]}


@pytest.fixture
def samples(go_attestation, place):
	places = (module("github.com/google/go-eventlog") / "testdata", module("github.com/google/go-attestation") / "attest/testdata")
	found = [path for directory in places for path in sorted(directory.rglob("*")) if path.is_file() and path.suffix != ".go"]
	return [Sample(path, place) for path in found]


def job(sample, mine, bank):
	values = [(bank, int(number), bytes.fromhex(value)) for number, value in mine["pcrs"].items()]
	return {"log": sample.path.read_bytes(), "pcrs": values}


def test_none_is_left_out(samples):
	assert {sample.name for sample in samples} == {*LOGS, *TDX, *TDX_CUT, *NO_LOGS}


@pytest.mark.parametrize("bank", BANKS)
def test_replay(samples, go_attestation, bank):
	logs = [sample for sample in samples if sample.name in LOGS]
	mine = ours("log", *(sample.path for sample in logs), bank=bank)
	theirs = go_attestation([job(sample, m, bank) for sample, m in zip(logs, mine)])
	for sample, m, their in zip(logs, mine, theirs):
		has = bank in LOGS[sample.name].banks
		assert m["parsed"] and their["parsed"], sample.name
		assert bool(m["pcrs"]) == has, sample.name
		if not has:
			continue
		assert their["replayed"] and their["eventlog"] == "replayed", (sample.name, their)
		if sample.values:	# what the TPM itself had
			assert m["pcrs"].items() <= sample.values.items(), sample.name
		if sample.name in CRASHES:
			continue
		their = tpm2_eventlog(sample.path)[bank]
		differing = {number for number, _ in m["pcrs"].items() ^ their.items()}
		assert differing == LOCALITY.get(sample.name, set()), sample.name


def test_one_value_else(samples, go_attestation):
	"""That they replay is no matter of course."""
	logs = [sample for sample in samples if sample.name in LOGS and "sha256" in LOGS[sample.name].banks]
	for sample, mine in zip(logs, ours("log", *(sample.path for sample in logs))):
		mine["pcrs"]["4" if "4" in mine["pcrs"] else "7"] = "00" * 31 + "01"
		[their] = go_attestation([job(sample, mine, "sha256")])
		assert not their["replayed"] and their["eventlog"] == "parsed", sample.name


def test_facts(samples, go_attestation):
	for sample in samples:
		if sample.name not in LOGS:
			continue
		log = LOGS[sample.name]
		for bank in log.banks:
			[mine] = ours("log", sample.path, bank=bank)
			assert Log(log.banks, mine["secure_boot"], mine["separators"], mine["unexplained"]) == log, (sample.name, bank)
			[their] = go_attestation([job(sample, mine, bank)])
			# go-attestation gives up at a platform key of glinux-alex, and at every variable in SHA-384.
			if their["secure_boot"] != "unknown":
				assert mine["secure_boot"] == their["secure_boot"], sample.name


def test_the_whole_area(samples, go_attestation, place):
	"""A log with what is left of the area behind it: as firmware gave it, and by our own hand."""
	for sample in samples:
		if sample.name in TDX | TDX_CUT:
			[mine] = ours("log", sample.path, bank="sha384")
			[their] = go_attestation([job(sample, mine, "sha384")])
			assert mine["parsed"] and mine["pcrs"] and their["eventlog"] == "replayed", sample.name
		if sample.name not in LOGS:
			continue
		log, bank = sample.path.read_bytes(), (*LOGS[sample.name].banks, "sha1")[0]
		padded = [place / f"{fill}" for fill in (0, 255)]
		for path in padded:
			path.write_bytes(log + bytes([int(path.name)]) * (65536 - len(log) % 65536))
		[alone, *area] = ours("log", sample.path, *padded, bank=bank)
		assert area == [alone, alone], sample.name
