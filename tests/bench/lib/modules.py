# SPDX-License-Identifier: Apache-2.0
"""Modules measured by a program of their own, which prints "NAME VALUE UNIT (LOW .. HIGH)" a line and "lost N"."""

import re

from . import figures, machine

LINE = re.compile(r"^(?P<what>\S.*?) +(?P<value>[\d.]+) (?P<unit>\S+) +\((?P<low>[\d.]+) \.\. (?P<high>[\d.]+)\)$", re.M)


def _figures(output, budgets):
	lost = int(re.search(r"^lost (\d+)$", output, re.M)[1])
	rounds = int(re.search(r"(\d+) rounds", output)[1])
	for found in LINE.finditer(output):
		yield figures.Figure(found["what"], found["unit"], float(found["value"]), float(found["low"]),
				     float(found["high"]), rounds, lost, budgets.get(found["what"]))


def hashing(bench):
	"""first digest of a 300 MB file, beside openssl; others meanwhile"""
	bench.say("hash: a file of 300 MiB, seven times")
	output = machine.command(bench.program("hash"), bench.size(300, 4))
	yield from _figures(output, {"speed of filehash / openssl": (">=", 0.9)})


def ledger(bench):
	"""records a second and core into the ledger, hashed, framed and written"""
	bench.say("ledger: 300,000 records, seven times")
	output = machine.command(bench.program("ledger_append"), bench.size(300000, 3000))
	yield from _figures(output, {"pack but for who it was, frame, write": (">=", 300000)})


def ima(bench):
	"""entries of an IMA list replayed a second, and what a list of 100 MB takes"""
	bench.say("ima: a list of 100 MiB, five times for every kind of bank")
	output = machine.command(bench.program("ima_replay"), bench.size(100, 2))
	yield from _figures(output, {"sha256": (">=", 500000)})


def verification(bench):
	"""evidence verified a second and core, of a host that is remembered"""
	bench.say("verify: 256 pieces of evidence, seven times for every kind")
	output = machine.command(bench.program("verify"), bench.size(1, 0.05))
	yield from _figures(output, {"with a quote each": (">=", 5000), "64 to a quote": (">=", 8000)})
