# SPDX-License-Identifier: Apache-2.0
"""Losses are told, and shown, whatever comes in between."""

import datetime
import json
import resource
import subprocess
import time

import pytest

from harness import wait
from harness.disk import Disk

LOOP = "read a; i=0; while [ $i -lt {} ]; do /bin/true; i=$((i + 1)); done; read b"


class Loop:
	"""A shell of a session that executes so many programs when it is told to."""

	def __init__(self, daemon, count):
		self.run = daemon.launch("/bin/sh", "-c", LOOP.format(count), stdin=subprocess.PIPE)
		self.run.wait_exec("/bin/sh")

	def go(self):
		self.run.process.stdin.write("\n")
		self.run.process.stdin.flush()

	def end(self):
		self.run.process.stdin.write("\n")
		self.run.process.stdin.close()
		self.run.process.stdin = None
		self.run.process.wait(60)


def _lost(records):
	total = {}
	for record in records.of("lost"):
		for each in record.lost.counts:
			total[each.stage, each.kind] = total.get((each.stage, each.kind), 0) + each.count
	return total


def _chain(daemon):
	return _lost(daemon.records()).get(("chain", "open"), 0)


class NoDescriptors:
	"""None is left to the daemon for what fanotify hands over: it drops that."""

	def __init__(self, daemon):
		self.pid = daemon.process.pid

	def __enter__(self):
		self.limit = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
		resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (3, self.limit[1]))

	def __exit__(self, *_):
		resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.limit)


def _lose_opens(daemon, count):
	loop = Loop(daemon, count)
	with NoDescriptors(daemon):
		loop.go()
		time.sleep(3)
	loop.end()


def test_after_a_crash_as_much_again(new_daemon):
	"""The state is older than the Lost record: what is lost from then on is no less."""
	daemon = new_daemon()
	_lose_opens(daemon, 20)
	wait.until("it is told", lambda: _chain(daemon), explain=daemon.log)
	time.sleep(1.5)
	first = _chain(daemon)
	daemon.kill()
	daemon.start()
	_lose_opens(daemon, 20)
	wait.until("what came behind it is told", lambda: _chain(daemon) > first, explain=daemon.log)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_before_it_could_be_told(new_daemon, how):
	"""The disk is full, nothing can be told or saved, and the daemon ends."""
	daemon = new_daemon(start=False)
	disk = Disk(daemon)
	try:
		daemon.start()
		loop = Loop(daemon, 20)
		disk.take()
		with NoDescriptors(daemon):
			loop.go()
			disk.wait_for("cannot be written")
			time.sleep(3)
		daemon.stop() if how == "stop" else daemon.kill()
		disk.free()
		daemon.start()
		loop.end()
		wait.until("it is told", lambda: _chain(daemon), explain=daemon.log)
	finally:
		daemon.remove()
		disk.remove()


def test_status_knows_what_is_not_told_yet(new_daemon):
	"""While the disk is full no record can tell of it."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n", start=False)
	disk = Disk(daemon)
	try:
		daemon.start()
		loop = Loop(daemon, 200)
		disk.take()
		loop.go()

		def status():
			return json.loads(daemon.affiant("status", "-o", "json").stdout)

		found = wait.until("status counts it", lambda: status()["lost_untold"] and status(), explain=daemon.log)
		assert found["unwritable"] and any(each["stage"] == "ring" for each in found["lost"])
		assert "in no record yet" in daemon.affiant("status").stdout
		disk.free()
		loop.end()
		wait.until("it is told", lambda: daemon.records().of("lost"), explain=daemon.log)
		wait.until("all of it", lambda: not status()["lost_untold"])
	finally:
		daemon.remove()
		disk.remove()


@pytest.fixture
def lossy(new_daemon):
	"""A daemon that was too slow: and when that was over."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	loop = Loop(daemon, 200)
	daemon.suspend()
	loop.go()
	time.sleep(4)
	daemon.over = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
	time.sleep(2)
	daemon.resume()
	loop.end()
	daemon.wait_records("losses", lambda found: ("ring", "exec") in _lost(found))
	return daemon


def test_no_filter_hides_losses(lossy):
	for options in (["--agent", "nobody"], ["--dst", "192.0.2.1"], ["--outcome", "refused"], ["--type", "exec"],
			["--type", "connect", "--dst", "192.0.2.1"], ["--session", "0123", "--dst", "192.0.2.1"],
			["--until", lossy.over]):
		done = lossy.affiant("events", *options)
		assert "tell of losses" in done.stderr, options
	for options in ([], ["--type", "lost"], ["--until", "2000-01-01T00:00:00Z", "--type", "lost,gap"]):
		assert "tell of losses" not in lossy.affiant("events", *options).stderr, options


def test_numbers_alone_are_shown(new_daemon):
	"""Nothing counted what never came (here its journal was taken away): the numbers show it."""
	daemon = new_daemon(config="ring_bytes: 256KiB\n")
	loop = Loop(daemon, 40)
	daemon.stop()
	daemon.start()
	loop.go()
	time.sleep(2)
	daemon.kill()
	for journal in (daemon.state / "journal").glob("*.jnl"):
		journal.unlink()
	for segment in sorted((daemon.state / "ledger").glob("*.seg"))[-1:]:
		segment.unlink()	# what was told of it goes, too
	daemon.start()
	for _ in range(3):
		daemon.run("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done").records()
		time.sleep(1.2)
	loop.end()
	found = daemon.wait_records("the numbers", lambda found: ("sequence", "number") in _lost(found))
	assert _lost(found)["sequence", "number"] == sum(
		each.last - each.first + 1 for r in found.of("lost") for each in r.lost.ranges)
	assert "number (sequence); numbers CPU " in daemon.affiant("events", "--type", "lost").stdout
	assert any(each.get("count") for each in daemon.events("--type", "lost"))
	assert "sequence/number" in daemon.affiant("status").stdout
