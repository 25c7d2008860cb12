"""Avro's resolution of writer and reader: our verdict beside Apache's, and what fastavro really reads.

Where the libraries are wrong: Apache's `DatumReader` for Python knows neither aliases nor the way from a union to one
of its branches, nor, inside arrays and maps, the way from a type into a union, though its `compatibility` says that
they are read. So it is asked for its verdict, and fastavro for the reading.
"""

import contextlib
import io
import warnings

import fastavro
import pytest
from avro import compatibility
from avro import schema as apache_schema
from hypothesis import strategies as st

from blueprints.contracts.avro import parse_avro
from blueprints.contracts.avro_rules import avro_misfits
from blueprints.contracts.changes import contract_misfits
from blueprints.plan import ContractPlan
from streamlets.formats.avro import AvroFormat
from tests.formats.avro_data import PRIMITIVES, schemas, values
from tests.formats.examples import EXAMPLES, check
from tests.formats.proto_files import HEAD, compiled

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}


def record(*fields):
    return {"type": "record", "name": "R", "fields": list(fields)}


def field(name, kind, **more):
    return {"name": name, "type": kind, **more}


def enum(*symbols):
    return {"type": "enum", "name": "E", "symbols": list(symbols)}


@st.composite
def pairs(draw):
    """Return two schemas, the second one changed from the first here and there."""
    writer = draw(schemas(logical=False))

    def changed(schema):
        if draw(st.integers(0, 5)) == 0:
            return draw(st.sampled_from([*PRIMITIVES, ["null", "string"]]))
        if isinstance(schema, list):
            kept = [branch for branch in schema if draw(st.integers(0, 4))] or schema
            return [changed(b) if not isinstance(b, str) else b for b in kept]
        if not isinstance(schema, dict):
            return (
                ["null", schema]
                if schema in PRIMITIVES and schema != "null" and draw(st.integers(0, 7)) == 0
                else schema
            )
        made = dict(schema)
        if "fields" in made:
            made["fields"] = [
                {**field, "type": changed(field["type"])}
                for field in made["fields"]
                if draw(st.integers(0, 4))
            ]
            if draw(st.integers(0, 3)) == 0:
                made["fields"].append(
                    {"name": "z", "type": "int", **({"default": 1} if draw(st.booleans()) else {})}
                )
            for field in made["fields"]:
                field.pop("default", None)
                if field["type"] in ("int", "long", "double") and draw(st.booleans()):
                    field["default"] = 0
                if draw(st.integers(0, 9)) == 0:
                    field["aliases"], field["name"] = [field["name"]], field["name"] * 2
        for inner in ("items", "values"):
            if inner in made:
                made[inner] = changed(made[inner])
        if "symbols" in made and draw(st.integers(0, 2)) == 0:
            made["symbols"] = [*made["symbols"][1:], "NEW"]
            made.pop("default", None)
            if draw(st.booleans()):
                made["default"] = "NEW"
        if "size" in made and draw(st.integers(0, 3)) == 0:
            made["size"] += 1
        if "name" in made and draw(st.integers(0, 9)) == 0 and made["type"] != "record":
            made["aliases"], made["name"] = [made["name"]], "Renamed" + made["name"]
        return made

    reader = changed(writer)
    try:
        fastavro.parse_schema(reader)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            apache_schema.make_avsc_object(reader)
        parse_avro(reader)
    except Exception:
        reader = writer  # a change took a name away, or made a union twice the same
    return writer, reader


def apache_verdict(writer, reader):
    """Return whether Apache's library says that the reader can read what the writer writes."""
    found = compatibility.ReaderWriterCompatibilityChecker().get_compatibility(
        apache_schema.make_avsc_object(reader), apache_schema.make_avsc_object(writer)
    )
    return found.compatibility is compatibility.SchemaCompatibilityType.compatible


@EXAMPLES
def test_the_verdict_is_that_of_apaches_own_library(n):
    def holds(drawn):
        writer, reader = drawn
        ours = avro_misfits(parse_avro(writer), parse_avro(reader))
        assert (not ours) == apache_verdict(writer, reader), (writer, reader, ours)

    check(n, holds, pairs())


@EXAMPLES
def test_what_fits_is_really_read_by_fastavro(n):
    def holds(drawn, data):
        writer, reader = drawn
        if avro_misfits(parse_avro(writer), parse_avro(reader)):
            return
        raw = AvroFormat(writer).encode(data.draw(values(parse_avro(writer))))
        with contextlib.suppress(UnicodeDecodeError):  # bytes resolve to text, whatever they hold
            fastavro.schemaless_reader(
                io.BytesIO(raw), fastavro.parse_schema(writer), fastavro.parse_schema(reader)
            )

    check(n, holds, pairs(), st.data())


@pytest.mark.parametrize(
    ("writer", "reader", "problem"),
    [
        ("int", "double", None),
        ("double", "float", "the data may be a double, but a float is wanted"),
        (["null", "int"], "int", "the data may be null, but an int is wanted"),
        ("int", ["null", "string"], "the data may be an int, but null or string is wanted"),
        (
            record(field("a", "int")),
            record(field("a", "int"), field("b", "int")),
            "field 'b' is not written, and has no default",
        ),
        (record(field("a", "int")), record(field("a", "int"), field("b", "int", default=1)), None),
        (record(field("a", "int")), record(field("b", "int", aliases=["a"])), None),
        (
            record(field("a", {"type": "array", "items": "string"})),
            record(field("a", {"type": "array", "items": "int"})),
            "field 'a[]' may be a string, but an int is wanted",
        ),
        (enum("A", "B"), enum("A"), "the data may be B, which the enum no longer has"),
        (enum("A", "B"), {**enum("A"), "default": "A"}, None),
        (
            enum("A"),
            {**enum("A"), "name": "F"},
            "the data is enum 'E', but enum 'F' is wanted: rename it, or give it the alias",
        ),
        (MILLIS, MICROS, "the data is a timestamp-millis, but is read as a timestamp-micros"),
        (MILLIS, "long", None),
        (
            record(field("a", ["null", "R"])),
            record(field("a", ["null", "R"]), field("b", "int")),
            "field 'b' is not written, and has no default",
        ),
    ],
)
def test_the_table_of_the_specification(writer, reader, problem):
    assert list(map(str, avro_misfits(parse_avro(writer), parse_avro(reader)))) == (
        [problem] if problem else []
    )


def plan(schema, kind="avro"):
    return ContractPlan("c", kind, "c", definition=schema)


def test_a_change_that_resolves_still_needs_the_old_schema_to_read_old_events():
    """Events in the log do not say which schema wrote them, so that nobody could resolve."""
    old, new = record(field("a", "int")), record(field("a", "int"), field("b", "int", default=1))
    (found,) = contract_misfits(plan(old), plan(new))
    assert (
        str(found)
        == "the data is laid out differently, and events in the log do not say which schema wrote them"
    )
    same = {**record(field("a", "int", doc="why", default=3)), "aliases": ["Q"]}
    assert contract_misfits(plan(old), plan(same)) == []


def test_what_has_another_format_now_cannot_be_read():
    (found,) = contract_misfits(plan("int"), plan(None, "json-schema"))
    assert str(found) == "the data is json-schema now: what was written as avro cannot be read"


def test_protobuf_contracts_are_held_against_each_other_by_number():
    old, new = (
        ContractPlan(
            "c", "protobuf", "c", definition=compiled(f"{HEAD} message M {{ {text} }}"), message="flights.M"
        )
        for text in ("int32 a = 1;", "string a = 1;")
    )
    assert contract_misfits(old, old) == []
    (found,) = contract_misfits(old, new)
    assert str(found) == "field 'a' is int32, but is read as string: it is not read at all"
