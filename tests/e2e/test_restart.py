# SPDX-License-Identifier: Apache-2.0
"""A daemon that is killed or replaced at any moment, while sessions work: nothing missing, nothing doubled."""

import json
import os
import random
import subprocess
import time

import pytest

from harness import daemon as daemons
from harness.load import Load

SESSIONS = 5
ROOMY = "ring_bytes: 64MiB\nstate_bytes: 4GiB\n"


@pytest.fixture
def dice():
	seed = int(os.environ.get("AFFIANT_SEED", random.randrange(1 << 32)))
	print(f"AFFIANT_SEED={seed}")	# pytest shows it when the test fails
	return random.Random(seed)


class Sleeper:
	"""A session whose one process is there from the beginning to the end, and does nothing meanwhile."""

	def __init__(self, daemon):
		self.run = daemon.launch("/bin/sh", "-c", "read a; exec /bin/true", stdin=subprocess.PIPE)
		self.session = self.run.wait_exec("/bin/sh").session.id

	def check(self):
		"""It has its tag still: what it does now is the same session's."""
		self.run.wait()
		records = self.run.records()
		assert {r.session.id for r in records} == {self.session}
		assert [bytes(r.process.argv[0]) for r in records.execs] == [b"/bin/sh", b"/bin/true"]


@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_any_moment(new_daemon, programs, netns, dice, rounds):
	daemon = new_daemon(config=ROOMY)
	sleeper = Sleeper(daemon)
	with Load(daemon, programs, netns, SESSIONS, 0, width=1) as load:
		load.begin()
		for _ in range(rounds):
			time.sleep(dice.uniform(0, 0.3))	# the moment is the test
			daemon.kill()
			while dice.random() < 0.3:	# while it starts, too
				daemon.spawn()
				time.sleep(dice.uniform(0, 0.3))
				daemon.kill()
			daemon.start()
		load.finish()
		sleeper.check()
		tally = load.tally()
		load.check(tally)
		assert not load.lost(tally)
	print(f"{rounds} rounds, {len(tally.started)} starts, {load.made('connections')} connections, {load.made('exec')} execs, "
	      f"lost {dict(tally.lost)}")


# ---- upgrades ----

def bpftool(*arguments):
	done = subprocess.run(["bpftool", "--json", *map(str, arguments)], check=True, capture_output=True, text=True,
			      stdin=subprocess.DEVNULL, env=daemons.environment())
	return json.loads(done.stdout)


def in_kernel(daemon):
	"""What the kernel runs at each hook: {pin: (id, tag)}; the tag is the kernel's digest of the instructions."""
	ids = {}
	for pin in sorted(daemon.pins.iterdir()):
		if pin.name.startswith("map_dispatch_"):
			for slot in bpftool("map", "dump", "pinned", pin):	# empty: of a feature that the kernel lacks
				ids[pin.name] = int.from_bytes(bytes(int(byte, 16) for byte in slot["value"]), "little")
		elif pin.name.startswith("link_"):
			ids[pin.name] = bpftool("link", "show", "pinned", pin)["prog_id"]
	return {name: (number, bpftool("prog", "show", "id", number)["tag"]) for name, number in ids.items()}


def check_replaced(before, after):
	"""Every program is a new one, but the stubs, which stay for good."""
	assert before.keys() == after.keys()
	stubs = {f"link_{name}" for name in ("fork", "exec", "exit", "state", "report", "mkdir", "rmdir")}
	assert stubs < before.keys()
	stubs |= {"link_send", "link_listen"}	# not every kernel has their hooks
	for name in before:
		if name in stubs:
			assert before[name] == after[name], name
		else:
			assert before[name][0] != after[name][0], f"{name} is the old program"
			# The smallest have no instruction to change.
			assert before[name][1] != after[name][1] or "asked" in name, f"{name} has the old instructions"


@pytest.mark.parametrize("rounds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_upgraded_under_load(new_daemon, programs, netns, dice, rounds):
	"""By turns to a daemon with other BPF programs and back; the old one is stopped, or killed."""
	daemon = new_daemon(config=ROOMY)
	sleeper = Sleeper(daemon)
	with Load(daemon, programs, netns, SESSIONS, 0, width=1) as load:
		load.begin()
		before = in_kernel(daemon)
		for number in range(rounds):
			time.sleep(dice.uniform(0, 0.3))
			if dice.random() < 0.5:
				daemon.stop()
			else:
				daemon.kill()
			daemon.program = daemons.AFFIANTD if number % 2 else daemons.AFFIANTD_NEXT
			daemon.start()
			after = in_kernel(daemon)
			check_replaced(before, after)
			before = after
		load.finish()
		sleeper.check()
		tally = load.tally()
		load.check(tally)
		assert not load.lost(tally)
	objects = [started.bpf_sha256 for started in tally.started]
	assert len(set(objects)) == 2
	assert all(one != next for one, next in zip(objects, objects[1:]))
	print(f"{rounds} upgrades, {load.made('connections')} connections, {load.made('exec')} execs, lost {dict(tally.lost)}")
