# SPDX-License-Identifier: Apache-2.0
"""`affiant events` over what a ledger goes through: restarts, many segments, retention, and no daemon at all."""

import subprocess

import pytest

from harness import daemon as daemons
from harness import wait
from harness.records import decode, kind

SMALL = "segment_bytes: 64KiB\nstate_bytes: 128KiB\n"
NOBODY = 65534


class Follower:
	"""`affiant events -f -o proto`, into a file."""

	def __init__(self, daemon, place):
		self.path = place / "followed"
		self.complaints = place / "complaints"
		with open(self.path, "wb") as out, open(self.complaints, "wb") as err:
			self.process = subprocess.Popen([str(daemons.AFFIANT), "events", "--socket", str(daemon.socket), "-f",
							 "-o", "proto"], stdout=out, stderr=err, env=daemons.environment())

	def sequences(self):
		try:
			return [r.sequence for r in decode(self.path.read_bytes())]
		except AssertionError:	# half a record: the rest is on its way
			return []

	def wait_for(self, sequence):
		wait.until(f"record {sequence} is followed", lambda: sequence in self.sequences(),
			   explain=lambda: f"{self.sequences()[-3:]} {self.complaints.read_text()}")

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.process.kill()
		self.process.wait()


def _execs(daemon, count, **more):
	return daemon.run("/bin/sh", "-c", f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i + 1)); done", **more)


def _last(daemon):
	return daemon.records("-n", "1")[0].sequence


def test_follow_over_a_restart(new_daemon, place):
	"""Who follows sees every record once, whatever becomes of the daemon meanwhile."""
	daemon = new_daemon()
	with Follower(daemon, place) as follower:
		_execs(daemon, 3).records()
		follower.wait_for(_last(daemon))
		daemon.kill()
		daemon.start()
		_execs(daemon, 3).records()
		daemon.stop()
		daemon.start()
		last = _last(daemon)
		follower.wait_for(last)
		assert follower.sequences()[:last] == list(range(1, last + 1))
		assert "affiantd is gone" in follower.complaints.read_text()


def test_follow_into_the_next_segments(new_daemon, place):
	daemon = new_daemon(config="segment_bytes: 64KiB\n")
	with Follower(daemon, place) as follower:
		_execs(daemon, 200).records()
		last = _last(daemon)
		assert len(list((daemon.state / "ledger").glob("*.seg"))) > 2
		follower.wait_for(last)
		assert follower.sequences()[:last] == list(range(1, last + 1))


def test_retention_leaves_a_gap_that_is_told(new_daemon):
	daemon = new_daemon(config=SMALL)
	# One agent alone could not fill it.
	for agent in range(40):
		_execs(daemon, 10, agent=f"agent{agent}").wait()
	daemon.wait_records("a gap", lambda found: any(kind(r) == "gap" for r in found))
	found = daemon.records()
	gaps = [r.gap for r in found if kind(r) == "gap"]
	sequences = [r.sequence for r in found]
	assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
	# What was told lately is what is missing: earlier gaps can have gone with their segments.
	assert gaps[-1].last_sequence == sequences[0] - 1
	assert sum(f.stat().st_size for f in (daemon.state / "ledger").glob("*.seg")) <= 128 * 1024


def test_without_a_daemon(new_daemon):
	daemon = new_daemon()
	_execs(daemon, 5).records()
	daemon.stop()
	done = daemon.affiant("events", "--ledger", str(daemon.state / "ledger"), "-o", "proto", socket=False, text=False)
	assert done.returncode == 0, done.stderr
	offline = decode(done.stdout)
	assert [r.sequence for r in offline] == list(range(1, len(offline) + 1))
	assert kind(offline[0]) == "daemon_started"
	assert kind(offline[-1]) == "daemon_stopping"
	daemon.start()
	assert daemon.records()[:len(offline)] == offline


@pytest.mark.parametrize("start", [True, False], ids=["refused", "absent"])
def test_no_records_without_a_clear_word(new_daemon, start):
	daemon = new_daemon(start=start)
	done = daemon.affiant("events", **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if start else {}))
	assert done.returncode == 1
	assert not done.stdout
	assert done.stderr.startswith("affiant events: ")
	assert len(done.stderr.splitlines()) == 1


def test_more_segments_than_one_answer_holds(new_daemon):
	"""The daemon hands out sixteen descriptors at a time."""
	daemon = new_daemon(config="segment_bytes: 64KiB\n")
	_execs(daemon, 2000).wait()
	wait.until("twenty segments", lambda: len(list((daemon.state / "ledger").glob("*.seg"))) > 20)
	found = [r.sequence for r in daemon.records()]
	assert found == list(range(1, len(found) + 1))
	last = [r.sequence for r in daemon.records("-n", "1500")]
	assert last == list(range(last[-1] - 1499, last[-1] + 1))
