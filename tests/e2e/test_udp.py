# SPDX-License-Identifier: Apache-2.0
"""Datagrams: every destination is named once, by whoever sent there, whatever the agent does to hide one."""

import re
import socket
import subprocess

import pytest

from harness import wait
from harness.cgroups import inside
from harness.records import address, outcome

MINUTE = 1024		# new destinations of a socket that are told in a minute
SHARE = 65536 // 4	# of a session's sockets that are open
CLOSED = 9		# nobody listens there


def flows(records):
	"""(address, port) of every record of a datagram, in order."""
	return [(address(r.connect.reached), r.connect.reached.port) for r in records.final()]


def outcomes(records):
	return [(r.connect.reached.port, outcome(r.connect)) for r in records.final()]


def excess(records):
	return sum(r.close.excess_datagrams for r in records.of("close"))


def steps(daemon, programs, lab, *words, until=None, **more):
	run = daemon.run(programs["udp_steps"], *words, netns=lab.agent, **more)
	return run.records(until=until)


def closed(records):
	return records.of("close")


# ---- bounds ----

def test_two_thousand_destinations(daemon, programs, lab):
	"""From one socket, within a minute: those past the bound are counted, and nothing else is missing."""
	run = daemon.run(programs["udp_many"], lab.host4, 20000, 2000, 1, netns=lab.agent)
	records = run.records(until=closed)
	assert [port for _, port in flows(records)] == list(range(20000, 20000 + 1 + MINUTE))
	assert excess(records) == 2000 - 1 - MINUTE


def test_the_bound_is_configured(new_daemon, programs, lab):
	daemon = new_daemon("limits: {udp_flows: 3}\n")
	records = daemon.run(programs["udp_many"], lab.host4, 20000, 10, 1, netns=lab.agent).records(until=closed)
	assert (len(flows(records)), excess(records)) == (4, 6)


def test_each_socket_has_its_own_minute(daemon, programs, lab):
	run = daemon.run(programs["udp_many"], lab.host4, 20000, 40, 20, netns=lab.agent)
	records = run.records(until=lambda r: len(r.of("close")) == 20)
	assert len(flows(records)) == 40 * 20
	assert excess(records) == 0


def test_a_session_uses_up_its_share_alone(daemon, programs, lab):
	"""One holds all that it may; another one beside it lacks nothing, and has all of it when the first is gone."""
	sockets, count = 17, 1 + MINUTE
	first = daemon.launch(programs["udp_many"], lab.hole, 20000, count, sockets, netns=lab.agent,
			      stdin=subprocess.PIPE)
	assert first.line() == "sent"
	beside = daemon.run(programs["udp_many"], lab.host4, 30000, 300, 2, netns=lab.agent)
	assert len(flows(beside.records(until=lambda r: len(r.of("close")) == 2))) == 600
	first.wait()
	records = first.records(until=lambda r: len(r.of("close")) == sockets)
	assert len(flows(records)) == sockets + SHARE
	assert len(flows(records)) + excess(records) == sockets * count
	# What it held went with its sockets.
	again = daemon.run(programs["udp_many"], lab.hole, 20000, count, sockets - 1, netns=lab.agent)
	records = again.records(until=lambda r: len(r.of("close")) == sockets - 1)
	assert (len(flows(records)), excess(records)) == ((sockets - 1) * count, 0)


def test_no_option_memory(daemon, programs, lab):
	"""Nothing of what was told is kept in memory that the agent can fill."""
	run = daemon.run(programs["udp_many"], lab.host4, 20000, 40, 2, "full", netns=lab.agent)
	records = run.records(until=lambda r: len(r.of("close")) == 2)
	assert len(flows(records)) == 80
	assert not [r for r in records.connects if r.connect.outcome_untracked]


# ---- whose flow ----

def test_a_child_that_sends_is_told(daemon, programs, lab):
	"""The same socket, the same destination, another process."""
	records = steps(daemon, programs, lab, "4", "sendto", lab.host4, CLOSED, "sendto", lab.host4, CLOSED, "fork",
			"sendto", lab.host4, CLOSED, "sendto", lab.host4, CLOSED, "fork", "sendto", lab.host4, CLOSED)
	found = records.connects
	assert len(found) == 3
	assert len({r.process.id.tgid for r in found}) == 3
	assert len({r.connect.connection.cookie for r in found}) == 1
	assert not found[0].connect.HasField("opener")
	for record in found[1:]:
		assert record.connect.opener.process == found[0].process.id


def test_the_next_image_is_told(daemon, programs, lab):
	"""The same process, another program: what that one does is not its predecessor's."""
	again = ["sendto", lab.host4, CLOSED] * 2
	records = steps(daemon, programs, lab, "4", "sendto", lab.host4, 7, *again, "exec", *again, "exec", "sendto", lab.host4, 7)
	assert [port for _, port in flows(records)] == [7, CLOSED, CLOSED, 7]
	execs = [r.process.id.exec_seq for r in records.connects]
	assert execs[0] == execs[1] < execs[2] < execs[3]


def test_a_thread_is_no_other_process(daemon, programs, lab):
	records = steps(daemon, programs, lab, "4", "sendto", lab.host4, CLOSED, "other", "sendto", lab.host4, CLOSED)
	records.connects.only()


# ---- outcomes ----

@pytest.mark.parametrize("first", [True, False], ids=["first flow", "later flow"])
def test_denied_and_then_allowed(daemon, programs, lab, cgroup, first):
	"""Each is told, once."""
	before = [] if first else ["sendto", lab.host4, 5]
	run = daemon.launch(*inside(cgroup, programs["udp_steps"], "4", *before, "line", *["sendto", lab.host4, CLOSED] * 3, "line",
				    *["sendto", lab.host4, CLOSED] * 3), netns=lab.agent, stdin=subprocess.PIPE)
	if not first:
		assert run.line() == "sendto ok"
	subprocess.run([programs["deny_send"], "on", cgroup], check=True)
	run.process.stdin.write("go\n")
	run.process.stdin.flush()
	assert [run.line() for _ in range(3)] == ["sendto EPERM"] * 3
	subprocess.run([programs["deny_send"], "off", cgroup], check=True)
	run.process.stdin.write("go\n")
	run.process.stdin.flush()
	assert [run.line() for _ in range(3)] == ["sendto ok"] * 3
	run.wait()
	records = run.records(until=closed)
	assert outcomes(records) == [*[(5, "attempted")][:not first], (CLOSED, "denied"), (CLOSED, "attempted")]
	close = records.of("close").only().close
	allowed = [r.connect.connection for r in records.connects if outcome(r.connect) == "attempted"]
	assert close.connection == allowed[0]


def test_all_is_denied(daemon, programs, lab, cgroup):
	"""What was never let pass has no end, but for what was counted."""
	subprocess.run([programs["deny_send"], "on", cgroup], check=True)
	words = [word for port in range(1100) for word in ("sendto", lab.host4, 20000 + port)]
	run = daemon.run(*inside(cgroup, programs["udp_steps"], "4", *words), netns=lab.agent)
	records = run.records(until=closed)
	assert {outcome(r.connect) for r in records.connects} == {"denied"}
	assert len(records.connects) == 1 + MINUTE
	assert excess(records) == 1100 - 1 - MINUTE
	run = daemon.run(*inside(cgroup, programs["udp_steps"], "4", "sendto", lab.host4, 9), netns=lab.agent)
	assert [r.connect.reached.port for r in run.records().connects] == [9]
	assert not run.records_so_far().of("close")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_a_connect_that_failed(daemon, programs, lab, host):
	"""No route leads there. One record says so, unless the socket stayed open for so long that it could not wait."""
	run = daemon.run(programs["udp_steps"], "6" if ":" in host else "4", "connect", host, CLOSED, netns=lab.agent)
	assert run.stdout == "connect ENETUNREACH\n"
	records = run.records(until=closed)
	connect = records.final().only().connect
	assert (outcome(connect), connect.HasField("errno_")) == ("not_sent", False)
	assert [outcome(r.connect) for r in records.connects] in (["not_sent"], ["attempted", "not_sent"])


def test_a_connect_that_failed_and_the_next(daemon, programs, lab):
	"""As name look-ups do: one socket, an address after the other."""
	records = steps(daemon, programs, lab, "4", "connect", lab.nowhere, 1, "connect", lab.hole, 2, "disconnect", "connect",
			lab.nowhere, 3, "connect", lab.hole, 4, "send", until=closed)
	assert outcomes(records) == [(1, "not_sent"), (2, "attempted"), (3, "not_sent"), (4, "attempted")]


def test_a_failure_that_shows_late(daemon, programs, lab):
	records = steps(daemon, programs, lab, "4", "connect", lab.nowhere, CLOSED, "wait", 500, until=closed)
	assert [outcome(r.connect) for r in records.connects] == ["attempted", "not_sent"]
	assert len({r.connect.connection.number for r in records.connects}) == 1
	assert len({r.id for r in records.connects}) == 2


def test_a_failed_connect_hides_no_datagram(daemon, programs, lab):
	"""The destination of the connect that failed is sent to, by this thread and by another one."""
	lab.agent.run("ip", "rule", "add", "ipproto", "udp", "dport", "7777", "sport", "4000", "prohibit")
	try:
		for words in ([], ["other"]):
			records = steps(daemon, programs, lab, "4", "connect", lab.nowhere, 7777, *words, "sendto", lab.nowhere, 7777,
					"sendto", lab.host4, 7777, until=closed)
			assert (lab.nowhere, 7777) in flows(records) and (lab.host4, 7777) in flows(records)
			found = [(outcome(r.connect), r.connect.by_datagram) for r in records.final() if address(r.connect.reached) == lab.nowhere]
			assert sorted(found) == [("attempted", True), ("not_sent", False)]
	finally:
		lab.agent.run("ip", "rule", "del", "ipproto", "udp", "dport", "7777", "sport", "4000", "prohibit")


def test_connects_that_work_are_never_said_to_fail(daemon, programs, lab):
	words = [word for port in range(500) for word in ("connect", lab.host4, 20000 + port)]
	six = [word for port in range(500) for word in ("connect", lab.host6, 20000 + port)]
	for family, sequence in (("4", words), ("6", six)):
		records = steps(daemon, programs, lab, family, *sequence, until=closed)
		assert {outcome(r.connect) for r in records.connects} <= {"attempted", "refused"}
		assert len(records.final()) == 500


def test_connects_of_two_threads(daemon, programs, lab):
	"""The first one failed, as it seems, or is under way: said, as not sure."""
	records = steps(daemon, programs, lab, "4", "connect", lab.nowhere, 1, "other", "connect", lab.hole, 2, "send", until=closed)
	assert outcomes(records) == [(1, "not_sent"), (2, "attempted")]
	assert records.to(1)[-1].connect.outcome_unsure


LEFT_AND_SENT = """
import socket, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def fail():
	try:
		s.connect(("127.255.255.255", 7001))	# not without SO_BROADCAST
	except OSError:
		print("failed", flush=True)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
s.connect(("127.0.0.1", 7002))
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.sendto(b"x", ("127.255.255.255", 7001))
"""


def test_a_datagram_after_a_connect_that_was_left(daemon):
	"""That another thread's connect(2) failed is no word of what is sent there later."""
	run = daemon.run("/usr/bin/python3", "-c", LEFT_AND_SENT)
	assert run.stdout == "failed\n"
	records = run.records(until=closed).to(7001)
	assert [outcome(r.connect) for r in records if r.connect.by_datagram] == ["attempted"]
	assert outcome([r for r in records if not r.connect.by_datagram][-1].connect) == "not_sent"


# ---- addresses ----

@pytest.fixture(scope="module")
def link(lab):
	"""The peer's link-local address, as seen by the agent, and the device's number."""
	def link_local():
		text = lab.peer.run("ip", "-6", "-o", "addr", "show", "dev", "peer0", "scope", "link").stdout
		found = re.search(r"inet6 (fe80::[0-9a-f:]+)/\d+ (?!.*tentative)", text)
		return found and found[1]

	host = wait.until("the link has an address of its own", link_local)
	return host, int(lab.agent.run("ip", "-o", "link", "show", "peer0").stdout.split(":")[0])


def scopes(records):
	return [(address(r.connect.reached), r.connect.reached.scope_id) for r in records.final()]


def test_a_cut_address_has_no_scope(daemon, programs, lab, link):
	"""24 bytes: what lies behind them is the kernel's own, and none of the record's business."""
	host, index = link
	records = steps(daemon, programs, lab, "6", *["cut", host, CLOSED] * 5)
	found = [scope for scope in scopes(records) if scope[0] == host]
	assert found == [(host, 0)]
	# The device supplies it.
	records = steps(daemon, programs, lab, "6", "device", "peer0", *["cut", host, CLOSED] * 5, "sendto", f"{host}%peer0", CLOSED)
	assert [scope for scope in scopes(records) if scope[0] == host] == [(host, index)]


def test_multicast_is_of_a_link(daemon, programs, lab, link):
	"""ff02::1 of two links are two destinations; ff05::1 is one wherever it goes."""
	_, index = link
	records = steps(daemon, programs, lab, "6", "sendto", "ff02::1%peer0", CLOSED, "sendto", "ff02::1%lo", CLOSED,
			"sendto", "ff02::1%peer0", CLOSED, "sendto", "ff01::1%lo", CLOSED)
	assert scopes(records) == [("ff02::1", index), ("ff02::1", 1), ("ff01::1", 1)]
	records = steps(daemon, programs, lab, "6", "device", "lo", "sendto", "ff02::1", CLOSED, "sendto", "ff05::1", CLOSED)
	assert scopes(records) == [("ff02::1", 1), ("ff05::1", 0)]


ANY = [	# family, bound to, asked for, reached
	("4", None, "0.0.0.0", "127.0.0.1"),
	("4", "127.0.0.5", "0.0.0.0", "127.0.0.5"),
	("4", "10.99.0.1", "0.0.0.0", "10.99.0.1"),
	("6", None, "::", "::1"),
	("6", "fd99::1", "::", "::1"),
	("6", None, "::ffff:0.0.0.0", "127.0.0.1"),
	("6", "::ffff:127.0.0.5", "::ffff:0.0.0.0", "127.0.0.5"),
	("6", "::ffff:127.0.0.5", "::", "127.0.0.1"),
]


@pytest.mark.parametrize("how", ["connect", "sendto"])
@pytest.mark.parametrize("family, bound, asked, reached", ANY)
def test_nowhere_is_here(daemon, programs, lab, how, family, bound, asked, reached):
	"""The kernel goes to an address of its own where 0.0.0.0 or :: is asked for; here it says itself where."""
	with lab.agent.inside():
		server = socket.socket(socket.AF_INET if "." in reached else socket.AF_INET6, socket.SOCK_DGRAM)
	with server:
		server.bind((reached, 0))
		server.settimeout(wait.DEADLINE)
		port = server.getsockname()[1]
		bind = ["bind", bound] if bound else []
		send = ["send"] if how == "connect" else []
		run = daemon.run(programs["udp_steps"], family, *bind, how, asked, port, *send, netns=lab.agent)
		assert " ok" in run.stdout and " E" not in run.stdout
		assert server.recv(16) == b"hello"
	connect = run.records().connects.only().connect
	assert (address(connect.reached), connect.reached.port) == (reached, port)
	if how == "connect" or address(connect.asked) not in ("", reached):	# the kernel may have gone first
		assert address(connect.asked) == asked.removeprefix("::ffff:")
	found = daemon.records("--task", run.task, "--dst", reached)
	assert len(found.connects) == 1
	lines = daemon.affiant("events", "--task", run.task, "--type", "connect").stdout
	assert reached in lines


def test_nowhere_over_tcp(daemon, programs, lab):
	with lab.agent.serve("127.0.0.1") as server:
		run = daemon.run(programs["tcp"], "exchange", "0.0.0.0", server.port, netns=lab.agent)
	records = run.records(until=closed)
	connect = records.connects.only().connect
	assert (address(connect.reached), address(connect.asked), outcome(connect)) == ("127.0.0.1", "0.0.0.0", "established")
	assert address(records.of("close").only().close.remote) == "127.0.0.1"
