# SPDX-License-Identifier: Apache-2.0
"""What lies in the state directory, and is damaged, taken away, or outlived by a reboot: something always says so."""

import os
import struct
import subprocess
import time
import uuid
import zlib

import pytest

from harness import daemon as daemons
from harness import wait
from harness.load import status
from harness.records import pb, pb_state

# It connects when told to, to where nobody answers, and goes when its input ends.
CONNECTS = """
import socket, sys
print('here', flush=True)
port = int(sys.stdin.readline())
s = socket.socket()
s.setblocking(False)
try:
	s.connect((sys.argv[1], port))
except OSError:
	pass
print('connects', flush=True)
sys.stdin.readline()
"""


class Agent:
	def __init__(self, daemon, host="127.0.0.1", **more):
		self.run = daemon.launch("/usr/bin/python3", "-c", CONNECTS, host, stdin=subprocess.PIPE, **more)
		assert self.run.line() == "here"
		self.run.wait_exec("/usr/bin/python3")

	def connect(self, port):
		self.run.process.stdin.write(f"{port}\n")
		self.run.process.stdin.flush()
		assert self.run.line() == "connects"


def gaps(daemon, reason):
	return daemon.records("--type", "gap").where(lambda r: r.gap.reason == reason)


def boottime():
	return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def journals(daemon):
	return sorted((daemon.state / "journal").glob("*.jnl"))


# ---- the journal ----

@pytest.mark.parametrize("saved", [False, True], ids=["no state", "a state"])
def test_a_journal_that_cannot_be_read(new_daemon, saved):
	"""It is not passed over: the daemon says which file it is, and goes on once that can be read again."""
	daemon = new_daemon()
	if saved:
		daemon.stop()
		daemon.start()
	agent = Agent(daemon)
	agent.connect(4321)
	daemon.kill()
	last = journals(daemon)[-1]
	aside = last.with_suffix(".aside")
	last.rename(aside)
	last.symlink_to(aside.name)
	daemon.spawn()
	assert daemon.process.wait(wait.DEADLINE) not in (0, None)
	assert f"{last}: Too many levels of symbolic links" in daemon.log().splitlines()[-1]
	last.unlink()
	aside.rename(last)
	daemon.start()
	agent.run.wait()
	found = agent.run.records()
	assert len(found.execs) == 1
	assert [r.connect.reached.port for r in found.connects] == [4321]


def test_an_emptied_journal(new_daemon):
	"""Emptied while the daemon was stopped, by somebody who makes room: what is written then is read again after a crash."""
	daemon = new_daemon()
	for _ in range(2):
		daemon.stop()
		daemon.start()
	daemon.stop()
	for path in journals(daemon):
		path.unlink()
	daemon.start()
	agent = Agent(daemon)
	agent.connect(4323)
	agent.run.records_so_far()
	# As after a power cut, the ledger ends before.
	daemon.kill()
	for path in (daemon.state / "ledger").glob("*.seg"):
		path.unlink()
	daemon.start()
	agent.run.wait()
	found = agent.run.records()
	assert found.one("session_started").agent.name == "tester"
	assert [r.connect.reached.port for r in found.connects] == [4323]


def test_a_state_that_cannot_be_read(new_daemon, place):
	daemon = new_daemon()
	daemon.stop()
	state = daemon.state / "state"
	state.rename(place / "state")
	state.mkdir()
	daemon.spawn()
	assert daemon.process.wait(wait.DEADLINE) not in (0, None)
	assert daemon.log().splitlines()[-1].endswith(f"{state}: Is a directory")
	state.rmdir()
	(place / "state").rename(state)
	daemon.start()
	assert not daemon.records("--type", "gap")


# ---- a reboot ----

class Machine:
	"""A daemon that is told another boot's id after each reboot()."""

	def __init__(self, daemon, place):
		self.daemon = daemon
		self.boot_id = place / "boot_id"
		self.program = place / "affiantd"
		self.program.write_text(f"""#!/bin/sh
exec unshare -m sh -c 'mount --bind {self.boot_id} /proc/sys/kernel/random/boot_id && exec {daemons.AFFIANTD} "$@"' affiantd "$@"
""")
		self.program.chmod(0o755)
		daemon.program = self.program

	def reboot(self):
		"""Of a daemon that does not run: its pins are gone."""
		if self.daemon.pins.exists():
			done = self.daemon.affiant("uninstall-bpf", "--pin-dir", str(self.daemon.pins), socket=False)
			assert done.returncode == 0, done.stderr
		self.boot_id.write_text(f"{uuid.uuid4()}\n")


@pytest.fixture
def machine(new_daemon, place):
	machine = Machine(new_daemon(start=False), place)
	machine.reboot()
	machine.daemon.start()
	return machine


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_reboot_with_an_agent(machine, how):
	"""What it did when nobody read is gone with the ring."""
	daemon = machine.daemon
	agent = Agent(daemon)
	last = max(r.boottime_ns for r in daemon.records())
	before = boottime()
	getattr(daemon, how)()
	agent.connect(4322)
	agent.run.wait()
	machine.reboot()
	daemon.start()
	gap = gaps(daemon, pb.GAP_REBOOT).only()
	assert last <= gap.gap.from_boottime_ns <= before + 10 ** 9
	ended = agent.run.records_so_far().one("session_ended")
	assert ended.session_ended.reason == pb.END_REBOOT
	assert gap.boot_id == ended.boot_id
	assert "reboot" in daemon.affiant("events", "--type", "gap").stdout
	daemon.kill()
	daemon.start()
	assert len(gaps(daemon, pb.GAP_REBOOT)) == 1, "it was told already"


def test_a_reboot_when_nothing_was_left(machine):
	"""Stopped in order, without a session and without selectors: nothing can have gone unseen."""
	daemon = machine.daemon
	daemon.run("/bin/true").records()
	daemon.stop()
	machine.reboot()
	daemon.start()
	assert not daemon.records("--type", "gap")
	# Killed, it may not have read all.
	daemon.kill()
	machine.reboot()
	daemon.start()
	assert len(gaps(daemon, pb.GAP_REBOOT)) == 1


def test_a_reboot_with_selectors(machine):
	"""What they would have taken behind the daemon's end."""
	daemon = machine.daemon
	daemon.stop()
	daemon.config.write_text("agents:\n  - name: chosen\n    selectors:\n      - user: 61234\n")
	daemon.start()
	daemon.stop()
	machine.reboot()
	daemon.start()
	assert len(gaps(daemon, pb.GAP_REBOOT)) == 1


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_reboot_and_no_journal(machine, how):
	"""The state says that there was another boot, and what it knew is told."""
	daemon = machine.daemon
	agent = Agent(daemon)
	daemon.stop()
	for path in journals(daemon):
		if how == "gone":
			path.unlink()
		else:
			path.write_bytes(b"x" * 40 + path.read_bytes()[40:])
	agent.run.wait()
	machine.reboot()
	daemon.start()
	assert len(gaps(daemon, pb.GAP_REBOOT)) == 1
	assert agent.run.records_so_far().one("session_ended").session_ended.reason == pb.END_REBOOT


# ---- the ledger ----

def torn(daemon, length):
	"""As a power cut leaves it."""
	segment = sorted((daemon.state / "ledger").glob("*.seg"))[-1]
	with open(segment, "ab") as file:
		file.write(bytes(length))


@pytest.mark.parametrize("call", ["ftruncate", "pwrite64"])
def test_killed_behind_the_cut(new_daemon, place, call):
	"""A start that is killed when it has cut a torn end off: the next one tells of it."""
	daemon = new_daemon()
	daemon.run("/bin/true").records()
	daemon.stop()
	torn(daemon, 96)
	trace = place / "trace"
	# Of the calls that write, the first is to the note: the cut has not come, and comes with the next start.
	subprocess.run(["strace", "-f", "-o", trace, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1", *daemon.command()],
		       stdin=subprocess.DEVNULL, capture_output=True, timeout=wait.DEADLINE)
	assert "+++ killed by SIGKILL +++" in trace.read_text()
	for _ in range(2):
		daemon.start()
		assert [r.gap.bytes for r in gaps(daemon, pb.GAP_TORN)] == [96]
		daemon.stop()


def test_a_start_that_fails_behind_the_cut(new_daemon, place):
	"""The state contradicts itself, and is moved away, as affiantd itself says: what was cut is told all the same."""
	daemon = new_daemon()
	agent = Agent(daemon)
	daemon.stop()
	torn(daemon, 64)
	state = daemon.state / "state"
	data = pb_state.State.FromString(state.read_bytes()[16:])
	data.processes[0].actor = 999999
	packed = data.SerializeToString()
	state.write_bytes(b"AFFSTAT1" + struct.pack("=II", zlib.crc32(packed), len(packed)) + packed)
	daemon.spawn()
	assert daemon.process.wait(wait.DEADLINE) not in (0, None)
	assert daemon.log().splitlines()[-1].endswith("contradicts itself; move it away")
	state.rename(place / "state")
	daemon.start()
	assert [r.gap.bytes for r in gaps(daemon, pb.GAP_TORN)] == [64]
	agent.run.wait()


def test_a_disk_that_refuses_to_sync(new_daemon, place):
	"""It is said in log and status; then another segment begins, and the ledger says which records are in doubt."""
	daemon = new_daemon()
	daemon.run("/bin/true").records()
	trace = subprocess.Popen(["strace", "-f", "-p", str(daemon.process.pid), "-o", place / "trace", "-e", "trace=fdatasync",
				  "-e", "inject=fdatasync:error=EIO"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
	try:
		assert "attached" in trace.stderr.readline()
		first = len(daemon.run("/bin/true").records()) and max(r.sequence for r in daemon.records())
		wait.until("it is said", lambda: "made durable (Input/output error)" in daemon.log(), explain=daemon.log)
		assert status(daemon)["unsaved"] == "Input/output error"
		assert "cannot be made durable: Input/output error" in daemon.affiant("status").stdout
		time.sleep(3)	# it is tried again and again
		last = max(r.sequence for r in daemon.run("/bin/true").records())
	finally:
		trace.terminate()
		trace.communicate()
	gap = daemon.wait_records("the gap", lambda found: found.of("gap"), "--type", "gap").only()
	assert gap.gap.reason == pb.GAP_UNSYNCED
	assert gap.gap.first_sequence <= first < last <= gap.gap.last_sequence < gap.sequence
	wait.until("all is well again", lambda: status(daemon)["unsaved"] is None)
	assert "unsynced" in daemon.affiant("events", "--type", "gap").stdout
	assert len(list((daemon.state / "ledger").glob("*.seg"))) == 2
	assert len([line for line in daemon.log().splitlines() if "durable" in line]) == 2
	sequences = [r.sequence for r in daemon.records()]
	assert sequences == list(range(1, len(sequences) + 1))


def test_a_state_that_cannot_be_saved(new_daemon):
	"""Status says it."""
	daemon = new_daemon()
	(daemon.state / "state.new").mkdir()
	run = daemon.launch("/usr/bin/python3", "-c", """
import socket
for _ in range(100000):
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.connect(('127.0.0.1', 9))
	s.close()
""")
	try:
		wait.until("it is said", lambda: "the state can't be saved (Is a directory)" in daemon.log(), explain=daemon.log)
		assert status(daemon)["unsaved"] == "Is a directory"
	finally:
		run.kill()
		(daemon.state / "state.new").rmdir()


# ---- the state ----

def lost(daemon):
	return [(count.stage, count.kind, count.count) for r in daemon.records().of("lost") for count in r.lost.counts]


def ranges(daemon):
	return [(each.cpu, each.first, each.last) for r in daemon.records().of("lost") for each in r.lost.ranges]


def busy(daemon):
	"""Every CPU tells something, and then time passes: what is missing by now is told."""
	for cpu in sorted(os.sched_getaffinity(0)):
		daemon.run("taskset", "-c", str(cpu), "/bin/sh", "-c", "for i in 1 2 3; do /bin/true; done").records()
	time.sleep(2.5)
	daemon.run("/bin/true").records()
	time.sleep(1.5)


def is_numbered(daemon):
	"""Each event that the ring had no room for is told by its number, too: of a CPU that is a second later than of another."""
	counts = lost(daemon)
	return sum(n for stage, _, n in counts if stage == "ring") == sum(n for stage, _, n in counts if stage == "sequence")


LOST = ["damaged", "moved away", "moved away with the journal", "all but the ledger, and killed"]


@pytest.mark.parametrize("how", LOST)
def test_the_state_is_gone(new_daemon, place, lab, how):
	"""A gap says so, once; nothing is called a loss that was none, and losses that were told are not told again."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	drowned = daemon.launch("/bin/sh", "-c", "read a; for i in $(seq 200); do /bin/true; done", stdin=subprocess.PIPE)
	drowned.wait_exec("/bin/sh")
	daemon.suspend()
	drowned.process.stdin.write("\n")
	drowned.process.stdin.close()
	drowned.process.stdin = None
	drowned.process.wait()
	daemon.resume()
	daemon.wait_records("losses", lambda found: found.of("lost"))
	busy(daemon)
	wait.until("all numbers", lambda: daemon.run("/bin/true") and is_numbered(daemon))
	before = lost(daemon), ranges(daemon)
	agent = Agent(daemon, lab.hole, netns=lab.agent)
	connects = boottime()
	agent.connect(4324)
	# Stopped while the outcome is awaited.
	daemon.stop()
	state = daemon.state / "state"
	if how == "damaged":
		data = bytearray(state.read_bytes())
		data[len(data) // 2] ^= 0xff
		state.write_bytes(data)
	else:
		state.unlink()
		if how != "moved away":
			for path in journals(daemon):
				path.unlink()
	daemon.start()
	if "killed" in how:
		daemon.kill()
		daemon.start()
	agent.run.wait()
	busy(daemon)
	gap = gaps(daemon, pb.GAP_STATE).only()
	assert gap.gap.from_boottime_ns < connects < gap.gap.to_boottime_ns
	assert (lost(daemon), ranges(daemon)) == before
	assert "what was saved of this boot is gone" in daemon.log()
	for _ in range(2):
		daemon.kill()
		daemon.start()
	daemon.stop()
	daemon.start()
	assert len(gaps(daemon, pb.GAP_STATE)) == 1, "it was told already"
	assert not gaps(daemon, pb.GAP_TRACING_REMOVED)


def test_another_state_directory(new_daemon):
	"""The kernel's programs go on, and what they told went elsewhere."""
	daemon = new_daemon()
	agent = Agent(daemon)
	daemon.stop()
	daemon.state.rename(daemon.state.with_name("before"))
	daemon.start()
	agent.run.wait()
	busy(daemon)
	assert len(gaps(daemon, pb.GAP_STATE)) == 1
	assert not lost(daemon) and not ranges(daemon)


def test_killed_before_anything_was_saved(new_daemon):
	"""Then the journal has all from the boot's beginning: no gap."""
	daemon = new_daemon()
	agent = Agent(daemon)
	for _ in range(3):
		daemon.kill()
		daemon.start()
	agent.run.wait()
	busy(daemon)
	assert not daemon.records("--type", "gap")
	assert not lost(daemon) and not ranges(daemon)
