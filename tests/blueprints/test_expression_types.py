"""Expressions against one contract: what is said of each, read through by hand."""

from __future__ import annotations

import pytest

from blueprints.cel.data import Data, field_faults
from blueprints.cel.typed import faults
from blueprints.field_types import FieldType

LEG = {
    "type": "object",
    "properties": {
        "to": {"type": "string"}, "miles": {"type": "number"}, "stops": {"type": "integer"}, "eta": {"type": "string"},
    },
    "required": ["to", "miles", "stops"],
}  # fmt: skip
DEPARTURE = {
    "title": "Departure",
    "type": "object",
    "properties": {
        "carrier": {"enum": ["UA", "AA"]}, "origin": {"type": "string"}, "distance": {"type": "integer"},
        "temp": {"type": "number"}, "delay": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "gate": {"type": "string"}, "ok": {"type": "boolean"}, "leg": {"$ref": "#/$defs/Leg"},
        "legs": {"type": "array", "items": {"$ref": "#/$defs/Leg"}},
        "tags": {"type": "array", "items": {"type": "string"}}, "any": {}, "type": {"type": "string"},
        "text_or_number": {"type": ["string", "integer"]},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Leg"}, {"type": "null"}]},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": [
        "carrier", "origin", "distance", "temp", "delay", "ok", "leg", "legs", "tags", "any", "type",
        "text_or_number", "counts", "maybe", "at",
    ],
    "$defs": {"Leg": LEG},
}  # fmt: skip


def found(text, gives="bool"):
    data = [Data("Departure", FieldType.of(DEPARTURE))]
    return [
        f"{fault.at + 1}+{fault.length} {'' if fault.severity == 'error' else 'warning '}{fault.message}"
        for fault in faults(text, data, gives, then="which fails")
    ]


@pytest.mark.parametrize(
    "text",
    """carrier == 'UA'
    carrier in ['UA', 'AA']
    distance > 3.5 && temp > 3 && temp * 2.0 > 3
    distance * 2 > temp && temp in [1, 2] && 1 in [1.5, 2.0]
    (ok ? 1 : 2.0) > 1 && (ok ? distance : temp) > 1
    delay != null && delay > 15
    delay > 15 && delay != null
    delay == null || delay > 15
    !(delay == null) && delay > 1
    delay == null ? false : delay > 15
    delay == 3 || delay in [1, 2]
    origin != null
    has(event.data.gate) && gate == 'B'
    !has(event.data.gate) || event.data.gate == 'B'
    has(leg.eta) ? leg.eta == 'x' : true
    legs[0].miles > 3 && legs[distance].to == 'x'
    legs.exists(l, l.miles > 100 && has(l.eta) && l.eta == 'x')
    legs.filter(l, l.miles > 1)[0].stops > 1
    legs.map(l, l.miles).exists(m, m > 1)
    legs.all(l, l.stops > 1 && l.to in tags)
    legs.exists(carrier, carrier.miles > 1)
    'a' in tags && tags == [] && tags + ['b'] == ['a', 'b'] && size(tags) > 1
    any.x.y > 3 && text_or_number > 3 && text_or_number == 'x'
    counts.a > 1 && counts['a'] > 1 && counts[origin] > 1 && counts.exists(k, counts[k] > 1)
    maybe != null && maybe.miles > 1
    event.type == 'x' && event.tenant == 'y' && event.data.carrier == 'UA' && event['data'].carrier == 'UA'
    event.data['carrier'] == 'UA' && event.data.type == 'x' && type(distance) == int
    timestamp(at) > timestamp('2020-01-01T00:00:00Z') && timestamp(at).getHours() > 3
    string(distance) + origin == 'x' && dyn(distance) + 'x' == 'a'
    {'a': distance}.a > 1 && [distance, temp].exists(x, x > 1)
    ok
    origin.startsWith('a') && origin.matches('^a') && size(origin) == origin.size()""".splitlines(),
)
def test_nothing_is_said_of_what_is_right(text):
    assert found(text.strip()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("carrier == 'XX'", "12+4 warning 'carrier' is never 'XX'; it is one of 'UA', 'AA'"),
        ("carrier in ['UA', 'AB']", "19+4 warning 'carrier' is never 'AB'; it is one of 'UA', 'AA'"),
        ("origin == JFK", "11+3 there is no field 'JFK' in Departure; text is written in quotes: 'JFK'"),
        ("carrir == 'UA'", "1+6 there is no field 'carrir' in Departure; did you mean 'carrier'?"),
        ("distance == '3'", "10+2 a whole number is never equal to text; write 3"),
        ("origin == 3", "8+2 text is never equal to a whole number; write '3'"),
        ("temp * 2 > 3", "6+1 '*' wants whole numbers on both sides, or none; write 2.0"),
        ("distance + temp > 1.0", "10+1 '+' wants whole numbers on both sides, or none; write double(distance)"),
        ("temp % 2 == 0.0", "6+1 '%' is for whole numbers; write int(x) % n"),
        ("(ok ? distance : temp) * 2.0 > 1", "5+1 one branch is a whole number, the other a number; both have to be "
         "the same; write double(distance)"),
        ("(ok ? 'a' : 1) == 'a'", "5+1 one branch is text, the other a whole number; both have to be the same"),
        ("(ok ? 1 : 2.0) == 'a'", "16+2 a number is never equal to text"),
        ("delay > 15", "1+5 warning 'delay' may be null, which fails; ask first: delay != null"),
        ("ok ? delay > 1 : false", "6+5 warning 'delay' may be null, which fails; ask first: delay != null"),
        ("delay > 1 && delay < 9", "1+5 warning 'delay' may be null, which fails; ask first: delay != null"),
        ("delay == null && delay > 1", "18+5 warning 'delay' may be null, which fails; ask first: delay != null"),
        ("gate != null && gate == 'B'", "1+4 warning 'gate' may be absent, which fails; ask first: "
         "has(event.data.gate)"),
        ("leg.eta == 'x'", "5+3 warning 'leg.eta' may be absent, which fails; ask first: has(leg.eta)"),
        ("legs.exists(l, l.eta == 'x')", "18+3 warning 'l.eta' may be absent, which fails; ask first: has(l.eta)"),
        ("event.subject == 'x'", "7+7 warning 'event.subject' may be absent, which fails; ask first: "
         "has(event.subject)"),
        ("maybe.miles > 1", "1+5 warning 'maybe' may be null, which fails; ask first: maybe != null"),
        ("leg.too == 'x'", "5+3 'leg' has no field 'too'; did you mean 'to'?"),
        ("has(leg.too)", "9+3 warning 'leg' has no field 'too'; did you mean 'to'?"),
        ("leg . /* */ too", "7+2 a comment begins with '//'"),
        ("leg\n  .too == 'x'", "8+3 'leg' has no field 'too'; did you mean 'to'?"),
        ("leg.to.x == 1", "8+1 'leg.to' is text, and has no field 'x'"),
        ("origin.length > 3", "8+6 'origin' is text; its size is size(origin)"),
        ("legs.miles > 3", "6+5 'legs' is a list; its items' 'miles' is asked by legs.exists(item, item.miles …) or "
         "legs[0].miles"),
        ("legs[0].miles > 'x'", "15+1 '>' cannot compare a number with text"),
        ("legs[origin].miles > 1", "5+1 an item of a list is asked by a whole number, not by text"),
        ("legs[distance].mile > 1", "16+4 'legs[…]' has no field 'mile'; did you mean 'miles'?"),
        ("legs.exists(l, l.mile > 1)", "18+4 'l' has no field 'mile'; did you mean 'miles'?"),
        ("legs.exists(l, l.miles > 'x')", "24+1 '>' cannot compare a number with text"),
        ("legs.exists(l, legs.exists(l, l.mile > 1))", "33+4 'l' has no field 'mile'; did you mean 'miles'?"),
        ("legs.filter(l, l.miles > 1)[0].mile > 1", "32+4 'legs.filter(…)[0]' has no field 'mile'; did you mean "
         "'miles'?"),
        ("legs.map(l, l.miles).exists(m, m > 'x')", "34+1 '>' cannot compare a number with text"),
        ("tags.exists(t, t == 3)", "18+2 text is never equal to a whole number; write '3'"),
        ("3 in tags", "3+2 'in' cannot find a whole number in a list of text"),
        ("size(distance) > 1", "1+4 size(x) cannot be used with a whole number"),
        ("leg", "1+3 'leg' is an object, but true or false is wanted"),
        ("ok && origin", "4+2 '&&' joins what is true or false, not text"),
        ("distance ? true : ok", "10+1 the condition before '?' is a whole number, but true or false is wanted"),
        ("ok ? 1 : 2.0", "1+12 it gives a number, but true or false is wanted"),
        ("event.tpe == 'x'", "7+3 warning 'tpe' is none of CloudEvents' own attributes; did you mean 'type'?"),
        ("event.Type == 'x'", "7+4 'Type' is no attribute of an event; did you mean 'type'?"),
        ("event.data['carier'] == 'UA'", "13+6 there is no field 'carier' in Departure; did you mean 'carrier'?"),
        ("ok == None", "7+4 'None' is written null"),
        ("ok == True", "7+4 'True' is written true"),
        ("type == 'x'", "1+4 'type' is a word of CEL; the field is event.data.type"),
        ("counts['a'] > 'x'", "13+1 '>' cannot compare a whole number with text"),
        ("counts[distance] > 1", "7+1 a field is asked by text, not by a whole number"),
        ("1 < distance < 5", "14+1 '<' cannot compare true or false with a whole number; write a < b && b < c"),
        ("origin + 1 == 'x'", "8+1 '+' cannot add text and a whole number; write string(1)"),
        ("origin.contains(3)", "8+8 text.contains(part) cannot be used with text and a whole number"),
        ("-origin == 'x'", "1+1 '-' is put before numbers, not before text"),
        ("!origin", "1+1 '!' is put before what is true or false, not before text"),
    ],
    ids=lambda value: value if len(value) < 45 else "",
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(text, said):
    assert found(text) == [said]


@pytest.mark.parametrize(
    ("text", "gives", "said"),
    [
        ("origin", "scalar", []),
        ("delay", "scalar", ["1+5 warning 'delay' may be null, which fails; ask first: delay != null"]),
        ("legs", "scalar", ["1+4 'legs' is a list, but text, a number, or true or false is wanted"]),
        ("tags", "values", []),
        ("[temp, 1.0]", "values", []),
        ("legs.map(l, l.miles)", "values", []),
        (
            "[legs]",
            "values",
            ["1+6 it gives a list, but a number, text, true or false, or a list of them is wanted"],
        ),
        ("temp", "id", ["1+4 'temp' is a number, but text or a whole number is wanted"]),
        ("string(temp)", "id", []),
        ("timestamp(at)", "scalar", ["1+13 it gives a time, but text, a number, or true or false is wanted"]),
        ("null", "scalar", ["1+4 it gives null, but text, a number, or true or false is wanted"]),
        ("leg", "any", []),
    ],
)
def test_what_is_wanted_decides_what_may_be_given(text, gives, said):
    assert found(text, gives) == said


def test_a_field_alone_is_told_without_the_engine():
    data = [Data("Departure", FieldType.of(DEPARTURE))]

    def said(name, **wants):
        return [
            fault.message
            for fault in field_faults(name, data, wants.pop("gives", "scalar"), then="x", **wants)
        ]

    assert said("origin") == []
    assert said("delay") == ["'delay' may be null, x"]
    assert said("delay", takes_null=True) == []
    assert said("gate") == ["'gate' may be absent, x"]
    assert said("leg") == ["'leg' is an object, but text, a number, or true or false is wanted"]
    assert said("orign") == ["there is no field 'orign' in Departure; did you mean 'origin'?"]


@pytest.mark.parametrize(
    ("schema", "text", "said"),
    [
        ({"type": "object"}, "a.b.c == 1", None),
        (True, "a.b.c == 1", None),
        ({"properties": {"a": {}}, "additionalProperties": True}, "b == 1", None),
        ({"properties": {"total": {}}, "additionalProperties": True}, "totl == 1", "does not list 'totl'"),
        ({"properties": {"a": {}}, "additionalProperties": False}, "b == 1", "there is no field 'b'"),
        ({"properties": {"a": {}}}, "b == 1", "there is no field 'b'"),
        ({"properties": {"a": {}}, "patternProperties": {"^x": {}}}, "xa == 1", None),
        ({"additionalProperties": {"type": "string"}}, "b == 1", "text is never equal"),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}}]},
            "a == 1 && b == 1",
            None,
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}}]},
            "c == 1",
            "no field 'c'",
        ),
        (
            {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
            "a == 1 || b == 1",
            "may be absent",
        ),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, "c == 1", "no field 'c'"),
        ({"if": {}, "then": {"properties": {"b": {}}}, "properties": {"a": {}}}, "b == 1", None),
        ({"$ref": "elsewhere.json"}, "b == 1", None),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}, "b == 1", None),
        ({"type": "array", "items": {}}, "b == 1", "are a list"),
        ({"properties": {"a": {}, "b": {}}, "required": ["a"]}, "a == 1", None),
        (
            {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]},
            "b == 1",
            "absent",
        ),
        ({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}, "b == 1", None),
        ({"properties": {"a": {"const": 3}}}, "a + 1 == 4", None),
        ({"properties": {"a": {"type": ["integer", "number"]}}}, "a + 1.0 == 4", None),
        (
            {"properties": {"a": {"prefixItems": [{"type": "string"}, {"type": "integer"}]}}},
            "a[1] + 1 == 4",
            None,
        ),
        ({"properties": {"a": {"prefixItems": [{"type": "string"}]}}}, "a[0] == 4", "text is never equal"),
        (
            {"properties": {"a": {"$ref": "#"}, "n": {"type": "integer"}}},
            "a.a.a.n == 'x'",
            "a whole number is never",
        ),
    ],
)
def test_schemas_of_every_make_are_understood_as_far_as_they_go(schema, text, said):
    messages = [fault.message for fault in faults(text, [Data("it", FieldType.of(schema))], "bool")]
    assert (messages == []) if said is None else any(said in message for message in messages), messages
