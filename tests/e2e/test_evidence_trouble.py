# SPDX-License-Identifier: Apache-2.0
"""A TPM in trouble: requests fail with a reason, or wait; nothing hangs, tracing goes on, and it works again afterwards."""

import time

import pytest

from harness import wait
from harness.disk import Disk
from harness.evidence import Attested, config
from harness.tpmproxy import LOCKOUT, QUOTE, RETRY, TpmProxy

EXECS = 50


@pytest.fixture
def new_attested(new_daemon):
	made = []

	def make(**more):
		made.append(Attested(new_daemon, **more))
		return made[-1]

	yield make
	for instance in made:
		instance.remove()


class Proxied:
	"""A daemon whose TPM is behind a proxy."""

	def __init__(self, new_attested, **more):
		self.attested = new_attested(ready=False, **more)
		front = self.attested.daemon.directory / "front.sock"
		self.attested.daemon.config.write_text(config(f"swtpm:path={front}", **more))
		self.proxy = TpmProxy(front, self.attested.tpm.socket)
		self.attested.start()


@pytest.fixture
def new_proxied(new_attested):
	made = []

	def make(**more):
		made.append(Proxied(new_attested, **more))
		return made[-1].attested, made[-1].proxy

	yield make
	for instance in made:
		instance.attested.daemon.stop()
		instance.proxy.close()


def traces(attested):
	"""Another session's execs and connections are all recorded meanwhile."""
	connect = "import socket\nfor _ in range(%d):\n socket.socket().connect_ex(('127.0.0.1', 9))" % EXECS
	run = attested.daemon.run("/bin/sh", "-c", f"for i in $(seq {EXECS}); do /bin/true; done; /usr/bin/python3 -c \"{connect}\"")
	found = run.records()
	assert len(found.execs.where(lambda r: r.process.argv[0] == b"/bin/true")) == EXECS
	assert len(found.to(9)) == EXECS
	assert not attested.status()["lost"]


def quote_fails(attested, agent, says=""):
	answer = agent.ask("evidence")
	assert answer["err"] < 0 and answer["code"] == "no_tpm", answer
	assert says in answer["text"]
	traces(attested)


# ---- gone, and back ----

def test_killed_with_requests_outstanding(new_attested):
	attested = new_attested()
	agents = [attested.agent() for _ in range(3)]
	agents[0].evidence()
	attested.tpm.suspend()
	for agent in agents:
		agent.begin("evidence")
	attested.wait_waiting(3)
	traces(attested)
	attested.tpm.kill()
	for agent in agents:
		answer = agent.answer()
		assert answer["code"] == "no_tpm", answer
	attested.wait_state("lost")
	assert "connection" in attested.status()["tpm"]["error"] or attested.status()["tpm"]["error"]
	assert "lost" in attested.daemon.affiant("status").stdout
	quote_fails(attested, agents[0])
	reconnects = attested.status()["tpm"]["reconnects"]
	attested.tpm.start()
	attested.wait_state("ready")
	assert attested.status()["tpm"]["reconnects"] == reconnects + 1
	for agent in agents:
		agent.evidence().check()


def test_restarted_between_requests(new_attested):
	"""The daemon does not notice before it asks, and the request that finds out is given all the same."""
	attested = new_attested()
	agent = attested.agent()
	before = agent.evidence(host=True).check()
	attested.tpm.restart()
	after = agent.evidence(host=True).check()
	assert after.host["ak_public"] == before.host["ak_public"]


def test_restarted_again_and_again(new_attested):
	attested = new_attested()
	agent = attested.agent()
	given = 0
	for _ in range(5):
		agent.begin("evidence")
		attested.tpm.kill()
		attested.tpm.start()
		answer = agent.answer()
		assert answer["err"] == 0 or answer["code"] == "no_tpm", answer
		given += answer["err"] == 0
		attested.wait_state("ready")
		agent.evidence().check()
	status = attested.status()
	assert status["evidence"]["given"] == given + 5
	assert status["evidence"]["waiting"] == 0


def test_not_there_at_first(new_attested):
	attested = new_attested(ready=False)
	attested.tpm.stop()
	attested.daemon.start()
	agent = attested.agent()
	assert attested.status()["tpm"]["state"] == "starting"
	quote_fails(attested, agent, "can't connect")
	attested.tpm.start()
	attested.wait_state("ready")
	agent.evidence().check()


# ---- slow ----

def test_does_not_answer(new_attested):
	attested = new_attested(timeout="1s")
	agent = attested.agent()
	agent.evidence()
	attested.tpm.suspend()
	began = time.monotonic()
	quote_fails(attested, agent)
	assert time.monotonic() - began < wait.DEADLINE
	attested.wait_state("lost")
	attested.tpm.resume()
	attested.wait_state("ready")
	agent.evidence().check()


def test_answers_after_ten_seconds(new_proxied):
	"""Beyond the deadline. What comes late is nobody's answer."""
	attested, proxy = new_proxied(timeout="1s")
	agent = attested.agent()
	agent.evidence()
	proxy.delay = 10
	quote_fails(attested, agent, "in time")
	quote_fails(attested, agent)
	proxy.delay = 0
	attested.wait_state("ready")
	agent.evidence().check()


def test_slow_within_the_deadline(new_proxied):
	"""Who asks meanwhile shares the next quote."""
	attested, proxy = new_proxied()
	agents = [attested.agent() for _ in range(4)]
	for agent in agents:
		agent.evidence()
	proxy.delay = 1
	before = attested.status()["evidence"]["batches"]
	agents[0].begin("evidence")
	attested.wait_batches(before + 1)
	for agent in agents[1:]:
		agent.begin("evidence")
	answers = [agent.answer() for agent in agents]
	assert all(answer["err"] == 0 for answer in answers)
	assert attested.status()["evidence"]["batches"] == before + 2


def test_stops_while_a_request_waits(new_attested):
	attested = new_attested(timeout="1s")
	agent = attested.agent()
	agent.evidence()
	attested.tpm.suspend()
	agent.begin("evidence")
	attested.wait_waiting()
	attested.daemon.stop()
	assert agent.answer()["err"] < 0
	attested.tpm.resume()


# ---- it refuses ----

def test_lockout(new_proxied):
	"""It answers, and refuses: that shows; and as soon as it does not, nobody has to do anything."""
	attested, proxy = new_proxied()
	agent = attested.agent()
	agent.evidence()
	proxy.answer(QUOTE, LOCKOUT)
	quote_fails(attested, agent)
	assert attested.status()["tpm"]["state"] == "locked_out"
	assert "locked_out" in attested.daemon.affiant("status").stdout
	quote_fails(attested, agent)
	proxy.answers.clear()
	agent.evidence().check()
	assert attested.status()["tpm"]["state"] == "ready"


def test_dictionary_attack_protection(new_attested):
	"""That of other keys is no matter: the AK is not under it."""
	attested = new_attested(ready=False)
	tpm = attested.tpm
	tpm.tool("tpm2_dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000")
	tpm.tool("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
	tpm.tool("tpm2_create", "-Q", "-C", "p.ctx", "-G", "ecc", "-p", "right", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
	(attested.daemon.directory / "m").write_text("x")
	for _ in range(2):
		tpm.tool("tpm2_flushcontext", "-t")
		said = tpm.tool("tpm2_sign", "-Q", "-c", "k.ctx", "-g", "sha256", "-p", "wrong", "-o", "sig", "m", check=False)
	assert "0x921" in said.stderr
	attested.start()
	attested.agent().evidence().check()


def test_not_now(new_proxied):
	attested, proxy = new_proxied()
	agent = attested.agent()
	agent.evidence()
	proxy.answer(QUOTE, RETRY, times=3)
	agent.evidence().check()
	assert proxy.commands.count(QUOTE) == 5


def test_no_room(new_attested):
	"""What others left in it, as many objects and sessions as it has room for, is flushed."""
	attested = new_attested(ready=False)
	for n in range(3):
		attested.tpm.tool("tpm2_createprimary", "-Q", "-C", "o", "-c", f"{n}.ctx")
	for n in range(64):
		said = attested.tpm.tool("tpm2_startauthsession", "-S", f"session{n}.ctx", check=False)
	assert said.returncode == 0
	assert "0x905" in attested.tpm.tool("tpm2_startauthsession", "-S", "more.ctx", check=False).stderr
	attested.start()
	attested.agent().evidence().check()


# ---- the disk ----

def test_disk_full(new_attested):
	"""Evidence rests on records that a power cut can't take back: none while they can't be written."""
	attested = new_attested(ready=False)
	disk = Disk(attested.daemon)
	try:
		attested.start()
		agent = attested.agent()
		agent.evidence()
		busy = attested.daemon.launch("/bin/sh", "-c", "while :; do /bin/true; done")
		disk.fill()
		busy.kill()
		answer = agent.ask("evidence")
		assert answer["code"] == "unavailable", answer
		assert attested.status()["unwritable"]
		disk.free()
		disk.wait_for("can be written again")
		wait.until("evidence is given again", lambda: agent.ask("evidence")["err"] == 0)
		traces(attested)
	finally:
		for agent in attested.agents:
			agent.end()
		attested.daemon.stop()
		disk.remove()
