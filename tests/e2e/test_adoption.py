# SPDX-License-Identifier: Apache-2.0
"""What runs already when a selector would take it, and selectors whose executable is another one by now."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from harness import images
from harness import daemon as daemons
from harness import wait
from harness.cgroups import inside
from harness.records import Records, hash_state, pb

NOBODY = 61000 + os.getpid() % 4000	# a user of this run alone
SELECTORS = {"cgroup": ["cgroup: {cgroup}"], "exe": ["exe: {exe}"], "user": [f"user: {NOBODY}"],
	     "user and no exe": [f"user: {NOBODY}", "exe: /nonexistent/agent"], "user and another exe": [f"user: {NOBODY}", "exe: /bin/true"]}


def as_nobody(*command):
	return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *map(str, command)]


class Agent:
	"""A program that every kind of selector can name: of a user, in a cgroup, at a path."""

	def __init__(self, programs, place, cgroup):
		self.cgroup = cgroup
		self.path = pathlib.Path(programs.copy("on_demand", place / "agent"))
		self.running = []

	def config(self, kind, adopt=""):
		text = "hash: {wait: 10s}\nagents:\n  - name: coder\n    selectors:\n"
		for selector in SELECTORS[kind]:
			text += "      - " + selector.format(cgroup=self.cgroup.name, exe=self.path) + "\n"
			if adopt:
				text += f"        adopt: {adopt}\n"
		return text

	def start(self, port=9):
		"""The shell and setpriv are gone once it says that it runs."""
		process = subprocess.Popen(inside(self.cgroup, *as_nobody(self.path, port)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
					   text=True, env=daemons.environment())
		self.running.append(process)
		assert process.stdout.readline() == "running\n"
		return process

	@staticmethod
	def tell(process, what):
		process.stdin.write(what)
		process.stdin.flush()
		return process.stdout.readline().strip()

	def end(self):
		# What one of them forked ends with its input.
		for process in self.running:
			with contextlib.suppress(BrokenPipeError):
				process.stdin.close()
			process.kill()
			process.wait()
		wait.until("the cgroup is empty", lambda: not (self.cgroup.path / "cgroup.procs").read_text())


@pytest.fixture
def agent(programs, place, cgroup):
	instance = Agent(programs, place, cgroup)
	yield instance
	instance.end()


def matched(daemon, pid):
	return json.loads(daemon.affiant("match", "-o", "json", pid).stdout)


def status(daemon):
	return json.loads(daemon.affiant("status", "-o", "json").stdout)


def by_pid(records, pid):
	return Records(r for r in records if r.process.id.tgid == pid)


def ended(daemon, process):
	"""The process's records, once it has ended."""
	process.stdin.close()
	process.wait()
	return by_pid(daemon.wait_records("its end", lambda r: by_pid(r, process.pid).of("exit"), "--agent", "coder"), process.pid)


def assert_claimed(record):
	executable = record.process.executable
	assert record.process.late
	assert hash_state(executable.digest) == "claimed"
	assert not executable.digest.sha256 and not executable.digest.verity
	assert not executable.build_id and not executable.package


# ---- what ran before ----

@pytest.mark.parametrize("kind", SELECTORS)
def test_before(new_daemon, agent, kind):
	"""Whatever selects it, alone or beside others: it is taken as it is, and what it is, is its own word."""
	process = agent.start()
	daemon = new_daemon(agent.config(kind))
	assert agent.tell(process, "c") == "refused"
	told = matched(daemon, process.pid)
	assert told["tagged"] and told["agent"] == "coder" and told["session"]["late"]
	records = ended(daemon, process)
	started = daemon.records("--agent", "coder").one("session_started").session_started
	assert started.late and started.selector_claimed == (kind == "exe")
	connect = records.final().only()
	assert connect.connect.reached.port == 9
	for record in records:
		assert_claimed(record)
		assert record.process.executable.path.decode() == str(agent.path)
	assert not records.execs


def test_before_and_executes_afterwards(new_daemon, agent):
	"""From its first exec on, what it is was seen."""
	process = agent.start()
	daemon = new_daemon(agent.config("exe"))
	assert agent.tell(process, "x") == "running"
	records = ended(daemon, process)
	exec_record = records.execs.only()
	assert not exec_record.process.late
	assert hash_state(exec_record.process.executable.digest) != "claimed"


def test_handed_to_the_api(new_daemon, programs):
	"""`affiant run` opens the session before it executes the command: until then it is what it says it is."""
	daemon = new_daemon()
	records = daemon.run(programs["nothing"]).records()
	started = records.one("session_started")
	assert_claimed(started)
	assert not started.session_started.selector_claimed
	assert hash_state(records.execs.only().process.executable.digest) != "claimed"


def test_executable_forged(new_daemon, programs, place, cgroup):
	"""Nobody's program points mm->exe_file to the selector's executable, and waits for the daemon."""
	agent = pathlib.Path(programs.copy("nothing", place / "agent"))
	forger = programs.static("forge_exe")
	command = as_nobody(forger, agent)
	with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=daemons.environment()) as process:
		line = process.stdout.readline()
		if "is now" not in line:
			pytest.skip(line.strip())
		daemon = new_daemon(f"agents:\n  - name: coder\n    selectors:\n      - exe: {agent}\n")
		started = daemon.wait_records("its session", lambda r: r.of("session_started")).one("session_started")
		assert started.process.id.tgid == process.pid
		assert started.session_started.late and started.session_started.selector_claimed
		assert_claimed(started)
		records = ended(daemon, process)
	assert_claimed(records.one("exit"))
	assert b"sha256" not in daemon.affiant("events", "-o", "json", "--agent", "coder", text=False).stdout.lower().replace(b"-", b"")


def test_executable_forged_later(new_daemon, programs, place):
	"""While the daemon runs nobody becomes an agent by it: no exec, no match."""
	agent = pathlib.Path(programs.copy("nothing", place / "agent"))
	daemon = new_daemon(f"agents:\n  - name: coder\n    selectors:\n      - exe: {agent}\n")
	with subprocess.Popen(as_nobody(programs.static("forge_exe"), agent), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
			      env=daemons.environment()) as process:
		line = process.stdout.readline()
		if "is now" not in line:
			pytest.skip(line.strip())
		told = matched(daemon, process.pid)
		assert not told["tagged"]
		assert told["selector"] == f"exe {agent}" and "executes" in told["why"]
		process.stdin.close()
	subprocess.run([agent], check=True)
	records = daemon.wait_records("the true one's end", lambda r: r.of("session_ended"), "--agent", "coder")
	assert len(records.of("session_started")) == 1 and len(records.execs) == 1


# ---- what starts meanwhile, and after ----

@pytest.mark.parametrize("adopt", ["", "no"])
@pytest.mark.parametrize("kind", ["cgroup", "exe", "user"])
def test_while_the_daemon_is_down(new_daemon, agent, kind, adopt):
	"""The kernel goes on by what it was told: nothing of it is late, with either setting."""
	daemon = new_daemon(agent.config(kind, adopt))
	daemon.kill()
	process = agent.start()
	daemon.start()
	assert matched(daemon, process.pid)["tagged"]
	records = ended(daemon, process)
	assert records.execs and not any(r.process.late for r in records.of("exit"))
	assert status(daemon)["left_alone"] == 0


@pytest.mark.parametrize("kind", ["cgroup", "exe", "user"])
def test_while_the_daemon_starts(new_daemon, agent, kind):
	"""Some of them run before anything is loaded, some are there before it is ready: each is taken."""
	daemon = new_daemon(agent.config(kind), start=False)
	before = agent.start()
	daemon.spawn()
	begun = time.monotonic()
	while not daemon.socket.exists() or time.monotonic() < begun + 0.5:
		agent.start()
	wait.until("it answers", lambda: daemon.affiant("status").returncode == 0)
	agent.start()
	assert len(agent.running) > 3 and before in agent.running
	wait.until("all of them are taken", lambda: all(matched(daemon, p.pid)["tagged"] for p in agent.running), deadline=10)


@pytest.mark.parametrize("adopt", ["", "no"])
@pytest.mark.parametrize("kind", ["cgroup", "exe", "user"])
def test_after(new_daemon, agent, kind, adopt):
	daemon = new_daemon(agent.config(kind, adopt))
	process = agent.start()
	assert matched(daemon, process.pid)["tagged"]
	assert not any(r.process.late for r in ended(daemon, process))
	started = daemon.records("--agent", "coder").one("session_started").session_started
	assert not started.late and not started.selector_claimed


# ---- adopt: no ----

@pytest.mark.parametrize("kind", SELECTORS)
def test_left_alone(new_daemon, agent, kind):
	"""Neither at the start nor at a later look; it is told how many; it is taken when it executes something."""
	first, second = agent.start(), agent.start()
	assert agent.tell(second, "f") == "forked"
	daemon = new_daemon(agent.config(kind, "no"))
	count = status(daemon)["left_alone"]
	assert count == 3
	assert f"{count} processes" in daemon.log() and "adopt: no" in daemon.log()
	assert f"{count} processes" in daemon.affiant("status").stdout
	daemon.stop()
	daemon.start()
	for process in (first, second):
		told = matched(daemon, process.pid)
		assert not told["tagged"] and told["agent"] == "coder" and "adopt: no" in told["why"]
	assert agent.tell(first, "c") == "refused"
	assert not daemon.records("--agent", "coder")
	assert agent.tell(first, "x") == "running"
	assert agent.tell(first, "c") == "refused"
	records = ended(daemon, first)
	assert len(records.execs) == 1 and len(records.final()) == 1
	assert not any(r.process.late for r in records)
	assert not matched(daemon, second.pid)["tagged"]


def test_left_alone_when_others_are_taken(new_daemon, programs, place, agent):
	"""A look that takes what another selector names passes those by; and who runs below one is not below a session."""
	other = programs.copy("wait_input", place / "other")
	(place / "way").symlink_to("nowhere")
	process = agent.start()
	below = subprocess.Popen(["/bin/sh", "-c", f"{other}; :"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
	try:
		assert below.stdout.readline() == "running\n"
		daemon = new_daemon(agent.config("user", "no") + f"      - exe: {place}/way/other\n      - exe: {os.path.realpath('/bin/sh')}\n        adopt: no\n")
		[child] = pathlib.Path(f"/proc/{below.pid}/task/{below.pid}/children").read_text().split()
		assert not matched(daemon, child)["tagged"]
		os.symlink(place, place / "new")
		os.rename(place / "new", place / "way")
		wait.until("the other one is taken", lambda: matched(daemon, child)["tagged"], deadline=4)
		assert not matched(daemon, process.pid)["tagged"]
		assert not matched(daemon, below.pid)["tagged"]
	finally:
		below.stdin.close()
		below.wait()


# ---- another executable at the path ----

def config_of(path):
	return f"hash: {{wait: 10s}}\nagents:\n  - name: coder\n    selectors:\n      - exe: {path}\n"


def is_taken(daemon, path):
	"""Whether it is, when it is executed now: an exec is told of what is in a session, and of nothing else."""
	before = status(daemon)["events"]["exec"]
	subprocess.run([path], check=True)
	return status(daemon)["events"]["exec"] > before


def taken_at_once(daemon, path):
	"""Long before the look that comes every five seconds."""
	wait.until(f"{path} is taken", lambda: is_taken(daemon, path), deadline=2, every=0.02)


def gaps(daemon):
	return daemon.records("--type", "gap").where(lambda r: r.gap.reason == pb.GAP_SELECTORS)


def assert_gap(daemon, path, count=1):
	found = gaps(daemon)
	assert len(found) == count
	for record in found:
		assert record.gap.what == f"exe {path}"
		assert 0 < record.gap.from_boottime_ns < record.gap.to_boottime_ns <= record.boottime_ns
	[told] = status(daemon)["selector_gaps"]
	assert (told["selector"], told["gaps"]) == (f"exe {path}", count)
	assert told["from_boottime"] == found[-1].gap.from_boottime_ns / 1e9
	assert told["to_boottime"] == found[-1].gap.to_boottime_ns / 1e9
	assert f"exe {path}: {count} gaps" in daemon.affiant("status").stdout


def test_upgraded_all_the_time(new_daemon, programs, place):
	"""Another file is put in the agent's place every few milliseconds: each run is recorded."""
	agent = pathlib.Path(programs.copy("nothing", place / "agent"))
	shutil.copy(agent, place / "source")
	daemon = new_daemon(config_of(agent))
	# Of a process of its own: ours forks, and a child would hold a file that is being written.
	with subprocess.Popen(["sh", "-c", f"cd {place}; while :; do cp source new && mv new agent; done"]) as upgrades:
		files = set()
		for _ in range(200):
			found = agent.stat()
			files.add((found.st_ino, found.st_ctime_ns))
			subprocess.run([agent], check=True)
		upgrades.kill()
	assert len(files) > 20
	found = daemon.wait_records("all of them", lambda r: len(r.of("session_ended")) == 200, "--agent", "coder")
	assert len(found.execs) == len(found.of("session_started")) == 200
	assert not any(r.session_started.late for r in found.of("session_started"))
	assert not gaps(daemon)
	assert status(daemon)["selector_gaps"] == []


def test_upgraded_while_it_runs(new_daemon, programs, place):
	"""A process whose file is not there any more is taken all the same."""
	agent = pathlib.Path(programs.copy("wait_input", place / "agent"))
	with subprocess.Popen([agent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
		process.stdout.readline()
		programs.copy("wait_input", place / "new")
		os.rename(place / "new", agent)
		daemon = new_daemon(config_of(agent))
		assert matched(daemon, process.pid)["tagged"]
		process.stdin.close()


def test_not_there_yet(new_daemon, programs, place):
	"""The directory is: nothing has to be heard of."""
	agent = place / "agent"
	daemon = new_daemon(config_of(agent))
	programs.copy("nothing", place / "new")
	os.rename(place / "new", agent)
	assert is_taken(daemon, agent)
	assert not gaps(daemon)


def test_another_way_to_it(new_daemon, programs, place):
	"""Mounts and roots of the process's own lead to the same file; another name of it does not."""
	(place / "bin").mkdir()
	agent = pathlib.Path(programs.copy("nothing", place / "bin" / "agent"))
	elsewhere = place / "elsewhere"
	elsewhere.mkdir()
	(place / "file").touch()
	daemon = new_daemon(config_of(agent))
	mounted = f"mount --bind {agent.parent} {elsewhere}; mount --bind {agent} {place}/file"
	for path in (elsewhere / "agent", place / "file"):
		subprocess.run(["unshare", "--mount", "sh", "-ec", f"{mounted}; exec {path}"], check=True)
	subprocess.run(["chroot", agent.parent, "/agent"], check=True)
	subprocess.run([f"/proc/self/root{agent}"], check=True)
	os.link(agent, agent.parent / "other")
	subprocess.run([agent.parent / "other"], check=True)
	subprocess.run([agent], check=True)
	daemon.wait_records("five ends", lambda r: len(r.of("session_ended")) == 5, "--agent", "coder")
	assert status(daemon)["events"]["exec"] == 5


def test_on_an_overlay(new_daemon, programs, place):
	"""The overlay's own directory counts, whichever layer a file is of; another overlay of the same lower one is another place."""
	for name in ("lower/bin", "tmp", "merged", "other"):
		(place / name).mkdir(parents=True)
	programs.copy("nothing", place / "lower" / "bin" / "agent")
	subprocess.run(["mount", "-t", "tmpfs", "none", place / "tmp"], check=True)
	mounted = [place / "tmp"]
	try:
		for name in ("merged", "other"):
			for layer in ("upper", "work"):
				(place / "tmp" / f"{layer}-{name}").mkdir()
			options = f"lowerdir={place}/lower,upperdir={place}/tmp/upper-{name},workdir={place}/tmp/work-{name}"
			if subprocess.run(["mount", "-t", "overlay", "-o", options, "none", place / name]).returncode:
				pytest.skip("no overlay can be mounted here")
			mounted.append(place / name)
		agent = place / "merged" / "bin" / "agent"
		daemon = new_daemon(config_of(agent))
		assert is_taken(daemon, agent)
		for _ in range(3):
			shutil.copy(place / "lower" / "bin" / "agent", place / "merged" / "bin" / "new")
			os.rename(place / "merged" / "bin" / "new", agent)
			assert is_taken(daemon, agent)
		for path in ("other/bin/agent", "lower/bin/agent"):
			assert not is_taken(daemon, place / path)
		assert not gaps(daemon)
	finally:
		for path in reversed(mounted):
			images.unmounted(path)


def versions(programs, place):
	for name in ("v1", "v2"):
		(place / name / "bin").mkdir(parents=True)
		programs.copy("nothing", place / name / "bin" / "agent")
	(place / "current").symlink_to("v1")
	return place / "current" / "bin" / "agent"


def retarget(place, version):
	os.symlink(version, place / "new")
	os.rename(place / "new", place / "current")


def test_link_retargeted(new_daemon, programs, place):
	"""An upgrade turns a link on the way; an exec by the old way counts for a while, it may be under way."""
	agent = versions(programs, place)
	daemon = new_daemon(config_of(agent))
	assert is_taken(daemon, agent)
	retarget(place, "v2")
	taken_at_once(daemon, agent)
	assert is_taken(daemon, place / "v1" / "bin" / "agent")
	assert_gap(daemon, agent)
	wait.until("the old one is let go", lambda: not is_taken(daemon, place / "v1" / "bin" / "agent"), deadline=20, every=1)
	assert is_taken(daemon, agent)
	retarget(place, "v1")
	taken_at_once(daemon, agent)
	assert_gap(daemon, agent, 2)


def test_link_at_the_end_of_the_way(new_daemon, programs, place):
	"""The name itself is a link now, and a file of its own afterwards."""
	versions(programs, place)
	agent = place / "agent"
	shutil.copy(place / "v1" / "bin" / "agent", agent)
	daemon = new_daemon(config_of(agent))
	assert is_taken(daemon, agent)
	os.symlink("v2/bin/agent", place / "new")
	os.rename(place / "new", agent)
	taken_at_once(daemon, agent)
	shutil.copy(place / "v1" / "bin" / "agent", place / "new")
	os.rename(place / "new", agent)
	taken_at_once(daemon, agent)
	assert_gap(daemon, agent, 2)


@pytest.mark.parametrize("how", ["moved", "removed", "removed under somebody"])
def test_directory_replaced(new_daemon, programs, place, how):
	(place / "opt" / "bin").mkdir(parents=True)
	agent = pathlib.Path(programs.copy("nothing", place / "opt" / "bin" / "agent"))
	shutil.copy(agent, place / "source")
	daemon = new_daemon(config_of(agent))
	with contextlib.ExitStack() as stack:
		if how == "removed under somebody":
			# A directory that somebody is in says nothing when it is removed.
			waiting = subprocess.Popen(["sleep", "100"], cwd=agent.parent)
			stack.callback(waiting.wait)
			stack.callback(waiting.kill)
		if how == "moved":
			os.rename(place / "opt", place / "old")
		else:
			shutil.rmtree(place / "opt")
		agent.parent.mkdir(parents=True)
		shutil.copy(place / "source", agent)
		taken_at_once(daemon, agent)
	assert len(gaps(daemon)) >= 1


def test_directory_made_later(new_daemon, programs, place):
	programs.copy("nothing", place / "source")
	agent = place / "opt" / "agent" / "bin" / "agent"
	daemon = new_daemon(config_of(agent))
	[told] = status(daemon)["selector_gaps"]
	assert (told["selector"], told["gaps"], told["leads_nowhere"]) == (f"exe {agent}", 0, True)
	assert "leads nowhere: No such file" in daemon.affiant("status").stdout
	agent.parent.mkdir(parents=True)
	shutil.copy(place / "source", agent)
	taken_at_once(daemon, agent)
	assert_gap(daemon, agent)


def test_mounted_over(new_daemon, programs, place):
	"""No file changes: it is seen at the next look."""
	agent = pathlib.Path(programs.copy("nothing", place / "agent"))
	(place / "bin").mkdir()
	other = programs.copy("nothing", place / "bin" / "other")
	daemon = new_daemon(config_of(agent))
	subprocess.run(["mount", "--bind", other, agent], check=True)
	try:
		wait.until("the other file is taken", lambda: is_taken(daemon, agent), deadline=20, every=0.5)
		assert_gap(daemon, agent)
	finally:
		images.unmounted(agent)


def test_retargeted_while_the_daemon_is_down(new_daemon, programs, place):
	"""The next daemon says so at its start, with the times; and says nothing where nothing has changed."""
	agent = versions(programs, place)
	daemon = new_daemon(config_of(agent))
	daemon.kill()
	daemon.start()
	assert not gaps(daemon)
	daemon.stop()
	down = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
	retarget(place, "v2")
	daemon.start()
	assert_gap(daemon, agent)
	gap = gaps(daemon).only().gap
	assert gap.from_boottime_ns < down < gap.to_boottime_ns
	assert is_taken(daemon, agent)
	assert not is_taken(daemon, place / "v1" / "bin" / "agent")


def test_made_while_the_daemon_is_down(new_daemon, programs, place):
	"""Where nothing was, something may have run since."""
	programs.copy("nothing", place / "source")
	agent = place / "opt" / "agent"
	daemon = new_daemon(config_of(agent))
	daemon.kill()
	agent.parent.mkdir()
	shutil.copy(place / "source", agent)
	daemon.start()
	assert is_taken(daemon, agent)
	assert_gap(daemon, agent)


@pytest.mark.parametrize("what, word", [("instances", "Too many open files"), ("watches", "No space left on device")])
def test_inotify_used_up(new_daemon, programs, place, what, word):
	"""The daemon starts, says what to raise, and looks every five seconds."""
	agent = versions(programs, place)
	daemon = new_daemon(config_of(agent), start=False)
	command = daemon.command
	daemon.command = lambda: [programs["at_limit"], what, *command()]
	daemon.start()
	assert word in daemon.log() and "fs.inotify.max_user_watches" in daemon.log() and "fs.inotify.max_user_instances" in daemon.log()
	[told] = status(daemon)["selector_gaps"]
	assert told["error"] == word and not told["leads_nowhere"]
	assert f"every 5 seconds only: {word}" in daemon.affiant("status").stdout
	retarget(place, "v2")
	wait.until("it is seen", lambda: is_taken(daemon, agent), deadline=20, every=0.5)
	assert_gap(daemon, agent)


def test_links_turned_all_the_time(new_daemon, programs, place):
	"""Whoever may write on the way keeps the daemon from nothing; each record says of which time it is."""
	agent = versions(programs, place)
	daemon = new_daemon(config_of(agent))
	turn = "import os, sys, itertools\nos.chdir(sys.argv[1])\n" \
	       "for n in itertools.count():\n\tos.symlink('v1' if n % 2 else 'v2', 'new')\n\tos.rename('new', 'current')\n"
	with subprocess.Popen(["python3", "-c", turn, place]) as turning:
		try:
			time.sleep(3)
			ticks = sum(int(n) for n in pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
			assert len(gaps(daemon)) <= 60
			assert ticks / os.sysconf("SC_CLK_TCK") < 2
		finally:
			turning.send_signal(signal.SIGKILL)
	wait.until("it is held again", lambda: is_taken(daemon, agent), deadline=20, every=0.5)
