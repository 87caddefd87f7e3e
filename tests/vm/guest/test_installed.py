# SPDX-License-Identifier: Apache-2.0
"""A host on which the README's lines were typed, booted: guest/start has typed those that need no systemd."""

import json
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests" / "e2e"))
from harness import manual, records, wait  # noqa: E402

COMPLAINT = re.compile(r"fail|unknown|ignor|refus|couldn't|cannot|can't|not support|denied|warn|error|invalid|timed out", re.IGNORECASE)


def journal(*options):
	return subprocess.run(["journalctl", "--no-pager", "-q", "-o", "cat", *options], capture_output=True, text=True, check=False).stdout


def shell(line):
	done = subprocess.run(["/bin/sh", "-ec", line], cwd=TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
	assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}\n{journal('-u', 'affiantd')}"
	return done.stdout.strip()


def show(name):
	return shell(f"systemctl show -P {name} affiantd")


def complaints():
	"""Of the daemon, and of systemd about it."""
	lines = journal("-b", "-u", "affiantd").splitlines()
	return [line for line in lines if COMPLAINT.search(line)]


def run_agent():
	shell("affiant run --agent research --task T-1 -- /bin/sh -c '/bin/true; exit 0'")


def whole(count):
	def found():
		done = subprocess.run(["affiant", "events", "-o", "proto"], capture_output=True, check=True)
		return records.decode(done.stdout)

	wait.until(f"{count} sessions", lambda: len(found().of("session_ended")) == count, explain=journal)
	assert not found().of("lost", "gap")


def test_there_at_boot():
	"""Nobody has started it."""
	wait.until("it has started", lambda: show("ActiveState") == "active", explain=journal)
	assert show("NRestarts") == "0"
	assert shell("systemctl is-enabled affiantd") == "enabled"
	assert not complaints()


def test_tpm():
	"""By the unit's DeviceAllow=."""
	def ready():
		return json.loads(shell("affiant status -o json"))["tpm"]["state"] == "ready"

	wait.until("the TPM is ready", ready, explain=lambda: shell("affiant status") + journal("-u", "affiantd"))


def test_the_readme_lines():
	run_agent()
	whole(1)
	shell("systemctl disable --now affiantd")
	block = manual.block_with("sudo cmake --install build/release --prefix /usr")
	for line in block[block.index("sudo cmake --install build/release --prefix /usr"):]:
		shell(re.sub(r"\bsudo ", "", line))
	assert show("ActiveState") == "active"
	run_agent()
	whole(2)
	for line in manual.block_with("affiant events -f"):
		if not line.endswith("-f"):
			shell(line)
	assert "T-1" in shell("affiant events --since 1h")


def test_restart_and_stop():
	shell("systemctl restart affiantd")
	run_agent()
	whole(3)
	shell("systemctl stop affiantd")
	assert show("Result") == "success"
	shell("systemctl start affiantd")
	run_agent()
	whole(4)
	assert show("NRestarts") == "0"
	assert not complaints()
	for line in manual.block_with("affiant uninstall-bpf")[:2]:
		shell(line)
	assert not pathlib.Path("/sys/fs/bpf/affiant").exists()
