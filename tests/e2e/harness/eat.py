# SPDX-License-Identifier: Apache-2.0
"""The CDDL of RFC 9711, where it lies beside the checkout, in the form that the crate cddl (tests/oracle/cddl) can read."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from . import daemon as daemons

ENGINE = daemons.TOP.parent / "shared/engines/eat"


def fragments():
	"""The files that make up the schema of a claims set in JSON, as its own makefile has them."""
	lists = {}
	for name, value in re.findall(r"^(\w+) *\+?= *(.*)$", (ENGINE / "CDDL-FRAGS.mk").read_text(), re.M):
		lists.setdefault(name, []).extend(value.split())
	for kind in ("COMMON_EXTERNAL", "COMMON", "JSON_SPECIFIC", "JSON_EXTERNAL"):
		for path in lists[f"{kind}_CDDL_FRAGS"]:
			yield subprocess.run(["sed", "-f", ENGINE / "JSON-CDDL.sed", ENGINE / path], capture_output=True, text=True,
					     check=True).stdout


def closing(text, at):
	"""Where the bracket that is open at @at closes, and the first comma in it that is in no other."""
	depth, comma = 0, None
	for token in re.finditer(r'"[^"]*"|=>|[][(){}<>,]', text[at:]):
		if token[0] in "([{<":
			depth += 1
		elif token[0] in ")]}>":
			if not depth:
				return at + token.start(), comma
			depth -= 1
		elif token[0] == "," and not depth and comma is None:
			comma = at + token.start()
	raise ValueError("an open bracket")


def in_json(text):
	"""JC<J, C> is J: the crate gets lost in generics of generics."""
	text = re.sub(r"^(JSON-ONLY|CBOR-ONLY|JC)<.*\n|.*\bCBOR-ONLY<.*\n", "", text, flags=re.M)
	while found := re.search(r"\bJC<", text):
		end, comma = closing(text, found.end())
		text = text[:found.start()] + text[found.end():comma].strip() + text[end + 1:]
	return text


def one_map(text):
	"""Each claim that is plugged into the socket $$Claims-Set-Claims as a member of the map that has the socket. No name stands in an
	object twice, so "any number of these" is "each at most once"; the crate does not count choices of groups."""
	labels = dict(re.findall(r'^([\w-]+-label)\s*=\s*("[\w-]+")', text, re.M))
	members = []
	while found := re.search(r"\$\$Claims-Set-Claims\s*//=\s*\(", text):
		end, _ = closing(text, found.end())
		label, value = text[found.end():end].split("=>", 1)
		if label.strip() in labels:  # cti has no name in JSON
			members.append(f"\t? {labels[label.strip()]} => {value.strip().rstrip(',')},\n")
		text = text[:found.start()] + text[end + 1:]
	assert len(members) > 25
	whole, = re.findall(r"^Claims-Set = \{.*?^\}", text, re.S | re.M)
	return text.replace(whole, "Claims-Set = {\n" + "".join(members) + "\t* text => any\n}")


def schema():
	"""Claims-Set is the first rule. What RFC 10013 plugs in: the body of a measurement may be a text of JSON (it is looked at by itself:
	the crate passes over .json)."""
	if not ENGINE.is_dir():
		pytest.skip("no CDDL of RFC 9711 beside the checkout: the claims are not validated by it")
	text = re.sub(r"^((?:[^;\"\n]|\"[^\"\n]*\")*);.*$", r"\1", "\n".join(fragments()), flags=re.M)
	return one_map(in_json(text)) + '\n$measurements-body-json /= tstr .regexp "[{].*[}]"\n'


def reader(crate):
	"""The program that asks this crate (tests/oracle); it is built once for all builds of the product."""
	cargo = shutil.which("cargo")
	if not cargo:
		pytest.skip(f"no Rust: the crate {crate} is not asked")
	source, target = daemons.TOP / "tests/oracle" / crate, daemons.TOP / "build" / crate
	env = os.environ | {"CARGO_TARGET_DIR": str(target)}
	if subprocess.run([cargo, "fetch", "-q", "--locked"], cwd=source, env=env, capture_output=True, check=False).returncode:
		pytest.skip(f"the crate {crate} can't be fetched: it is not asked")
	built = subprocess.run([cargo, "build", "-q", "--locked", "--offline"], cwd=source, env=env, capture_output=True, text=True, check=False)
	assert built.returncode == 0, built.stderr
	return target / f"debug/{crate}-reader"


class Cddl:
	"""One schema, which is read once."""

	def __init__(self, program, place, text):
		pathlib.Path(place).write_text(text)
		self.process = subprocess.Popen([program, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

	def __call__(self, texts):
		"""What is wrong with each of these texts of JSON; "ok": nothing."""
		answers = []
		for text in texts:
			self.process.stdin.write(text.replace("\n", " ") + "\n")
			answers.append(self.process.stdout.readline().rstrip("\n"))
		return answers

	def end(self):
		self.process.stdin.close()
		assert self.process.wait(timeout=10) == 0
