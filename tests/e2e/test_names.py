# SPDX-License-Identifier: Apache-2.0
"""Names are never looked up: nothing of ours asks a resolver, or leaves by a network at all (P5).

A look-up would betray to whoever answers it what is being investigated, and what it says could be the attacker's word.
"""

import re
import shutil
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait

CALLS = "trace=socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,execve"
# What a look-up leaves behind: a socket that is not local, or a file of the resolver's.
TRACES = re.compile(r"AF_INET6?|AF_NETLINK|AF_PACKET|resolv\.conf|/etc/hosts|/etc/host\.conf|libnss_(dns|resolve|mymachines|mdns)|"
		    r"io\.systemd\.Resolve|libresolv")


@pytest.fixture(scope="module", autouse=True)
def strace():
	if not shutil.which("strace"):
		pytest.skip("strace is not installed")


def traced(path, *command):
	"""The command under strace, which writes to path and keeps out of the way: the process is the command itself."""
	return ["strace", "-D", "-f", "-qq", "-s", "256", "-e", CALLS, "-o", str(path), *map(str, command)]


def look_ups(path):
	return [line for line in path.read_text(errors="replace").splitlines() if TRACES.search(line)]


def test_a_look_up_would_be_seen(place, netns):
	subprocess.run(netns.command(*traced(place / "trace", "getent", "ahosts", "name.invalid")), check=False, capture_output=True)
	wait.until("a look-up", lambda: look_ups(place / "trace"))


def test_daemon(new_daemon, programs, place, lab):
	"""From start to end: with users and groups named, sessions, connections, readers."""
	daemon = new_daemon("launchers:\n  users: [games]\nreaders:\n  groups: [games]\n", start=False)
	command = daemon.command
	daemon.command = lambda: traced(place / "trace", *command())
	daemon.start()
	with lab.peer.serve(lab.host4) as server, lab.peer.serve(lab.host6) as server6:
		daemon.run(programs["tcp"], "exchange", lab.host4, server.port, netns=lab.agent).records()
		daemon.run(programs["tcp"], "exchange", lab.host6, server6.port, netns=lab.agent).records()
	daemon.events()
	daemon.stop()
	wait.until("the whole trace", lambda: "affiantd" in (place / "trace").read_text(errors="replace"))
	assert not look_ups(place / "trace")


@pytest.mark.parametrize("command", [
	["events"], ["events", "-o", "json"], ["events", "-o", "proto"], ["events", "--dst", "10.0.0.0/8"],
	["events", "--dst", "fd99::/16"], ["events", "--principal", "alice@example.com"], ["sessions", "--all"], ["status"],
	["match", "1"], ["run", "--agent", "tester", "--on-behalf-of", "bob@example.com", "--", "/bin/true"]], ids=" ".join)
def test_command(told, place, command):
	done = subprocess.run(traced(place / "trace", daemons.AFFIANT, command[0], "--socket", told.socket, *command[1:]),
			      capture_output=True, stdin=subprocess.DEVNULL, env=daemons.environment(), check=False)
	assert done.returncode in (0, 1), done.stderr
	wait.until("a trace", lambda: "connect" in (place / "trace").read_text(errors="replace"))
	assert not look_ups(place / "trace")


@pytest.fixture(scope="module")
def told(daemon, programs, lab):
	"""A daemon whose records have addresses, and names that look like hosts."""
	with lab.peer.serve(lab.host4) as server, lab.peer.serve(lab.host6) as server6:
		for host, port in ((lab.host4, server.port), (lab.host6, server6.port)):
			daemon.run(programs["tcp"], "exchange", host, port, netns=lab.agent, agent="example.com",
				   options=["--on-behalf-of", "alice@example.com"]).records()
	return daemon


def test_a_name_is_no_destination(daemon):
	"""Where a host's name would be looked up, it is refused."""
	done = daemon.affiant("events", "--dst", "localhost")
	assert done.returncode == 64
	assert "localhost" in done.stderr
