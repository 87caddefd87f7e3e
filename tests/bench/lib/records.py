# SPDX-License-Identifier: Apache-2.0
"""As much of protobuf as tells a record's kind and time (proto/affiant/v1/record.proto)."""

import collections

from . import machine

Record = collections.namedtuple("Record", "kind boottime_ns")

BOOTTIME, EXEC, CONNECT = 5, 22, 24
BODIES = range(20, 31)


def _varint(data, at):
	value = shift = 0
	while True:
		byte = data[at]
		value |= (byte & 0x7f) << shift
		at += 1
		if byte < 0x80:
			return value, at
		shift += 7


def _fields(data):
	at = 0
	while at < len(data):
		key, at = _varint(data, at)
		value, at = _varint(data, at)
		if key & 7 == 2:
			value, at = None, at + value
		yield key >> 3, value


def decode(data):
	"""The whole records at the beginning of data, and how many bytes they take."""
	found, at = [], 0
	while at < len(data):
		try:
			size, begin = _varint(data, at)
		except IndexError:
			break
		if begin + size > len(data):
			break
		kind = boottime = None
		for field, value in _fields(data[begin:begin + size]):
			if field == BOOTTIME:
				boottime = value
			elif field in BODIES:
				kind = field
		found.append(Record(kind, boottime))
		at = begin + size
	return found, at


def read(daemon):
	output = machine.subprocess.run([daemon.bench.affiant, "events", "-o", "proto", "--socket", daemon.socket],
					capture_output=True, check=True).stdout
	return decode(output)[0]
