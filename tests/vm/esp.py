# SPDX-License-Identifier: Apache-2.0
"""Disks with an EFI system partition: systemd-boot, and a unified kernel image that it starts; or shim, GRUB and a kernel, as
Debian signed them for Secure Boot.
"""

import pathlib
import subprocess
import tempfile

from kernel import CACHE, make_initramfs

EFI = pathlib.Path("/usr/lib/systemd/boot/efi")		# Debian's systemd-boot-efi
START = 1 << 20
# Where systemd-stub 252 has its sections loaded: far enough from each other for what Debian's kernels are.
SECTIONS = {".osrel": 0x20000, ".cmdline": 0x30000, ".linux": 0x2000000, ".initrd": 0x4000000}


def make_image(kernel, words, directory):
	"""A unified kernel image, with the initramfs of these machines and words for the kernel's command line."""
	initramfs, line = directory / "initramfs", directory / "cmdline"
	make_initramfs(kernel, initramfs)
	line.write_text(words)
	files = {".osrel": "/etc/os-release", ".cmdline": line, ".linux": kernel.image, ".initrd": initramfs}
	options = [option for name, at in SECTIONS.items()
		   for option in ("--add-section", f"{name}={files[name]}", "--change-section-vma", f"{name}={at:#x}")]
	image = directory / "kernel.efi"
	subprocess.run(["objcopy", *options, EFI / "linuxx64.efi.stub", image], check=True)
	return image


def _partition(directory, files):
	"""A disk of one partition, with these files in it: {path there: path here}"""
	disk = directory / "disk.img"
	with open(disk, "wb") as image:
		image.truncate(160 << 20)
	subprocess.run(["sfdisk", "--quiet", disk], check=True, text=True, input=f"label: gpt\nstart={START // 512}, type=U\n")
	place = f"{disk}@@{START}"
	subprocess.run(["mformat", "-i", place, "-F", "-T", str((150 << 20) // 512), "::"], check=True)
	made = set()
	for target, source in files.items():
		for parent in [*pathlib.PurePath(target).parents][-2::-1]:
			if parent not in made:
				subprocess.run(["mmd", "-i", place, f"::{parent}"], check=True)
				made.add(parent)
		subprocess.run(["mcopy", "-i", place, source, f"::{target}"], check=True)
	return disk


def make_systemd_boot(kernel, words, directory):
	loader = directory / "loader.conf"
	loader.write_text("timeout 0\n")
	return _partition(directory, {"EFI/BOOT/BOOTX64.EFI": EFI / "systemd-bootx64.efi", "loader/loader.conf": loader,
				      "EFI/Linux/debian.efi": make_image(kernel, words, directory)})


def _unpacked(package):
	"""A package's files, never installed: a boot loader's would make itself the host's."""
	directory = CACHE / "packages" / package
	if not directory.exists():
		directory.parent.mkdir(parents=True, exist_ok=True)
		with tempfile.TemporaryDirectory(dir=CACHE) as work:
			subprocess.run(["apt-get", "download", "-q=2", "-o", "APT::Sandbox::User=root", package], cwd=work, check=True)
			(archive,) = pathlib.Path(work).glob("*.deb")
			subprocess.run(["dpkg-deb", "-x", archive, pathlib.Path(work) / "root"], check=True)
			(pathlib.Path(work) / "root").rename(directory)
	return directory


def make_shim_grub(kernel, words, directory):
	initramfs, menu = directory / "initramfs", directory / "grub.cfg"
	make_initramfs(kernel, initramfs)
	menu.write_text(f"linux /vmlinuz {words}\ninitrd /initramfs\nboot\n")
	return _partition(directory, {
		"EFI/BOOT/BOOTX64.EFI": _unpacked("shim-signed") / "usr/lib/shim/shimx64.efi.signed",
		"EFI/BOOT/grubx64.efi": _unpacked("grub-efi-amd64-signed") / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
		"EFI/debian/grub.cfg": menu, "vmlinuz": kernel.image, "initramfs": initramfs})
