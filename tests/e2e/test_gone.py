# SPDX-License-Identifier: Apache-2.0
"""A ledger of which somebody removes files: what is gone is said, and what is there is read."""

import json
import shutil
import struct
import zlib

import pytest

from harness import wait
from harness.records import decode, pb
from test_follow import Follower

SMALL = "segment_bytes: 64KiB\nstate_bytes: 1GiB\n"


def _execs(daemon, count):
	return daemon.run("/bin/sh", "-c", f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i + 1)); done")


def _segments(daemon):
	return sorted((daemon.state / "ledger").glob("*.seg"))


def _first(segment):
	return int.from_bytes(segment.read_bytes()[24:32], "little")


def _read(daemon, *options, socket=True):
	done = daemon.affiant("events", "-o", "proto", *options, socket=socket, text=False)
	return done.returncode, [r.sequence for r in decode(done.stdout)], done.stderr.decode()


def _voids(daemon):
	reason = pb.GapReason.Value("GAP_VOID")
	gaps = [r.gap for r in decode(daemon.affiant("events", "-o", "proto", "--type", "gap", text=False).stdout)]
	return [(gap.first_sequence, gap.last_sequence) for gap in gaps if gap.reason == reason]


@pytest.fixture
def filled(new_daemon):
	daemon = new_daemon(config=SMALL)
	_execs(daemon, 250).records()
	assert len(_segments(daemon)) >= 4
	return daemon


def test_one_is_gone_while_it_is_read(filled):
	"""Whoever reads gets all the others, and is told of the numbers that it does not get."""
	segments = _segments(filled)
	first, last = _first(segments[1]), _first(segments[2]) - 1
	segments[1].unlink()
	code, sequences, said = _read(filled)
	if not _voids(filled):	# the daemon has not found it yet
		assert code == 1 and f"records {first} to {last} are missing" in said
	assert not set(range(first, last + 1)) & set(sequences) and sequences[0] == 1
	assert set(range(last + 1, last + 100)) <= set(sequences)
	# The daemon finds it by itself, once.
	wait.until("it is told", lambda: _voids(filled), explain=filled.log)
	assert _voids(filled) == [(first, last)]
	assert f"records {first} to {last} are gone" in filled.log()
	status = json.loads(filled.affiant("status", "-o", "json").stdout)
	assert status["void_records"] == last - first + 1
	filled.stop()
	filled.start()
	_execs(filled, 2).records()
	assert _voids(filled) == [(first, last)]


@pytest.mark.parametrize("which", [0, 1])
def test_one_is_gone_while_nobody_looks(filled, which):
	"""Also the oldest, by whoever needs room."""
	segments = _segments(filled)
	first, last = _first(segments[which]), _first(segments[which + 1]) - 1
	filled.stop()
	segments[which].unlink()
	code, sequences, said = _read(filled, "--ledger", str(filled.state / "ledger"), socket=False)
	if which:
		assert code == 1 and f"records {first} to {last} are missing" in said
	for _ in range(2):
		filled.start()
		_execs(filled, 2).records()
		assert _voids(filled) == [(first, last)]
		filled.stop()


def test_the_one_that_is_written_is_gone(new_daemon):
	"""What comes next is not written into a file that nobody can open."""
	daemon = new_daemon()
	_execs(daemon, 3).records()
	for segment in _segments(daemon):
		segment.unlink()
	wait.until("it is found", lambda: "are gone" in daemon.log(), explain=daemon.log)
	run = daemon.run("/bin/true")
	run.wait_records("it is recorded", lambda found: found.whole())
	assert len(_voids(daemon)) == 1 and _voids(daemon)[0][0] == 1


def test_all_of_it_is_gone(new_daemon):
	"""Without its directory nothing can be written, and that is said, not done as if."""
	daemon = new_daemon()
	_execs(daemon, 3).records()
	shutil.rmtree(daemon.state / "ledger")
	wait.until("it is found", lambda: "cannot be written (No such file" in daemon.log(), explain=daemon.log)
	assert "cannot be written" in daemon.affiant("status").stdout
	run = daemon.launch("/bin/true")
	run.process.wait(30)
	daemon.stop()
	daemon.start()
	run.wait_records("what came meanwhile is recorded", lambda found: found.whole())


def test_who_follows_goes_on(filled, place):
	"""Behind a segment that is gone, too."""
	_segments(filled)[1].unlink()
	with Follower(filled, place) as follower:
		wait.until("it is told", lambda: _voids(filled), explain=filled.log)
		_execs(filled, 3).records()
		last = filled.records("-n", "1")[0].sequence
		follower.wait_for(last)
		assert "are missing" in follower.complaints.read_text() or _voids(filled)


def test_who_follows_learns_of_another_ledger(filled, place):
	"""Its numbers, and those of its segments, are lower than what was read."""
	with Follower(filled, place) as follower:
		follower.wait_for(filled.records("-n", "1")[0].sequence)
		filled.stop()
		shutil.rmtree(filled.state / "ledger")
		(filled.state / "state").unlink()
		filled.start()
		run = filled.run("/bin/true")
		run.records()
		wait.until("it is followed", lambda: [r for r in decode(follower.path.read_bytes()) if r.task.id == run.task],
			   explain=follower.complaints.read_text)
		assert "made anew" in follower.complaints.read_text()


def test_root_rewrites_a_record(filled):
	"""With a checksum to it, nothing shows that: records are not signed. When they are, this has to be told."""
	filled.stop()
	path = _segments(filled)[0]
	data, at = bytearray(path.read_bytes()), 64
	while True:
		length, = struct.unpack_from("<I", data, at)
		payload = bytes(data[at + 32:at + 32 + length])
		if b"/bin/true" in payload:
			break
		at += (32 + length + 7) & ~7
	sequence, = struct.unpack_from("<Q", data, at + 8)
	data[at + 32:at + 32 + length] = payload.replace(b"/bin/true", b"/bin/lies")
	struct.pack_into("<I", data, at + 4, zlib.crc32(data[at + 8:at + 32 + length]))
	path.write_bytes(data)
	filled.start()
	done = filled.affiant("events", "-o", "proto", text=False)
	assert done.returncode == 0 and not done.stderr
	record = next(r for r in decode(done.stdout) if r.sequence == sequence)
	assert b"/bin/lies" in record.SerializeToString()
