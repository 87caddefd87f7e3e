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
import signal
import socket
import struct
import sys
import time


class Ended(Exception):
	pass


def receive(connection):
	"""One command or response (TPM 2.0 Library, Part 1, 18)."""
	data = b""
	size = 10
	while len(data) < size:
		more = connection.recv(size - len(data))
		if not more:
			raise Ended
		data += more
		if len(data) == 10:
			size = struct.unpack(">HI", data[:6])[1]
	return data


def serve(front, behind, delay, commands):
	"""One client to its end."""
	try:
		while True:
			command = receive(front)
			commands[struct.unpack(">I", command[6:10])[0]] += 1
			due = time.monotonic() + delay
			behind.sendall(command)
			response = receive(behind)
			time.sleep(max(0, due - time.monotonic()))
			front.sendall(response)
	except (Ended, ConnectionError):
		pass


def stop(*_):
	raise KeyboardInterrupt


def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
	parser.add_argument("--delay", type=float, default=300, metavar="MS", help="of every command (default: 300)")
	parser.add_argument("behind")
	parser.add_argument("front")
	options = parser.parse_args()
	signal.signal(signal.SIGTERM, stop)
	commands = collections.Counter()
	with socket.socket(socket.AF_UNIX) as listener:
		listener.bind(options.front)
		listener.listen(1)
		try:
			while True:
				front, _ = listener.accept()
				with front, socket.socket(socket.AF_UNIX) as behind:
					behind.connect(options.behind)
					serve(front, behind, options.delay / 1000, commands)
		except KeyboardInterrupt:
			json.dump({f"0x{code:03x}": n for code, n in sorted(commands.items())}, sys.stdout)
			print(flush=True)
		finally:
			os.unlink(options.front)


if __name__ == "__main__":
	main()
