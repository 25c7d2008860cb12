"""Avro schemas: what is one, and what is told of one that is none."""

import warnings

import fastavro
import jsonschema_rs
import pytest
from avro import schema as apache_schema

from blueprints.contracts.avro import SchemaError, parse_avro
from blueprints.contracts.avro_json import avro_json_schema
from tests.formats.avro_data import schemas
from tests.formats.examples import EXAMPLES, check


def record(*fields, name="R"):
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name, kind, **more):
    return {"name": name, "type": kind, **more}


@EXAMPLES
def test_what_other_libraries_accept_is_accepted_and_is_a_json_schema(n):
    def holds(schema):
        fastavro.parse_schema(schema)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logical types that it does not know
            apache_schema.make_avsc_object(schema)
        root = parse_avro(schema)
        for is_written in (False, True):
            jsonschema_rs.validator_for(avro_json_schema(root, is_written), validate_formats=True)

    check(n, holds, schemas())


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "the schema: null is no type: a name, a list or an object is"),
        ({}, "the schema: 'type' is missing"),
        ("strng", "the schema: there is no type 'strng'; did you mean 'string'?"),
        ("record", 'the schema: there is no type \'record\'; write it as an object: {"type": "record", …}'),
        (record(field("x", "Other")), "record 'R', field 'x': there is no type 'Other' defined before it"),
        (record({"name": "x"}), "record 'R', field 'x': 'type' is missing"),
        (record(field("a-b", "int")), "record 'R': field number 1 has no name that Avro allows"),
        (
            record(field("x", "int"), field("x", "int")),
            "record 'R', field 'x': there are two fields of this name",
        ),
        (record(field("x", "int", default="1")), "record 'R', field 'x': its default is no int"),
        (
            record(field("x", ["null", "int"], default="1")),
            "record 'R', field 'x': its default is none of null or int",
        ),
        (
            record(field("x", {"type": "array", "items": "int"}, default=[1, None])),
            "record 'R', field 'x': its default is no int",
        ),
        (
            record(field("x", record(field("y", "int"), name="I"), default={})),
            "record 'R', field 'x': its default lacks the field 'y'",
        ),
        ({"type": "record", "name": "R"}, "record 'R': 'fields' must be a list"),
        ({"type": "record", "fields": []}, "the schema: record without a name"),
        (
            {"type": "record", "name": "my-r", "fields": []},
            "the schema: record whose name is no Avro name (letters, digits and _)",
        ),
        ({"type": "array"}, "the schema: array without 'items'"),
        ([], "the schema: a union without types"),
        (["int", ["null"]], "the schema: a union in a union"),
        (["int", {"type": "int", "logicalType": "date"}], "the schema: 'int' is twice in a union"),
        ({"type": "enum", "name": "E", "symbols": ["A", "A"]}, "enum 'E': a symbol is there twice"),
        (
            {"type": "enum", "name": "E", "symbols": ["A"], "default": "B"},
            "enum 'E': its default is none of its symbols",
        ),
        ({"type": "fixed", "name": "F", "size": -1}, "fixed 'F': 'size' must be a number of bytes"),
        (
            {"type": "bytes", "logicalType": "decimal"},
            "the schema: a decimal needs a 'precision' from 1 to 1000",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3},
            "the schema: the 'scale' of a decimal is from 0 to its precision",
        ),
        (
            {"type": "fixed", "name": "F", "size": 1, "logicalType": "decimal", "precision": 3},
            "fixed 'F': 3 digits do not fit in 1 bytes",
        ),
        (record(field("x", "R")), "record 'R' contains itself without an end: make it nullable"),
        ({"type": "array", "items": "null"}, "an array of null, which takes no bytes, is not supported"),
        (
            record(field("x", record(name="int"))),
            "record 'R', field 'x': 'int' is Avro's own name and cannot name a record",
        ),
        (record(field("x", record()), name="R"), "record 'R', field 'x': 'R' is defined twice"),
    ],
)
def test_a_schema_that_is_none_says_where_and_what(schema, problem):
    with pytest.raises(SchemaError) as caught:
        parse_avro(schema)
    assert str(caught.value) == problem


def test_a_schema_as_deep_as_nobody_writes_one_is_refused():
    schema = "int"
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SchemaError, match="nested deeper than 100 levels"):
        parse_avro(schema)


def test_names_are_found_through_namespaces():
    inner = {"type": "enum", "name": "Colour", "symbols": ["RED"]}
    schema = {
        "type": "record",
        "name": "Car",
        "namespace": "org.cars",
        "fields": [field("a", inner), field("b", "Colour"), field("c", "org.cars.Colour")],
    }
    root = parse_avro(schema)
    assert [one.type.name for one in root.fields] == ["org.cars.Colour"] * 3
    assert avro_json_schema(root)["properties"]["c"] == {"$ref": "#/$defs/Colour"}


def test_a_logical_type_that_does_not_belong_there_is_its_plain_type():
    assert parse_avro({"type": "string", "logicalType": "timestamp-millis"}).logical == ""
    assert parse_avro({"type": "string", "logicalType": "my-own"}).logical == ""


def test_what_is_read_has_every_field_and_what_is_written_may_lack_those_with_a_default():
    root = parse_avro(record(field("x", "int"), field("y", ["null", "string"], default=None, doc="why")))
    assert avro_json_schema(root) == {
        "title": "R",
        "type": "object",
        "properties": {
            "x": {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1},
            "y": {"anyOf": [{"type": "null"}, {"type": "string"}], "description": "why", "default": None},
        },
        "additionalProperties": False,
        "required": ["x", "y"],
    }
    written = avro_json_schema(root, is_written=True)
    assert written["required"] == ["x"]
    assert written["properties"]["x"] == {"type": "integer"}


def test_a_record_that_holds_itself_is_a_definition():
    root = parse_avro(record(field("next", ["null", "R"])))
    schema = avro_json_schema(root)
    assert schema["$ref"] == "#/$defs/R"
    jsonschema_rs.validator_for(schema).validate({"next": {"next": None}})
