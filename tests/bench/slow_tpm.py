#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""slow_tpm: stands between affiantd and a software TPM and delays every response, as hardware does.

usage: slow_tpm.py [--delay MS] BEHIND FRONT

BEHIND is the socket of affiant-softtpm, FRONT the one to give to affiantd (swtpm:path=FRONT). One client at a time. On
SIGTERM it prints a line of JSON: how many commands passed, by their code, and ends.
"""

import argparse
import collections
import json
import os
import pathlib
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness.tpmproxy import TpmProxy  # noqa: E402


def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
	parser.add_argument("--delay", type=float, default=300, metavar="MS", help="of every command (default: 300)")
	parser.add_argument("behind")
	parser.add_argument("front")
	options = parser.parse_args()
	signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before the proxy's thread is there to take it
	proxy = TpmProxy(options.front, options.behind, options.delay / 1000)
	try:
		signal.sigwait({signal.SIGTERM})
		json.dump({f"0x{code:03x}": n for code, n in sorted(collections.Counter(proxy.commands).items())}, sys.stdout)
		print(flush=True)
	finally:
		os.unlink(options.front)


if __name__ == "__main__":
	main()
