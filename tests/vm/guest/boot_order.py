#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
"""Has the firmware boot from entry 1, then 0, from the next start on: as BootOrder 0001,0000 it then measures the bytes of a
separator that reports an error. Entry 1 is made, of what entry 0 is.
"""

import pathlib
import struct
import subprocess

EFIVARS = pathlib.Path("/sys/firmware/efi/efivars")
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
KEPT = 7	# non-volatile, for boot services and at run time

if not any(EFIVARS.iterdir()):
	subprocess.run(["mount", "-t", "efivarfs", "efivarfs", EFIVARS], check=True)


def write(name, content):
	path = EFIVARS / f"{name}-{GLOBAL}"
	if path.exists():
		subprocess.run(["chattr", "-i", path], check=True)
	path.write_bytes(struct.pack("<I", KEPT) + content)


first = (EFIVARS / f"Boot0000-{GLOBAL}").read_bytes()[4:]
write("Boot0001", first)
write("BootOrder", struct.pack("<HH", 1, 0))
assert (EFIVARS / f"BootOrder-{GLOBAL}").read_bytes()[4:] == b"\1\0\0\0"
