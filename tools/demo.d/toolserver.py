#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small MCP server over HTTP with one tool, search_notes.

usage: toolserver.py ADDRESS PORT NOTES.json

The Model Context Protocol's streamable HTTP transport, answering with JSON: initialize, notifications/initialized,
tools/list, tools/call. Prints "ready" once it listens.
"""

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602

SEARCH = {
	"name": "search_notes",
	"description": "Finds the team's notes that contain a phrase.",
	"inputSchema": {
		"type": "object",
		"properties": {"query": {"type": "string", "description": "the phrase"}},
		"required": ["query"],
	},
}


class RpcError(Exception):
	def __init__(self, code, message):
		super().__init__(message)
		self.code = code


def initialize(_notes, params):
	asked = params.get("protocolVersion")
	return {
		"protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
		"capabilities": {"tools": {}},
		"serverInfo": {"name": "notes", "version": "1"},
	}


def list_tools(_notes, _params):
	return {"tools": [SEARCH]}


def call_tool(notes, params):
	query = params.get("arguments", {}).get("query")
	if params.get("name") != SEARCH["name"] or not isinstance(query, str):
		raise RpcError(INVALID_PARAMS, "search_notes takes a query")
	found = [note for note in notes if query.lower() in note["text"].lower()]
	text = "\n".join(f"{note['id']}: {note['text']}" for note in found) or "no note says so"
	return {"content": [{"type": "text", "text": text}], "isError": False}


METHODS = {"initialize": initialize, "tools/list": list_tools, "tools/call": call_tool}


class Handler(BaseHTTPRequestHandler):
	protocol_version = "HTTP/1.1"
	notes = None

	def log_message(self, *_):
		pass

	def send(self, status, value=None, **headers):
		data = b"" if value is None else json.dumps(value).encode()
		self.send_response(status)
		for name, text in headers.items():
			self.send_header(name.replace("_", "-"), text)
		self.send_header("Content-Type", "application/json")
		self.send_header("Content-Length", str(len(data)))
		self.end_headers()
		self.wfile.write(data)

	def do_POST(self):
		number = None
		try:
			message = self.read_message()
			number = message.get("id")
			if number is None:		# a notification has no answer
				return self.send(202)
			method = METHODS.get(message["method"])
			if not method:
				raise RpcError(METHOD_NOT_FOUND, f"{message['method']}: no such method")
			answer = {"result": method(self.notes, message.get("params") or {})}
		except RpcError as error:
			message, answer = {}, {"error": {"code": error.code, "message": str(error)}}
		headers = {"Mcp_Session_Id": secrets.token_hex(16)} if message.get("method") == "initialize" else {}
		return self.send(200, {"jsonrpc": "2.0", "id": number} | answer, **headers)

	def read_message(self):
		try:
			message = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
		except ValueError:
			raise RpcError(PARSE_ERROR, "not JSON") from None
		if not isinstance(message, dict) or not isinstance(message.get("method"), str):
			raise RpcError(INVALID_REQUEST, "not a request")
		return message


def main():
	if len(sys.argv) != 4:
		sys.exit(__doc__)
	with open(sys.argv[3], encoding="utf-8") as file:
		Handler.notes = json.load(file)
	server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
	print("ready", flush=True)
	server.serve_forever()


if __name__ == "__main__":
	main()
