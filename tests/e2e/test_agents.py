# SPDX-License-Identifier: Apache-2.0
"""Real agents: what affiant records equals what strace counts.

They talk to the demo's scripted model, in a network namespace with loopback only.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness import net
from harness.records import address, hash_state, protocol, sha256, stated_digest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "demo.d"))
import engines	# noqa: E402
import scene	# noqa: E402

NOBODY = (65534, 65534)
EXECUTED = re.compile(r"(?:execve|execveat)\(.*\)\s+= 0$")
CONNECTED = re.compile(r"connect\(\d+<(TCP|TCPv6|UDP|UDPv6)\b.*sin6?_port=htons\((\d+)\).*\"([0-9a-f.:]+)\"")
UNFINISHED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")


def whole_lines(text):
	"""strace's lines without their pid, those that another process interrupted put together again."""
	begun = {}
	for line in text.splitlines():
		if found := UNFINISHED.match(line):
			begun[found[1]] = found[2]
		elif found := RESUMED.match(line):
			yield begun.pop(found[1], "") + found[2]
		else:
			yield line.split(None, 1)[-1]


class Stage:
	"""A network namespace with the demo's servers, and a home for the agent."""

	def __init__(self, engine, place):
		self.engine = engine
		self.place = place
		self.namespace = net.Namespace()

	def home(self, name):
		"""Each run begins with the same home: some agents do more the first time."""
		place = self.place / name
		(place / "home").mkdir(parents=True)
		os.chown(place / "home", *NOBODY)
		measure = self.engine.prepare(place)
		ca = str(self.place / "ca.pem")
		environment = {"PATH": "/usr/bin:/bin", "HOME": str(place / "home"), "LC_ALL": "C.UTF-8", "CURL_CA_BUNDLE": ca,
			       "GIT_SSL_CAINFO": ca, "SSL_CERT_FILE": ca}
		return place / "home", environment | self.engine.environment(place / "home"), measure


@pytest.fixture(params=["research", "codex", "gemini", "langgraph"])
def stage(request, place):
	engine = engines.ENGINES[request.param]()
	try:
		engine.install()
	except engines.Missing as error:
		pytest.skip(str(error))
	if any(subprocess.run(["test", "-r", part], user=NOBODY[0], group=NOBODY[1], check=False).returncode
	       for part in map(str, vars(engine).values()) if part.startswith("/")):
		pytest.skip("the agent is installed where other users cannot read it (a checkout below a private directory)")
	instance = Stage(engine, place)
	try:
		with instance.namespace.inside(), scene.servers(place, engine.script, *NOBODY):
			yield instance
	finally:
		instance.namespace.remove()


def read_strace(path):
	"""(how many execs succeeded, Counter of TCP destinations)"""
	lines = list(whole_lines(path.read_text(errors="replace")))
	found = filter(None, map(CONNECTED.search, lines))
	return (sum(bool(EXECUTED.match(line)) for line in lines),
		collections.Counter((f[3], int(f[2])) for f in found if f[1].startswith("TCP")))


def run_agent(daemon, stage, *before):
	home, environment, measure = stage.home(f"run-{len(before)}")
	run = daemon.run(*before, *stage.engine.command(), agent=stage.engine.name, user=NOBODY, netns=stage.namespace,
			 cwd=home, env=environment, options=["--measure", str(measure)])
	records = run.records()
	assert not daemon.records("--type", "lost")
	return records


def tcp_destinations(records):
	found = (r.connect for r in records.final() if protocol(r.connect) == "tcp")
	return collections.Counter((address(c.reached), c.reached.port) for c in found)


def check_digests(records):
	digests = {}
	for record in records.execs:
		executable = record.process.executable
		path = executable.path.decode()
		# What the distribution brought is root's; what a package manager of the agent's brought may not be.
		expected = ("observed",) if path.startswith(("/usr/bin/", "/usr/lib/")) else ("observed", "unproven")
		assert hash_state(executable.digest) in expected, f"{path}: {hash_state(executable.digest)}"
		if not executable.memfd and not executable.deleted:
			if path not in digests:
				digests[path] = sha256(path)
			assert stated_digest(executable.digest) == digests[path], path


def test_agent(daemon, stage):
	"""strace watches inside the session, so that both count the same run; then the agent runs alone."""
	out = stage.place / "strace.out"
	out.touch()
	os.chown(out, *NOBODY)
	watched = run_agent(daemon, stage, "strace", "-f", "-yy", "-s", "4096", "-e", "trace=execve,execveat,connect", "-o",
			    out)
	execs, connections = read_strace(out)
	assert len(watched.execs) == execs + 1	# strace, which it did not see itself
	assert tcp_destinations(watched) == connections
	assert sum(connections.values()) >= 3

	# How often an agent asks git for its version may differ from run to run; whom it talks to does not.
	alone = run_agent(daemon, stage)
	assert tcp_destinations(alone) == connections
	check_digests(watched)
	check_digests(alone)
