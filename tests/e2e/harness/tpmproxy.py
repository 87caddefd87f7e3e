# SPDX-License-Identifier: Apache-2.0
"""Stands between the daemon and a software TPM, and makes trouble: late answers, and answers of its own."""

import contextlib
import socket
import struct
import threading
import time

QUOTE = 0x158
LOCKOUT, RETRY, SESSION_HANDLES, OBJECT_MEMORY = 0x921, 0x922, 0x905, 0x902


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


class TpmProxy:
	"""Listens at front and passes on to behind, one client at a time.

	delay        seconds from a command to its answer, at the least
	answers      {command code: response code}: what is answered instead; once: only so many times
	commands     the codes of what passed
	"""

	def __init__(self, front, behind, delay=0):
		self.behind = str(behind)
		self.delay = delay
		self.answers = {}
		self.commands = []
		self.listener = socket.socket(socket.AF_UNIX)
		self.listener.bind(str(front))
		self.listener.listen(4)
		self.thread = threading.Thread(target=self._run, daemon=True)
		self.thread.start()

	def answer(self, code, response, times=None):
		self.answers[code] = (response, times)

	def close(self):
		self.listener.shutdown(socket.SHUT_RDWR)
		self.thread.join()
		self.listener.close()

	def _run(self):
		while True:
			try:
				front, _ = self.listener.accept()
			except OSError:
				return
			with front, socket.socket(socket.AF_UNIX) as behind, contextlib.suppress(Ended, ConnectionError, FileNotFoundError):
				behind.connect(self.behind)
				while True:
					self._one(front, behind)

	def _one(self, front, behind):
		command = receive(front)
		came = time.monotonic()
		code, = struct.unpack(">I", command[6:10])
		self.commands.append(code)
		response, times = self.answers.get(code, (None, None))
		if response is None or times == 0:
			behind.sendall(command)
			answer = receive(behind)
		else:
			answer = struct.pack(">HII", 0x8001, 10, response)
			self.answers[code] = (response, None if times is None else times - 1)
		time.sleep(max(0, came + self.delay - time.monotonic()))
		front.sendall(answer)
