# SPDX-License-Identifier: Apache-2.0
"""What other programs make of logs and quotes, and what ours do."""

import base64
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from .tpmtools import BUILD

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "oracle/boot"


def ours(what, *inputs, bank="sha256"):
	done = subprocess.run([BUILD / "tests/oracle/boot_tool", what, bank], capture_output=True, text=True,
			      input="".join(f"{i}\n" for i in inputs))
	assert done.returncode == 0, done.stderr
	lines = done.stdout.splitlines()
	assert len(lines) == len(inputs)
	return lines if what == "quote" else [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def go_attestation(tmp_path_factory):
	"""What go-attestation makes of jobs, and go-eventlog of those with a log (tests/oracle/boot). Their modules bring
	test data along: see module()."""
	go = shutil.which("go")
	if not go:
		pytest.skip("no Go: go-attestation is not asked")
	version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
	found = re.match(r"go1\.(\d+)", version)
	if not found or int(found[1]) < 24:
		pytest.skip(f"{version.strip()}: go-attestation needs Go 1.24")
	program = tmp_path_factory.mktemp("go") / "boot"
	if subprocess.run([go, "mod", "download"], cwd=SOURCE, capture_output=True).returncode:
		pytest.skip("go-attestation can't be fetched")
	built = subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, capture_output=True, text=True)
	assert built.returncode == 0, built.stderr

	def ask(jobs):
		text = "".join(json.dumps({name: encoded(value) for name, value in job.items()}) for job in jobs)
		done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
		return [json.loads(line) for line in done.stdout.splitlines()]
	return ask


def module(path):
	"""Where Go keeps a module that go_attestation is built with."""
	done = subprocess.run(["go", "list", "-m", "-f", "{{.Dir}}", path], cwd=SOURCE, capture_output=True, text=True, check=True)
	return pathlib.Path(done.stdout.strip())


def encoded(value):
	if isinstance(value, bytes):
		return base64.b64encode(value).decode()
	if isinstance(value, list):
		return [{"bank": bank, "index": index, "digest": encoded(digest)} for bank, index, digest in value]
	return value


def tpm2_eventlog(log):
	"""The PCRs to which it replays a log, {bank: {number: hex}}; none where it gives up."""
	text = subprocess.run(["tpm2_eventlog", log], capture_output=True).stdout.decode(errors="replace")
	_, found, end = text.rpartition("\npcrs:")
	banks = re.findall(r"^  (\w+):\n((?:    .*\n)+)", end, re.M) if found else []
	return {bank: dict(re.findall(r"^    (\d+) *: 0x([0-9a-f]+)$", lines, re.M)) for bank, lines in banks}
