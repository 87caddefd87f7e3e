# SPDX-License-Identifier: Apache-2.0
"""The peer: Debian's auditd with Debian's own settings, and rules for execve and connect.

Its configuration and log are in a directory of the benchmark's; rules and state are put back afterwards. Once auditing
was switched on, the kernel gives every new process an audit context until the next boot, unless a rule says
task,never: while the peer has no turn there is one, so that it is not in the others' figures.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from . import machine

RULES = (("-a", "always,exit", "-F", "arch=b64", "-S", "execve,execveat", "-k", "exec"),
	 ("-a", "always,exit", "-F", "arch=b64", "-S", "connect", "-k", "connect"))
LIMITS = ("-b", "8192", "--backlog_wait_time", "60000", "-f", "1")	# Debian's /etc/audit/rules.d
NO_CONTEXT = ("task,never",)


def status():
	text = machine.command("auditctl", "-s", timeout=10)
	return {key: int(value) for key, value in re.findall(r"^(\w+) (\d+)", text, re.M)}


def refusal():
	"""Why it can't be measured here, or ''."""
	if not shutil.which("auditctl") or not shutil.which("auditd"):
		return "auditd is not installed: tools/setup bench"
	try:
		now = status()
	except (RuntimeError, subprocess.TimeoutExpired) as error:
		return f"the audit netlink is refused: {error}"
	if not now:
		return "the audit netlink is refused: auditctl -s says nothing"
	if now["pid"]:
		return f"an auditd runs already (pid {now['pid']}), which is left alone"
	if now["enabled"] == 2:
		return "audit rules are locked until the next boot"
	if "No rules" not in machine.command("auditctl", "-l"):
		return "there are audit rules already, which are left alone"
	return ""


class Peer:
	"""While it is entered, auditing is ready to be switched on in turns."""

	def __enter__(self):
		self.before = status()
		self.directory = pathlib.Path(tempfile.mkdtemp(prefix="affiant-bench-auditd-"))
		(self.directory / "plugins").mkdir(mode=0o750)
		text = pathlib.Path("/etc/audit/auditd.conf").read_text()
		for key, value in (("log_file", self.directory / "audit.log"), ("plugin_dir", self.directory / "plugins"),
				   ("log_group", "root")):
			text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
		config = self.directory / "auditd.conf"
		config.write_text(text)
		config.chmod(0o640)
		machine.command("auditctl", "-a", *NO_CONTEXT)
		return self

	def __exit__(self, *_):
		machine.command("auditctl", "-D")
		machine.command("auditctl", "-b", self.before["backlog_limit"], "--backlog_wait_time",
				self.before["backlog_wait_time"], "-f", self.before["failure"], "-e", self.before["enabled"])
		shutil.rmtree(self.directory)

	def turn(self):
		return Turn(self)


class Turn:
	def __init__(self, peer):
		self.peer = peer

	def __enter__(self):
		self.process = subprocess.Popen(["auditd", "-n", "-c", self.peer.directory, "-s", "enable"],
						stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
						stderr=subprocess.DEVNULL)
		try:
			machine.until("auditd is ready", lambda: status()["pid"] == self.process.pid)
			machine.command("auditctl", *LIMITS)
			machine.command("auditctl", "-d", *NO_CONTEXT)
			for rule in RULES:
				machine.command("auditctl", *rule)
		except BaseException:
			self.__exit__()
			raise
		return self

	def __exit__(self, *_):
		machine.command("auditctl", "-D")
		machine.command("auditctl", "-a", *NO_CONTEXT)
		machine.command("auditctl", "-e", "0")
		self.process.terminate()
		self.process.wait(60)
		for log in self.peer.directory.glob("audit.log*"):
			log.unlink()

	def lost(self):
		return status()["lost"]

	def backlog(self):
		return status()["backlog"]

	def settle(self, seconds=60):
		"""Until what waits has been written: it has no part in the next figure."""
		end = time.monotonic() + seconds
		while self.backlog() > 16 and time.monotonic() < end:
			time.sleep(0.02)
