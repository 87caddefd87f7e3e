# SPDX-License-Identifier: Apache-2.0
"""Unix sockets: where a connect or a datagram went, and that no name can be taken for another."""

import collections
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from harness import wait
from harness.cgroups import inside
from harness.records import outcome, protocol

PYTHON = sys.executable


@pytest.fixture(scope="module", autouse=True)
def hooks(daemon):
	missing = daemon.records().one("daemon_started").daemon_started.missing
	absent = [word for word in ("connect_unix", "sendmsg_unix") if word in missing]
	if absent:
		pytest.skip(f"this kernel has no hook for Unix sockets: {', '.join(absent)} (since 6.7)")


@contextlib.contextmanager
def listening(name, kind=socket.SOCK_STREAM):
	"""A socket of that name: a path, relative to where we are, or an abstract name that begins with NUL."""
	with socket.socket(socket.AF_UNIX, kind) as listener:
		listener.bind(name)
		if kind == socket.SOCK_STREAM:
			listener.listen(1000)
		yield listener


def agent(daemon, script, *arguments, **more):
	"""A Python script as an agent, with 'socket' and 'os' at hand; its Unix records."""
	prelude = "import os, socket, sys\nargs = sys.argv[1:]\n"
	run = daemon.run(PYTHON, "-c", prelude + script, *arguments, **more)
	return run.records().connects.where(lambda r: protocol(r.connect) == "unix")


CONNECT = """
for name in args:
	with socket.socket(socket.AF_UNIX) as s:
		s.connect(os.fsencode(name).replace(b'@', b'\\0', 1) if name.startswith('@') else name)
"""

SENDTO = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for name in args:
	s.sendto(b'x', name)
"""


def reached(record):
	return os.fsdecode(record.connect.reached.path)


def resolved(record):
	endpoint = record.connect.reached
	return os.fsdecode(endpoint.resolved) if endpoint.HasField("resolved") else None


# ---- where a relative path led ----

@pytest.mark.parametrize("asked, led", [
	("listener", "here/listener"),
	("./listener", "here/listener"),
	(".//./listener", "here/listener"),
	("../here/listener", "here/listener"),
	("../../{place}/here/listener", "here/listener"),
	("../../../../../../../../tmp/{place}/here/listener", "here/listener"),
	("link/listener", "here/link/listener"),
	("link/../here/listener", "here/link/../here/listener"),	# of a link ".." is elsewhere: it is not resolved
	("here/../listener", "here/here/../listener"),
])
def test_relative(daemon, place, asked, led):
	here = place / "here"
	(here / "here").mkdir(parents=True)
	(here / "link").symlink_to(".")
	if asked == "link/../here/listener":
		(here / "link").unlink()
		(here / "link").symlink_to("here")
		(here / "here/listener").symlink_to("../listener")
	asked = asked.format(place=place.name)
	with listening(str(here / "listener")):
		record = agent(daemon, CONNECT, asked, cwd=here).only()
	assert reached(record) == asked
	assert resolved(record) == f"{place}/{led}"
	assert outcome(record.connect) == "attempted"


def test_absolute_and_abstract_are_resolved_already(daemon, place):
	with listening(str(place / "listener")), listening("\0affiant-test-abstract"):
		records = agent(daemon, CONNECT, place / "listener", "@affiant-test-abstract", cwd=place)
	assert [reached(r) for r in records] == [f"{place}/listener", "\0affiant-test-abstract"]
	assert [resolved(r) for r in records] == [None, None]


def test_from_a_directory_gone_to(daemon, place):
	for name in ("one", "two"):
		(place / name).mkdir()
	script = CONNECT.replace("for name in args:", "for at in ('one', 'two'):\n\tos.chdir(args[0] + '/' + at)\n\tname = 's'")
	with listening(str(place / "one/s")), listening(str(place / "two/s")):
		records = agent(daemon, script, place)
	assert [resolved(r) for r in records] == [f"{place}/one/s", f"{place}/two/s"]


def test_within_a_root_of_its_own(daemon, place):
	"""What the process calls it, as the paths of executables are."""
	(place / "root/in").mkdir(parents=True)
	script = "os.chroot(args.pop()); os.chdir('/in')\n" + CONNECT
	with listening(str(place / "root/in/s")):
		assert resolved(agent(daemon, script, "s", place / "root").only()) == "/in/s"
		assert resolved(agent(daemon, script, "../in/s", place / "root").only()) == "/in/s"


def test_at_the_root(daemon, place):
	name = str(place / "s")
	with listening(name):
		assert resolved(agent(daemon, CONNECT, name[1:], cwd="/").only()) == name


@pytest.mark.parametrize("depth, length, fits", [(6, 200, False), (100, 3, False), (55, 3, True), (4, 240, True)],
			 ids=["long", "deep", "deep and whole", "long and whole"])
def test_a_directory_that_does_not_fit(daemon, place, depth, length, fits):
	"""The end of it, which is said by dots; or all of it."""
	names = [f"{n:0{length}}" for n in range(depth)]
	script = "for n in args.pop().split('/'): os.mkdir(n); os.chdir(n)\n" \
		"l = socket.socket(socket.AF_UNIX); l.bind('s'); l.listen()\n" + CONNECT
	record = agent(daemon, script, "s", "/".join(names), cwd=place).only()
	whole = f"{place}/{'/'.join(names)}/s"
	got = resolved(record)
	if fits:
		assert got == whole
	else:
		assert got.startswith(".../") and got[3:] == whole[len(whole) - len(got) + 3:]
		assert len(got) > 150
	assert daemon.affiant("events", "--session", record_session(record)).returncode == 0


def record_session(record):
	value = record.session.id.hex()
	return "-".join((value[:8], value[8:12], value[12:16], value[16:20], value[20:]))


CROWD = """
os.chdir(args[0])
def work(n):
	for turn in range(int(args[1])):
		with socket.socket(socket.AF_UNIX) as s:
			s.connect('s')
for n in range(8):
	if not os.fork():
		os.chdir(str(n))
		work(n)
		os._exit(0)
for n in range(8):
	assert os.wait()[1] == 0
"""


def test_many_at_once(daemon, place):
	"""Each of 8 processes in a directory of its own: none is told with another's."""
	turns = 400
	for n in range(8):
		(place / str(n)).mkdir()
	with contextlib.ExitStack() as stack:
		for n in range(8):
			listener = stack.enter_context(listening(str(place / str(n) / "s")))
			listener.setblocking(True)
			drain(stack, listener)
		records = agent(daemon, CROWD, place, turns)
	assert len(records) == 8 * turns
	by = collections.defaultdict(collections.Counter)
	for record in records:
		by[record.process.id.tgid][resolved(record)] += 1
	assert sorted(tuple(count.items()) for count in by.values()) == [((f"{place}/{n}/s", turns),) for n in range(8)]


def drain(stack, listener):
	"""Accepts and closes, until the end."""
	def work():
		while True:
			try:
				listener.accept()[0].close()
			except OSError:
				return

	thread = threading.Thread(target=work, daemon=True)
	thread.start()
	stack.callback(thread.join, 5)
	stack.callback(listener.shutdown, socket.SHUT_RDWR)


MOVING = """
import threading
os.chdir(args[0])
def move():
	while not done:
		os.chdir('../one'); os.chdir('../two')
done = False
os.chdir('one')
thread = threading.Thread(target=move)
thread.start()
count = 0
while count < 300:
	with socket.socket(socket.AF_UNIX) as s:
		s.connect('s')
		count += 1
done = True
thread.join()
"""


def test_while_a_thread_changes_the_directory(daemon, place):
	"""It may be the one or the other, and nothing else."""
	for name in ("one", "two"):
		(place / name).mkdir()
	with contextlib.ExitStack() as stack:
		for name in ("one", "two"):
			drain(stack, stack.enter_context(listening(str(place / name / "s"))))
		records = agent(daemon, MOVING, place)
	assert len(records) == 300
	assert {resolved(r) for r in records} <= {f"{place}/one/s", f"{place}/two/s"}


# ---- names that look alike ----

def test_names_that_look_alike(daemon, place):
	"""An abstract name, a file that is called so, and files called like other things that are shown."""
	script = """
for name in (b'\\0x', b'@x', b'\\0@x', b'(unnamed)', b'.../x', b'\\0/run/docker.sock'):
	with socket.socket(socket.AF_UNIX) as s:
		try:
			s.connect(name)
		except OSError:
			pass
"""
	before = len(daemon.events())
	agent(daemon, script, cwd=place)
	events = [e for e in daemon.events()[before:] if e["metadata"]["event_code"] == "connect"]
	assert [e["dst_endpoint"]["name"] for e in events] == [
		"@x", f"{place}/@x", "@@x", f"{place}/(unnamed)", f"{place}/.../x", "@/run/docker.sock"]
	assert [e["unmapped"]["unix"]["abstract"] for e in events] == [True, False, True, False, False, True]
	assert [e["unmapped"]["unix"]["path"] for e in events] == ["x", "@x", "@x", "(unnamed)", ".../x", "/run/docker.sock"]
	assert [e["unmapped"]["unix"].get("resolved") for e in events] == [
		None, f"{place}/@x", None, f"{place}/(unnamed)", f"{place}/.../x", None]
	lines = [line for line in daemon.affiant("events").stdout.splitlines() if "/unix" in line][-6:]
	assert [line.split()[6] for line in lines] == [
		"@x/unix", f"{place}/@x/unix", "@@x/unix", f"{place}/(unnamed)/unix", f"{place}/.../x/unix", "@/run/docker.sock/unix"]
	assert [reached(r) for r in daemon.records("--dst", "@x")][-1:] == ["\0x"]
	assert [reached(r) for r in daemon.records("--dst", f"{place}/*")] == ["@x", "(unnamed)", ".../x"]


def test_no_byte_that_was_not_passed(daemon, place):
	"""An address that ends before a NUL, one with bytes behind it, and one that is full."""
	script = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def connect(path):
	with socket.socket(socket.AF_UNIX) as s:
		address = (socket.AF_UNIX).to_bytes(2, sys.byteorder) + path
		libc.connect(s.fileno(), address, len(address))
for path in (b'/x', b'/x\\0garbage', b'/' + 107 * b'y', b'\\0', b'\\0a\\0b', b''):
	connect(path)
"""
	records = agent(daemon, script, cwd=place)
	assert [r.connect.reached.path for r in records] == [b"/x", b"/x", b"/" + 107 * b"y", b"\0", b"\0a\0b"]


# ---- datagrams ----

def test_datagrams_are_told_once(daemon, place):
	"""For each socket, path and actor."""
	script = """
a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for turn in range(1000):
	a.sendto(b'x', args[0])
a.sendto(b'x', args[1])
a.sendto(b'x', args[0])
b.sendto(b'x', args[0])
if not os.fork():
	a.sendto(b'x', args[0])
	a.sendto(b'x', args[0])
	os._exit(0)
assert os.wait()[1] == 0
"""
	with contextlib.ExitStack() as stack:
		names = [str(place / name) for name in ("one", "two")]
		for name in names:
			receive(stack, stack.enter_context(listening(name, socket.SOCK_DGRAM)))
		records = agent(daemon, script, *names)
	one, two = names
	assert [reached(r) for r in records] == [one, two, one, one]
	assert all(r.connect.by_datagram and outcome(r.connect) == "attempted" for r in records)
	cookies = [r.connect.connection.cookie for r in records]
	assert cookies[0] == cookies[1] == cookies[3] != cookies[2]
	assert records[3].process.id.tgid != records[0].process.id.tgid
	assert len({r.connect.connection.number for r in records}) == 4


def receive(stack, listener):
	def work():
		while listener.recv(64):
			pass

	thread = threading.Thread(target=work, daemon=True)
	thread.start()
	stack.callback(thread.join, 5)
	stack.callback(listener.shutdown, socket.SHUT_RDWR)


def test_datagrams_of_a_connected_socket(daemon, place):
	"""Told at the connect; an address that they name is another destination."""
	script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(args[0])
s.send(b'x'); s.send(b'x')
s.sendto(b'x', args[1])
"""
	with contextlib.ExitStack() as stack:
		names = [str(place / name) for name in ("one", "two")]
		for name in names:
			receive(stack, stack.enter_context(listening(name, socket.SOCK_DGRAM)))
		records = agent(daemon, script, *names)
	assert [(reached(r), r.connect.by_datagram) for r in records] == [(names[0], False), (names[1], True)]


def test_datagrams_by_relative_paths(daemon, place):
	"""The same words from another directory lead elsewhere."""
	script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for turn in range(3):
	for at in ('one', 'two'):
		os.chdir(args[0] + '/' + at)
		s.sendto(b'x', 's')
"""
	with contextlib.ExitStack() as stack:
		for name in ("one", "two"):
			(place / name).mkdir()
			receive(stack, stack.enter_context(listening(str(place / name / "s"), socket.SOCK_DGRAM)))
		records = agent(daemon, script, place)
	assert [resolved(r) for r in records] == [f"{place}/one/s", f"{place}/two/s"]


def test_datagrams_to_directories_that_come_and_go(daemon, place):
	"""A directory gets the inode number of one that is gone, on ext4 at once."""
	script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for turn in range(20):
	at = '%s/%d' % (args[0], turn)
	os.mkdir(at)
	os.chdir(at)
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
		receiver.bind('s')
		s.sendto(b'x', 's')
	os.unlink('s')
	os.chdir('/')
	os.rmdir(at)
"""
	with tempfile.TemporaryDirectory(dir="/var/tmp") as at:
		records = agent(daemon, script, at)
	assert [resolved(r) for r in records] == [f"{at}/{turn}/s" for turn in range(20)]


def test_every_path_of_many_is_told(daemon, place):
	"""More than the kernel remembers, so often that what was forgotten comes again: told again, never not at all."""
	script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for turn in range(2):
	for n in range(6000):
		try:
			s.sendto(b'x', f'/nonexistent/{n}')
		except OSError:
			pass
"""
	records = agent(daemon, script)
	assert {reached(r) for r in records} == {f"/nonexistent/{n}" for n in range(6000)}
	assert len({r.id for r in records}) == len(records)
	assert not daemon.records("--type", "lost")


def test_nobody_makes_others_forget(daemon, place):
	"""A session that sends to ever new sockets, and another whose own is told once all the while."""
	script = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
print('ready', flush=True)
while not os.path.exists(args[1]):
	s.sendto(b'x', args[0])
"""
	flood = """
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for n in range(10000):
	try:
		s.sendto(b'x', f'/nonexistent/{n}')
	except OSError:
		pass
"""
	name, stop = str(place / "s"), place / "stop"
	with contextlib.ExitStack() as stack:
		receive(stack, stack.enter_context(listening(name, socket.SOCK_DGRAM)))
		quiet = daemon.launch(PYTHON, "-c", "import os, socket, sys\nargs = sys.argv[1:]\n" + script, name, stop)
		assert quiet.line() == "ready"
		found = agent(daemon, flood)
		stop.touch()
		quiet.wait()
	assert {reached(r) for r in found} == {f"/nonexistent/{n}" for n in range(10000)}
	assert [reached(r) for r in quiet.records().connects if protocol(r.connect) == "unix"] == [name]


def test_refused_and_then_let_through(daemon, programs, place, cgroup):
	"""By somebody else's program: told once each."""
	script = """
import time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def send():
	try:
		s.sendto(b'x', args[0])
	except PermissionError:
		return False
	return True
def connect():
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as t:
		t.connect(args[0])
assert not send() and not send()
try:
	connect()
	sys.exit(1)
except PermissionError:
	pass
print('refused', flush=True)
sys.stdin.readline()
assert send() and send()
connect()
"""
	name = str(place / "s")
	with contextlib.ExitStack() as stack:
		receive(stack, stack.enter_context(listening(name, socket.SOCK_DGRAM)))
		denier = subprocess.Popen([programs["deny_unix"], cgroup], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		try:
			assert denier.stdout.readline() == "attached\n"
			run = daemon.launch(*inside(cgroup, PYTHON, "-c", "import os, socket, sys\nargs = sys.argv[1:]\n" + script, name),
					    stdin=subprocess.PIPE)
			assert run.line() == "refused"
		finally:
			denier.communicate(timeout=wait.DEADLINE)
		assert denier.returncode == 0
		run.process.stdin.write("\n")
		run.process.stdin.flush()
		run.wait()
	assert run.returncode == 0, run.stderr
	records = run.records().connects.where(lambda r: reached(r) == name)
	assert [(outcome(r.connect), r.connect.by_datagram) for r in records] == [
		("denied", True), ("denied", False), ("attempted", True), ("attempted", False)]


def test_an_outsiders_datagrams_leave_no_trace(daemon, place):
	name = str(place / "s")
	with contextlib.ExitStack() as stack:
		receive(stack, stack.enter_context(listening(name, socket.SOCK_DGRAM)))
		with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
			sender.sendto(b"x", name)
			daemon.run("/bin/true").records()
	assert not daemon.records("--dst", name)


# ---- what everybody does ----

def test_wellknown_sockets(daemon, place):
	"""Left out of the lines alone, which is said; asked for, or not quite so called, they are there."""
	names = ["/run/systemd/journal/stdout", "/run/systemd/userdb/io.systemd.DynamicUser", "/var/run/nscd/socket"]
	others = ["/run/systemd/userdb/../private", "/run/systemd/journal/", "/run/dbus/system_bus_socket",
		  "/run/systemd/userdb/a/b", "@/var/run/nscd/socket"]
	script = CONNECT.replace("s.connect", "s.connect_ex")
	run = daemon.run(PYTHON, "-c", "import os, socket, sys\nargs = sys.argv[1:]\n" + script, *names, *others)
	assert len(run.records().connects.where(lambda r: protocol(r.connect) == "unix")) == 8

	def shown(*options):
		done = daemon.affiant("events", "--task", run.task, "--type", "connect", *options)
		assert done.returncode == 0
		return [line.split()[6].removesuffix("/unix") for line in done.stdout.splitlines()], done.stderr

	found, said = shown()
	assert found == others
	assert said == "affiant events: 3 connects to well-known sockets of the system are left out: --all shows them\n"
	assert shown("--all") == (names + others, "")
	assert shown("--dst", "/run/*") == ([n for n in names + others if n.startswith("/run/")], "")
	assert shown("--last", "5")[0] == others
	assert len(daemon.events("--task", run.task, "--type", "connect")) == 8
