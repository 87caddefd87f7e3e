# SPDX-License-Identifier: Apache-2.0
"""The agents that the demo can run: how each is had, set up and started.

Those that are not ours are installed by name and version, from npm or PyPI, below build/agents. All run with an
empty environment and a home directory of their own, and know no address but the scripted model's.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "agents"
COMMAND = HERE.parents[1] / "build" / "release" / "userspace" / "affiant"
MODEL = "http://127.0.1.1:8080"
PROMPT = "Run the step that you are asked for, then say what came out."


class Missing(Exception):
	"""What has to be there first, for a person."""


def _tool(name, why, package):
	path = shutil.which(name)
	if not path:
		raise Missing(f"{why} needs {name}, which is not here (Debian package {package}, or a newer one of your own)")
	return path


def _node_version(least):
	node = _tool("node", f"Node {least}", "nodejs")
	version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
	if int(version.lstrip("v").split(".")[0]) < least:
		raise Missing(f"Node {least} or newer is needed; {node} is {version}")
	return node


def _install(name, marker, command):
	"""Runs command once; what it makes below CACHE/name is complete when the marker is there."""
	done = CACHE / name / ".installed"
	if done.exists() and done.read_text() == marker:
		return
	shutil.rmtree(CACHE / name, ignore_errors=True)
	(CACHE / name).mkdir(parents=True)
	print(f"   installing {marker} into {CACHE / name} (once)", flush=True)
	for step in command:
		if subprocess.run(step, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
			raise Missing(f"{marker} could not be installed")
	done.write_text(marker)


def _npm(name, package):
	npm = _tool("npm", package, "npm")
	_install(name, package, [[npm, "install", "--prefix", str(CACHE / name), "--no-audit", "--no-fund",
				  "--ignore-scripts", "--loglevel=error", package]])
	return CACHE / name / "node_modules"


class Research:
	"""Our own: a model, an MCP server, a page over TLS, git and curl, a summary, and one refusal."""

	name = "research"
	attests = True	# asks for evidence by itself, through libaffiant
	purpose = "which services still accept TLS 1.0"
	script = HERE / "research.json"

	def install(self):
		pass

	def prepare(self, place):
		"""Copies what the agent consists of to a directory that its user can read; returns what to measure."""
		self.code = place / "agent"
		shutil.copytree(HERE / "research", self.code)
		return self.code

	def command(self):
		return ["/usr/bin/python3", str(self.code / "agent.py"), str(self.code / "config.json"),
			"Which services still accept TLS 1.0, and who owns them?"]

	def environment(self, _home):
		return {"GIT_HTTP_MAX_REQUESTS": "1"}	# a run is like the next

	def asks(self):
		"""What asks for evidence: executable, and the script that it was given."""
		return os.path.realpath("/usr/bin/python3"), HERE / "research" / "agent.py"


class Foreign:
	"""Agents that know nothing of affiant: the session's last word is the command's."""

	attests = False

	def asks(self):
		return COMMAND, None


class Codex(Foreign):
	"""OpenAI Codex CLI: a static executable of 294 MB, started as such."""

	name = "codex"
	purpose = "run one step"
	script = HERE / "shell.json"
	package = "@openai/codex@0.169.0"
	CONFIG = f"""\
model = "scripted"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.scripted]
name = "scripted"
base_url = "{MODEL}/v1"
env_key = "MODEL_KEY"
wire_api = "responses"
requires_openai_auth = false
supports_websockets = false

[analytics]
enabled = false

[features]
plugins = false
apps = false
"""

	def install(self):
		modules = _npm(self.name, self.package)
		found = list(modules.glob("@openai/codex*/vendor/*/**/codex"))
		if len(found) != 1:
			raise Missing(f"{self.package} brought no executable for this machine")
		self.executable = found[0]

	def prepare(self, place):
		home = place / "home" / ".codex"
		home.mkdir()
		(home / "config.toml").write_text(self.CONFIG)
		shutil.chown(home, *owner(place / "home"))
		return home / "config.toml"

	def command(self):
		return [str(self.executable), "exec", "--skip-git-repo-check", PROMPT]

	def environment(self, _home):
		return {"MODEL_KEY": "unused"}


class Gemini(Foreign):
	"""Gemini CLI: node that starts node."""

	name = "gemini"
	purpose = "run one step"
	script = HERE / "shell.json"
	package = "@google/gemini-cli@0.61.0"

	def install(self):
		self.node = _node_version(20)
		self.bundle = _npm(self.name, self.package) / "@google/gemini-cli/bundle/gemini.js"

	def prepare(self, place):
		home = place / "home" / ".gemini"
		home.mkdir()
		settings = home / "settings.json"
		settings.write_text(json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))
		shutil.chown(home, *owner(place / "home"))
		return settings

	def command(self):
		return [self.node, str(self.bundle), "-m", "gemini-2.5-flash", "--yolo", "--skip-trust", "-p", PROMPT]

	def environment(self, _home):
		return {"GEMINI_API_KEY": "unused", "GOOGLE_GEMINI_BASE_URL": MODEL}


class LangGraph(Foreign):
	"""A LangGraph program with one shell tool."""

	name = "langgraph"
	purpose = "run one step"
	script = HERE / "shell.json"
	packages = ("langgraph==1.2.22", "langchain==1.4.7", "langchain-openai==1.7.3")

	def install(self):
		place = CACHE / self.name
		try:
			import ensurepip	# noqa: F401, pylint: disable=import-outside-toplevel,unused-import
		except ImportError:
			raise Missing("a virtual environment needs the Debian package python3-venv") from None
		_install(self.name, " ".join(self.packages), [
			[sys.executable, "-m", "venv", str(place)],
			[str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *self.packages]])
		self.python = place / "bin/python"

	def prepare(self, place):
		self.code = place / "agent"
		self.code.mkdir()
		shutil.copy(HERE / "langgraph_agent.py", self.code)
		return self.code

	def command(self):
		return [str(self.python), str(self.code / "langgraph_agent.py"), f"{MODEL}/v1", PROMPT]

	def environment(self, _home):
		return {"LANGSMITH_TRACING": "false"}


def owner(path):
	found = os.stat(path)
	return found.st_uid, found.st_gid


ENGINES = {engine.name: engine for engine in (Research, Codex, Gemini, LangGraph)}
