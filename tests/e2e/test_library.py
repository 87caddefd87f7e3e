# SPDX-License-Identifier: Apache-2.0
"""What is installed, and libaffiant as others use it: in C by pkg-config, in Python by ctypes."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid

import pytest

from harness import daemon as daemons
from harness import wait
from harness.programs import compile_program

API = 3		# SessionOrigin
REQUESTED = 2	# SessionEndReason
HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def installed():
	"""A tree made by cmake --install, with its files below usr/local and etc."""
	path = pathlib.Path(tempfile.mkdtemp(prefix="affiant-test-"))
	path.chmod(0o755)
	try:
		subprocess.run(["cmake", "--install", str(daemons.BUILD)], check=True, capture_output=True,
			       env=os.environ | {"DESTDIR": str(path)})
		yield path
	finally:
		shutil.rmtree(path)


def only(path, pattern):
	found = sorted(path.rglob(pattern))
	assert found, f"no {pattern} below {path}"
	return found[0]


@pytest.fixture(scope="module")
def library(installed):
	path = only(installed, "libaffiant.so.0")
	needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
	if re.search("lib[at]san", needed):
		pytest.skip("built with a sanitizer, whose runtime has to come first in a program")
	return path


# ---- the tree ----

@pytest.mark.parametrize("pattern, mode", [
	("bin/affiant", 0o755), ("sbin/affiantd", 0o755), ("sbin/affiant-softtpm", 0o755),
	("include/affiant.h", 0o644), ("libaffiant.so", None),
	("include/affiant-verify.h", 0o644), ("libaffiant-verify.so", None), ("libaffiant-verify.so.0", None),
	("pkgconfig/affiant-verify.pc", 0o644),
	("libaffiant.so.0", None), ("pkgconfig/affiant.pc", 0o644), ("systemd/system/affiantd.service", 0o644),
	("systemd/system/affiant-softtpm.service", 0o644),
	("sysusers.d/affiant.conf", 0o644), ("bash-completion/completions/affiant", 0o644),
	("doc/affiant/examples/affiant.yaml", 0o644), ("etc/affiant/affiant.yaml", 0o644), ("etc/affiant/conf.d", 0o755),
	("man/man1/affiant.1", 0o644), ("man/man5/affiant.yaml.5", 0o644), ("man/man8/affiantd.8", 0o644)])
def test_installed(installed, pattern, mode):
	directory, name = pattern.rsplit("/", 1) if "/" in pattern else ("", pattern)
	found = [path for path in installed.rglob(name) if str(path.parent).endswith(directory)]
	assert len(found) == 1, found
	if mode is not None:
		assert found[0].stat().st_mode & 0o7777 == mode


def test_installed_programs_run(installed):
	"""From where they lie, without ldconfig."""
	for name in ("affiant", "affiantd"):
		done = subprocess.run([next(path for path in installed.rglob(name) if path.parent.name in ("bin", "sbin")), "--version"],
				      capture_output=True, text=True, env=daemons.environment(), check=False)
		assert done.returncode == 0, done.stderr
		assert re.search(r"\d+\.\d+", done.stdout)


def test_every_subcommand_has_its_manual(installed):
	said = subprocess.run([daemons.AFFIANT, "--help"], capture_output=True, text=True, env=daemons.environment(), check=True).stdout
	page = only(installed, "affiant.1").read_text()
	commands = re.findall(r"^  ([a-z][a-z-]+)", said, re.MULTILINE)
	assert len(commands) > 5, said
	for command in commands:
		assert command in page.replace("\\-", "-"), command


def test_installing_again_keeps_the_configuration(installed):
	config = installed / "etc/affiant/affiant.yaml"
	before = config.read_text()
	config.write_text("trust_domain: mine.example\n")
	subprocess.run(["cmake", "--install", str(daemons.BUILD)], check=True, capture_output=True,
		       env=os.environ | {"DESTDIR": str(installed)})
	assert config.read_text() == "trust_domain: mine.example\n"
	config.write_text(before)


def test_the_library_exports_its_interface_alone(library):
	names = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
	exported = {line.split()[-1] for line in names.splitlines()}
	header = only(library.parents[1], "affiant.h").read_text()
	assert exported == set(re.findall(r"AFFIANT_API [^;]*?\b(affiant_\w+)\(", header))


def test_what_a_token_service_links(installed):
	"""libaffiant-verify: its interface, and OpenSSL and jansson; no systemd, no BPF, no TSS."""
	path = only(installed, "libaffiant-verify.so.0")
	names = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True).stdout
	header = only(installed, "affiant-verify.h").read_text()
	assert {line.split()[-1] for line in names.splitlines()} == set(re.findall(r"\b(affiant_\w+)\(", header))
	needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
	assert {name for name in re.findall(r"NEEDED.*\[lib([a-z]+)", needed)} - {"asan", "ubsan", "tsan", "m"} == {"crypto", "jansson", "c"}


@pytest.mark.parametrize("language, compiler, standard", [
	("c", "cc", "c11"), ("c", "cc", "gnu17"), ("c++", "c++", "c++11"), ("c++", "c++", "c++17")])
@pytest.mark.parametrize("order", [("affiant.h", "affiant-verify.h"), ("affiant-verify.h", "affiant.h")], ids=["one", "other"])
def test_headers_together(installed, tmp_path, language, compiler, standard, order):
	"""An agent that is also somebody's token service includes both, in whatever order and language."""
	if not shutil.which(compiler):
		pytest.skip(f"no {compiler}: install g++")
	source = tmp_path / "both.source"
	source.write_text("".join(f"#include <{name}>\n" for name in (*order, *order)) + """
int both(void);
int both(void)
{
	struct affiant_open open = {};
	struct affiant_agent agent = {};

	open.isolation = AFFIANT_ISOLATION_LANDLOCK;
	agent.isolations = AFFIANT_ISOLATED | 1u << AFFIANT_VERIFY_NONE;
	return (int)open.isolation + (int)agent.isolations;
}
""")
	headers = only(installed, "affiant-verify.h").parent
	done = subprocess.run([compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers",
			       f"-I{headers}", "-c", source, "-o", tmp_path / "both.o"], capture_output=True, text=True, check=False)
	assert done.returncode == 0, done.stderr


def test_verifier_in_c(installed, library):
	flags = subprocess.run(["pkg-config", "--cflags", "--libs", "affiant-verify"], check=True, capture_output=True, text=True,
			       env=daemons.environment() | {"PKG_CONFIG_PATH": str(only(installed, "affiant-verify.pc").parent)}).stdout
	program = compile_program(HERE / "library" / "verifier.c", installed / "verifier",
				  libraries=[*flags.split(), f"-Wl,-rpath,{library.parent}"])
	done = subprocess.run([program, "a-nonce-of-mine", "me"], input="{}", capture_output=True, text=True, check=True)
	first, json_text = done.stdout.splitlines()
	assert first == "2 malformed_evidence 0"
	assert json.loads(json_text)["verdict"] == "undecided"


# ---- C ----

@pytest.fixture(scope="module")
def orchestrator(installed, library):
	"""tests/e2e/library/orchestrator.c, compiled against the installed tree with what pkg-config says."""
	flags = subprocess.run(["pkg-config", "--cflags", "--libs", "affiant"], check=True, capture_output=True, text=True,
			       env=daemons.environment() | {"PKG_CONFIG_PATH": str(only(installed, "affiant.pc").parent)}).stdout
	return compile_program(HERE / "library" / "orchestrator.c", installed / "orchestrator",
			       libraries=[*flags.split(), f"-Wl,-rpath,{library.parent}"])


class Orchestrated:
	"""A process, and the orchestrator that opens a session for it."""

	def __init__(self, daemon, orchestrator, *command, user=None):
		self.target = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
					       env=daemons.environment())
		assert self.target.stdout.readline()
		run = [str(orchestrator), str(daemon.socket), str(self.target.pid)]
		if user:
			run = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *run]
		self.process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
						text=True, env=daemons.environment())

	def line(self):
		return self.process.stdout.readline().split()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.process.communicate(timeout=wait.DEADLINE)
		self.target.communicate(timeout=wait.DEADLINE)


def session_records(daemon, session):
	return daemon.records("--session", session)


def test_c(daemon, orchestrator, programs):
	"""A session for a process that runs, its child and what they do from then on; ended with all of them."""
	script = f"sleep 1000 & echo started; read line; {programs['nothing']}; read line"
	with Orchestrated(daemon, orchestrator, "/bin/sh", "-c", script) as both:
		word, session, spiffe_id = both.line()
		assert (word, spiffe_id) == ("opened", "spiffe://affiant.invalid/agent/worker")
		assert uuid.UUID(session).version == 7
		assert both.line() == ["listed", "worker", "T-4711", "alice@example.com", "2"]
		both.target.stdin.write("\n")
		both.target.stdin.flush()
		wait.until("the exec is recorded", lambda: session_records(daemon, session).execs)
		both.process.stdin.write("\n")
		both.process.stdin.flush()
		assert both.line() == ["killed", "2"]
		assert both.target.wait(wait.DEADLINE) == -signal.SIGKILL
	records = daemon.wait_records("all ends", lambda r: len(r.of("exit")) == 3, "--session", session)
	started = records.one("session_started").session_started
	assert (started.origin, started.late, started.launcher_uid) == (API, True, 0)
	assert started.launcher.tgid == both.process.pid
	assert records.execs.only().process.executable.path.decode() == programs["nothing"]
	assert records.one("session_ended").session_ended.reason == REQUESTED
	assert sorted(r.exit.status for r in records.of("exit")) == [0, signal.SIGKILL, signal.SIGKILL]
	for record in records:
		assert record.task.id == "T-4711"
		assert list(record.task.scope) == ["repo:read", "repo:write"]
		assert (record.principal.subject, record.principal.assurance) == ("alice@example.com", 1)


def test_c_refused(daemon, orchestrator, programs):
	"""Who is no launcher gets a reason."""
	with Orchestrated(daemon, orchestrator, programs["wait_input"], user=65534) as both:
		assert both.process.wait(wait.DEADLINE) == 2
		assert both.line() == []
		assert "launchers" in both.process.stderr.read()


# ---- Python ----

SCRIPT = """
import ctypes, sys
class Open(ctypes.Structure):
	_fields_ = [("agent", ctypes.c_char_p), ("task", ctypes.c_char_p), ("purpose", ctypes.c_char_p),
		    ("principal", ctypes.c_char_p), ("expires_ns", ctypes.c_uint64), ("scopes", ctypes.POINTER(ctypes.c_char_p)),
		    ("measures", ctypes.POINTER(ctypes.c_char_p)), ("isolation", ctypes.c_int), ("pidfd", ctypes.c_int)]
class Session(ctypes.Structure):
	_fields_ = [("id", ctypes.c_char * 37), ("spiffe_id", ctypes.c_char * 512)]
lib = ctypes.CDLL(sys.argv[1])
lib.affiant_error.restype = ctypes.c_char_p
lib.affiant_error.argtypes = [ctypes.c_void_p]
context = ctypes.c_void_p()
assert lib.affiant_connect(sys.argv[2].encode(), ctypes.byref(context)) == 0
session = Session()
err = lib.affiant_open_session(context, ctypes.byref(Open(agent=b"py", task=b"T-py", expires_ns=1 << 62, pidfd=-1)), ctypes.byref(session))
assert err == 0, lib.affiant_error(context)
print(session.id.decode())
again = lib.affiant_open_session(context, ctypes.byref(Open(agent=b"py2", pidfd=-1)), ctypes.byref(session))
print(again, lib.affiant_error(context).decode())
lib.affiant_disconnect(context)
import subprocess
subprocess.run(["/bin/true"])
"""


def test_python(daemon, library):
	"""A program that opens a session for itself is in it from then on, with its children, and opens no other."""
	done = subprocess.run([sys.executable, "-c", SCRIPT, library, daemon.socket], capture_output=True, text=True,
			      env=daemons.environment(), check=False)
	assert done.returncode == 0, done.stderr
	session, refused = done.stdout.splitlines()
	code, why = refused.split(" ", 1)
	assert int(code) < 0 and why
	records = daemon.wait_records("its end", lambda r: r.whole(), "--session", session)
	assert records.execs.only().process.executable.path.decode().endswith("/true")
	assert records[0].agent.name == "py"
	assert records[0].task.expires_wall_ns == 1 << 62
	assert not daemon.records("--agent", "py2")
