# SPDX-License-Identifier: Apache-2.0
"""Network namespaces with addresses, holes and servers: no test sends a packet anywhere else."""

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def _ip(*arguments):
	subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)


class Namespace:
	"""One `ip netns` with its loopback up."""

	def __init__(self):
		self.name = f"affiant-{os.getpid()}-{next(_numbers)}"
		_ip("netns", "add", self.name)
		self.path = f"/run/netns/{self.name}"
		_ip("-n", self.name, "link", "set", "lo", "up")

	def remove(self):
		_ip("netns", "del", self.name)

	def command(self, *argv):
		"""The command that runs argv inside: only the network differs, no mount."""
		return ["nsenter", f"--net={self.path}", "--", *map(str, argv)]

	def run(self, *argv, **more):
		more.setdefault("check", True)
		return subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL, capture_output=True, text=True,
				      **more)

	def sysctl(self, name, value):
		with self.inside():
			with open(f"/proc/sys/{name.replace('.', '/')}", "w") as file:
				file.write(str(value))

	def address(self, device, *addresses):
		for each in addresses:
			more = ["nodad"] if ":" in each else []
			_ip("-n", self.name, "addr", "add", each, "dev", device, *more)

	def route(self, *arguments):
		_ip("-n", self.name, "route", "add", *arguments)

	@contextlib.contextmanager
	def inside(self):
		"""The calling thread is in the namespace meanwhile; sockets made then belong to it."""
		with open("/proc/thread-self/ns/net") as before, open(self.path) as there:
			self._enter(there)
			try:
				yield self
			finally:
				self._enter(before)

	@staticmethod
	def _enter(file):
		if _libc.setns(file.fileno(), CLONE_NEWNET):
			raise OSError(ctypes.get_errno(), "setns")

	def serve(self, address="127.0.0.1", port=0, kind=socket.SOCK_STREAM, handle=None, **options):
		"""A Server in a thread of this process, with a socket of the namespace."""
		family = socket.AF_INET6 if ":" in address else socket.AF_INET
		with self.inside():
			return Server(family, kind, (address, port), handle, **options)


def pair(left, right, addresses):
	"""A veth pair; addresses: [(left, right), ...] with prefix lengths. Returns the device's name."""
	device = "peer0"
	_ip("-n", left.name, "link", "add", device, "type", "veth", "peer", "name", device, "netns", right.name)
	for namespace in (left, right):
		_ip("-n", namespace.name, "link", "set", device, "up")
	for mine, theirs in addresses:
		left.address(device, mine)
		right.address(device, theirs)
	return device


def answer(connection):
	"""Reads until the client is done, sends what it had sent."""
	with connection:
		while data := connection.recv(65536):
			connection.sendall(data)


class Server:
	"""Accepts and handles (stream) or answers (datagram) until closed.

	handle(connection) owns the connection of a stream server; handle(socket, data, peer) answers a datagram.
	"""

	def __init__(self, family, kind, address, handle=None, protocol=0, fastopen=0):
		self.socket = socket.socket(family, kind, protocol)
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self.socket.bind(address)
		self.port = self.socket.getsockname()[1]
		self.handle = handle or (answer if kind == socket.SOCK_STREAM else self._echo)
		if kind == socket.SOCK_STREAM:
			if fastopen:
				self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, fastopen)
			self.socket.listen(512)
		loop = self._accept if kind == socket.SOCK_STREAM else self._receive
		self.socket.settimeout(0.1)
		self.closing = False
		self.thread = threading.Thread(target=loop, daemon=True)
		self.thread.start()

	@staticmethod
	def _echo(own, data, peer):
		own.sendto(data, peer)

	def _accept(self):
		while not self.closing:
			try:
				connection, _ = self.socket.accept()
			except TimeoutError:
				continue
			connection.settimeout(None)
			threading.Thread(target=self._guard, args=(connection,), daemon=True).start()

	def _guard(self, connection):
		with contextlib.suppress(OSError):	# a client that goes away is what many tests want
			self.handle(connection)

	def _receive(self):
		while not self.closing:
			try:
				data, peer = self.socket.recvfrom(65536)
			except TimeoutError:
				continue
			with contextlib.suppress(OSError):
				self.handle(self.socket, data, peer)

	def close(self):
		self.closing = True
		self.thread.join()
		self.socket.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()
