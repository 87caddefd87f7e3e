# SPDX-License-Identifier: Apache-2.0
"""What an agent has many of makes no turn of the daemon's loop longer, and all that is to be told is told."""

import os
import re
import signal
import subprocess
import time

import pytest

from harness import daemon as daemons
from harness import raw, wait
from harness.load import status

NOBODY = 65534
HEADER = daemons.TOP / "userspace" / "daemon" / "turn.h"
SESSIONS = 80
OF_A_USER = 64	# threads: collect/aside.h ASIDE_USER_MAX
LOOKS = 7	# seconds: a look at what events did not tell
QUIET = "agents:\n  - name: tester\n  - name: quiet\n"
SELECTED = QUIET + "  - name: chosen\n    selectors:\n      - exe: {program}\n"


def few(count):
	"""Of two sizes the smaller one, which shows that more of it is not more work: for --long."""
	return pytest.param(count, marks=pytest.mark.long)


def bounds():
	"""TURN_FILES_MAX and its like, by the names that the status has for them."""
	found = dict(re.findall(r"#define\s+(TURN_\w+_MAX)\s+\(?([^)\n]+)\)?", HEADER.read_text()))

	def value(text):
		number, _, shift = text.replace("u", "").partition("<<")
		return int(number) << int(shift or 0)

	return {what: value(found[f"TURN_{what.upper()}_MAX"]) for what in ("files", "bytes", "entries")}


def settle(daemon):
	"""Whatever looks at all there is has done so; others are served meanwhile."""
	end = time.monotonic() + LOOKS
	while time.monotonic() < end:
		assert daemon.affiant("sessions", "-o", "json").returncode == 0
		assert daemon.run("/bin/true", agent="quiet").returncode == 0
		time.sleep(1)


def check(daemon):
	turns = status(daemon)["turns"]
	print(turns)
	beyond = {what: turns[what] for what, most in bounds().items() if turns[what] > most}
	assert not beyond and not turns["beyond"], f"{turns} {bounds()}"
	now = status(daemon)
	assert not now["lost"], f"{now['lost']} {now['limits']} {daemon.log()}"
	return turns


def crowd(daemon, programs, what, count, **more):
	run = daemon.launch(programs["many"], what, count, stdin=subprocess.PIPE, **more)
	assert run.line() == "ready", run.wait().stderr
	return run


@pytest.mark.parametrize("count", [few(300), 1200])
def test_processes(new_daemon, programs, count):
	daemon = new_daemon(config=QUIET)
	run = crowd(daemon, programs, "processes", count)
	settle(daemon)
	assert status(daemon)["tags"] > count
	# All of them end at once.
	run.wait()
	settle(daemon)
	records = run.records()
	assert records.of("session_ended").only().session_ended.processes == count + 1
	assert len(records.of("exit")) == count + 1
	check(daemon)


@pytest.mark.parametrize("count", [few(1000), 4000])
def test_threads(new_daemon, programs, count):
	daemon = new_daemon(config=QUIET)
	run = crowd(daemon, programs, "threads", count, user=(NOBODY, NOBODY))
	settle(daemon)
	assert daemon.affiant("match", run.process.pid).returncode == 0
	run.wait()
	check(daemon)


@pytest.mark.parametrize("count", [few(10000), 40000])
def test_maps(new_daemon, programs, count):
	daemon = new_daemon(config=QUIET)
	run = crowd(daemon, programs, "maps", count, user=(NOBODY, NOBODY))
	settle(daemon)
	assert daemon.affiant("match", run.process.pid).returncode == 0
	run.wait()
	check(daemon)


@pytest.mark.parametrize("count", [few(2000), 8000])
def test_sockets(new_daemon, programs, netns, count):
	daemon = new_daemon(config=QUIET)
	run = crowd(daemon, programs, "sockets", count, netns=netns)
	settle(daemon)
	run.wait()
	settle(daemon)
	assert len(run.records().of("connect")) == count
	check(daemon)


@pytest.mark.parametrize("count", [few(2000), 8000])
def test_sockets_that_a_session_begins_with(new_daemon, programs, netns, count):
	daemon = new_daemon(config=QUIET)
	run = daemon.run("/bin/true", netns=netns, before=(programs["many"], "sockets", count))
	started = run.records().of("session_started").only().session_started
	assert len(started.open_connections) == 256 and started.open_connections_cut
	check(daemon)


@pytest.mark.parametrize("count", [few(2000), 8000])
@pytest.mark.parametrize("stranger", [False, True])
def test_what_is_executed_in_vain(new_daemon, programs, stranger, count):
	"""fanotify tells of all of it at once, and each event is an open file."""
	daemon = new_daemon(config=QUIET)
	run = crowd(daemon, programs, "executables", 1 if stranger else count)
	trying = subprocess.Popen([programs["many"], "executables", str(count)], stdin=subprocess.PIPE,
				  stdout=subprocess.PIPE, text=True) if stranger else run.process
	if stranger:
		assert trying.stdout.readline() == "ready\n"
	before = status(daemon)["turns"]["files"]
	os.kill(daemon.process.pid, signal.SIGSTOP)
	try:
		trying.stdin.close()
		trying.stdin = None
		trying.wait(wait.DEADLINE)
	finally:
		os.kill(daemon.process.pid, signal.SIGCONT)
	settle(daemon)
	run.wait()
	turns = check(daemon)
	# They were there: a turn had its fill of them.
	assert turns["files"] > before


@pytest.mark.parametrize("count", [few(1000), 4000])
def test_cgroups(new_daemon, cgroup, count):
	daemon = new_daemon(config=QUIET + "  - name: grouped\n    selectors:\n      - cgroup: /nowhere/**/at-all\n")
	made = [cgroup.path / f"c{i}" for i in range(count)]
	try:
		for path in made:
			path.mkdir()
		settle(daemon)
	finally:
		for path in made:
			if path.exists():
				path.rmdir()
	settle(daemon)
	check(daemon)


@pytest.mark.parametrize("count", [few(500), 2000])
def test_sessions(new_daemon, place, count):
	program = place / "selected"
	program.write_bytes(open("/bin/sleep", "rb").read())
	program.chmod(0o755)
	daemon = new_daemon(config=SELECTED.format(program=program) + f"limits: {{sessions: {2 * count}}}\n")
	script = f'i=0; while [ $i -lt {count} ]; do "$0" 1000 & i=$((i+1)); done; echo ready; read x; kill $(jobs -p); wait'
	with subprocess.Popen(["/bin/bash", "-c", script, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
			      text=True) as shell:
		assert shell.stdout.readline() == "ready\n"
		wait.until("all sessions", lambda: status(daemon)["sessions"] == count, deadline=60)
		settle(daemon)
		# All of them end at once.
		shell.stdin.write("\n")
		shell.stdin.flush()
	wait.until("all ends", lambda: status(daemon)["sessions"] == 0, deadline=60)
	settle(daemon)
	assert len([one for one in daemon.records().of("session_ended") if one.agent.name == "chosen"]) == count
	check(daemon)


def test_who_is_looked_at_and_does_not_answer(new_daemon, programs):
	"""An exec that waits for a file system of its own: whoever reads of it in /proc waits, too."""
	daemon = new_daemon(config=QUIET)
	hanging = daemon.launch(programs["exec_hang"], "/bin/true", stdin=subprocess.PIPE)
	assert hanging.line() == "hangs", hanging.wait().stderr
	children = (f"/proc/{hanging.process.pid}/task/{hanging.process.pid}/children")
	pids = [hanging.process.pid, *map(int, open(children).read().split())]
	asked = [subprocess.Popen([daemons.AFFIANT, "match", "--socket", daemon.socket, str(pid)], text=True,
				  stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for pid in pids for _ in range(3)]
	settle(daemon)
	for one in asked:
		one.communicate(timeout=wait.DEADLINE)
	assert status(daemon)["turns"]["wall_us"] < 3000000
	hanging.wait()
	check(daemon)


def test_a_stranger_who_does_not_answer(new_daemon, programs):
	"""The same by somebody of no session, whose exec fanotify tells of all the same."""
	daemon = new_daemon(config=QUIET)
	living = crowd(daemon, programs, "threads", 1)
	words = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
	hanging = [subprocess.Popen([*words, programs["exec_hang"], "/bin/true"], stdin=subprocess.PIPE, text=True,
				    stdout=subprocess.PIPE) for _ in range(4)]
	for one in hanging:
		assert one.stdout.readline() == "hangs\n"
	settle(daemon)
	assert status(daemon)["turns"]["wall_us"] < 3000000
	for one in hanging:
		one.communicate()
	living.wait()
	check(daemon)


def seconds_of(daemon):
	"""How long a session takes to begin and end."""
	began = time.monotonic()
	started = daemon.run("/bin/true", agent="quiet").records().of("session_started").only().session_started
	assert not started.open_connections_cut
	return time.monotonic() - began


def test_strangers_that_hang_are_not_waited_for_by_root(new_daemon, programs):
	"""Nor by anybody else who opens a session: each has threads of its own."""
	daemon = new_daemon(config=QUIET)
	living = crowd(daemon, programs, "threads", 1)
	words = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
	hanging = [subprocess.Popen([*words, programs["exec_hang"], "/bin/true"], stdin=subprocess.PIPE, text=True,
				    stdout=subprocess.PIPE) for _ in range(4)]
	for one in hanging:
		assert one.stdout.readline() == "hangs\n"
	time.sleep(1)
	assert min(seconds_of(daemon) for _ in range(3)) < 1
	for one in hanging:
		one.communicate()
	living.wait()
	check(daemon)


def test_many_that_hang_take_no_threads_of_others(new_daemon, programs):
	"""Of more users, or sessions, than there are threads: others' sessions begin as ever."""
	daemon = new_daemon(config=QUIET + "readers: { groups: [games] }\n")
	hanging = daemon.launch(programs["exec_hang"], "/bin/true", stdin=subprocess.PIPE)
	assert hanging.line() == "hangs", hanging.wait().stderr
	first = hanging.process.pid
	child = open(f"/proc/{first}/task/{first}/children").read().split()[-1]
	asked = []
	for uid in range(60000, 60020):
		words = ["/usr/bin/setpriv", f"--reuid={uid}", "--regid=games", "--clear-groups"]
		asked += [subprocess.Popen([*words, daemons.AFFIANT, "match", "--socket", daemon.socket, child], text=True,
					   stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
	said = [one.communicate(timeout=wait.DEADLINE)[0] for one in asked]
	assert all("lets nobody look at it" in text for text in said), said
	assert min(seconds_of(daemon) for _ in range(3)) < 1
	daemon.stop(deadline=10)
	hanging.wait()


def threads_of(daemon):
	return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


def test_sessions_of_one_user_take_a_quarter_of_the_threads(new_daemon, programs):
	"""However many of them have processes that hang."""
	daemon = new_daemon(config=SELECTED.format(program=programs["execs_hang"]))
	seconds_of(daemon)
	before = threads_of(daemon)
	words = ["/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
	daemon.process.send_signal(signal.SIGSTOP)	# it looks when all of them hang
	hanging = [subprocess.Popen([*words, programs["execs_hang"], "2"], stdin=subprocess.PIPE, text=True,
				    stdout=subprocess.PIPE) for _ in range(SESSIONS)]
	said = [one.stdout.readline() for one in hanging]
	daemon.process.send_signal(signal.SIGCONT)
	assert said == ["hang\n"] * SESSIONS
	wait.until("their sessions", lambda: status(daemon)["sessions"] == SESSIONS)
	time.sleep(2)
	assert OF_A_USER / 2 < threads_of(daemon) - before < OF_A_USER + 8
	assert min(seconds_of(daemon) for _ in range(3)) < 1
	daemon.stop(deadline=10)
	for one in hanging:
		one.communicate()


STATUS = """
import socket, sys
from affiant.v1 import api_pb2 as api

listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
for beyond in (0, 3):
	s = listening.accept()[0]
	s.send(api.Hello(version="1", challenge=bytes(32), max_message=65536).SerializeToString())
	assert api.Request.FromString(s.recv(65536)).HasField("get_status")
	turns = api.Turns(files=2088, bytes=230569, entries=133, cpu_us=25419, wall_us=1167595, beyond=beyond)
	s.send(api.Response(challenge=bytes(32), status=api.Status(version="1", turns=turns)).SerializeToString())
	s.recv(1)
"""


def test_a_line_for_a_person(place):
	"""Of turns that went beyond their bounds, and of no others."""
	command = ["/usr/bin/python3", "-B", "-c", STATUS, place / "socket"]
	with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": raw.api()}) as server:
		assert server.stdout.readline() == "ready\n"
		lines = []
		for _ in range(2):
			said = subprocess.run([daemons.AFFIANT, "status", "--socket", place / "socket"], capture_output=True, text=True,
					      timeout=wait.DEADLINE, check=False)
			assert said.returncode == 0, said.stderr
			lines.append([line for line in said.stdout.splitlines() if line.startswith("turns ")])
	assert lines == [[], [f"{'turns':12} 3 turns of the daemon's loop did more than they may: at most 2088 files, 230569 bytes, "
			      "133 entries, 25.4 ms of CPU time"]]
