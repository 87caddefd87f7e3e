# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels, unpacked under build/vm/kernels and never installed, and the initramfs that starts one."""

import collections
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
CACHE = TOP / "build" / "vm"
HERE = pathlib.Path(__file__).resolve().parent

# Name given to --kernel, and the package that depends on its newest build.
PACKAGES = {"6.1": "linux-image-amd64", "6.12": "linux-image-6.12-amd64"}

# What it takes to reach the shared root; everything else is loaded from there.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")

Kernel = collections.namedtuple("Kernel", "release image modules")


def _output(*command, **more):
	return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def _package(name):
	"""The package of the kernel itself that a meta package depends on now."""
	command = "apt-cache", "depends", "--no-recommends", PACKAGES[name]
	found = re.search(r"Depends: (linux-image-\d\S+)", _output(*command))
	if not found:
		subprocess.run(["apt-get", "update", "-q=2"], check=True)
		found = re.search(r"Depends: (linux-image-\d\S+)", _output(*command))
	if not found:
		raise LookupError(f"apt knows no {PACKAGES[name]}")
	return found[1]


def _fetch(name):
	package = _package(name)
	directory = CACHE / "kernels" / package.removeprefix("linux-image-")
	directory.parent.mkdir(parents=True, exist_ok=True)
	with tempfile.TemporaryDirectory(dir=CACHE) as work:
		subprocess.run(["apt-get", "download", "-q=2", "-o", "APT::Sandbox::User=root", package], cwd=work, check=True)
		(archive,) = pathlib.Path(work).glob("*.deb")
		part = pathlib.Path(work) / "root"
		subprocess.run(["dpkg-deb", "-x", archive, part], check=True)
		subprocess.run(["depmod", "-b", part, directory.name], check=True)
		part.rename(directory)
	return directory


def find(name):
	"""The Kernel called "6.1" or "6.12": from the cache, which keeps what it has, else from Debian's archive."""
	cached = sorted((CACHE / "kernels").glob(f"{name}.*"))
	directory = cached[-1] if cached else _fetch(name)
	release = directory.name
	return Kernel(release, directory / "boot" / f"vmlinuz-{release}", directory / "lib" / "modules" / release)


def _module_files(kernel):
	"""The files of MODULES and of what they need, in the order of loading. What is built in has none."""
	found = {}
	for module in MODULES:
		listed = _output("modprobe", "-d", kernel.modules.parents[2], "-S", kernel.release, "--show-depends", module)
		found |= dict.fromkeys(line.split()[1] for line in listed.splitlines() if line.startswith("insmod "))
	return [pathlib.Path(path) for path in found]


def make_initramfs(kernel, path):
	with tempfile.TemporaryDirectory(dir=CACHE) as work:
		root = pathlib.Path(work)
		for name in ("bin", "modules", "dev", "proc", "sys", "lower", "rw", "root"):
			(root / name).mkdir()
		shutil.copy("/bin/busybox", root / "bin")
		shutil.copy(HERE / "init", root)
		(root / "top").write_text(str(TOP))
		names = []
		for module in _module_files(kernel):
			content = module.read_bytes()
			if module.suffix == ".xz":		# busybox does not unpack what it loads
				content = lzma.decompress(content)
			names.append(module.name.removesuffix(".xz"))
			(root / "modules" / names[-1]).write_bytes(content)
		(root / "modules" / "order").write_text("\n".join(names) + "\n")
		files = "\n".join(sorted(str(p.relative_to(root)) for p in root.rglob("*")))
		with open(path, "wb") as out:
			subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, check=True, stdout=out,
				       stderr=subprocess.DEVNULL, input=files.encode(), env=dict(os.environ, LC_ALL="C"))
