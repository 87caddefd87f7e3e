#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shows sessions as tables: who, for whom, what ran, and each connection with its outcome.

usage: affiant events -o json | report.py
"""

import collections
import datetime
import json
import os
import shutil
import sys

DIGITS = 12	# of a digest, on the screen

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
OUTCOME_COLOUR = {"established": "green", "attempted": "green", "pending": "yellow", "aborted": "yellow"}
PROVEN = ("kernel", "verity", "held", "observed")
STATE_COLOUR = dict.fromkeys(PROVEN, "green") | {"offered": "dim"}


def paint(text, colour):
	if "NO_COLOR" in os.environ or not sys.stdout.isatty():
		return text
	return f"\033[{COLOURS[colour]}m{text}\033[0m"


def plain(text):
	"""What an agent chose to name its files is not for the terminal to obey."""
	return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def fit(text, width):
	"""As a column of this width, the last character of which is a space."""
	text = plain(text)
	return text.ljust(width) if len(text) < width else text[:width - 2] + "… "


def columns():
	return max(110, min(160, shutil.get_terminal_size((120, 40)).columns))


def code(event):
	return event["metadata"]["event_code"]


def process_of(event):
	"""The whole process of an event: of exec and exit it is the event's own."""
	return event.get("process") or event["actor"].get("process", {})


def identity(process):
	"""(pid, start): stable over exec, unlike the uid, which ends with the number of the exec."""
	return process["uid"].rsplit(":", 1)[0] if "uid" in process else None


def sessions_of(events):
	found = collections.OrderedDict()
	for event in events:
		session = event.get("ai_agent", {}).get("instance_uid")
		if session:
			found.setdefault(session, []).append(event)
	return found


def final_connections(events):
	"""One event a connection: what completed a pending one takes its place."""
	found = collections.OrderedDict()
	for event in events:
		if code(event) == "connect":
			found[event["connection_info"].get("uid")] = event
	return found


def closes(events):
	return {e["connection_info"].get("uid"): e for e in events if code(e) == "close"}


def complete(events):
	"""Every session has ended, and no connection waits for its outcome."""
	found = sessions_of(events)
	return bool(found) and all(
		any(code(e) == "session_ended" for e in session) and
		all(c["status_detail"] != "pending" for c in final_connections(session).values())
		for session in found.values())


def closed(events):
	"""What had been established has ended too, with its byte counts."""
	return all(uid in closes(session) for session in sessions_of(events).values()
		   for uid, c in final_connections(session).items() if c["status_detail"] == "established")


# ---- the head: who, for whom ----

def first(events, wanted):
	return next((e for e in events if code(e) == wanted), None)


def show_head(session, events):
	event, ended = events[0], first(events, "session_ended")
	unmapped = event["unmapped"]
	task = unmapped.get("task", {})
	rows = [("session", f"{session}, isolation: {unmapped.get('session', {}).get('isolation', 'unknown')}"),
		("agent", event["ai_agent"].get("uid", ""))]
	user = event["actor"].get("user", {}).get("name")
	if user:
		rows.append(("for", f"{user} ({unmapped['principal']['assurance']})"))
	if task:
		words = [task.get("id", ""), f"\"{task['purpose']}\"" if "purpose" in task else ""]
		if "scope" in task:
			words.append(f"scope {' '.join(task['scope'])}")
		if "expires_wall_ns" in task:
			until = datetime.datetime.fromtimestamp(int(task["expires_wall_ns"]) / 1e9)
			words.append(f"until {until:%H:%M}")
		rows.append(("task", ", ".join(filter(None, words))))
	manifest = (first(events, "session_started") or {}).get("unmapped", {}).get("session_started", {}).get("manifest")
	if manifest:
		paths = " ".join(p["path"] for p in manifest.get("paths", []))
		rows.append(("measured", f"{paths}: {manifest.get('entries')} entries, Merkle root "
			     f"{manifest.get('root', manifest.get('state', ''))[:DIGITS]}…"))
	if ended:
		what = ended["unmapped"]["session_ended"]
		rows.append(("ended", f"{what['reason'].replace('_', ' ')}; {what.get('processes', 0)} processes, "
			     f"{what.get('execs', 0)} execs, {what.get('connections', 0)} connections"))
	for name, text in rows:
		print(f"  {paint(name.ljust(10), 'dim')}{paint(plain(text), 'bold' if name in ('agent', 'for', 'task') else 'dim')}")


# ---- the tree: what ran ----

class Node:
	def __init__(self, pid):
		self.pid = pid
		self.parent = None
		self.execs = []
		self.children = []


def build_tree(events):
	"""The processes that executed something, below the nearest ancestor that did too; returns the roots."""
	nodes = collections.OrderedDict()
	for event in events:
		if code(event) != "exec":
			continue
		process = event["process"]
		node = nodes.setdefault(identity(process), Node(process["pid"]))
		node.execs.append(event)
		node.lineage = [identity(p) for p in [process.get("parent_process", {}), *process.get("ancestry", [])]]
	for node in nodes.values():
		node.parent = next((nodes[i] for i in node.lineage if i in nodes and nodes[i] is not node), None)
		if node.parent:
			node.parent.children.append(node)
	return [node for node in nodes.values() if not node.parent]


def digest_text(digest, hashes=None):
	"""Its colour says what it is worth: bright when it is of what ran, dim when it only may be."""
	state = digest.get("state", "unknown")
	value = digest.get("unproven_sha256" if state == "unproven" else "sha256")
	value = value or next((h["value"] for h in hashes or [] if h["algorithm_id"] == 3), None)
	colour = "cyan" if state in PROVEN else "dim"
	return paint((value or "-")[:DIGITS].ljust(DIGITS), colour) + " " + paint(state, STATE_COLOUR.get(state, "yellow"))


def show_exec(event, lead, width):
	process, unmapped = event["process"], event["unmapped"]["process"]
	executable = unmapped.get("executable", {})
	flags = "".join(f" [{name}]" for name in ("memfd",) if executable.get(name))
	flags += " [deleted]" if process.get("file", {}).get("is_deleted") else ""
	text = process.get("cmd_line", process.get("path", "?"))
	print(f"  {fit(lead + text, width + 2)}{digest_text(executable.get('digest', {}), process.get('file', {}).get('hashes'))}"
	      f"  {plain(process.get('file', {}).get('name', ''))}{flags}")
	for step in unmapped.get("chain", []):
		if step["kind"] in ("script", "script_argument"):
			claim = ", named by argv" if step.get("named_by_argv") else ""
			print(f"  {''.ljust(width)}  {digest_text(step.get('digest', {}))}  "
			      f"{plain(os.path.basename(step['path']))} ({step['kind'].split('_')[0]}{claim})")


def show_node(node, before, branch, width):
	pid = f"{node.pid} "
	for number, event in enumerate(node.execs):
		lead = before + branch + pid if number == 0 else before + ("│ " if branch == "├ " else "  " * bool(branch))
		show_exec(event, lead if number == 0 else lead + " " * (len(pid) - 2) + "⤷ ", width)
	inner = before + {"": "", "├ ": "│ ", "└ ": "  "}[branch]
	for child in node.children:
		show_node(child, inner, "└ " if child is node.children[-1] else "├ ", width)


def show_tree(events):
	width = columns() - 50
	print(f"\n  {paint(fit('process, and what it executed', width + 2), 'bold')}"
	      f"{paint('SHA-256'.ljust(DIGITS), 'bold')} {paint('and what it is worth', 'bold')}")
	for root in build_tree(events):
		show_node(root, "", "", width)


# ---- the connections ----

def endpoint_text(endpoint):
	if "ip" not in endpoint:
		return endpoint.get("name", "?")
	host = f"[{endpoint['ip']}]" if ":" in endpoint["ip"] else endpoint["ip"]
	return f"{host}:{endpoint.get('port', '')}"


def time_text(ns):
	if ns is None:
		return ""
	return f"{int(ns) / 1e9:.2f} s" if int(ns) >= 1e9 else f"{int(ns) / 1e6:.2f} ms"


def size_text(number):
	return "" if number is None else f"{number:,}"


class Line:
	"""Connections of one process that look the same on the screen."""

	def __init__(self, event):
		self.event = event
		self.count = 0
		self.latency = None
		self.sent = self.received = None

	def add(self, event, close):
		self.count += 1
		latency = event["unmapped"].get("connect", {}).get("latency_ns")
		if latency is not None:
			self.latency = max(self.latency or 0, int(latency))
		traffic = (close or {}).get("traffic")
		if traffic:
			self.sent = (self.sent or 0) + traffic["bytes_out"]
			self.received = (self.received or 0) + traffic["bytes_in"]


def connection_lines(events):
	ends, lines = closes(events), collections.OrderedDict()
	for uid, event in final_connections(events).items():
		key = (process_of(event).get("uid"), endpoint_text(event.get("dst_endpoint", {})),
		       event["connection_info"].get("protocol_name"), event["status_detail"], event.get("status_code"))
		lines.setdefault(key, Line(event)).add(event, ends.get(uid))
	return lines.values()


def show_connections(events, names):
	to = columns() - 84
	print(f"\n  {paint(fit('who', 24) + fit('to', to) + fit('by', 6) + fit('outcome', 27), 'bold')}"
	      f"{paint('after'.rjust(9) + 'sent'.rjust(8) + 'received'.rjust(10), 'bold')}")
	for line in connection_lines(events):
		event = line.event
		process, outcome = process_of(event), event["status_detail"]
		target = event.get("dst_endpoint", {})
		words = [endpoint_text(target), (names or {}).get(target.get("ip")), f"× {line.count}" if line.count > 1 else None]
		reason = f" ({event['status_code']})" if "status_code" in event else ""
		print(f"  {fit(str(process.get('pid')) + ' ' + process.get('name', '?'), 24)}{fit('  '.join(filter(None, words)), to)}"
		      f"{fit(event['connection_info'].get('protocol_name', '?'), 6)}"
		      f"{paint(fit(outcome + reason, 27), OUTCOME_COLOUR.get(outcome, 'red'))}{time_text(line.latency).rjust(9)}"
		      f"{size_text(line.sent).rjust(8)}{size_text(line.received).rjust(10)}")


def show_losses(events):
	lost = [e for e in events if code(e) in ("lost", "gap")]
	if lost:
		print(paint(f"\n  {len(lost)} record(s) tell of losses: affiant events --type lost", "red"))
	else:
		print(f"\n  {paint('Nothing was lost.', 'green')}")


def show(events, names=None):
	"""names: what to call addresses, where the caller knows (affiant itself looks none up)."""
	for session, of_session in sessions_of(events).items():
		show_head(session, of_session)
		show_tree(of_session)
		show_connections(of_session, names)
	show_losses(events)


if __name__ == "__main__":
	show([json.loads(line) for line in sys.stdin])
