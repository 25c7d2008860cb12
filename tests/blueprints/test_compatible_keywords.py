"""What each keyword of JSON Schema says of an edge, and in which words."""

import pytest

from blueprints.compatible import compare


def told(writer, reader):
    """Return what is found in the order of the fields, what is undecided after a question mark."""
    found = compare(writer, reader)
    return [f"{misfit.field} {misfit.reason} {misfit.example}".strip() for misfit in found.misfits] + [
        f"? {doubt.field} {doubt.reason}".replace("  ", " ") for doubt in found.undecided
    ]


def number(**words):
    return {"type": "number", **words}


def integer(**words):
    return {"type": "integer", **words}


def text(**words):
    return {"type": "string", **words}


def items(of=True, **words):
    return {"type": "array", "items": of, **words}


def fields(required=(), closed=True, **of):
    more = {"additionalProperties": False} if closed else {}
    return {"type": "object", "properties": of, "required": list(required), **more}


RECURSIVE = {
    "$defs": {"n": fields(next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}, value=integer())}
}
DYNAMIC = {
    "$defs": {"n": {**fields(next={"$dynamicRef": "#n"}, value=integer()), "$dynamicAnchor": "n"}},
    "$ref": "#/$defs/n",
}
SEVEN = {"$schema": "http://json-schema.org/draft-07/schema#"}
FOUR = {"$schema": "http://json-schema.org/draft-04/schema#"}
CAT = fields(["kind"], kind={"const": "cat"}, lives=integer())
DOG = fields(["kind"], kind={"const": "dog"}, name=text())

FITS = {
    "an integer is a number": (integer(), number()),
    "a number in steps of one is an integer": (number(multipleOf=1), integer()),
    "a narrower range": (integer(minimum=1, maximum=5), integer(exclusiveMinimum=0, exclusiveMaximum=6)),
    "a multiple of a multiple": (number(multipleOf=0.5), number(multipleOf=0.25)),
    "whole numbers between two bounds are these few": (integer(minimum=1, maximum=2), {"enum": [1, 2]}),
    "no integer lies between": (integer(exclusiveMinimum=1, exclusiveMaximum=2), text()),
    "one and one point nought are one": ({"const": 1}, {"const": 1.0}),
    "a shorter text": (text(minLength=2, maxLength=3), text(minLength=1, maxLength=4)),
    "the same pattern": (text(pattern="(?=a)b"), text(pattern="(?=a)b")),
    "a narrower pattern": (text(pattern="^[a-f]{2}$"), text(pattern="^[a-z]+$")),
    "a pattern that bounds the length": (text(pattern="^[0-9]{4}$"), text(minLength=4, maxLength=4)),
    "constants that match": ({"enum": ["ab", "cd"]}, text(pattern="^[a-d]+$", maxLength=2)),
    "a format that is a case of another": (text(format="uri"), text(format="iri-reference")),
    "a format as long as it is": (text(format="uuid"), text(minLength=36, maxLength=36)),
    "a format that nobody checks": (text(), text(format="binary")),
    "the same unheard-of format": (text(format="x-y"), text(format="x-y")),
    "bounds on another kind say nothing": (text(), {"minimum": 3, "type": ["string", "number"]}),
    "a tuple is a list": (
        items(False, prefixItems=[integer(), integer()], minItems=2),
        items(integer(), minItems=2),
    ),
    "a list of exact length is a tuple": (
        items(integer(), minItems=1, maxItems=1),
        {"prefixItems": [integer()], "items": False},
    ),
    "all that is contained": (items(integer(), minItems=1), {"contains": integer()}),
    "different items": (items(uniqueItems=True), items()),
    "one item cannot stand twice": (items(maxItems=1), items(uniqueItems=True)),
    "fields that are listed": (fields(a=integer()), fields(a=number(), b=text())),
    "only some fields are read": (fields(a=integer(), b=text()), fields(closed=False, a=integer())),
    "fields by pattern": (
        {"patternProperties": {"^a": integer()}, "type": "object"},
        {"patternProperties": {"^a": number()}},
    ),
    "names by length": (
        {"additionalProperties": integer(), "propertyNames": {"maxLength": 2}, "type": "object"},
        {"propertyNames": {"maxLength": 3}},
    ),
    "enough fields": (fields(["a", "b"], a=integer(), b=integer()), {"minProperties": 2, "maxProperties": 2}),
    "what depends is always there": (
        fields(["b"], a=integer(), b=integer()),
        {"dependentRequired": {"a": ["b"]}},
    ),
    "what depends comes with it": (
        {**fields(a=integer(), b=integer()), "dependentRequired": {"a": ["b"]}},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    ),
    "no other fields": (
        fields(a=integer()),
        {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False},
    ),
    "several alternatives together": (
        {"type": ["integer", "null", "string"]},
        {"anyOf": [number(), {"type": "null"}, text()]},
    ),
    "an enum in two halves": ({"enum": ["a", "b"]}, {"anyOf": [{"const": "a"}, {"const": "b"}]}),
    "a range in two halves": (integer(minimum=0), {"anyOf": [integer(maximum=5), integer(minimum=6)]}),
    "fields in two halves": (
        fields(["a"], a={"type": ["integer", "string"]}),
        {"anyOf": [fields(a=integer()), fields(a=text())]},
    ),
    "just one of several": (CAT, {"oneOf": [CAT, DOG]}),
    "one of several, in another order": ({"oneOf": [CAT, DOG]}, {"oneOf": [DOG, CAT]}),
    "not a text": (integer(), {"not": text()}),
    "all of several": ({"allOf": [integer(minimum=1), {"maximum": 3}]}, integer(minimum=0, maximum=4)),
    "a condition that always holds": (
        CAT,
        {"if": {"properties": {"kind": {"const": "cat"}}}, "then": True, "else": False},
    ),
    "a model that holds itself": (
        {**RECURSIVE, "$ref": "#/$defs/n"},
        {"anyOf": [{"$ref": "#/$defs/n"}, text()], **RECURSIVE},
    ),
    "a dynamic reference to the one place": (DYNAMIC, {**RECURSIVE, "$ref": "#/$defs/n"} | {"title": "n"}),
    "an anchor": ({"$ref": "#here", "$defs": {"x": {**integer(), "$anchor": "here"}}}, number()),
    "a reference with the schema's own name": (
        {"$id": "https://example.org/s", "$ref": "https://example.org/s#/$defs/x", "$defs": {"x": integer()}},
        number(),
    ),
    "beside a reference, since 2019": (
        integer(),
        {"$ref": "#/$defs/x", "minimum": 1, "$defs": {"x": {}}, **SEVEN},
    ),
    "a list of items, until 2019": (
        {**SEVEN, "type": "array", "items": [integer()], "additionalItems": False},
        items(integer(), maxItems=1),
    ),
    "an exclusive bound, as draft 4 wrote it": (
        {**FOUR, **number(minimum=1, exclusiveMinimum=True)},
        number(exclusiveMinimum=1),
    ),
    "notes say nothing": (
        {**integer(), "title": "a", "examples": [1]},
        {**integer(), "description": "b", "default": 2},
    ),
    "anything is accepted": (text(), True),
    "nothing is written": (False, text()),
}

MISFITS = {
    "a number is no integer": (number(), integer(), "may be a number, but an integer is wanted 0.5"),
    "a wider range": (
        integer(minimum=0),
        integer(minimum=1),
        "may be an integer of at least 0 and below 1, but an integer of at least 1 is wanted 0",
    ),
    "an open bound": (
        number(minimum=0),
        number(exclusiveMinimum=0),
        "may be a number 0, but a number above 0 is wanted 0",
    ),
    "other multiples": (
        number(multipleOf=2),
        number(multipleOf=4),
        "may be an integer that is a multiple of 2 and that is no multiple of 4, but an integer that is "
        "a multiple of 4 is wanted 2",
    ),
    "a longer text": (
        text(),
        text(maxLength=2),
        'may be a string of at least 3 characters, but a string of at most 2 characters is wanted "xxx"',
    ),
    "an empty text": (
        text(),
        text(minLength=1),
        'may be an empty string, but a string of at least 1 character is wanted ""',
    ),
    "a wider pattern": (
        text(pattern="^[a-z]+$"),
        text(pattern="^[a-f]+$"),
        "may be a string that does not match '^[a-f]+$', but a string that matches '^[a-f]+$' is "
        'wanted "g"',
    ),
    "another format": (
        text(format="date"),
        text(format="date-time"),
        'may be a date, but a date-time is wanted "2020-01-01"',
    ),
    "a constant too many": ({"enum": [1, 2, 3]}, {"enum": [1, 2]}, "may be 3, but 1 or 2 is wanted 3"),
    "true is not one": ({"const": True}, {"const": 1}, "may be true, but 1 is wanted true"),
    "items": (items(integer()), items(text()), "[] may be an integer, but a string is wanted [0]"),
    "the second item": (
        items(False, prefixItems=[integer(), integer()], minItems=2),
        {"prefixItems": [integer(), text()]},
        "[1] may be an integer, but a string is wanted […, 0]",
    ),
    "too few items": (
        items(),
        items(minItems=2),
        "may be a list of at most 1 item, but a list of at least 2 items is wanted []",
    ),
    "an item twice": (
        items(integer()),
        items(integer(), uniqueItems=True),
        "may be a list with an item twice, but a list of different items is wanted [0, 0]",
    ),
    "nothing that must be contained": (
        items(integer()),
        {"type": "array", "contains": {"const": 7}},
        "may be [], which is not accepted []",
    ),
    "a field that is not accepted": (
        fields(a=integer()),
        fields(),
        'a is written, but is not accepted {"a": 0}',
    ),
    "too few fields": (
        fields(a=integer()),
        {"type": "object", "minProperties": 1},
        "may be an empty object, but an object of at least 1 field is wanted {}",
    ),
    "other fields of another kind": (
        {"type": "object", "additionalProperties": integer()},
        {"type": "object", "additionalProperties": text()},
        '* may be an integer, but a string is wanted {"extra": 0}',
    ),
    "a tag that nobody knows": (
        {"oneOf": [CAT, fields(["kind"], kind={"const": "cow"})]},
        {"oneOf": [CAT, DOG]},
        "kind may be 'cow', but 'cat' or 'dog' is wanted {\"kind\": \"cow\"}",
    ),
    "two of them at once": (
        integer(),
        {"oneOf": [integer(minimum=0), number()]},
        "may be an integer of at least 0, but a number or a number below 0 is wanted 0",
    ),
    "deep inside": (
        fields(["legs"], legs=items(fields(["at"], at=fields(["x"], x=number())), minItems=1)),
        fields(legs=items(fields(at=fields(x=integer())))),
        'legs[].at.x may be a number, but an integer is wanted {"legs": [{"at": {"x": 0.5}}]}',
    ),
    "what is not": (text(), {"not": {"const": "x"}}, "may be 'x', which is not accepted \"x\""),
    "nothing is accepted": (text(), False, 'is not accepted "x"'),
}

UNDECIDED = {
    "a pattern that looks around": (
        text(),
        {"anyOf": [text(pattern="(?!x)"), text(pattern="(?<=y)z|.*|(?=^)")]},
    ),
    "an unheard-of format": (text(), text(format="x-y")),
    "a reference to another file": (integer(), {"$ref": "other.json#/x"}),
    "a reference to nothing": (integer(), {"$ref": "#/$defs/gone"}),
    "several places of one dynamic name": (
        integer(),
        {"$dynamicRef": "#n", "$defs": {"a": {"$dynamicAnchor": "n"}, "b": {"$dynamicAnchor": "n"}}},
    ),
    "fields left over by alternatives": (
        fields(a=integer()),
        {"anyOf": [{"properties": {"a": True}}, {"properties": {"b": True}}], "unevaluatedProperties": False},
    ),
    "a dialect of one's own": (integer(), {"$schema": "https://example.org/mine", "type": "integer"}),
    "any value": ({}, integer()),
    "a list of anything": ({"type": "array"}, items(integer())),
    "any other fields": ({"type": "object", "additionalProperties": True}, fields(closed=False, a=integer())),
}


@pytest.mark.parametrize("case", FITS)
def test_this_fits(case):
    assert told(*FITS[case]) == []


@pytest.mark.parametrize("case", MISFITS)
def test_this_does_not_fit_and_an_example_shows_it(case):
    writer, reader, says = MISFITS[case]
    assert told(writer, reader) == [says]


@pytest.mark.parametrize("case", UNDECIDED)
def test_this_is_not_decided(case):
    found = compare(*UNDECIDED[case])
    assert found.undecided
    assert not found.misfits


def test_an_example_shows_the_way_to_the_field_and_leaves_out_the_rest():
    many = {f"f{i}": text() for i in range(30)}
    writer = fields(["x", *many], **many, x=items(fields(["a", "b"], a=text(), b=number()), minItems=3))
    (misfit,) = compare(writer, {"properties": {"x": items({"properties": {"b": integer()}})}}).misfits
    assert misfit.example == '{"x": [{"b": 0.5, …}, …], …}'
    assert misfit.place == ("x", 0, "b")


def test_a_long_example_is_cut():
    writer, reader = text(minLength=500), text(maxLength=400)
    (misfit,) = compare(fields(["a"], a=writer), fields(a=reader)).misfits
    assert len(misfit.example) <= 100
    assert misfit.example.endswith("…}")


def test_fields_are_told_in_their_order_and_each_once():
    writer = fields(a=text(), b={"type": ["string", "null"]}, c=text())
    reader = fields(["a"], a=integer(), b=integer(), c=text(maxLength=1))
    assert [misfit.field for misfit in compare(writer, reader).misfits] == ["a", "b", "c"]


def test_work_is_bounded():
    writer = fields(a=text(), b=integer())
    found = compare(writer, fields(a=text(), b=number()), steps=3)
    assert [doubt.reason for doubt in found.undecided] == [
        "whether all of it fits: there is too much to compare"
    ]
