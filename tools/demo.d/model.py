#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A scripted model: it asks for the tools that a script names, one a turn, then says the script's last words.

usage: model.py ADDRESS PORT SCRIPT.json

It speaks OpenAI Chat Completions, OpenAI Responses and Gemini, streaming or not, so that real agents talk to it
as to their own. How many tool results a request carries says which turn it is: the model keeps no state.
The script: {"steps": [{"tool": NAME, "arguments": {...}}, ...], "final": TEXT}; {result} in TEXT is what the last
tool said. The tool "shell" stands for whatever an agent calls its own. Prints "ready" once it listens.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHELLS = ("exec_command", "shell_command", "shell", "run_shell_command", "bash")
QUOTED = 2000


class Turn:
	"""What the model decided: to call a tool, or to say something."""

	def __init__(self, text=None, tool=None, arguments=None):
		self.text = text
		self.tool = tool
		self.arguments = arguments


def decide(script, offered, results):
	"""The next turn, given the names of the tools offered and the results so far."""
	steps = script["steps"]
	if offered and len(results) < len(steps):
		step = steps[len(results)]
		if step["tool"] in offered:
			return Turn(tool=step["tool"], arguments=step["arguments"])
		shell = next((name for name in SHELLS if name in offered), None)
		if step["tool"] == "shell" and shell:
			return Turn(tool=shell, arguments=step["arguments"])
		return Turn(text=f"I have no tool called {step['tool']}.")
	last = results[-1] if results else "nothing"
	text = last if isinstance(last, str) else json.dumps(last)
	return Turn(text=script["final"].replace("{result}", text[:QUOTED].strip()))


def shell_arguments(name, arguments):
	"""Codex's own words for the command of a shell tool."""
	command = arguments.get("command")
	if name == "exec_command":
		return {"cmd": command, "yield_time_ms": 10000}
	if name == "shell":
		return {"command": ["bash", "-lc", command]}
	return arguments


class ChatCompletions:
	"""POST /v1/chat/completions"""

	@staticmethod
	def matches(path):
		return path.endswith("/chat/completions")

	@staticmethod
	def read(request):
		offered = [tool["function"]["name"] for tool in request.get("tools", []) if "function" in tool]
		return offered, [m["content"] for m in request["messages"] if m.get("role") == "tool"]

	@staticmethod
	def write(request, turn, number):
		if turn.tool:
			call = {"index": 0, "id": f"call_{number}", "type": "function",
				"function": {"name": turn.tool, "arguments": json.dumps(turn.arguments)}}
			message = {"role": "assistant", "content": None, "tool_calls": [call]}
		else:
			message = {"role": "assistant", "content": turn.text}
		reason = "tool_calls" if turn.tool else "stop"
		base = {"id": f"chat_{number}", "created": 0, "model": request.get("model")}
		usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
		if not request.get("stream"):
			choice = {"index": 0, "message": message, "finish_reason": reason}
			return base | {"object": "chat.completion", "choices": [choice], "usage": usage}, None
		chunk = base | {"object": "chat.completion.chunk"}
		return None, [
			chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
			chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage},
			"[DONE]",
		]


class Responses:
	"""POST /v1/responses"""

	@staticmethod
	def matches(path):
		return path.endswith("/responses")

	@staticmethod
	def read(request):
		offered = [tool["name"] for tool in request.get("tools", []) if tool.get("name")]
		items = request["input"] if isinstance(request["input"], list) else []
		return offered, [i.get("output") for i in items if str(i.get("type", "")).endswith("_call_output")]

	@staticmethod
	def write(request, turn, number):
		if turn.tool:
			item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
				"name": turn.tool, "status": "completed",
				"arguments": json.dumps(shell_arguments(turn.tool, turn.arguments))}
		else:
			item = {"type": "message", "id": f"m_{number}", "role": "assistant", "status": "completed",
				"content": [{"type": "output_text", "text": turn.text, "annotations": []}]}
		response = {
			"id": f"resp_{number}", "object": "response", "created_at": 0, "status": "completed",
			"model": request.get("model"), "output": [item], "parallel_tool_calls": False,
			"tool_choice": "auto", "tools": [],
			"usage": {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
				  "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2},
		}
		if not request.get("stream"):
			return response, None
		return None, [
			{"type": "response.created", "response": response | {"status": "in_progress", "output": []}},
			{"type": "response.output_item.added", "output_index": 0, "item": item},
			{"type": "response.output_item.done", "output_index": 0, "item": item},
			{"type": "response.completed", "response": response},
		]


class Gemini:
	"""POST /v1beta/models/NAME:generateContent and :streamGenerateContent"""

	# Asked for as JSON, besides the conversation: who speaks next, and which model a prompt deserves.
	ROUTING = {"reasoning": "scripted", "next_speaker": "user", "model_choice": "flash",
		   "complexity_reasoning": "scripted", "complexity_score": 1}

	@staticmethod
	def matches(path):
		return "enerateContent" in path

	@staticmethod
	def read(request):
		offered = [f["name"] for tool in request.get("tools", []) for f in tool.get("functionDeclarations", [])]
		parts = [part for content in request.get("contents", []) for part in content.get("parts", [])]
		return offered, [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]

	@classmethod
	def write(cls, request, turn, number):
		if turn.tool:
			part = {"functionCall": {"name": turn.tool, "args": turn.arguments | {"description": "scripted"}}}
		elif request.get("generationConfig", {}).get("responseMimeType") == "application/json":
			part = {"text": json.dumps(cls.ROUTING)}
		else:
			part = {"text": turn.text}
		answer = {
			"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
			"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
			"modelVersion": "scripted", "responseId": f"r_{number}",
		}
		return (None, [answer]) if request.get("stream") else (answer, None)


DIALECTS = (ChatCompletions, Responses, Gemini)


class Handler(BaseHTTPRequestHandler):
	protocol_version = "HTTP/1.1"
	script = None

	def log_message(self, *_):
		pass

	def send(self, data, kind="application/json", status=200):
		self.send_response(status)
		self.send_header("Content-Type", kind)
		self.send_header("Content-Length", str(len(data)))
		self.end_headers()
		self.wfile.write(data)

	def send_json(self, value, status=200):
		self.send(json.dumps(value).encode(), status=status)

	def send_events(self, events):
		text = ""
		for event in events:
			if isinstance(event, dict) and "type" in event:
				text += f"event: {event['type']}\n"
			text += f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n"
		self.send(text.encode(), "text/event-stream")

	def do_HEAD(self):
		self.send(b"")

	def do_GET(self):
		self.send_json({"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []})

	def do_POST(self):
		body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
		path = self.path.split("?")[0]
		dialect = next((d for d in DIALECTS if d.matches(path)), None)
		if not dialect:
			return self.send_json({"error": {"message": f"{path}: not here"}}, 404)
		try:
			request = json.loads(body)
			if "stream" in path:
				request["stream"] = True
			offered, results = dialect.read(request)
		except (ValueError, KeyError, TypeError, AttributeError) as error:
			return self.send_json({"error": {"message": f"unreadable request: {error!r}"}}, 400)
		answer, events = dialect.write(request, decide(self.script, offered, results), len(results))
		return self.send_events(events) if events else self.send_json(answer)


def main():
	if len(sys.argv) != 4:
		sys.exit(__doc__)
	with open(sys.argv[3], encoding="utf-8") as file:
		Handler.script = json.load(file)
	server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
	print("ready", flush=True)
	server.serve_forever()


if __name__ == "__main__":
	main()
