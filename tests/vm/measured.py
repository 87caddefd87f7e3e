# SPDX-License-Identifier: Apache-2.0
"""What a boot measured, replayed by arithmetic of our own."""

import hashlib
import re
import struct


def read_pcrs(path):
	"""pcrs.txt: {(bank, number): hex}"""
	pcrs = {}
	for line in path.read_text().splitlines():
		bank, number, value = line.split()
		pcrs[bank, int(number)] = value
	return pcrs


def replay_ima(log, bank):
	"""PCR 10 by the list's own template data, and the number of entries."""
	value = bytes(hashlib.new(bank).digest_size)
	at = count = 0
	while at < len(log):
		pcr, digest, length = struct.unpack_from("<I20sI", log, at)
		at += 28 + length
		(length,) = struct.unpack_from("<I", log, at)
		data = log[at + 4:at + 4 + length]
		at += 4 + length
		assert pcr == 10
		# A violation is zeros in the list and ones in the register.
		violation = digest == bytes(20)
		entry = b"\xff" * len(value) if violation else hashlib.new(bank, data).digest()
		value = hashlib.new(bank, value + entry).digest()
		count += 1
	return value.hex(), count


def replay_events(text):
	"""The PCRs at the end of what tpm2_eventlog prints: {(bank, number): hex}"""
	pcrs, bank = {}, None
	for line in text[text.rindex("\npcrs:"):].splitlines():
		if found := re.fullmatch(r"    (\d+) *: 0x([0-9a-f]+)", line):
			pcrs[bank, int(found[1])] = found[2]
		elif found := re.fullmatch(r"  (\w+):", line):
			bank = found[1]
	return pcrs
