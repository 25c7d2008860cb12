import json

import jsonschema_rs
import pytest
from google.protobuf import json_format, message_factory
from hypothesis import strategies as st

from blueprints.contracts.protobuf_json import protobuf_json_schema
from streamlets.formats.format import Misfit
from streamlets.formats.protobuf import ProtobufFormat
from tests.formats.avro_data import FINITE, MOMENTS, TEXTS, cut
from tests.formats.examples import EXAMPLES, check
from tests.formats.proto_files import EVERYTHING, HEAD, compiled, message

EVERY = ProtobufFormat(compiled(EVERYTHING), "Everything")
DESCRIPTOR = message(EVERYTHING, "Everything")
CLASS = message_factory.GetMessageClass(DESCRIPTOR)
READ = jsonschema_rs.validator_for(protobuf_json_schema(DESCRIPTOR), validate_formats=True)
WRITTEN = jsonschema_rs.validator_for(
    protobuf_json_schema(DESCRIPTOR, is_written=True), validate_formats=True
)


def duration(ms):
    """Return milliseconds as Protobuf writes a duration."""
    text = f"{abs(ms) // 1000}.{abs(ms) % 1000:03}s".replace(".000s", "s")
    return f"-{text}" if ms < 0 else text


I32, I64 = st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 63), (1 << 63) - 1)
U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
F32 = st.floats(-1e6, 1e6, width=32).map(lambda n: float(f"{n:.6g}"))
COLOURS = st.sampled_from(["NONE", "RED", "BLUE"])
BYTES = st.binary(max_size=5).map(lambda raw: json_format.base64.b64encode(raw).decode())
INNER = st.recursive(
    st.fixed_dictionaries({"inSide": I32}),
    lambda inner: st.fixed_dictionaries({"inSide": I32}, optional={"again": inner}),
    max_leaves=3,
)
TIMES = MOMENTS.map(lambda moment: cut(moment, 6) + "Z")
ANY = st.recursive(
    st.none() | st.booleans() | FINITE | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
PLAIN = {
    "aDouble": FINITE, "aFloat": F32, "anInt32": I32, "anInt64": I64, "aUint32": U32, "aUint64": U64, "aSint32": I32,
    "aSint64": I64, "aFixed32": U32, "aFixed64": U64, "aSfixed32": I32, "aSfixed64": I64, "aBool": st.booleans(),
    "aString": TEXTS, "aBytes": BYTES, "colour": COLOURS,
    "numbers": st.lists(I64, max_size=3), "inners": st.lists(INNER, max_size=2), "texts": st.lists(TEXTS, max_size=2),
    "colours": st.lists(COLOURS, max_size=2), "byText": st.dictionaries(TEXTS, I64, max_size=2),
    "byNumber": st.dictionaries(I32.map(str), INNER, max_size=2),
    "byTruth": st.dictionaries(st.sampled_from(["true", "false"]), COLOURS),
    "times": st.lists(TIMES, max_size=2), "anyValues": st.lists(ANY, max_size=2),
}  # fmt: skip
PRESENT = {
    "inner": INNER, "maybe": I64, "maybeText": TEXTS, "at": TIMES,
    "lasts": st.integers(-10_000_000, 10_000_000).map(lambda ms: duration(ms)),
    "extra": st.dictionaries(TEXTS, ANY, max_size=2), "anyValue": ANY, "list": st.lists(ANY, max_size=2),
    "wrapped": I64, "wrappedText": TEXTS, "wrappedBytes": BYTES, "nothing": st.just({}),
}  # fmt: skip


@st.composite
def values(draw):
    """Return the JSON of an event as it is read: what has no presence is there, of the oneof at most one."""
    value = draw(st.fixed_dictionaries(PLAIN, optional=PRESENT))
    choice = draw(st.sampled_from([None, "oneText", "oneNumber", "oneInner"]))
    if choice is not None:
        value[choice] = draw({"oneText": TEXTS, "oneNumber": I64, "oneInner": INNER}[choice])
    return value


def same(one, other):
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def made(text, name=""):
    return ProtobufFormat(compiled(text), name)


def refusal(form, value):
    with pytest.raises(Misfit) as caught:
        form.encode(value)
    return str(caught.value)


@EXAMPLES
def test_what_is_written_is_read_again_and_keeps_the_json_schema(n):
    def holds(value):
        seen = json.loads(EVERY.decode(EVERY.encode(value)))
        assert same(numbers(seen), numbers(value))
        READ.validate(seen)
        WRITTEN.validate(value)

    check(n, holds, values())


@EXAMPLES
def test_the_library_gives_the_same_bytes_for_the_json_and_the_same_json_for_the_bytes(n):
    def holds(value):
        library = json_format.ParseDict(value, CLASS())
        raw = EVERY.encode(value)
        assert raw == library.SerializeToString(deterministic=True)
        theirs = json_format.MessageToDict(CLASS.FromString(raw), always_print_fields_with_no_presence=True)
        assert same(texts(theirs), texts(json.loads(EVERY.decode(raw))))

    check(n, holds, values())


@EXAMPLES
def test_bytes_of_anything_are_read_or_refused_and_what_is_read_keeps_the_json_schema(n):
    def holds(raw):
        try:
            seen = json.loads(EVERY.decode(raw))
        except Misfit:
            return
        READ.validate(seen)

    check(n, holds, st.binary(max_size=40))


def numbers(value):
    """Return a JSON value with whole floats as integers: a Value holds its numbers as doubles."""
    if isinstance(value, dict):
        return {name: numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def texts(value):
    """Return a JSON value with its numbers as text: the library writes those of 64 bits so."""
    if isinstance(value, dict):
        return {name: texts(part) for name, part in value.items()}
    if isinstance(value, list):
        return [texts(part) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value) if float(value).is_integer() and abs(value) < 1e15 else value)
    return value


REFUSED = [
    ("int32 x = 1", 1 << 31, "x: an integer beyond what the field holds"),
    ("uint64 x = 1", -1, "x: an integer beyond what the field holds"),
    ("int64 x = 1", "1.5", "x: not an integer"),
    ("int32 x = 1", "1", "x: not an integer"),
    ("int64 x = 1", True, "x: not an integer"),
    ("bool x = 1", 1, "x: neither true nor false"),
    ("string x = 1", 1, "x: not text"),
    ("bytes x = 1", "%", "x: not base64"),
    ("double x = 1", "1", "x: not a number"),
    ("float x = 1", 1e300, "x: a number beyond 32 bits"),
    ("E x = 1", "NEIN", "x: a value that the enum does not have"),
    ("repeated int32 x = 1", [1, "2"], "x.1: not an integer"),
    ("repeated int32 x = 1", 1, "x: not a list"),
    ("M x = 1", [], "x: not an object"),
    ("M x = 1", {"y": 1}, "x.y: is not in the message"),
    ("map<int32, M> x = 1", {"a": {}}, "x.a: not an integer that the key holds"),
    ("map<string, M> x = 1", {"a": 1}, "x.a: not an object"),
]

FIELDS = (
    f"{HEAD} enum E {{ A = 0; }} message M {{}} "
    + "".join(  # one file, because a compiler takes its time
        f"message M{i} {{ {field}; }} " for i, (field, _, _) in enumerate(REFUSED)
    )
)


@pytest.mark.parametrize("row", range(len(REFUSED)), ids=lambda row: REFUSED[row][0])
def test_what_does_not_fit_says_where_and_why_and_no_value(row):
    _, value, reason = REFUSED[row]
    assert refusal(made(FIELDS, f"M{row}"), {"x": value}) == reason


def test_of_a_oneof_no_more_than_one_is_taken():
    form = made(HEAD + "message M { oneof o { int32 a = 1; int32 b = 2; } }")
    assert refusal(form, {"a": 1, "b": 2}) == "b: more than one of the oneof 'o'"
    assert json.loads(form.decode(form.encode({"a": None, "b": 2}))) == {"b": 2}


def test_either_name_of_a_field_is_taken_and_never_both():
    form = made(HEAD + "message M { int32 dep_delay = 1; }")
    assert form.decode(form.encode({"dep_delay": 3})) == b'{"depDelay":3}'
    assert form.decode(form.encode({"depDelay": 3})) == b'{"depDelay":3}'
    assert refusal(form, {"depDelay": 3, "dep_delay": 3}) == "dep_delay: is there by both its names"


def test_numbers_of_64_bits_are_exact_numbers_and_taken_as_text_too():
    form = made(HEAD + "message M { int64 n = 1; }")
    assert form.decode(form.encode({"n": "9223372036854775807"})) == b'{"n":9223372036854775807}'


PROTO2 = 'syntax = "proto2"; message M { required int32 a = 1; optional int32 b = 2 [default = 7]; }'


def test_what_proto2_requires_must_be_there_in_both_directions():
    form = made(PROTO2)
    assert refusal(form, {"b": 1}) == "a: is missing"
    with pytest.raises(Misfit, match="a: is missing"):
        form.decode(b"")
    assert form.decode(form.encode({"a": 0})) == b'{"a":0}'
    assert protobuf_json_schema(message(PROTO2))["required"] == ["a"]


def test_a_file_of_an_edition_is_read_as_others_are():
    text = 'edition = "2023"; message M { int32 a = 1; int32 b = 2 [features.field_presence = IMPLICIT]; }'
    form = made(text)
    assert form.decode(b"") == b'{"b":0}'
    assert form.decode(form.encode({"a": 0})) == b'{"a":0,"b":0}'


def test_a_number_that_no_enum_value_has_is_refused():
    form = made(HEAD + "enum E { A = 0; } message M { E e = 1; }")
    with pytest.raises(Misfit, match="e: a value that the enum does not have"):
        form.decode(b"\x08\x05")


def test_equal_events_are_equal_bytes():
    form = made(HEAD + "message M { map<string, int32> m = 1; }")
    one = {str(n): n for n in range(50)}
    assert form.encode({"m": one}) == form.encode({"m": dict(reversed(one.items()))})


def test_what_is_nested_without_end_is_refused():
    form = made(HEAD + "message M { M m = 1; }")
    deep = {}
    for _ in range(50_000):
        deep = {"m": deep}
    assert refusal(form, deep) == "nested too deeply"
    while deep:
        deep = deep["m"]
