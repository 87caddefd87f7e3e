# SPDX-License-Identifier: Apache-2.0
"""The packaged service under systemd itself. For a machine of its own: it installs into /usr/local and /etc."""

import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests" / "e2e"))
from harness import records, wait  # noqa: E402

UNITS = pathlib.Path("/etc/systemd/system")
PINS = pathlib.Path("/sys/fs/bpf/affiant")


def run(*command, check=True):
	done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
	assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{journal()}"
	return done.stdout.strip()


def journal():
	return subprocess.run(["journalctl", "-u", "affiantd", "--no-pager", "-n", "50"], capture_output=True, text=True).stdout


def show(name, unit="affiantd"):
	return run("systemctl", "show", "-P", name, unit)


def main_pid():
	return int(show("MainPID"))


def all_records(*filters):
	done = subprocess.run(["affiant", "events", "-o", "proto", *filters], capture_output=True, check=True)
	return records.decode(done.stdout)


def unit(name, *lines):
	(UNITS / name).write_text("\n".join(("[Service]", *lines)) + "\n")
	run("systemctl", "daemon-reload")


@pytest.fixture(scope="module", autouse=True)
def installed():
	run("cmake", "--install", "build/release")
	run("systemd-sysusers")
	pathlib.Path("/etc/affiant/affiant.yaml").write_text(
		"agents:\n  - name: worker\n    selectors:\n      - unit: worker-*.service\n")
	run("systemctl", "daemon-reload")
	run("systemctl", "start", "affiantd")
	yield
	run("systemctl", "stop", "affiantd")
	run("affiant", "uninstall-bpf")
	assert not PINS.exists()


@pytest.fixture
def worker():
	"""A service that a selector takes; it goes on until the test has ended."""
	unit("worker-1.service", "ExecStart=/bin/sleep infinity")
	run("systemctl", "start", "worker-1")
	yield int(show("MainPID", "worker-1"))
	run("systemctl", "stop", "worker-1")


def worker_session():
	"""The identifier of the one session of the agent that the selector names."""
	(line,) = [line for line in run("affiant", "sessions").splitlines() if "worker" in line]
	return re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", line)[0]


def wait_other_process(pid):
	def other():
		return show("ActiveState") == "active" and main_pid() not in (0, pid)

	wait.until("systemd has started it again", other, explain=journal)


def test_ready():
	"""Type=notify: `systemctl start` came back because the daemon said so."""
	assert show("ActiveState") == "active"
	assert show("NotifyAccess") == "main"
	assert "affiantd" in run("affiant", "status")
	assert "libcap-ng" not in journal(), "it wants what the unit does not leave it"


def test_groups():
	for group in ("affiant-launch", "affiant-read"):
		assert run("getent", "group", group)


def test_unit_selector():
	unit("worker-2.service", "Type=oneshot", "ExecStart=/bin/sh -c /bin/true")
	unit("other.service", "Type=oneshot", "ExecStart=/bin/sh -c /bin/true")
	before = len(all_records().execs)
	run("systemctl", "start", "other")
	run("systemctl", "start", "worker-2")

	def ended():
		found = all_records("--agent", "worker")
		return found if found.of("session_ended") else None

	found = wait.until("the worker's session has ended", ended, explain=journal)
	assert [bytes(e.process.argv[0]) for e in found.execs] == [b"/bin/sh", b"/bin/true"]
	assert len(all_records().execs) - before == 2, "the other unit is no agent's"


def test_restart(worker):
	"""The session outlives the daemon: the same one before and after."""
	before = worker_session()
	pid = main_pid()
	run("systemctl", "restart", "affiantd")
	assert main_pid() != pid
	assert worker_session() == before


def test_killed(worker):
	before = worker_session()
	pid = main_pid()
	restarts = int(show("NRestarts"))
	run("kill", "-9", pid)
	wait_other_process(pid)
	assert int(show("NRestarts")) == restarts + 1
	assert worker_session() == before


def test_watchdog():
	"""A daemon that hangs is ended and started again."""
	override = UNITS / "affiantd.service.d"
	override.mkdir()
	(override / "watchdog.conf").write_text("[Service]\nWatchdogSec=5\n")
	run("systemctl", "daemon-reload")
	run("systemctl", "restart", "affiantd")
	pid = main_pid()
	fed = show("WatchdogTimestampMonotonic")
	wait.until("the watchdog is fed", lambda: show("WatchdogTimestampMonotonic") != fed, explain=journal)
	run("kill", "-STOP", pid)
	wait_other_process(pid)
	assert "watchdog" in journal().lower()
	(override / "watchdog.conf").unlink()
	override.rmdir()
	run("systemctl", "daemon-reload")


def test_stop():
	"""Tracing goes on without the daemon, and what was pinned is there for the next one."""
	run("systemctl", "stop", "affiantd")
	assert show("Result") == "success"
	assert PINS.is_dir()
	run("systemctl", "start", "affiantd")
	assert show("ActiveState") == "active"
