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
	depends = _output("apt-cache", "depends", "--no-recommends", PACKAGES[name])
	return re.search(r"Depends: (linux-image-\d\S+)", depends)[1]


def _fetch(package, directory):
	with tempfile.TemporaryDirectory(dir=CACHE) as work:
		subprocess.run(["apt-get", "download", "-q=2", "-o", "APT::Sandbox::User=root", package], cwd=work, check=True)
		(archive,) = pathlib.Path(work).glob("*.deb")
		part = pathlib.Path(work) / "root"
		subprocess.run(["dpkg-deb", "-x", archive, part], check=True)
		subprocess.run(["depmod", "-b", part, package.removeprefix("linux-image-")], check=True)
		part.rename(directory)


def find(name):
	"""The Kernel called "6.1" or "6.12": from the cache, else from Debian's archive."""
	package = _package(name)
	release = package.removeprefix("linux-image-")
	directory = CACHE / "kernels" / release
	if not directory.exists():
		directory.parent.mkdir(parents=True, exist_ok=True)
		_fetch(package, directory)
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
