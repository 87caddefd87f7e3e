# SPDX-License-Identifier: Apache-2.0
"""How affiantd starts, what it keeps, and what it says when it cannot start."""

import ctypes
import os
import pathlib
import struct
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait

CAPABILITIES_MAX = 16	# of some forty: what it keeps has its reason in the daemon's own table


def start_failing(daemon, *before):
	"""The daemon's exit status and what it said, when it ends by itself."""
	daemon.runtime.mkdir(exist_ok=True)
	done = subprocess.run([*before, *daemon.command()], stdin=subprocess.DEVNULL, capture_output=True, text=True,
			      timeout=wait.DEADLINE, check=False, env=daemons.environment())
	assert done.returncode != 0
	assert not daemon.pins.exists(), "it left pins"
	return done.stderr


def hidden(*commands):
	"""Runs what follows in a mount namespace of its own, after these commands."""
	return ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c",
		" && ".join(commands) + ' && exec "$@"', "sh"]


def test_not_root(new_daemon):
	daemon = new_daemon(start=False)
	said = start_failing(daemon, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
	assert "root" in said or "privilege" in said or "CAP_" in said


def test_no_btf(new_daemon):
	assert "BTF" in start_failing(new_daemon(start=False), *hidden("mount -t tmpfs tmpfs /sys/kernel/btf"))


def test_no_cgroup2(new_daemon):
	mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line]
	said = start_failing(new_daemon(start=False), *hidden(*(f"umount -l {mount}" for mount in mounts)))
	assert "cgroup" in said


def test_no_bpffs(new_daemon):
	assert "bpf" in start_failing(new_daemon(start=False), *hidden("umount -l /sys/fs/bpf"))


@pytest.mark.parametrize("which", ["state", "runtime"])
@pytest.mark.parametrize("whose", ["another user's", "everybody's"])
def test_directories_that_others_could_write_to(new_daemon, which, whose):
	"""They could replace records, keys, or the socket."""
	daemon = new_daemon(start=False)
	directory = getattr(daemon, which)
	directory.mkdir()
	if whose == "everybody's":
		directory.chmod(0o777)
	else:
		os.chown(directory, 65534, 65534)
	error = start_failing(daemon)
	assert str(directory) in error and ("chmod" in error or "chown" in error), error


def test_second_daemon(new_daemon):
	first = new_daemon()
	second = new_daemon(start=False)
	pins, second.pins = second.pins, first.pins
	second.runtime.mkdir()
	done = subprocess.run(second.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
			      timeout=wait.DEADLINE, check=False, env=daemons.environment())
	second.pins = pins
	assert done.returncode != 0
	assert "another" in done.stderr or "already" in done.stderr
	assert first.running()
	first.run("/bin/true").records()


@pytest.mark.parametrize("text, words", [
	("no_such_key: 1\n", ["affiant.yaml:1", "no_such_key"]),
	("trust_domain: example.org\nring_bytes: soon\n", ["affiant.yaml:2", "ring_bytes", "soon"]),
	("agents:\n  - name: a/b\n", ["affiant.yaml:2", "a/b"]),
	("hash:\n  mode: hold\n", ["affiant.yaml:2", "hold"]),
	("hash: [\n", ["affiant.yaml:"]),
], ids=["key", "number", "name", "hold", "syntax"])
def test_bad_configuration(new_daemon, text, words):
	daemon = new_daemon(config=text, start=False)
	checked = subprocess.run([str(daemons.AFFIANTD), "--check-config", "--config", str(daemon.config)], capture_output=True,
				 text=True, stdin=subprocess.DEVNULL, check=False, env=daemons.environment())
	assert checked.returncode != 0
	for said in (checked.stderr + checked.stdout, start_failing(daemon)):
		assert all(word in said for word in words), said


def test_sample_configuration(place):
	sample = place / "affiant.yaml"		# ours, whoever owns the checkout
	sample.write_bytes((daemons.TOP / "packaging" / "affiant.yaml").read_bytes())
	sample.chmod(0o644)
	checked = subprocess.run([str(daemons.AFFIANTD), "--check-config", "--config", str(sample)], capture_output=True,
				 text=True, stdin=subprocess.DEVNULL, check=False, env=daemons.environment())
	assert checked.returncode == 0, checked.stderr


# ---- what a running daemon holds ----

def status_of(daemon):
	lines = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
	return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_it_keeps_few_privileges(daemon):
	status = status_of(daemon)
	assert status["Seccomp"] == "2", "no filter of system calls"
	assert status["NoNewPrivs"] == "1"
	kept = int(status["CapEff"], 16)
	assert kept.bit_count() <= CAPABILITIES_MAX
	assert int(status["CapPrm"], 16) == kept
	assert int(status["CapInh"], 16) == 0
	network = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 10: "CAP_NET_BIND_SERVICE"}
	for bit in (10, 13):
		assert not kept >> bit & 1, network[bit]


def test_it_goes_before_those_it_watches(daemon):
	"""Its main thread, that is, which empties the ring, and those that it waits for; not those that hash for them."""
	if os.getpriority(os.PRIO_PROCESS, 0):
		pytest.skip("the tests run with another nice value than 0, which is left alone")

	def settled():
		nice = {}
		for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir():
			nice[int(task.name)] = int((task / "stat").read_text().rsplit(")", 1)[1].split()[16])
		beside = 16 + 1	# collect/aside.h and hostmounts.h: what they do was the main thread's, which waits for some of it
		values = sorted(nice.values())
		return nice[daemon.process.pid] == -10 and values[:1 + beside] == [-10] * (1 + beside) and \
			set(values[1 + beside:]) == {0}

	wait.until("each thread has its place: a new one inherits the main thread's until it runs", settled)


def test_it_has_no_network_socket(daemon):
	daemon.run("/bin/true").records()
	inodes = set()
	for name in os.listdir(f"/proc/{daemon.process.pid}/fd"):
		target = os.readlink(f"/proc/{daemon.process.pid}/fd/{name}")
		if target.startswith("socket:["):
			inodes.add(target[8:-1])
	assert inodes, "not even its own local socket"
	for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
		lines = pathlib.Path(f"/proc/{daemon.process.pid}/net/{table}").read_text().splitlines()[1:]
		assert not inodes & {field for line in lines for field in line.split()}, table


def test_its_files_are_its_own(daemon):
	daemon.run("/bin/true").records()
	for path in daemon.state.rglob("*"):
		assert path.stat().st_mode & 0o077 == 0, path
	assert daemon.state.stat().st_mode & 0o077 == 0


def test_restart_goes_on(new_daemon):
	"""Pins, tags and records outlive a daemon that stops."""
	daemon = new_daemon()
	run = daemon.launch("/bin/sh", "-c", "read a; /bin/true; read b", stdin=subprocess.PIPE)
	session = run.wait_exec("/bin/sh").session.id
	daemon.stop()
	run.process.stdin.write("\n")
	run.process.stdin.flush()
	daemon.start()
	run.wait()
	records = run.records()
	assert {r.session.id for r in records} == {session}
	assert len(records.execs) == 2
	started = daemon.records().of("daemon_started")
	assert [r.daemon_started.tracing_was_on for r in started] == [False, True]
	assert len(daemon.records().of("daemon_stopping")) == 1


def test_uninstall_removes_all(new_daemon):
	"""Programs, maps and links go with the pins, and nothing is traced any more."""
	daemon = new_daemon()
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	run.wait_exec("/bin/cat")
	objects = {found for name in os.listdir(f"/proc/{daemon.process.pid}/fd")
		   for found in _objects(f"/proc/{daemon.process.pid}/fdinfo/{name}")}
	assert {kind for kind, _ in objects} == set(BY_ID)
	assert all(_lives(*each) for each in objects)
	daemon.stop()
	done = daemon.affiant("uninstall-bpf", "--pin-dir", daemon.pins, socket=False)
	assert done.returncode == 0, done.stderr
	assert not daemon.pins.exists()
	wait.until("the kernel has let go of all", lambda: not any(_lives(*each) for each in objects))
	run.wait()
	again = daemon.affiant("uninstall-bpf", "--pin-dir", daemon.pins, socket=False)
	assert again.returncode == 1 and str(daemon.pins) in again.stderr
	daemon.start()
	assert [r.daemon_started.tracing_was_on for r in daemon.records().of("daemon_started")] == [False, False]


BY_ID = {"prog_id": 13, "map_id": 14, "link_id": 30}	# bpf(2): BPF_*_GET_FD_BY_ID
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def _lives(kind, number):
	"""Whether the kernel still has that program, map or link."""
	attr = struct.pack("<I60x", number)
	fd = ctypes.CDLL(None).syscall(SYS_BPF, BY_ID[kind], attr, len(attr))
	if fd >= 0:
		os.close(fd)
	return fd >= 0


def _objects(path):
	"""The programs, maps and links that a descriptor stands for."""
	try:
		lines = pathlib.Path(path).read_text().splitlines()
	except FileNotFoundError:
		return []
	words = [line.split() for line in lines]
	return [(word[0][:-1], int(word[1])) for word in words if word and word[0][:-1] in BY_ID]


def test_uninstall_is_refused_while_it_runs(daemon):
	done = daemon.affiant("uninstall-bpf", "--pin-dir", daemon.pins, socket=False)
	assert done.returncode != 0
	assert done.stderr
	daemon.run("/bin/true").records()


@pytest.mark.parametrize("which", ["ledger/*.seg", "journal/*.jnl", "state"])
def test_a_pipe_in_place_of_a_file_stops_no_start(new_daemon, which):
	daemon = new_daemon()
	daemon.run("/bin/true").records()
	daemon.stop()
	path = sorted(daemon.state.glob(which))[-1]
	path.unlink()
	os.mkfifo(path)
	daemon.spawn()
	wait.until("it has ended, or answers", lambda: not daemon.running() or daemon.affiant("status").returncode == 0,
		   explain=daemon.log)


@pytest.mark.parametrize("kept", [False, True])
def test_a_ledger_whose_end_is_gone(new_daemon, kept):
	"""The saved state knows how far it went: no number is given twice, and what is missing is told."""
	daemon = new_daemon()
	daemon.run("/bin/true").records()
	before = max(r.sequence for r in daemon.records())
	daemon.stop()
	path = sorted((daemon.state / "ledger").glob("*.seg"))[-1]
	os.truncate(path, path.stat().st_size // 2 if kept else 0)
	daemon.start()
	found = daemon.records()
	assert found.of("gap").only().gap.last_sequence >= before
	assert len({r.sequence for r in found}) == len(found)
