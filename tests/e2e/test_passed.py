# SPDX-License-Identifier: Apache-2.0
"""Sockets that one process made and another one uses: a record names both."""

import os
import socket
import subprocess

import pytest

from harness import programs as builds
from harness import wait
from harness.records import address, outcome, protocol

COUNT = 20


@pytest.fixture(scope="module")
def peer(lab):
	with lab.peer.serve("0.0.0.0") as tcp, lab.peer.serve("::") as tcp6, \
			lab.peer.serve("0.0.0.0", kind=socket.SOCK_DGRAM) as udp, lab.peer.serve("::", kind=socket.SOCK_DGRAM) as udp6:
		yield {"tcp": tcp.port, "tcp6": tcp6.port, "udp": udp.port, "udp6": udp6.port}


@pytest.fixture
def sends_are_seen(daemon):
	if "send" in daemon.records().one("daemon_started").daemon_started.missing:
		pytest.skip("this kernel has no tracepoint for sends (sock_send_length)")


def where(lab, peer, kind, family):
	if family == "4":
		return lab.host4, peer[kind]
	if family == "mapped":
		return f"::ffff:{lab.host4}", peer[kind]
	return lab.host6, peer[kind + "6"]


class Given:
	"""A socket made by `how` is taken by an agent; records() are those of the taker."""

	def __init__(self, daemon, programs, lab, path, giver, taker=()):
		self.taker = daemon.launch(programs["handover"], "take", path, COUNT, *taker, netns=lab.agent)
		assert self.taker.line() == "listening"
		self.giver = giver(path)
		self.taker.wait()
		assert self.taker.returncode == 0, self.taker.stderr

	def records(self):
		return self.taker.records()


def by_outsider(programs, lab, *what):
	def give(path):
		done = lab.agent.run(programs["handover"], "give", path, *what, check=False)
		if done.returncode == builds.SKIP:
			pytest.skip(done.stdout)
		assert done.returncode == 0, done.stderr
		return int(done.stdout.split()[-1])
	return give


def by_agent(daemon, programs, lab, *what):
	return lambda path: daemon.run(programs["handover"], "give", path, *what, netns=lab.agent, agent="giver")


@pytest.mark.parametrize("family", ["4", "6", "mapped"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_connected_by_an_outsider(sends_are_seen, daemon, programs, lab, peer, place, kind, family):
	host, port = where(lab, peer, kind, family)
	given = Given(daemon, programs, lab, place / "passing", by_outsider(programs, lab, kind, "connected", host, port))
	record = given.records().connects.where(lambda r: protocol(r.connect) != "unix").only()
	connect = record.connect
	assert (address(connect.reached), connect.reached.port) == (host.removeprefix("::ffff:"), port)
	assert connect.v4_mapped == (family == "mapped")
	assert connect.by_send or (kind, family) == ("udp", "mapped")	# every such send has a hook
	assert connect.opener.unknown and not connect.foreign
	assert record.process.id.tgid == given.taker.pid
	assert connect.HasField("outcome") == (kind == "udp")
	assert protocol(connect) == kind
	assert connect.connection.cookie


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_connected_by_another_session(sends_are_seen, daemon, programs, lab, peer, place, kind):
	host, port = where(lab, peer, kind, "4")
	given = Given(daemon, programs, lab, place / "passing", by_agent(daemon, programs, lab, kind, "connected", host, port))
	theirs = given.giver.records().to(port).only()
	record = given.records().to(port).only()
	assert record.connect.by_send
	assert record.connect.connection.cookie == theirs.connect.connection.cookie
	assert record.connect.connection.number != theirs.connect.connection.number
	assert record.connect.opener.process == theirs.process.id
	assert record.connect.opener.session == theirs.session.id
	assert not theirs.connect.by_send


@pytest.mark.parametrize("how", ["bound", "full"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_bound_before_or_without_memory(sends_are_seen, daemon, programs, lab, peer, place, kind, how):
	"""A port of its own makes no connection an inbound one, and a socket that keeps nothing for us is told, too."""
	host, port = where(lab, peer, kind, "4")
	given = Given(daemon, programs, lab, place / "passing", by_outsider(programs, lab, kind, how, host, port))
	record = given.records().to(port).only()
	assert record.connect.by_send
	assert record.connect.outcome_untracked == (how == "full")


def test_unconnected(daemon, programs, lab, peer, place):
	"""By somebody, sent over by the agent to where it likes."""
	host, port = where(lab, peer, "udp", "4")
	given = Given(daemon, programs, lab, place / "passing", by_agent(daemon, programs, lab, "udp", "unconnected", host, port),
		      (host, port))
	record = given.records().to(port).only()
	assert record.connect.by_datagram and not record.connect.by_send
	assert record.connect.opener.process.tgid == given.giver.pid
	assert not given.giver.records().to(port)


def test_named_over_a_connected_one(daemon, programs, lab, peer, place):
	"""A datagram with an address goes there, and not to where the socket is connected."""
	given = Given(daemon, programs, lab, place / "passing",
		      by_outsider(programs, lab, "udp", "connected", lab.host4, peer["udp"]), (lab.host4, 5353))
	records = given.records().connects.where(lambda r: protocol(r.connect) != "unix")
	assert [(r.connect.reached.port, r.connect.by_datagram) for r in records] == [(5353, True)]


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_inherited(sends_are_seen, daemon, programs, lab, peer, kind):
	"""Each child that sends over its parent's connection, once."""
	run = daemon.run(programs["handover"], "inherit", kind, lab.host4, peer[kind], 3, COUNT, netns=lab.agent)
	records = run.records(until=lambda r: r.of("close")).connects
	assert len(records) == 4
	parent = records.where(lambda r: not r.connect.by_send).only()
	children = records.where(lambda r: r.connect.by_send)
	assert len({r.process.id.tgid for r in children} - {parent.process.id.tgid}) == 3
	for record in children:
		assert record.connect.opener.process == parent.process.id
		assert record.connect.opener.session == record.session.id


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_taken_out_of_another_process(sends_are_seen, daemon, programs, lab, peer, kind):
	"""pidfd_getfd(2): nobody passed it."""
	owner = subprocess.Popen(lab.agent.command(programs["handover"], "keep", kind, lab.host4, peer[kind]),
				 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
	try:
		pid, fd = owner.stdout.readline().split()
		run = daemon.run(programs["handover"], "steal", pid, fd, COUNT, netns=lab.agent,
				 options=["--isolation", "none"])
	finally:
		owner.communicate(timeout=wait.DEADLINE)
	record = run.records().to(peer[kind]).only()
	assert record.connect.by_send and record.connect.opener.unknown
	assert record.process.id.tgid == run.pid


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_accepted_is_not_outbound(sends_are_seen, daemon, programs, lab, host, place):
	"""What comes in is no connection of the agent's, whoever of them answers."""
	there = host.removeprefix("::ffff:")
	run = daemon.launch(programs["handover"], "serve", host, COUNT, netns=lab.agent)
	port = int(run.line())
	with lab.agent.inside():
		client = socket.create_connection((there, port))
	with client:
		assert client.recv(5) == b"hello"
		run.wait()
	assert not run.records().connects
	# Passed on by an outsider who accepted it.
	def give(path):
		giver = subprocess.Popen(lab.agent.command(programs["handover"], "accept", path, host),
					 stdout=subprocess.PIPE, text=True)
		with lab.agent.inside():
			self = socket.create_connection((there, int(giver.stdout.readline())))
		with self:
			giver.communicate(timeout=wait.DEADLINE)
	given = Given(daemon, programs, lab, place / "passing", give)
	assert not given.records().connects.where(lambda r: protocol(r.connect) != "unix")


FAILED_AND_PASSED = """
import socket, sys
with socket.socket(socket.AF_UNIX) as to, socket.socket() as passed:
	to.connect(sys.argv[1])
	try:
		passed.connect(("255.255.255.255", 80))
	except OSError:
		pass
	socket.send_fds(to, [b"x"], [passed.fileno()])
	to.recv(1)
"""


def test_an_outsider_after_an_attempt_that_failed(daemon, place):
	"""The connection is the outsider's, and what was asked before is no part of it."""
	with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as listener:
		port = server.getsockname()[1]
		listener.bind(str(place / "passing"))
		listener.listen()
		run = daemon.launch("/usr/bin/python3", "-c", FAILED_AND_PASSED, place / "passing")
		giver, _ = listener.accept()
		with giver:
			_, descriptors, _, _ = socket.recv_fds(giver, 1, 1)
			with socket.socket(fileno=descriptors[0]) as taken:
				taken.connect(("127.0.0.1", port))
				giver.send(b"x")
				run.wait()
	records = run.records(until=lambda r: r.to(port))
	record = records.to(port)[-1]
	assert record.connect.foreign and not record.connect.HasField("asked")
	assert outcome(record.connect) == "established"
	assert [outcome(r.connect) for r in records.to(80)][-1] == "not_sent"


ACCEPTED_AND_CONNECTED = """
import ctypes, os, socket, sys
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as listener:
	inbound = socket.create_connection(listener.getsockname()[:2])
	used, _ = listener.accept()
inbound.close()
nowhere = ctypes.create_string_buffer(28)	# AF_UNSPEC
assert ctypes.CDLL(None).connect(used.fileno(), nowhere, len(nowhere)) == 0
used.connect((sys.argv[1], int(sys.argv[2])))
child = os.fork()
if not child:
	used.send(b"x")
	os._exit(0)
os.waitpid(child, 0)
print(child)
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_accepted_and_then_connected(sends_are_seen, daemon, host):
	"""What the kernel keeps of its acceptance it keeps for good."""
	family = socket.AF_INET6 if ":" in host else socket.AF_INET
	with socket.create_server((host, 0), family=family) as server:
		port = server.getsockname()[1]
		run = daemon.run("/usr/bin/python3", "-c", ACCEPTED_AND_CONNECTED, host, port)
	record = run.records().to(port).where(lambda r: r.connect.by_send).only()
	assert record.process.id.tgid == int(run.stdout)


def test_all_at_once(sends_are_seen, daemon, programs, lab, peer):
	"""Many processes over one connection: each has its record, and what they took of the share is given back."""
	for _ in range(2):
		run = daemon.run(programs["handover"], "inherit", "udp", lab.host4, peer["udp"], 300, 2, netns=lab.agent)
		assert len(run.records(until=lambda r: r.of("close")).connects) == 301


def test_the_next_image_is_told(sends_are_seen, daemon, programs, lab, peer):
	"""Over the connection that it was given by itself."""
	run = daemon.run(programs["udp_steps"], "4", "connect", lab.host4, peer["udp"], "send", "send", "exec", "send", "send",
			 netns=lab.agent)
	records = run.records().connects
	assert [r.connect.by_send for r in records] == [False, True]
	assert records[0].process.id.exec_seq < records[1].process.id.exec_seq
	assert not records[1].connect.HasField("opener")


def test_outsiders_leave_no_trace(sends_are_seen, daemon, programs, lab, peer):
	before = len(daemon.records().connects)
	lab.agent.run(programs["handover"], "inherit", "tcp", lab.host4, peer["tcp"], 2, 5)
	daemon.run("/bin/true").records()
	assert len(daemon.records().connects) == before


def test_what_no_hook_sees(daemon):
	"""A raw or packet socket that came open: nothing shows what goes out by it, but that it is there."""
	with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw, \
			socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as packet:
		fds = [raw.fileno(), packet.fileno()]
		for fd in fds:
			os.set_inheritable(fd, True)
		send = f"import socket; socket.socket(fileno={fds[0]}).sendto(bytes(12), ('127.0.0.1', 0))"
		run = daemon.run("/usr/bin/python3", "-c", send, pass_fds=fds)
	started = run.records().one("session_started").session_started
	assert sorted((c.family, c.type, c.protocol_number, protocol(c)) for c in started.open_connections) == [
		(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP, "raw"), (socket.AF_PACKET, socket.SOCK_DGRAM, 0, "other")]
