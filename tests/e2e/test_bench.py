# SPDX-License-Identifier: Apache-2.0
"""tests/bench/run works: each row gives its figures, each with its losses. How fast anything is, is not tested."""

import json
import os
import subprocess

from harness import daemon as daemons

RUN = daemons.TOP / "tests" / "bench" / "run"
ENVIRONMENT = os.environ | {"AFFIANT_BUILD": str(daemons.BUILD)}


def run(*arguments):
	return subprocess.run([RUN, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
			      env=ENVIRONMENT)


def test_every_row_gives_figures_and_losses():
	names = [line.split()[0] for line in run("--list").stdout.splitlines()]
	done = run("--quick", "--no-progress", "-o", "json")
	assert done.returncode == 0, done.stdout + done.stderr
	figures = json.loads(done.stdout)["figures"]
	assert [name for name in names if name not in {figure["row"] for figure in figures}] == []
	for figure in figures:
		if figure["value"] is None:
			assert "auditd" in figure["what"] and "not measurable here: " in figure["note"], figure
		else:
			assert figure["lost"] is not None and figure["unit"], figure
			assert figure["value"] >= 0 and figure["low"] <= figure["value"] <= figure["high"], figure


def test_only_rows_that_are_named():
	done = run("--quick", "--no-progress", "ledger")
	assert done.returncode == 0, done.stderr
	assert "\nledger\n" in done.stdout and "\nexec\n" not in done.stdout
	assert "lost 0" in done.stdout and ">= 300,000" in done.stdout


def test_a_row_that_is_not_known_is_named():
	done = run("speed")
	assert done.returncode == 2 and "'speed' is not one of exec, connect" in done.stderr
