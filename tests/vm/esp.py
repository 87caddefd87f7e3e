# SPDX-License-Identifier: Apache-2.0
"""A disk with an EFI system partition: systemd-boot, and a unified kernel image that it starts."""

import pathlib
import subprocess

from kernel import make_initramfs

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


def make_disk(kernel, words, directory):
	disk = directory / "disk.img"
	with open(disk, "wb") as image:
		image.truncate(160 << 20)
	subprocess.run(["sfdisk", "--quiet", disk], check=True, text=True, input=f"label: gpt\nstart={START // 512}, type=U\n")
	place = f"{disk}@@{START}"
	loader = directory / "loader.conf"
	loader.write_text("timeout 0\n")
	subprocess.run(["mformat", "-i", place, "-F", "-T", str((150 << 20) // 512), "::"], check=True)
	subprocess.run(["mmd", "-i", place, "::EFI", "::EFI/BOOT", "::EFI/Linux", "::loader"], check=True)
	for source, target in ((EFI / "systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"), (loader, "loader/loader.conf"),
			       (make_image(kernel, words, directory), "EFI/Linux/debian.efi")):
		subprocess.run(["mcopy", "-i", place, source, f"::{target}"], check=True)
	return disk
