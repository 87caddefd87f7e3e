# SPDX-License-Identifier: Apache-2.0
"""Nothing of a session is proven once it had root's power, for that can write to any file without a trace."""

import os
import shutil
import stat
import subprocess

import pytest

from harness import daemon as daemons
from harness import wait
from harness.cgroups import inside
from harness.load import status
from harness.proof import NOBODY, install, worth, worths
from harness.records import hash_state

GAMES = (5, 60)
WAIT = "hash: {wait: 10s}\n"
LAUNCHED_BY_NOBODY = "launchers: {users: [nobody]}\nagents:\n  - name: tester\n"


@pytest.fixture
def nothing(programs, place):
	return install(programs.static("nothing"), place / "nothing")


@pytest.fixture
def helper(programs, place):
	"""A setuid program of root's."""
	return install(programs.static("gain_power"), place / "helper", 0o4755)


def worths_of(daemon, script, **more):
	"""What the digests are worth of a shell and what it executes, as nobody."""
	more.setdefault("user", NOBODY)
	return worths(daemon.run("/bin/sh", "-c", script, **more).records())


def go(run):
	run.process.stdin.write("go\n")
	run.process.stdin.flush()


def worths_in_parts(daemon, first, second):
	"""The same of two parts, where the second begins once the digests of the first are recorded."""
	count = first.count(";") + 2	# the shell's own, too
	run = daemon.launch("/bin/sh", "-c", f"{first}; read line; {second}", user=NOBODY, stdin=subprocess.PIPE)
	before = run.wait_records("the first part", lambda found: len(found.execs) == count)
	run.process.communicate("go\n", timeout=wait.DEADLINE)
	return worths(before), worths(run.records())[count:]


# ---- root ----

def test_roots_session(daemon, nothing):
	run = daemon.run("/bin/sh", "-c", f"{nothing}; {nothing}")
	assert worths(run.records()) == ["power"] * 3


def test_nobodys_session(daemon, nothing):
	assert worths_of(daemon, f"{nothing}; {nothing}") == ["observed"] * 3


def test_root_in_a_user_namespace_is_nobody(daemon, nothing):
	"""Its capabilities are over what it made itself."""
	assert worths_of(daemon, f"unshare -Ur {nothing}; {nothing}") == ["observed"] * 4


# ---- setuid programs ----

def test_setuid_program_that_is_run(daemon, nothing, helper):
	assert worths_of(daemon, f"{helper} run; {nothing}; {helper} run; {nothing}") == ["observed"] * 5


@pytest.mark.parametrize("how", ["exec", "fork"])
def test_setuid_program_that_executes(daemon, nothing, helper, how):
	"""What it executed has its power, and so may whatever comes after it."""
	before, after = worths_in_parts(daemon, nothing, f"{helper} {how} {nothing}; {nothing}")
	assert before == ["observed"] * 2
	assert after[0] in ("observed", "power")	# the helper's own, of which a digest may come too late
	assert after[1:] == ["power"] * 2


def test_setuid_program_that_gives_it_back(daemon, nothing, helper):
	assert worths_of(daemon, f"{helper} drop {nothing}; {nothing}") == ["observed"] * 4


@pytest.mark.parametrize("mode, owner", [(0o4775, (0, 65534)), (0o4757, (0, 0))], ids=["group", "others"])
def test_setuid_program_that_others_write(daemon, programs, place, nothing, mode, owner):
	"""It counts at once: the agent could have made it."""
	helper = install(programs.static("gain_power"), place / "helper", mode, owner)
	before, after = worths_in_parts(daemon, nothing, f"{helper} run; {nothing}")
	assert (before, after) == (["observed"] * 2, ["power"] * 2)


def test_setuid_on_tmpfs(daemon, programs, place, nothing):
	"""Where its bytes can't be sworn to."""
	mount = place / "tmpfs"
	mount.mkdir()
	subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "affiant-test", mount], check=True)
	try:
		helper = install(programs.static("gain_power"), mount / "helper", 0o4755)
		before, after = worths_in_parts(daemon, nothing, f"{helper} run; {nothing}")
		assert before == ["observed"] * 2 and after[-1] == "power"
	finally:
		subprocess.run(["umount", "--lazy", mount], check=True)


def test_setuid_of_another_user(daemon, programs, place, nothing):
	"""Not root's: it gains nothing that counts."""
	helper = install(programs.static("gain_power"), place / "helper", 0o4755, GAMES)
	assert worths_of(daemon, f"{helper} exec {nothing}; {nothing}") == ["observed", "owner", "observed", "observed"]


# ---- capabilities and groups ----

def setcap(path, capability):
	done = subprocess.run(["/usr/sbin/setcap", f"{capability}+ep", path], capture_output=True, text=True, check=False)
	if done.returncode:
		pytest.skip(f"no file capabilities here: {done.stderr}")
	return wait.settled(path)


@pytest.mark.parametrize("capability, owner, expected", [
	("cap_dac_override", (0, 0), "observed"),	# a helper of root's that is only run
	("cap_dac_override", GAMES, "power"),
	("cap_net_raw", GAMES, "observed"),
	("cap_sys_ptrace", GAMES, "power"),
	("cap_fowner", GAMES, "power"),
])
def test_file_capabilities(daemon, programs, place, nothing, capability, owner, expected):
	helper = setcap(install(programs.static("gain_power"), place / "helper", owner=owner), capability)
	assert worths_of(daemon, f"{helper} run; {nothing}")[2] == expected


def ambient(capabilities, user=NOBODY):
	words = ",".join(f"+{c}" for c in capabilities)
	return ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", f"--inh-caps={words}", f"--ambient-caps={words}"]


@pytest.mark.parametrize("capabilities, expected", [
	(["net_raw"], "observed"),
	(["net_raw", "net_admin", "kill", "sys_nice", "net_bind_service"], "observed"),
	(["dac_override"], "power"),
	(["net_raw", "sys_admin"], "power"),
	(["setuid"], "power"),
	(["mknod"], "power"),
])
def test_ambient_capabilities(new_daemon, nothing, capabilities, expected):
	"""Of a launcher that is not root: its session begins with what it has."""
	daemon = new_daemon(WAIT + LAUNCHED_BY_NOBODY)
	run = daemon.run("/bin/sh", "-c", f"{nothing}", before=ambient(capabilities))
	assert worths(run.records()) == [expected] * 2


@pytest.fixture
def disk():
	"""A block device that a group can write to."""
	path = f"/dev/affiant-test-{os.getpid()}"
	os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(7, 250))
	os.chmod(path, 0o660)
	shutil.chown(path, 0, GAMES[1])
	yield path
	os.unlink(path)


def test_disk_group(new_daemon, nothing, disk):
	daemon = new_daemon(WAIT)
	assert worths_of(daemon, nothing, user=(65534, GAMES[1])) == ["power"] * 2
	assert worths_of(daemon, nothing) == ["observed"] * 2


def test_disk_group_among_others(new_daemon, nothing, disk):
	"""The supplementary groups count as well."""
	daemon = new_daemon(WAIT + LAUNCHED_BY_NOBODY)
	before = ["setpriv", "--reuid=65534", "--regid=65534", f"--groups=100,{GAMES[1]},200"]
	run = daemon.run("/bin/sh", "-c", nothing, before=before)
	assert worths(run.records()) == ["power"] * 2


def test_setgid_disk_group(new_daemon, programs, place, nothing, disk):
	"""Run only, it is a helper like those of root; what it executes counts."""
	helper = install(programs.static("gain_power"), place / "helper", 0o755, (0, GAMES[1]))
	os.chmod(helper, 0o2755)
	wait.settled(helper)
	daemon = new_daemon(WAIT)
	assert worths_of(daemon, f"{helper} run; {nothing}") == ["observed"] * 3
	assert worths_of(daemon, f"{helper} exec {nothing}; {nothing}")[-1] == "power"


def test_trusted_owner(new_daemon, programs, place, nothing):
	"""Whose files count as root's: he can change them, whether he began as that user or became him."""
	daemon = new_daemon(WAIT + "trusted_owners: [games]\n")
	assert worths_of(daemon, nothing, user=GAMES) == ["power"] * 2
	helper = install(programs.static("gain_power"), place / "helper", 0o4755, GAMES)
	assert worths_of(daemon, f"{helper} run; {nothing}") == ["observed"] * 3
	assert worths_of(daemon, f"{helper} exec {nothing}; {nothing}")[-1] == "power"


# ---- selectors and launchers ----

def selected(cgroup):
	return f"agents:\n  - name: research\n    selectors:\n      - cgroup: {cgroup.name}\n"


def start_service(daemon, cgroup, *command):
	"""As a service manager does it: root enters the cgroup, then executes what becomes the user."""
	known = {r.session.id for r in daemon.records("--agent", "research")}
	subprocess.run(inside(cgroup, "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command), check=True)

	def whole(found):
		found[:] = [r for r in found if r.session.id not in known]
		return found.whole()

	return daemon.wait_records("the service's records", whole, "--agent", "research").in_time()


@pytest.mark.parametrize("launchers, expected", [
	("launchers: {programs: [/usr/bin/setpriv]}\n", "observed"),
	("launchers: {programs: [/usr/bin/env]}\n", "power"),
	("", "power"),
], ids=["listed", "another", "none"])
def test_launcher_program(new_daemon, cgroup, nothing, launchers, expected):
	daemon = new_daemon(WAIT + launchers + selected(cgroup))
	records = start_service(daemon, cgroup, "/bin/sh", "-c", f"{nothing}; {nothing}")
	assert worths(records)[-3:] == [expected] * 3


def test_launcher_program_comes_first(new_daemon, cgroup, nothing, helper):
	"""One that is executed as root later, by the agent, is no launcher."""
	daemon = new_daemon(WAIT + "launchers: {programs: [/usr/bin/setpriv]}\n" + selected(cgroup))
	script = f"{nothing}; sleep 1; {helper} exec /usr/bin/setpriv --reuid=65534 {nothing}; {nothing}"
	found = worths(start_service(daemon, cgroup, "/bin/sh", "-c", script))
	assert found[1:3] == ["observed"] * 2 and found[-2:] == ["power"] * 2


def test_launcher_program_of_another(new_daemon, cgroup, nothing):
	"""Executed with a capability, but not by root, it does what anybody tells it to."""
	daemon = new_daemon(WAIT + "launchers: {programs: [/usr/bin/setpriv]}\n" + selected(cgroup))
	shutil.chown(cgroup.path / "cgroup.procs", *NOBODY)
	command = [*ambient(["dac_override"]), *inside(cgroup, "/usr/bin/setpriv", "--ambient-caps=-all", "--inh-caps=-all", nothing)]
	subprocess.run(command, check=True)
	records = daemon.wait_records("its records", lambda found: found.whole(), "--agent", "research").in_time()
	assert worths(records)[-1] == "power"


def test_launcher_program_that_others_write(new_daemon, place, cgroup, nothing):
	"""It could be anything by now."""
	copy = install("/usr/bin/setpriv", place / "launcher", 0o757)
	daemon = new_daemon(WAIT + f"launchers: {{programs: [{copy}]}}\n" + selected(cgroup))
	subprocess.run(inside(cgroup, copy, "--reuid=65534", "--regid=65534", "--clear-groups", nothing), check=True)
	records = daemon.wait_records("the service's records", lambda found: found.whole(), "--agent", "research").in_time()
	assert worths(records)[-1] == "power"


def test_late(new_daemon, programs, cgroup, nothing):
	"""What ran before the session began, nobody saw: neither what it is nor what it had."""
	command = inside(cgroup, "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c",
			 f"echo ready; read line; {nothing}")
	with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=daemons.environment()) as process:
		assert process.stdout.readline() == "ready\n"
		daemon = new_daemon(WAIT + selected(cgroup))
		process.communicate("go\n", timeout=wait.DEADLINE)
	records = daemon.wait_records("the service's records", lambda found: found.whole(), "--agent", "research")
	assert hash_state(records.one("session_started").process.executable.digest) == "claimed"
	assert worths(records) == ["power"]


# ---- what is not known ----

def test_lost_exec(new_daemon, nothing):
	"""A ring that is full: of which execs were lost nobody knows what power they had. Other sessions go on."""
	daemon = new_daemon(WAIT + "ring_bytes: 16KiB\n")
	script = f"{nothing}; echo ready; read line; %s{nothing}; echo ready; read line; {nothing}"
	quiet = daemon.launch("/bin/sh", "-c", script % "", user=NOBODY, stdin=subprocess.PIPE)
	loud = daemon.launch("/bin/sh", "-c", script % f"for n in $(seq 200); do {nothing}; done; ", user=NOBODY,
			     stdin=subprocess.PIPE)
	for run in (quiet, loud):
		assert run.line() == "ready"
		assert worth(run.wait_exec(nothing)) == "observed"
	wait.until("the ring is read", lambda: not status(daemon)["ring_used"])
	daemon.suspend()
	go(loud)
	assert loud.line() == "ready"
	daemon.resume()
	daemon.wait_records("the loss is told", lambda found: found, "--type", "lost")
	go(quiet)
	assert quiet.line() == "ready"
	for run in (quiet, loud):
		run.process.communicate("go\n", timeout=wait.DEADLINE)

	def last(run):
		return run.wait_records("its end", lambda found: found.of("session_ended")).in_time().execs[-1]

	assert worth(last(quiet)) == "observed"
	assert worth(last(loud)) == "power"


def test_restart(new_daemon, nothing, helper):
	"""Power and proof are the session's, not the daemon's: before, while and after it was dead."""
	daemon = new_daemon(WAIT)
	script = f"echo ready; read line; {nothing}; echo ready; read line; {nothing}"
	runs = {
		"observed": daemon.launch("/bin/sh", "-c", script, user=NOBODY, stdin=subprocess.PIPE),
		"power": daemon.launch("/bin/sh", "-c", f"sleep 1; {helper} exec {nothing}; {script}", user=NOBODY, stdin=subprocess.PIPE),
	}
	for run in runs.values():
		assert run.line() == "ready"
	runs["power"].wait_records("the exec with power", lambda found: len(found.execs) == 4)
	daemon.kill()
	for run in runs.values():
		go(run)
		assert run.line() == "ready"
	daemon.start()
	for expected, run in runs.items():
		run.process.communicate("go\n", timeout=wait.DEADLINE)
		found = worths(run.records())
		assert found[0] == "observed"
		assert found[-1] == expected
		# While it was dead nobody held the file of so short a process.
		assert found[-2] in (expected, "too_late")
	assert worths_of(daemon, nothing) == ["observed"] * 2
