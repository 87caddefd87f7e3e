# SPDX-License-Identifier: Apache-2.0
"""File systems of many kinds in files, and where they are mounted."""

import contextlib
import os
import shutil
import subprocess

import pytest

from . import wait

# Of a tree; those without one are filled by whoever has them mounted.
MAKE = {
	"ext4": ("mkfs.ext4", "-q", "-d", "{tree}", "{image}", "64M"),
	"erofs": ("mkfs.erofs", "{image}", "{tree}"),
	"squashfs": ("mksquashfs", "{tree}", "{image}", "-noD", "-noI", "-noF", "-quiet", "-no-progress"),
	"xfs": ("mkfs.xfs", "-q", "{image}"),
	"btrfs": ("mkfs.btrfs", "-q", "{image}"),
}
SIZES = {"xfs": 320 << 20, "btrfs": 256 << 20}


def unmounted(place):
	wait.until(f"nobody uses {place}", lambda: subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0)


@contextlib.contextmanager
def mounted(place, *options):
	"""mount OPTIONS PLACE; skips the test where the kernel can't."""
	done = subprocess.run(["mount", *map(str, options), place], capture_output=True, text=True, check=False)
	if done.returncode:
		pytest.skip(f"mount {options}: {done.stderr.strip()}")
	try:
		yield place
	finally:
		unmounted(place)


@contextlib.contextmanager
def image_of(kind, place, options="loop", tree=None, uid=0):
	"""(the image, a file of this user's in place, and where root mounted it with these options)"""
	if not shutil.which(MAKE[kind][0]):
		pytest.skip(f"not installed: {MAKE[kind][0]}")
	image, point = place / "image", place / "mounted"
	point.mkdir()
	if kind in SIZES:
		image.touch()
		os.truncate(image, SIZES[kind])
	(tree := tree or place / "tree").mkdir(exist_ok=True)
	command = [word.format(tree=tree, image=image) for word in MAKE[kind]]
	subprocess.run(command, check=True, capture_output=True)
	os.chown(image, uid, uid)
	with mounted(point, "-t", kind, "-o", options, image):
		yield image, point
