"""The language of test files: what is read, what is refused with its place, and the JSON Schema that says the same."""

import textwrap

import pytest
import yaml
from jsonschema import Draft202012Validator

from blueprints.case_fields import cases_schema
from blueprints.cases import read_cases

SCHEMA = Draft202012Validator(cases_schema())


def problems(tmp_path, case):
    """Return what is wrong with a case: (line, column, code, message)."""
    file = tmp_path / "x_test.yaml"
    file.write_text("cases:\n" + textwrap.dedent(case).strip("\n") + "\n")
    found = read_cases(file)
    return [(one.mark.line, one.mark.column, one.code, one.message) for one in found.framed(found.problems)]


def is_valid(case):
    return SCHEMA.is_valid(yaml.safe_load("cases:\n" + textwrap.dedent(case).strip("\n") + "\n"))


GOOD = [
    "- { name: x, given: { t: [ 1, text, { a: 1 }, { data: 1, key: k } ] }, expect: { t: none } }",
    "- { name: x, expect: { t: [] } }",
    "- { name: x, after: 5s, expect: { t: [ { key: 5 }, { subject: } ] } }",
    "- { name: x, env: { A: b, C: , D: 1.5 }, expect: { t: { count: 3 } } }",
    "- { name: x, steps: [ { after: 1s, expect: { t: { at-least: 1, each: { cel: 'a > 1' } } } } ] }",
    "- { name: x, steps: [ { given: { t: [ 1 ] } } ], expect: { t: { events: [ { exact: 1 } ], order: any } } }",
    "- { name: x, models: { m: [ { when: 'x > 1', answer: { y: 1 } }, { error: broken } ] }, expect: { t: none } }",
    "- { name: x, expect: { t: [ { subset: { a: 1.5 }, within: 0.1 } ] } }",
    "- { name: x, expect: { dead-letters: { events: [ { subset: { code: a } } ], others: true } } }",
]

BAD = [
    ("- { expect: { t: none } }", "missing-field", "a case needs 'name'"),
    ("- { name: x }", "missing-field", "case 'x' expects nothing"),
    (
        "- { name: x, expct: { t: none } }",
        "unknown-field",
        "a case has no field 'expct'; did you mean 'expect'?",
    ),
    ("- { name: x, expect: { t: [ { subst: 1 } ] } }", "unknown-field", "did you mean 'subset'?"),
    ("- { name: x, expect: { t: [ {} ] } }", "bad-value", "says nothing"),
    ("- { name: x, expect: { t: [ { within: 1 } ] } }", "bad-value", "says nothing"),
    ("- { name: x, expect: { t: [ { cel: 'a', within: 1 } ] } }", "bad-value", "needs 'exact' or 'subset'"),
    ("- { name: x, expect: { t: [ { exact: 1, subset: 1 } ] } }", "bad-value", "both 'exact' and 'subset'"),
    ("- { name: x, expect: { t: {} } }", "bad-value", "'none' stands for no event"),
    ("- { name: x, expect: { t: nothing } }", "bad-value", "a list of events, or 'none'"),
    ("- { name: x, expect: { t: { order: any } } }", "bad-value", "needs a list of 'events'"),
    ("- { name: x, expect: { t: { events: [], order: kep } } }", "bad-value", "'kept' or 'any'"),
    ("- { name: x, expect: { t: { count: 1, at-least: 1 } } }", "bad-value", "'at-least' and 'at-most' go"),
    ("- { name: x, expect: { t: { count: -1 } } }", "bad-value", "a whole number from 0"),
    ("- { name: x, after: 5, expect: { t: none } }", "bad-value", "needs its unit"),
    ("- { name: x, after: '${T}', expect: { t: none } }", "bad-value", "a duration"),
    ("- { name: x, after: 5s, steps: [], expect: { t: none } }", "misplaced-field", "'after' goes into one"),
    (
        "- { name: x, given: { t: [ { data: 1, kye: a } ] }, expect: { t: none } }",
        "unknown-field",
        "did you mean 'key'?",
    ),
    (
        "- { name: x, given: { t: [ { data: 1, partition: x } ] }, expect: { t: none } }",
        "bad-value",
        "whole number",
    ),
    ("- { name: x, given: { t: 5 }, expect: { t: none } }", "bad-value", "must be a list of events"),
    (
        "- { name: x, models: { m: [ { answer: { y: 1 }, error: broken } ] }, expect: { t: none } }",
        "bad-value",
        "one of",
    ),
    (
        "- { name: x, models: { m: [ { error: gone } ] }, expect: { t: none } }",
        "bad-value",
        "'broken', not 'gone'",
    ),
    (
        "- { name: x, models: { m: [ { default: { y: 1 }, when: a } ] }, expect: { t: none } }",
        "bad-value",
        "every row",
    ),
    ("- { name: x, env: [ A ], expect: { t: none } }", "bad-value", "a mapping by variable"),
    ("- { name: x, expect: { t: [ { cel: 'a >' } ] } }", "bad-expression", "it ends too early"),
]
NOT_IN_SCHEMA = ("bad-expression",)  # no JSON Schema tells CEL
NOT_ALONE = (  # what JSON Schema could say, and does not: bare data may be anything
    "whole number",
    "needs 'exact' or 'subset'",
    "did you mean 'key'?",
    "'at-least' and 'at-most' go",
    "needs a list of 'events'",
)


@pytest.mark.parametrize("case", GOOD)
def test_what_is_right_is_read_and_valid_by_the_schema(tmp_path, case):
    assert problems(tmp_path, case) == []
    assert is_valid(case)


@pytest.mark.parametrize(("case", "code", "told"), BAD)
def test_what_is_wrong_is_told_with_its_code_and_refused_by_the_schema(tmp_path, case, code, told):
    found = problems(tmp_path, case)
    assert any(one[2] == code and told in one[3] for one in found), found
    if code not in NOT_IN_SCHEMA and told not in NOT_ALONE:
        assert not is_valid(case)


def test_a_fault_inside_a_condition_is_told_at_its_own_column(tmp_path):
    (line, column, _, message) = problems(tmp_path, "- { name: x, expect: { t: [ { cel: 'a > > 1' } ] } }")[0]
    text = "- { name: x, expect: { t: [ { cel: 'a > > 1' } ] } }"
    assert (line, column) == (2, text.index("> 1") + 1), message


def test_data_may_have_a_field_called_data_among_others(tmp_path):
    file = tmp_path / "x_test.yaml"
    file.write_text("cases: [ { name: x, given: { t: [ { data: 1, measured: 2 } ] }, expect: { t: none } } ]")
    found = read_cases(file)
    (event,) = found.cases[0].steps[0].given["t"][1]
    assert not found.problems
    assert event.data == {"data": 1, "measured": 2}


@pytest.mark.slow
def test_a_test_file_may_be_larger_than_any_blueprint(tmp_path):
    file = tmp_path / "x_test.yaml"
    case = "  - { name: case %d, given: { t: [ { a: 1, b: 2, c: 3 } ] }, expect: { t: none } }\n"
    file.write_text("cases:\n" + "".join(case % number for number in range(3_000)))
    found = read_cases(file)
    assert not found.problems
    assert len(found.cases) == 3_000


def test_every_field_says_what_it_is_for():
    def described(schema, path=""):
        for name, child in schema.get("properties", {}).items():
            assert child.get("description"), f"{path}.{name}"
            described(child, f"{path}.{name}")
        for child in (schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())):
            if isinstance(child, dict):
                described(child, path)
        for name, child in schema.get("$defs", {}).items():
            described(child, name)

    schema = cases_schema()
    Draft202012Validator.check_schema(schema)
    described(schema)
    assert "${" not in str(schema).replace("$ref", "")
