import re
import subprocess
import sys

import pytest

from blueprints.expressions import Expression, ExpressionError, free_names, parse, same_key
from tests.blueprints.wrong_expressions import WRONG


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("carrier", {"carrier": "UA"}, "UA"),
        ("type", {"type": 1}, 1),
        ("delay > 15", {"delay": 15.5}, True),
        ("delay > 15.5", {"delay": 15}, False),
        ("carrier == 'UA' && delay > 15", {"carrier": "UA", "delay": 20}, True),
        ("carrier == 'UA' && delay > 15", {"carrier": "AA"}, False),
        ("leg.origin + '-' + leg.to", {"leg": {"origin": "JFK", "to": "SFO"}}, "JFK-SFO"),
        ("has(leg.origin) ? leg.origin : 'none'", {"leg": {}}, "none"),
        ("legs.exists(leg, leg.miles > 100)", {"legs": [{"miles": 1}, {"miles": 200}]}, True),
        ("legs.map(x, x.miles)", {"legs": [{"miles": 1}]}, [1]),
        ("delay == null", {"delay": None}, True),
        ("name.matches('^a+$')", {"name": "aaa"}, True),
        ("'true'", {}, "true"),
        ("size(tags) == 2 && 'b' in tags", {"tags": ["a", "b"]}, True),
        ("class == 'x'", {"class": "x"}, True),
        ("a == 'it is \"b\" // c'", {"a": 'it is "b" // c'}, True),
        ("a > 1 // only large ones", {"a": 2}, True),
        ("delay", {"delay": 2**70}, 2**70),
        ("delay * 2.0 > 3", {"delay": 2.0}, True),
        ("delay in [1, 2]", {"delay": 2.0}, True),
        ("has(event.data.leg) ? leg : 'none'", {"event": {"data": {}}}, "none"),
        ("legs.filter(x, x > 1).exists_one(x, x == 3)", {"legs": [1, 2, 3]}, True),
    ],
)
def test_an_expression_is_evaluated_over_the_fields_of_an_event(text, values, result):
    assert Expression(text).evaluate(values) == result


@pytest.mark.parametrize(("text", "place", "says"), WRONG, ids=[text for text, _, _ in WRONG])
def test_what_is_no_cel_is_refused_with_its_place_and_what_to_write(text, place, says):
    with pytest.raises(ExpressionError) as refused:
        parse(text)
    assert (refused.value.line, refused.value.column) == place
    assert str(refused.value).partition(": ")[2] == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(" * 100 + "a" + ")" * 100, "nested too deeply"),
        ("+".join("a" * 100), "nested too deeply"),
        ("[" * 500, "nested too deeply"),
        ("a" + " + a" * 2000, "at most 2,000 characters"),
        ("a" * 2001 + " b", "at most 2,000 characters"),
    ],
)
def test_what_is_too_deep_or_too_long_is_refused(text, says):
    with pytest.raises(ExpressionError, match=says):
        parse(text)


def test_no_message_of_the_engine_shows_through():
    for text, _, says in WRONG:
        assert not re.search(
            "ERROR|input|overload|EOF|INVALID|expecting|IDENTIFIER|antlr|undeclared", says
        ), text


@pytest.mark.parametrize(
    ("text", "values", "says"),
    [
        ("carrier", {}, "there is no field 'carrier'"),
        ("delay > 15", {}, "there is no field 'delay'"),
        ("delay > 15", {"delay": "hunter2"}, "'>' cannot be applied to (string, int64)"),
        ("leg.origin == 'x'", {"leg": {}}, "there is no field 'origin'"),
        ("leg.origin == 'x'", {"leg": 3}, "no such field"),
        ("delay + 1", {"delay": 1.5}, "'+' cannot be applied to (double, int64)"),
        ("delay > 1", {"delay": 2**70}, "the value of 'delay' is of no kind that CEL knows"),
        ("int(name) > 1", {"name": "hunter2"}, "cannot convert string to int"),
        ("codes[name] > 1", {"codes": {}, "name": "hunter2"}, "there is no such field"),
        ("name.matches(name)", {"name": "hunter2["}, "the regular expression is not valid"),
        ("a / b", {"a": 1, "b": 0}, "divide by zero"),
    ],
)
def test_a_failed_evaluation_is_told_without_the_values(text, values, says):
    with pytest.raises(ExpressionError, match=r".*") as failed:
        Expression(text).evaluate(values)
    assert says in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_the_names_that_an_expression_takes_from_the_event():
    assert free_names("a > 1 && b.c.d == 'e' && size(f) > int(g) && h[0].i || true") == [
        "a",
        "b",
        "f",
        "g",
        "h",
    ]


def test_a_string_that_looks_like_an_error_is_a_value():
    assert Expression("a + ''").evaluate({"a": "UNKNOWN: No value"}) == "UNKNOWN: No value"


def test_the_engine_is_loaded_when_it_is_needed_only():
    code = (
        "import sys; from blueprints.expressions import Expression; import blueprints.load; "
        "assert Expression('carrier').evaluate({'carrier': 1}) == 1; assert 'cel_expr_python' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("carrier", "carrier", True),
        ("carrier", " ( carrier ) ", True),
        ("carrier", "event.data.carrier", True),
        ("a + '-' + b", 'a+"-"+b // both', True),
        ("(a) + (b)", "(a) + (b)", True),
        ("((a + b))", "a + b", True),
        ("leg.origin", "leg .origin", True),
        ("carrier", "origin", False),
        ("carrier", "'carrier'", False),
        ("(a) + (b)", "a) + (b", False),
        ("a + b", "b + a", False),
        ("x.event.data.a", "x.a", False),
        ("'a b'", "'ab'", False),
        ("ab", "a b", False),
    ],
)
def test_two_keys_are_the_same_however_they_are_spelt(one, other, is_same):
    assert same_key(one, other) is is_same
    assert same_key(other, one) is is_same
