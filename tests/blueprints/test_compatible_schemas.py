"""Compatibility held against validators, on made-up schemas and their neighbours. A failure shows the seed."""

import copy
import json
import time
from random import Random

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from blueprints.compatible import compare
from blueprints.compatible.document import Document
from blueprints.compatible.node import Node, Part
from blueprints.compatible.search import Search
from tests.blueprints import schemas

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
LONG = settings(QUICK, max_examples=3_000)


def pair(seed):
    """Return a writer's and a reader's schema, mostly neighbours, and the randomness that is left."""
    random = Random(seed)
    one = schemas.schema(random)
    other = schemas.neighbour(random, one) if random.random() < 0.8 else schemas.schema(random)
    return (other, one, random) if random.random() < 0.5 else (one, other, random)


def check(seed):
    writer, reader, random = pair(seed)
    try:
        wrote, reads = (
            jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
            for schema in (writer, reader)
        )
    except (jsonschema_rs.ValidationError, ValueError):
        return  # no schemas
    found = compare(writer, reader)
    for misfit in found.misfits:
        assert wrote.is_valid(misfit.witness)
        assert not reads.is_valid(misfit.witness)
    if found.fits:
        for event in schemas.events(random, writer, 20):
            assert not wrote.is_valid(event) or reads.is_valid(event), (writer, reader, event)


@QUICK
@given(SEEDS)
def test_what_fits_is_accepted_and_what_does_not_is_shown(seed):
    check(seed)


@pytest.mark.slow
@LONG
@given(SEEDS)
def test_what_fits_is_accepted_and_what_does_not_is_shown_by_many(seed):
    check(seed)


@settings(QUICK, max_examples=60)
@given(SEEDS)
def test_a_schema_fits_itself(seed):
    schema = schemas.schema(Random(seed))
    assert compare(schema, copy.deepcopy(schema)).fits


@settings(QUICK, max_examples=60)
@given(SEEDS)
def test_a_schema_is_never_said_not_to_fit_itself_in_another_place(seed):
    """Here the comparison cannot see that they are the same at a glance."""
    schema = schemas.schema(Random(seed))
    if isinstance(schema, dict) and "$defs" in schema:
        return
    moved = {"allOf": [{"$ref": "#/$defs/moved"}], "$defs": {"moved": schema}}
    assert compare(schema, moved).misfits == ()
    assert compare(moved, schema).misfits == ()


@settings(QUICK, max_examples=100)
@given(SEEDS)
def test_the_search_and_a_validator_agree_on_what_a_schema_allows(seed):
    random = Random(seed)
    schema = schemas.schema(random)
    validator, search = jsonschema_rs.validator_for(schema, validate_formats=True), Search()
    for negated in (False, True):
        node = Node([Part(Document(schema), schema, negated=negated)])
        answer = search.find(node)
        assert not answer.is_found or validator.is_valid(answer.value) != negated
        for event in schemas.events(random, schema, 6):
            allowed = validator.is_valid(event) != negated
            assert not (allowed and answer.is_empty)
            assert search.allows(node, event) in (allowed, None)


@settings(QUICK, max_examples=40)
@given(SEEDS)
def test_a_witness_is_one_for_a_second_validator_too(seed):
    writer, reader, _ = pair(seed)
    if "format" in json.dumps([writer, reader]):
        return  # it checks fewer formats
    for misfit in compare(writer, reader).misfits:
        assert Draft202012Validator(writer).is_valid(misfit.witness)
        assert not Draft202012Validator(reader).is_valid(misfit.witness)


def _chain(depth, word):
    schema = {"type": "integer"}
    for _ in range(depth):
        schema = {word: [schema, schema]}
    return schema


def _nested(depth):
    schema = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def _doubling(count):
    """Definitions each of which names the next one twice."""
    made = {
        f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(count)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**made, f"d{count}": {"type": "integer"}}}


def _wide(count, tag):
    fields = {f"f{i}": {"enum": [f"{tag}{i}", "x"]} for i in range(count)}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _twice(count, leaf):
    """Models each of which holds the next one in two fields: an event of them is larger than any memory."""
    model = {"$ref": f"#/$defs/d{count}"}
    made = {
        f"d{i}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/d{i - 1}"} for name in "ab"},
            "required": ["a", "b"],
        }
        for i in range(1, count + 1)
    }
    return {**model, "$defs": {**made, "d0": leaf}}


HOSTILE = {
    "an event larger than any memory": (_twice(40, {"type": "number"}), _twice(40, {"type": "integer"})),
    "alternatives of alternatives": (_chain(12, "anyOf"), {"type": "string"}),
    "all of all": (_chain(10, "allOf"), _chain(10, "oneOf")),
    "references that double": (_doubling(24), {"type": "number"}),
    "references that double, read": ({"type": "string"}, _doubling(24)),
    "nested deeper than Python goes": (_nested(900), _nested(901)),
    "a reference to itself": ({"$ref": "#"}, {"type": "string"}),
    "a reference in a circle": (
        {"type": "string"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    ),
    "not itself": ({"type": "string"}, {"not": {"$ref": "#"}}),
    "many alike alternatives": (
        {"anyOf": [_wide(8, f"w{i}") for i in range(8)]},
        {"anyOf": [_wide(8, f"r{i}") for i in range(8)]},
    ),
    "patterns that explode": ({"pattern": "^(a|aa|aaa)*b(a|b){200}$"}, {"pattern": "^(a*)*(b|a){300}c$"}),
    "patterns that repeat": ({"pattern": "a{1,99999}"}, {"pattern": "(((a{99}){99}){99}){99}"}),
    "lists as long as can be": (
        {"type": "array", "minItems": 10**9},
        {"type": "array", "items": {"type": "null"}},
    ),
    "text as long as can be": (
        {"type": "string", "minLength": 10**12},
        {"type": "string", "maxLength": 10**11},
    ),
    "numbers beyond all": ({"type": "number", "minimum": 1e308}, {"type": "number", "maximum": 1e307}),
    "a great enum": ({"enum": list(range(5_000))}, {"enum": list(range(1, 5_001))}),
    "malformed keywords": ({"type": 3, "properties": [], "minimum": "a"}, {"required": "a", "items": 7}),
    "no schema at all": (7, "x"),
    "numbers that are none": ({"maximum": float("inf")}, {"multipleOf": 0}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_schema_made_to_hang_is_answered_in_time(name):
    writer, reader = HOSTILE[name]
    began = time.process_time()
    found = compare(writer, reader)
    assert time.process_time() - began < 5
    assert not found.fits or name == "not itself"
