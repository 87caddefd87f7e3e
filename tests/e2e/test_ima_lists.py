# SPDX-License-Identifier: Apache-2.0
"""IMA lists against evmctl (ima-evm-utils) and a replay in Python: those of real boots, what keylime's tests have of the
kernel's ASCII form, and one with every template."""

import hashlib
import pathlib
import struct
import subprocess

import pytest
from harness.oracles import ours

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests/data/attest"
BOOTS = sorted(path.name for path in (DATA / "boots").iterdir())
BANKS = ("sha1", "sha256", "sha384")


def field(data):
	return struct.pack("<I", len(data)) + data


def from_ascii(line):
	"""(template, its digest as the kernel shows it, template data) of a line of ascii_runtime_measurements."""
	_, digest, template, measured, path, *rest = line.split(" ")
	if template == "ima":
		return template, digest, bytes.fromhex(measured) + field(path.encode())
	alg, value = measured.split(":")
	data = field(alg.encode() + b":\0" + bytes.fromhex(value)) + field(path.encode() + b"\0")
	if template in ("ima-sig", "ima-buf"):
		data += field(bytes.fromhex("".join(rest)))
	return template, digest, data


def hashed(template, data):
	"""Of the first template the name is hashed with zeros behind it."""
	return data[:20] + data[24:].ljust(256, b"\0") if template == "ima" else data


def written(entries):
	return b"".join(struct.pack("<I", 10) + bytes.fromhex(digest) + field(template.encode())
			+ (data if template == "ima" else field(data)) for template, digest, data in entries)


def replayed(entries, bank):
	value = bytes(hashlib.new(bank).digest_size)
	for template, digest, data in entries:
		extended = hashlib.new(bank, hashed(template, data)).digest() if int(digest, 16) else b"\xff" * len(value)
		value = hashlib.new(bank, value + extended).digest()
	return value.hex()


def evmctl(path, bank, value, *options):
	"""Whether it comes to that value of PCR 10."""
	pcrs = path.parent / "pcrs"
	pcrs.write_text("".join(f"PCR-{n:02}: {value if n == 10 else '00' * (len(value) // 2)}\n" for n in range(24)))
	done = subprocess.run(["evmctl", "ima_measurement", *options, "--pcrs", f"{bank},{pcrs}", path],
			      capture_output=True, text=True)
	return done.returncode == 0 and "Matched per TPM bank" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def keylime():
	return [from_ascii(line) for line in (DATA / "ima/keylime.ascii").read_text().splitlines()]


def test_ascii_is_the_same(keylime):
	"""What we write as binary is what the kernel hashed."""
	for template, digest, data in keylime:
		assert hashlib.sha1(hashed(template, data)).hexdigest() == digest
	assert {template for template, _, _ in keylime} == {"ima", "ima-ng", "ima-sig", "ima-buf"}


@pytest.mark.parametrize("bank", BANKS)
def test_keylime(keylime, place, bank):
	path = place / "list"
	path.write_bytes(written(keylime))
	[mine] = ours("ima", path, bank=bank)
	assert mine == {"parsed": True, "entries": len(keylime), "pcr10": replayed(keylime, bank)}
	if bank == "sha384":
		return		# evmctl 1.4 does not know it
	for old in (False, True):		# nor a list of the template "ima" and others
		some = [entry for entry in keylime if (entry[0] == "ima") == old]
		path.write_bytes(written(some))
		[mine] = ours("ima", path, bank=bank)
		assert evmctl(path, bank, mine["pcr10"])


@pytest.mark.parametrize("bank", BANKS[:2])
@pytest.mark.parametrize("boot", BOOTS)
def test_boots(place, boot, bank):
	path = place / "list"
	path.write_bytes((DATA / "boots" / boot / "binary_runtime_measurements").read_bytes())
	[mine] = ours("ima", path, bank=bank)
	assert mine["parsed"]
	assert evmctl(path, bank, mine["pcr10"], *(["--ignore-violations"] if "violation" in boot else []))
	other = f"{int(mine['pcr10'], 16) ^ 1:0{len(mine['pcr10'])}x}"
	assert not evmctl(path, bank, other), "evmctl takes any value"


def changed(entry, lie):
	template, _, data = entry
	begin = 4 + data[0]		# of the path, behind the digest; both are short
	at = 20 if lie == "other digest" else begin + 4 + data[begin] - 2
	data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
	return template, hashlib.sha1(data).hexdigest(), data


@pytest.mark.parametrize("lie", ["dropped", "doubled", "swapped", "other path", "other digest", "cut"])
def test_lies(keylime, place, lie):
	"""No list but the one that was extended leads there, by evmctl's word too."""
	entries = [entry for entry in keylime if entry[0] != "ima"]
	sound = replayed(entries, "sha256")
	path = place / "list"
	for at in range(1, len(entries), 4):
		told = list(entries)
		if lie == "dropped":
			del told[at]
		elif lie == "doubled":
			told.insert(at, told[at])
		elif lie == "swapped":
			told[at], told[at - 1] = told[at - 1], told[at]
		elif lie != "cut":
			told[at] = changed(told[at], lie)
			assert replayed(told, "sha256") != sound
		path.write_bytes(written(told)[:-7 if lie == "cut" else None])
		[mine] = ours("ima", path)
		assert mine["parsed"] == (lie != "cut") and mine["pcr10"] != sound
		assert not evmctl(path, "sha256", sound)


def entries_of(data):
	at = 0
	while at < len(data):
		pcr, digest, length = struct.unpack_from("<I20sI", data, at)
		template = data[at + 28:at + 28 + length].decode()
		at += 28 + length
		begin = at if template != "ima" else at + 20
		at = begin + 4 + struct.unpack_from("<I", data, begin)[0]
		yield pcr, (template, digest.hex(), data[begin - 20 if template == "ima" else begin + 4:at])


@pytest.mark.parametrize("bank", BANKS[:2])
def test_templates(place, bank):
	"""Each of them alone: evmctl reads no list of the template "ima" and others, nor entries of other PCRs."""
	path, templates = place / "list", {}
	for pcr, entry in entries_of((DATA / "ima/templates").read_bytes()):
		if pcr == 10:
			templates.setdefault(entry[0], []).append(entry)
	assert {"ima", "ima-ng", "ima-sig", "ima-ngv2", "ima-sigv2", "ima-buf", "ima-modsig", "evm-sig"} <= set(templates)
	for template, entries in templates.items():
		path.write_bytes(written(entries))
		[mine] = ours("ima", path, bank=bank)
		assert mine == {"parsed": True, "entries": len(entries), "pcr10": replayed(entries, bank)}, template
		if template != "acme":		# a stranger's: evmctl does not go on there
			assert evmctl(path, bank, mine["pcr10"], "--ignore-violations"), template
