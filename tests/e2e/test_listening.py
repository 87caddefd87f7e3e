# SPDX-License-Identifier: Apache-2.0
"""Where an agent takes connections, what it was given that is connected or listens already, and connections that are
established by its own word."""

import contextlib
import json
import socket
import subprocess

import pytest

from harness.records import address, outcome, protocol

NOBODY = 65534
# Listens, and says where; ends with its input.
LISTEN = """
import socket, sys
s = socket.socket({family})
{bind}
s.listen()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listening(daemon, bind="", family="socket.AF_INET", **more):
	run = daemon.launch("/usr/bin/python3", "-c", LISTEN.format(bind=bind, family=family), stdin=subprocess.PIPE, **more)
	port = int(run.line())
	run.wait()
	return port, run, run.records(until=lambda found: found.of("listening"))


def test_listening(daemon):
	port, run, records = listening(daemon, "s.bind(('127.0.0.1', 0))")
	record = records.one("listening")
	assert record.process.argv[0] == b"/usr/bin/python3"
	assert (address(record.listening.local), record.listening.local.port) == ("127.0.0.1", port)
	assert protocol(record.listening) == "tcp"
	assert record.listening.cookie and record.listening.HasField("uid")
	assert not record.listening.HasField("opener")
	line = daemon.affiant("events", "--task", run.task, "--type", "listening").stdout
	assert f" listen  127.0.0.1:{port}/tcp" in line
	[event] = daemon.events("--task", run.task, "--type", "listening")
	assert (event["activity_name"], event["src_endpoint"]["port"]) == ("Listen", port)
	assert not records.connects


def test_all_addresses(daemon):
	port, _, records = listening(daemon, "s.bind(('::', 0))", "socket.AF_INET6")
	local = records.one("listening").listening.local
	assert (address(local), local.port) == ("::", port)


def test_without_bind(daemon, netns):
	"""The kernel picks the port, after it says that the socket listens."""
	port, _, records = listening(daemon, netns=netns)
	local = records.one("listening").listening.local
	assert (address(local), local.port) == ("0.0.0.0", port)


def can_tell(daemon):
	"""The kernel tells of a listener after listen(2)."""
	return "listen" in json.loads(daemon.affiant("status", "-o", "json").stdout)["features"]


def test_gone_at_once(daemon, netns):
	"""Before anybody could look for its port."""
	if not can_tell(daemon):
		pytest.skip("this kernel (or its sandbox) traces no function: 'listen' is missing")
	run = daemon.run("/usr/bin/python3", "-c", "import socket\nfor _ in range(50): socket.socket().listen()", netns=netns)
	found = run.records(until=lambda found: len(found.of("listening")) == 50).of("listening")
	assert all(r.listening.local.port for r in found)


def test_who_may_not_listen_does_not(daemon, netns):
	if not can_tell(daemon):
		pytest.skip("this kernel (or its sandbox) traces no function: 'listen' is missing")
	run = daemon.run("/usr/bin/python3", "-c", "import socket\n"
			 "a, b = socket.socket(), socket.socket()\n"
			 "for s in a, b: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 4000))\n"
			 "a.listen()\n"
			 "try: b.listen(); raise SystemExit(1)\n"
			 "except OSError: pass", netns=netns)
	assert run.records(until=lambda found: found.of("listening")).one("listening")


def test_many_listeners(new_daemon, netns):
	"""An agent that listens all the time costs the daemon a twentieth of its time at most, and each has its record."""
	daemon = new_daemon()
	run = daemon.run("/usr/bin/python3", "-c", "import socket\nfor _ in range(3000): socket.socket().listen()", netns=netns)
	found = run.records(until=lambda found: len(found.of("listening")) >= 3000).of("listening")
	assert len(found) == 3000 == len({r.id for r in found})
	assert all(r.listening.local.HasField("address") for r in found)


def test_as_another_user(daemon):
	port, _, records = listening(daemon, user=(NOBODY, NOBODY))
	record = records.one("listening").listening
	assert (record.local.port, record.uid, record.gid) == (port, NOBODY, NOBODY)


def test_a_listener_of_another(daemon):
	"""It was bound outside, and begins to listen inside."""
	with socket.socket() as given:
		given.bind(("127.0.0.1", 0))
		port = given.getsockname()[1]
		run = daemon.run("/usr/bin/python3", "-c", f"import socket; socket.socket(fileno={given.fileno()}).listen()",
				 pass_fds=[given.fileno()])
	record = run.records(until=lambda found: found.of("listening")).one("listening").listening
	assert record.local.port == port
	assert record.opener.unknown


# ---- what it was given ----

def given_to(daemon, *sockets, **more):
	run = daemon.run("/bin/true", pass_fds=[s.fileno() for s in sockets], **more)
	return run, run.records().one("session_started").session_started


@pytest.fixture
def pair():
	"""(listener, client, server's end)"""
	with contextlib.ExitStack() as stack:
		listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
		client = stack.enter_context(socket.create_connection(listener.getsockname()))
		server = stack.enter_context(listener.accept()[0])
		yield listener, client, server


@pytest.mark.parametrize("user", [None, (NOBODY, NOBODY)], ids=["root", "user"])
def test_a_connection_inherited(daemon, pair, user):
	listener, client, _ = pair
	run, started = given_to(daemon, client, user=user)
	[connection] = started.open_connections
	assert (address(connection.remote), connection.remote.port) == listener.getsockname()
	assert (address(connection.local), connection.local.port) == client.getsockname()
	assert protocol(connection) == "tcp"
	assert connection.tgid and not connection.listening and not started.late
	assert "connections open before: 1" in daemon.affiant("events", "--task", run.task, "--type", "session_started").stdout


def test_by_a_shell(daemon, pair):
	listener = pair[0]
	port = listener.getsockname()[1]
	script = f'exec 5<>/dev/tcp/127.0.0.1/{port}; exec "$@"'
	run = daemon.run("/bin/true", before=["/bin/bash", "-c", script, "sh"])
	[connection] = run.records().one("session_started").session_started.open_connections
	assert connection.remote.port == port


def test_a_listener_and_a_datagram_socket_inherited(daemon, pair):
	listener = pair[0]
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
		udp.connect(("127.0.0.1", 53))
		_, started = given_to(daemon, listener, udp)
	found = {protocol(c): c for c in started.open_connections}
	assert set(found) == {"tcp", "udp"}
	assert found["tcp"].listening and found["tcp"].local.port == listener.getsockname()[1]
	assert not found["tcp"].HasField("remote")
	assert found["udp"].remote.port == 53


def test_nothing_given(daemon, pair):
	"""affiant's own connection to the daemon goes at the exec; the tests' are not inherited."""
	run = daemon.run("/bin/true")
	assert not run.records().one("session_started").session_started.open_connections


def test_more_than_are_listed(daemon, pair):
	listener = pair[0]
	with contextlib.ExitStack() as stack:
		clients = []
		for _ in range(300):
			clients.append(stack.enter_context(socket.create_connection(listener.getsockname())))
			stack.enter_context(listener.accept()[0])
		_, started = given_to(daemon, *clients)
	assert len(started.open_connections) == 256
	assert started.open_connections_cut


# ---- by its own word ----

def test_repaired(daemon, programs):
	"""A user of no power makes a connection that nobody answered."""
	run = daemon.run(programs["tcp_repair"], "127.0.0.1", 443, user=(NOBODY, NOBODY))
	records = run.records(until=lambda found: found.of("close"))
	connect = records.final().only().connect
	assert outcome(connect) == "established"
	assert connect.repaired
	close = records.one("close").close
	assert close.repaired and not close.reset
	assert "(TCP_REPAIR)" in daemon.affiant("events", "--task", run.task, "--type", "connect").stdout


def test_not_repaired(daemon, programs, netns):
	with netns.serve() as server:
		run = daemon.run(programs["tcp"], "exchange", "127.0.0.1", server.port, netns=netns)
	records = run.records(until=lambda found: found.of("close"))
	assert not records.final().only().connect.HasField("repaired")
	assert not records.one("close").close.HasField("repaired")
