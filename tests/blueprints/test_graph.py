import json

from blueprints.graph import as_json, as_text, order
from blueprints.load import load
from tests.blueprints.catalog import TestCatalog
from tests.blueprints.test_load import flight_delays, plan_of  # noqa: F401

EXPECTED = """\
flight-delays · exactly-once · 5 streamlets · 6 topics

┌─────────┐
│ flights │ replay
└─┬───────┘
  └ out ─▶ departures · 4 partitions · by carrier · contract departure

  ┌ in ◀─ departures
┌─┴────────┐
│ features │ blueprints.examples.flight_delays.features:features
└─┬────────┘
  └ out ─▶ features · 4 partitions

  ┌ in ◀─ features
  ├ updates ◀─ model-updates · 1 partition · compacted · external
┌─┴─────┐
│ score │ score
└─┬─────┘
  ├ out ─▶ predictions · 4 partitions · nobody reads it
  └ payloads ─▶ payloads · 1 partition · kept 7d

  ┌ in ◀─ payloads
┌─┴─────┐
│ drift │ detect
└─┬─────┘
  └ alerts ─▶ drift-alerts · 1 partition

  ┌ in ◀─ drift-alerts
┌─┴──────┐
│ alerts │ console
└────────┘
"""


def test_the_drawing_has_streamlets_in_the_order_of_events(flight_delays):  # noqa: F811
    assert as_text(load(flight_delays, TestCatalog(), {})) == EXPECTED


def test_a_narrow_drawing_stays_within_its_width_and_ascii_has_no_other_signs(flight_delays):  # noqa: F811
    plan = load(flight_delays, TestCatalog(), {})
    for width in (40, 30, 24, 1):
        text = as_text(plan, width)
        assert max(map(len, text.splitlines())) <= max(width, 34)
        for topic in plan.topics:
            assert topic in text
    assert as_text(plan, 80, is_ascii=True).isascii()


def test_the_json_says_what_is_joined_and_holds_no_option(flight_delays):  # noqa: F811
    value = as_json(load(flight_delays, TestCatalog(), {}))
    assert json.loads(json.dumps(value)) == value
    assert [streamlet["name"] for streamlet in value["streamlets"]] == [
        "flights",
        "features",
        "score",
        "drift",
        "alerts",
    ]
    assert value["topics"][0]["producers"] == ["flights.out"]
    assert value["topics"][0]["partitions"] == 4
    assert "9101" not in json.dumps(value)


def test_an_order_is_found_whatever_the_order_of_the_file(tmp_path):
    plan = plan_of(
        tmp_path,
        """
        name: a
        streamlets:
          last: { use: console }
          middle: { use: pass }
          first: { use: flights }
        topics:
          s: { producers: [middle.out], consumers: [last.in] }
          t: { producers: [first.out], consumers: [middle.in] }
        """,
    )
    assert [streamlet.name for streamlet in order(plan)] == ["first", "middle", "last"]
