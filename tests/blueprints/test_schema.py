import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from blueprints.schema import blueprint_schema
from tests.blueprints.catalog import GOOD, KINDS, TestCatalog
from tests.blueprints.test_environment import APP
from tests.blueprints.test_load import FLIGHT_DELAYS

SCHEMA = blueprint_schema(TestCatalog())


def problems(text):
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))]


def test_the_schema_is_json_schema_and_json():
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("text", [FLIGHT_DELAYS, GOOD, APP.replace("${TOKEN}", "x ${TOKEN}")])
def test_good_blueprints_are_valid(text):
    assert problems(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: flight-delays\n", ""),
        ("delivery: exactly-once", "delivery: twice"),
        ("partitions: 4", "partitions: four"),
        ("partitions: 4", "partitions: 0"),
        ("retention: 7d", "retention: 7"),
        ("retention: 7d", "retention: 7 parsec"),
        ("max_wait: 5ms", "max_wait: 5"),
        ("max_events: 128", "max_events: many"),
        ("protocol: v2", "protocol: v3"),
        ("model: delay", "modell: delay"),
        ("producers: [flights.out]", "producers: flights.out"),
        ("compacted: true", "compacted: maybe"),
        ("replicas: 2", "replics: 2"),
        ("use: replay", "use: ''"),
        ("loop: false", "loop: 3"),
    ],
)
def test_bad_ones_are_not(old, new):
    assert old in GOOD
    assert problems(GOOD.replace(old, new, 1))


def test_a_variable_is_accepted_for_numbers_booleans_quantities_and_words():
    text = GOOD
    for old in ("partitions: 4", "retention: 7d", "max_wait: 5ms", "max_events: 128", "compacted: true", "loop: false",
                "protocol: v2", "sample: 10%", "limit: 1000"):  # fmt: skip
        assert old in text
        text = text.replace(old, old.partition(": ")[0] + ": ${SOME_THING:-x}")
    assert problems(text) == []


def test_a_secret_is_a_variable_or_a_file_and_nothing_else():
    text = (
        "name: a\nstreamlets: { s: { use: score, with: { model: m, servers: [ { url: u, token: %s } ] } } }\n"
    )
    assert problems(text.replace("%s", '"${TOKEN}"')) == []
    assert problems(text.replace("%s", "{ file: /run/secrets/token }")) == []
    assert problems(text.replace("%s", "hunter2"))


def test_every_built_in_has_its_options_and_their_descriptions():
    assert list(SCHEMA["$defs"]) == [kind.name for kind in KINDS]
    assert SCHEMA["properties"]["topics"]["description"]


def test_options_that_must_be_given_make_with_required():
    assert problems("name: a\nstreamlets: { f: { use: filter } }\n") == ["'with' is a required property"]
    assert problems("name: a\nstreamlets: { f: { use: console } }\n") == []
    assert problems('name: a\nstreamlets: { f: { use: "own.module:thing", with: { any: 1 } } }\n') == []
