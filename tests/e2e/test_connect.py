# SPDX-License-Identifier: Apache-2.0
"""What a record says of a connection, and the table of outcomes."""

import collections
import contextlib
import os
import re
import signal
import socket
import struct
import subprocess

import pytest

from harness import programs as builds
from harness import wait
from harness.cgroups import inside
from harness.records import address, outcome, protocol, sha256, stated_digest

HELLO = 5	# bytes that the programs send


def reset(connection):
	"""Reads what came, then resets the connection."""
	connection.recv(64)
	connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	connection.close()


def hang_up(connection):
	connection.close()


@pytest.fixture(scope="module")
def peer(lab):
	"""Servers of the peer, by name; closed() is a port where nobody listens."""
	lab.agent.sysctl("net.ipv4.tcp_syn_retries", 2)		# gives up within seconds
	for namespace in (lab.agent, lab.peer):
		namespace.sysctl("net.ipv4.tcp_fastopen", 3)
	with contextlib.ExitStack() as stack:
		def serve(*arguments, **more):
			return stack.enter_context(lab.peer.serve(*arguments, **more)).port

		yield collections.namedtuple("Peer", "echo echo2 echo6 resets hangs_up udp udp2 udp6")(
			echo=serve("0.0.0.0", fastopen=16), echo2=serve("0.0.0.0"), echo6=serve("::"),
			resets=serve("0.0.0.0", handle=reset), hangs_up=serve("0.0.0.0", handle=hang_up),
			udp=serve("0.0.0.0", kind=socket.SOCK_DGRAM), udp2=serve("0.0.0.0", kind=socket.SOCK_DGRAM),
			udp6=serve("::", kind=socket.SOCK_DGRAM))


CLOSED = 9	# discard: nobody listens there


def closes_of(records, connect):
	number = connect.connect.connection.number
	return records.of("close").where(lambda r: r.close.connection.number == number)


def assert_actor(record, program):
	"""Who connected: the program, with its digest, not whom a softirq interrupted."""
	assert record.process.executable.path.decode() == program
	assert stated_digest(record.process.executable.digest) == sha256(program)


# ---- the table of outcomes ----

Case = collections.namedtuple("Case", "program how host port outcome errno end")

# end: how the Close record, if any, ends: clean, reset, any; None: there is none. errno: None: not to be known.
CASES = {
	"client closes": Case("tcp", "exchange", "host4", "echo", "established", 0, "clean"),
	"peer closes": Case("tcp", "peer", "host4", "hangs_up", "established", 0, "clean"),
	"reset by the peer": Case("tcp", "unread", "host4", "resets", "established", 0, "reset"),
	"linger 0": Case("tcp", "linger0", "host4", "echo", "established", 0, "reset"),
	"unread data": Case("tcp", "unread", "host4", "echo", "established", 0, "reset"),
	"IPv6": Case("tcp", "exchange", "host6", "echo6", "established", 0, "clean"),
	"refused": Case("tcp", "fails", "host4", "closed", "refused", 111, None),
	"IPv6 refused": Case("tcp", "fails", "host6", "closed", "refused", 111, None),
	"timed out": Case("tcp", "fails", "hole", "closed", "timed_out", 110, None),
	"host unreachable": Case("tcp", "fails", "unreachable", "closed", "unreachable", 113, None),
	"prohibited": Case("tcp", "fails", "prohibited", "closed", "unreachable", 113, None),
	"no route": Case("tcp", "fails", "nowhere", "closed", "not_sent", None, None),
	"SO_SNDTIMEO": Case("tcp", "timeout", "hole", "closed", "aborted", None, None),
	"closed while connecting": Case("tcp_nonblocking", "close", "hole", "closed", "aborted", None, None),
	"ended while connecting": Case("tcp_nonblocking", "exit", "hole", "closed", "aborted", None, None),
	"closed after an ICMP": Case("tcp_nonblocking", "icmp", "unreachable", "closed", "aborted", None, None),
	"broadcast": Case("tcp", "fails", "broadcast", "closed", "not_sent", None, None),
	"non-blocking": Case("tcp_nonblocking", "finish", "host4", "echo", "established", 0, "clean"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_outcome(daemon, programs, lab, peer, case):
	host = getattr(lab, case.host)
	port = CLOSED if case.port == "closed" else getattr(peer, case.port)
	run = daemon.run(programs[case.program], case.how, host, port, netns=lab.agent)
	wanted = case.end is not None

	def done(found):
		return bool(found.of("close")) or not wanted

	records = run.records(until=done)
	record = records.to(port)[-1] if case.how == "icmp" else records.to(port).only()
	connect = record.connect
	assert outcome(connect) == case.outcome
	assert (connect.errno_ if connect.HasField("errno_") else None) in ({None, 0} if not case.errno else {case.errno})
	assert address(connect.reached) == host
	assert protocol(connect) == "tcp"
	assert connect.connection.cookie and connect.connection.number
	assert not connect.outcome_untracked and not connect.foreign and not connect.HasField("opener")
	assert_actor(record, programs[case.program])
	if case.outcome == "established":
		assert connect.latency_ns > 0
		assert connect.local.port and address(connect.local) in ("10.99.0.1", "fd99::1")
	if not wanted:
		assert not records.of("close")
		return
	close = closes_of(records, record).only().close
	assert close.reset == (case.end == "reset")
	assert close.duration_ns >= connect.latency_ns
	assert (close.remote.port, close.local.port) == (port, connect.local.port)


@pytest.mark.parametrize("where", ["absent", "unreachable6", "prohibited6"])
def test_errno_is_what_the_program_saw(daemon, programs, lab, peer, where):
	"""Nobody answers ARP: no route to the host, or a timeout, whichever the kernel finds first. ICMPv6 has errors of
	its own."""
	run = daemon.run(programs["tcp"], "fails", getattr(lab, where), CLOSED, netns=lab.agent)
	seen = int(re.search(r"errno (\d+)", run.stdout)[1])
	connect = run.records().to(CLOSED).only().connect
	assert connect.errno_ == seen
	assert seen in ((110, 113) if where == "absent" else (101, 113) if where == "unreachable6" else (13, 113))
	assert outcome(connect) == ("timed_out" if seen == 110 else "unreachable")


@pytest.mark.parametrize("how", ["refused", "deferred"])
def test_an_error_that_nobody_read(daemon, programs, lab, peer, how):
	"""A socket keeps its error until the program asks for it, or a SYN leaves: it is of its own attempt alone."""
	if how == "deferred":	# with the peer's cookie no SYN leaves at connect(2)
		daemon.run(programs["tcp_fastopen"], "connect", lab.host4, peer.echo, netns=lab.agent)
	second = CLOSED + 1 if how == "refused" else peer.echo
	found = daemon.run(programs["disconnect"], how, lab.host4, CLOSED, second, netns=lab.agent).records().final()
	assert [outcome(r.connect) for r in found] == ["refused", "refused" if how == "refused" else "aborted"]


@pytest.mark.parametrize("how", ["exchange", "linger0"])
def test_bytes(daemon, programs, lab, peer, how):
	run = daemon.run(programs["tcp"], how, lab.host4, peer.echo, netns=lab.agent)
	close = run.records(until=lambda r: r.of("close")).of("close").only().close
	assert (close.bytes_sent, close.bytes_received) == (HELLO, HELLO)


def test_killed_while_connecting(daemon, programs, lab):
	run = daemon.launch(programs["tcp"], "hold", lab.hole, CLOSED, netns=lab.agent)
	run.wait_records("the attempt", lambda found: found.connects)
	os.kill(run.pid, signal.SIGKILL)
	run.wait()
	record = run.records().to(CLOSED).only()
	assert outcome(record.connect) == "aborted"
	assert_actor(record, programs["tcp"])


def test_killed_while_connected(daemon, programs, lab, peer):
	run = daemon.launch(programs["tcp"], "hold", lab.host4, peer.echo, netns=lab.agent, stdin=subprocess.PIPE)
	assert run.line() == "connected"
	os.kill(run.pid, signal.SIGKILL)
	run.wait()
	records = run.records(until=lambda r: r.of("close"))
	assert outcome(records.to(peer.echo).only().connect) == "established"
	close = records.of("close").only()
	assert close.process.id == records.connects.only().process.id


def test_pending_then_completed(daemon, programs, lab):
	run = daemon.launch(programs["tcp_nonblocking"], "wait", lab.hole, CLOSED, netns=lab.agent, stdin=subprocess.PIPE)
	assert run.line() == "connecting"
	first = run.wait_records("a pending connection", lambda found: found.connects).connects.only()
	assert outcome(first.connect) == "pending"
	assert not first.connect.completes_pending
	run.wait()
	both = run.records().connects
	assert [outcome(r.connect) for r in both] == ["pending", "aborted"]
	assert both[1].connect.completes_pending
	assert both[0].connect.connection == both[1].connect.connection
	assert both[0].id != both[1].id


def test_ends_before_the_answer(daemon, programs, lab):
	"""The process is gone before anything came back; the record still has its owner."""
	run = daemon.run(programs["tcp_nonblocking"], "exit", lab.hole, CLOSED, netns=lab.agent)
	record = run.records().to(CLOSED).only()
	assert record.process.id.tgid == run.pid
	assert_actor(record, programs["tcp_nonblocking"])


# ---- ways that avoid connect(2) ----

@pytest.mark.parametrize("how", ["inline", "async", "sqpoll"])
def test_io_uring(daemon, programs, lab, peer, how):
	run = daemon.run(programs["tcp_uring"], how, lab.host4, peer.echo, netns=lab.agent)
	record = run.records().to(peer.echo).only()
	assert outcome(record.connect) == "established"
	assert record.process.id.tgid == run.pid
	assert_actor(record, programs["tcp_uring"])


@pytest.mark.parametrize("how", ["msg", "connect"])
def test_fast_open(daemon, programs, lab, peer, how):
	run = daemon.run(programs["tcp_fastopen"], how, lab.host4, peer.echo, netns=lab.agent)
	records = run.records(until=lambda r: len(r.of("close")) == 2)
	found = records.to(peer.echo)
	assert [outcome(r.connect) for r in found] == ["established"] * 2
	assert len({r.connect.connection.cookie for r in found}) == 2
	assert {(r.close.bytes_sent, r.close.bytes_received) for r in records.of("close")} == {(HELLO, HELLO)}


def test_mptcp(daemon, programs, lab, peer):
	run = daemon.run(programs["tcp_mptcp"], lab.host4, peer.echo, netns=lab.agent)
	found = run.records().to(peer.echo)
	assert found
	assert {protocol(r.connect) for r in found} <= {"tcp", "mptcp"}
	assert "established" in {outcome(r.connect) for r in found}
	for record in found:
		assert_actor(record, programs["tcp_mptcp"])


def test_mptcp_without_a_route(daemon, programs, lab):
	"""A subflow has no release hook: that nothing left can't be told."""
	run = daemon.run(programs["tcp_mptcp"], lab.nowhere, CLOSED, netns=lab.agent, check=False)
	found = run.wait_records("the attempt", lambda records: records.connects and records.of("session_ended"))
	connect = found.to(CLOSED).only().connect
	assert address(connect.reached) == lab.nowhere
	assert outcome(connect) in ("pending", "not_sent")


def test_second_connect_is_no_second_connection(daemon, programs, lab, peer):
	run = daemon.run(programs["tcp_nonblocking"], "finish", lab.host4, peer.echo, netns=lab.agent)
	assert len(run.records().connects) == 1


@pytest.mark.parametrize("what, name", [("raw", "raw"), ("ping", "icmp")])
def test_sockets_without_a_hook(daemon, programs, lab, what, name):
	lab.agent.sysctl("net.ipv4.ping_group_range", "0 0")
	run = daemon.run(programs["hookless"], what, netns=lab.agent)
	opened = run.records().one("untracked_socket")
	assert protocol(opened.untracked_socket) == name
	assert opened.untracked_socket.family == socket.AF_INET
	assert_actor(opened, programs["hookless"])


def test_ping_connect(daemon, programs, lab):
	lab.agent.sysctl("net.ipv4.ping_group_range", "0 0")
	records = daemon.run(programs["hookless"], "ping_connect", lab.host4, netns=lab.agent).records()
	connect = records.connects.only().connect
	assert (protocol(connect), address(connect.reached), outcome(connect)) == ("icmp", lab.host4, "attempted")
	assert records.one("untracked_socket").untracked_socket.cookie == connect.connection.cookie


def test_no_option_memory(daemon, programs, lab, peer):
	"""An agent that fills its sockets' option memory hides neither the attempt nor the outcome."""
	run = daemon.run(programs["tcp_no_memory"], lab.host4, peer.echo, netns=lab.agent)
	connect = run.records().to(peer.echo).only().connect
	assert outcome(connect) == "established"
	assert not connect.outcome_untracked


# ---- UDP ----

def udp(daemon, programs, lab, how, *ports):
	return daemon.run(programs["udp"], how, lab.host4, *ports, netns=lab.agent).records()


@pytest.mark.parametrize("how", ["sendto", "sendmmsg", "gso", "lite"])
def test_udp_one_record_a_destination(daemon, programs, lab, peer, how):
	records = udp(daemon, programs, lab, how, peer.udp, peer.udp2, peer.udp, peer.udp2)
	assert sorted(r.connect.reached.port for r in records.connects) == sorted([peer.udp, peer.udp2])
	for record in records.connects:
		assert (outcome(record.connect), protocol(record.connect)) == ("attempted", "udplite" if how == "lite" else "udp")
		assert record.connect.by_datagram
	assert len({r.connect.connection.cookie for r in records.connects}) == 1
	assert len({r.connect.connection.number for r in records.connects}) == 2


def test_udp_connected_again(daemon, programs, lab, peer):
	records = udp(daemon, programs, lab, "connect", peer.udp, peer.udp2)
	assert [r.connect.reached.port for r in records.connects] == [peer.udp, peer.udp2]
	assert len({r.connect.connection.number for r in records.connects}) == 2
	assert not [r for r in records.connects if r.connect.by_datagram]


@pytest.mark.parametrize("how", ["repeat", "named", "mapped", "mapped_named", "silent"])
def test_udp_is_a_flow_not_a_packet(daemon, programs, lab, peer, how):
	record = udp(daemon, programs, lab, how, peer.udp).connects.only()
	assert (outcome(record.connect), record.connect.reached.port) == ("attempted", peer.udp)
	assert address(record.connect.reached) == lab.host4
	assert record.connect.v4_mapped == how.startswith("mapped")


@pytest.mark.parametrize("how", ["sendto", "repeat"])
def test_udp_over_ipv6(daemon, programs, lab, peer, how):
	run = daemon.run(programs["udp"], how, lab.host6, peer.udp6, netns=lab.agent)
	connect = run.records().connects.only().connect
	assert (address(connect.reached), connect.reached.port) == (lab.host6, peer.udp6)
	assert connect.by_datagram == (how == "sendto")
	assert not connect.v4_mapped


def test_udp_refused(daemon, programs, lab):
	connect = udp(daemon, programs, lab, "refused", CLOSED).to(CLOSED).only().connect
	assert (outcome(connect), connect.errno_) == ("refused", 111)


@pytest.mark.parametrize("what", ["tcp", "udp"])
def test_one_cookie_two_connections(daemon, programs, lab, peer, what):
	ports = (peer.echo, peer.echo2) if what == "tcp" else (peer.udp, peer.udp2)
	run = daemon.run(programs["disconnect"], what, lab.host4, *ports, netns=lab.agent)
	found = run.records().final()
	assert [r.connect.reached.port for r in found] == list(ports)
	assert len({r.connect.connection.cookie for r in found}) == 1
	assert len({r.connect.connection.number for r in found}) == 2
	assert {outcome(r.connect) for r in found} == {"established" if what == "tcp" else "attempted"}


# ---- addresses ----

def test_mapped(daemon, programs, lab, peer):
	connect = daemon.run(programs["tcp_mapped"], lab.host4, peer.echo, netns=lab.agent).records().to(peer.echo).only().connect
	assert address(connect.reached) == lab.host4
	assert connect.v4_mapped
	assert outcome(connect) == "established"


@pytest.mark.parametrize("what", ["tcp", "udp"])
def test_link_local(daemon, programs, lab, peer, what):
	def link_local():
		text = lab.peer.run("ip", "-6", "-o", "addr", "show", "dev", "peer0", "scope", "link").stdout
		found = re.search(r"inet6 (fe80::[0-9a-f:]+)/\d+ (?!.*tentative)", text)
		return found and found[1]

	host = wait.until("the link has an address of its own", link_local)
	index = int(lab.agent.run("ip", "-o", "link", "show", "peer0").stdout.split(":")[0])
	how, port = ("exchange", peer.echo6) if what == "tcp" else ("sendto", peer.udp6)
	run = daemon.run(programs[what], how, f"{host}%peer0", port, netns=lab.agent)
	connect = run.records().to(port).only().connect
	assert (address(connect.reached), connect.reached.scope_id) == (host, index)


def test_denied_by_another_program(daemon, programs, lab, peer, cgroup):
	subprocess.run([programs["cgroup_program"], "deny", cgroup], check=True)
	run = daemon.run(*inside(cgroup, programs["tcp"], "fails", lab.host4, peer.echo), netns=lab.agent)
	assert "errno 1 " in run.stdout
	record = run.records().to(peer.echo).only()
	assert outcome(record.connect) == "denied"
	assert_actor(record, programs["tcp"])


def test_redirected_by_another_program(daemon, programs, lab, peer, cgroup):
	subprocess.run([programs["cgroup_program"], "redirect", cgroup, lab.host4, str(peer.echo)], check=True)
	run = daemon.run(*inside(cgroup, programs["tcp"], "exchange", "192.0.2.7", "80"), netns=lab.agent)
	connect = run.records().connects.only().connect
	assert (address(connect.reached), connect.reached.port) == (lab.host4, peer.echo)
	if not connect.HasField("asked"):
		pytest.skip("this kernel does not tell what was asked (BPF_F_PREORDER)")
	assert (address(connect.asked), connect.asked.port) == ("192.0.2.7", 80)


# ---- whose socket ----

def test_inherited(daemon, programs, lab, peer):
	run = daemon.run("/bin/sh", "-c", f"{programs['tcp']} exchange {lab.host4} {peer.echo}; :", netns=lab.agent)
	record = run.records().to(peer.echo).only()
	assert_actor(record, programs["tcp"])
	assert not record.connect.HasField("opener")


def test_passed_within_the_session(daemon, programs, lab, peer, place):
	path = place / "passing"
	# bind(2) makes the path, and only listen(2) what can be connected to: again until it is there.
	run = daemon.run("/bin/sh", "-c", f"{programs['take_socket']} {path} {lab.host4} {peer.echo} & "
			 f"until {programs['give_socket']} {path} 2>/dev/null; do :; done; wait $!", netns=lab.agent)
	records = run.records()
	record = records.to(peer.echo).only()
	assert_actor(record, programs["take_socket"])
	givers = [r.process.id for r in records.of("exec") if r.process.executable.path.decode() == programs["give_socket"]]
	assert record.connect.opener.process == givers[-1]
	assert record.connect.opener.session == record.session.id


def test_passed_from_outside(daemon, programs, lab, peer, place):
	path = place / "passing"
	run = daemon.launch(programs["take_socket"], path, lab.host4, peer.echo, netns=lab.agent)
	assert run.line() == "listening"
	lab.agent.run(programs["give_socket"], path)
	run.wait()
	record = run.records().to(peer.echo).only()
	assert_actor(record, programs["take_socket"])
	assert record.connect.HasField("opener")
	assert not record.connect.opener.session
	assert outcome(record.connect) == "established"


def test_passed_from_another_cgroup(daemon, programs, lab, peer, place, cgroup):
	"""Hooks run by the cgroup that a socket was made in, whoever uses it: ours are at the root."""
	path = place / "passing"
	run = daemon.launch(*inside(cgroup.make("agent"), programs["take_socket"], path, lab.host4, peer.echo), netns=lab.agent)
	assert run.line() == "listening"
	lab.agent.run(*inside(cgroup.make("outside"), programs["give_socket"], path))
	run.wait()
	record = run.records().to(peer.echo).only()
	assert outcome(record.connect) == "established"
	assert_actor(record, programs["take_socket"])


def test_passed_without_option_memory(daemon, programs, lab, peer, place):
	"""A socket from outside, its option memory filled: the attempt is told, that its outcome can't be, and counted."""
	path = place / "passing"
	run = daemon.launch(programs["take_socket"], path, lab.host4, peer.echo, netns=lab.agent)
	assert run.line() == "listening"
	given = lab.agent.run(programs["give_socket"], path, "full", check=False)
	if given.returncode == builds.SKIP:
		run.kill()
		pytest.skip(given.stdout)
	run.wait()
	record = run.records().to(peer.echo).only()
	assert record.connect.outcome_untracked
	assert not record.connect.HasField("outcome")
	assert record.connect.opener.unknown
	assert_actor(record, programs["take_socket"])
	daemon.wait_records("the loss", lambda found: any(
		(c.stage, c.kind) == ("storage", "outcome") for r in found.of("lost") for c in r.lost.counts))


def test_passed_to_an_outsider(daemon, programs, lab, peer, place):
	path = place / "passing"
	outsider = subprocess.Popen(lab.agent.command(programs["take_socket"], path, lab.host4, peer.echo),
				    stdout=subprocess.PIPE, text=True)
	try:
		assert outsider.stdout.readline() == "listening\n"
		run = daemon.run(programs["give_socket"], path, netns=lab.agent)
	finally:
		outsider.communicate(timeout=wait.DEADLINE)
	record = run.records(until=lambda r: r.to(peer.echo)).to(peer.echo).only()
	assert record.connect.foreign
	assert outcome(record.connect) == "established"


def test_hooks_of_unix_sockets_are_named(daemon):
	"""They are there, or said to be missing."""
	started = daemon.records().one("daemon_started").daemon_started
	for word in ("connect_unix", "sendmsg_unix"):
		assert (word in started.features) != (word in started.missing)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_unix(daemon, programs, place, abstract):
	name = f"\0affiant-test-{os.getpid()}" if abstract else str(place / "listener")
	with socket.socket(socket.AF_UNIX) as listener:
		listener.bind(name)
		listener.listen()
		run = daemon.run(programs["unix_connect"], name.replace("\0", "@"))
		records = run.records()
	found = records.connects.where(lambda r: protocol(r.connect) == "unix")
	if not found and "connect_unix" in daemon.records().one("daemon_started").daemon_started.missing:
		pytest.skip("this kernel has no hook for connections to Unix sockets (cgroup/connect_unix)")
	record = found.where(lambda r: r.connect.reached.path.decode() == name).only()
	assert outcome(record.connect) == "attempted"
	assert_actor(record, programs["unix_connect"])


# ---- who is an agent's, and who is not ----

@pytest.mark.parametrize("how", ["double_fork", "setsid", "orphan", "close_all", "namespaces", "thread", "comm"])
def test_no_way_out(daemon, programs, lab, peer, how):
	run = daemon.run(programs["escape"], how, lab.host4, peer.echo, netns=lab.agent)
	record = run.records().to(peer.echo).only()
	assert outcome(record.connect) == "established"
	assert record.task.id == run.task
	assert_actor(record, programs["escape"])


def test_outsiders_leave_no_trace(daemon, programs, lab, peer):
	before = len(daemon.records().to(peer.echo2))
	lab.agent.run(programs["tcp"], "exchange", lab.host4, peer.echo2)
	daemon.run("/bin/true").records()	# what the outsider did would be there before this
	assert len(daemon.records().to(peer.echo2)) == before


def test_two_sessions_side_by_side(daemon, programs, lab, peer):
	runs = [daemon.launch(programs["tcp"], "hold", lab.host4, peer.echo, netns=lab.agent, agent=name,
			      stdin=subprocess.PIPE) for name in ("left", "right")]
	for run in runs:
		assert run.line() == "connected"
	for run in runs:
		run.wait()
	records = [run.records().to(peer.echo).only() for run in runs]
	assert [r.agent.name for r in records] == ["left", "right"]
	assert records[0].session.id != records[1].session.id
	assert [r.process.id.tgid for r in records] == [run.pid for run in runs]
