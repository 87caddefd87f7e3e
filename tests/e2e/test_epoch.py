# SPDX-License-Identifier: Apache-2.0
"""Kernel maps that are removed and made anew within one boot: nothing is doubled, dropped or lost in silence."""

import contextlib
import os
import shutil
import subprocess
import time
import uuid

import pytest

from harness import records as recorded
from harness import wait
from harness.cgroups import inside
from harness.daemon import environment
from harness.load import Load, idle, status
from harness.tally import Tally

pb = recorded.pb
SMALL_RING = "ring_bytes: 16KiB\n"


def uninstall(daemon):
	done = daemon.affiant("uninstall-bpf", "--pin-dir", daemon.pins, socket=False)
	assert done.returncode == 0, done.stderr


def remove_pins(daemon):
	"""What a cleaned bpffs is."""
	for pin in daemon.pins.iterdir():
		pin.unlink()
	daemon.pins.rmdir()


def boottime():
	return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def gaps(daemon):
	return daemon.records("--type", "gap").where(lambda r: r.gap.reason == pb.GAP_TRACING_REMOVED)


def epochs(daemon):
	return [r.daemon_started.epoch for r in daemon.records().of("daemon_started")]


def check_whole(daemon):
	"""Every id, connection and number once, and nothing dropped or lost."""
	tally = Tally(daemon)
	assert not tally.lost and not tally.gaps, (tally.lost, tally.gaps)
	assert status(daemon)["doubles"] == 0
	return tally


class Resident:
	"""A session with a process that outlives what the test does."""

	def __init__(self, daemon):
		self.run = daemon.launch("/bin/sh", "-c", "read a; /bin/true; read b", stdin=subprocess.PIPE)
		self.session = self.run.wait_exec("/bin/sh").session.id

	def go_on(self):
		"""It executes something, and ends."""
		self.run.wait()

	def ended(self, daemon):
		return daemon.records("--task", self.run.task, "--type", "session_ended").only()


def agent(daemon, programs, netns):
	"""A session that executes and connects, all of whose records have to be there."""
	with Load(daemon, programs, netns, 1, 3) as load:
		load.begin().finish()
		wait.until("the session has ended", lambda: idle(daemon), explain=daemon.log)
		load.check(Tally(daemon))


# ---- tracing that was removed ----

@pytest.mark.parametrize("remove", [uninstall, remove_pins], ids=["uninstall-bpf", "bpffs cleaned"])
def test_removed_and_started_again(new_daemon, programs, netns, remove):
	"""The manual's own way to change a size of the maps."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	resident = Resident(daemon)
	other = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	other.wait_exec("/bin/cat")
	last = max(r.boottime_ns for r in daemon.records())
	daemon.stop()
	remove(daemon)
	other.wait()	# of the two one lives on
	before = boottime()
	daemon.start()
	after = boottime()

	gap = gaps(daemon).only().gap
	assert last <= gap.from_boottime_ns < before < gap.to_boottime_ns < after
	assert gap.untracked_processes == 1
	for run in (resident.run, other):
		ended = daemon.records("--task", run.task, "--type", "session_ended").only()
		assert ended.session_ended.reason == pb.END_TRACING_REMOVED
		assert (ended.session_ended.processes, ended.session_ended.execs) == (1, 1)
	one, two = epochs(daemon)
	assert one != two and len(one) == len(two) == 16
	assert status(daemon)["sessions"] == status(daemon)["processes"] == 0

	agent(daemon, programs, netns)
	resident.go_on()
	daemon.run("/bin/true").records()
	assert len(daemon.records("--task", resident.run.task, "--type", "exec")) == 1, "it has a tag still"
	check_whole(daemon)


def test_killed_after_such_a_start(new_daemon, programs, netns):
	"""The journal has the change in its place: each start after it comes to the same."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	residents = [Resident(daemon) for _ in range(3)]
	daemon.kill()
	uninstall(daemon)
	for _ in range(2):
		daemon.start()
		daemon.kill()
	daemon.start()
	agent(daemon, programs, netns)
	daemon.kill()
	daemon.start()
	gap = gaps(daemon).only().gap
	assert gap.untracked_processes == 3
	assert {r.ended(daemon).session_ended.reason for r in residents} == {pb.END_TRACING_REMOVED}
	assert len(set(epochs(daemon))) == 2
	agent(daemon, programs, netns)
	for resident in residents:
		resident.go_on()
	check_whole(daemon)


def test_killed_while_it_starts_anew(new_daemon, programs, netns):
	"""At any moment: what was begun is finished or made again, and told once."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	resident = Resident(daemon)
	daemon.stop()
	uninstall(daemon)
	began = time.monotonic()
	daemon.start()
	took = time.monotonic() - began
	daemon.kill()
	uninstall(daemon)
	for step in range(12):
		daemon.spawn()
		time.sleep(took * step / 10)	# the moment is the test
		daemon.kill()
	daemon.start()
	agent(daemon, programs, netns)
	assert resident.ended(daemon).session_ended.reason == pb.END_TRACING_REMOVED
	found = gaps(daemon)
	assert len(found) >= 2
	# Of a set that no daemon began to read, nothing is told.
	assert len({r.gap.to_boottime_ns for r in found}) == len(found)
	assert sum(r.gap.untracked_processes for r in found) == 1
	resident.go_on()
	check_whole(daemon)


def test_removed_under_load(new_daemon, programs, netns):
	"""Events that the ring held are gone with it: nothing is told twice, and what comes after is all there."""
	daemon = new_daemon()
	with Load(daemon, programs, netns, 3, 0, width=1) as load:
		load.begin()
		for _ in range(3):
			time.sleep(0.2)	# the moment is the test
			daemon.kill()
			uninstall(daemon)
			daemon.start()
		load.finish()
	agent(daemon, programs, netns)
	found = gaps(daemon)
	assert len(found) == 3 and found[0].gap.untracked_processes >= 3
	assert len(set(epochs(daemon))) == 4
	tally = Tally(daemon)
	for session in load.sessions:
		assert tally.tasks[session.run.task]["session_ended"] == 1
	assert status(daemon)["doubles"] == 0


def test_a_session_that_was_ending(new_daemon):
	"""It was told to have ended: that is not told again."""
	daemon = new_daemon()
	resident = Resident(daemon)
	session = resident.run.records_so_far().one("session_started").session.id
	done = daemon.affiant("session", "end", uuid.UUID(bytes=session))
	assert done.returncode == 0, done.stderr
	daemon.stop()
	uninstall(daemon)
	daemon.start()
	assert resident.ended(daemon).session_ended.reason == pb.END_REQUESTED
	assert gaps(daemon).only().gap.untracked_processes == 1
	resident.go_on()
	check_whole(daemon)


# ---- selectors ----

@pytest.mark.parametrize("kind", ["cgroup", "exe"])
def test_what_selectors_take(new_daemon, programs, cgroup, kind):
	"""It is taken anew, late; until the kernel knows the selectors, a gap follows upon the other without a hole."""
	place = cgroup.make("agent-1")
	selector = f"{cgroup.name}/agent-*" if kind == "cgroup" else programs["wait_input"]
	daemon = new_daemon(config=f"agents:\n  - name: chosen\n    selectors:\n      - {kind}: {selector}\n")
	assert not daemon.records("--type", "gap"), "nothing was there before"
	with subprocess.Popen(inside(place, programs["wait_input"]), stdin=subprocess.PIPE, env=environment()):
		daemon.wait_records("its exec", lambda found: found.execs, "--agent", "chosen")
		daemon.stop()
		uninstall(daemon)
		daemon.start()
		again = daemon.wait_records("it is taken anew", lambda found: len(found.of("session_started")) == 2, "--agent", "chosen")
		assert [r.session_started.late for r in again.of("session_started")] == [False, True]
		removed = gaps(daemon).only().gap
		unwatched = daemon.records("--type", "gap").where(lambda r: r.gap.reason == pb.GAP_SELECTORS).only().gap
		assert removed.from_boottime_ns < unwatched.from_boottime_ns <= removed.to_boottime_ns < unwatched.to_boottime_ns
		assert removed.untracked_processes == 1
		assert len({r.session.id for r in again.of("session_started")}) == 2
	daemon.wait_records("both have ended", lambda found: len(found.of("session_ended")) == 2, "--agent", "chosen")
	check_whole(daemon)


# ---- losses ----

def drown(daemon, execs):
	"""A session that executes so often while the daemon is stopped."""
	command = f"read a; for i in $(seq {execs}); do /bin/true; done; echo done; read b"
	run = daemon.launch("/bin/sh", "-c", command, stdin=subprocess.PIPE)
	run.wait_exec("/bin/sh")
	daemon.suspend()
	run.process.stdin.write("\n")
	run.process.stdin.flush()
	assert run.line() == "done"
	daemon.resume()
	run.wait()


def lost_of(daemon):
	told = [r.lost for r in daemon.records("--type", "lost")]
	return sum(c.count for lost in told for c in lost.counts if c.stage == "ring")


def test_losses_after_it_are_told(new_daemon):
	"""Though fewer than before: the kernel counts from 0 again, and what is told of the boot goes on."""
	daemon = new_daemon(config=SMALL_RING)
	drown(daemon, 600)
	first = wait.until("the losses are told", lambda: lost_of(daemon))
	wait.until("all has ended", lambda: idle(daemon))
	first = lost_of(daemon)
	daemon.stop()
	uninstall(daemon)
	daemon.start()
	assert lost_of(daemon) == first
	drown(daemon, 100)
	wait.until("the losses are told", lambda: lost_of(daemon) > first)
	wait.until("all has ended", lambda: idle(daemon))
	tally = Tally(daemon)
	assert lost_of(daemon) < 2 * first
	assert tally.lost == tally.totals
	daemon.kill()
	daemon.start()
	assert Tally(daemon).lost == tally.lost


# ---- pins that are not whole ----

@pytest.mark.parametrize("pin", ["map_control", "map_sequences", "map_losses", "map_events", "map_tags", "map_unseen", "map_cgroups",
				 "map_dispatch_exec", "link_exec", "prog_fork", "link_connect4", "link_connect_unix",
				 "link_sendmsg_unix", "link_send", "prog_send", "link_asked_connect4"])
def test_pins_that_somebody_removed(new_daemon, programs, netns, pin):
	"""Without one of those that belong together nothing of the others can be trusted."""
	daemon = new_daemon()
	resident = Resident(daemon)
	daemon.stop()
	if not (daemon.pins / pin).exists():
		pytest.skip("this kernel lacks the feature")
	(daemon.pins / pin).unlink()
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	assert resident.ended(daemon).session_ended.reason == pb.END_TRACING_REMOVED
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


def test_pins_removed_while_it_runs(new_daemon, programs, netns):
	"""What runs goes on to trace; the next one finds nothing, and says so."""
	daemon = new_daemon()
	resident = Resident(daemon)
	remove_pins(daemon)
	records = daemon.run("/bin/sh", "-c", "/bin/true; exec /bin/true").records()
	assert len(records.execs) == 3
	daemon.stop()
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


def detach(daemon, hook):
	subprocess.run(["bpftool", "link", "detach", "pinned", daemon.pins / f"link_{hook}"], check=True)


def test_a_hook_detached_while_it_runs(new_daemon, programs, netns):
	"""Told at once, shown as long as it lasts, and mended by a start, which begins anew."""
	daemon = new_daemon()
	resident = Resident(daemon)
	assert "detached" not in daemon.affiant("status").stdout
	detach(daemon, "sendmsg4")
	gap = wait.until("a gap is told", lambda: gaps(daemon)).only().gap
	assert (gap.reason, gap.what) == (pb.GAP_TRACING_REMOVED, "sendmsg4")
	assert not gap.HasField("to_boottime_ns") and gap.from_boottime_ns <= boottime()
	assert "detached     sendmsg4" in daemon.affiant("status").stdout
	assert status(daemon)["detached"] == ["sendmsg4"]
	daemon.stop()
	daemon.start()
	assert status(daemon)["detached"] == []
	assert [g.gap.untracked_processes for g in gaps(daemon) if not g.gap.what] == [1]
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


def test_a_hook_detached_while_none_runs(new_daemon, programs, netns):
	daemon = new_daemon()
	resident = Resident(daemon)
	daemon.stop()
	detach(daemon, "sock_create")
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


class Bpffs:
	"""One of the test's own."""

	def __init__(self, path):
		self.path = path
		path.mkdir()
		self.mount()

	def mount(self):
		subprocess.run(["mount", "-t", "bpf", "bpf", self.path], check=True)

	def unmount(self):
		subprocess.run(["umount", self.path], check=True)


@pytest.fixture
def bpffs(tmp_path_factory):
	path = tmp_path_factory.mktemp("bpf") / "fs"
	fs = Bpffs(path)
	yield fs
	fs.unmount()


def test_a_bpffs_that_was_mounted_anew(bpffs, new_daemon, programs, netns):
	daemon = new_daemon(start=False)
	daemon.pins = bpffs.path / "affiant"
	daemon.start()
	agent(daemon, programs, netns)
	resident = Resident(daemon)
	daemon.stop()
	bpffs.unmount()
	bpffs.mount()
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


def test_another_bpffs_and_back(bpffs, new_daemon, programs, netns):
	"""Both sets of programs run. The first one's numbers that were read already count as missing: nobody knows them any more."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	resident = Resident(daemon)
	daemon.stop()
	first, daemon.pins = daemon.pins, bpffs.path / "affiant"
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	agent(daemon, programs, netns)
	daemon.stop()
	uninstall(daemon)
	daemon.pins = first
	daemon.start()
	assert len(gaps(daemon)) == 2
	one, two, three = epochs(daemon)
	assert one == three != two
	agent(daemon, programs, netns)
	resident.go_on()
	tally = Tally(daemon)	# no id or number is there twice
	assert not tally.lost
	assert status(daemon)["doubles"] == 0


# ---- starts that fail ----

@contextlib.contextmanager
def no_ledger(daemon):
	"""What makes a start fail when it has loaded the programs already."""
	kept = daemon.state / "kept"
	(daemon.state / "ledger").rename(kept)
	(daemon.state / "ledger").write_text("")
	yield
	(daemon.state / "ledger").unlink()
	kept.rename(daemon.state / "ledger")


def fail(daemon):
	daemon.spawn()
	assert daemon.process.wait(wait.DEADLINE) != 0
	assert "ledger" in daemon.log()


def test_a_start_that_fails_leaves_the_programs_alone(new_daemon):
	"""Those of before trace on, and the next one begins with what they told."""
	daemon = new_daemon()
	resident = Resident(daemon)
	daemon.stop()
	with no_ledger(daemon):
		fail(daemon)
		resident.go_on()
	daemon.start()
	assert not gaps(daemon)
	assert len(set(epochs(daemon))) == 1
	records = resident.run.records()
	assert len(records.execs) == 2 and {r.session.id for r in records} == {resident.session}
	check_whole(daemon)


def test_a_first_start_that_fails_leaves_nothing(new_daemon, programs, netns):
	daemon = new_daemon()
	agent(daemon, programs, netns)
	resident = Resident(daemon)
	daemon.stop()
	uninstall(daemon)
	with no_ledger(daemon):
		for _ in range(2):
			fail(daemon)
			assert not daemon.pins.exists()
	daemon.start()
	assert gaps(daemon).only().gap.untracked_processes == 1
	assert len(set(epochs(daemon))) == 2
	agent(daemon, programs, netns)
	resident.go_on()
	check_whole(daemon)


# ---- state directories that know less than the kernel ----

def keep_state(daemon):
	kept = daemon.directory / "kept"
	shutil.copytree(daemon.state, kept)
	return kept


def restore_state(daemon, kept):
	shutil.rmtree(daemon.state)
	shutil.copytree(kept, daemon.state)


def ids_of(daemon):
	return {r.id for r in daemon.records()}


def test_an_older_state_of_the_same_maps(new_daemon, programs, netns):
	"""What was told between is missing from this ledger, which says so; its ids are not given again."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	daemon.stop()
	kept = keep_state(daemon)
	daemon.start()
	agent(daemon, programs, netns)
	forgotten = ids_of(daemon)
	daemon.stop()
	restore_state(daemon, kept)
	daemon.start()
	known = ids_of(daemon)
	assert not gaps(daemon)
	agent(daemon, programs, netns)
	wait.until("the numbers that are not known are told", lambda: on_each_cpu(daemon) or Tally(daemon).gaps, every=1)
	assert not (ids_of(daemon) - known) & (forgotten - known)
	assert status(daemon)["doubles"] == 0


def test_an_older_state_of_other_maps(new_daemon, programs, netns):
	daemon = new_daemon()
	agent(daemon, programs, netns)
	daemon.stop()
	kept = keep_state(daemon)
	uninstall(daemon)
	daemon.start()
	agent(daemon, programs, netns)
	forgotten = ids_of(daemon)
	daemon.stop()
	restore_state(daemon, kept)
	daemon.start()
	assert gaps(daemon).only()
	known = ids_of(daemon)
	agent(daemon, programs, netns)
	wait.until("the numbers that are not known are told", lambda: on_each_cpu(daemon) or Tally(daemon).gaps, every=1)
	assert len(ids_of(daemon)) > len(known)
	kept_ids = ids_of(daemon) & forgotten
	assert kept_ids < known
	assert status(daemon)["doubles"] == 0


def test_no_state_but_pins(new_daemon, programs, netns):
	"""As if the ledger were another's: what was read before is missing from it, and a gap says so, without a loss."""
	daemon = new_daemon()
	agent(daemon, programs, netns)
	forgotten = ids_of(daemon)
	daemon.stop()
	shutil.rmtree(daemon.state)
	daemon.start()
	assert not gaps(daemon)
	agent(daemon, programs, netns)
	on_each_cpu(daemon)
	assert daemon.records("--type", "gap").only().gap.reason == pb.GAP_STATE
	assert not Tally(daemon).gaps
	assert not ids_of(daemon) & forgotten
	assert status(daemon)["doubles"] == 0


def test_a_damaged_state_and_its_journal(new_daemon, programs, netns):
	"""Each journal says of which maps it is: no session ends because the state is gone."""
	daemon = new_daemon()
	resident = Resident(daemon)
	daemon.stop()
	daemon.start()
	daemon.kill()
	path = daemon.state / "state"
	path.write_bytes(path.read_bytes()[:-1])
	daemon.start()
	assert not gaps(daemon)
	agent(daemon, programs, netns)
	resident.go_on()
	assert not Tally(daemon).lost
	assert status(daemon)["doubles"] == 0


def on_each_cpu(daemon):
	"""An exec on every CPU: what comes well after a number shows that it is missing."""
	for cpu in os.sched_getaffinity(0):
		daemon.run("taskset", "-c", cpu, "/bin/true")
