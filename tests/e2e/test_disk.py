# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up while sessions work: events wait in the kernel, and what finds no room there is counted."""

import pytest

from harness import wait
from harness.disk import Disk
from harness.load import Load, status

SESSIONS = 4


@pytest.fixture
def new_disk(new_daemon):
	made = []

	def make(**more):
		daemon = new_daemon(start=False, **more)
		made.append(Disk(daemon))
		daemon.start()
		return made[-1]

	yield make
	for disk in made:
		disk.remove()


def test_full_for_a_while(new_disk, programs, netns):
	"""The ring has room for what happens meanwhile: nothing is lost, and everything is told."""
	disk = new_disk(config="ring_bytes: 64MiB\n")
	daemon = disk.daemon
	with Load(daemon, programs, netns, SESSIONS, 0, width=1) as load:
		load.begin()
		disk.fill()
		assert status(daemon)["unwritable"] == "No space left on device"
		assert "cannot be written: No space left on device" in daemon.affiant("status").stdout
		used = status(daemon)["ring_used"]
		wait.until("events gather in the ring", lambda: status(daemon)["ring_used"] > used + (1 << 18))
		refused = daemon.run("/bin/true", check=False)
		assert refused.returncode == 125
		assert "No space left on device" in refused.stderr
		disk.free()
		disk.wait_for("can be written again")
		assert status(daemon)["unwritable"] is None
		load.finish()
		tally = load.tally()
		load.check(tally)
		assert not load.lost(tally)


def test_killed_while_it_is_full(new_disk, programs, netns):
	"""A daemon that can't start for want of room says so; once there is some, the next goes on where the first was."""
	disk = new_disk(config="ring_bytes: 64MiB\n")
	daemon = disk.daemon
	with Load(daemon, programs, netns, SESSIONS, 0, width=1) as load:
		load.begin()
		disk.fill()
		daemon.kill()
		daemon.spawn()
		daemon.process.wait(wait.DEADLINE)
		assert daemon.process.returncode not in (0, None)
		assert "No space left on device" in daemon.log().splitlines()[-1]
		disk.free()
		daemon.start()
		load.finish()
		tally = load.tally()
		load.check(tally)
		assert not load.lost(tally)


def test_full_for_longer_than_the_ring_holds(new_disk, programs, netns):
	"""What finds no room in the ring either is counted, and told as soon as there is room."""
	disk = new_disk(config="ring_bytes: 64KiB\n")
	daemon = disk.daemon
	with Load(daemon, programs, netns, SESSIONS, 0, width=1) as load:
		load.begin()
		disk.fill()
		wait.until("the ring is full", lambda: status(daemon)["ring_used"] > (64 << 10) * 3 // 4)
		load.finish()
		lines = len(daemon.log().splitlines())
		disk.free()
		disk.wait_for("can be written again")
		tally = load.tally()
		load.check(tally)
	assert tally.lost["ring", "exec"] > 0
	assert tally.lost == tally.totals
	assert lines < 10, "it complained again and again"
