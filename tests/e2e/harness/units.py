# SPDX-License-Identifier: Apache-2.0
"""What the README installs, under a systemd of its own: there need not be one on this machine.

A user's systemd that is root, in a mount namespace: it is not the first process, so that affiantd is where it has to be,
in the initial pid namespace, and does with the unit's lines what the system's does. It finds no unit but those that
were installed, and its directories are the system's. A journald writes to a journal of its own.
"""

import os
import shutil
import signal
import subprocess
import tempfile

from . import cgroups, wait
from . import daemon as daemons

SETUP = """
set -e
rw=$1/rw
mkdir $rw
mount -t tmpfs none $rw
for top in usr etc; do
	mkdir -p $rw/$top/upper $rw/$top/work
	mount -t overlay -o lowerdir=/$top,upperdir=$rw/$top/upper,workdir=$rw/$top/work none /$top
done
rm -rf /etc/affiant /etc/systemd/system /usr/lib/systemd/system /usr/lib/sysusers.d/affiant.conf
for path in /run /var/lib /var/log /srv /opt /usr/lib/systemd/system; do
	mkdir -p $path
	mount -t tmpfs -o mode=755 none $path
done
mount -t bpf none /sys/fs/bpf
umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/system /run/log/journal /etc/systemd
printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' >/etc/systemd/journald.conf
[ -s /etc/machine-id ] || systemd-id128 new >/etc/machine-id
for target in basic default multi-user shutdown; do
	printf '[Unit]\\nDescription=%s\\n' $target >/usr/lib/systemd/system/$target.target
done
echo 0 >/sys/fs/cgroup$2/cgroup.procs
echo ready
exec sleep infinity
"""

# The manual's words, for a systemd that is not the first process and a caller who is root already.
SYSTEMCTL = '#!/bin/sh\nexec /usr/bin/systemctl --user "$@"\n'
SUDO = '#!/bin/sh\nexec "$@"\n'
UNITS = "/usr/lib/systemd/system"
SERVICES = ("affiantd", "affiant-softtpm")
EXIT = signal.SIGRTMIN + 24	# to a user's systemd: at once, stopping nothing
PROGRAMS = ("/lib/systemd/systemd", "/lib/systemd/systemd-journald", "/usr/bin/systemctl", "/usr/bin/systemd-sysusers",
	    "/usr/bin/cmake")


def missing():
	return [program for program in PROGRAMS if not os.access(program, os.X_OK)]


class Host:
	"""The place. In it, shell() runs lines as they stand in the manual."""

	def __init__(self):
		self.directory = daemons.pathlib.Path(tempfile.mkdtemp(prefix="affiant-test-"))
		self.directory.chmod(0o755)
		self.cgroup = cgroups.Cgroup()
		words = self.directory / "bin"
		words.mkdir()
		for name, text in {"systemctl": SYSTEMCTL, "sudo": SUDO}.items():
			(words / name).write_text(text)
			(words / name).chmod(0o755)
		self.env = daemons.environment() | {
			"PATH": f"{words}:{daemons.environment()['PATH']}", "HOME": "/root",
			"XDG_RUNTIME_DIR": "/run",		# RuntimeDirectory=
			"XDG_CONFIG_HOME": "/var/lib",		# StateDirectory=, until 253
			"XDG_STATE_HOME": "/var/lib",		# and since 254
			"SYSTEMD_UNIT_PATH": f"{UNITS}:/var/lib/systemd/user"}
		self.processes = []
		self.place = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh",
					       self.directory, self.cgroup.name], stdout=subprocess.PIPE, text=True)
		assert self.place.stdout.readline() == "ready\n", "no mount namespace for a systemd"

	def within(self, *command):
		return ["nsenter", f"--mount=/proc/{self.place.pid}/ns/mnt", *map(str, command)]

	def _spawn(self, *command, env=None):
		log = open(self.directory / "manager.log", "ab")
		self.processes.append(subprocess.Popen(cgroups.inside(self.cgroup, *self.within(*command)), stdin=subprocess.DEVNULL,
						       stdout=log, stderr=log, env=self.env | (env or {})))
		log.close()

	def _there(self, path):
		return subprocess.run(self.within("test", "-S", path), check=False).returncode == 0

	def boot(self):
		"""Starts journald and systemd."""
		self._spawn("/lib/systemd/systemd-journald")
		wait.until("journald is there", lambda: self._there("/run/systemd/journal/socket"), explain=self.journal)
		self._spawn("/lib/systemd/systemd", "--user", env={"SYSTEMD_LOG_TARGET": "journal"})
		wait.until("systemd is there", lambda: self._there("/run/systemd/private"), explain=self.journal)

	def run(self, *command, check=True, **more):
		done = subprocess.run(self.within(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
				      cwd=more.pop("cwd", self.directory), env=self.env, timeout=2 * wait.DEADLINE, check=False, **more)
		assert not check or done.returncode == 0, \
			f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.journal()}"
		return done

	def shell(self, line, **more):
		return self.run("/bin/sh", "-ec", f'cd "{more.pop("cwd", self.directory)}" && {line}', **more).stdout.strip()

	def write(self, path, text):
		self.run("/bin/sh", "-ec", 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"', "sh", path, text)

	def show(self, name, unit="affiantd"):
		return self.shell(f"systemctl show -P {name} {unit}")

	def journal(self, *options):
		done = subprocess.run(self.within("journalctl", "--no-pager", "-q", "-o", "cat", *options), capture_output=True, text=True,
				      stdin=subprocess.DEVNULL, env=self.env, timeout=wait.DEADLINE, check=False)
		return done.stdout + done.stderr

	def remove(self):
		"""Ends its systemd, which ends its services, then the rest; the mounts and pins go with the namespace."""
		try:
			if len(self.processes) == 2:
				subprocess.run(self.within("systemctl", "stop", *SERVICES), stdin=subprocess.DEVNULL, env=self.env,
					       check=False, capture_output=True, timeout=wait.DEADLINE)
			for process, number in reversed(list(zip(self.processes, (signal.SIGTERM, EXIT)))):
				process.send_signal(number)
				process.wait(wait.DEADLINE)
		finally:
			(self.cgroup.path / "cgroup.kill").write_text("1")	# the place among them
			self.place.communicate()
			self.cgroup.remove()
			shutil.rmtree(self.directory)
