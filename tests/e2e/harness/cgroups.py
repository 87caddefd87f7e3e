# SPDX-License-Identifier: Apache-2.0
"""Cgroups of the unified hierarchy, made and taken away."""

import itertools
import os
import pathlib

from . import wait

_numbers = itertools.count(1)


def root():
	"""Where the unified hierarchy is mounted."""
	mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
	return pathlib.Path(next(line.split()[4] for line in mounts if " - cgroup2 " in line))


class Cgroup:
	"""One cgroup below the root, and others below it."""

	def __init__(self, suffix=""):
		self.name = f"/affiant-test-{os.getpid()}-{next(_numbers)}{suffix}"	# as /proc/PID/cgroup shows it
		self.path = root() / self.name[1:]
		self.path.mkdir()

	def __fspath__(self):
		return str(self.path)

	def __str__(self):
		return str(self.path)

	def make(self, name):
		"""The path of a cgroup below."""
		path = self.path / name
		path.mkdir(parents=True)
		return path

	def remove(self):
		below = [path for path in self.path.rglob("*") if path.is_dir()]
		for path in sorted(below, reverse=True) + [self.path]:
			wait.until(f"{path} is empty", lambda: not (path / "cgroup.procs").read_text())
			path.rmdir()


def inside(cgroup, *command):
	"""The command that runs another one in a cgroup: it enters, then executes."""
	return ["/bin/sh", "-c", f'echo 0 >{cgroup}/cgroup.procs && exec "$@"', "sh", *map(str, command)]
