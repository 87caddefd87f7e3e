# SPDX-License-Identifier: Apache-2.0
"""Figures: a value with its spread, its losses and its budget; and how they are printed."""

import dataclasses
import json
import statistics


@dataclasses.dataclass
class Figure:
	what: str
	unit: str = ""
	value: float = None
	low: float = None	# lower and upper quartile
	high: float = None
	samples: int = 0
	lost: int = None	# None: nobody counted, which is an error
	budget: tuple = None	# ("<=", 1.04)
	note: str = ""

	def __post_init__(self):
		if self.low is None:
			self.low = self.high = self.value

	def measured(self):
		return self.value is not None

	def incomplete(self):
		return self.measured() and self.lost is None

	def missed(self):
		if not self.budget or not self.measured():
			return False
		operator, bound = self.budget
		return self.value > bound if operator == "<=" else self.value < bound


def missing(what, reason):
	return Figure(what, note=reason)


def quartiles(values):
	if len(values) < 2:
		return values[0], values[0], values[0]
	low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
	return low, middle, high


def of(what, unit, values, lost, **more):
	"""The median of several values, with their quartiles."""
	low, middle, high = quartiles(values)
	return Figure(what, unit, middle, low, high, len(values), lost, **more)


def number(value):
	"""Three digits that say something, and no more."""
	if value is None:
		return ""
	if value == int(value) and abs(value) < 10000:
		return str(int(value))
	if abs(value) >= 100:
		return f"{value:,.0f}"
	return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def line(figure):
	if not figure.measured():
		return f"  {figure.what:63} {figure.note}"
	text = f"  {figure.what:63} {number(figure.value):>10} {figure.unit:10}"
	spread = f"{number(figure.low)} .. {number(figure.high)}" if figure.samples > 1 else ""
	text += f" {spread:19} lost {figure.lost:<9}"
	if figure.budget:
		operator, bound = figure.budget
		text += f" {operator} {number(bound)}{'  MISSED' if figure.missed() else ''}"
	return f"{text}  {figure.note}".rstrip()


class Report:
	"""Prints as it goes (text), or all at the end (JSON)."""

	def __init__(self, as_json):
		self.as_json = as_json
		self.figures = []
		self.before = None

	def begin(self, machine):
		self.before = machine
		if not self.as_json:
			print("; ".join(f"{key} {value}" for key, value in machine.items()))

	def add(self, row, figure):
		if not self.as_json:
			if not self.figures or self.figures[-1]["row"] != row:
				print(f"\n{row}", flush=True)
			print(line(figure), flush=True)
		self.figures.append({"row": row, **dataclasses.asdict(figure), "missed": figure.missed()})

	def end(self, machine):
		if self.as_json:
			print(json.dumps({"before": self.before, "after": machine, "figures": self.figures}, indent=1))
			return
		missed = sum(f["missed"] for f in self.figures)
		print(f"\n{len(self.figures)} figures, {missed} beyond their budget, "
		      f"{sum(f['value'] is None for f in self.figures)} not measurable here; "
		      f"load {machine['load']} at the end")
