# SPDX-License-Identifier: Apache-2.0
"""Variables that decide what runs: what a hostile program makes of its environment, in records, evidence and a verdict."""

import errno
import pathlib
import subprocess

import pytest

from harness import programs as builds
from harness.evidence import library_environment
from harness.records import kind
from test_verify import POLICY, Verifier

NOBODY = (65534, 65534)
LOOKED_AT = 32768
LAST = "LD_PRELOAD="
ROOM = LOOKED_AT - len(LAST) - 1	# what is before it, when it is the last that is looked at


def variables(record):
	return list(record.process.environment), record.process.environment_cut


@pytest.fixture
def program(programs):
	"""Static: what is set here is for the record alone, no loader reads it."""
	return programs.static("environment")


@pytest.mark.parametrize("strings, names, cut", [
	([], [], False),
	([LAST], ["LD_PRELOAD"], False),
	(["LD_PRELOAD", "=LD_PRELOAD=x", "", "XLD_PRELOAD=x", "X=LD_PRELOAD=x"], [], False),
	(["NODE_OPTIONS=a", "LD_PRELOAD=b", "LD_PRELOAD=c", "BASH_FUNC_ls%%=() { :; }", "NPM_Config_shell=d"],
	 ["LD_PRELOAD", "BASH_FUNC_*", "NODE_OPTIONS", "npm_config_*"], False),
	([f"pad:{ROOM}", LAST], ["LD_PRELOAD"], False),
	([f"pad:{ROOM + 1}", LAST], ["LD_PRELOAD"], True),
	([f"pad:{LOOKED_AT}", LAST], [], True),
	(["pad:100000", LAST], [], True),
	([LAST, "pad:100000"], ["LD_PRELOAD"], True),
	(["many:4000:x", LAST], ["LD_PRELOAD"], False),
	(["many:16384:x", LAST], [], True),
	(["many:32000:", LAST], [], True),
	([LAST, "many:60000:"], ["LD_PRELOAD"], True),
], ids=lambda value: None if isinstance(value, list) else str(value))
def test_hostile(daemon, program, strings, names, cut):
	run = daemon.run(program, *strings, "--", program, "--", "/bin/true", user=NOBODY)
	execs = run.records().execs
	_, made = execs.where(lambda r: r.process.executable.path == str(program).encode())
	assert variables(made) == (names, cut)
	# Its own environment is empty again: a name is of the exec that had it.
	assert variables(execs.where(lambda r: list(r.process.argv) == [b"/bin/true"]).only()) == ([], False)


def test_records_of_the_process_say_so(daemon, program):
	"""All of them, until its next exec."""
	run = daemon.run(program, LAST, "--", program, "--", "/bin/true", user=NOBODY)
	ended = [r for r in run.records() if kind(r) == "exit"]
	assert [variables(r) for r in ended] == [([], False)]
	run = daemon.run(program, LAST, "--", "/bin/true", user=NOBODY)
	ended = [r for r in run.records() if kind(r) == "exit"]
	assert [variables(r) for r in ended] == [(["LD_PRELOAD"], False)]
	(event,) = [e for e in daemon.events("--task", run.task) if e["unmapped"].get("exit")]
	assert event["unmapped"]["process"]["environment"] == ["LD_PRELOAD"]


def test_rewritten(daemon, program):
	"""What the process makes of its environment later changes nothing."""
	run = daemon.launch(program, LAST, "NODE_OPTIONS=x", "--", program, "rewrite", stdin=subprocess.PIPE, user=NOBODY)
	assert run.line() == "rewritten", run.wait().stderr
	assert b"NODE_OPTIONS" not in pathlib.Path(f"/proc/{run.pid}/environ").read_bytes()
	run.wait()
	record = run.records().execs.where(lambda r: list(r.process.argv[1:]) == [b"rewrite"]).only()
	assert variables(record) == (["LD_PRELOAD", "NODE_OPTIONS"], False)


def test_of_32_bits(daemon, place):
	"""Executed by itself: both processes and the call are those of i386."""
	program = place / "environment32"
	source = builds.SOURCE / "environment32.c"
	subprocess.run(["gcc", "-m32", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-discarded-qualifiers", "-ffreestanding", "-nostdlib",
			"-static", "-fno-pic", "-no-pie", "-fno-stack-protector", "-o", program, source], check=True)
	try:
		subprocess.run([program], check=True)
	except OSError as error:
		assert error.errno == errno.ENOEXEC
		pytest.skip("the kernel executes no i386 programs")
	execs = daemon.run(program, user=NOBODY).records().execs.where(lambda r: r.process.executable.path == str(program).encode())
	assert [variables(r) for r in execs] == [([], False), (["NODE_OPTIONS"], False)]
	execs = daemon.run(program, "long", user=NOBODY).records().execs.where(lambda r: r.process.executable.path == str(program).encode())
	assert [variables(r) for r in execs] == [([], False), ([], True)]


def test_late(new_daemon, place):
	"""Of what ran before it was traced nothing is known: not that nothing is set."""
	program = place / "sleeper"
	program.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
	program.chmod(0o755)
	with subprocess.Popen([program, "600"], env={"NODE_OPTIONS": "x"}) as process:
		try:
			daemon = new_daemon(f"agents:\n  - name: sleeper\n    selectors:\n      - {{exe: {program}}}\n")
			found = daemon.wait_records("the session", lambda r: len(r.of("session_started")) == 1)
			assert variables(found.of("session_started").only()) == ([], True)
		finally:
			process.kill()


# ---- evidence, and what a policy says of it ----

class Judge(Verifier):
	"""judge(evidence, names): (exit code, code); names None: the policy has no such key."""

	def policy(self, names=None, **changed):
		path = self.place / "policy.yaml"
		more = "" if names is None else f"    environment: [{', '.join(names)}]\n"
		path.write_text(POLICY.format(**(self.values | changed)) + more)
		return path

	def code(self, taken, names):
		return self(taken.text, names=names)[1]


@pytest.mark.parametrize("within, process, ancestors, verdicts", [
	([], {}, [], [(None, ""), ([], ""), (["NODE_OPTIONS"], "")]),
	(["/usr/bin/env", "NODE_OPTIONS=x"], {"environment": ["NODE_OPTIONS"]}, [],
	 [(None, ""), ([], "environment"), (["NODE_OPTIONS"], ""), (["BASH_ENV"], "environment"), (["BASH_ENV", "NODE_OPTIONS"], "")]),
	(["/usr/bin/env", f"PAD={'x' * LOOKED_AT}"], {"environment_cut": True}, [],
	 [(None, ""), ([], "environment"), (["NODE_OPTIONS"], "environment")]),
	# Set for the shell above it alone.
	(["/usr/bin/env", "NODE_OPTIONS=x", "/bin/sh", "-c", 'unset NODE_OPTIONS; "$@"; :', "sh"], {}, [{"environment": ["NODE_OPTIONS"]}],
	 [(None, ""), ([], "environment"), (["NODE_OPTIONS"], "")]),
	(["/usr/bin/env", f"PAD={'x' * LOOKED_AT}", "/bin/sh", "-c", 'unset PAD; "$@"; :', "sh"], {}, [{"environment_cut": True}],
	 [(None, ""), ([], "environment"), (["NODE_OPTIONS"], "environment")]),
], ids=["nothing", "set", "cut", "above", "cut-above"])
def test_verdict(attested, enrolled, within, process, ancestors, verdicts):
	agent = attested.agent(within=within)
	taken = agent.evidence(host=True).check()
	given = list({"LD_PRELOAD"} & set(library_environment()))	# a sanitizer's build needs it

	def said(claims):
		found = {name: claims[name] for name in ("environment", "environment_cut") if name in claims}
		left = [name for name in found.pop("environment", []) if name not in given]
		return ({"environment": left} if left else {}) | found

	assert said(taken.workload["process"]) == process
	assert [said(claims) for claims in taken.workload["ancestors"]] == ancestors
	judge = Judge(attested, enrolled.place, enrolled, taken)
	for names, code in verdicts:
		assert judge.code(taken, None if names is None else names + given) == code, names
	agent.end()
