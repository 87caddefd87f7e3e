# SPDX-License-Identifier: Apache-2.0
"""docs/json.md and what `-o json` gives: every member is there, and what is said never to be absent is not."""

import json
import os
import re
import subprocess

import pytest

from harness import daemon as daemons
from harness.evidence import AUDIENCE, NONCE

TEXT = (daemons.TOP / "docs/json.md").read_text()
SOURCES = {"status": ["cli/status.c"], "sessions": ["cli/answer.c"], "match": ["cli/match.c"], "evidence": ["cli/evidence.c"],
	   "verify": ["attest/verify_result.c"]}
SAMPLES = daemons.TOP / "tests/data/attest/evidence"


def documented(command):
	"""{member: whether it may be absent}"""
	section, = re.findall(rf"^## affiant {command} -o json\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
	members = {}
	for row in re.findall(r"^\| (`.*?) \| (.+?) \| (.+?) \|$", section, re.M):
		assert all(row)
		members |= {name: row[2] != "never" for name in re.findall(r"`([^`]+)`", row[0])}
	assert members
	return members


def members_of(value, known, path=""):
	"""All that there are, as the page writes them; what lies below one that the page has no members of is its own."""
	if isinstance(value, list):
		for element in value:
			yield from members_of(element, known, f"{path}[]")
	elif isinstance(value, dict):
		for name, below in value.items():
			here = f"{path}.{name}" if path else name
			if f"{path}.*" in known:
				yield f"{path}.*"
				continue
			if not (isinstance(below, dict) and f"{here}.*" in known):
				yield here
			if any(other.startswith((f"{here}.", f"{here}[].")) for other in known):
				yield from members_of(below, known, here)


def present(value, path):
	"""The values at a path whose way there is: none when it is not."""
	head, _, rest = path.partition(".")
	if head.endswith("[]"):
		found = [below for below in value.get(head[:-2]) or [] if isinstance(below, dict)]
	else:
		found = [value[head]] if isinstance(value.get(head), dict) else []
	return found if not rest else [below for one in found for below in present(one, rest)]


def check(command, value):
	known = documented(command)
	found = set(members_of(value, known))
	assert found <= set(known), f"docs/json.md has nothing of {sorted(found - set(known))}"
	for member, optional in known.items():
		parent, _, name = member.rpartition(".")
		for where in present(value, parent) if parent else [value]:
			if name != "*":
				assert optional or where.get(name) is not None, f"{member} is absent"


@pytest.mark.parametrize("command", SOURCES)
def test_no_member_is_left_out(command):
	"""Those, too, that a test seldom sees: by the places where members are made."""
	made = set()
	for path in SOURCES[command]:
		text = re.sub(r"/\*.*?\*/", "", (daemons.TOP / "userspace" / path).read_text(), flags=re.S)
		made |= set(re.findall(r'(?:json_object_set(?:_new)?|set_text)\(\s*\w+,\s*"(\w+)"', text))
		made |= set(re.findall(r'\{"(\w+)", s->', text))
		for pack in re.findall(r"json_pack\((.*?);", text, re.S):
			words = re.sub(r'\?:\s*""', "", pack)
			form = re.match(r'\s*"([^"]*)"', words)
			made |= set(re.findall(r'"(\w+)"', words[form.end():] if form else words))
	assert len(made) >= 3
	known = {part.removesuffix("[]") for member in documented(command) for part in member.split(".")}
	assert made <= known, made - known


def output(daemon, *command):
	done = daemon.affiant(*command, "-o", "json")
	assert done.returncode in (0, 1), done.stderr
	assert done.stdout, done.stderr
	return [json.loads(line) for line in done.stdout.splitlines()]


def test_status(new_daemon, programs, place):
	agent = programs.copy("nothing", place / "agent")
	daemon = new_daemon(f"tpm: {{tcti: none}}\nagents:\n  - name: a\n    selectors:\n      - exe: {agent}\n  - name: tester\n")
	check("status", *output(daemon, "status"))
	(place / "agent").unlink()
	daemon.run("/bin/true").records()
	check("status", *output(daemon, "status"))


def test_status_with_a_tpm(attested):
	attested.agent().evidence()
	check("status", *output(attested.daemon, "status"))


def test_sessions_and_match(new_daemon, programs, place):
	agent = programs.copy("wait_input", place / "agent")
	daemon = new_daemon(f"agents:\n  - name: chosen\n    selectors:\n      - exe: {agent}\n  - name: tester\n")
	full = daemon.launch("/bin/cat", stdin=subprocess.PIPE, options=["--purpose", "x", "--scope", "a", "--expires", "1h",
									 "--on-behalf-of", "alice@example.com"])
	full.wait_exec("/bin/cat")
	with subprocess.Popen([agent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as selected:
		daemon.wait_records("the selected one", lambda found: len(found.of("session_started")) == 2)
		lines = output(daemon, "sessions")
		assert len(lines) == 2 and any("selector" in line for line in lines) and any("principal" in line for line in lines)
		for line in lines:
			check("sessions", line)
		for pid in (full.pid, selected.pid, os.getpid()):
			said, = output(daemon, "match", pid)
			check("match", said)
			assert said["tagged"] == (pid != os.getpid())
		selected.communicate(b"\n")
	full.wait()
	for line in output(daemon, "sessions", "-a"):
		check("sessions", line)


def test_evidence(attested):
	run = attested.daemon.run(daemons.AFFIANT, "evidence", "--socket", attested.daemon.socket, "--nonce", NONCE, "--audience", AUDIENCE,
				  "-o", "json")
	value = json.loads(run.stdout)
	check("evidence", value)
	assert value["quote"] and value["pcrs"]


@pytest.mark.parametrize("changed, verdict", [((), "affirmed"), (("--nonce", "another-nonce"), "refused"), (("/dev/null",), "undecided")])
def test_verify(changed, verdict):
	evidence = changed if changed[:1] == ("/dev/null",) else (SAMPLES / "good.json",)
	options = {"--policy": SAMPLES / "policy.yaml", "--nonce": "mZ4vQ0h8T2a9Yc1LrB7uXw", "--audience": "https://sts.example.org/token",
		   "--time": "1793600010"}
	if changed[:1] == ("--nonce",):
		options["--nonce"] = changed[1]
	done = subprocess.run([daemons.AFFIANT, "verify", *(word for pair in options.items() for word in map(str, pair)), "-o", "json",
			       *map(str, evidence)], capture_output=True, text=True, check=False, env=daemons.environment())
	value = json.loads(done.stdout)
	assert value["verdict"] == verdict
	check("verify", value)
