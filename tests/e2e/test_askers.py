# SPDX-License-Identifier: Apache-2.0
"""Those who ask for evidence keep nobody waiting: not by the length of the host's logs, which agents make longer, nor by
reading slowly, nor by being many."""

import contextlib
import json
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import threading
import time

import pytest

from harness import wait
from harness.daemon import BUILD
from harness.evidence import Attested, Taken, library_environment

SECURITYFS = "/sys/kernel/security"
LIST = "ima/binary_runtime_measurements"
ASKERS = BUILD / "tests" / "bench" / "askers"
MIB = 1 << 20
CROWD = 240
# The daemon's own memory does not grow by the logs: what a thread reads at once, and what pipes hold.
GROWS_MAX = 24 * MIB
# Of the loop's thread, for anything that these tests do.
TURN_US_MAX = 250_000

pytestmark = pytest.mark.skipif(not os.path.isdir(SECURITYFS), reason=f"no {SECURITYFS} to put a list at")


def ima_list(size):
	"""Entries of template ima-ng, as the kernel shows them, of @size bytes or a bit more."""
	entries, total, number = [], 0, 0
	while total < size:
		path = f"/usr/lib/x86_64-linux-gnu/perl5/5.36/lib{number:08x}.so\0".encode()
		digest = b"sha256:\0" + number.to_bytes(32, "big")
		data = struct.pack("<I", len(digest)) + digest + struct.pack("<I", len(path)) + path
		entries.append(struct.pack("<I20sI6sI", 10, bytes(20), 6, b"ima-ng", len(data)) + data)
		total += len(entries[-1])
		number += 1
	return b"".join(entries), number


@pytest.fixture
def attested(new_daemon):
	made = Attested(new_daemon)
	yield made
	made.remove()


@pytest.fixture
def new_attested(new_daemon, place):
	"""A daemon that sees an IMA list of so many bytes: in a mount namespace of its own."""
	made = []

	def make(size, **more):
		attested = Attested(new_daemon, ready=False, **more)
		made.append(attested)
		attested.list, attested.entries = ima_list(size)
		(place / "list").write_bytes(attested.list)
		command = attested.daemon.command
		mount = (f"mount -t tmpfs none {SECURITYFS} && mkdir {SECURITYFS}/ima && touch {SECURITYFS}/{LIST} && "
			 f"mount --bind '{place / 'list'}' {SECURITYFS}/{LIST} && exec \"$@\"")
		attested.daemon.command = lambda: ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh", *command()]
		attested.start()
		return attested

	yield make
	for attested in made:
		attested.remove()


def resident(attested):
	with open(f"/proc/{attested.daemon.process.pid}/status", encoding="ascii") as status:
		return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


def writing(attested):
	"""How many ends of pipes the daemon writes to."""
	pid, found = attested.daemon.process.pid, 0
	for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
		with contextlib.suppress(FileNotFoundError):
			info = pathlib.Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text(encoding="ascii")
			flags = int(re.search(r"flags:\s+(\d+)", info).group(1), 8)
			found += os.readlink(fd).startswith("pipe:") and flags & os.O_ACCMODE == os.O_WRONLY
	return found


class Asking(threading.Thread):
	"""Asks again and again, and keeps the longest that an answer took."""

	def __init__(self, agent, **how):
		super().__init__()
		self.agent, self.how = agent, how
		self.over, self.longest, self.given, self.refused = threading.Event(), 0.0, 0, []

	def run(self):
		while not self.over.is_set():
			began = time.monotonic()
			answer = self.agent.ask("evidence", **self.how)
			self.longest = max(self.longest, time.monotonic() - began)
			if answer["err"] == 0:
				self.given += 1
			else:
				self.refused.append(answer)

	def stop(self):
		self.over.set()
		self.join()
		return self


def turns(attested):
	return attested.status()["turns"]


def check_whole(attested, answer, first=0):
	assert answer["err"] == 0, answer
	taken = Taken(answer["cmw"]).check()
	assert json.loads(taken.content("ima_range", taken.host)) == {"from": first, "entries": attested.entries - first}
	assert taken.content("ima_log", taken.host) == attested.list[-len(attested.list) // attested.entries * (attested.entries - first):]


@pytest.mark.parametrize("size", [4 * MIB, 40 * MIB])
def test_long_list(new_attested, size):
	"""Another session's evidence goes on while it is read, whatever its length: no turn of the loop reads it."""
	attested = new_attested(size)
	long, other = attested.agent(), attested.agent()
	other.evidence()
	before = resident(attested)
	for first in (0, attested.entries // 2):
		asking = Asking(other)
		asking.start()
		long.begin("evidence", host=True, ima_from=first)
		# Only then: this process is one, too, and would be busy with what it reads.
		select.select([long.run.process.stdout], [], [], wait.DEADLINE)
		asking.stop()
		check_whole(attested, long.answer(), first)
		assert asking.given and not asking.refused
		assert asking.longest < 1
	assert resident(attested) - before < GROWS_MAX
	turns = attested.status()["turns"]
	assert turns["beyond"] == 0, turns
	assert turns["cpu_us"] < TURN_US_MAX, turns


def test_reader_that_does_not_read(new_attested):
	"""Its session waits, nobody else; the daemon keeps nothing of what it doesn't take, and lets it go."""
	attested = new_attested(4 * MIB)
	slow, other = attested.agent(), attested.agent()
	other.evidence()
	slow.evidence()
	before = resident(attested)
	attested.tpm.suspend()
	slow.begin("evidence", host=True)
	attested.wait_waiting()
	os.kill(slow.pid, signal.SIGSTOP)
	try:
		attested.tpm.resume()
		wait.until("its logs come out of a pipe", lambda: writing(attested), explain=attested.status)
		check_whole(attested, other.ask("evidence", host=True))
		other.evidence()
		assert writing(attested)
		assert resident(attested) - before < GROWS_MAX
		wait.until("it is left behind", lambda: not writing(attested), explain=attested.status)
	finally:
		os.kill(slow.pid, signal.SIGCONT)
	assert slow.answer()["err"] < 0
	check_whole(attested, slow.ask("evidence", host=True))


def test_long_lists_cost_more(new_attested):
	"""What was read for a session it pays for as if it had asked so much oftener: the refusal names the limit."""
	attested = new_attested(40 * MIB, rate=1, burst=4)
	long, other = attested.agent(), attested.agent()
	check_whole(attested, long.ask("evidence", host=True))
	answer = long.ask("evidence")
	assert (answer["code"], "evidence.rate" in answer["text"]) == ("limit", True), answer
	other.evidence()



def test_crowd(new_attested):
	"""So many processes at once, as a session may have connections: all are given evidence, and no turn does it all."""
	attested = new_attested(MIB)
	other = attested.agent()
	run = attested.daemon.launch(ASKERS, attested.daemon.socket, str(CROWD), stdin=subprocess.PIPE, env=library_environment())
	assert run.line() == "ready"
	other.evidence()
	asking = Asking(other)
	asking.start()
	run.process.stdin.close()
	said = run.line().split()
	asking.stop()
	assert said[said.index("given") + 1] == str(CROWD), said
	assert asking.given and not asking.refused
	assert asking.longest < 2
	turns = attested.status()["turns"]
	assert turns["beyond"] == 0, turns
	assert turns["cpu_us"] < TURN_US_MAX, turns


@pytest.mark.parametrize("count", [250, 1000])
def test_threads(attested, count):
	"""Each thread of whoever asks is looked at, before and after the quote: of one turn it is some of them."""
	agents = [attested.agent() for _ in range(4)]
	other = attested.agent()
	for agent in agents:
		assert agent.ask("threads", count=count)["err"] == 0
	attested.tpm.suspend()
	for agent in (*agents, other):
		agent.begin("evidence")
	attested.wait_waiting(5)
	attested.tpm.resume()
	for agent in (*agents, other):
		Taken(agent.answer()["cmw"]).check()
	for agent in agents:
		assert agent.ask("dpop")["err"] == 0
	now = turns(attested)
	assert now["beyond"] == 0 and now["files"] < 700, now


def test_who_asks_and_hangs_in_an_exec(attested, programs):
	"""Nobody can look at it any more: it gets nothing, and those whom the same quote is for get theirs at once."""
	other = attested.agent()
	other.evidence()
	hanging = [attested.agent(within=[programs["exec_hang"], "-k"]) for _ in range(4)]
	attested.tpm.suspend()
	for agent in hanging:
		agent.begin("hang")
	attested.wait_waiting(4)
	for agent in hanging:
		agent.run.process.stdin.write("now\n")
		agent.run.process.stdin.flush()
		assert agent.run.line() == "hangs"
	other.begin("evidence")
	attested.wait_waiting(5)
	attested.tpm.resume()
	began = time.monotonic()
	Taken(other.answer()["cmw"]).check()
	assert time.monotonic() - began < 3
	wait.until("nobody waits", lambda: attested.status()["evidence"]["waiting"] == 0, explain=attested.status)
	assert attested.refused("unavailable") == 4
	# And while they hang, others ask and are given.
	other.evidence()
	now = turns(attested)
	assert now["beyond"] == 0 and now["wall_us"] < 3000000, now
	for agent in hanging:
		agent.run.kill()


def cpu_seconds(attested):
	fields = pathlib.Path(f"/proc/{attested.daemon.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(agent, line):
	agent.run.process.stdin.write(line + "\n")
	agent.run.process.stdin.flush()


def test_who_asked_and_hangs_already(attested, programs):
	"""It can't be looked at from the first: while that is tried, for a second, the loop turns now and then, not on and on."""
	hanging = [attested.agent(within=[programs["exec_hang"], "-k"]) for _ in range(4)]
	daemon = attested.daemon.process
	try:
		for agent in hanging:
			assert agent.ask("hang", told=True)["err"] == 0
		daemon.send_signal(signal.SIGSTOP)
		for agent in hanging:
			say(agent, "ask")
		time.sleep(0.5)
		for agent in hanging:
			say(agent, "now")
			assert agent.run.line() == "hangs"
		before, began = cpu_seconds(attested), time.monotonic()
		daemon.send_signal(signal.SIGCONT)
		wait.until("it is tried", lambda: attested.status()["evidence"]["waiting"] == 4, explain=attested.status)
		wait.until("nobody waits", lambda: attested.status()["evidence"]["waiting"] == 0, explain=attested.status)
		took, used = time.monotonic() - began, cpu_seconds(attested) - before
		assert attested.refused("unavailable") == 4
		assert used < took / 4, f"{used} s of a processor in {took} s"
	finally:
		daemon.send_signal(signal.SIGCONT)
		for agent in hanging:
			agent.run.kill()
