# SPDX-License-Identifier: Apache-2.0
"""The manual's own commands: each that changes something is run as it stands there, agents run before and after it, and
the counts add up."""

import collections
import json
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from harness import daemon as daemons
from harness import manual, wait
from harness.evidence import config
from harness.records import kind, outcome
from harness.softtpm import Softtpm

READS = "test_reads"
FORM = "a form, or a mention of one: test_forms"

# Every command that the texts show, by the first of these that takes it: the test that runs it as it stands, or why none
# does. One that nothing takes is new: whoever writes it adds a test of it.
KNOWN = [
	(r"(affiant|affiantd) .*(\[|…|\b(ID|PID|FILE)\b).*", FORM),
	(r"affiant (run|evidence|enroll|verify|ca|ca challenge|ca issue|match|session end)( --[a-z]+| -o json)?", FORM),
	(r"affiant (events|sessions|status|version|verify)\b.*", READS),
	(r"affiantd --check-config", READS),
	(r"affiantd", "every test starts one"),
	(r"affiant uninstall-bpf", "test_uninstall, test_uninstall_while_it_runs"),
	(r"systemctl (stop|start|enable --now) affiantd", "test_uninstall, test_first_start; by a systemd: test_install"),
	(r"kill -9", "test_kill"),
	(r"affiant run .*", "test_run_example"),
	(r"affiant enroll .*", "test_enrolment"),
	(r"affiant ca (init|challenge|issue) .*", "test_enrolment"),
	(r"systemctl enable --now affiant-softtpm", "test_install; the program that it starts: test_enrolment"),
	(r"tpm2_dictionarylockout .*", "test_enrolment"),
	(r"nft add rule .*", "test_routing_headers_are_dropped"),
	(r"cmake --install .*|systemd-sysusers( PREFIX.*)?|systemctl (daemon-reload|link .*)", "test_install"),
	(r"tools/setup --list", READS),
	(r"tools/demo", "test_demo"),
	# What is left: tests can't be run by a test, and builds would be of another tree than the one that is tested.
	(r"tools/test", "itself"),
	(r"cmake --(preset|build) .*", "tools/build runs these two, and every test what they made"),
	(r"tools/(setup|build)( \w+)*", "tests/clean-room"),
	(r"tools/demo --agent codex", "an agent from npm: tools/test --long"),
]


def test_every_command_is_known():
	found = manual.commands()
	assert len(found) > 30, found
	taken = {command: next((n for n, (pattern, _) in enumerate(KNOWN) if re.fullmatch(pattern, command)), None)
		 for command in found}
	assert not [f"{found[c]}: {c}" for c, n in taken.items() if n is None], "new in the manual: to be tested here"
	assert not [KNOWN[n] for n in range(len(KNOWN)) if n not in taken.values()], "the manual has it no more"
	tests = set(re.findall(r"\btest_\w+", " ".join(how for _, how in KNOWN)))
	names = set(globals()) | {path.stem for path in (daemons.TOP / "tests/e2e").glob("test_*.py")}
	assert tests <= names, tests - names


def known_as(how):
	return [c for c in manual.commands() if next((h for pattern, h in KNOWN if re.fullmatch(pattern, c)), None) == how]


@pytest.mark.parametrize("command", known_as(FORM))
def test_forms(command):
	"""The options that it names are those that the program knows, with those values."""
	words = re.sub(r"[\[\]…]|\.\.\.", " ", command).replace(" -- ", " ").split()
	names = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]+", word)] if words[0] == "affiant" else []
	said = subprocess.run([daemons.BUILD / "userspace" / words[0], *names, "--help"], capture_output=True, text=True, check=False,
			      stdin=subprocess.DEVNULL, env=daemons.environment())
	assert said.returncode == 0, said.stderr
	for word in words:
		for part in word.split("|"):
			if part.startswith("-"):
				assert re.search(rf"(?<![\w-]){part}(?![\w-])", said.stdout), f"{part}: {said.stdout}"
			elif word != part and re.fullmatch(r"[a-z]+", part):
				assert re.search(rf"\b{part}\b", said.stdout), f"{part}: {said.stdout}"


# ---- agents, and what they have to leave ----

AGENT = """/bin/true; /bin/true; for i in 1 2 3; do : </dev/tcp/127.0.0.1/9; done 2>/dev/null; exit 0"""
COUNTS = {"session_started": 1, "exec": 3, "exit": 3, "connect": 3, "session_ended": 1}


@pytest.fixture
def installed(tmp_path):
	tmp_path.chmod(0o755)
	instance = manual.Installed(tmp_path, "hash: {wait: 10s}\n")
	yield instance
	instance.remove()


def run_agent(daemon):
	"""Its records, of which there are as many as it did things."""
	run = daemon.run("/bin/bash", "-c", AGENT)
	check_agent(run.records())
	return run


def counts(records):
	"""By kind, of what AGENT is to leave: bash looks up names, too, which is told where the kernel has the hook."""
	connects = records.to(9)
	assert all(outcome(r.connect) == "refused" for r in connects)
	return collections.Counter(kind(r) for r in [*records.of("session_started", "session_ended", "exec", "exit"), *connects])


def check_agent(records):
	assert counts(records) == COUNTS


def check_all(daemon, runs, agents=True):
	"""Nothing is missing, doubled or lost, over all that the ledger has."""
	records = daemon.records()
	assert [r.sequence for r in records] == list(range(records[0].sequence, records[0].sequence + len(records)))
	assert len({r.id for r in records}) == len(records)
	final = [r for r in records.connects if not r.connect.completes_pending]
	assert len({(r.boot_id, r.connect.connection.number) for r in final}) == len(final)
	assert not records.of("lost"), records.of("lost").text()
	assert json.loads(daemon.affiant("status", "-o", "json").stdout)["lost"] == []
	for run in runs:
		check_agent(records.where(lambda r: r.task.id == run.task))
	return records


# ---- the commands ----

def test_first_start(installed):
	installed.shell("systemctl enable --now affiantd")
	check_all(installed, [run_agent(installed), run_agent(installed)])


@pytest.fixture(scope="module")
def with_records(tmp_path_factory):
	"""One that has something to show, for commands that change nothing; a copy of its ledger beside it."""
	directory = tmp_path_factory.mktemp("installed")
	directory.chmod(0o755)
	instance = manual.Installed(directory, "hash: {wait: 10s}\n")
	instance.start()
	run_agent(instance)
	instance.launch("/bin/bash", "-c", AGENT, task="JIRA-4711", options=["--on-behalf-of", "alice@example.com"]).wait()
	instance.shell("mkdir copied && cp -r /var/lib/affiant/ledger copied/ledger")
	for name in ("tests", "tools"):
		(directory / name).symlink_to(daemons.TOP / name)
	yield instance
	instance.remove()


@pytest.mark.parametrize("command", known_as(READS))
def test_reads(with_records, command):
	"""As it stands. What follows for ever shows what an agent does meanwhile."""
	if " -f" not in command:
		said = with_records.shell(command).stdout
		assert said or re.search(r"--type (lost|gap)|>|sessions", command), "it shows nothing"
		return
	line = f"cd {with_records.directory} && exec {command}"
	with subprocess.Popen(with_records.within("sh", "-c", line), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
			      env=daemons.environment() | with_records.env) as follows:
		try:
			run_agent(with_records)
			assert follows.stdout.readline()
			assert follows.poll() is None
		finally:
			follows.terminate()


def test_routing_headers_are_dropped(netns):
	"""The firewall takes the rule."""
	line = next(command for command in manual.commands() if command.startswith("nft add rule"))
	if not shutil.which("nft"):
		pytest.skip("needs nftables")
	for words in (["nft", "add", "table", "inet", "filter"],
		      ["nft", "add chain inet filter output { type filter hook output priority 0; }"], line.split()):
		done = subprocess.run(netns.command(*words), capture_output=True, text=True, check=False)
		assert done.returncode == 0, done.stderr
	listed = subprocess.run(netns.command("nft", "list", "table", "inet", "filter"), capture_output=True, text=True, check=True)
	assert "drop" in listed.stdout


def test_uninstall(installed):
	"""The way to another ring: the block as it stands, twice."""
	block = manual.block_with("affiant uninstall-bpf")
	assert [line.split()[0] for line in block] == ["systemctl", "affiant", "systemctl"]
	installed.start()
	runs = [run_agent(installed)]
	for size in (1, 2):
		installed.config.write_text(f"hash: {{wait: 10s}}\nring_bytes: {size}MiB\n")
		for line in block:
			installed.shell(line)
		assert json.loads(installed.affiant("status", "-o", "json").stdout)["ring_bytes"] == size << 20
		runs += [run_agent(installed), run_agent(installed)]
		check_all(installed, runs)


def test_uninstall_with_a_session(installed):
	"""One that lives then ends, and is not recorded further; those after it are."""
	installed.start()
	runs = [run_agent(installed)]
	lives = installed.launch("/bin/sh", "-c", "echo ready; read x; /bin/true", stdin=subprocess.PIPE)
	assert lives.line() == "ready"
	lives.wait_exec("/bin/sh")
	for line in manual.block_with("affiant uninstall-bpf"):
		installed.shell(line)
	runs += [run_agent(installed)]
	lives.process.stdin.write("\n")
	lives.wait()
	runs += [run_agent(installed)]
	records = check_all(installed, runs)
	ended = records.of("session_ended").where(lambda r: r.task.id == lives.task)
	assert len(ended) == 1, "a session whose tracing was removed has ended"


def test_uninstall_while_it_runs(installed):
	"""Refused, and nothing has changed."""
	installed.start()
	runs = [run_agent(installed)]
	for line in ("affiant uninstall-bpf", "affiant uninstall-bpf --pin-dir /sys/fs/bpf/affiant"):
		done = installed.shell(line, status=1)
		assert "affiantd" in done.stderr or "daemon" in done.stderr
		runs += [run_agent(installed)]
	check_all(installed, runs)


def test_removed_for_good(installed):
	"""And installed once more: another ledger, with all of its own."""
	text = " ".join((daemons.TOP / "docs/operations.md").read_text().split())
	assert "remove affiant for good: then delete `/var/lib/affiant`" in text
	installed.start()
	run_agent(installed)
	for line in [*manual.block_with("affiant uninstall-bpf")[:2], "rm -r /var/lib/affiant"]:
		installed.shell(line)
	installed.shell("systemctl start affiantd")
	check_all(installed, [run_agent(installed), run_agent(installed)])


def test_stop_and_start(installed):
	"""What an agent does meanwhile waits in the ring."""
	installed.start()
	runs = [run_agent(installed)]
	inside = installed.launch("/bin/bash", "-c", f"echo ready; read x; {AGENT}", stdin=subprocess.PIPE)
	assert inside.line() == "ready"
	installed.shell("systemctl stop affiantd")
	inside.process.stdin.write("\n")
	inside.wait()
	installed.shell("systemctl start affiantd")
	check_agent(inside.records())
	runs += [inside, run_agent(installed)]
	check_all(installed, runs)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "SIGINT"])
def test_kill(installed, how):
	"""kill -9 loses nothing; SIGINT ends it as SIGTERM does."""
	installed.start()
	runs = [run_agent(installed)]
	for _ in range(2):
		installed.process.send_signal(how)
		status = installed.process.wait(wait.DEADLINE)
		assert status == (0 if how == signal.SIGINT else -signal.SIGKILL)
		installed.shell("systemctl start affiantd")
		runs += [run_agent(installed)]
	check_all(installed, runs)


@pytest.mark.parametrize("kill", [False, True], ids=["ID", "ID --kill"])
def test_session_end(installed, kill):
	"""The session is over at once; what its processes do is recorded until they are gone."""
	installed.start()
	runs = [run_agent(installed)]
	run = installed.launch("/bin/bash", "-c", f"echo ready; read x; {AGENT}", stdin=subprocess.PIPE)
	assert run.line() == "ready"
	session = run.wait_exec("/bin/bash").session.id.hex()
	identity = "-".join((session[:8], session[8:12], session[12:16], session[16:20], session[20:]))
	installed.shell(f"affiant session end {identity}" + (" --kill" if kill else ""))
	runs += [run_agent(installed)]
	if not kill:
		run.process.stdin.write("\n")
	run.wait()
	assert run.returncode == (-signal.SIGKILL if kill else 0)
	wanted = {"session_started": 1, "session_ended": 1} | ({"exec": 1, "exit": 1} if kill else
								   {"exec": 3, "exit": 3, "connect": 3})

	found = run.wait_records("all of the session that was ended",
				 lambda found: not collections.Counter(wanted) - collections.Counter(kind(r) for r in found))
	assert counts(found) == wanted
	check_all(installed, [*runs, run_agent(installed)])


def test_run_example(installed):
	"""The manual page's: with a program of that name."""
	line = next(command for command in manual.commands() if command.startswith("affiant run") and "codex" in command)
	agent = installed.directory / "codex"
	agent.write_text(f'#!/bin/bash\n[ "$*" = "exec fix the build" ] || exit 1\n{AGENT}\n')
	agent.chmod(0o755)
	installed.start()
	runs = [run_agent(installed)]
	installed.shell(line)
	task = shlex.split(line)[shlex.split(line).index("--task") + 1]
	records = installed.wait_records("the example's session", lambda found: found.whole(), "--task", task)
	check_agent(records)
	started = records.one("session_started")
	assert (started.agent.name, started.principal.subject) == ("coder", "alice@example.org")
	check_all(installed, [*runs, run_agent(installed)])


def test_enrolment(installed):
	"""The block as it stands, with a software TPM: which a verifier has to be told to take."""
	tpm = Softtpm(installed.directory)
	tpm.start()
	try:
		installed.config.write_text(config(tpm.tcti))
		(installed.directory / "tpm-vendor-roots.pem").write_text(tpm.ca.read_text() + tpm.issuer.read_text())
		installed.start()
		wait.until("the TPM is ready",
			   lambda: json.loads(installed.affiant("status", "-o", "json").stdout)["tpm"]["state"] == "ready")
		runs = [run_agent(installed)]
		for line in manual.block_with("affiant enroll --install ak.pem"):
			installed.shell(line + (" --allow-software-tpm" if " challenge " in line else ""))
			runs += [run_agent(installed)]
		check_all(installed, runs)
		installed.shell("systemctl stop affiantd")
		installed.shell("systemctl start affiantd")
		check_all(installed, [*runs, run_agent(installed)])
		installed.shell("systemctl stop affiantd")	# the software TPM has one client at a time
		lockout = next(command for command in manual.commands() if command.startswith("tpm2_dictionarylockout"))
		installed.env["TPM2TOOLS_TCTI"] = tpm.tcti
		installed.shell(lockout)
	finally:
		tpm.remove()
		shutil.rmtree(tpm.state, ignore_errors=True)
