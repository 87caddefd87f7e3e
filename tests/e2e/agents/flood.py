#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An agent that does one thing very often: flood.py KIND COUNT [PAUSE]; each KIND COUNT after another. Says what it did as it goes."""

import os
import socket
import sys
import time


def address(number):
	return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def udp(number):
	"""A socket each, to a destination of its own."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		s.sendto(b"x", (address(number), 9))


def refused(number):
	with socket.socket() as s:
		s.connect_ex(("127.0.0.1", 1))


class Tcp:
	"""To a server of its own: what is accepted is not its connection."""

	def __init__(self):
		self.server = socket.create_server(("127.0.0.1", 0), backlog=128)

	def __call__(self, number):
		with socket.create_connection(self.server.getsockname()):
			self.server.accept()[0].close()


class Unix:
	def __init__(self):
		self.server = socket.socket(socket.AF_UNIX)
		self.server.bind(f"\0flood-{os.getpid()}")
		self.server.listen(128)

	def __call__(self, number):
		with socket.socket(socket.AF_UNIX) as s:
			s.connect(self.server.getsockname())
			self.server.accept()[0].close()


def run(number):
	os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def made(number):
	"""A program of its own each time."""
	path = f"{os.environ['PLACE']}/made"
	with open("/bin/true", "rb") as program, open(path, "wb") as file:
		file.write(program.read())
	os.chmod(path, 0o755)
	os.waitpid(os.posix_spawn(path, [f"made{number}"], {}), 0)


KINDS = {"udp": lambda: udp, "refused": lambda: refused, "tcp": Tcp, "unix": Unix, "run": lambda: run, "made": lambda: made}


def main():
	arguments = sys.argv[1:]
	while arguments:
		kind, count = arguments[0], int(arguments[1])
		arguments = arguments[2:]
		if kind == "pause":
			time.sleep(count)
			continue
		act = KINDS[kind]()
		for number in range(count):
			act(number)
		print(kind, flush=True)


main()
