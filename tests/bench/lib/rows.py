# SPDX-License-Identifier: Apache-2.0
"""All rows: a name, and a function that yields figures. A new row is a function and a line here."""

from . import cgroups, evidence, load, modules, programs, size, turn, turns

ROWS = {
	**{name: turns.row(name) for name in turns.OPERATIONS},
	"programs": programs.programs,
	"cgroups": cgroups.cgroups,
	"throughput": load.throughput,
	"latency": load.latency,
	"hash": modules.hashing,
	"ledger": modules.ledger,
	"ima": modules.ima,
	"evidence": evidence.evidence,
	"verify": modules.verification,
	"memory": size.memory,
	"start": size.start,
	"turn": turn.turn,
}
