# SPDX-License-Identifier: Apache-2.0
"""Boot logs and quotes against go-attestation, tpm2-tools and a replay in Python: nothing that they refuse is accepted here,
and what is sound is accepted by all. Go's module is built when there is a Go for it."""

import hashlib
import itertools
import pathlib
import re
import struct

import pytest
from harness.oracles import go_attestation, ours, tpm2_eventlog

TOP = pathlib.Path(__file__).resolve().parents[2]
DATA = TOP / "tests/data/attest"
BOOTS = sorted((DATA / "boots").iterdir())
LOGS = [boot / "binary_bios_measurements" for boot in BOOTS] + [
	DATA / "eventlogs" / name for name in ("ubuntu-grub", "one-bank", "secure-boot-cut")]
SIZES = {0x4: 20, 0xb: 32, 0xc: 48, 0xd: 64}
EV_NO_ACTION = 3


def pcrs_of(boot, bank="sha256"):
	lines = (line.split() for line in (boot / "pcrs.txt").read_text().splitlines())
	return {int(number): bytes.fromhex(value) for name, number, value in lines if name == bank}


def events_of(log):
	"""The header's bytes, and a list of events (PCR, type, digests, data), by the TCG's document alone."""
	at = 32 + struct.unpack_from("<I", log, 28)[0]
	header, events = log[:at], []
	while at < len(log):
		pcr, kind, count = struct.unpack_from("<III", log, at)
		begin = at = at + 12
		for _ in range(count):
			at += 2 + SIZES[struct.unpack_from("<H", log, at)[0]]
		size, = struct.unpack_from("<I", log, at)
		events.append((pcr, kind, count, log[begin:at], log[at + 4:at + 4 + size]))
		at += 4 + size
	return header, events


def written(header, events):
	return header + b"".join(struct.pack("<III", pcr, kind, count) + digests + struct.pack("<I", len(data)) + data
				 for pcr, kind, count, digests, data in events)


def replayed(events):
	"""PCRs of the SHA-256 bank."""
	pcrs = {}
	for pcr, kind, count, digests, _ in events:
		if kind == EV_NO_ACTION:
			continue
		at = 0
		for _ in range(count):
			alg, = struct.unpack_from("<H", digests, at)
			if alg == 0xb:
				value = pcrs.get(pcr, bytes(32)) + digests[at + 2:at + 34]
				pcrs[pcr] = hashlib.sha256(value).digest()
			at += 2 + SIZES[alg]
	return pcrs


@pytest.mark.parametrize("log", LOGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_tpm2_tools_replay_the_same(log):
	theirs = tpm2_eventlog(log)["sha256"]
	[mine] = ours("log", log)
	assert mine["pcrs"] == theirs
	assert theirs


def test_sound_logs(go_attestation):
	jobs, paths = [], []
	for log in LOGS:
		values = replayed(events_of(log.read_bytes())[1])
		jobs.append({"log": log.read_bytes(), "pcrs": [("sha256", n, value) for n, value in values.items()]})
		paths.append(log)
		assert {str(n): value.hex() for n, value in values.items()} == ours("log", log)[0]["pcrs"]
	for log, theirs, mine in zip(paths, go_attestation(jobs), ours("log", *paths)):
		assert mine["parsed"] and theirs["parsed"] and theirs["replayed"], (log, theirs["why"])
		if mine["secure_boot"] != "unknown":
			assert theirs["secure_boot"] == mine["secure_boot"], (log, theirs["why"])


def forgeries(log):
	"""(name, log): what somebody on the way could do to it."""
	header, events = events_of(log)
	for n, (pcr, kind, count, digests, data) in enumerate(events):
		def at(event):
			return written(header, events[:n] + [event] + events[n + 1:])
		yield f"{n}: dropped", written(header, events[:n] + events[n + 1:])
		yield f"{n}: doubled", written(header, events[:n + 1] + events[n:])
		yield f"{n}: swapped", written(header, events[:n] + events[n:n + 2][::-1] + events[n + 2:])
		for other in (EV_NO_ACTION, 0x4, 0xd, 0x80000001, 0x80000007, 0xdead):
			yield f"{n}: of type {other:x}", at((pcr, other, count, digests, data))
		yield f"{n}: in another PCR", at(((pcr + 1) % 8, kind, count, digests, data))
		yield f"{n}: other digest", at((pcr, kind, count, digests[:-1] + bytes([digests[-1] ^ 1]), data))
		yield f"{n}: other data", at((pcr, kind, count, digests, data[:-1] + bytes([data[-1] ^ 1])))
		yield f"{n}: no data", at((pcr, kind, count, digests, b""))
	for length in range(1, len(log), len(log) // 50):
		yield f"cut at {length}", log[:length]
	yield "a tail", log + b"\0"


@pytest.mark.parametrize("name", ["ovmf-ima-sig/binary_bios_measurements", "ovmf-shim-grub/binary_bios_measurements",
				  "secure-boot-cut"])
def test_forged_logs(go_attestation, place, name):
	log = next(path for path in LOGS if str(path).endswith(name)).read_bytes()
	values = replayed(events_of(log)[1])
	cases = list(forgeries(log))
	paths = []
	for n, (_, forged) in enumerate(cases):
		paths.append(place / str(n))
		paths[-1].write_bytes(forged)
	theirs = go_attestation([{"log": forged, "pcrs": [("sha256", n, v) for n, v in values.items()]} for _, forged in cases])
	accepted = 0
	for (what, _), their, mine in zip(cases, theirs, ours("log", *paths)):
		replays = mine["parsed"] and mine["pcrs"] == {str(n): v.hex() for n, v in values.items()}
		if mine["parsed"]:
			assert their["parsed"], (what, their["why"])
		if replays:
			assert their["replayed"], (what, their["why"])
			accepted += 1
			# They also refuse for types in PCR 2.
			assert mine["secure_boot"] == "unknown" or their["secure_boot"] in (mine["secure_boot"], "unknown"), what
		elif their["replayed"]:
			# All events of a PCR gone: they take that for a PCR of which nothing is known. A digest more is one too
			# many for us, and "exit boot services" may be missing for them.
			gone = any(str(n) not in mine["pcrs"] for n in values)
			assert gone or not mine["parsed"] or mine["pcrs"]["5"] != values[5].hex(), what
	# Relabelled events replay as before, so that the comparison above is about something.
	assert accepted > 50


def quotes():
	"""(AK, quote, signature, nonce, PCR values in a list)"""
	for boot in BOOTS:
		values = pcrs_of(boot)
		yield ((boot / "ak.pub").read_bytes()[2:], (boot / "quote.msg").read_bytes(), (boot / "quote.sig").read_bytes(),
		       bytes(range(32)), [(n, values[n]) for n in (*range(12), 14)])
	text = (DATA / "tpm2/pcrs.yaml").read_text()
	bank = re.search(r"  sha256:\n((?:    .*\n)+)", text)[1]
	values = {int(n): bytes.fromhex(v) for n, v in re.findall(r"(\d+) *: 0x([0-9A-F]+)", bank)}
	ecc = [(DATA / f"tpm2/ecc.{name}").read_bytes() for name in ("pub", "quote", "sig")]
	yield (*ecc, bytes(range(16)), [(n, values[n]) for n in (0, 1, 10, 17)])


def forged_quotes(sound):
	for n, (ak, quote, signature, nonce, values) in enumerate(sound):
		yield sound[n - 1][0], quote, signature, nonce, values
		yield ak, quote, sound[n - 1][2], nonce, values
		yield ak, quote, signature, nonce[:-1], values
		yield ak, quote, signature, bytes(len(nonce)), values
		yield ak, quote, signature, nonce, values[:-1]
		yield ak, quote, signature, nonce, [(values[0][0], bytes(32)), *values[1:]] if any(values[0][1]) else values[1:]
		for at in range(0, len(quote), 5):
			yield ak, quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1:], signature, nonce, values
		for at in range(0, len(signature), 5):
			yield ak, quote, signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1:], nonce, values


def test_quotes(go_attestation, place):
	sound = list(quotes())
	cases = sound + list(forged_quotes(sound))
	number, lines = itertools.count(), []
	for ak, quote, signature, nonce, values in cases:
		paths = [place / str(next(number)) for _ in range(5)]
		for path, data in zip(paths, (ak, quote, signature, nonce, b"".join(value for _, value in values))):
			path.write_bytes(data)
		lines.append(" ".join(map(str, paths)))
	theirs = go_attestation([
		{"ak": ak, "quote": quote, "signature": signature, "nonce": nonce,
		 "pcrs": [("sha256", n, value) for n, value in values]}
		for ak, quote, signature, nonce, values in cases])
	mine = ours("quote", *lines)
	assert mine[:len(sound)] == ["accepted"] * len(sound)
	assert all(v["quoted"] for v in theirs[:len(sound)]), theirs[:len(sound)]
	assert set(mine[len(sound):]) == {"refused"}


def test_ima_lists():
	"""The kernel's own lists, replayed in Python from the kernel's documents."""
	for boot in BOOTS:
		data = (boot / "binary_runtime_measurements").read_bytes()
		at, pcr, entries = 0, bytes(32), 0
		while at < len(data):
			name = 28 + struct.unpack_from("<I", data, at + 24)[0]
			size, = struct.unpack_from("<I", data, at + name)
			body = data[at + name + 4:at + name + 4 + size]
			digest = hashlib.sha256(body).digest() if any(data[at + 4:at + 24]) else b"\xff" * 32
			pcr, entries, at = hashlib.sha256(pcr + digest).digest(), entries + 1, at + name + 4 + size
		[mine] = ours("ima", boot / "binary_runtime_measurements")
		assert mine == {"parsed": True, "entries": entries, "pcr10": pcr.hex()}
		assert pcr == pcrs_of(boot)[10]
