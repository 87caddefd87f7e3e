# SPDX-License-Identifier: Apache-2.0
"""What a record says was executed."""

import contextlib
import ctypes
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import uuid

import pytest

from harness import images
from harness import cgroups
from harness import programs as builds
from harness import wait
from harness.records import body, hash_state, kind, pb, sha256, stated_digest, step_kind, unproven

NOBODY = (65534, 65534)
PYTHON = os.path.realpath("/usr/bin/python3")
DIGEST_STATES = ("kernel", "held", "observed")
SHELL = os.path.realpath("/bin/sh")


def digest_of(record):
	"""The executable's SHA-256, or None; one that is called proven has a state that says so, and no other (P2)."""
	digest = record.process.executable.digest
	assert bool(digest.sha256) == (hash_state(digest) in DIGEST_STATES), hash_state(digest)
	assert hash_state(digest) != "unknown"
	return stated_digest(digest)


def assert_root_read(digest, expected):
	"""What was read is told, and that a session of root's proves nothing by it."""
	assert unproven(digest) == "power", hash_state(digest)
	assert stated_digest(digest) == expected


def assert_executable(record, path, name=None):
	"""The record names the file and has the digest of its bytes."""
	executable = record.process.executable
	assert_root_read(executable.digest, sha256(path))
	assert executable.path.decode() == str(name or path)
	assert executable.size == os.stat(path).st_size


def steps(record, *kinds):
	"""(path, SHA-256) of the chain's steps of these kinds, in order."""
	return [(s.path.decode(), stated_digest(s.digest)) for s in record.process.chain if step_kind(s) in kinds]


def script(path, text):
	path.write_text(text)
	path.chmod(0o755)
	return wait.settled(path)


def run_waiting(daemon, *command, argv0=None, **more):
	"""Runs a command that execs wait_input; the exec's record, taken while that waits."""
	run = daemon.launch(*command, stdin=subprocess.PIPE, **more)
	try:
		assert run.line() == "running", run.wait().stderr
		return run.wait_exec(argv0 or command[-1])
	finally:
		run.wait()


# ---- every way to execute a file ----

@pytest.mark.parametrize("how", ["fexecve", "execveat", "o_path", "proc_fd"])
def test_by_descriptor(daemon, programs, place, how):
	payload = programs.copy("wait_input", place / "payload")
	assert_executable(run_waiting(daemon, programs["exec_fd"], how, payload), payload)


def test_memfd(daemon, programs, place):
	payload = programs.copy("wait_input", place / "payload")
	record = run_waiting(daemon, programs["exec_fd"], "memfd", payload)
	executable = record.process.executable
	assert executable.memfd
	assert b"memfd:in-memory" in executable.path
	assert_root_read(executable.digest, sha256(payload))


def test_deleted(daemon, programs, place):
	payload = programs.copy("wait_input", place / "payload")
	expected = sha256(payload)
	record = run_waiting(daemon, programs["exec_fd"], "deleted", payload)
	executable = record.process.executable
	assert executable.deleted and not executable.memfd
	assert_root_read(executable.digest, expected)


def test_from_a_thread(daemon, programs, place):
	payload = programs.copy("wait_input", place / "payload")
	run = daemon.launch(programs["exec_thread"], payload, stdin=subprocess.PIPE)
	assert run.line() == "running"
	second = run.wait_exec(payload)
	run.wait()
	assert_executable(second, payload)
	first = run.records().exec_of(programs["exec_thread"])
	assert second.process.id.tgid == first.process.id.tgid == run.pid
	assert second.process.id.start_boottime_ns == first.process.id.start_boottime_ns
	assert second.process.id.exec_seq > first.process.id.exec_seq


def test_vfork(daemon, programs, place):
	payload = programs.copy("nothing", place / "payload")
	run = daemon.run(programs["exec_vfork"], payload)
	records = run.records()
	child, parent = records.exec_of(payload), records.exec_of(programs["exec_vfork"])
	assert child.process.id.tgid == int(run.stdout)
	assert child.process.parent == parent.process.id
	assert child.process.executable.path.decode() == payload
	assert digest_of(child) in (sha256(payload), None)	# it lives for no time at all


def test_execs_itself_under_another_name(daemon, programs):
	run = daemon.run(programs["exec_self"], "3")
	execs = run.records().execs.where(lambda r: r.process.executable.path.decode() == programs["exec_self"])
	assert [bytes(r.process.argv[0]) for r in execs] == [programs["exec_self"].encode()] + 3 * [b"rg"]
	assert len({(r.process.id.tgid, r.process.id.start_boottime_ns) for r in execs}) == 1
	sequence = [r.process.id.exec_seq for r in execs]
	assert sequence == sorted(set(sequence))
	assert {digest_of(r) for r in execs} <= {sha256(programs["exec_self"]), None}


def test_ends_with_its_last_thread(daemon, programs, netns):
	with netns.serve() as server:
		run = daemon.run(programs["leader_exits"], "127.0.0.1", server.port, netns=netns)
		records = run.records()
	connect = records.to(server.port).only()
	leave = records.of("exit").where(lambda r: r.process.id.tgid == connect.process.id.tgid).only()
	assert connect.process.executable.path.decode() == programs["leader_exits"]
	assert leave.boottime_ns > connect.boottime_ns


def test_pid_used_again(daemon, programs, place):
	first, second = (programs.copy("nothing", place / name) for name in ("first", "second"))
	run = daemon.run("/bin/sh", "-c", f"pid=$({programs['exec_vfork']} {first}) && {programs['clone_pid']} $pid {second}")
	records = run.records()
	one, two = records.exec_of(first), records.exec_of(second)
	assert one.process.id.tgid == two.process.id.tgid
	assert one.process.id.start_boottime_ns != two.process.id.start_boottime_ns
	assert digest_of(one) in (sha256(first), None)
	assert digest_of(two) in (sha256(second), None)


def test_pid_used_again_by_an_outsider(daemon, programs, netns):
	with netns.serve() as server:
		run = daemon.run("/bin/true")
		run.records()
		outside = netns.run(programs["clone_pid"], run.pid, programs["tcp"], "exchange", "127.0.0.1", server.port,
				    check=False)
		if outside.returncode == builds.SKIP:
			pytest.skip(outside.stdout)
		assert outside.returncode == 0, outside.stderr
		daemon.run("/bin/true").records()	# what the outsider did would be there before this
	assert not daemon.records().to(server.port)


# ---- the bytes that ran, not those that lie there now ----

def test_short_lived(daemon, programs, place):
	payload = programs.copy("nothing", place / "payload")
	run = daemon.run("/bin/sh", "-c", f"i=0; while [ $i -lt 200 ]; do {payload}; i=$((i + 1)); done")
	execs = run.records().execs.where(lambda r: r.process.argv[0] == payload.encode())
	assert len(execs) == 200
	found = [digest_of(r) for r in execs]
	assert set(found) <= {sha256(payload), None}
	assert sha256(payload) in found


def test_replaced_before_it_is_hashed(new_daemon, programs, place):
	"""The daemon stands still while a program runs, ends, and another takes its name."""
	daemon = new_daemon()
	payload = programs.copy("nothing", place / "payload")
	expected = sha256(payload)
	run = daemon.launch("/bin/sh", "-c", f"read go; {payload}; echo done; read go", stdin=subprocess.PIPE)
	run.wait_exec("/bin/sh")
	daemon.suspend()
	try:
		run.process.stdin.write("\n")
		run.process.stdin.flush()
		assert run.line() == "done"
		os.rename(programs.copy("nothing", place / "other"), payload)
	finally:
		daemon.resume()
	run.wait()
	assert digest_of(run.records().exec_of(payload)) in (expected, None)


def test_rewritten_within_a_tick(daemon, programs, place):
	"""What was read may be what was written next: it is never called what ran."""
	payload = pathlib.Path(programs.copy("nothing", place / "payload"))
	bytes_ = payload.read_bytes()
	digests = [hashlib.sha256(bytes_[:-1] + last).digest() for last in (b"A", b"B")]
	run = daemon.run(programs["rewrite_exec"], "500", payload)
	execs = run.records().execs.where(lambda r: r.process.argv[0] == b"rewritten")
	assert len(execs) == 500
	assert not [r for r in execs if r.process.executable.digest.sha256]
	assert {digest_of(r) for r in execs} <= {*digests, None}


def test_rename_race(daemon, programs, place):
	"""Which file ran is told by its exit status."""
	digests = {}
	for status, name in ((3, "a"), (4, "b")):
		shutil.copy(programs.static("nothing", f"-DSTATUS={status}"), place / name)
		digests[status] = sha256(wait.settled(place / name))
	run = daemon.run(programs["rename_race"], "10000", place / "a", place / "b")
	records = run.records()
	execs = records.execs.where(lambda r: r.process.argv[0] == b"raced")
	assert len(execs) == 10000
	status = {(r.process.id.tgid, r.process.id.start_boottime_ns): r.exit.status >> 8 for r in records.of("exit")}
	wrong = missing = 0
	for record in execs:
		ran = status[record.process.id.tgid, record.process.id.start_boottime_ns]
		found = digest_of(record)
		wrong += found not in (digests[ran], None)
		missing += found is None
	assert not wrong, f"{wrong} of 10000"
	assert missing < 10000


@pytest.mark.long
def test_more_opens_than_fanotify_keeps(new_daemon, programs, place):
	"""Its queue overflows while the daemon stands still: that is told, no exec is missing, no digest is wrong."""
	execs = int(pathlib.Path("/proc/sys/fs/fanotify/max_queued_events").read_text()) + 1000
	if execs > 50000:
		pytest.skip("fs.fanotify.max_queued_events is too high to be reached in a test")
	daemon = new_daemon(config="ring_bytes: 64MiB\n")
	payload = place / "raced"
	shutil.copy(programs.static("nothing", "-DSTATUS=3"), payload)
	wait.settled(payload)
	run = daemon.launch("/bin/sh", "-c", f"read go; {programs['rename_race']} {execs} {payload} {payload}; echo done; read go",
			    stdin=subprocess.PIPE)
	run.wait_exec("/bin/sh")
	daemon.suspend()
	try:
		run.process.stdin.write("\n")
		run.process.stdin.flush()
		assert run.line() == "done"
	finally:
		daemon.resume()
	run.wait()
	raced = run.records().execs.where(lambda r: r.process.argv[0] == b"raced")
	assert len(raced) == execs
	assert {digest_of(r) for r in raced} <= {sha256(payload), None}
	lost = daemon.wait_records("the loss", lambda found: found.of("lost")).of("lost")
	assert {(c.stage, c.kind) for r in lost for c in r.lost.counts} == {("chain", "open")}


@pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "nobody"])
def test_forged_link(new_daemon, programs, place, user):
	"""A process that points /proc/PID/exe elsewhere before the daemon looks."""
	daemon = new_daemon()
	forger = programs.copy("forge_exe", place / "forger")
	decoy = os.path.realpath("/bin/true")
	run = daemon.launch("/bin/sh", "-c", f"read go; {forger} {decoy}", stdin=subprocess.PIPE, user=user)
	run.wait_exec("/bin/sh")
	daemon.suspend()
	try:
		run.process.stdin.write("\n")
		run.process.stdin.flush()
		said = run.line()
		if "is now" not in said:
			run.wait()
			pytest.skip(said or run.stderr)
	finally:
		daemon.resume()
	record = run.wait_exec(forger)
	run.wait()
	assert record.process.executable.path.decode() == forger
	assert digest_of(record) in (sha256(forger), None)


def test_large_executable(new_daemon, programs, place):
	# A record waits as long as it may: SHA-256 of all that takes seconds where there are no instructions for it.
	daemon = new_daemon("hash:\n  wait: 10s\n")
	payload = programs.copy("wait_input", place / "payload")
	os.truncate(payload, 300 << 20)
	# The first time it may take longer than a record waits; after that its digest is known.
	for _ in range(3):
		record = run_waiting(daemon, payload)
		if digest_of(record):
			break
	assert_executable(record, payload)


# ---- file systems and containers ----

@pytest.fixture(params=["same", "tmpfs"])
def overlay(request, place):
	"""An overlay with a lower and an upper directory, on one file system or on two."""
	mounts = []
	if request.param == "tmpfs":
		subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
		mounts.append(place)
		lower = pathlib.Path(str(place) + "-lower")
	else:
		lower = place / "lower"
	for directory in (lower, place / "upper", place / "work", place / "merged"):
		directory.mkdir()
	subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
			f"lowerdir={lower},upperdir={place}/upper,workdir={place}/work", place / "merged"], check=True)
	mounts.append(place / "merged")
	yield lower, place / "merged"
	for mount in reversed(mounts):
		images.unmounted(mount)
	if request.param == "tmpfs":
		shutil.rmtree(lower)


def test_overlay(daemon, programs, overlay):
	lower, merged = overlay
	programs.copy("wait_input", lower / "below")
	programs.copy("wait_input", merged / "above")
	for name in ("below", "above"):
		assert_executable(run_waiting(daemon, merged / name), merged / name)


def test_overlay_copied_up(daemon, programs, overlay):
	lower, merged = overlay
	programs.copy("wait_input", lower / "payload")
	payload = merged / "payload"
	before = sha256(payload)
	assert_executable(run_waiting(daemon, payload), payload)
	with open(payload, "ab") as file:	# copies it up
		file.write(b"more")
	assert sha256(payload) != before
	assert_executable(run_waiting(daemon, payload), payload)


def test_container(daemon, programs, place):
	"""Paths are those inside, digests those of what ran there, whatever lies at that path outside."""
	root = place / "root"
	(root / "bin").mkdir(parents=True)
	payload = programs.copy("wait_input", root / "bin" / "true")
	run = daemon.launch(programs["container"], root, "/bin/true", stdin=subprocess.PIPE)
	assert run.line() == "running", run.wait().stderr
	record = run.wait_exec("/bin/true")
	run.wait()
	assert_executable(record, payload, "/bin/true")
	outside = run.records().exec_of(programs["container"])
	for name in ("mnt", "pid", "ipc", "uts"):
		assert getattr(record.process.namespaces, name) != getattr(outside.process.namespaces, name)
	assert record.process.namespaces.net == outside.process.namespaces.net


# ---- the whole chain ----

def test_script(daemon, place):
	path = script(place / "task", "#!/bin/sh\necho running\nread go || :\n")
	record = run_waiting(daemon, path, argv0="/bin/sh")
	assert_executable(record, SHELL)
	assert steps(record, "script") == [(path, sha256(path))]
	assert record.exec.filename.decode() == path


def test_nested_scripts(daemon, place):
	inner = script(place / "inner", "#!/bin/sh\necho running\nread go || :\n")
	outer = script(place / "outer", f"#!{inner} nested\n")
	record = run_waiting(daemon, outer, argv0="/bin/sh")
	assert_executable(record, SHELL)
	assert steps(record, "script") == [(outer, sha256(outer)), (inner, sha256(inner))]


def test_elf_loader(daemon, programs):
	record = run_waiting(daemon, programs["wait_input"])
	loader = os.path.realpath(loader_of(programs))
	assert steps(record, "loader") == [(loader, sha256(loader))]


def loader_of(programs):
	"""PT_INTERP, read from the start of the file where it is the only such string."""
	data = pathlib.Path(programs["wait_input"]).read_bytes()
	start = data.index(b"/lib")
	return data[start:data.index(b"\0", start)].decode()


def test_loader_called_by_name(daemon, programs):
	loader = loader_of(programs)
	record = run_waiting(daemon, loader, programs["wait_input"], argv0=loader)
	assert_executable(record, os.path.realpath(loader))
	named = [s for s in record.process.chain if s.named_by_argv]
	assert [(s.path.decode(), stated_digest(s.digest)) for s in named] == [(programs["wait_input"],
									sha256(programs["wait_input"]))]


@pytest.mark.parametrize("options", [[], ["-u", "-X", "utf8"]], ids=["plain", "options"])
def test_script_argument(daemon, place, options):
	agent = place / "agent.py"
	agent.write_text("print('running', flush=True)\ninput()\n")
	wait.settled(agent)
	run = daemon.launch("/usr/bin/python3", *options, "agent.py", stdin=subprocess.PIPE, cwd=place)
	assert run.line() == "running"
	record = run.wait_exec("/usr/bin/python3")
	run.wait()
	assert_executable(record, PYTHON)
	argument = [s for s in record.process.chain if step_kind(s) == "script_argument"]
	assert [(s.path.decode(), stated_digest(s.digest)) for s in argument] == [(str(agent), sha256(agent))]
	assert all(s.named_by_argv for s in argument)


def test_script_argument_inside_a_container(daemon, programs, place):
	"""Resolved against the process's own root, not ours."""
	root = place / "root"
	(root / "bin").mkdir(parents=True)
	shutil.copy(programs.static("wait_input"), root / "bin" / "python3")
	(root / "agent.py").write_text("inside")
	wait.settled(root / "agent.py")
	run = daemon.launch(programs["container"], root, "/bin/python3", "/agent.py", stdin=subprocess.PIPE)
	assert run.line() == "running", run.wait().stderr
	record = run.wait_exec("/bin/python3")
	run.wait()
	assert steps(record, "script_argument") == [("/agent.py", sha256(root / "agent.py"))]


def marks(daemon):
	"""fanotify marks that the daemon has, as the kernel lists them."""
	found = []
	for file in pathlib.Path(f"/proc/{daemon.process.pid}/fdinfo").iterdir():
		with contextlib.suppress(FileNotFoundError):	# closed meanwhile
			found += [line for line in file.read_text().splitlines() if line.startswith("fanotify sdev:")]
	return found


def test_marks_go_with_the_last_session(new_daemon):
	"""Who runs no agent pays for none; the next session is seen as the first was."""
	daemon = new_daemon()
	assert not marks(daemon)
	for _ in range(2):
		run = daemon.launch("/bin/sh", "-c", "echo running; read go || :", stdin=subprocess.PIPE)
		assert run.line() == "running"
		assert marks(daemon)
		run.wait()
		wait.until("the marks are gone", lambda: not marks(daemon))


# ---- what else a record says of a process ----

SECRETS = ["hunter2-abcdefgh", "tok-ijklmnopqr", "key-stuvwxyz01", "bearer-23456789"]


def test_secrets_in_argv(daemon, programs, place):
	"""Not one byte of them is written anywhere."""
	payload = programs.copy("nothing", place / "payload")
	run = daemon.run(payload, "--password", SECRETS[0], f"--token={SECRETS[1]}", f"--api-key={SECRETS[2]}", "-H",
			 f"Authorization: Bearer {SECRETS[3]}", "--verbose")
	record = run.records().exec_of(payload)
	assert record.process.redacted == 4
	assert bytes(record.process.argv[-1]) == b"--verbose"
	assert record.process.argc == 8
	written = [path for path in daemon.directory.rglob("*") if path.is_file()]
	assert written
	for path in written:
		data = path.read_bytes()
		assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_secrets_by_program(daemon, programs, place):
	"""What a program does with an option decides, whatever it is called by, and in a shell's text, too."""
	secret = "Zq7Xw93kLmP2vR8t"
	mysql, curl = programs.copy("nothing", place / "mysql"), programs.copy("nothing", place / "curl")
	text = f"'{mysql}' -p{secret}; (exec -a other '{curl}' -u bob:{secret} h); '{mysql}' -P 3306"
	run = daemon.run("/bin/bash", "-c", text)
	records = run.records()
	assert [list(record.process.argv[1:]) for record in records.execs.where(lambda r: b"mysql" in r.process.argv[0])] == [
		[b"-p[redacted]"], [b"-P", b"3306"]]
	assert list(records.execs.where(lambda r: r.process.argv[0] == b"other").only().process.argv) == [b"other", b"-u", b"bob:[redacted]", b"h"]
	for path in (path for path in daemon.directory.rglob("*") if path.is_file()):
		assert secret.encode() not in path.read_bytes(), path


def test_argv_is_taken_at_exec(daemon, programs):
	run = daemon.launch(programs["rewrite_argv"], "honest", stdin=subprocess.PIPE)
	assert run.line() == "rewritten"
	record = run.wait_exec(programs["rewrite_argv"])
	run.wait()
	assert list(record.process.argv) == [programs["rewrite_argv"].encode(), b"honest"]
	leave = run.records().of("exit").only()
	assert list(leave.process.argv) == list(record.process.argv)


def test_long_argv(daemon, programs):
	many = [str(number) for number in range(5000)]
	record = daemon.run(programs["nothing"], *many).records().exec_of(programs["nothing"])
	assert record.process.argc == 5001
	assert record.process.argv_cut
	kept = [bytes(a).decode() for a in record.process.argv[1:]]
	assert 100 < len(kept) < 5000
	assert kept[:-1] == many[:len(kept) - 1]


def test_process(daemon, programs, place):
	run = daemon.launch(programs["wait_input"], stdin=subprocess.PIPE, cwd=place, user=NOBODY)
	assert run.line() == "running"
	process = run.wait_exec(programs["wait_input"]).process
	cgroup = pathlib.Path(f"/proc/{run.pid}/cgroup").read_text().splitlines()
	names = {name: os.stat(f"/proc/{run.pid}/ns/{name}").st_ino for name in ("mnt", "pid", "net", "user", "uts")}
	run.wait()
	assert process.id.tgid == run.pid
	assert process.cwd.decode() == str(place)
	assert (process.uid, process.gid, process.euid, process.egid) == (*NOBODY, *NOBODY)
	assert process.cap_effective == 0
	assert f"0::{process.cgroup.decode()}" in cgroup
	assert names == {name: getattr(process.namespaces, name) for name in names}
	assert process.comm == b"wait_input"
	assert not process.setuid and not process.late


@pytest.mark.parametrize("name", ["docker-{}.scope", "cri-containerd-{}.scope", "{}"])
def test_container_id(daemon, programs, cgroup, name):
	wanted = uuid.uuid4().hex + uuid.uuid4().hex
	command = cgroups.inside(cgroup.make(name.format(wanted)), programs["wait_input"])
	process = run_waiting(daemon, *command).process
	assert process.cgroup.decode() == f"{cgroup.name}/{name.format(wanted)}"
	assert process.container_id == wanted


def test_ancestry(daemon, programs):
	run = daemon.run("/bin/sh", "-c", f"/bin/sh -c '{programs['nothing']}; :'; :")
	records = run.records()
	leaf = records.exec_of(programs["nothing"]).process
	first = records.execs[0].process
	assert [os.path.basename(a.exe) for a in leaf.ancestry][:2] == [os.path.basename(SHELL).encode()] * 2
	assert leaf.ancestry[0].id == leaf.parent
	assert leaf.ancestry[-1].id.tgid == first.id.tgid == run.pid
	assert not leaf.ancestry_cut


def test_setuid(daemon, programs, place):
	payload = programs.copy("nothing", place / "payload")
	os.chmod(payload, 0o4755)
	record = daemon.run(payload, user=NOBODY).records().exec_of(payload)
	assert record.process.setuid
	assert (record.process.uid, record.process.euid) == (NOBODY[0], 0)


def test_build_id(daemon, programs):
	text = subprocess.run(["readelf", "-n", programs["wait_input"]], capture_output=True, text=True, check=True).stdout
	expected = next(line.split()[-1] for line in text.splitlines() if "Build ID" in line)
	record = run_waiting(daemon, programs["wait_input"])
	assert record.process.executable.build_id.hex() == expected


@pytest.mark.parametrize("command, status", [("exit 7", 7 << 8), ("kill -9 $$", signal.SIGKILL), (":", 0)])
def test_exit(daemon, command, status):
	run = daemon.run("/bin/sh", "-c", command, check=False)
	records = run.records()
	leave = records.of("exit").only()
	assert leave.exit.status == status
	assert leave.exit.lifetime_ns > 0
	assert body(records.of("session_ended").only()).status == status


# ---- the agent's own code ----

def test_measure(daemon, place):
	code = place / "agent"
	(code / "sub").mkdir(parents=True)
	(code / "agent.py").write_text("print()")
	(code / "sub" / "prompt.txt").write_text("be kind")
	(code / "link").symlink_to("agent.py")

	def manifest():
		started = daemon.run("/bin/true", options=["--measure", str(code)]).records().one("session_started")
		return started.session_started.manifest

	first = manifest()
	files = {f.path.decode(): f.sha256 for f in first.files}
	assert files["agent.py"] == sha256(code / "agent.py")
	assert files["sub/prompt.txt"] == sha256(code / "sub" / "prompt.txt")
	assert "link" in files
	assert [p.path.decode() for p in first.paths] == [str(code)]
	assert len(first.root) == 32
	assert manifest().root == first.root
	(code / "sub" / "prompt.txt").write_text("be quick")
	assert manifest().root != first.root


@pytest.fixture
def silent_server(place):
	"""A filesystem in user space whose server never answers."""
	point = place / "agent" / "silent"
	point.mkdir(parents=True)
	try:
		server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
	except OSError as error:
		pytest.skip(f"no FUSE here: {error}")
	options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
	if ctypes.CDLL(None, use_errno=True).mount(b"silent", os.fsencode(point), b"fuse", 0, options):
		os.close(server)
		pytest.skip(f"no FUSE here: {os.strerror(ctypes.get_errno())}")
	yield point
	os.close(server)	# whoever waits for an answer gets an error now
	subprocess.run(["umount", "--lazy", point], check=True)


def test_measure_asks_no_server(daemon, place, silent_server):
	"""One that does not answer would keep the thread that measures, and all who wait for it, for good."""
	measured = ["--measure", str(place / "agent")]
	started = daemon.run("/bin/true", options=measured).records().one("session_started").session_started
	assert pb.HashState.Name(started.manifest.state) == "HASH_UNREADABLE"
	assert not started.manifest.root
	(place / "other").mkdir()
	started = daemon.run("/bin/true", options=["--measure", str(place / "other")]).records().one("session_started").session_started
	assert started.manifest.root


def test_every_record_is_attributed(daemon, programs):
	run = daemon.run("/bin/sh", "-c", f"{programs['nothing']}; :", agent="clerk",
			 options=["--purpose", "to test", "--on-behalf-of", "alice@example.com", "--scope", "read",
				  "--expires", "10m"])
	records = run.records()
	assert kind(records[0]) == "session_started"
	assert kind(records[-1]) == "session_ended"
	assert {kind(r) for r in records} >= {"session_started", "exec", "exit", "session_ended"}
	for record in records:
		assert record.agent.spiffe_id == "spiffe://affiant.invalid/agent/clerk"
		assert record.session.id == records[0].session.id
		assert record.task.id == run.task
		assert record.task.purpose == "to test"
		assert list(record.task.scope) == ["read"]
		assert record.principal.subject == "alice@example.com"
		assert record.principal.assurance == 1	# asserted
		assert record.host and record.boot_id and len(record.id) == 16
	assert len({r.sequence for r in records}) == len({r.id for r in records}) == len(records)


def test_untagged_processes_leave_no_trace(daemon, programs, place):
	payload = programs.copy("nothing", place / "payload")
	subprocess.run([payload], check=True)
	daemon.run("/bin/true").records()	# what the outsider did would be there before this
	assert not daemon.records().where(lambda r: payload.encode() in list(r.process.argv))
