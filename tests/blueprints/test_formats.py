"""Avro and Protobuf in a blueprint, as the linter sees them."""

import json

import pytest

from blueprints.load import load
from tests.blueprints.catalog import TestCatalog
from tests.blueprints.lint import lint

RECORD = {"type": "record", "name": "Reading", "fields": [{"name": "n", "type": "long"}]}
PROTO = 'syntax = "proto3";\npackage app;\nmessage Reading { int64 n = 1; }\n'

BLUEPRINT = """
name: a
contracts:
  avro: { avro: reading.avsc }
  proto: { protobuf: "reading.proto:Reading" }
  json: { json-schema: contracts/open.json }
streamlets:
  print: { use: console }
topics:
  t: { external: true, consumers: [print.in], TOPIC }
"""


@pytest.fixture
def problems(tmp_path):
    """Return what lints a topic: (its further fields, the Avro schema) → problems."""

    def check(topic, avro=RECORD, proto=PROTO):
        (tmp_path / "reading.avsc").write_text(avro if isinstance(avro, str) else json.dumps(avro))
        (tmp_path / "reading.proto").write_text(proto)
        return lint(tmp_path, BLUEPRINT.replace("TOPIC", topic))

    return check


@pytest.mark.parametrize("topic", ["contract: avro, format: avro", "contract: proto, format: protobuf"])
def test_a_format_with_a_contract_of_its_kind_is_right(problems, topic):
    assert problems(topic) == []


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        (
            "format: avro",
            "9:55 missing-field: the events of 't' are avro, so it needs 'contract': one of kind 'avro'",
        ),
        (
            "contract: avro",
            "9:57 conflicting-settings: the contract 'avro' is an Avro schema, but the events of 't' are json; "
            "write 'format: avro'",
        ),
        (
            "contract: proto, format: avro",
            "9:72 conflicting-settings: the contract 'proto' is a Protobuf message, but the events of 't' are avro; "
            "write 'format: protobuf'",
        ),
        (
            "contract: json, format: avro",
            "9:71 conflicting-settings: the contract 'json' is a JSON Schema, but the events of 't' are avro; "
            "leave 'format' out, or name a contract of kind 'avro'",
        ),
    ],
)
def test_a_format_is_held_against_its_contract(problems, topic, problem):
    assert problems(topic) == [problem]


@pytest.mark.parametrize(
    ("avro", "problem"),
    [
        ("{", "3:17 bad-value: the schema 'reading.avsc' is not JSON: expecting property name enclosed in double "),
        ({"type": "recrd"}, "3:17 bad-value: the schema 'reading.avsc' is no Avro schema: the schema: there is no "),
        ('"int"' + " " * (1 << 20), "3:17 bad-value: the schema 'reading.avsc' is larger than 1 MiB"),
    ],
)  # fmt: skip
def test_an_avro_schema_that_is_none_is_told_at_its_place_in_the_blueprint(problems, avro, problem):
    (found,) = problems("contract: avro, format: avro", avro)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("proto", "problem"),
    [
        ("message {", "4:22 bad-value: the schema 'reading.proto': reading.proto:1:9: Expected message name."),
        (PROTO.replace("Reading", "Readings"), "4:22 bad-value: the schema 'reading.proto': there is no message 'R"),
        (PROTO + " " * (1 << 20), "4:22 bad-value: the schema 'reading.proto': it is larger than 1 MiB"),
    ],
)  # fmt: skip
def test_a_protobuf_file_that_is_none_is_told_at_its_place_in_the_blueprint(problems, proto, problem):
    (found,) = problems("contract: proto, format: protobuf", proto=proto)
    assert found.startswith(problem)


def test_a_schema_that_is_not_there_is_missing(tmp_path):
    text = """
        name: a
        contracts: { a: { avro: a.avsc }, p: { protobuf: "p.proto:P" } }
        streamlets: { p: { use: console } }
        topics: { t: { external: true, consumers: [p.in] } }
    """
    assert lint(tmp_path, text) == [
        "2:25 missing-file: the schema 'a.avsc' cannot be read: no such file or directory",
        "2:50 missing-file: the schema 'p.proto' cannot be read: no such file or directory",
    ]


def test_the_plan_has_what_the_engine_needs_and_the_schema_as_json_schema(tmp_path, problems):
    assert problems("contract: proto, format: protobuf") == []
    plan = load(tmp_path / "app.yaml", TestCatalog(), {})
    topic = plan.topics["t"]
    assert topic.format == "protobuf"
    assert (topic.contract.kind, topic.contract.message) == ("protobuf", "app.Reading")
    assert topic.contract.json_schema["required"] == ["n"]
    assert "required" not in topic.contract.accepted
