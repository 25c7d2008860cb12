import io
import json
import struct

import fastavro
import jsonschema_rs
import pytest
from avro import io as apache_io
from avro import schema as apache_schema
from hypothesis import strategies as st

from blueprints.contracts.avro import parse_avro
from blueprints.contracts.avro_json import avro_json_schema
from streamlets.formats.avro import AvroFormat
from streamlets.formats.format import Misfit
from tests.formats.avro_data import as_json, rounded, schemas, values
from tests.formats.examples import EXAMPLES, check


@st.composite
def data(draw, logical=True):
    schema = draw(schemas(logical=logical))
    return schema, draw(values(parse_avro(schema)))


def has_zones(schema):
    """Return whether JSON Schema's own word for a time fits all in the schema: it has an offset from UTC."""
    text = json.dumps(schema)
    return "local-" not in text and "time-" not in text


def fastavro_read(schema, raw):
    file = io.BytesIO(raw)
    value = fastavro.schemaless_reader(file, fastavro.parse_schema(schema))
    assert file.tell() == len(raw)
    return value


def record(*fields, name="Reading"):
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name, kind, **more):
    return {"name": name, "type": kind, **more}


def through(schema, value):
    made = AvroFormat(schema)
    return json.loads(made.decode(made.encode(value)))


def refusal(schema, value):
    with pytest.raises(Misfit) as caught:
        AvroFormat(schema).encode(value)
    return str(caught.value)


def unreadable(schema, raw):
    with pytest.raises(Misfit) as caught:
        AvroFormat(schema).decode(raw)
    return str(caught.value)


@EXAMPLES
def test_what_is_written_is_read_again_and_keeps_the_json_schema(n):
    def holds(drawn):
        schema, value = drawn
        made, root = AvroFormat(schema), parse_avro(schema)
        raw = made.encode(value)
        seen = json.loads(made.decode(raw))
        assert json.dumps(seen, sort_keys=True) == json.dumps(value, sort_keys=True)
        for is_written in (False, True):
            validator = jsonschema_rs.validator_for(
                avro_json_schema(root, is_written), validate_formats=has_zones(schema)
            )
            validator.validate(value)

    check(n, holds, data())


@EXAMPLES
def test_fastavro_reads_what_we_write(n):
    def holds(drawn):
        schema, value = drawn
        assert as_json(fastavro_read(schema, AvroFormat(schema).encode(value))) == rounded(value)

    check(n, holds, data())


@EXAMPLES
def test_apaches_own_library_reads_what_we_write(n):
    def holds(drawn):
        schema, value = drawn
        file = io.BytesIO(AvroFormat(schema).encode(value))
        reader = apache_io.DatumReader(apache_schema.parse(json.dumps(schema)))
        assert as_json(reader.read(apache_io.BinaryDecoder(file))) == rounded(value)
        assert file.read() == b""

    check(n, holds, data(logical=False))


@EXAMPLES
def test_we_read_what_fastavro_writes(n):
    def holds(drawn):
        schema, value = drawn
        parsed = fastavro.parse_schema(schema)
        datum = fastavro_read(schema, AvroFormat(schema).encode(value))
        file = io.BytesIO()
        fastavro.schemaless_writer(file, parsed, datum)
        assert rounded(json.loads(AvroFormat(schema).decode(file.getvalue()))) == as_json(datum)

    check(n, holds, data())


@EXAMPLES
def test_bytes_of_anything_are_read_or_refused_and_what_is_read_keeps_the_json_schema(n):
    def holds(schema, raw):
        made = AvroFormat(schema)
        try:
            value = json.loads(made.decode(raw))
        except Misfit:
            return
        read = avro_json_schema(parse_avro(schema))
        jsonschema_rs.validator_for(read, validate_formats=has_zones(schema)).validate(value)

    check(n, holds, schemas(), st.binary(max_size=40))


def test_a_list_that_ends_in_itself_without_end_is_refused_and_kills_nobody():
    schema = record(field("next", ["null", "Reading"]))
    assert "nested too deeply" in unreadable(schema, b"\x02" * 100_000 + b"\x00")
    deep = None
    for _ in range(100_000):
        deep = {"next": deep}
    assert "nested too deeply" in refusal(schema, deep)
    del deep
    assert through(schema, {"next": {"next": None}}) == {"next": {"next": None}}


def test_a_count_beyond_the_data_is_refused_before_it_is_believed():
    many = fastavro_long(1 << 62)
    schema = record(field("xs", {"type": "array", "items": "long"}))
    assert unreadable(schema, many) == "xs: the data end too early"
    assert (
        unreadable(record(field("m", {"type": "map", "values": "null"})), many) == "m: the data end too early"
    )


def fastavro_long(number):
    file = io.BytesIO()
    fastavro.schemaless_writer(file, "long", number)
    return file.getvalue()


def test_a_block_that_says_its_size_is_read_as_others_are():
    # A count below zero, then the block's bytes: what Java's writer of blocks makes.
    raw = fastavro_long(-2) + fastavro_long(2) + fastavro_long(1) + fastavro_long(2) + fastavro_long(0)
    assert AvroFormat({"type": "array", "items": "long"}).decode(raw) == b"[1,2]"


@pytest.mark.parametrize(
    ("schema", "raw", "reason"),
    [
        ("string", b"\x02", "the data end too early"),
        ("string", b"\x01", "a negative length"),
        ("string", b"\x02\xff", "text that is not UTF-8"),
        ("long", b"\x80" * 11, "a number of more than 64 bits"),
        ("int", fastavro_long(1 << 40), "a number of more than 32 bits"),
        ("int", b"\x02\x00", "1 bytes more than the schema has"),
        ("boolean", b"\x02", "neither true nor false"),
        ("double", struct.pack("<d", float("nan")), "not a finite number"),
        ("float", struct.pack("<f", float("inf")), "not a finite number"),
        (["null", "int"], b"\x06", "a branch that the union does not have"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02", "a symbol that the enum does not have"),
        ({"type": "int", "logicalType": "time-millis"}, b"\x01", "a time that no day has"),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            fastavro_long((1 << 63) - 1),
            "a time outside of the years 1 to 9999",
        ),
        (
            {"type": "int", "logicalType": "date"},
            fastavro_long(1 << 30),
            "a date outside of the years 1 to 9999",
        ),
        (
            {"type": "string", "logicalType": "uuid"},
            b"\x02x",
            "no UUID such as 123e4567-e89b-12d3-a456-426614174000",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 2},
            fastavro_long(50) + b"\x7f" * 50,
            "a decimal of more than 2 digits",
        ),
    ],
)
def test_what_cannot_be_read_says_why(schema, raw, reason):
    assert unreadable(schema, raw) == reason


PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED"]}


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("int", 1 << 31, "x: a number of more than 32 bits"),
        ("long", 1 << 63, "x: a number of more than 64 bits"),
        ("long", 1.5, "x: not an integer"),
        ("long", True, "x: not an integer"),
        ("double", "1", "x: not a number"),
        ("double", 10**400, "x: a number beyond 64 bits"),
        ("float", 1e300, "x: a number beyond 32 bits"),
        ("string", None, "x: not text"),
        ("boolean", 1, "x: neither true nor false"),
        ("bytes", "%%", "x: not base64"),
        ("bytes", "QR==", "x: not base64"),
        ({"type": "fixed", "name": "F", "size": 2}, "QUJD", "x: not 2 bytes"),
        (COLOUR, "BLUE", "x: a symbol that the enum does not have"),
        ({"type": "array", "items": "int"}, [1, "2"], "x.1: not an integer"),
        ({"type": "map", "values": "int"}, {"k": None}, "x.k: not an integer"),
        (["null", "int"], "1", "x: not an integer"),
        (["null", "int", COLOUR], "BLUE", "x: none of null or int or enum 'Colour'"),
        (PRICE, "1.234", "x: a decimal with more than 2 decimals"),
        (PRICE, "123.00", "x: a decimal of more than 4 digits"),
        (PRICE, 1.5, "x: not text"),
        ({"type": "int", "logicalType": "date"}, "2013-02-30", "x: a day that no calendar has"),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            "2013-02-01T05:00:00",
            "x: no time with its offset from UTC, such as 2013-04-01T05:30:00Z",
        ),
    ],
)
def test_what_does_not_fit_says_where_and_why_and_no_value(kind, value, reason):
    assert refusal(record(field("x", kind)), {"x": value}) == reason


def test_fields_that_are_missing_or_unknown_are_named():
    schema = record(field("x", "int"), field("at", record(field("y", "int"), name="Place")))
    assert refusal(schema, {"at": {"y": 1}}) == "x: is missing"
    assert refusal(schema, {"x": 1, "at": {"y": 1, "z": 2}}) == "at.z: is not in the schema"
    assert refusal(schema, [1]) == "not an object"


def test_a_field_with_a_default_may_be_left_out():
    schema = record(
        field("n", ["null", "int"], default=None),
        field("raw", "bytes", default="\u00ff"),
        field("day", {"type": "int", "logicalType": "date"}, default=1),
        field("in", record(field("x", "int", default=7), name="Inner"), default={}),
    )
    assert through(schema, {}) == {"n": None, "raw": "/w==", "day": "1970-01-02", "in": {"x": 7}}


def test_a_default_may_hold_the_very_record_that_has_it():
    inner = record(field("a", "Reading", default={"b": None, "n": 2}), name="Inner")
    schema = record(field("b", ["null", inner], default=None), field("n", "int", default=1))
    assert through(schema, {"b": {}}) == {"b": {"a": {"b": None, "n": 2}}, "n": 1}


@pytest.mark.parametrize(
    ("union", "value"),
    [
        (["float", "double"], 0.1),
        (["double", "long"], 1),
        (["double", "long"], 1.0),
        (["bytes", "string"], "abcd"),
        (["bytes", "string"], "no base64!"),
        ([PRICE, "string"], "1.5"),
        ([{"type": "long", "logicalType": "timestamp-millis"}, "string"], "2013-04-01T05:00:00+02:00"),
        (
            [
                record(field("x", "int"), field("y", "int", default=0), name="A"),
                record(field("x", "int"), name="B"),
            ],
            {"x": 1},
        ),
    ],
)
def test_of_a_union_that_branch_is_taken_which_gives_the_value_back(union, value):
    assert json.dumps(through(union, value)) == json.dumps(value)


def test_a_float_has_no_digits_that_nobody_wrote():
    assert AvroFormat("float").decode(struct.pack("<f", 0.1)) == b"0.1"
    assert AvroFormat("float").decode(struct.pack("<f", 16777216.0)) == b"16777216.0"
    largest = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
    assert struct.pack("<f", json.loads(AvroFormat("float").decode(b"\xff\xff\x7f\x7f"))) == struct.pack(
        "<f", largest
    )


def test_times_are_written_in_utc_and_what_the_type_has_no_room_for_is_cut_off():
    schema = {"type": "long", "logicalType": "timestamp-millis"}
    assert through(schema, "2013-04-01T07:00:00.123456+02:00") == "2013-04-01T05:00:00.123Z"
    assert through(schema, "1969-12-31T23:59:59.9Z") == "1969-12-31T23:59:59.900Z"
    nanos = {"type": "long", "logicalType": "timestamp-nanos"}
    assert through(nanos, "2013-04-01T05:00:00.123456789Z") == "2013-04-01T05:00:00.123456789Z"
