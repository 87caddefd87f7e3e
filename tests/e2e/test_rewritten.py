# SPDX-License-Identifier: Apache-2.0
"""Programs of others at cgroup2's root that come after ours, as a service proxy's that starts later: what they rewrite
and refuse.

They are there for all of the host. Those of programs/behind.c act on two addresses that nobody has.
"""

import contextlib
import json
import socket
import subprocess

import pytest

from harness import cgroups, wait
from harness.cgroups import inside
from harness.records import address, outcome, protocol

SERVICE, REFUSED = "198.51.100.97", "198.51.100.98"
BACKEND = "127.0.33.11"
NAME = "test_balancer"


@contextlib.contextmanager
def attached(programs, port):
	process = subprocess.Popen([programs["behind"], str(cgroups.root()), BACKEND, str(port)], stdin=subprocess.PIPE,
				   stdout=subprocess.PIPE, text=True)
	try:
		assert process.stdout.readline() == "attached\n"
		yield
	finally:
		process.communicate(timeout=wait.DEADLINE)


@pytest.fixture
def backend(netns):
	with netns.serve(BACKEND) as tcp, netns.serve(BACKEND, kind=socket.SOCK_DGRAM) as udp:
		netns.tcp, netns.udp = tcp.port, udp.port
		# The kernel looks for a way to where the datagram was asked to go, too.
		netns.route("default", "dev", "lo")
		yield netns


@pytest.fixture
def behind(daemon, programs, backend):
	"""Attached after the daemon: behind it."""
	with attached(programs, backend.tcp):
		yield backend


def place(endpoint):
	return address(endpoint), endpoint.port


def others(daemon, name=NAME):
	status = json.loads(daemon.affiant("status", "-o", "json").stdout)
	return sorted(b["hook"] for b in status["behind"] if b["name"] == name)


# ---- behind ours ----

def test_tcp_is_where_the_socket_went(daemon, programs, behind):
	run = daemon.run(programs["tcp"], "exchange", SERVICE, 443, netns=behind)
	records = run.records(until=lambda found: found.of("close"))
	connect = records.final().only().connect
	assert outcome(connect) == "established"
	assert place(connect.reached) == (BACKEND, behind.tcp)
	assert place(connect.asked) == (SERVICE, 443)
	assert not connect.reached_unsure and not connect.outcome_unsure
	close = records.one("close").close
	assert place(close.remote) == (BACKEND, behind.tcp)
	assert not close.remote_unsure
	for wanted in (BACKEND, SERVICE):
		found = daemon.records("--task", run.task, "--dst", wanted, "--type", "connect")
		assert [r.id for r in found] == [records.final().only().id], wanted
	line = daemon.affiant("events", "--task", run.task, "--type", "connect").stdout
	assert f"{SERVICE}:443->{BACKEND}:{behind.tcp}/tcp" in line


def test_tcp_refused_by_the_backend(daemon, programs, backend):
	"""A failure is the backend's, too."""
	with attached(programs, 9):
		run = daemon.run(programs["tcp"], "fails", SERVICE, 443, netns=backend)
	connect = run.records().final().only().connect
	assert outcome(connect) == "refused"
	assert place(connect.reached) == (BACKEND, 9)
	assert not connect.reached_unsure and not connect.outcome_unsure


def test_their_refusal_looks_like_nothing_sent(daemon, programs, behind):
	run = daemon.run(programs["tcp"], "fails", REFUSED, 443, netns=behind)
	assert "errno 1 " in run.stdout
	connect = run.records().final().only().connect
	assert outcome(connect) == "not_sent"
	assert connect.outcome_unsure and connect.reached_unsure
	assert place(connect.reached) == (REFUSED, 443)
	assert "not_sent?" in daemon.affiant("events", "--task", run.task, "--type", "connect").stdout


def test_udp_can_have_gone_elsewhere(daemon, programs, behind):
	run = daemon.run(programs["udp"], "sendto", SERVICE, 53, netns=behind)
	records = run.records(until=lambda found: found.of("close"))
	connect = records.final().only().connect
	assert (outcome(connect), protocol(connect)) == ("attempted", "udp")
	assert place(connect.reached) == (SERVICE, 53)
	assert connect.reached_unsure and connect.outcome_unsure
	assert records.one("close").close.remote_unsure
	assert f"{SERVICE}:53?/udp" in daemon.affiant("events", "--task", run.task, "--type", "connect").stdout
	[event] = daemon.events("--task", run.task, "--type", "connect")
	assert event["unmapped"]["connect"]["reached_unsure"] is True


def test_pending_is_not_sure_of_its_way(daemon, programs, lab):
	"""Sent into a hole: no outcome within a second, and the second record knows."""
	lab.agent.sysctl("net.ipv4.tcp_syn_retries", 1)		# gives up within seconds
	with attached(programs, 9):
		run = daemon.launch(programs["tcp"], "fails", lab.hole, 443, netns=lab.agent)
		found = run.wait_records("a pending record", lambda records: records.connects)
	pending = found.connects[0].connect
	assert outcome(pending) == "pending"
	assert pending.reached_unsure and not pending.outcome_unsure
	run.wait()
	last = run.records().final().only().connect
	assert last.completes_pending and not last.reached_unsure
	assert (outcome(last), address(last.reached)) == ("timed_out", lab.hole)


def test_status_names_them(daemon, programs, backend):
	"""Behind the sandbox of the release build, without the right to ask the kernel directly."""
	assert others(daemon) == []
	with attached(programs, backend.tcp):
		assert others(daemon) == ["connect4", "sendmsg4"]
		text = daemon.affiant("status").stdout
		assert "connect4: program" in text and f"({NAME}) runs after ours" in text
	assert others(daemon) == []


# ---- before ours ----

def test_before_ours_all_is_seen(new_daemon, programs, backend):
	with attached(programs, backend.tcp):
		daemon = new_daemon()
		assert others(daemon) == []
		run = daemon.run(programs["tcp"], "exchange", SERVICE, 443, netns=backend)
		assert place(run.records().final().only().connect.reached) == (BACKEND, backend.tcp)
		run = daemon.run(programs["tcp"], "fails", REFUSED, 443, netns=backend)
		assert outcome(run.records().final().only().connect) == "denied"
		run = daemon.run(programs["udp"], "sendto", SERVICE, 53, netns=backend)
		assert place(run.records().final().only().connect.reached) == (BACKEND, backend.tcp)


# ---- what stays of it ----

def test_a_crash_forgets_nothing(new_daemon, programs, backend):
	"""It stands in the events: a journal that is read again says the same."""
	daemon = new_daemon()
	with attached(programs, backend.tcp):
		run = daemon.launch(programs["tcp"], "hold", SERVICE, 443, netns=backend, stdin=subprocess.PIPE)
		assert run.line() == "connected"
		other = daemon.run(programs["udp"], "sendto", SERVICE, 53, netns=backend)
		other.records(until=lambda found: found.of("close"))
		daemon.kill()
	daemon.start()
	run.wait()
	records = run.records(until=lambda found: found.of("close"))
	assert place(records.final().only().connect.reached) == (BACKEND, backend.tcp)
	assert place(records.one("close").close.remote) == (BACKEND, backend.tcp)
	told = other.records()
	assert told.connects.only().connect.reached_unsure
	assert told.one("close").close.remote_unsure


# ---- sockets ----

def test_refused_at_socket(daemon, programs, cgroup):
	"""By a program of a cgroup below, which runs before ours."""
	subprocess.run([programs["cgroup_program"], "nosocket", cgroup], check=True)
	if "denied" not in json.loads(daemon.affiant("status", "-o", "json").stdout)["features"]:
		pytest.skip("this kernel does not tell of refusals (bpf_get_retval())")
	run = daemon.run(*inside(cgroup, programs["tcp"], "fails", "127.0.0.1", 9), check=False)
	assert run.returncode == 1 and "socket" in run.stderr
	record = run.records(until=lambda found: found.of("untracked_socket")).one("untracked_socket")
	assert record.process.executable.path.decode() == programs["tcp"]
	assert record.untracked_socket.denied
	assert protocol(record.untracked_socket) == "tcp"
	[event] = daemon.events("--task", run.task, "--type", "untracked_socket")
	assert event["status"] == "Failure"
	assert "denied tcp" in daemon.affiant("events", "--task", run.task, "--type", "untracked_socket").stdout
