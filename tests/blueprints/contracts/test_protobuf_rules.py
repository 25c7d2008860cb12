"""Protobuf's rules for a changed message: our verdict beside what the library really reads."""

import itertools

import pytest
from google.protobuf import descriptor_pb2, message_factory
from hypothesis import strategies as st

from blueprints.contracts.protobuf import find_message
from blueprints.contracts.protobuf_rules import protobuf_misfits
from tests.formats.examples import EXAMPLES, check
from tests.formats.proto_files import HEAD, message

INTEGERS = {
    "int32": (5, -(1 << 31), (1 << 31) - 1), "int64": (3, -(1 << 63), (1 << 63) - 1),
    "uint32": (13, 0, (1 << 32) - 1), "uint64": (4, 0, (1 << 64) - 1),
    "sint32": (17, -(1 << 31), (1 << 31) - 1), "sint64": (18, -(1 << 63), (1 << 63) - 1),
    "fixed32": (7, 0, (1 << 32) - 1), "fixed64": (6, 0, (1 << 64) - 1),
    "sfixed32": (15, -(1 << 31), (1 << 31) - 1), "sfixed64": (16, -(1 << 63), (1 << 63) - 1),
}  # fmt: skip
OTHERS = {"double": 1, "float": 2, "bool": 8, "string": 9, "bytes": 12, "enum": 14, "message": 11}
EDGES = {
    **{name: [low, high, 1, high // 2 + 1] for name, (_, low, high) in INTEGERS.items()},
    "double": [1.5, -1e300], "float": [1.5], "bool": [True], "string": ["é"], "bytes": [b"\xff\x80", b"a"],
    "enum": [1, 2],
}  # fmt: skip
NUMBERS = (1, 2, 3)
BOTH = "int32 a = 1; int32 b = 2;"
NARROWED = "is int64, but is read as int32: it would be another number"


@st.composite
def messages(draw):
    """Return {number: (type, is it repeated)} of a message."""
    kinds = [*INTEGERS, *OTHERS]
    return {
        number: (draw(st.sampled_from(kinds)), draw(st.booleans()))
        for number in draw(st.sets(st.sampled_from(NUMBERS), min_size=1))
    }


@st.composite
def pairs(draw):
    old = draw(messages())
    new = dict(old)
    for number, field in draw(messages()).items():
        if draw(st.booleans()):
            new[number] = (field[0], old.get(number, field)[1] if draw(st.booleans()) else field[1])
    return old, new


def built(fields, symbols=2):
    """Return the descriptor of M with these fields; E has the values 0 to `symbols`, In some bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="p", syntax="proto3")
    enum = file.enum_type.add(name="E")
    for number in range(symbols + 1):
        enum.value.add(name=f"V{number}", number=number)
    file.message_type.add(name="In").field.add(name="t", number=1, type=12, label=1)
    made = file.message_type.add(name="M")
    for number, (kind, is_repeated) in fields.items():
        field = made.field.add(name=f"f{number}", number=number, label=3 if is_repeated else 1)
        field.type = INTEGERS[kind][0] if kind in INTEGERS else OTHERS[kind]
        if kind in ("enum", "message"):
            field.type_name = ".p.E" if kind == "enum" else ".p.In"
    return find_message(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString(), "M")


def written(descriptor, fields):
    """Yield messages that show what their fields may hold, one field at its edges after the other."""
    for number, (kind, is_repeated) in fields.items():
        for value in EDGES.get(kind, [None]):
            made = message_factory.GetMessageClass(descriptor)()
            field = getattr(made, f"f{number}")
            if kind == "message":
                for one in [field.add(), field.add()] if is_repeated else [field]:
                    one.t = b"\xff"
            elif is_repeated:
                field.extend([value, value] if kind == "bool" else [value, EDGES[kind][0]])
            else:
                setattr(made, f"f{number}", value)
            yield number, made


def is_read(made, number, old, new, descriptor):
    """Return whether the field is, under the new message, the value that was written."""
    if number not in new:
        return True
    try:
        read = message_factory.GetMessageClass(descriptor).FromString(made.SerializeToString())
    except Exception:
        return False
    before, after = getattr(made, f"f{number}"), getattr(read, f"f{number}")
    if old[number][1] != new[number][1]:
        if old[number][1]:
            return False  # a list of which one is left
        after = after[0] if len(after) == 1 else type(before)()  # a zero without presence is not written
    return plain(before, old[number][1]) == plain(after, old[number][1])


def plain(value, is_list):
    if is_list:
        return [plain(one, False) for one in value]
    if hasattr(value, "SerializeToString"):
        return value.SerializeToString()
    return value.encode() if isinstance(value, str) else value


@EXAMPLES
def test_the_verdict_is_what_the_library_really_reads(n):
    def holds(pair):
        old, new = pair
        writer, reader = built(old), built(new, symbols=1 if 3 in new and new[3][0] == "enum" else 2)
        strange = {one.path[0] for one in protobuf_misfits(writer, reader)}
        for number in old:
            name = f"f{number}"
            seen = [is_read(made, n, old, new, reader) for n, made in written(writer, old) if n == number]
            if new.get(number, ("",))[0] == "enum":
                continue  # a value that an open enum does not have is kept as a number: the table below has these
            assert all(seen) == (name not in strange), (old[number], new.get(number))

    check(n, holds, pairs())


TABLE = [
    ("int32 a = 1;", "int64 a = 1;", None),
    ("int64 a = 1;", "int32 a = 1;", "a is int64, but is read as int32: it would be another number"),
    ("int32 a = 1;", "sint32 a = 1;", "a is int32, but is read as sint32: it would be another number"),
    ("int32 a = 1;", "fixed32 a = 1;", "a is int32, but is read as fixed32: it is not read at all"),
    ("string a = 1;", "bytes a = 1;", None),
    ("bytes a = 1;", "string a = 1;", "a is bytes, but is read as string: not all of it is such"),
    ("In a = 1;", "bytes a = 1;", None),
    ("E a = 1;", "int32 a = 1;", None),
    (
        "int32 a = 1;",
        "E a = 1;",
        "a is int32, but is read as enum: it may be a value that the enum does not have",
    ),
    ("Big a = 1;", "E a = 1;", "a may be TWO, which the enum no longer has"),
    ("E a = 1;", "Big a = 1;", None),
    ("int32 a = 1;", "repeated int32 a = 1;", None),
    (
        "repeated int32 a = 1;",
        "int32 a = 1;",
        "a is a list, but one is wanted: all but one would be lost",
    ),
    ("int32 a = 1;", "int32 b = 1;", None),
    ("int32 a = 1;", "", None),
    ("", "int32 a = 1;", None),
    ("int32 a = 1;", "reserved 1;", None),
    ("reserved 1;", "int32 a = 1;", "a has the number 1, which was reserved: an older field had it"),
    ("int32 a = 1;", "int32 a = 2;", "a had the number 1 and has 2: what was written is not read"),
    (
        "int32 a = 1; int32 b = 2;",
        f"oneof o {{ {BOTH} }}",
        "o joins 'a' and 'b', which could both be set: only one would be kept",
    ),
    ("oneof o { int32 a = 1; int32 b = 2; }", "int32 a = 1; int32 b = 2;", None),
    ("int32 a = 1;", "oneof o { int32 a = 1; int32 b = 2; }", None),
    (
        "oneof o { int32 a = 1; int32 b = 2; }",
        "oneof other { int32 a = 1; int32 b = 2; int32 c = 3; }",
        None,
    ),
    ("map<string, int32> a = 1;", "map<string, int64> a = 1;", None),
    ("map<string, int64> a = 1;", "map<string, int32> a = 1;", f"a.value {NARROWED}"),
    ("In a = 1;", "Out a = 1;", "a.t is string, but is read as int32: it is not read at all"),
    ("optional int32 a = 1;", "int32 a = 1;", None),
]

REST = "enum E { ZERO = 0; ONE = 1; } enum Big { B0 = 0; B1 = 1; TWO = 2; } message In { string t = 1; } "
REST += "message Out { int32 t = 1; }"
GUIDE = f"{HEAD}{REST}" + "".join(  # one file, because a compiler takes its time
    f"message Old{i} {{ {old} }} message New{i} {{ {new} }}" for i, (old, new, _) in enumerate(TABLE)
)


@pytest.mark.parametrize("row", range(len(TABLE)), ids=lambda row: " ".join(TABLE[row][:2]))
def test_the_table_of_the_language_guide(row):
    problem = TABLE[row][2]
    found = protobuf_misfits(message(GUIDE, f"Old{row}"), message(GUIDE, f"New{row}"))
    assert [f"{one.field} {one.reason}" for one in found] == ([problem] if problem else [])


def test_what_is_required_must_have_been_required():
    kinds = ("", "optional int32 a = 1;", "required int32 a = 1;")
    verdicts = {}
    for old, new in itertools.product(kinds, kinds):
        pair = [message(f'syntax = "proto2"; message M {{ {fields} }}') for fields in (old, new)]
        verdicts[kinds.index(old), kinds.index(new)] = [one.reason for one in protobuf_misfits(*pair)]
    assert {pair for pair, found in verdicts.items() if found} == {(0, 2), (1, 2)}
    assert verdicts[0, 2] == ["is required, but may be absent"]


def test_messages_that_hold_themselves_are_compared_once():
    one = message(HEAD + "message M { M m = 1; int32 a = 2; }")
    other = message(HEAD + "message M { M m = 1; string a = 2; }")
    assert [found.field for found in protobuf_misfits(one, other)] == ["a"]
