# SPDX-License-Identifier: Apache-2.0
"""Whose a cgroup is: known before anybody enters it, with the daemon or without, whoever else makes cgroups."""

import contextlib
import os
import pathlib
import subprocess
import time

import pytest

from harness import cgroups
from harness import daemon as daemons
from harness.cgroups import inside
from harness.records import pb
from test_selectors import agents, assert_selected, matched, running, sessions_of

NOBODY = 65534
ROOMY = "ring_bytes: 64MiB\n"
FEW = (150, 300)	# runs, and other cgroups beside them


def as_nobody(*command):
	return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", *map(str, command)]


def run(*command):
	done = subprocess.run([*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
			      env=daemons.environment())
	assert done.returncode == 0, done.stderr
	return done


def delegate(path):
	"""As a service manager gives a cgroup to a user."""
	for one in (path, *(path / name for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))):
		os.chown(one, NOBODY, NOBODY)


@contextlib.contextmanager
def delegated(path):
	"""A cgroup of nobody's, with a process of nobody's in it that runs what is written to its input."""
	delegate(path)
	command = inside(path, *as_nobody("/bin/sh", "-c", 'echo ready; while read -r line; do eval "$line"; echo "$?"; done'))
	with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
			      env=daemons.environment()) as shell:
		assert shell.stdout.readline() == "ready\n"

		def does(line):
			shell.stdin.write(line + "\n")
			shell.stdin.flush()
			return int(shell.stdout.readline())

		yield does


@contextlib.contextmanager
def user_manager(uid):
	"""The cgroup of the user's own service manager, where one would be; the test's own, if there is none."""
	made = []
	path = cgroups.root()
	for name in ("user.slice", f"user-{uid}.slice", f"user@{uid}.service"):
		path = path / name
		if not path.exists():
			path.mkdir()
			made.append(path)
	if not made or made[-1] != path:
		pytest.skip(f"user {uid} has a service manager on this host")
	try:
		yield path
	finally:
		for below in sorted((p for p in made[0].rglob("*") if p.is_dir() and path in p.parents), reverse=True):
			below.rmdir()
		for one in reversed(made):
			one.rmdir()


# ---- nobody is too fast ----

def others(cgroup, count):
	for number in range(count):
		pod = cgroup.path / f"pod{number // 50}"
		pod.mkdir(exist_ok=True)
		(pod / f"c{number}").mkdir()


def arguments(daemon, count):
	"""The numbers with which jobs were executed, once there are so many execs, and the sessions of these."""
	found = daemon.wait_records(f"{count} execs", lambda r: len(r.execs) >= count, "--agent", "job")
	assert not daemon.records().of("lost")
	return sorted(int(r.process.argv[1]) for r in found.execs), {r.session.id for r in found.execs}


@pytest.mark.parametrize("runs, beside", [FEW, pytest.param(1000, 3000, marks=pytest.mark.long)])
@pytest.mark.parametrize("dead", [False, True], ids=["daemon", "no daemon"])
def test_short_lived(new_daemon, programs, cgroup, runs, beside, dead):
	others(cgroup, beside)
	parent = cgroup.make("jobs.slice/x")
	daemon = new_daemon(ROOMY + agents(job=[f"cgroup: {cgroup.name}/**/job-*.scope"]))
	if dead:
		daemon.kill()
	run(programs["jobs"], parent, "job-%d.scope", runs, programs["nothing"])
	if dead:
		daemon.start()
	numbers, sessions = arguments(daemon, runs)
	assert numbers == list(range(runs))
	assert len(sessions) == runs	# each cgroup was another
	assert not any(r.session_started.late for r in daemon.records().of("session_started"))


def test_made_while_the_daemon_is_down(new_daemon, programs, cgroup):
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	daemon.stop()
	place = cgroup.make("agent-1/below")
	daemon.start()
	run(*inside(place, programs["nothing"]))
	daemon.kill()
	run(*inside(place, programs["nothing"]))
	daemon.start()
	found = sessions_of(daemon, "research", ended=2)
	assert [len(records.execs) for records in found] == [1, 1]
	assert not daemon.records().of("gap")	# the patterns were the same all the time


@pytest.mark.parametrize("count", [100, pytest.param(600, marks=pytest.mark.long)])
def test_cgroups_that_match_nothing_cost_nothing(new_daemon, programs, cgroup, count):
	"""At 20 a second beside many others, a hundredth of a CPU is the most."""
	others(cgroup, 300)
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/nothing/agent-*", f"cgroup: {cgroup.name}/**/agent-*"]))

	def cpu():
		words = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
		return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

	def spend(make):
		before, start = cpu(), time.monotonic()
		for number in range(count):
			time.sleep(0.05)
			if make:
				place = cgroup.make(f"other-{number}")
				place.rmdir()
		return (cpu() - before) / (time.monotonic() - start)

	idle = spend(make=False)
	busy = spend(make=True)
	assert busy - idle <= 0.01, f"{busy:.4f} of a CPU, {idle:.4f} without"
	print(f"{busy:.4f} of a CPU with cgroups made, {idle:.4f} without")


# ---- nobody becomes an agent by a name ----

def test_a_unit_is_of_the_system_manager(new_daemon, programs, cgroup_slice):
	"""A user who was given a cgroup makes one by a unit's name in it, as user@65534.service would have it."""
	manager = cgroup_slice.make("user-65534.slice/user@65534.service")
	daemon = new_daemon(agents(bank=["unit: bank@*.service", "unit: bank.slice"]))
	with delegated(manager) as does:
		for name in ("bank@1.service", "app.slice", "app.slice/bank@2.service", "bank.slice"):
			assert does(f"mkdir {manager}/{name}") == 0
			if name != "app.slice":
				assert does(f"(echo 0 >{manager}/{name}/cgroup.procs; exec {programs['nothing']})") == 0
	run(*inside(cgroup_slice.make("bank@3.service"), programs["nothing"]))
	[records] = sessions_of(daemon, "bank")
	assert_selected(records, "unit bank@*.service")
	assert records.execs.only().process.cgroup.decode() == f"{cgroup_slice.name}/bank@3.service"


def test_a_unit_of_a_users_manager(new_daemon, programs):
	with user_manager(NOBODY) as manager:
		daemon = new_daemon(agents(own=["user_unit: {user: nobody, unit: 'bank@*.service'}"], bank=["unit: bank@*.service"]))
		with delegated(manager) as does:
			place = f"{manager}/app.slice/bank@1.service"
			assert does(f"mkdir -p {place} {manager}/x.service/bank@2.service") == 0
			for one in (place, f"{manager}/x.service/bank@2.service"):
				assert does(f"(echo 0 >{one}/cgroup.procs; exec {programs['nothing']})") == 0
		[records] = sessions_of(daemon, "own")
		assert_selected(records, "user_unit nobody bank@*.service")
		assert records.execs.only().process.cgroup.decode().endswith("/app.slice/bank@1.service")
		assert not daemon.records("--agent", "bank")


def test_stars_pass_nothing_of_nobodys(new_daemon, programs, cgroup):
	mine = cgroup.make("pods/mine/below/agent-1")
	theirs = cgroup.make("pods/theirs")
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/**/agent-*"]))
	with delegated(theirs) as does:
		assert does(f"mkdir -p {theirs}/below/agent-2") == 0
		assert does(f"(echo 0 >{theirs}/below/agent-2/cgroup.procs; exec {programs['nothing']})") == 0
	run(*inside(mine, programs["nothing"]))
	[records] = sessions_of(daemon, "research")
	assert records.execs.only().process.cgroup.decode().endswith("/mine/below/agent-1")


def test_the_walk_asks_the_same(new_daemon, programs, cgroup_slice):
	"""What was made before the daemon came is judged as what is made later."""
	manager = cgroup_slice.make("user@65534.service")
	mine = cgroup_slice.make("bank@3.service")
	with delegated(manager) as does:
		assert does(f"mkdir -p -m 700 {manager}/bank@1.service {manager}/x/y/bank@2.service") == 0
		daemon = new_daemon(agents(bank=["unit: bank@*.service", f"cgroup: {cgroup_slice.name}/**/y/bank@*"]))
		for name in ("bank@1.service", "x/y/bank@2.service"):
			assert does(f"(echo 0 >{manager}/{name}/cgroup.procs; exec {programs['nothing']})") == 0
	run(*inside(mine, programs["nothing"]))
	[records] = sessions_of(daemon, "bank")
	assert records.execs.only().process.cgroup.decode().endswith("/bank@3.service")
	assert "not looked at" not in daemon.log()


def test_version_1_does_not_matter(new_daemon, programs, cgroup):
	"""A directory of a cgroup v1 hierarchy with the same name, and a process in it."""
	parent = pathlib.Path("/sys/fs/cgroup/pids")
	if not (parent / "cgroup.procs").exists():
		pytest.skip("no hierarchy of cgroup v1 at /sys/fs/cgroup/pids")
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	top = parent / cgroup.name[1:]
	place = top / "agent-1"
	place.mkdir(parents=True)
	try:
		run(*inside(place, programs["nothing"]))
	finally:
		place.rmdir()
		top.rmdir()
	run(*inside(cgroup.make("agent-2"), programs["nothing"]))
	[records] = sessions_of(daemon, "research")
	assert records.execs.only().process.cgroup.decode() == f"{cgroup.name}/agent-2"


@pytest.mark.parametrize("name", ["agent-" + "x" * 249, "agent-*", "agent-\\", "agent-[a]", "agent-\x1b[2J", "agent-ü", "agent- a"])
def test_names_as_they_are(new_daemon, programs, cgroup, name):
	place = cgroup.make(name)
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	run("/bin/sh", "-c", 'echo 0 >"$1/cgroup.procs" && exec "$2"', "sh", place, programs["nothing"])
	below = cgroup.make(f"other/{name}")	# not at this level
	run("/bin/sh", "-c", 'echo 0 >"$1/cgroup.procs" && exec "$2"', "sh", below, programs["nothing"])
	place.rmdir()
	place.mkdir()	# made with the daemon there
	run("/bin/sh", "-c", 'echo 0 >"$1/cgroup.procs" && exec "$2"', "sh", place, programs["nothing"])
	found = sessions_of(daemon, "research", ended=2)
	assert [r.execs.only().process.cgroup.decode() for r in found] == [f"{cgroup.name}/{name}"] * 2


def test_names_stay_as_they_are(cgroup):
	"""What the patterns rest on: no cgroup of the unified hierarchy gets another name, or one with a new line."""
	place = cgroup.make("agent")
	with pytest.raises(OSError):
		place.rename(cgroup.path / "bank")
	with pytest.raises(OSError):
		cgroup.make("a\nb")


def test_far_below(new_daemon, programs, cgroup):
	"""An agent's own cgroups are its own, however deep."""
	deep = cgroup.make("agent-1/" + "/".join(str(n) for n in range(40)))
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	run(*inside(deep, programs["nothing"]))
	deeper = deep / "a" / "b"
	deeper.mkdir(parents=True)
	run(*inside(deeper, programs["nothing"]))
	found = sessions_of(daemon, "research", ended=2)
	assert len(found) == 2


# ---- other patterns ----

def test_changed_patterns(new_daemon, programs, cgroup):
	"""Sessions of a selector that stays go on; while nobody looked is told; what the new one takes is taken."""
	first, second = cgroup.make("agent-1"), cgroup.make("late-1")
	stays = f"cgroup: {cgroup.name}/agent-*"
	daemon = new_daemon(agents(research=[stays]))
	with running(*inside(first, programs["wait_input"])), running(*inside(second, programs["wait_input"])) as other:
		daemon.wait_records("the exec", lambda r: r.execs, "--agent", "research")
		daemon.stop()
		daemon.config.write_text(agents(research=[stays], late=[f"cgroup: {cgroup.name}/late-*"]))
		daemon.start()
		run(*inside(first, programs["nothing"]))
		told, _ = matched(daemon, other.pid)
		assert told["agent"] == "late" and told["session"]["late"]
	[records] = sessions_of(daemon, "research")
	assert len(records.execs) == 2
	[records] = sessions_of(daemon, "late")
	assert records.one("session_started").session_started.late
	gap = daemon.records().one("gap")
	assert gap.gap.reason == pb.GAP_SELECTORS
	assert 0 < gap.gap.from_boottime_ns < gap.gap.to_boottime_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
	assert "cgroup" in gap.gap.what
	# And without any: nobody is taken.
	daemon.stop()
	daemon.config.write_text(agents(other=["exe: /nonexistent"]))
	daemon.start()
	run(*inside(first, programs["nothing"]))
	assert len(daemon.records("--agent", "research").execs) == 2


def test_killed_while_patterns_change(new_daemon, programs, cgroup):
	"""Whenever it dies, the next one ends what it began."""
	place = cgroup.make("agent-1")
	others(cgroup, 200)
	daemon = new_daemon(agents(first=[f"cgroup: {cgroup.name}/agent-*"]))
	daemon.stop()
	for number in range(12):
		daemon.config.write_text(agents(**{f"n{number}": [f"cgroup: {cgroup.name}/**/agent-*"]}))
		daemon.spawn()
		time.sleep(0.02 * number)
		daemon.kill()
	daemon.start()
	run(*inside(place, programs["nothing"]))
	run(*inside(cgroup.make("new/agent-2"), programs["nothing"]))
	found = sessions_of(daemon, "n11", ended=2)
	assert len(found) == 2


# ---- whose container ----

def test_container_of_nobodys_making(daemon, cgroup):
	"""Whoever was given a cgroup may name one below it after another's container: that is told as a claim."""
	victim = "ab" * 32
	own = cgroup.make("own")
	delegate(own)
	script = f"mkdir {own}/docker-{victim}.scope && echo 0 >{own}/docker-{victim}.scope/cgroup.procs && exec /bin/true"
	records = daemon.run(*as_nobody("/bin/sh", "-c", script), before=inside(own)).records()
	last = records.execs[-1].process
	assert last.cgroup.decode().endswith(f"docker-{victim}.scope")
	assert (last.container_id, last.container_claimed) == ("", victim)


def test_container_within_a_container(daemon, programs, cgroup):
	"""What a container makes is that container's, whatever its name."""
	outer, inner = "cd" * 32, "ef" * 32
	place = cgroup.make(f"docker-{outer}.scope/docker-{inner}.scope")
	records = daemon.run(programs["nothing"], before=inside(place)).records()
	process = records.execs[-1].process
	assert (process.container_id, process.container_claimed) == (outer, "")
