# SPDX-License-Identifier: Apache-2.0
"""Which file a record says an interpreter ran: the right one, or none.

The interpreters are stand-ins of their names, since the name and the arguments are what is read. An agent that wants
another file named in its record puts it where an option's value stands, or behind code of its own.
"""

import os
import subprocess

import pytest

from harness import wait
from harness.records import sha256, stated_digest, step_kind

TRUSTED, OTHER = "trusted", "other"

# Interpreter, arguments, which file it runs. "trusted" is never run where the last column has another.
COMMANDS = [
	("python3", ["other"], OTHER),
	("python3.13t", ["-X", "gil=0", "other", "trusted"], OTHER),
	("python3", ["-Ic", "code", "trusted"], None),
	("python3", ["-Bm", "module", "trusted"], None),
	("python3", ["--new-option", "trusted", "other"], None),
	("python3", ["", "trusted"], None),
	("bash", ["-oe", "pipefail", "other", "trusted"], OTHER),
	("bash", ["-oc", "pipefail", "code", "trusted"], None),
	("bash", ["-noprofile", "other", "trusted", "trusted"], OTHER),
	("bash", ["-e", "--norc", "trusted"], None),
	("bash", ["-", "other", "trusted"], OTHER),
	("dash", ["-oo", "errexit", "nounset", "other", "trusted"], OTHER),
	("sh", ["-es", "trusted"], None),
	("zsh", ["-oerrexit", "other", "trusted"], OTHER),
	("fish", ["--init-command", "trusted", "other"], OTHER),
	("node", ["--env-file-if-exists", "trusted", "other"], OTHER),
	("node", ["--require", "trusted", "other"], OTHER),
	("node", ["--test", "trusted"], None),
	("node", ["--build-sea", "trusted"], None),
	("node", ["--option-of-tomorrow", "trusted", "other"], None),
	("node", ["--max_old_space_size=99", "other"], OTHER),
	("perl", ["-lne", "code", "trusted"], None),
	("perl", ["-0777", "-Ilib", "other", "trusted"], OTHER),
	("ruby", ["-C", "trusted", "other"], None),
	("php", ["--", "trusted"], None),
	("lua", ["-e", "trusted", "other"], OTHER),
	("deno", ["run", "-A", "./other", "trusted"], OTHER),
	("deno", ["run", "npm:trusted/./trusted"], None),
	("bun", ["--cwd=elsewhere", "./trusted"], None),
]


@pytest.mark.parametrize(("name", "arguments", "script"), COMMANDS,
			 ids=[" ".join([name, *arguments]) for name, arguments, _ in COMMANDS])
def test_which_script(daemon, programs, place, name, arguments, script):
	for file in (TRUSTED, OTHER, "pipefail", "code"):
		(place / file).write_text(f"the bytes of {file}")
		wait.settled(place / file)
	(place / "bin").mkdir()
	interpreter = programs.copy("wait_input", place / "bin" / name)
	run = daemon.launch(interpreter, *arguments, stdin=subprocess.PIPE, cwd=place)
	try:
		assert run.line() == "running", run.wait().stderr
		record = run.wait_exec(str(interpreter))
	finally:
		run.wait()
	found = [s for s in record.process.chain if step_kind(s) == "script_argument"]
	assert all(s.named_by_argv for s in found)
	expected = [(str(place / script), sha256(place / script))] if script else []
	assert [(os.path.normpath(s.path.decode()), s.digest.sha256) for s in found] == expected


def test_under_the_name_of_another_interpreter(daemon, programs, place):
	"""node's -C takes a value and dash's none: mounted over a file called dash, node seems to run that value."""
	for file in (TRUSTED, OTHER):
		(place / file).write_text(f"the bytes of {file}")
	(place / "bin").mkdir()
	node, dash = programs.copy("wait_input", place / "bin" / "node"), place / "dash"
	dash.touch()
	agent = daemon.run(programs["mounted_as"], node, dash, "-C", TRUSTED, OTHER, user=(65533, 65533), cwd=place)
	process = agent.records().exec_of(str(dash)).process
	assert sha256(node) == stated_digest(process.executable.digest) and not process.executable.path.endswith(b"node")
	assert not [s for s in process.chain if step_kind(s) == "script_argument"]
