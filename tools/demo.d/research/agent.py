#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A research agent: asks a model, does what the model asks for, writes down what came out.

usage: agent.py CONFIG.json QUESTION

Tools: those of an MCP server, plus fetch_page and shell. The summary goes to summary.md in the working directory.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from evidence import Affiant

TURNS = 20
TIMEOUT = 20
OUTPUT_MAX = 4000


def function(name, description, parameter, meaning):
	schema = {"type": "object", "properties": {parameter: {"type": "string", "description": meaning}},
		  "required": [parameter]}
	return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


OWN_TOOLS = [
	function("fetch_page", "Fetches a page over TLS.", "url", "an https URL"),
	function("shell", "Runs a command in the working directory.", "command", "for the shell"),
]


class Endpoint:
	"""One HTTP connection, kept open, to which JSON is posted."""

	def __init__(self, url):
		parts = urlsplit(url)
		self.path = parts.path
		self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
		self.headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

	def post(self, message):
		self.connection.request("POST", self.path, json.dumps(message), self.headers)
		answer = self.connection.getresponse()
		body = answer.read()
		if answer.status >= 300:
			raise RuntimeError(f"{self.path} answered {answer.status}: {body[:200]!r}")
		if answer.headers.get("Mcp-Session-Id"):
			self.headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
		return json.loads(body) if body else None


class ToolServer:
	"""An MCP client."""

	def __init__(self, url):
		self.endpoint = Endpoint(url)
		self.number = 0
		self.call("initialize", protocolVersion="2025-11-25", capabilities={},
			  clientInfo={"name": "research", "version": "1"})
		self.endpoint.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
		self.tools = self.call("tools/list")["tools"]

	def call(self, method, **params):
		self.number += 1
		answer = self.endpoint.post({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
		if "error" in answer:
			raise RuntimeError(f"{method}: {answer['error']['message']}")
		return answer["result"]

	def functions(self):
		return [{"type": "function", "function": {"name": t["name"], "description": t["description"],
							  "parameters": t["inputSchema"]}} for t in self.tools]

	def run(self, name, arguments):
		content = self.call("tools/call", name=name, arguments=arguments)["content"]
		return "\n".join(part["text"] for part in content if part["type"] == "text")


def fetch_page(url):
	try:
		with urllib.request.urlopen(url, timeout=TIMEOUT, context=ssl.create_default_context()) as page:
			return page.read(OUTPUT_MAX).decode("utf-8", "replace")
	except urllib.error.URLError as error:
		return f"could not fetch {url}: {error.reason}"


def shell(command):
	done = subprocess.run(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			      stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
	return f"exit status {done.returncode}\n{done.stdout.decode('utf-8', 'replace')[:OUTPUT_MAX]}"


class Agent:
	def __init__(self, config):
		self.model = Endpoint(config["model"])
		self.name = config["model_name"]
		self.server = ToolServer(config["tools"])
		self.messages = [{"role": "system", "content": config["instructions"]}]

	def run_tool(self, name, arguments):
		if name == "fetch_page":
			return fetch_page(arguments["url"])
		if name == "shell":
			return shell(arguments["command"])
		return self.server.run(name, arguments)

	def ask(self, question):
		"""Goes on with the conversation until the model has nothing more to ask for; returns its last words."""
		self.messages.append({"role": "user", "content": question})
		for _ in range(TURNS):
			answer = self.model.post({"model": self.name, "messages": self.messages,
						  "tools": self.server.functions() + OWN_TOOLS})
			message = answer["choices"][0]["message"]
			self.messages.append(message)
			if not message.get("tool_calls"):
				return message["content"]
			for call in message["tool_calls"]:
				self.answer_call(call)
		raise RuntimeError(f"no answer after {TURNS} turns")

	def answer_call(self, call):
		name = call["function"]["name"]
		arguments = json.loads(call["function"]["arguments"])
		print(f"  {name}({', '.join(map(str, arguments.values()))})", flush=True)
		result = self.run_tool(name, arguments)
		self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


def attest(nonce, audience, path):
	"""Evidence for a token service, and the proof that goes with the request for a credential."""
	affiant = Affiant(os.environ["AFFIANT_LIBRARY"])
	evidence = affiant.evidence(nonce, audience, host=True)
	proof = affiant.dpop("POST", audience)
	with open(path, "w", encoding="utf-8") as file:
		file.write(evidence)
	print(f"  evidence: {len(evidence):,} bytes; DPoP proof: {len(proof)} bytes")


def main():
	if len(sys.argv) != 3:
		sys.exit(__doc__)
	with open(sys.argv[1], encoding="utf-8") as file:
		agent = Agent(json.load(file))
	summary = agent.ask(sys.argv[2])
	with open("summary.md", "w", encoding="utf-8") as file:
		file.write(f"# {sys.argv[2]}\n\n{summary}\n")
	print(f"  summary.md: {summary.splitlines()[0]}")
	if "NONCE" in os.environ:
		attest(os.environ["NONCE"], os.environ["AUDIENCE"], os.environ["EVIDENCE"])


if __name__ == "__main__":
	main()
