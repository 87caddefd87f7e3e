# SPDX-License-Identifier: Apache-2.0
"""A hostile process stays in its session whatever it does; who is in none leaves no record."""

import signal
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait
from harness.records import sha256, stated_digest

BOMB = 8 + 64 + 512
OTHER = 65533	# nobody's


def assert_all_its_own(run, found):
	"""One session from the first to the last record, and nothing lost."""
	assert {r.session.id for r in found} == {found[0].session.id}
	assert {r.task.id for r in found} == {run.task}
	assert not run.daemon.records().of("lost")


@pytest.mark.parametrize("how", ["kill_parent", "userns", "pidns", "mountns", "netns", "chain", "daemon"])
@pytest.mark.parametrize("user", [None, (OTHER, OTHER)], ids=["root", "user"])
def test_stays(daemon, programs, place, how, user):
	payload = programs.copy("nothing", place / "payload")
	run = daemon.run(programs["hostile"], how, payload, user=user, check=how != "kill_parent")
	found = run.records()
	assert_all_its_own(run, found)
	# None is promised of what lives for no time: there is the right one, or none.
	assert stated_digest(found.exec_of(payload).process.executable.digest) in (None, sha256(payload))
	if how == "chain":
		assert len(found.of("exit")) == 101


def test_fork_bomb(daemon, programs, place):
	"""Each of hundreds of processes is told of, once."""
	payload = programs.copy("nothing", place / "payload")
	found = (run := daemon.run(programs["hostile"], "bomb", payload)).records()
	assert_all_its_own(run, found)
	ran = found.execs.where(lambda r: r.process.argv[0] == payload.encode())
	assert len(ran) == BOMB + 1	# the root of the tree does it, too
	assert len({r.process.id.tgid for r in ran}) == len(ran)
	assert len(found.of("exit")) == BOMB + 1
	assert {stated_digest(r.process.executable.digest) for r in ran} - {None} == {sha256(payload)}


def test_moves_to_another_cgroup(daemon, programs, place, cgroup):
	payload = programs.copy("nothing", place / "payload")
	there = cgroup.make("elsewhere")
	run = daemon.run(programs["hostile"], f"cgroup:{there}", payload)
	found = run.records()
	assert_all_its_own(run, found)
	assert found.exec_of(payload).process.cgroup.decode() == f"{cgroup.name}/elsewhere"


def test_moves_into_another_agents_cgroup(new_daemon, programs, place, cgroup):
	"""A selector's cgroup gives no other name to who is an agent's already; nor does leaving one's own."""
	payload = programs.copy("nothing", place / "payload")
	other, own = cgroup.make("other"), cgroup.make("own")
	daemon = new_daemon("agents:\n  - name: tester\n"
			    f"  - name: other\n    selectors:\n      - cgroup: {cgroup.name}/other\n"
			    f"  - name: own\n    selectors:\n      - cgroup: {cgroup.name}/own\n")
	run = daemon.run(programs["hostile"], f"cgroup:{other}", payload)
	assert {r.agent.name for r in run.records()} == {"tester"}
	subprocess.run([programs["hostile"], f"cgroup:{own}", programs["hostile"], f"cgroup:{other}", payload], check=True)
	found = daemon.wait_records("its end", lambda r: r.whole(), "--agent", "own")
	assert found.exec_of(payload).process.cgroup.decode() == f"{cgroup.name}/other"
	assert not daemon.records("--agent", "other")


def test_kills_its_launcher(daemon, programs, place):
	"""`affiant run` is the command itself; who started it may be killed, the daemon by root's agent may too: its tags
	stay."""
	payload = programs.copy("nothing", place / "payload")
	with subprocess.Popen(["/bin/sh", "-c", '"$@"; :', "sh", daemons.AFFIANT, "run", "--socket", str(daemon.socket), "--agent",
			       "tester", "--task", "T-orphan", "--isolation", "none", "--", "/bin/sh", "-c", f"kill -KILL $PPID; {payload}"],
			      env=daemons.environment()) as launcher:
		assert launcher.wait(wait.DEADLINE) == -signal.SIGKILL
	found = daemon.wait_records("its end", lambda r: r.whole(), "--task", "T-orphan")
	assert found.exec_of(payload)


def test_kills_the_daemon(new_daemon, programs, place):
	"""Root's agent can. The kernel goes on, and the next daemon tells what happened."""
	daemon = new_daemon()
	payload = programs.copy("nothing", place / "payload")
	run = daemon.launch("/bin/sh", "-c", f"kill -KILL {daemon.process.pid}; {payload}; echo done",
			    options=["--isolation", "none"])
	assert run.line() == "done"
	daemon.process.wait(wait.DEADLINE)
	daemon.start()
	run.wait()
	found = run.records()
	assert_all_its_own(run, found)
	assert found.exec_of(payload)


def test_outsiders_beside_it_leave_no_record(daemon, programs, place, cgroup):
	"""Same user, same cgroup, same executables, same time, even the parent of the session."""
	payload = programs.copy("nothing", place / "payload")
	there = cgroup.make("both")
	stop = place / "stop"
	beside = subprocess.Popen(["/bin/sh", "-c", f"echo 0 >{there}/cgroup.procs; n=0; until [ -e {stop} ]; do {payload}; n=$((n+1)); done; echo $n"],
				  stdout=subprocess.PIPE, text=True, env=daemons.environment())
	run = daemon.run("/bin/sh", "-c", f"echo 0 >{there}/cgroup.procs; for i in 1 2 3 4 5 6 7 8; do {payload}; done")
	found = run.records()
	stop.touch()
	count = int(beside.communicate(timeout=wait.DEADLINE)[0])
	daemon.run("/bin/true").records()	# what the outsider did would be there before this
	assert count > 0
	everywhere = daemon.records().execs.where(lambda r: list(r.process.argv) == [payload.encode()])
	assert len(everywhere) == len(found.execs.where(lambda r: list(r.process.argv) == [payload.encode()])) == 8
	assert not daemon.records().where(lambda r: r.process.id.tgid == beside.pid)


def test_exec_that_hangs(new_daemon, programs, place):
	"""In the close of a file that its own server holds: nobody but the process waits."""
	daemon = new_daemon("hash: {wait: 1s}\n")
	hanging = daemon.launch(programs["exec_hang"], "/bin/true", user=(OTHER, OTHER), stdin=subprocess.PIPE)
	try:
		if (line := hanging.line()) != "hangs":
			hanging.wait()
			assert hanging.returncode == 77, hanging.stderr
			pytest.skip(line)
		hanging.wait_exec(programs["exec_hang"])
		payload = programs.copy("nothing", place / "payload")
		found = daemon.run(payload).records()
		assert stated_digest(found.exec_of(payload).process.executable.digest) == sha256(payload)
		assert daemon.affiant("status").returncode == 0
		assert not hanging.records_so_far().execs.where(lambda r: r.process.argv[0] == b"/bin/true")
		daemon.stop()
		daemon.start()	# and looks at what runs
		assert daemon.run(payload).records().execs
		# What the other one executes was opened before the restart, and is gone when it could be looked at.
		daemon.run("/bin/true").records()
	finally:
		hanging.wait()
	assert hanging.returncode == 0
	ran = hanging.records().exec_of("/bin/true")
	assert stated_digest(ran.process.executable.digest) == sha256("/bin/true")
