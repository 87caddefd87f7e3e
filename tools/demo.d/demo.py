#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo proper: affiantd, a network, servers, an agent; then what the records say. tools/demo calls it."""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import attest
import engines
import report
import scene

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build" / "release" / "userspace"
DEADLINE = 60
CLOSES_DEADLINE = 5	# a peer may hold its side of a connection open for as long as it likes
TASK = "T-1234"
USER = "alice@example.com"


# Left beside the records by --keep: they belong to a daemon, which serves them.
LOOK = """\
#!/bin/sh
# look: affiant on the records of a demo. usage: look events [-o json], look status, ...
{daemon} >>{place}/affiantd.log 2>&1 &
until {affiant} status --socket {socket} >/dev/null 2>&1 || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
command=$1
shift
{affiant} "$command" --socket {socket} "$@"
status=$?
kill $! && wait $!
{affiant} uninstall-bpf --pin-dir {pins}
exit $status
"""


class Failure(Exception):
	"""For a person: what went wrong and where to look."""


class Daemon:
	"""affiantd in the foreground, with directories of its own."""

	def __init__(self, place, configuration):
		self.place = place
		self.config = place / "affiant.yaml"
		self.config.write_text(configuration)
		self.state = place / "state"
		self.socket = place / "run" / "affiant.sock"
		self.pins = pathlib.Path("/sys/fs/bpf") / f"affiant-demo-{os.getpid()}"
		self.log = place / "affiantd.log"
		self.process = None

	def command(self):
		return [str(BIN / "affiantd"), "--config", str(self.config), "--state-dir", str(self.state), "--runtime-dir", str(self.socket.parent),
			"--pin-dir", str(self.pins), "--socket", str(self.socket)]

	def start(self):
		with open(self.log, "wb") as log:
			# In a session of its own: ^C ends the agent first, and us; we end the daemon.
			self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
							start_new_session=True)
		end = time.monotonic() + DEADLINE
		while not self.ready():
			if self.process.poll() is not None or time.monotonic() > end:
				raise Failure(f"affiantd did not start:\n{self.log.read_text(errors='replace')}")
			time.sleep(0.05)

	def ready(self):
		"""It answers, and has reached its TPM."""
		done = self.affiant("status", "-o", "json")
		return not done.returncode and json.loads(done.stdout)["tpm"]["state"] == "ready"

	def affiant(self, *arguments):
		return subprocess.run([str(BIN / "affiant"), arguments[0], "--socket", str(self.socket), *arguments[1:]],
				      stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

	def events(self):
		done = self.affiant("events", "-o", "json")
		if done.returncode:
			raise Failure(f"affiant events: {done.stderr}")
		return [json.loads(line) for line in done.stdout.splitlines()]

	def wait_for_end(self):
		"""The events, once the session has ended and each of its connections has an outcome and a close."""
		end = time.monotonic() + DEADLINE
		closes_end = time.monotonic() + CLOSES_DEADLINE
		while True:
			events, now = self.events(), time.monotonic()
			if report.complete(events) and (report.closed(events) or now > closes_end) or now > end:
				return events
			time.sleep(0.1)

	def query(self, *arguments):
		"""Shows a command and what it answers."""
		done = self.affiant(*arguments)
		print(f"  $ affiant {' '.join(arguments)}")
		print("".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")

	def write_look(self):
		path = self.place / "look"
		path.write_text(LOOK.format(daemon=" ".join(self.command()), affiant=BIN / "affiant", socket=self.socket,
					    place=self.place, pins=self.pins))
		path.chmod(0o755)
		return path

	def stop(self):
		if self.process and self.process.poll() is None:
			self.process.terminate()
			self.process.wait()
		if self.pins.exists():
			subprocess.run([str(BIN / "affiant"), "uninstall-bpf", "--pin-dir", str(self.pins)], check=False)


def step(text):
	print(text, flush=True)


def user_of_agent():
	"""Who called sudo, else nobody: an agent needs no root."""
	name = os.environ.get("SUDO_USER", "nobody")
	if name == "root":
		name = "nobody"
	return pwd.getpwnam(name)


def check_reach(user, command):
	"""The agent's user must be able to execute it: a checkout below /root is not for everybody."""
	for path in (part for part in command if part.startswith("/")):
		done = subprocess.run(["test", "-r", path], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
		if done.returncode:
			raise Failure(f"{user.pw_name} cannot read {path}: call tools/demo by sudo from an account that can")


# For agents that know nothing of affiant: the same session asks, by the command.
ASK = '"$@" || exit; exec "$AFFIANT" evidence --host --nonce "$NONCE" --audience "$AUDIENCE" >"$EVIDENCE"'


def run_agent(daemon, engine, place, user, nonce):
	"""Returns the evidence that it asked for."""
	home = place / "home"
	measure = engine.prepare(place)
	evidence = home / "evidence.json"
	for part in ("affiant", "libaffiant.so.0"):	# where its user can read them
		shutil.copy(BIN / part, place)
	asking = [] if engine.attests else ["/bin/sh", "-c", ASK, "sh"]
	check_reach(user, engine.command())
	command = [str(BIN / "affiant"), "run", "--socket", str(daemon.socket), "--agent", engine.name, "--task", TASK,
		   "--purpose", engine.purpose, "--expires", "15m", "--scope", "notes:read", "--scope", "web:read",
		   "--on-behalf-of", USER, "--measure", str(measure), "--user", f"{user.pw_uid}:{user.pw_gid}", "--",
		   *asking, *engine.command()]
	shown = [path.rsplit("/", 1)[-1] for path in engine.command()[:2]]
	step(f"   $ affiant run --agent {engine.name} --task {TASK} --on-behalf-of {USER} --user {user.pw_name} … -- {' '.join(shown)} …")
	ca = str(place / "ca.pem")
	environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8", "SSL_CERT_FILE": ca,
		       "CURL_CA_BUNDLE": ca, "GIT_SSL_CAINFO": ca, "NODE_EXTRA_CA_CERTS": ca, "NONCE": nonce,
		       "AUDIENCE": attest.AUDIENCE, "EVIDENCE": str(evidence), "AFFIANT": str(place / "affiant"),
		       "AFFIANT_LIBRARY": str(place / "libaffiant.so.0"), "AFFIANT_SOCKET": str(daemon.socket),
		       "LD_LIBRARY_PATH": str(place)}
	done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, check=False,
			      env=environment | engine.environment(home))
	if done.returncode:
		raise Failure(f"the agent ended with {done.returncode}")
	return evidence.read_text()


def demo(engine, place, keep):
	user = user_of_agent()
	(place / "home").mkdir()
	os.chown(place / "home", user.pw_uid, user.pw_gid)
	tpm = attest.SoftTpm(place)
	daemon = Daemon(place, tpm.configuration())
	with contextlib.ExitStack() as stack:
		step(f"2. affiantd, in the foreground, with everything below {place}, on a software TPM")
		tpm.start()
		stack.callback(tpm.stop)
		stack.callback(daemon.stop)
		daemon.start()
		step("3. a token service enrols this host: the TPM shows that the attestation key is its own")
		verifier = attest.Verifier(place, tpm)
		verifier.enrol(daemon.socket)
		step("4. a network of its own: loopback only, with a scripted model, a tool server and a website")
		scene.leave_network()
		with scene.servers(place, engine.script, user.pw_uid, user.pw_gid):
			step(f"5. the agent, as {user.pw_name}")
			verifier.write_policy(engine)
			evidence = run_agent(daemon, engine, place, user, verifier.nonce)
		step("6. what affiant saw\n")
		report.show(daemon.wait_for_end(), scene.WHO)
		step("\n7. the same records, as somebody asks who handles an incident\n")
		daemon.query("events", "--principal", USER, "--outcome", "refused")
		step("\n8. what the token service makes of the evidence that the agent sent with its request\n")
		attest.show(verifier, evidence, place)
	step("")
	if keep:
		step(f"The records lie in {daemon.state}. To look further:\n"
		     f"  sudo {daemon.write_look()} events [-o json] [--outcome refused] [--help]")
	else:
		step("The records lay in the temporary directory and are gone; tools/demo --keep keeps them.")


def main():
	parser = argparse.ArgumentParser(prog="tools/demo", add_help=False)
	parser.add_argument("--agent", choices=engines.ENGINES, default="research")
	parser.add_argument("--keep", action="store_true")
	arguments = parser.parse_args()
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	place = pathlib.Path(tempfile.mkdtemp(prefix="affiant-demo-"))
	place.chmod(0o755)
	try:
		engine = engines.ENGINES[arguments.agent]()
		engine.install()
		demo(engine, place, arguments.keep)
	except (Failure, attest.Failure, engines.Missing) as error:
		sys.exit(f"demo: {error}")
	except KeyboardInterrupt:
		sys.exit(130)
	finally:
		if not arguments.keep:
			shutil.rmtree(place)


if __name__ == "__main__":
	main()
