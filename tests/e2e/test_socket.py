# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what over the local socket, and that nobody asks in another's name.

Requests are made by hand (proto/affiant/v1/api.proto): what libaffiant would never send.
"""

import ctypes
import errno
import json
import os
import struct
import subprocess
import threading
import uuid

import pytest

from harness import daemon as daemons
from harness import wait

LAUNCHER, READER, NOBODY = 65533, 65532, 65534

# A small client for scripts: hello(), ask(), and what they need.
CLIENT = """
import array, os, socket, sys
GET_STATUS = b"\\x6a\\x00"
def open_session(agent, pidfd=False, principal=None):
	body = b"\\x0a" + bytes([len(agent)]) + agent
	if principal:
		body += b"\\x1a" + bytes([len(principal)]) + principal
	if pidfd:
		body += b"\\x30\\x01"
	return b"\\x52" + bytes([len(body)]) + body
def connect(path):
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect(path)
	return s
def challenge(s):
	said = s.recv(65536)
	at = said.index(b"\\x12\\x20") + 2
	return said[at:at + 32]
def ask(s, challenge, call, *fds):
	rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
	s.sendmsg([b"\\x0a\\x20" + challenge + call], rights)
	answer = s.recv(65536)
	failed = answer[:1] == b"\\x0a"	# field 1 of Response: an Error
	return " ".join(answer.decode("ascii", "ignore").split()) if failed else "granted" if answer else "closed"
"""


def script(text):
	return ["/usr/bin/python3", "-c", CLIENT + text]


def granted(daemon, text, *arguments, **more):
	"""What a script outside of any session says, which gets the socket's path first."""
	done = subprocess.run([*script(text), daemon.socket, *map(str, arguments)], capture_output=True, text=True, check=False,
			      env=daemons.environment(), **more)
	assert done.returncode == 0, done.stderr
	return done.stdout


# ---- in nobody else's name ----

def test_asks_and_is_answered(daemon):
	"""That the client made by hand is understood."""
	assert granted(daemon, "s = connect(sys.argv[1]); print(ask(s, challenge(s), GET_STATUS))") == "granted\n"


def test_stale_challenge(daemon):
	said = granted(daemon, "s = connect(sys.argv[1]); c = challenge(s); print(ask(s, c, GET_STATUS)); print(ask(s, c, GET_STATUS));"
			       "print(repr(s.recv(1)))")
	first, second, end = said.splitlines()
	assert first == "granted"
	assert "challenge" in second
	assert end == "b''"


def test_connects_then_enters_a_session(daemon):
	"""The same process, the same descriptor, a challenge that is good; but it is an agent now."""
	inner = "s = socket.socket(fileno=int(sys.argv[1])); print(ask(s, bytes.fromhex(sys.argv[2]), GET_STATUS))"
	outer = """
s = connect(sys.argv[1])
c = challenge(s)
s.set_inheritable(True)
os.execv(sys.argv[2], [sys.argv[2], "run", "--socket", sys.argv[1], "--agent", "tester", "--", "/usr/bin/python3", "-c", sys.argv[3],
		      str(s.fileno()), c.hex()])
"""
	assert "denied" in granted(daemon, outer, daemons.AFFIANT, CLIENT + inner)


def test_connects_then_executes(daemon):
	"""In a session, what was asked for before an exec is not answered to what runs after it."""
	inner = "s = socket.socket(fileno=int(sys.argv[1])); print(ask(s, bytes.fromhex(sys.argv[2]), open_session(b'other')))"
	outer = """
s = connect(sys.argv[1])
c = challenge(s)
s.set_inheritable(True)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], str(s.fileno()), c.hex()])
"""
	run = daemon.run(*script(outer), daemon.socket, CLIENT + inner)
	assert "executed something" in run.stdout
	assert not daemon.records("--agent", "other")


def test_passed_descriptor(daemon):
	"""An outsider's connection in an agent's hands, with its challenge."""
	outer = """
import subprocess
s = connect(sys.argv[1])
c = challenge(s)
print(subprocess.run([sys.argv[2], "run", "--socket", sys.argv[1], "--agent", "tester", "--", "/usr/bin/python3", "-c", sys.argv[3],
		      str(s.fileno()), c.hex()], pass_fds=[s.fileno()], capture_output=True, text=True).stdout, end="")
"""
	inner = "s = socket.socket(fileno=int(sys.argv[1])); print(ask(s, bytes.fromhex(sys.argv[2]), open_session(b'other')))"
	assert "not from the process that connected" in granted(daemon, outer, daemons.AFFIANT, CLIENT + inner)
	assert not daemon.records("--agent", "other")


# ---- what an agent may not ----

@pytest.mark.parametrize("call", ["open_session(b'other')", "open_session(b'tester')",
				  "open_session(b'other', principal=b'bob@example.com')", "GET_STATUS"],
			 ids=["another", "again", "principal", "read"])
def test_agent(daemon, call):
	run = daemon.run(*script(f"s = connect(sys.argv[1]); print(ask(s, challenge(s), {call}))"), daemon.socket)
	assert "a process of a session may not" in run.stdout
	found = run.records()
	assert len(found.of("session_started")) == 1
	assert not any(r.HasField("principal") for r in found)
	assert not daemon.records("--agent", "other")


def test_agent_for_somebody_else(daemon, programs):
	"""With the pidfd of an outsider, or of its own child."""
	with subprocess.Popen([programs["wait_input"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outsider:
		assert outsider.stdout.readline()
		run = daemon.run(*script("s = connect(sys.argv[1]); print(ask(s, challenge(s), open_session(b'other', pidfd=True), "
					 "os.pidfd_open(int(sys.argv[2]))))"), daemon.socket, outsider.pid)
		assert "a process of a session may not" in run.stdout
		assert not json.loads(daemon.affiant("match", "-o", "json", outsider.pid).stdout)["tagged"]
	assert not daemon.records("--agent", "other")


def test_outsider_takes_nobody_from_a_session(daemon):
	"""Not even root retags."""
	run = daemon.launch("/bin/cat", stdin=subprocess.PIPE)
	run.wait_exec("/bin/cat")
	said = granted(daemon, "s = connect(sys.argv[1]); print(ask(s, challenge(s), open_session(b'other', pidfd=True), "
			       "os.pidfd_open(int(sys.argv[2]))))", run.pid)
	assert "of a session already" in said
	run.wait()
	assert {r.agent.name for r in run.records()} == {"tester"}


def test_launchers_agent_is_no_launcher(roles):
	run = roles.run(*script("s = connect(sys.argv[1]); print(ask(s, challenge(s), open_session(b'second')))"), roles.socket,
			before=as_user(LAUNCHER))
	assert "a process of a session may not" in run.stdout


# ---- users and groups ----

def as_user(uid, *groups):
	more = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
	return ["setpriv", f"--reuid={uid}", f"--regid={uid}", more, "--"]


@pytest.fixture
def roles(new_daemon):
	"""One user may launch, another group read; a third is of both groups."""
	return new_daemon(f"""launchers:
  users: ["{LAUNCHER}"]
  groups: ["4711"]
readers:
  users: ["{READER}"]
  groups: ["4712"]
agents:
  - name: tester
  - name: second
""")


def may(daemon, before, *command):
	done = subprocess.run([*before, str(daemons.AFFIANT), *command[:1], "--socket", str(daemon.socket), *map(str, command[1:])],
			      capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=daemons.environment())
	assert done.returncode == 0 or done.stderr
	return done.returncode == 0


@pytest.mark.parametrize("uid, groups, launches, reads", [
	(LAUNCHER, (), True, False), (READER, (), False, True), (NOBODY, (), False, False), (NOBODY, (4711,), True, False),
	(NOBODY, (4712,), False, True), (NOBODY, (4711, 4712), True, True), (NOBODY, (4713,), False, False), (0, (), True, True)],
	ids=lambda value: str(value))
def test_roles(roles, uid, groups, launches, reads):
	before = as_user(uid, *groups)
	assert may(roles, before, "run", "--agent", "tester", "--", "/bin/true") == launches
	assert may(roles, before, "run", "--agent", "third", "--", "/bin/true") is False
	for reading in ("sessions", "status", "events"):
		assert may(roles, before, reading) == reads, reading


def test_launcher_ends_its_own_alone(roles):
	runs = {uid: roles.launch("/bin/cat", stdin=subprocess.PIPE, before=as_user(uid, 4711)) for uid in (LAUNCHER, NOBODY)}
	session = {uid: str(uuid.UUID(bytes=run.wait_exec("/bin/cat").session.id)) for uid, run in runs.items()}
	assert not may(roles, as_user(LAUNCHER), "session", "end", session[NOBODY])
	assert not runs[NOBODY].records_so_far().of("session_ended")
	assert may(roles, as_user(LAUNCHER), "session", "end", session[LAUNCHER])
	for run in runs.values():
		run.wait()
	reasons = {uid: run.records().one("session_ended").session_ended.reason for uid, run in runs.items()}
	assert reasons == {LAUNCHER: 2, NOBODY: 1}


def test_launcher_opens_for_its_own_user_alone(roles, programs):
	ask = "s = connect(sys.argv[1]); print(ask(s, challenge(s), open_session(b'tester', pidfd=True), os.pidfd_open(int(sys.argv[2]))))"
	said = {}
	for uid in (LAUNCHER, NOBODY):
		with subprocess.Popen([*as_user(uid), programs["wait_input"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
				      text=True) as process:
			assert process.stdout.readline()
			done = subprocess.run([*as_user(LAUNCHER), *script(ask), roles.socket, str(process.pid)], capture_output=True,
					      text=True, env=daemons.environment(), check=True)
			said[uid] = done.stdout
	assert said[LAUNCHER] == "granted\n"
	assert "another user's" in said[NOBODY]


def test_match_tells_a_launcher_of_no_session_of_others(roles):
	"""What sessions there are is for readers."""
	run = roles.launch("/bin/cat", stdin=subprocess.PIPE, options=["--on-behalf-of", "alice@example.com"])
	run.wait_exec("/bin/cat")
	for before, told in ((as_user(READER), True), (as_user(LAUNCHER), False), ([], True)):
		done = subprocess.run([*before, str(daemons.AFFIANT), "match", "--socket", str(roles.socket), "-o", "json", str(run.pid)],
				      capture_output=True, text=True, check=False, env=daemons.environment())
		assert ("alice@example.com" in done.stdout) == told, before
	run.wait()


# ---- what it passes ----

class SilentFile:
	"""A file of a filesystem in user space that answers everything but the close of a descriptor."""

	INIT, GETATTR, OPEN, FLUSH = 26, 3, 14, 25

	def __init__(self, path):
		self.path = path
		path.touch()
		try:
			self.server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
		except OSError as error:
			pytest.skip(f"no FUSE here: {error}")
		self.libc = ctypes.CDLL(None, use_errno=True)
		options = f"fd={self.server},rootmode=100666,user_id=0,group_id=0,allow_other".encode()
		if self.libc.mount(b"silent", os.fsencode(path), b"fuse", 0, options):
			os.close(self.server)
			pytest.skip(f"no FUSE here: {os.strerror(ctypes.get_errno())}")
		self.thread = threading.Thread(target=self._serve)
		self.thread.start()

	def _serve(self):
		"""include/uapi/linux/fuse.h: struct fuse_in_header, fuse_init_out, fuse_attr_out, fuse_open_out."""
		answers = {
			self.INIT: struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 12, 10, 65536, 1, 1, *[0] * 9),
			self.GETATTR: struct.pack("<Q2I6Q10I", 1, 0, 0, 1, *[0] * 5, *[0] * 3, 0o100666, 1, 0, 0, 0, 4096, 0),
			self.OPEN: struct.pack("<Q2I", 1, 0, 0),
		}
		while True:
			try:
				request = os.read(self.server, 1 << 17)
			except OSError:	# aborted
				return
			_, code, unique = struct.unpack_from("<IIQ", request)
			if code in answers:
				os.write(self.server, struct.pack("<IiQ", 16 + len(answers[code]), 0, unique) + answers[code])
			elif code != self.FLUSH:
				os.write(self.server, struct.pack("<IiQ", 16, -errno.ENOSYS, unique))

	def remove(self):
		"""Whoever waits for an answer gets an error now."""
		self.libc.umount2(os.fsencode(self.path), 1 | 2)	# MNT_FORCE | MNT_DETACH
		self.thread.join()
		os.close(self.server)


PASSES = """
fd = os.open(sys.argv[2], os.O_RDONLY)
s = connect(sys.argv[1])
print(ask(s, challenge(s), GET_STATUS, fd), flush=True)
"""


@pytest.mark.parametrize("how", ["outsider", "agent"])
def test_a_descriptor_whose_close_is_never_answered(new_daemon, place, how):
	"""Nobody but a launcher makes a descriptor the daemon's: closing it would keep the daemon for good."""
	daemon = new_daemon()
	silent = SilentFile(place / "file")
	command = [*script(PASSES), str(daemon.socket), str(silent.path)]
	try:
		if how == "agent":
			sender = daemon.launch(*command).process
		else:
			sender = subprocess.Popen(command, user=NOBODY, group=NOBODY, extra_groups=[],
						  stdout=subprocess.PIPE, text=True, env=daemons.environment())
		assert "pass descriptors" in sender.stdout.readline()
		assert daemon.affiant("status").returncode == 0
	finally:
		silent.remove()
		sender.communicate(timeout=wait.DEADLINE)
