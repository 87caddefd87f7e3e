# SPDX-License-Identifier: Apache-2.0
"""A session that has more processes than its quarter of the tags: what finds no room is told, followed and tagged again,
and nobody else notices. And exits that were lost are found, behind the daemon's own filter."""

import ctypes
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest

from harness import wait
from harness.evidence import Attested
from harness.load import idle, status
from harness.tally import Tally

TAGS = 64
SHARE = TAGS // 4
CONFIG = f"max_tags: {TAGS}\n"

# Makes processes as its input says: "fill N", "orphan", "room N", "connect", "end".
AGENT = """
import os, signal, socket, sys, time

def child(do=None):
	pid = os.fork()
	if pid:
		return pid
	if do:
		do()
	while True:
		signal.pause()

def connect(signum, frame):
	s = socket.socket()
	s.settimeout(5)
	try:
		s.connect(("127.0.0.1", PORT))
	except OSError:
		pass
	s.close()

def orphan(to):
	if os.fork():
		os._exit(0)
	os.setsid()
	if os.fork():
		os._exit(0)
	os.write(to, b"%d\\n" % os.getpid())
	null = os.open("/dev/null", os.O_RDWR)
	for fd in range(3):	# the test waits for their end
		os.dup2(null, fd)

PORT = int(sys.argv[1])
signal.signal(signal.SIGUSR1, connect)
pids = []
print("ready", flush=True)
for line in sys.stdin:
	word, *numbers = line.split()
	if word == "fill":
		pids += [child() for _ in range(int(numbers[0]))]
		print(*pids, flush=True)
	elif word == "orphan":
		read, write = os.pipe()
		pid = child(lambda: orphan(write))
		os.waitpid(pid, 0)
		print(os.read(read, 64).decode().strip(), flush=True)
	elif word == "room":
		for pid in pids[:int(numbers[0])]:
			os.kill(pid, signal.SIGKILL)
			os.waitpid(pid, 0)
		pids = pids[int(numbers[0]):]
		print("done", flush=True)
	elif word == "connect":
		os.kill(int(numbers[0]), signal.SIGUSR1)
		print("done", flush=True)
for pid in pids:
	os.kill(pid, signal.SIGKILL)
	os.waitpid(pid, 0)
"""


class Agent:
	def __init__(self, daemon, port=9, **more):
		self.daemon = daemon
		self.run = daemon.launch("/usr/bin/python3", "-c", AGENT, port, stdin=subprocess.PIPE, **more)
		assert self.run.line() == "ready"

	def do(self, *words):
		self.run.process.stdin.write(" ".join(map(str, words)) + "\n")
		self.run.process.stdin.flush()
		return self.run.line()

	def fill(self, count):
		return [int(pid) for pid in self.do("fill", count).split()]

	def orphan(self):
		return int(self.do("orphan"))

	def end(self):
		return self.run.wait()

	def records(self):
		return self.run.records_so_far()

	def connects(self, pid):
		return [r for r in self.records() if r.HasField("connect") and r.process.id.tgid == pid]

	def connects_seen(self, pid):
		"""It connects, and a record says so."""
		before = len(self.connects(pid))
		self.do("connect", pid)
		wait.until(f"the connection of {pid} is recorded", lambda: len(self.connects(pid)) > before)
		return self.connects(pid)[-1]


def lost(daemon):
	return [r.lost for r in daemon.records("--type", "lost")]


def named(daemon):
	return [p for each in lost(daemon) for p in each.processes]


def untagged_total(daemon):
	totals = {(c.stage, c.kind): c.count for each in lost(daemon) for c in each.totals}
	counts = sum(c.count for each in lost(daemon) for c in each.counts if (c.stage, c.kind) == ("tag", "process"))
	assert counts == totals.get(("tag", "process"), 0)
	return counts


def tags(daemon):
	return status(daemon)["tags"]


def test_more_than_a_quarter(new_daemon):
	"""Who finds no room is told by name, is seen once there is room, and another session has all of its own."""
	daemon = new_daemon(config=CONFIG)
	agent, other = Agent(daemon), Agent(daemon)
	pids = agent.fill(SHARE + 9)
	others = other.fill(SHARE - 1)
	without = pids[SHARE - 1:]
	wait.until("all are named", lambda: len(named(daemon)) == 10, explain=daemon.log)
	names = named(daemon)
	assert {p.id.tgid for p in names} == set(without)
	assert {p.parent.tgid for p in names} == {agent.run.pid}
	session = agent.run.wait_exec("/usr/bin/python3").session.id
	assert {p.session for p in names} == {session}
	assert untagged_total(daemon) == 10
	assert tags(daemon) == 2 * SHARE

	# What it does is not seen; and all of the other session is.
	agent.do("connect", without[0])
	for pid in (others[0], others[-1]):
		other.connects_seen(pid)
	assert not agent.connects(without[0])

	agent.do("room", 4)
	wait.until("as many have a tag again", lambda: tags(daemon) == 2 * SHARE)
	late = [pid for pid in without if tagged_again(agent, pid)]
	assert len(late) == 4
	for pid in late:
		record = agent.connects_seen(pid)
		assert record.process.late and record.session.untagged_children
	assert untagged_total(daemon) == 10

	agent.end(), other.end()
	records = agent.run.records()
	assert all(r.session.untagged_children for r in records if r.HasField("exit"))
	assert not any(r.session.untagged_children for r in other.run.records())
	# Each process has its end, also who never had a tag.
	assert {r.process.id.tgid for r in records if r.HasField("exit")} == {agent.run.pid, *pids}
	assert [r.session_ended.processes for r in records if r.HasField("session_ended")] == [len(pids) + 1]
	wait.until("all are gone", lambda: idle(daemon))
	assert tags(daemon) == 0


def tagged_again(agent, pid):
	"""Whether its connection is seen."""
	before = len(agent.connects(pid))
	agent.do("connect", pid)
	deadline = time.monotonic() + 1
	while time.monotonic() < deadline:
		if len(agent.connects(pid)) > before:
			return True
		time.sleep(0.1)
	return False


def test_an_orphan_is_found(new_daemon):
	"""Parents that end at once, a session of its own: the kernel knows whose it is all the same."""
	daemon = new_daemon(config=CONFIG)
	agent = Agent(daemon)
	agent.fill(SHARE - 1)
	pid = agent.orphan()
	wait.until("it is named", lambda: pid in {p.id.tgid for p in named(daemon)})
	assert untagged_total(daemon) == 3
	agent.do("connect", pid)
	agent.do("room", 2)
	wait.until("it has its tag", lambda: tags(daemon) == SHARE - 1)
	record = agent.connects_seen(pid)
	assert len(record.process.ancestry) == 3
	assert record.process.ancestry[-1].id.tgid == agent.run.pid
	agent.end()
	# The session goes on as long as it does.
	assert not agent.records().where(lambda r: r.HasField("session_ended"))
	os.kill(pid, signal.SIGKILL)
	assert agent.run.records().where(lambda r: r.HasField("session_ended"))
	wait.until("all are gone", lambda: idle(daemon))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_forgets_none(new_daemon, how):
	daemon = new_daemon(config=CONFIG)
	agent = Agent(daemon)
	pids = agent.fill(SHARE + 1)
	orphan = agent.orphan()
	wait.until("all are named", lambda: len(named(daemon)) == 5)
	getattr(daemon, how)()
	agent.do("room", 5)
	more = agent.fill(9)[-9:]
	daemon.start()
	wait.until("whoever came meanwhile is named", lambda: len(named(daemon)) == len({p.id.tgid for p in named(daemon)}) >= 5)
	agent.do("room", 9)
	wait.until("all have a tag", lambda: not status(daemon)["ring_used"] and tags(daemon) == len(pids) + 9 - 14 + 1 + 1)
	for pid in (orphan, more[-1]):
		assert agent.connects_seen(pid).session.untagged_children
	listed = daemon.affiant("sessions", "-o", "json").stdout
	assert '"untagged_children": true' in listed or '"untagged_children":true' in listed
	assert "untagged_children" in daemon.affiant("sessions").stdout
	os.kill(orphan, signal.SIGKILL)
	agent.end()
	records = agent.run.records()
	ids = [r.id for r in records]
	assert len(ids) == len(set(ids))
	ended = records.where(lambda r: r.HasField("session_ended")).only()
	assert ended.session_ended.processes == len(pids) + 9 + 3 + 1
	assert len(records.where(lambda r: r.HasField("exit"))) == ended.session_ended.processes
	wait.until("all are gone", lambda: idle(daemon))


def test_the_word_of_it_is_lost(new_daemon):
	"""No room in the ring either: the session is marked all the same, and its processes found."""
	daemon = new_daemon(config=CONFIG + "ring_bytes: 16KiB\n")
	agent = Agent(daemon)
	wait.until("the session has begun", lambda: not status(daemon)["ring_used"])
	daemon.suspend()
	pids = agent.fill(300)
	daemon.resume()
	wait.until("the losses are told", lambda: any((c.stage, c.kind) == ("ring", "tag_lost")
						      for each in lost(daemon) for c in each.counts), explain=daemon.log)
	wait.until("the session says so", lambda: "untagged_children" in daemon.affiant("sessions").stdout)
	assert untagged_total(daemon) == 300 - (SHARE - 1)
	agent.do("room", 290)
	wait.until("all have a tag", lambda: tags(daemon) == 11)
	for pid in pids[-2:]:
		agent.connects_seen(pid)
	agent.end()
	wait.until("all are gone", lambda: idle(daemon), deadline=60)


def test_evidence_is_refused(new_daemon):
	attested = Attested(new_daemon, more=CONFIG)
	agent, another = attested.agent(), attested.agent()
	agent.evidence()
	agent.ask("sleepers", count=SHARE)
	assert agent.refusal() == "untagged_children"
	assert agent.refusal("dpop") == "untagged_children"
	assert attested.refused("untagged_children") == 2
	another.evidence()
	agent.ask("sleepers_end")
	assert agent.refusal() == "untagged_children"
	attested.daemon.stop()
	attested.start()
	# Their connections went with the daemon: children have their own.
	assert agent.refusal("child", command={"do": "evidence"}) == "untagged_children"
	assert another.ask("child", command={"do": "evidence"})["err"] == 0
	attested.remove()


def test_a_share_that_is_kept_full_costs_little(new_daemon):
	"""Sleepers without number, without end: the daemon has its bound."""
	daemon = new_daemon(config=CONFIG)
	command = "while :; do for i in $(seq 60); do sleep 2 & done; wait -n; done"
	run = daemon.launch("/bin/bash", "-c", f"echo ready; {command}")
	assert run.line() == "ready"
	time.sleep(2)
	before, began = cpu(daemon), time.monotonic()
	time.sleep(8)
	spent = (cpu(daemon) - before) / (time.monotonic() - began)
	print(f"{spent:.3f} of a processor")
	assert spent < 0.5
	other = daemon.run("/bin/true")
	assert len(other.records().execs) == 1
	run.process.kill()
	run.wait()
	wait.until("all are gone", lambda: idle(daemon), deadline=60)
	assert tags(daemon) == 0


def cpu(daemon):
	fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- lost exits ----

BPF_MAP_UPDATE_ELEM, BPF_OBJ_GET, SYS_BPF = 2, 7, {"x86_64": 321, "aarch64": 280}[os.uname().machine]


def bpf(command, attributes):
	libc = ctypes.CDLL(None, use_errno=True)
	buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
	result = libc.syscall(SYS_BPF, command, buffer, 128)
	assert result >= 0, os.strerror(ctypes.get_errno())
	return result


def put_tag(daemon, tgid, start, session):
	"""A tag in the pinned map: as the exit of its process leaves it when the kernel skips the program there."""
	path = ctypes.create_string_buffer(str(daemon.pins / "map_tags").encode())
	fd = bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(path), 0, 0))
	key = ctypes.create_string_buffer(struct.pack("I", tgid), 4)
	value = ctypes.create_string_buffer(struct.pack("QQ48x", start, session), 64)
	bpf(BPF_MAP_UPDATE_ELEM, struct.pack("I4xQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0))
	os.close(fd)


def test_a_tag_without_a_process_goes(new_daemon):
	"""Behind the daemon's filter kill(2) tells nothing of a process."""
	daemon = new_daemon()
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	run.wait_exec("/bin/cat")
	gone = subprocess.Popen(["/bin/true"])
	gone.wait()
	put_tag(daemon, gone.pid, 5, 4711)
	put_tag(daemon, os.getpid(), 5, 4711)	# another's pid by now
	assert tags(daemon) >= 1	# on a busy machine it has found the others already
	wait.until("both tags are gone", lambda: tags(daemon) == 1)
	run.wait()


@pytest.mark.parametrize("tag", ["gone", "stays"])
def test_a_lost_exit_is_found(new_daemon, tag):
	"""The exit finds no room in the ring, or the program there is skipped: the process leaves the table, its session ends."""
	daemon = new_daemon(config="ring_bytes: 16KiB\n")
	run = daemon.launch("/bin/bash", "-c", "echo ready; read a; for i in $(seq 200); do /bin/true; done", stdin=subprocess.PIPE)
	assert run.line() == "ready"
	start = run.wait_exec("/bin/bash").process.id.start_boottime_ns
	daemon.suspend()
	run.wait()
	if tag == "stays":
		put_tag(daemon, run.pid, start, 4711)
	daemon.resume()
	wait.until("all are gone", lambda: idle(daemon), deadline=60)
	counted = Tally(daemon)
	assert counted.lost["ring", "exit"] > 0
	ended = daemon.records("--task", run.task, "--type", "session_ended")
	assert len(ended) == 1
	exits = daemon.records("--task", run.task, "--type", "exit")
	assert [r for r in exits if r.process.id.tgid == run.pid and not r.exit.HasField("status")]
