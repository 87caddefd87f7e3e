# SPDX-License-Identifier: Apache-2.0
"""OCSF of every record type: docs/samples (which a unit test keeps current) against our own schema, and against
OCSF's, where a checker lies beside the checkout."""

import copy
import json
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "tests/data/ocsf/affiant.schema.json").read_text())
SAMPLES = sorted((TOP / "docs/samples").glob("*.ndjson"))
ENGINE = TOP.parent / "shared/engines/ocsf"

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
KEYWORDS = {"$schema", "$defs", "title", "$ref", "type", "const", "enum", "pattern", "minLength", "minimum", "maximum",
	    "items", "minItems", "properties", "required", "additionalProperties", "minProperties", "oneOf"}


def errors(value, schema, where="event"):
	"""The keywords of JSON Schema that the schema uses; any other is a mistake in the schema."""
	assert not set(schema) - KEYWORDS, set(schema) - KEYWORDS
	if "$ref" in schema:
		yield from errors(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
		return
	if "oneOf" in schema:
		found = [list(errors(value, one, where)) for one in schema["oneOf"]]
		if sum(not one for one in found) != 1:
			yield min(found, key=len)[0] if all(found) else f"{where}: of several classes at once"
	if "const" in schema and value != schema["const"]:
		yield f"{where}: {value!r} is not {schema['const']!r}"
	if "enum" in schema and value not in schema["enum"]:
		yield f"{where}: {value!r} is none of {schema['enum']}"
	if "type" in schema:
		right = TYPES[schema["type"]]
		if not isinstance(value, right) or isinstance(value, bool) and right is not bool:
			yield f"{where}: {value!r} is not {schema['type']}"
			return
	if "pattern" in schema and not re.search(schema["pattern"], value):
		yield f"{where}: {value!r} is not like {schema['pattern']}"
	if len(value) < schema.get("minLength", 0) if isinstance(value, str) else False:
		yield f"{where}: empty"
	if "minimum" in schema and value < schema["minimum"] or "maximum" in schema and value > schema["maximum"]:
		yield f"{where}: {value} is out of range"
	if isinstance(value, list):
		if len(value) < schema.get("minItems", 0):
			yield f"{where}: too few"
		for number, item in enumerate(value):
			yield from errors(item, schema["items"], f"{where}[{number}]")
	if isinstance(value, dict):
		properties = schema.get("properties", {})
		if len(value) < schema.get("minProperties", 0):
			yield f"{where}: empty"
		for name in schema.get("required", []):
			if name not in value:
				yield f"{where}.{name}: missing"
		for name, item in value.items():
			if name in properties:
				yield from errors(item, properties[name], f"{where}.{name}")
			elif schema.get("additionalProperties") is False:
				yield f"{where}.{name}: unknown"


def all_errors(event):
	found = list(errors(event, SCHEMA))
	if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
		found.append("type_uid is not class_uid * 100 + activity_id")
	return found


def events(path):
	return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_type_has_samples():
	names = [path.stem for path in SAMPLES]
	assert len(names) == 13
	for path in SAMPLES:
		assert {event["metadata"]["event_code"] for event in events(path)} == {path.stem}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_own_schema(path):
	for event in events(path):
		assert all_errors(event) == []


def test_own_schema_refuses():
	"""A schema that lets everything through would pass, too."""
	good = events(TOP / "docs/samples/connect.ndjson")[0]
	for change in (lambda e: e.pop("device"), lambda e: e.update(severity_id=9), lambda e: e.update(made_up=1),
		       lambda e: e["connection_info"].update(direction_id=1), lambda e: e.update(type_uid=400102),
		       lambda e: e["metadata"].update(uid="no uuid"), lambda e: e["dst_endpoint"].update(port=65536),
		       lambda e: e["actor"]["process"].update(pid="4211"), lambda e: e["actor"]["process"].update(exe="/x"),
		       lambda e: e.update(class_uid=4002)):
		event = copy.deepcopy(good)
		change(event)
		assert all_errors(event) != []


def test_ocsf_1_9_0():
	checker = ENGINE / "ocsf_check.py"
	if not checker.exists():
		pytest.skip(f"no {checker}")
	lines = "".join(path.read_text() for path in SAMPLES)
	done = subprocess.run(["python3", checker, ENGINE / "ocsf-1.9.0.json.gz"], input=lines, text=True,
			      capture_output=True)
	assert done.returncode == 0, done.stdout
	assert done.stdout.endswith(" valid, 0 invalid\n")
