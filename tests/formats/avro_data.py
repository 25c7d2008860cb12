"""Avro schemas and data of them, drawn at random."""

import base64
import json
import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import fastavro
from hypothesis import reject
from hypothesis import strategies as st

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
LOGICAL = [
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "string", "logicalType": "uuid"},
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
]
NAMES = st.sampled_from(["a", "b", "c", "d"])
SYMBOLS = st.lists(st.sampled_from(["RED", "BLUE", "GREEN", "PINK"]), min_size=1, max_size=3, unique=True)


@st.composite
def schemas(draw, logical=True, max_depth=3, names=None):
    """Return the JSON of a schema; a named type is met again now and then, inside itself too."""
    known: dict[str, object] = {}
    number = [0]

    def fresh(prefix):
        if names is not None:
            free = [name for name in names if name not in known]
            if free:
                return draw(st.sampled_from(free))
        number[0] += 1
        return f"{prefix}{number[0]}"

    def one(depth, is_open=(), in_union=False):
        kinds = ["primitive"] * 3 + (["logical"] if logical else [])
        kinds += ["enum", "fixed"]
        if depth < max_depth:
            kinds += ["record", "record", "array", "map"] + ([] if in_union else ["union", "nullable"])
        closed = [name for name in known if name not in is_open]
        if closed:
            kinds.append("again")
        if is_open and in_union:
            kinds.append("self")
        kind = draw(st.sampled_from(kinds))
        if kind == "primitive":
            return draw(st.sampled_from(PRIMITIVES))
        if kind == "logical":
            return draw(st.sampled_from(LOGICAL))
        if kind == "again":
            return draw(st.sampled_from(sorted(closed)))
        if kind == "self":
            return draw(st.sampled_from(sorted(is_open)))
        if kind == "array":
            items = one(depth + 1, is_open)
            return {"type": "array", "items": "int" if items == "null" or is_empty(items) else items}
        if kind == "map":
            return {"type": "map", "values": one(depth + 1, is_open)}
        if kind == "nullable":
            inner = one(depth + 1, is_open, in_union=True)
            return ["null", inner] if label(inner) != "null" else ["null"]
        if kind == "union":
            found = {}
            for _ in range(draw(st.integers(1, 3))):
                branch = one(depth + 1, is_open, in_union=True)
                found.setdefault(label(branch), branch)
            # A record inside of itself needs a way out.
            return list({"null": "null", **found}.values())
        if kind == "enum":
            name = fresh("E")
            known[name] = made = {"type": "enum", "name": name, "symbols": draw(SYMBOLS)}
            if draw(st.booleans()):
                made["default"] = made["symbols"][0]
            return made
        if kind == "fixed":
            name = fresh("F")
            known[name] = made = {"type": "fixed", "name": name, "size": draw(st.integers(1, 4))}
            return made
        name = fresh("R")
        known[name] = made = {"type": "record", "name": name}
        made["fields"] = [
            with_default({"name": field, "type": one(depth + 1, (*is_open, name))})
            for field in draw(st.lists(NAMES, max_size=3, unique=True))
        ]
        return made

    def with_default(field):
        defaults = {
            "null": None,
            "int": 3,
            "long": 4,
            "string": "s",
            "boolean": True,
            "double": 1.5,
            "bytes": "ÿ",
        }
        kind = field["type"][0] if isinstance(field["type"], list) else field["type"]
        if isinstance(kind, str) and kind in defaults and draw(st.booleans()):
            field["default"] = defaults[kind]
        return field

    def is_empty(schema):
        found = known.get(schema, schema) if isinstance(schema, str) else schema
        if not isinstance(found, dict) or found.get("type") != "record":
            return found == "null"
        return all(is_empty(field["type"]) for field in found.get("fields", ()))

    schema = one(0)
    try:
        fastavro.parse_schema(schema)
    except fastavro.schema.UnknownType:
        reject()  # a union dropped the branch that held a type's definition
    return schema


def label(schema):
    if isinstance(schema, str):
        return schema
    return schema.get("name", schema["type"])


def float32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


def values(kind, depth=0):
    """Return a strategy of the JSON values of a type, as they are read."""
    word, logical = kind.kind, kind.logical
    if logical == "decimal":
        return st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: f"{Decimal(n).scaleb(-2):.2f}")
    if logical == "uuid":
        return st.uuids().map(str)
    if logical == "date":
        return st.dates().map(str)
    if logical:
        digits = 3 if logical.endswith("millis") else 6
        zone = "Z" if logical.startswith("timestamp") else ""
        start = 11 if logical.startswith("time-") else 0
        return MOMENTS.map(lambda moment: cut(moment, digits)[start:] + zone)
    if word == "null":
        return st.none()
    if word == "boolean":
        return st.booleans()
    if word in ("int", "long"):
        bits = 31 if word == "int" else 63
        return st.integers(-(1 << bits), (1 << bits) - 1)
    if word == "double":
        return FINITE
    if word == "float":
        return st.floats(-1e6, 1e6, width=32).map(lambda n: float(f"{n:.6g}")).filter(lambda n: n == n)
    if word == "string":
        return TEXTS
    if word == "bytes":
        return st.binary(max_size=5).map(lambda raw: base64.b64encode(raw).decode())
    if word == "fixed":
        return st.binary(min_size=kind.size, max_size=kind.size).map(lambda r: base64.b64encode(r).decode())
    if word == "enum":
        return st.sampled_from(kind.symbols)
    deferred = st.deferred
    if word == "array":
        return st.lists(deferred(lambda: values(kind.items, depth + 1)), max_size=2)
    if word == "map":
        return st.dictionaries(TEXTS, deferred(lambda: values(kind.items, depth + 1)), max_size=2)
    if word == "union":
        branches = [b for b in kind.branches if b.kind == "null"] if depth > 6 else []
        return st.one_of([values(b, depth + 1) for b in branches or kind.branches])
    return st.fixed_dictionaries({f.name: values(f.type, depth + 1) for f in kind.fields})


def cut(moment, digits):
    text = moment.isoformat(timespec="milliseconds" if digits == 3 else "microseconds")
    whole, _, fraction = text.partition(".")
    fraction = fraction[:3] if fraction[3:] in ("", "000") else fraction
    return whole if not fraction.strip("0") else f"{whole}.{fraction}"


def as_json(datum):
    """Return what fastavro has read as our JSON, by its Python type alone."""
    if isinstance(datum, dict):
        return {name: as_json(part) for name, part in datum.items()}
    if isinstance(datum, list):
        return [as_json(part) for part in datum]
    if isinstance(datum, bytes):
        return base64.b64encode(datum).decode()
    if isinstance(datum, Decimal):
        return f"{datum:f}"
    if isinstance(datum, UUID):
        return str(datum)
    if isinstance(datum, datetime):
        text = cut(datum.replace(tzinfo=None), 6)
        return text + "Z" if datum.tzinfo == UTC else text
    if isinstance(datum, time):
        return cut(datetime.combine(date(2000, 1, 1), datum), 6)[11:]
    if isinstance(datum, date):
        return str(datum)
    if isinstance(datum, float):
        return float32(datum) if abs(datum) < 3e38 else datum
    return datum


def rounded(value):
    """Return a JSON value with its numbers rounded to 32 bits, as `as_json` has them."""
    return as_json(json.loads(json.dumps(value)))
