"""Avro and Protobuf contracts beside the Python types that read and write them: what belongs together fits."""

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Literal
from uuid import UUID

import pytest
from pydantic import create_model

from blueprints.compatible import compare
from blueprints.contracts.avro import parse_avro
from blueprints.contracts.avro_json import avro_json_schema
from blueprints.contracts.protobuf_json import protobuf_json_schema
from streamlets.contracts import PydanticContract
from tests.formats.proto_files import EVERYTHING, message


def logical(kind, name, **more):
    return {"type": kind, "logicalType": name, **more}


Colour = Enum("Colour", {"A": "A", "B": "B"})
ENUM = {"type": "enum", "name": "C", "symbols": ["A", "B"]}

FIT = [
    ("int", int),
    ("long", int),
    ("double", float),
    ("float", float),
    ("string", str),
    ("boolean", bool),
    ("bytes", bytes),
    (logical("bytes", "decimal", precision=9, scale=2), Decimal),
    (logical("int", "date"), date),
    (logical("int", "time-millis"), time),
    (logical("long", "timestamp-millis"), datetime),
    (logical("long", "local-timestamp-micros"), datetime),
    (logical("string", "uuid"), UUID),
    (["null", "string"], str | None),
    (["null", "int", "string"], int | str | None),
    (ENUM, Colour),
    (ENUM, Literal["A", "B"]),
    ({"type": "array", "items": "int"}, list[int]),
    ({"type": "map", "values": "double"}, dict[str, float]),
    (
        {"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}]},
        create_model("I", a=(int, ...)),
    ),
]


def ports(**fields):
    """Return the JSON Schemas of a model as an inlet's and as an outlet's contract."""
    model = create_model("Model", **fields)
    return [PydanticContract(model, mode).json_schema() for mode in ("validation", "serialization")]


def record(kind):
    return parse_avro({"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]})


@pytest.mark.parametrize(("kind", "hint"), FIT, ids=str)
def test_what_python_calls_the_same_fits_in_both_directions(kind, hint):
    root = record(kind)
    inlet, outlet = ports(x=(hint, ...))
    assert compare(avro_json_schema(root), inlet).fits
    assert compare(outlet, avro_json_schema(root, is_written=True)).fits


@pytest.mark.parametrize(
    ("kind", "hint", "reads", "writes"),
    [
        ("string", int, False, False),
        (["null", "int"], int, False, True),
        ("long", float, True, False),
        (ENUM, str, True, False),
    ],
)
def test_what_does_not_belong_together_does_not_fit(kind, hint, reads, writes):
    root = record(kind)
    inlet, outlet = ports(x=(hint, ...))
    assert compare(avro_json_schema(root), inlet).fits is reads
    assert compare(outlet, avro_json_schema(root, is_written=True)).fits is writes


def test_a_field_with_a_default_is_there_when_it_is_read_and_need_not_be_written():
    root = parse_avro(
        {
            "type": "record",
            "name": "R",
            "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "int", "default": 0}],
        }
    )
    inlet, _ = ports(x=(int, ...), y=(int, ...))
    _, outlet = ports(x=(int, ...))
    assert compare(avro_json_schema(root), inlet).fits
    assert compare(outlet, avro_json_schema(root, is_written=True)).fits


def test_a_protobuf_message_with_everything_fits_itself_and_the_types_that_read_it():
    root = message(EVERYTHING, "Everything")
    read, written = protobuf_json_schema(root), protobuf_json_schema(root, is_written=True)
    assert compare(read, written).misfits == ()
    inlet, _ = ports(
        anInt64=(int, ...),
        aFloat=(float, ...),
        colour=(Literal["NONE", "RED", "BLUE"], ...),
        maybe=(int | None, None),
        at=(datetime | None, None),
        byText=(dict[str, int], ...),
        numbers=(list[int], ...),
    )
    assert compare(read, inlet).fits
