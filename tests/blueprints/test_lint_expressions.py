"""Expressions in a blueprint, held against the contracts of the events they are evaluated over."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.blueprints.lint import diagnose, lint

FILTER = """\
name: a
contracts: {{ departure: {{ json-schema: contracts/departure.json }}, open: {{ json-schema: contracts/open.json }} }}
streamlets:
  long: {{ use: filter, with: {{ where: {where} }} }}
  print: {{ use: console }}
topics:
  t: {{ external: true, consumers: [long.in], contract: {contract} }}
  s: {{ producers: [long.out], consumers: [print.in]{more} }}
"""


def condition(folder, where, contract="departure", more="", environ=None):
    return lint(folder, FILTER.format(where=where, contract=contract, more=more), environ)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('"carrier == \'UA\'"', []),
        ('"carrier in [\'UA\', \'AA\'] && distance > 500.5"', []),
        ('"delay != null && delay * 2.0 > 3"', []),
        ('"has(event.data.carrier) && event.type == \'x\'"', []),
        (
            '"distanse > 5"',
            [
                "4:40 unknown-field-in-expression: 'where' of long, column 1: there is no field 'distanse' in Flight; "
                "did you mean 'distance'?"
            ],
        ),
        (
            '"distance > 5 && zz == 1"',
            [
                "4:56 unknown-field-in-expression: 'where' of long, column 17: there is no field 'zz' in Flight; "
                "there are carrier, distance, delay"
            ],
        ),
        (
            '"carrier > 5"',
            ["4:48 bad-expression: 'where' of long, column 9: '>' cannot compare text with a whole number"],
        ),
        (
            '"distance + 1"',
            ["4:40 bad-expression: 'where' of long, column 1: it gives a whole number, but true or false is wanted"],
        ),
        ("carrier", ["4:39 bad-expression: 'where' of long: 'carrier' is text, but true or false is wanted"]),
        ("carier", ["4:39 unknown-field-in-expression: 'where' of long: there is no field 'carier' in Flight; "
                    "did you mean 'carrier'?"]),
        (
            '"delay > 15"',
            [
                "4:40 warning bad-expression: 'where' of long, column 1: 'delay' may be null, and the event is a dead "
                "letter then; ask first: delay != null"
            ],
        ),
        (
            '"distance > 5 and carrier == 1"',
            ["4:53 bad-expression: 'where' of long, column 14: 'and' is written '&&'"],
        ),
        (
            '"has(event.data.gate) && carrier == \'UA\'"',
            [
                "4:55 warning unknown-field-in-expression: 'where' of long, column 16: there is no field 'gate' in "
                "Flight; there are carrier, distance, delay"
            ],
        ),
        (
            '"event.tpye == \'x\' || zz > 1"',
            [
                "4:46 warning unknown-field-in-expression: 'where' of long, column 7: 'tpye' is none of CloudEvents' "
                "own attributes; did you mean 'type'?",
                "4:61 unknown-field-in-expression: 'where' of long, column 22: there is no field 'zz' in Flight; "
                "there are carrier, distance, delay",
            ],
        ),
    ],
)  # fmt: skip
def test_a_condition_is_typed_against_the_contract_of_its_topic(tmp_path, where, found):
    assert condition(tmp_path, where) == found


@pytest.mark.parametrize("where", ['"zz > 5"', "\"zz.a.b[0].c == 'x'\"", '"zz"', '"zz * 2 > zz / 3.0"'])
def test_nothing_is_said_of_fields_where_the_contract_lists_none(tmp_path, where):
    assert condition(tmp_path, where, contract="open") == []


def test_a_syntax_error_is_told_without_any_contract(tmp_path):
    (found,) = condition(tmp_path, '"a = 1"', contract="open")
    assert found == "4:42 bad-expression: 'where' of long, column 3: '=' compares nothing; write '=='"


def test_events_that_are_passed_on_keep_their_contract_but_nulls_may_have_been_held_back(tmp_path):
    text = """\
    name: a
    contracts: { departure: { json-schema: contracts/departure.json } }
    streamlets:
      some: { use: filter, with: { where: "delay != null" } }
      late: { use: filter, with: { where: "delay > 15" } }
      last: { use: filter, with: { where: "dealy > 15" } }
      print: { use: console }
    topics:
      t: { external: true, consumers: [some.in], contract: departure }
      s: { producers: [some.out], consumers: [late.in], key: carrier }
      r: { producers: [late.out], consumers: [last.in], key: carier }
      q: { producers: [last.out], consumers: [print.in] }
    """
    assert lint(tmp_path, text) == [
        "6:40 unknown-field-in-expression: 'where' of last, column 1: there is no field 'dealy' in Flight; "
        "did you mean 'delay'?",
        "11:58 unknown-key: the key of 'r': there is no field 'carier' in Flight; did you mean 'carrier'?",
    ]


def test_a_circle_of_streamlets_that_pass_on_ends(tmp_path):
    text = """\
    name: a
    streamlets:
      one: { use: filter, with: { where: "x > 1" } }
      two: { use: filter, with: { where: "x > 1" } }
    topics:
      t: { producers: [one.out], consumers: [two.in] }
      s: { producers: [two.out], consumers: [one.in] }
    """
    assert [line.split()[1] for line in lint(tmp_path, text)] == ["cycle:"]


def test_each_producer_is_asked_for_the_field(tmp_path):
    text = """\
    name: a
    streamlets:
      buses: { use: "conflict:buses" }
      flights: { use: "conflict:flights" }
      far: { use: filter, with: { where: "line == 'x'" } }
      print: { use: console }
    topics:
      i: { external: true, consumers: [buses.in] }
      j: { external: true, consumers: [flights.in] }
      t: { producers: [buses.out, flights.out], consumers: [far.in] }
      s: { producers: [far.out], consumers: [print.in] }
    """
    assert lint(tmp_path, text) == [
        "5:39 unknown-field-in-expression: 'where' of far, column 1: there is no field 'line' in Flights; "
        "there is delay"
    ]


KEY = """\
name: a
contracts: {{ departure: {{ json-schema: contracts/departure.json }} }}
streamlets:
  flights: {{ use: flights }}
  print: {{ use: console }}
topics:
  t: {{ producers: [flights.out], consumers: [print.in]{more}, key: {key} }}
"""


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("carrier", []),
        ("distance", []),
        ("delay", []),
        ('"carrier + \'-\' + string(distance)"', []),
        ('"distance % 10"', []),
        ('"event.subject"', ["7:69 warning bad-expression: the key of 't', column 7: 'event.subject' may be absent, "
                             "and the event is a dead letter then; ask first: has(event.subject)"]),
        ("carier", ["7:62 unknown-key: the key of 't': there is no field 'carier' in Flight; did you mean 'carrier'?"]),
        ('"carrier + distance"', ["7:71 bad-expression: the key of 't', column 9: '+' cannot add text and a whole "
                                  "number; write string(distance)"]),
        ('"[carrier]"', ["7:63 bad-expression: the key of 't', column 1: it gives a list, but text, a number, or true "
                         "or false is wanted"]),
        ('"carrier +"', ["7:72 bad-expression: the key of 't', column 10: it ends too early: a value is missing "
                         "after '+'"]),
        ('"carier + \'x\'"', ["7:63 unknown-field-in-expression: the key of 't', column 1: there is no field 'carier' "
                             "in Flight; did you mean 'carrier'?"]),
    ],
)  # fmt: skip
def test_a_key_is_typed_against_what_is_written(tmp_path, key, found):
    assert lint(tmp_path, KEY.format(key=key, more="")) == found


def test_a_key_that_may_be_null_is_told_where_events_need_one(tmp_path):
    text = KEY.format(key="delay", more=", compacted: true").replace(
        "consumers: [print.in]", "external: true"
    )
    assert lint(tmp_path, text.replace("  print: { use: console }\n", "")) == [
        "6:72 warning bad-expression: the key of 't': 'delay' may be null, and an event without a key is refused by a "
        "compacted topic"
    ]


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ("{ x: [carrier, distance], y: distance, z: 'distance * 2' }", []),
        ("{ x: [carrier, distanse] }", ["4:79 unknown-field-in-expression: 'inputs.x[1]' of score: there is no field "
                                        "'distanse' in Flight; did you mean 'distance'?"]),
        ("{ x: 'distance * 2.5' }", ["4:79 bad-expression: 'inputs.x' of score, column 10: '*' wants whole numbers on "
                                     "both sides, or none; write double(distance)"]),
        ("{ x: '{1: 2}' }", ["4:70 bad-expression: 'inputs.x' of score, column 1: it gives an object, but a number, "
                             "text, true or false, or a list of them is wanted"]),
        ("{ x: 'event.type' }", ["4:76 unknown-field-in-expression: 'inputs.x' of score, column 7: there is no "
                                 "'event.type' here, but the data alone: event.data"]),
    ],
)  # fmt: skip
def test_fields_and_expressions_in_maps_and_lists_are_found(tmp_path, inputs, found):
    text = f"""\
name: a
contracts: {{ departure: {{ json-schema: contracts/departure.json }} }}
streamlets:
  score: {{ use: score, with: {{ model: m, servers: [x], inputs: {inputs} }} }}
  print: {{ use: console }}
topics:
  t: {{ external: true, consumers: [score.in], contract: departure }}
  s: {{ producers: [score.out], consumers: [print.in] }}
"""
    assert lint(tmp_path, text) == found


@pytest.mark.parametrize(
    ("written", "place", "under"),
    [
        ("distance > 5 && zz > 1", (4, 30), "zz"),
        ('"distance > 5 \\u0026\\x26 zz > 1"', (4, 39), "zz"),
        ("'carrier == ''UA'' && zz > 1'", (4, 36), "zz"),
        (">-\n        distance > 5\n        && zz > 1", (6, 12), "zz"),
        ("|\n        distance > 5\n          && zz > 1\n", (6, 14), "zz"),
        ("distance > 5 &&\n        zz > 1", (5, 9), "zz"),
        ('"distance > 5 \\\n        && zz > 1"', (5, 12), "zz"),
        ("&where 'distance > 5 && zz > 1'", (4, 38), "zz"),
    ],
)
def test_the_caret_is_under_the_very_spot_whatever_the_style_of_the_scalar(tmp_path, written, place, under):
    lines = [
        "streamlets:",
        "  long:",
        "    with:",
        f"      where: {written}",
    ]
    rest = """
    use: filter
  print: { use: console }
name: a
contracts: { departure: { json-schema: contracts/departure.json } }
topics:
  t: { external: true, consumers: [long.in], contract: departure }
  s: { producers: [long.out], consumers: [print.in] }
"""
    (found,) = diagnose(tmp_path, "\n".join(lines).rstrip("\n") + rest)
    assert found.code == "unknown-field-in-expression"
    assert (found.mark.line, found.mark.column) == place
    assert found.mark.end_column - found.mark.column == len(under)
    source, carets = found.frame.split("\n")
    assert source[carets.index("^") : carets.rindex("^") + 1] == under


def test_what_the_environment_gives_is_told_at_its_scalar_and_not_shown(tmp_path):
    (found,) = condition(tmp_path, '"${WHERE}"', environ={"WHERE": "hunter2 > 5"})
    assert found == (
        "4:39 unknown-field-in-expression: 'where' of long, column 1: it does not fit the events, or is no CEL "
        "(from ${WHERE})"
    )
    (found,) = condition(tmp_path, '"zz > ${LIMIT}"', environ={"LIMIT": "5"})
    assert found.startswith(
        "4:39 unknown-field-in-expression: 'where' of long, column 1: there is no field 'zz'"
    )
    assert condition(tmp_path, '"distance > ${LIMIT}"', environ={"LIMIT": "5"}) == []
    (found,) = condition(tmp_path, '"${WHERE}"', environ={})
    assert "unset-variable" in found


def test_a_blueprint_of_plain_names_does_not_load_the_engine(tmp_path):
    assert lint(tmp_path, KEY.format(key="carrier", more="")) == []
    (tmp_path / "app.yaml").write_text(KEY.format(key="carier", more=""))
    code = (
        "import sys; from pathlib import Path; from blueprints.load import verify; "
        "from tests.blueprints.catalog import TestCatalog; "
        "assert [one.code for one in verify(Path(sys.argv[1]), TestCatalog(), {})] == ['unknown-key']; "
        "assert not {'cel_expr_python', 'blueprints.cel.typed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "app.yaml"], check=True, timeout=60)


CONFLICT = """\
name: a
streamlets:
  one: {{ use: "conflict:{one}" }}
  two: {{ use: "conflict:{two}" }}
  print: {{ use: console }}
topics:
  i: {{ external: true, consumers: [one.in] }}
  j: {{ external: true, consumers: [two.in] }}
  t: {{ producers: [one.out, two.out], consumers: [print.in]{more} }}
"""


@pytest.mark.parametrize(
    ("one", "two", "field"),
    [
        ("flights", "trains", "'delay' is text in what two.out writes, and a number in what one.out writes"),
        (
            "trains",
            "buses",
            "'delay' is a whole number or null in what two.out writes, and text in what one.out",
        ),
        ("legs", "lines", "'stops[].at' is a number in what two.out writes, and text in what one.out writes"),
    ],
)
def test_producers_that_contradict_each_other_are_told(tmp_path, one, two, field):
    (found,) = lint(tmp_path, CONFLICT.format(one=one, two=two, more=""))
    assert found.startswith(
        "9:29 conflicting-producers: 't' has two producers that contradict each other: the field"
    )
    assert field in found


@pytest.mark.parametrize(
    ("one", "two"), [("flights", "buses"), ("flights", "flights"), ("ferries", "cars"), ("flights", "legs")]
)
def test_producers_that_a_reader_can_read_both_are_no_conflict(tmp_path, one, two):
    assert lint(tmp_path, CONFLICT.format(one=one, two=two, more="")) == []


def test_a_contract_of_the_topic_decides_between_producers(tmp_path):
    text = "contracts: { open: { json-schema: contracts/open.json } }\n" + CONFLICT.format(
        one="flights", two="trains", more=", contract: open"
    )
    assert lint(tmp_path, text) == []
