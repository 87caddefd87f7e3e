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

READS = "changes nothing"

# Every command that the texts show, by the first of these that takes it: what it is, or the test that runs it. One that
# nothing takes is new: whoever writes it adds a test of it.
KNOWN = [
	(r"affiant (events|sessions|status|match|version|verify)\b.*", READS),
	(r"affiantd --check-config.*", READS),
	(r"affiant evidence .*", "test_evidence"),
	(r"affiantd( .*)?", "every test starts one"),
	(r"affiant uninstall-bpf( \[--pin-dir DIR\])?", "test_uninstall, test_uninstall_while_it_runs"),
	(r"systemctl (stop|start|enable --now) affiantd", "test_uninstall, test_first_start"),
	(r"kill -9", "test_kill"),
	(r"affiant session end( ID)?( \[?--kill\]?)?", "test_session_end"),
	(r"affiant run( .*)?", "test_run_example"),
	(r"affiant enroll( .*)?", "test_enrolment"),
	(r"affiant ca (init|challenge|issue)( .*)?", "test_enrolment"),
	(r"systemctl enable --now affiant-softtpm", "test_enrolment, by the program that the unit starts"),
	(r"tools/(demo|setup|test)( .*)?", "of the checkout; the demonstration: test_demo"),
	(r"cmake .*", "of the checkout: tests/clean-room"),
	(r"systemd-sysusers|systemctl daemon-reload", "of the package: tests/vm"),
	(r"tpm2_dictionarylockout .*", "of the TPM's owner"),
	(r"nft add rule .*", "of the host's firewall"),
]


def test_every_command_is_known():
	found = manual.commands()
	assert len(found) > 30, found
	taken = {command: next((n for n, (pattern, _) in enumerate(KNOWN) if re.fullmatch(pattern, command)), None)
		 for command in found}
	assert not [f"{found[c]}: {c}" for c, n in taken.items() if n is None], "new in the manual: to be tested here"
	assert not [KNOWN[n] for n in range(len(KNOWN)) if n not in taken.values()], "the manual has it no more"
	tests = set(re.findall(r"test_\w+", " ".join(how for _, how in KNOWN)))
	names = set(globals()) | {path.stem for path in (daemons.TOP / "tests/e2e").glob("test_*.py")}
	assert tests <= names, tests - names


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
	finally:
		tpm.remove()
		shutil.rmtree(tpm.state, ignore_errors=True)
