# SPDX-License-Identifier: Apache-2.0
"""Events that found no room in the ring take nobody out of a session: the kernel knows who is in it."""

import json
import os
import signal
import subprocess
import uuid

import pytest
from harness import daemon as daemons
from harness import wait
from harness.records import kind, pb

NOBODY = 61000 + os.getpid() % 4000

# Fills the ring with the forks of others, and then forks who stays.
SHED = """
import os, socket, sys, time
flag, port = sys.argv[1], int(sys.argv[2])
print('here', flush=True)
sys.stdin.readline()
for i in range(600):
	pid = os.fork()
	if not pid:
		os._exit(0)
	os.waitpid(pid, 0)
pid = os.fork()
if pid:
	print(pid, flush=True)
	sys.stdin.readline()
	os._exit(0)
os.setsid()
for fd in (0, 1, 2):
	os.close(fd)
while not os.path.exists(flag):
	time.sleep(0.1)
s = socket.socket()
try:
	s.connect(('127.0.0.1', port))
except OSError:
	pass
"""

CONNECT = """
import socket, sys
print('here', flush=True)
sys.stdin.readline()
s = socket.socket()
try:
	s.connect(('127.0.0.1', int(sys.argv[1])))
except OSError:
	pass
"""


def _shed(daemon, flag, port):
	"""An agent with a child that no event told of: the agent's first process waits for a line."""
	run = daemon.launch("/usr/bin/python3", "-c", SHED, str(flag), str(port), stdin=subprocess.PIPE)
	assert run.line() == "here"
	run.wait_exec("/usr/bin/python3")
	daemon.suspend()
	_say(run)
	child = int(run.line())
	return run, child


def _say(run):
	run.process.stdin.write("\n")
	run.process.stdin.flush()


def _connects(daemon, port):
	return [r for r in daemon.records("--type", "connect") if r.connect.reached.port == port]


def _told_of(daemon, run):
	"""What of the run's session was told, by kind."""
	return [kind(r) for r in daemon.records() if r.task.id == run.task]


@pytest.mark.parametrize("how", ["alive", "killed", "stopped"])
def test_a_child_whose_fork_was_lost_is_of_its_session(new_daemon, place, how):
	"""The last process that is known is gone: the session goes on, also over the daemon's own end."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	flag = place / "flag"
	run, _ = _shed(daemon, flag, 4323)
	_say(run)
	run.process.wait(30)
	daemon.resume()
	wait.until("a loss", lambda: daemon.records().of("lost"))
	if how == "killed":
		daemon.kill()
		daemon.start()
	elif how == "stopped":
		daemon.stop()
		daemon.start()
	assert "session_ended" not in _told_of(daemon, run)
	flag.write_text("")
	found = wait.until("its connect", lambda: _connects(daemon, 4323))
	assert [(r.agent.name, r.task.id) for r in found] == [("tester", run.task)]
	wait.until("the session's end", lambda: "session_ended" in _told_of(daemon, run))
	assert _told_of(daemon, run).count("session_started") == 1
	assert _told_of(daemon, run).count("session_ended") == 1
	ended = [r for r in daemon.records().of("session_ended") if r.task.id == run.task]
	assert ended[0].session_ended.reason == pb.END_LAST_EXIT
	assert not [r for r in daemon.records() if r.agent.name == "unknown"]


def test_who_does_nothing_is_found(new_daemon, place):
	"""It is entered by what the kernel knows, and `affiant sessions` counts it."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	run, child = _shed(daemon, place / "flag", 4324)
	_say(run)
	run.process.wait(30)
	daemon.resume()
	try:
		wait.until("the process", lambda: json.loads(daemon.affiant("status", "-o", "json").stdout)["processes"] == 1)
		assert "session_ended" not in _told_of(daemon, run)
	finally:
		os.kill(child, signal.SIGKILL)
	wait.until("the session's end", lambda: "session_ended" in _told_of(daemon, run))


def test_an_end_kills_whoever_has_the_tag(new_daemon, place):
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	run, child = _shed(daemon, place / "flag", 4325)
	daemon.resume()
	session = wait.until("a record", lambda: [r for r in daemon.records() if r.task.id == run.task])[0]
	pidfd = os.pidfd_open(child)
	try:
		daemon.affiant("session", "end", str(uuid.UUID(bytes=bytes(session.session.id))), "--kill")
		run.process.wait(20)
		wait.until("the child's end", lambda: _is_over(pidfd))
	finally:
		if not _is_over(pidfd):
			signal.pidfd_send_signal(pidfd, signal.SIGKILL)
		os.close(pidfd)


def _is_over(pidfd):
	try:
		signal.pidfd_send_signal(pidfd, 0)
	except ProcessLookupError:
		return True
	return False


def test_who_was_selected_keeps_the_agents_name(new_daemon):
	"""The exec that a selector matched found no room."""
	daemon = new_daemon(
		config="ring_bytes: 16KiB\nagents:\n  - name: tester\n  - name: coder\n"
		f"    selectors:\n      - user: {NOBODY}\n"
	)
	run = daemon.launch(
		"/bin/sh", "-c", "read a; i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done", stdin=subprocess.PIPE
	)
	run.wait_exec("/bin/sh")
	daemon.suspend()
	_say(run)
	run.process.wait(30)
	agent = subprocess.Popen(
		["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
		+ ["/usr/bin/python3", "-c", CONNECT, "4326"],
		stdin=subprocess.PIPE,
		stdout=subprocess.PIPE,
		text=True,
		env=daemons.environment(),
	)
	assert agent.stdout.readline() == "here\n"
	daemon.resume()
	wait.until("a loss", lambda: daemon.records().of("lost"))
	agent.communicate("\n", timeout=20)
	found = wait.until("its connect", lambda: _connects(daemon, 4326))
	assert [r.agent.name for r in found] == ["coder"]
	started = [r for r in daemon.records().of("session_started") if r.agent.name == "coder"]
	assert [r.session_started.origin for r in started] == [pb.ORIGIN_SELECTOR]
	assert started[0].session_started.late
