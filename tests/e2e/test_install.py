# SPDX-License-Identifier: Apache-2.0
"""What the README installs starts: its lines as they stand there, and the units that they bring under a systemd."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import daemon as daemons
from harness import manual, records, units, wait

UNITS = ("affiantd.service", "affiant-softtpm.service")
SOURCES = [daemons.TOP / "packaging" / f"{name}.in" for name in UNITS]
# What a journal says when a line of a unit is not as systemd wants it, or can't be done.
# No bus runs where these are tested.
NO_BUS = "Failed to connect to system bus"
COMPLAINT = re.compile(r"fail|unknown|ignor|deprecat|obsolete|refus|couldn't|cannot|can't|not support|denied|warn|error|"
		       r"invalid|libcap-ng|core dumped|timed out|killed", re.IGNORECASE)


def needs_systemd():
	if units.missing():
		pytest.skip(f"needs {', '.join(units.missing())}")


def install(root, prefix):
	subprocess.run(["cmake", "--install", str(daemons.BUILD), "--prefix", prefix], check=True, capture_output=True,
		       env=os.environ | {"DESTDIR": str(root)})


# ---- the files ----

@pytest.mark.parametrize("prefix", ["/usr", "/usr/local", "/opt/affiant"])
def test_units_start_what_was_installed(place, prefix):
	"""Whatever prefix the build was configured for."""
	install(place, prefix)
	for name in UNITS:
		path = place / prefix[1:] / "lib/systemd/system" / name
		assert path.stat().st_mode & 0o7777 == 0o644
		text = path.read_text()
		assert "@" not in text
		program = re.search(r"^ExecStart=(\S+)", text, re.M)[1]
		assert os.access(f"{place}{program}", os.X_OK), program
		assert program.startswith(f"{prefix}/sbin/")


def test_systemd_has_nothing_to_say_about_the_units(place):
	if not os.access("/usr/bin/systemd-analyze", os.X_OK):
		pytest.skip("needs systemd-analyze")
	install(place, "/usr")
	# What they depend on is there.
	shutil.copytree("/usr/lib/systemd/system", place / "usr/lib/systemd/system", symlinks=True, dirs_exist_ok=True)
	verify = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={place}",
				 *(f"/usr/lib/systemd/system/{name}" for name in UNITS)],
				capture_output=True, text=True, check=False, env=daemons.environment())
	ours = [line for line in (verify.stdout + verify.stderr).splitlines() if "affiant" in line]
	assert not ours, verify.stderr


@pytest.mark.parametrize("source", SOURCES, ids=UNITS)
def test_what_may_be_missing_keeps_no_unit_from_starting(source):
	"""Not every kernel has each file of /proc and /sys."""
	for line in source.read_text().splitlines():
		found = re.fullmatch(r"(ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|ExecPaths|NoExecPaths|BindPaths|BindReadOnlyPaths|"
				     r"LoadCredential|EnvironmentFile)=(.*)", line)
		for path in found[2].split() if found else ():
			assert path.startswith("-"), line


# ---- under systemd ----

@pytest.fixture(scope="module")
def host():
	needs_systemd()
	instance = units.Host()
	yield instance
	instance.remove()


def the_block():
	"""The README's lines, without those that build: a build is there."""
	block = manual.block_with("sudo cmake --install build/release --prefix /usr")
	kept = [line for line in block if "--preset" not in line and "tools/setup" not in line]
	assert len(kept) == 3 and "enable --now affiantd" in kept[-1], block
	return [line.replace("build/release", str(daemons.BUILD)) for line in kept]


@pytest.fixture(scope="module")
def installed(host):
	host.boot()
	for line in the_block():
		host.shell(line, cwd=daemons.TOP)
	return host


def said(host):
	"""What systemd and affiantd complain of."""
	return [line for line in host.journal().splitlines() if COMPLAINT.search(line) and not line.startswith(NO_BUS)]


def test_it_starts(installed):
	assert installed.show("ActiveState") == "active"
	assert installed.show("NRestarts") == "0"
	assert os.readlink(f"/proc/{installed.show('MainPID')}/exe").endswith("/usr/sbin/affiantd")
	assert installed.shell("systemctl is-enabled affiantd") == "enabled"
	for group in ("affiant-launch", "affiant-read"):
		assert installed.shell(f"getent group {group}")
	assert not said(installed)


def run_agent(host):
	host.shell("affiant run --agent research --task T-1 --on-behalf-of alice@example.com -- /bin/sh -c '/bin/true; exit 0'")


def all_records(host, *filters):
	done = subprocess.run(host.within("affiant", "events", "-o", "proto", *filters), capture_output=True, check=True, env=host.env,
			      stdin=subprocess.DEVNULL, timeout=wait.DEADLINE)
	return records.decode(done.stdout)


def whole(host, count):
	"""Waits for that many sessions, none with anything missing."""
	wait.until(f"{count} sessions", lambda: len(all_records(host).of("session_ended")) == count, explain=host.journal)
	found = all_records(host)
	assert [r.sequence for r in found] == list(range(found[0].sequence, found[0].sequence + len(found)))
	assert not found.of("lost", "gap")
	return found


def test_an_agent_and_the_commands_that_the_readme_shows(installed):
	run_agent(installed)
	whole(installed, 1)
	shown = [line for line in manual.block_with("affiant events -f") if not line.endswith("-f")]
	assert any("--since 1h" in line for line in shown)
	for line in shown:
		installed.shell(line)
	assert "T-1" in installed.shell("affiant events --since 1h")
	assert not installed.shell("affiant events --until 1h")
	status = json.loads(installed.shell("affiant status -o json"))
	assert status["lost"] == []
	assert "affiantd" in installed.shell("affiant status")
	assert not said(installed)


def test_restart_stop_and_start(installed):
	before = len(all_records(installed).of("session_ended"))
	for n, line in enumerate(("restart", "stop", "start", "restart"), 1):
		installed.shell(f"systemctl {line} affiantd")
		if line == "stop":
			assert installed.show("Result") == "success"
			installed.shell("test -d /sys/fs/bpf/affiant")
		else:
			run_agent(installed)
			before += 1
			whole(installed, before)
	assert installed.show("NRestarts") == "0"
	assert not said(installed)


def wait_another(host, pid):
	wait.until("systemd has started it again", lambda: host.show("ActiveState") == "active" and host.show("MainPID") not in ("0", pid),
		   explain=host.journal)


def test_ended_by_force_it_is_started_again(installed):
	before = len(all_records(installed).of("session_ended"))
	pid = installed.show("MainPID")
	os.kill(int(pid), signal.SIGKILL)
	wait_another(installed, pid)
	run_agent(installed)
	whole(installed, before + 1)


def test_watchdog(installed):
	"""A daemon that hangs is ended and started again; one that works feeds it."""
	path = f"{units.UNITS}/affiantd.service.d/watchdog.conf"
	installed.write(path, "[Service]\nWatchdogSec=3\n")
	installed.shell("systemctl daemon-reload")
	installed.shell("systemctl restart affiantd")
	pid, fed = installed.show("MainPID"), installed.show("WatchdogTimestampMonotonic")
	wait.until("it is fed", lambda: installed.show("WatchdogTimestampMonotonic") != fed, explain=installed.journal)
	assert installed.show("MainPID") == pid
	os.kill(int(pid), signal.SIGSTOP)
	wait_another(installed, pid)
	assert "watchdog" in installed.journal().lower()
	installed.shell(f"rm {path}")
	installed.shell("systemctl daemon-reload")


def test_a_kernel_without_those_files(host, installed):
	"""ProcSubset=pid leaves nothing in /proc but processes, so that all that a unit names there is missing."""
	for name in UNITS:
		text = host.shell(f"cat {units.UNITS}/{name}")
		text = re.sub(r"^(ExecStart)=.*", r"\1=/bin/true", text, flags=re.M)
		text = re.sub(r"^(Type)=.*", r"\1=oneshot\nRemainAfterExit=yes\nProcSubset=pid", text, flags=re.M)
		text = re.sub(r"^(WatchdogSec|Restart|RestartSec|StateDirectory\w*|RuntimeDirectory\w*)=.*\n", "", text, flags=re.M)
		host.write(f"{units.UNITS}/without-{name}", text)
		host.shell("systemctl daemon-reload")
		host.shell(f"systemctl start without-{name}")
		host.shell(f"systemctl stop without-{name}")


def test_another_state_directory(installed):
	"""By the lines that operations.md has; without them it says what it can't write."""
	text = (daemons.TOP / "docs/operations.md").read_text()
	path, lines = re.search(r"`(/etc/systemd/system/affiantd.service.d/\S+)`.*?^```\n(.*?)^```", text, re.M | re.S).groups()
	place, = re.findall(r"ReadWritePaths=(.+)", lines)
	before = installed.shell("cat /etc/affiant/affiant.yaml")
	installed.shell(f"mkdir {place} && chmod 700 {place}")
	installed.write("/etc/affiant/affiant.yaml", f"state_dir: {place}\n")
	installed.run("systemctl", "restart", "--no-block", "affiantd")
	wait.until("it says why", lambda: re.search(f"{place}.*Read-only", installed.journal()), explain=installed.journal)
	installed.write(path.replace("/etc/systemd/system", units.UNITS), lines)
	installed.shell("systemctl daemon-reload")
	installed.shell("systemctl restart affiantd")
	run_agent(installed)
	wait.until("its session", lambda: len(all_records(installed).of("session_ended")) == 1, explain=installed.journal)
	installed.shell(f"test -d {place}/ledger && rm {path.replace('/etc/systemd/system', units.UNITS)}")
	installed.write("/etc/affiant/affiant.yaml", before)
	installed.shell("systemctl daemon-reload")
	installed.shell("systemctl restart affiantd")


@pytest.mark.parametrize("line", [line for line in manual.commands() if "PREFIX" in line])
def test_another_prefix(host, installed, line):
	"""The unit that is linked is the one below that prefix, and starts what is there; the groups are its own."""
	installed.shell(f"cmake --install {daemons.BUILD} --prefix /opt/affiant", cwd=daemons.TOP)
	if "link" in line:
		installed.shell("systemctl stop affiantd; rm -f /usr/lib/systemd/system/affiantd.service; systemctl daemon-reload")
	installed.shell(line.replace("PREFIX", "/opt/affiant"))
	if "link" not in line:
		return
	installed.shell("systemctl start affiantd")
	assert os.readlink(f"/proc/{installed.show('MainPID')}/exe").endswith("/opt/affiant/sbin/affiantd")
	run_agent(installed)
	installed.shell("systemctl stop affiantd; rm -f /var/lib/systemd/user/affiantd.service")
	install_again = the_block()[0]
	installed.shell(install_again, cwd=daemons.TOP)
	installed.shell("systemctl daemon-reload")
	installed.shell("systemctl start affiantd")


def test_the_unit_of_the_software_tpm(installed):
	"""As operations.md has it; then affiantd by that TPM."""
	if not shutil.which("swtpm_localca") or not shutil.which("tpm2_createek"):
		pytest.skip("needs swtpm and tpm2-tools: tools/setup run")
	begun = len(said(installed))
	installed.shell("systemctl enable --now affiant-softtpm")
	installed.write("/etc/affiant/affiant.yaml", "tpm:\n  tcti: swtpm:path=/run/affiant-softtpm/tpm.sock\n")
	installed.shell("systemctl restart affiantd")

	def ready():
		return json.loads(installed.shell("affiant status -o json"))["tpm"]["state"] == "ready"

	wait.until("the TPM is ready", ready, explain=installed.journal)
	assert installed.show("NRestarts", "affiant-softtpm") == "0"
	assert len(said(installed)) == begun


def test_it_is_removed(installed):
	"""Last of all: nothing of it is left in the kernel."""
	for line in manual.block_with("affiant uninstall-bpf")[:2]:
		installed.shell(line)
	assert "affiant" not in installed.shell("ls /sys/fs/bpf")
