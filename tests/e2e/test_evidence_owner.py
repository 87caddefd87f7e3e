# SPDX-License-Identifier: Apache-2.0
"""One process can't get another's evidence: neither by reaching into it, nor by being taken for it."""

import json
import os
import shutil
import subprocess
import time
import uuid

import pytest

from harness import raw, wait
from harness.evidence import LIBRARY, Taken, library_environment
from harness.raw import script

OTHER = 65533	# nobody's
EVIDENCE, PROOF = "evidence", "proof"


@pytest.fixture
def suspended(attested):
	"""The TPM does not answer until suspended.resume()."""
	attested.tpm.suspend()
	yield attested.tpm
	attested.tpm.resume()


def launch(attested, text, *arguments, **more):
	return attested.daemon.launch(*script(text), attested.daemon.socket, *arguments, stdin=subprocess.PIPE,
				      env={"PYTHONPATH": raw.api()}, **more)


def tell(run):
	run.process.stdin.write("\n")
	run.process.stdin.flush()


def test_made_by_hand(attested):
	"""That the requests below are understood, and refused for what they are."""
	run = launch(attested, "s, c = connect(sys.argv[1]); s.send(evidence(c)); say(answer(s))")
	assert run.line() == EVIDENCE
	run.wait()


# ---- siblings of the same user ----

@pytest.fixture
def landlock(attested):
	attested.daemon.run("/bin/true", options=["--isolation", "landlock"])


@pytest.mark.parametrize("how", ["vm_write", "vm_read", "getfd", "mem", "ptrace", "trace"])
def test_sibling_reaches_in(attested, programs, landlock, how):
	victim = attested.agent(user=(OTHER, OTHER))
	before = victim.evidence().check()
	assert before.workload["isolation"] == "landlock"
	if how == "trace":	# a thread that is not the leader
		run = attested.daemon.run(programs["trace"], victim.ask("thread")["tid"], user=(OTHER, OTHER), check=False)
		assert "Operation not permitted" in run.stderr
	else:
		run = attested.daemon.run(programs["attack"], how, victim.pid, user=(OTHER, OTHER))
		assert run.stdout.strip() in ("EPERM", "EACCES")
	after = victim.evidence().check()
	assert after.workload["process"] == before.workload["process"]


def test_sibling_that_could(attested, programs):
	"""Without isolation the kernel lets it in: evidence says so, and is refused while a thread is traced."""
	victim = attested.agent(user=(OTHER, OTHER), options=["--isolation", "none"])
	assert victim.evidence().check().workload["isolation"] == "none"
	tid = victim.ask("thread")["tid"]
	tracer = attested.daemon.launch(programs["trace"], tid, user=(OTHER, OTHER), options=["--isolation", "none"],
					stdin=subprocess.PIPE)
	assert tracer.line() == f"tracing {tid}"
	assert victim.refusal() == "traced"
	tracer.wait()
	victim.evidence().check()


# ---- being taken for another ----

ASK_THEN_EXEC = """
s, c = connect(sys.argv[1])
say("connected")
input()
s.send(evidence(c))
os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", "-c", sys.argv[2], str(s.fileno())])
"""
READ = raw.CLIENT + """
s = socket.socket(fileno=int(sys.argv[1]))
say("trusted")
say(answer(s))
"""


def test_ask_then_exec(attested):
	"""The request is there, and who sent it has become a trusted program before the daemon reads it."""
	run = launch(attested, ASK_THEN_EXEC, READ)
	assert run.line() == "connected"
	attested.daemon.suspend()
	try:
		tell(run)
		assert run.line() == "trusted"
	finally:
		attested.daemon.resume()
	assert run.line().startswith(("denied: the process executed something", "closed"))
	run.wait()


def test_exec_between_request_and_answer(attested, suspended):
	"""Asked for and measured as one program: the next one does not get the answer."""
	batches = attested.status()["evidence"]["batches"]
	given = attested.status()["evidence"]["given"]
	run = launch(attested, ASK_THEN_EXEC.replace("os.execv", "input(); os.execv"), READ)
	assert run.line() == "connected"
	tell(run)
	attested.wait_batches(batches + 1)
	tell(run)
	assert run.line() == "trusted"
	run.wait_records("its exec", lambda r: len(r.execs) == 2)
	suspended.resume()
	assert run.line() == "closed"
	run.wait()
	assert attested.status()["evidence"]["given"] == given


def test_exec_before_the_answer_is_asked_for_anew(attested):
	"""The key that was held for what ran before is not the next one's either."""
	agent = attested.agent()
	before = agent.evidence()
	agent.ask("exec")
	assert agent.refusal("dpop") == "not_found"
	taken = agent.evidence().check()
	assert taken.workload["process"]["exec_seq"] == before.workload["process"]["exec_seq"] + 1
	assert taken.cnf != before.cnf


@pytest.mark.parametrize("thread", ["leader", "another"])
def test_traced_between_request_and_answer(attested, programs, suspended, thread):
	agent = attested.agent()
	tid = agent.ask("thread")["tid"] if thread == "another" else agent.pid
	batches = attested.status()["evidence"]["batches"]
	agent.begin("evidence")
	attested.wait_batches(batches + 1)
	with subprocess.Popen([programs["trace"], str(tid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
		assert tracer.stdout.readline()
		suspended.resume()
		assert agent.answer()["code"] == "traced"
		tracer.communicate()
	agent.evidence().check()


def test_session_ends_between_request_and_answer(attested, suspended):
	agent = attested.agent()
	session = agent.run.wait_exec("/usr/bin/python3").session
	batches = attested.status()["evidence"]["batches"]
	agent.begin("evidence")
	attested.wait_batches(batches + 1)
	assert attested.daemon.affiant("session", "end", str(uuid.UUID(bytes=session.id))).returncode == 0
	suspended.resume()
	assert agent.answer()["code"] == "session_ended"


def test_task_expires_between_request_and_answer(attested, suspended):
	agent = attested.agent(options=["--expires", "5s"])
	expires = agent.run.wait_exec("/usr/bin/python3").task.expires_wall_ns
	batches = attested.status()["evidence"]["batches"]
	agent.begin("evidence")
	attested.wait_batches(batches + 1)
	wait.until("the task has expired", lambda: time.time_ns() > expires)
	suspended.resume()
	assert agent.answer()["code"] == "task_expired"


def test_executable_upgraded_between_request_and_answer(attested, suspended, place):
	"""What runs goes on, and so does what was recorded of its exec."""
	program = wait.settled(shutil.copy("/usr/bin/python3", place / "python3"))
	agent = attested.agent(program=program)
	agent.run.wait_exec(program)
	batches = attested.status()["evidence"]["batches"]
	agent.begin("evidence")
	attested.wait_batches(batches + 1)
	shutil.copy("/usr/bin/env", f"{program}.new")
	os.rename(f"{program}.new", program)
	suspended.resume()
	assert agent.answer()["err"] == 0
	agent.evidence().check()


def test_executable_link_forged_between_request_and_answer(attested, suspended, programs):
	"""It was what it executed when it asked: it has to be so, too, once the quote is there."""
	batches = attested.status()["evidence"]["batches"]
	run = attested.daemon.launch(programs["forge_exe"], os.path.realpath("/usr/bin/python3"), LIBRARY, attested.daemon.socket,
				     "late", user=(OTHER, OTHER), env=library_environment(), stdin=subprocess.PIPE)
	attested.wait_batches(batches + 1)
	tell(run)
	assert "is now" in run.line()
	suspended.resume()
	assert run.line() == "executable_changed"
	run.wait()


def test_dies_between_request_and_answer(attested, suspended):
	"""And another one asks meanwhile: it gets its own."""
	victim, another = attested.agent(), attested.agent()
	batches = attested.status()["evidence"]["batches"]
	victim.begin("evidence")
	attested.wait_batches(batches + 1)
	another.begin("evidence")
	attested.wait_waiting(2)
	victim.run.kill()
	suspended.resume()
	answer = another.answer()
	assert answer["err"] == 0
	assert Taken(answer["cmw"]).check().workload["process"]["pid"] == another.pid


# ---- descriptors and numbers ----

def test_descriptor_passed_on(attested):
	"""A child sends on its parent's connection, with the challenge that came there; and the reverse."""
	run = launch(attested, """
s, c = connect(sys.argv[1])
if os.fork() == 0:
	s.send(evidence(c))
	say(answer(s))
	os._exit(0)
os.wait()
""")
	assert run.line().startswith("denied: the message is not from the process that connected")
	run.wait()


def test_answer_taken_by_another(attested):
	"""Who holds the descriptor can read what was sent: what the asking process shares, it gives away, and then it is told
	whose evidence it is."""
	run = launch(attested, """
s, c = connect(sys.argv[1])
s.send(evidence(c))
if os.fork() == 0:
	r = api.Response.FromString(s.recv(1 << 20))
	import base64, json
	eat = json.loads(r.evidence.cmw)["eat"][1]
	claims = base64.urlsafe_b64decode(eat + "==").split(b".")[1]
	say(json.loads(base64.urlsafe_b64decode(claims + b"=="))["submods"]["workload"]["process"]["pid"] == os.getppid())
	os._exit(0)
os.wait()
""")
	assert run.line() == "True"
	run.wait()


CLONE = """
libc = ctypes.CDLL(None, use_errno=True)
def clone_as(pid):
	wanted = ctypes.c_int(pid)
	args = struct.pack("<11Q", 0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
	return libc.syscall(435, args, len(args))	# clone3
"""
REUSED = CLONE + """
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
read, write = os.pipe()
first = os.fork()
if first == 0:
	_, c = connect(sys.argv[1], s)
	os.write(write, c)
	os._exit(0)
c = os.read(read, 32)
os.waitpid(first, 0)
child = clone_as(first)
if child == 0:
	s.send(CALL(c))
	say(os.getpid() == first, answer(s))
	os._exit(0)
if child < 0:
	say("skip", os.strerror(ctypes.get_errno()))
else:
	os.waitpid(child, 0)
"""


@pytest.mark.parametrize("call", ["evidence", "dpop"])
def test_pid_reused_on_purpose(attested, call):
	"""Another process with that number sends on a connection that the first one made."""
	run = launch(attested, REUSED.replace("CALL", call))
	said = run.line()
	run.wait()
	if said.startswith("skip"):
		pytest.skip(f"clone3 with set_tid: {said}")
	same, _, why = said.partition(" ")
	assert same == "True"
	assert why.startswith(("denied: the process", "closed")), why


HELD_THEN_REUSED = CLONE + """
first = os.fork()
if first == 0:
	s, c = connect(sys.argv[1])
	s.send(evidence(c))
	say(answer(s))
	os._exit(0)
os.waitpid(first, 0)
child = clone_as(first)
if child == 0:
	s, c = connect(sys.argv[1])
	s.send(dpop(c))
	say(os.getpid() == first, answer(s))
	os._exit(0)
if child > 0:
	os.waitpid(child, 0)
else:
	say("skip", os.strerror(ctypes.get_errno()))
"""


def test_key_of_a_pid_that_is_reused(attested):
	"""The key was held for the process that had this number before."""
	run = launch(attested, HELD_THEN_REUSED)
	assert run.line() == EVIDENCE
	said = run.line()
	run.wait()
	if said.startswith("skip"):
		pytest.skip(f"clone3 with set_tid: {said}")
	assert said.startswith("True not_found:"), said


# ---- held keys ----

def test_key_is_not_the_sessions(attested):
	"""Neither a child nor another process of the session gets a proof by it while its owner lives."""
	agent = attested.agent()
	agent.evidence()
	assert agent.refusal("child", command={"do": "dpop"}) == "not_found"
	assert agent.refusal("child", command={"do": "wpt"}) == "not_found"
	assert agent.ask("dpop")["err"] == 0


def test_child_has_evidence_of_its_own(attested):
	agent = attested.agent()
	mine = agent.evidence().check()
	answer = agent.ask("child", command={"do": "evidence"})
	theirs = Taken(answer["cmw"], json.loads(answer["cnf"])).check()
	assert theirs.cnf != mine.cnf
	assert theirs.workload["process"]["pid"] != mine.workload["process"]["pid"]
	assert [p["pid"] for p in theirs.workload["ancestors"]] == [agent.pid]


def test_child_after_the_session_ended(attested):
	agent = attested.agent()
	session = agent.run.wait_exec("/usr/bin/python3").session
	assert attested.daemon.affiant("session", "end", str(uuid.UUID(bytes=session.id))).returncode == 0
	assert agent.refusal("child", command={"do": "evidence"}) == "session_ended"
