# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up while sessions work: events wait in the kernel, and what finds no room there is counted."""

import contextlib
import subprocess

import pytest

from harness import wait
from harness.load import Load, status

SESSIONS = 4
DISK = "64m"


class Disk:
	"""A small filesystem with the daemon's state on it."""

	def __init__(self, daemon):
		self.daemon = daemon
		self.mount = daemon.state
		self.mount.mkdir(mode=0o700)
		subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "affiant-test", self.mount], check=True)
		self.ballast = self.mount / "ballast"

	def fill(self):
		"""To the last byte, whatever the daemon writes meanwhile, until it says so."""
		def full():
			self._fill()
			return self.says("cannot be written")

		wait.until("the daemon finds the disk full", full, explain=self.daemon.log)

	def _fill(self):
		with open(self.ballast, "ab", buffering=0) as file:
			for size in (1 << 20, 1 << 12, 1):
				with contextlib.suppress(OSError):
					while True:
						file.write(bytes(size))

	def free(self):
		self.ballast.unlink()

	def says(self, words):
		return words in self.daemon.log()

	def wait_for(self, words):
		wait.until(f"the daemon says '{words}'", lambda: self.says(words), explain=self.daemon.log)

	def remove(self):
		subprocess.run(["umount", "--lazy", self.mount], check=True)


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
