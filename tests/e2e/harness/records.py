# SPDX-License-Identifier: Apache-2.0
"""Records as the tests read them: decoded by Google's protobuf, not by our own code."""

import hashlib
import importlib
import ipaddress
import pathlib
import subprocess
import sys
import tempfile

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


def generate(directory, *names):
	"""The modules that protoc makes of proto/affiant/v1, importable from this directory."""
	subprocess.run(["protoc", f"--python_out={directory}", f"-I{PROTO}", *(f"affiant/v1/{name}.proto" for name in names)], check=True)


def _generate():
	directory = tempfile.TemporaryDirectory(prefix="affiant-pb2-")
	generate(directory.name, "record", "state")
	sys.path.insert(0, directory.name)
	try:
		return [importlib.import_module(f"affiant.v1.{name}_pb2") for name in ("record", "state")]
	finally:
		sys.path.remove(directory.name)
		directory.cleanup()


pb, pb_state = _generate()


def end_of(data, at):
	"""(start, end) of the length-delimited message at this place; None when not all of it is there."""
	size = shift = 0
	while at < len(data):
		byte = data[at]
		size |= (byte & 0x7f) << shift
		shift += 7
		at += 1
		if byte < 0x80:
			return (at, at + size) if at + size <= len(data) else None
	return None


def decode(data):
	"""Length-delimited records, as `affiant events -o proto` writes them."""
	records, at = Records(), 0
	while at < len(data):
		end = end_of(data, at)
		assert end, f"the last record is cut: {len(data) - at} bytes left"
		start, at = end
		records.append(pb.Record.FromString(data[start:at]))
	return records


def kind(record):
	"""'exec', 'connect', ...: the name of the record's body."""
	return record.WhichOneof("body")


def body(record):
	return getattr(record, kind(record))


def address(endpoint):
	"""'127.0.0.1', '::1'; '' when there is none."""
	return str(ipaddress.ip_address(endpoint.address)) if endpoint.address else ""


def outcome(connect):
	return pb.Outcome.Name(connect.outcome).lower()


def protocol(message):
	return pb.Protocol.Name(message.protocol).removeprefix("PROTOCOL_").lower()


def hash_state(digest):
	return pb.HashState.Name(digest.state).removeprefix("HASH_").lower()


def unproven(digest):
	"""Why it is not proven; None: it is, or it is something else."""
	word = pb.Unproven.Name(digest.unproven).removeprefix("UNPROVEN_").lower()
	return word if hash_state(digest) == "unproven" else None


def stated_digest(digest):
	"""The SHA-256 that goes with its state, whatever that is worth; None."""
	return (digest.unproven_sha256 if hash_state(digest) == "unproven" else digest.sha256) or None


def step_kind(step):
	return pb.StepKind.Name(step.kind).removeprefix("STEP_").lower()


def sha256(path):
	"""Of a file, as bytes."""
	digest = hashlib.sha256()
	with open(path, "rb") as file:
		while block := file.read(1 << 20):
			digest.update(block)
	return digest.digest()


def show(record):
	"""One line for the message of an assertion."""
	process = f"{record.process.id.tgid}:{record.process.comm.decode(errors='replace')}"
	text = " ".join(str(body(record)).split()) if kind(record) else "no body"
	return f"{record.sequence} {process} {kind(record)} {text}"


class Records(list):
	"""A list of pb.Record with the questions that tests ask."""

	def of(self, *kinds):
		return Records(r for r in self if kind(r) in kinds)

	def where(self, test):
		return Records(r for r in self if test(r))

	def only(self):
		"""The one record there is."""
		assert len(self) == 1, f"one record expected, not {len(self)}:\n{self.text()}"
		return self[0]

	def one(self, wanted):
		"""The one record of a kind."""
		return self.of(wanted).only()

	@property
	def execs(self):
		return self.of("exec")

	@property
	def connects(self):
		return self.of("connect")

	def exec_of(self, argv0):
		"""The one exec whose argv[0] is this."""
		return self.execs.where(lambda r: r.process.argv and r.process.argv[0] == argv0.encode()).only()

	def whole(self):
		"""One session's records are all here: those that its end counts, each connection with its outcome.

		Records wait for the digest of their own process only, so the end may come before others.
		"""
		ended = self.of("session_ended")
		if not ended or not self.of("session_started"):
			return False
		counts = ended[0].session_ended
		return (len(self.execs) >= counts.execs and len(self.of("exit")) >= counts.processes and
			len(self.final()) >= counts.connections and
			all(outcome(r.connect) != "pending" for r in self.final()))

	def in_time(self):
		return Records(sorted(self, key=lambda r: r.boottime_ns))

	def final(self):
		"""Connects with their last word: one a connection id, a completed `pending` in place of the first."""
		last = {}
		for record in self.connects:
			last[record.connect.connection.number] = record
		return Records(last.values())

	def to(self, port):
		"""Connects with this port as destination, with their last word."""
		return self.final().where(lambda r: r.connect.reached.port == port)

	def text(self):
		return "\n".join(show(r) for r in self) or "(none)"
