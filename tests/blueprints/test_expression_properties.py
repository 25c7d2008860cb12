"""What lint says of an expression, held against what evaluating it does, over contracts and events made at random."""

from __future__ import annotations

import json
import re
from random import Random

import pytest

from blueprints.cel.data import Data
from blueprints.cel.typed import faults
from blueprints.field_types import FieldType
from streamlets.errors import Rejected
from streamlets.evaluation import Evaluation
from tests.blueprints.expression_maker import NAMES, Maker, contract, event, paths

OF_VALUES = re.compile("divide by zero|modulus by zero|out of bounds|overflow|out of range|cannot convert")
"""Failures that no type can tell beforehand: what a value is, not of what kind."""

FAST, SLOW = range(80), range(80, 2_500)


def evaluate(evaluation: Evaluation, given: object) -> bool | str:
    """Return what the evaluation gives, or why it fails."""
    try:
        return evaluation.of(json.dumps(given).encode())
    except Rejected as exc:
        return exc.message


def accepted_is_evaluated(seeds: range) -> int:
    evaluated = 0
    for seed in seeds:
        random = Random(seed)
        schema = contract(random)
        data = [Data("Made", FieldType.of(schema))]
        maker = Maker(random, schema)
        for _ in range(3):
            text = maker.condition()
            if faults(text, data, "bool", then="and fails"):
                continue
            evaluation = Evaluation(text, "the condition", [schema])
            for _ in range(6):
                given = event(random, schema)
                result = evaluate(evaluation, given)
                assert isinstance(result, bool) or OF_VALUES.search(result), (
                    f"seed {seed}: {text}: {result} on {given}"
                )
                evaluated += isinstance(result, bool)
    return evaluated


def test_what_lint_accepts_is_evaluated_without_an_error_of_types():
    assert accepted_is_evaluated(FAST) > 1_000


@pytest.mark.slow
def test_what_lint_accepts_is_evaluated_without_an_error_of_types_at_length():
    assert accepted_is_evaluated(SLOW) > 25_000


def test_a_field_that_lint_does_not_know_is_not_there_when_it_is_evaluated():
    refused = 0
    for seed in range(150):
        random = Random(seed)
        schema = contract(random)
        objects = [""] + [path.text.rpartition(".")[0] + "." for path in paths(schema) if "." in path.text]
        text = random.choice(objects) + random.choice(NAMES) + " == 1"
        found = faults(text, [Data("Made", FieldType.of(schema))], "bool")
        if not any(fault.code == "unknown-field-in-expression" for fault in found):
            continue
        refused += 1
        given = event(random, schema, is_full=True)
        with pytest.raises(Rejected, match=r"no (such )?field") as failed:
            Evaluation(text, "the condition", [schema]).of(json.dumps(given).encode())
        assert failed.value.code == "bad-expression", f"seed {seed}: {text} on {given}"
    assert refused > 30


def test_mistakes_in_types_are_found_and_not_in_all_expressions():
    random, found = Random(1), []
    for _ in range(100):
        schema = contract(random)
        text = Maker(random, schema, mistakes=0.3).condition()
        found.append(
            any(f.severity == "error" for f in faults(text, [Data("Made", FieldType.of(schema))], "bool"))
        )
    assert 20 < sum(found) < 95
