#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what tools/test ran. usage: summary.py DIRECTORY

Reads JUnit reports (ctest, pytest) and notes.tsv (stage, result, name, reason). A unit test program is one case of
ctest and many of cmocka: its own lines are counted. Ends with 1 if anything failed or nothing passed.
"""

import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

COUNT = re.compile(r"^\[  (PASSED|FAILED)  \] (\d+) test\(s\)", re.M)
SKIPPED = re.compile(r"^((?:(?!\[).*\n)?)\[  SKIPPED \] (\w+)$", re.M)

Result = collections.namedtuple("Result", "stage kind name reason")


def read_notes(path):
	for line in path.read_text().splitlines():
		yield Result(*line.split("\t"))


def read_cmocka(stage, name, output):
	"""Results of one program: names only for skips, since nobody asks which ones passed."""
	counts = collections.Counter()
	for word, number in COUNT.findall(output):
		counts[word] += int(number)
	for kind in ("PASSED", "FAILED"):
		for _ in range(counts[kind]):
			yield Result(stage, kind.lower(), name, "")
	seen = set()
	for reason, test in SKIPPED.findall(output):
		if test not in seen:
			seen.add(test)
			yield Result(stage, "skipped", f"{name}: {test}", reason.strip())


def read_case(stage, case):
	name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
	for kind in ("failure", "error"):
		found = case.find(kind)
		if found is not None:
			yield Result(stage, "failed", name, (found.get("message") or "").split("\n")[0][:160])
			return
	skipped = case.find("skipped")
	if skipped is not None:
		yield Result(stage, "skipped", name, (skipped.get("message") or "").removeprefix("Skipped: "))
		return
	results = list(read_cmocka(stage, case.get("name"), case.findtext("system-out") or ""))
	yield from results or [Result(stage, "passed", name, "")]


def read_report(path):
	try:
		root = xml.parse(path).getroot()
	except xml.ParseError as error:
		yield Result(path.stem, "failed", path.name, f"unreadable report: {error}")
		return
	for case in root.iter("testcase"):
		yield from read_case(path.stem, case)


def main():
	directory = pathlib.Path(sys.argv[1])
	results = [r for path in sorted(directory.glob("*.xml")) for r in read_report(path)]
	notes = directory / "notes.tsv"
	if notes.exists():
		results += read_notes(notes)

	stages = collections.defaultdict(collections.Counter)
	for result in results:
		stages[result.stage][result.kind] += 1
	print("\n== summary")
	for stage, counts in stages.items():
		print(f"{stage:10} " + ", ".join(f"{counts[k]} {k}" for k in ("passed", "failed", "skipped")))
	for kind in ("skipped", "failed"):
		for result in results:
			if result.kind == kind:
				print(f"{kind}: {result.stage}: {result.name}" + (f": {result.reason}" if result.reason else ""))

	total = collections.Counter(result.kind for result in results)
	print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
	sys.exit(1 if total["failed"] or not total["passed"] else 0)


if __name__ == "__main__":
	main()
