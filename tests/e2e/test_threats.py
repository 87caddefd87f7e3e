# SPDX-License-Identifier: Apache-2.0
"""docs/threats.md: each line names tests, and there they are."""

import re

from harness import daemon as daemons

TEXT = (daemons.TOP / "docs/threats.md").read_text()
ADVERSARIES = ("An agent", "Another user of the host", "Root of another host", "A stranger on the wire")


def lines():
	"""Of all tables: what is tried, what happens, shown by."""
	rows = [line for line in TEXT.splitlines() if line.startswith("|") and not line.startswith(("|---", "| what is tried"))]
	return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def is_there(name, test):
	if name.endswith(".py"):
		path = daemons.TOP / "tests/e2e" / name
		return path.exists() and re.search(rf"^def {test}\(", path.read_text(), re.M)
	path = daemons.TOP / "tests/unit" / name
	if not path.exists():
		return False
	text = path.read_text()
	# One that runs: it is named where the tests are listed, beside where it is defined; or stands in the table of forgeries.
	defined = re.search(rf"^static void {test}\(", text, re.M) and len(re.findall(rf"\b{test}\b", text)) > 1
	return defined or re.search(rf"^\t[AB]\({test}, \w+\)", text, re.M)


def test_each_line_has_its_tests():
	assert len(lines()) >= 60
	for line in lines():
		assert len(line) == 3 and all(line), line
		named = re.findall(r"`(test_\w+\.(?:py|c))::(\w+)`", line[2])
		assert named and re.sub(r"`[^`]*`|[, ]", "", line[2]) == "", line
		missing = [f"{name}::{test}" for name, test in named if not is_there(name, test)]
		assert not missing, f"{line[0]}: {missing}"


def test_each_adversary_has_a_part_that_says_what_it_can():
	parts = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
	assert tuple(parts) == ADVERSARIES
	for name, text in parts.items():
		assert "| **Can**" in text, name


def test_it_is_found():
	for path in ("README.md", "docs/design.md"):
		assert "threats.md" in (daemons.TOP / path).read_text()
