# SPDX-License-Identifier: Apache-2.0
"""Evidence of a machine that measures: OVMF's boot log, IMA's list, and the kernel's resource manager before the TPM.

In the order of this file: what a machine measured stays measured. The TPM is a program, of course: where a test needs it
to count as hardware, the policy says that it is known to be.
"""

import copy
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import types

import pytest

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "tests" / "e2e"), str(TOP / "tests" / "vm")]
import measured  # noqa: E402
from harness import daemon as daemons  # noqa: E402
from harness import wait  # noqa: E402
from harness.enrolled import Enrolment  # noqa: E402
from harness.evidence import AUDIENCE, NONCE, Attested, b64  # noqa: E402

VM = pathlib.Path("/vm")
CA = VM / "softtpm" / "ca"
SHA256 = 0xb
EFI_APPLICATION = 0x80000003	# EV_EFI_BOOT_SERVICES_APPLICATION
SCRATCH = pathlib.Path("/scratch")
PYTHON = "/usr/bin/python3"

POLICY = """\
max_age: 10m
trust:
  software_tpm: [{root}, {issuer}]
  allow_software_tpm: {software}
  enrolment: [ca/ca.pem]
hosts:
  - ueid: {ueid}
    asset: the machine
    ek_certificate: {certificate}
    agents: ["{agent}"]
boot:
  mode: log
  secure_boot: any
  closed: [4, 9]
  rules:
    - pcrs: [4]
      digests: [{kernel}]
      texts: ["Calling EFI Application from Boot Option"]
      least: 2
    - pcrs: [9]
      digests: [{cmdline}, {initrd}]
      least: 2
ima:
  violations: {violations}
  allowlist: [allowed]
daemon:
  executables: [{daemon}]
  configurations: [{configuration}]
  bpf: [{bpf}]
agents:
  - id: "{agent}"
    tier: {tier}
    executables: [{executable}]
    arguments: [{argument}]
    loaders: [any]
    interpreters: [any]
    ancestors: [any]
    isolation: [landlock, uid, none]
"""


def digest(path):
	with open(path, "rb") as file:
		return hashlib.file_digest(file, "sha256").hexdigest()


class Host(Attested):
	"""affiantd with the TPM of its defaults, /dev/tpmrm0."""

	def __init__(self):
		# A tmpfs: what is written elsewhere is measured each time root reads it.
		self.place = pathlib.Path(tempfile.mkdtemp(dir="/run"))
		(self.place / "daemon").mkdir()
		self.daemon = daemons.Daemon(self.place / "daemon",
					     "hash: {wait: 10s}\nevidence: {rate: 1000, burst: 1000}\n")
		self.agents = []
		self.tpm = types.SimpleNamespace(ca=CA / "swtpm-localca-rootca-cert.pem", issuer=CA / "issuercert.pem")

	def remove(self):
		for agent in self.agents:
			agent.end()
		self.daemon.remove()
		shutil.rmtree(self.place)


class Verifier:
	"""A policy, and affiant verify by it."""

	def __init__(self, host, place, taken):
		self.place = place
		self.values = {
			"root": host.tpm.ca, "issuer": host.tpm.issuer, "software": "no", "ueid": taken.claims["ueid"],
			"certificate": "none-hardware", "agent": taken.claims["sub"], "tier": "runtime-measured",
			"violations": "refused", "daemon": digest(daemons.AFFIANTD), "configuration": digest(host.daemon.config),
			"bpf": digest(daemons.BUILD / "bpf/affiant_bpf/affiant.bpf.o"), "executable": digest(PYTHON),
			"argument": digest(TOP / "tests/e2e/agents/asker.py"),
		} | boot_values(taken)

	def allow(self, taken, *more, but=()):
		"""An allowlist of what was measured until then, by the files themselves: only of what is no more is the
		list's own digest taken."""
		lines = []
		for path, found in ima_files(taken):
			if path not in but:
				lines.append(f"sha256:{digest_now(path) or found} {escape(path) if path.startswith('/') else ''}")
		lines += [f"sha256:{found} {path}" for path, found in more]
		(self.place / "allowed").write_text("\n".join(lines) + "\n")

	def write(self, **changed):
		(self.place / "policy.yaml").write_text(POLICY.format(**(self.values | changed)))

	def run(self, evidence, *options):
		text = evidence if isinstance(evidence, str) else evidence.text
		command = [daemons.AFFIANT, "verify", "--policy", self.place / "policy.yaml", "--nonce", NONCE, "--audience",
			   AUDIENCE, *options]
		return subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, check=False)

	def __call__(self, evidence, *options):
		done = self.run(evidence, "-o", "json", *options)
		assert done.returncode in (0, 1, 2), done.stderr
		result = json.loads(done.stdout)
		print(result["reason"])
		return result

	def word(self, evidence, *options):
		"""affirmed, or the code of what it was refused for."""
		result = self(evidence, *options)
		return result["code"] or result["verdict"]


@functools.cache
def digest_of(path, _size, _changed):
	return digest(path)


def digest_now(path):
	"""None: it is no more, or it is none of this root's."""
	try:
		found = os.stat(path)
	except OSError:
		return None
	return digest_of(path, found.st_size, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def escape(path):
	"""As a glob that stands for itself."""
	return re.sub(r"([*?[\\#])", r"\\\1", path)


def ima_files(taken):
	"""(path, digest in hex) of every file in the list; boot_aggregate and violations are none."""
	log = taken.content("ima_log", taken.host)
	for name, data in ima_entries(log):
		assert name in (b"ima-ng", b"ima-sig")
		size, = struct.unpack_from("<I", data)
		algorithm, _, found = data[4:4 + size].partition(b":\0")
		at = 4 + size
		size, = struct.unpack_from("<I", data, at)
		path = data[at + 4:at + 4 + size].rstrip(b"\0").decode()
		if path != "boot_aggregate" and any(found):
			assert algorithm == b"sha256", path
			yield path, found.hex()


def ima_entries(log):
	"""(name of the template, its data)"""
	at = 0
	while at < len(log):
		_, _, length = struct.unpack_from("<I20sI", log, at)
		name = log[at + 28:at + 28 + length]
		at += 28 + length
		length, = struct.unpack_from("<I", log, at)
		yield name, log[at + 4:at + 4 + length]
		at += 4 + length


def boot_events(log):
	"""The boot log's records as they lie there: (pcr, type, {algorithm: digest}, data, bytes), the header first."""
	sizes = {4: 20, 0xb: 32, 0xc: 48, 0xd: 64}
	pcr, kind, _, size = struct.unpack_from("<II20sI", log)
	events, at = [(pcr, kind, {}, log[32:32 + size], log[:32 + size])], 32 + size
	while at < len(log):
		begin, digests = at, {}
		pcr, kind, count = struct.unpack_from("<III", log, at)
		at += 12
		for _ in range(count):
			algorithm, = struct.unpack_from("<H", log, at)
			digests[algorithm] = log[at + 2:at + 2 + sizes[algorithm]]
			at += 2 + sizes[algorithm]
		size, = struct.unpack_from("<I", log, at)
		at += 4 + size
		events.append((pcr, kind, digests, log[at - size:at], log[begin:at]))
	return events


def boot_values(taken):
	"""What the policy wants of the boot: of the kernel, what the firmware measured when the machine was trusted; command
	line and initramfs by themselves, as the kernel's EFI stub measures what the boot loader gave it."""
	events = boot_events(taken.content("boot_log", taken.host))
	(kernel,) = [digests[SHA256].hex() for pcr, kind, digests, *_ in events if (pcr, kind) == (4, EFI_APPLICATION)]
	cmdline = pathlib.Path("/proc/cmdline").read_text().rstrip("\n") + "\0"
	return {"kernel": kernel, "initrd": digest(VM / "initramfs"),
		"cmdline": hashlib.sha256(cmdline.encode("utf-16-le")).hexdigest()}


def with_boot_log(taken, log):
	"""The same evidence with another boot log."""
	forged = copy.deepcopy(taken.cmw)
	forged["host"]["boot_log"][1] = b64(log)
	return json.dumps(forged)


def range_of(taken):
	return json.loads(taken.content("ima_range", taken.host))


@pytest.fixture(scope="module")
def host():
	instance = Host()
	instance.start()
	yield instance
	instance.remove()


@pytest.fixture(scope="module")
def enrolment(host):
	place = host.place / "verifier"
	place.mkdir()
	enrolment = Enrolment(host, place)
	enrolment()
	return enrolment


@pytest.fixture(scope="module")
def agent(host, enrolment):
	return host.agent(agent="demo")


@pytest.fixture
def place(host):
	"""An empty directory."""
	with tempfile.TemporaryDirectory(dir=host.place) as path:
		yield pathlib.Path(path)


@pytest.fixture(scope="module")
def taken(agent):
	"""Of the beginning, while nothing has happened yet."""
	return agent.evidence(host=True)


@pytest.fixture
def verifier(host, enrolment, taken):
	verifier = Verifier(host, enrolment.place, taken)
	verifier.allow(taken)
	verifier.write()
	return verifier


def test_ready(host):
	status = host.status()["tpm"]
	assert (status["state"], status["error"]) == ("ready", None)
	assert "ready" in host.daemon.affiant("status").stdout
	opened = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{host.daemon.process.pid}/fd").iterdir()]
	assert "/dev/tpmrm0" in opened


def test_affirmed(verifier, taken):
	"""Each digest of IMA's list is that of the file, and the agent's and the daemon's are among them."""
	result = verifier(taken)
	assert (result["verdict"], result["code"], result["tier"]) == ("affirmed", "", "runtime-measured"), result
	listed = dict(ima_files(taken))
	assert listed[str(daemons.AFFIANTD)] == digest(daemons.AFFIANTD)
	assert listed[os.path.realpath(PYTHON)] == digest(PYTHON)
	value, count = measured.replay_ima(taken.content("ima_log", taken.host), "sha256")
	assert range_of(taken) == {"from": 0, "entries": count}
	claims = taken.host_claims()
	assert (claims["boot_log"], claims["ima_log"], claims["tpm"]["enrolled"]) == ("present", "present", True)


def test_a_program(verifier, taken):
	"""What it is, if its certificate is asked for."""
	verifier.write(certificate="required")
	assert verifier.word(taken) == "software_tpm"
	verifier.write(certificate="required", software="yes")
	assert tuple(map(verifier(taken).get, ("code", "tier"))) == ("tier", "software-tpm")
	verifier.write(certificate="required", software="yes", tier="software-tpm")
	assert verifier.word(taken) == "affirmed"


@pytest.mark.parametrize("changed, code", [
	({"kernel": "0" * 64}, "boot_event"),
	({"cmdline": "0" * 64}, "boot_event"),
	({"daemon": "0" * 64}, "daemon_digest"),
	({"bpf": "0" * 64}, "bpf_digest"),
	({"executable": "0" * 64}, "executable_digest"),
])
def test_other_policy(verifier, taken, changed, code):
	verifier.write(**changed)
	assert verifier.word(taken) == code


def test_daemon_not_allowed(verifier, taken):
	verifier.allow(taken, but=[str(daemons.AFFIANTD)])
	result = verifier(taken)
	assert (result["verdict"], result["code"]) == ("refused", "ima_unlisted")
	assert str(daemons.AFFIANTD) in result["reason"]


def test_boot_log_forged(verifier, taken):
	"""An event of each PCR left out, two of one exchanged, and cut short."""
	events = boot_events(taken.content("boot_log", taken.host))
	raw = [event[-1] for event in events]
	assert verifier.word(with_boot_log(taken, b"".join(raw))) == "affirmed"
	for at in {pcr: at for at, (pcr, *_) in enumerate(events) if at}.values():
		assert verifier.word(with_boot_log(taken, b"".join(raw[:at] + raw[at + 1:]))) == "boot_log_mismatch"
	first, second = [at for at, event in enumerate(events) if event[0] == 7][:2]
	raw[first], raw[second] = raw[second], raw[first]
	assert verifier.word(with_boot_log(taken, b"".join(raw))) == "boot_log_mismatch"
	result = verifier(with_boot_log(taken, b"".join(raw)[:-1]))
	assert (result["verdict"], result["code"]) == ("undecided", "malformed_boot_log")


def test_incremental(verifier, agent, place):
	"""What is kept of a host is enough until more is measured; then only that is asked for."""
	known = SCRATCH / "known"
	shutil.copy("/bin/true", known)
	first = agent.evidence(host=True)
	verifier.allow(first, (known, digest("/bin/true")))	# not read: root's reading is measured, too
	state = ("--state", place)
	assert verifier.word(agent.evidence(), *state) == "host_evidence_needed"
	assert verifier.word(first, *state) == "affirmed"
	assert verifier.word(agent.evidence(), *state) == "affirmed"

	entries = range_of(first)["entries"]
	subprocess.run([known], check=True)
	done = verifier.run(agent.evidence(), *state)
	assert done.returncode == 2, done.stdout
	assert f"entry {entries}" in done.stdout
	result = verifier(agent.evidence(), *state)
	assert (result["code"], result["ima_from"]) == ("host_evidence_needed", entries)

	more = agent.evidence(host=True, ima_from=entries)
	assert range_of(more)["from"] == entries
	assert [path for path, _ in ima_files(more)] == [str(known)]
	assert verifier.word(more) == "host_evidence_needed", "nothing is known of the beginning"
	assert verifier.word(more, *state) == "affirmed"
	assert verifier.word(agent.evidence(), *state) == "affirmed"


def test_unlisted(verifier, agent):
	verifier.allow(agent.evidence(host=True))
	path = SCRATCH / "unlisted"
	path.write_bytes(pathlib.Path("/bin/true").read_bytes() + b"not what it seems")
	path.chmod(0o755)
	subprocess.run([path], check=True)
	result = verifier(agent.evidence(host=True))
	assert (result["verdict"], result["code"]) == ("refused", "ima_unlisted")
	assert str(path) in result["reason"]


def test_beside_others(verifier, host, agent):
	"""The kernel's resource manager gives each its own: tools make and lose keys while quotes go on."""
	script = "for i in 1 2; do tpm2_createprimary -Q -c $0/key; tpm2_getrandom --hex 8; done"
	env = daemons.environment() | {"TPM2TOOLS_TCTI": "device:/dev/tpmrm0"}
	with subprocess.Popen(["/bin/sh", "-ec", script, host.place], env=env, stdout=subprocess.PIPE) as tools:
		count = 0
		while tools.poll() is None:
			taken = agent.evidence().check()
			count += 1
		assert tools.returncode == 0
	assert count > 1
	status = host.status()["tpm"]
	assert (status["failures"], status["reconnects"]) == (0, 0)
	taken = agent.evidence(host=True)
	verifier.allow(taken)
	assert verifier.word(taken) == "affirmed"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_restart(verifier, host, agent, how):
	"""The key stays, and with it the enrolment."""
	name = host.status()["tpm"]["ak_name"]
	getattr(host.daemon, how)()
	host.start()
	status = host.status()["tpm"]
	assert (status["ak_name"], status["enrolled"]) == (name, True)
	assert agent.ask("connect")["err"] == 0
	taken = agent.evidence(host=True)
	verifier.allow(taken)
	assert verifier.word(taken) == "affirmed"


def test_tpm_stands_still(verifier, host, agent):
	"""Requests end in time, tracing goes on, and afterwards all is as it was."""
	host.daemon.run("/bin/true")	# whatever is executed below was measured: IMA waits for the TPM, too
	(VM / "tpm-stop").touch()
	wait.until("the TPM stands still", (VM / "tpm-stopped").exists)
	assert agent.refusal() == "no_tpm"
	assert host.status()["tpm"]["state"] == "lost"
	assert agent.refusal() == "no_tpm"
	run = host.daemon.run("/bin/true")
	assert len(run.records().execs) == 1
	assert (VM / "tpm-stopped").exists(), "all of that was while it stood still"
	(VM / "tpm-stop").unlink()
	host.wait_state("ready")
	assert not (VM / "tpm-stopped").exists()
	taken = agent.evidence(host=True)
	verifier.allow(taken)
	assert verifier.word(taken) == "affirmed"


def test_violation(verifier, agent):
	"""Time of measure, time of use: somebody opens it to write while a reader has it open."""
	path = SCRATCH / "changed"
	path.write_text("before\n")
	with open(path) as reader:
		reader.read()
		path.write_text("after\n")
	path.write_text("before\n")
	taken = agent.evidence(host=True)
	verifier.allow(taken)
	result = verifier(taken)
	assert (result["verdict"], result["code"]) == ("refused", "ima_violation")
	verifier.write(violations="any")
	assert verifier.word(taken) == "affirmed"


@pytest.mark.parametrize("pcr", [14, 8])
def test_pcr_extended(verifier, agent, pcr):
	"""By a program, after the boot: no log has it."""
	subprocess.run(["tpm2_pcrextend", "-T", "device:/dev/tpmrm0", f"{pcr}:sha256={'1' * 64}"], check=True)
	taken = agent.evidence(host=True)
	verifier.allow(taken)
	verifier.write(violations="any")
	result = verifier(taken)
	assert (result["verdict"], result["code"]) == ("refused", "boot_log_mismatch")
	assert f"PCR {pcr}" in result["reason"]
