#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Serves a directory over TLS.

usage: site.py ADDRESS PORT DIRECTORY CERTIFICATE KEY

Prints "ready" once it listens.
"""

import functools
import http.server
import ssl
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
	protocol_version = "HTTP/1.1"

	def log_message(self, *_):
		pass


def main():
	if len(sys.argv) != 6:
		sys.exit(__doc__)
	address, port, directory, certificate, key = sys.argv[1:]
	server = http.server.ThreadingHTTPServer((address, int(port)), functools.partial(Handler, directory=directory))
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
	context.load_cert_chain(certificate, key)
	# The handshake belongs to the connection's own thread: do it at the first read, not in accept().
	server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
	print("ready", flush=True)
	server.serve_forever()


if __name__ == "__main__":
	main()
