# SPDX-License-Identifier: Apache-2.0
"""Selectors: processes that become an agent's without `affiant run`."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import uuid

import pytest

from harness import daemon as daemons
from harness import wait
from harness.cgroups import inside
from harness.records import Records, address, kind

RUN, SELECTOR = 1, 2	# SessionOrigin
GAMES = 5		# a user of every Debian that nothing runs as


def agents(**selectors):
	"""Configuration text: the agents, each with the lines of its selectors."""
	text = "agents:\n"
	for name, lines in selectors.items():
		text += f"  - name: {name}\n    selectors:\n" + "".join(f"      - {line}\n" for line in lines)
	return text


@contextlib.contextmanager
def running(*command, **more):
	"""A process that said its first line, goes on while its input is open, and has ended afterwards."""
	with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
			      env=daemons.environment(), **more) as process:
		assert process.stdout.readline()
		yield process


def sessions_of(daemon, agent, ended=1):
	"""The agent's records by session, in the order of their beginning, once so many have ended and all is there."""
	def by_session(found):
		sessions = {}
		for record in found.in_time():
			sessions.setdefault(record.session.id, Records()).append(record)
		return list(sessions.values())

	found = daemon.wait_records(f"{ended} whole sessions of {agent}",
				    lambda found: sum(one.whole() for one in by_session(found)) >= ended, "--agent", agent)
	return by_session(found)


def matched(daemon, pid):
	"""What `affiant match` says, and its exit code."""
	done = daemon.affiant("match", "-o", "json", pid)
	return json.loads(done.stdout), done.returncode


# ---- each kind, in the kernel, at exec ----

def assert_selected(records, words):
	"""A session that begins with the exec itself: nothing before it, nothing late."""
	started = records.one("session_started").session_started
	assert (started.origin, started.selector, started.late) == (SELECTOR, words, False)
	assert kind(records[0]) == "session_started"
	assert not any(r.process.late for r in records)
	ended = records.one("session_ended").session_ended
	assert ended.reason == 1	# its last exit
	assert (ended.execs, ended.processes) == (len(records.execs), len(records.of("exit")))


def test_cgroup(new_daemon, programs, cgroup):
	place = cgroup.make("agent-1")
	beside = cgroup.make("other")
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	subprocess.run(inside(beside, programs["nothing"]), check=True)
	subprocess.run(inside(place, programs["nothing"]), check=True)
	[records] = sessions_of(daemon, "research")
	assert_selected(records, f"cgroup {cgroup.name}/agent-*")
	assert records.execs.only().process.executable.path.decode() == programs["nothing"]
	assert records.execs.only().process.cgroup.decode() == f"{cgroup.name}/agent-1"


def test_unit(new_daemon, programs, cgroup_slice):
	"""A unit's processes are also in cgroups that the unit makes itself."""
	place = cgroup_slice.make("agents.slice/agent@1.service/worker")
	beside = cgroup_slice.make("agents.slice/agent.service")
	daemon = new_daemon(agents(research=["unit: agent@*.service"]))
	subprocess.run(inside(beside, programs["nothing"]), check=True)
	subprocess.run(inside(place, programs["nothing"]), check=True)
	[records] = sessions_of(daemon, "research")
	assert_selected(records, "unit agent@*.service")


def test_executable(new_daemon, programs, place):
	"""The file that has the name: neither another file at another path, nor a copy of it, nor another name of it."""
	agent = pathlib.Path(programs.copy("nothing", place / "agent"))
	link = place / "linked"
	os.link(agent, link)
	copy = place / "copy"
	shutil.copy(agent, copy)
	daemon = new_daemon(agents(coder=[f"exe: {agent}"]))
	for path in (copy, programs["nothing"], link, agent):
		subprocess.run([path], check=True)
	[records] = sessions_of(daemon, "coder")
	assert_selected(records, f"exe {agent}")
	assert records.execs.only().process.executable.path.decode() == str(agent)


def as_user(uid, *command):
	return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *map(str, command)]


def test_user(new_daemon, programs):
	daemon = new_daemon(agents(player=["user: games"]))
	subprocess.run(as_user(65533, programs["nothing"]), check=True)
	subprocess.run(as_user(GAMES, programs["nothing"]), check=True)
	[records] = sessions_of(daemon, "player")
	assert_selected(records, "user games")
	assert records.execs.only().process.uid == GAMES


def test_only_the_chosen_are_recorded(new_daemon, programs, place):
	agent = programs.copy("nothing", place / "agent")
	daemon = new_daemon(agents(coder=[f"exe: {agent}"]))
	subprocess.run([programs["nothing"]], check=True)
	subprocess.run([agent], check=True)
	sessions_of(daemon, "coder")
	assert {r.agent.name for r in daemon.records().where(lambda r: r.HasField("agent"))} == {"coder"}


# ---- what is one session ----

def test_one_session_for_each_cgroup(new_daemon, programs, cgroup):
	first, below, second = (cgroup.make(name) for name in ("agent-1", "agent-1/worker", "agent-2"))
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	with running(*inside(first, programs["wait_input"])), running(*inside(second, programs["wait_input"])):
		subprocess.run(inside(below, programs["nothing"]), check=True)
		subprocess.run(inside(second, programs["nothing"]), check=True)
	ones = sessions_of(daemon, "research", ended=2)
	assert [len(records.execs) for records in ones] == [2, 2]
	for records, name in zip(ones, ("agent-1", "agent-2")):
		paths = {r.process.cgroup.decode() for r in records.execs}
		assert all(path.startswith(f"{cgroup.name}/{name}") for path in paths), paths
		assert_selected(records, f"cgroup {cgroup.name}/agent-*")
	# All its processes have ended: who comes later is of another session.
	subprocess.run(inside(first, programs["nothing"]), check=True)
	again = sessions_of(daemon, "research", ended=3)
	assert len(again) == 3 and len(again[2].execs) == 1


def test_one_session_for_each_outermost_process(new_daemon, place):
	"""Who is in a session already stays there, whatever it executes."""
	agent = shutil.copy("/bin/sh", place / "agent")
	wait.settled(agent)
	daemon = new_daemon(agents(coder=[f"exe: {agent}"]))
	for _ in range(2):
		subprocess.run([agent, "-c", f"{agent} -c :; /bin/true"], check=True)
	found = sessions_of(daemon, "coder", ended=2)
	assert [len(records.execs) for records in found] == [3, 3]
	assert [len(records.of("exit")) for records in found] == [3, 3]


def test_a_selector_takes_nobody_from_a_session(new_daemon, programs, place):
	agent = programs.copy("nothing", place / "agent")
	daemon = new_daemon(agents(coder=[f"exe: {agent}"], other=["exe: /nonexistent"]))
	records = daemon.run(agent, agent="other").records()
	assert {r.agent.name for r in records} == {"other"}
	assert records.one("session_started").session_started.origin == RUN
	assert not daemon.records("--agent", "coder")


def test_cgroup_before_executable_before_user(new_daemon, programs, place, cgroup):
	inner = cgroup.make("agent-1")
	agent = programs.copy("wait_input", place / "agent")
	daemon = new_daemon(agents(by_user=["user: games"], by_exe=[f"exe: {agent}"], by_cgroup=[f"cgroup: {cgroup.name}/agent-1"]))
	for agent_name, command in (("by_cgroup", inside(inner, *as_user(GAMES, agent))),
				    ("by_exe", as_user(GAMES, agent)), ("by_user", as_user(GAMES, programs["wait_input"]))):
		with running(*command) as process:
			told, code = matched(daemon, process.pid)
			assert (told["agent"], code) == (agent_name, 0)
			assert told["session"]["agent"] == agent_name
		# The shell and setpriv are in that cgroup too, so all in all it is one session each.
		assert len(sessions_of(daemon, agent_name)) == 1


# ---- what runs already ----

def test_running_when_the_daemon_starts(new_daemon, programs, cgroup, netns):
	place = cgroup.make("agent-1")
	with netns.serve() as server:
		tcp = (programs["tcp"], "hold", "127.0.0.1", server.port)
		with running(*netns.command(*inside(place, *tcp))) as process:
			daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
			found = daemon.wait_records("a late session", lambda r: r.of("session_started"), "--agent", "research")
			started = found.one("session_started").session_started
			assert (started.origin, started.late) == (SELECTOR, True)
			[connection] = started.open_connections
			assert (address(connection.remote), connection.remote.port) == ("127.0.0.1", server.port)
			assert connection.local.port and connection.tgid == process.pid
			told, _ = matched(daemon, process.pid)
			assert told["tagged"] and told["session"]["late"]
	[records] = sessions_of(daemon, "research")
	exit_record = records.one("exit")
	assert exit_record.process.late
	assert exit_record.process.id.tgid == process.pid
	assert exit_record.process.executable.path.decode() == programs["tcp"]


def test_children_of_what_runs_already(new_daemon, programs, place):
	"""Descendants are taken too, and what they do from then on is recorded; what they did before is no exec."""
	agent = shutil.copy("/bin/sh", place / "agent")
	wait.settled(agent)
	with running(agent, "-c", f'{programs["wait_input"]}; {programs["nothing"]}') as process:
		[child] = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
		daemon = new_daemon(agents(coder=[f"exe: {agent}"]))
		daemon.wait_records("a late session", lambda r: r.of("session_started"), "--agent", "coder")
		assert {matched(daemon, pid)[0]["tagged"] for pid in (process.pid, child)} == {True}
	[records] = sessions_of(daemon, "coder")
	assert records.execs.only().process.executable.path.decode() == programs["nothing"]
	assert not records.execs.only().process.late
	exits = {r.process.id.tgid: r.process.late for r in records.of("exit")}
	assert len(exits) == 3
	assert exits[process.pid] and exits[int(child)]


def test_cgroup_made_later(new_daemon, programs, cgroup):
	"""The kernel knows of it before anybody can enter."""
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/*/agent-*"]))
	with running(*inside(cgroup.make("pod/agent-1"), programs["wait_input"])) as process:
		told, _ = matched(daemon, process.pid)
		assert told["tagged"] and told["selector"] == f"cgroup {cgroup.name}/*/agent-*"
	[records] = sessions_of(daemon, "research")
	assert_selected(records, f"cgroup {cgroup.name}/*/agent-*")
	assert records.one("exit").process.id.tgid == process.pid


def test_restart(new_daemon, programs, cgroup):
	"""Killed and started again, it knows the session still; nobody is taken twice."""
	place = cgroup.make("agent-1")
	daemon = new_daemon(agents(research=[f"cgroup: {cgroup.name}/agent-*"]))
	with running(*inside(place, programs["wait_input"])):
		daemon.wait_records("the exec", lambda r: r.execs, "--agent", "research")
		daemon.kill()
		subprocess.run(inside(place, programs["nothing"]), check=True)
		daemon.start()
	[records] = sessions_of(daemon, "research")
	assert_selected(records, f"cgroup {cgroup.name}/agent-*")
	assert len(records.execs) == 2


def test_nobody_slips_through_a_restart(new_daemon, programs, place):
	"""What the kernel was told holds until the next daemon has told it anew."""
	agent = programs.copy("nothing", place / "agent")
	daemon = new_daemon(agents(coder=[f"exe: {agent}"]))
	counter = f"import subprocess, select, sys\nn = 0\nprint('ready', flush=True)\n" \
		  f"while not select.select([sys.stdin], [], [], 0)[0]:\n\tsubprocess.run(['{agent}'], check=True)\n\tn += 1\nprint(n)"
	with running("python3", "-c", counter) as process:
		for _ in range(5):
			daemon.kill()
			daemon.start()
		process.stdin.write("enough\n")
		process.stdin.flush()
		count = int(process.stdout.readline())
	assert count > 5
	found = sessions_of(daemon, "coder", ended=count)
	assert len(found) == count


# ---- affiant match ----

def test_match(new_daemon, programs, place, cgroup_slice):
	inner = cgroup_slice.make("agent@7.service")
	agent = programs.copy("wait_input", place / "agent")
	daemon = new_daemon(agents(research=["unit: agent@*.service"], coder=[f"exe: {agent}"], player=["user: games"]))
	for command, selector, agent_name, why in (
			(inside(inner, programs["wait_input"]), "unit agent@*.service", "research", "cgroup"),
			([agent], f"exe {agent}", "coder", "executable"),
			(as_user(GAMES, programs["wait_input"]), "user games", "player", "user")):
		with running(*command) as process:
			told, code = matched(daemon, process.pid)
			assert (told["selector"], told["agent"], code) == (selector, agent_name, 0)
			assert why in told["why"]
			assert uuid.UUID(told["session"]["session"])
			text = daemon.affiant("match", process.pid).stdout
			assert selector in text and agent_name in text and told["session"]["session"] in text


def test_match_none(new_daemon, programs):
	daemon = new_daemon(agents(player=["user: games"]))
	with running(programs["wait_input"]) as process:
		told, code = matched(daemon, process.pid)
		assert (told["tagged"], code) == (False, 1)
		assert "selector" not in told
		assert pathlib.Path(f"/proc/{process.pid}/cgroup").read_text().split("0::")[1].strip() in told["why"]
		assert "no selector" in daemon.affiant("match", process.pid).stdout
	gone = daemon.affiant("match", process.pid)
	assert gone.returncode == 1 and str(process.pid) in gone.stderr


def test_match_before_its_exec(new_daemon, programs, place):
	"""A process that changed its user is taken at its next exec: match says so beforehand, by the real user."""
	daemon = new_daemon(agents(player=["user: games"]))
	script = f"import os; os.setresuid({GAMES}, 0, 0); print('ready', flush=True); input()"
	with running("python3", "-c", script) as process:
		told, code = matched(daemon, process.pid)
		assert (told["tagged"], told.get("selector"), code) == (False, "user games", 0)
		process.stdin.write("\n")


# ---- conf.d ----

def test_more_agents_in_conf_d(new_daemon, programs, place):
	agent = programs.copy("nothing", place / "agent")
	daemon = new_daemon("trust_domain: example.org\nagents:\n  - name: first\n", start=False)
	more = daemon.directory / "conf.d"
	more.mkdir()
	(more / "coder.yaml").write_text(agents(coder=[f"exe: {agent}"]))
	daemon.start()
	subprocess.run([agent], check=True)
	[records] = sessions_of(daemon, "coder")
	assert records[0].agent.spiffe_id == "spiffe://example.org/agent/coder"
	assert daemon.run("/bin/true", agent="first").records()
	assert daemon.run("/bin/true", agent="third", check=False).returncode == 125


@pytest.mark.parametrize("text, words", [
	("trust_domain: evil.example\n", ["conf.d/more.yaml:1", "trust_domain"]),
	("launchers:\n  users: [games]\n", ["conf.d/more.yaml:1", "launchers"]),
	("agents:\n  - name: first\n", ["conf.d/more.yaml:2", "first"]),
], ids=["setting", "role", "twice"])
def test_conf_d_adds_nothing_else(new_daemon, text, words):
	daemon = new_daemon("agents:\n  - name: first\n", start=False)
	more = daemon.directory / "conf.d"
	more.mkdir()
	(more / "more.yaml").write_text(text)
	done = subprocess.run([*daemon.command(), "--check-config"], capture_output=True, text=True,
			      stdin=subprocess.DEVNULL, check=False, env=daemons.environment())
	assert done.returncode != 0
	said = done.stdout + done.stderr
	assert all(word in said for word in words), said
