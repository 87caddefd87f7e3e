# SPDX-License-Identifier: Apache-2.0
"""The small C programs of tests/e2e/programs, compiled once.

Each does one thing, says what it did, and exits with 0 when it could, 77 when the kernel has no such thing
(the test is then skipped, with the program's last line as the reason), anything else when it failed.
"""

import os
import pathlib
import shutil
import subprocess

from . import wait

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "programs"
SKIP = 77
FLAGS = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers",
	 "-D_GNU_SOURCE"]
LIBRARIES = ["-Wl,--as-needed", "-lbpf", "-luring", "-lpthread"]


def compile_program(source, target, *flags, libraries=()):
	# Of all these libraries only the C library's own are there in 32 bits.
	usual = ["-lpthread"] if "-m32" in flags else LIBRARIES
	command = [os.environ.get("CC", "gcc"), *FLAGS, *flags, "-o", str(target), str(source), *libraries, *usual]
	done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
	assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
	return wait.settled(target)


class Programs:
	"""programs["name"] is the path of the compiled programs/name.c."""

	def __init__(self, directory):
		self.directory = pathlib.Path(directory)
		self.directory.mkdir(parents=True, exist_ok=True)
		self.built = {}

	def __getitem__(self, name):
		if name not in self.built:
			self.built[name] = compile_program(SOURCE / f"{name}.c", self.directory / name)
		return self.built[name]

	def static(self, name, *flags):
		"""The same, without an ELF loader or libraries; flags are the compiler's."""
		key = (name, "static", *flags)
		if key not in self.built:
			target = self.directory / f"{name}.{len(self.built)}"
			self.built[key] = compile_program(SOURCE / f"{name}.c", target, "-static", *flags)
		return self.built[key]

	def copy(self, name, target, salt=b""):
		"""A copy with bytes appended, which an ELF file bears: a digest of its own."""
		shutil.copyfile(self.static(name), target)
		with open(target, "ab") as file:
			file.write(salt or os.urandom(16))
		os.chmod(target, 0o755)
		return wait.settled(target)
