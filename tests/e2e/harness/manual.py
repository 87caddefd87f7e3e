# SPDX-License-Identifier: Apache-2.0
"""The commands that the manual shows, and a place where they run as they stand there: with the usual paths, which are
those of a mount namespace."""

import re
import signal
import subprocess

from . import daemon as daemons

TEXTS = [daemons.TOP / "README.md", *sorted((daemons.TOP / "docs").glob("*.md")), *sorted((daemons.TOP / "docs/man").glob("*.scd"))]
PROGRAM = r"(?:affiant\w*|cmake|kill|mount|nft|rm|sudo|systemctl|systemd-\w+|tools/[\w-]+|tpm2_\w+|umount)"
COMMAND = re.compile(rf"{PROGRAM}(?: .+)?")


def _lines_of_markdown(text):
	"""Lines of fenced blocks, but for what is indented (a transcript), and spans of code."""
	fenced = False
	for line in re.sub(r" \\\n\s*", " ", text).splitlines():
		if line.startswith("```"):
			fenced = not fenced
		elif fenced:
			yield re.sub(r"\s+# .*", "", line)
		else:
			yield from (span for span in re.findall(r"`([^`]+)`", line) if " " in span)


def _lines_of_man(text):
	"""Synopsis, examples and bold words of scdoc."""
	for line in text.splitlines():
		if re.match(r"\*affiantd?\b", line) and line.endswith(("++", "]")) or re.match(r"\*affiant version\*", line):
			yield re.sub(r"[*_]|\+\+$", "", line)
		elif line.startswith("\taffiant ") and "--" in line:
			yield line.strip()
		else:
			yield from (span for span in re.findall(r"\*([^*]+)\*", line) if " " in span)


def commands():
	"""The commands of all texts, without sudo, each once, in the order in which they are met."""
	found = {}
	for path in TEXTS:
		lines = _lines_of_man if path.suffix == ".scd" else _lines_of_markdown
		for line in lines(path.read_text()):
			for part in line.split(" && "):
				part = part.strip().removeprefix("sudo ")
				if COMMAND.fullmatch(part):
					found.setdefault(part, path.name)
	return found


def blocks(path):
	"""The fenced blocks of a text, as lists of their commands."""
	for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.M | re.S):
		yield [re.sub(r"\s+# .*", "", line) for line in block.splitlines()]


def block_with(command):
	"""The lines of the one block that has this line."""
	found = [block for path in TEXTS if path.suffix == ".md" for block in blocks(path) if command in block]
	assert len(found) == 1, f"{len(found)} blocks with {command!r}"
	return found[0]


MOUNTS = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mount -t bpf none /sys/fs/bpf && mkdir /run/affiant"


class Installed(daemons.Daemon):
	"""An affiantd at the usual paths, and the test as its service manager: there need not be a systemd."""

	def __init__(self, directory, config=None):
		super().__init__(directory, config)
		self.state = daemons.pathlib.Path("/var/lib/affiant")
		self.runtime = daemons.pathlib.Path("/run/affiant")
		self.socket = self.runtime / "affiant.sock"
		self.place = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
					       f"{MOUNTS} && echo ready && exec sleep infinity"], stdout=subprocess.PIPE, text=True)
		assert self.place.stdout.readline() == "ready\n"
		self.env = {"PATH": f"{directory}:{daemons.BUILD / 'userspace'}:{daemons.environment()['PATH']}"}

	def within(self, *command):
		"""The command that runs another one there."""
		return ["nsenter", f"--mount=/proc/{self.place.pid}/ns/mnt", *map(str, command)]

	def command(self):
		return self.within("affiantd", *(["--config", self.config] if self.config.exists() else []))

	def affiant(self, subcommand, *arguments, text=True, **more):
		more.pop("socket", None)
		return subprocess.run(self.within("affiant", subcommand, *arguments), stdin=subprocess.DEVNULL,
				      capture_output=True, text=text, env=daemons.environment() | self.env, timeout=60, **more)

	def launch(self, *command, before=(), env=None, **more):
		return super().launch(*command, before=self.within(*before), env=self.env | (env or {}), **more)

	def shell(self, line, status=0, **more):
		"""Runs a line as it stands in the manual, in the test's directory; `systemctl` is the test itself."""
		words = line.split()
		if words[0] == "systemctl":
			assert words[-1] == "affiantd", line
			{"stop": self.stop, "start": self.start, "enable --now": self.start}[" ".join(words[1:-1])]()
			return None
		done = subprocess.run(self.within("sh", "-c", f"cd {self.directory} && {line}"), stdin=subprocess.DEVNULL,
				      capture_output=True, text=True, env=daemons.environment() | self.env, timeout=60, **more)
		assert done.returncode == status, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
		return done

	def remove(self):
		"""The pins go with the bpffs that they are in."""
		try:
			self.stop()
		finally:
			if self.running():
				self.kill()
			self.place.send_signal(signal.SIGKILL)
			self.place.communicate()
