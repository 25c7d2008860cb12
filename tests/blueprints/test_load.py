import textwrap
from pathlib import Path

import pytest

from blueprints.diagnostics import BlueprintError
from blueprints.load import load, verify
from blueprints.plan import PortRef
from tests.blueprints.catalog import TestCatalog

FLIGHT_DELAYS = """\
name: flight-delays
delivery: exactly-once              # the default; or at-least-once

contracts:                          # where a port has no Python type, or a topic comes from outside
  departure: { json-schema: contracts/departure.json }

streamlets:
  flights:  { use: replay, with: { dataset: nycflights13, rate: max } }
  features: { use: "blueprints.examples.flight_delays.features:features" }
  score:
    use: score
    with:
      model: delay
      servers: [ "http://127.0.0.1:9101", "http://127.0.0.1:9102" ]
      protocol: v2
      inputs: { x: [distance, hour, origin_code, carrier_code, temp, wind, visibility, pressure] }
      outputs: { delay_minutes: y }
      batch: { max_events: 128, max_wait: 5ms }
      updates: { allow: [ "http://127.0.0.1:*" ] }
  drift:
    use: detect
    with: { detector: ks, reference: "reference.npz", window: { events: 2000 } }
  alerts: { use: console }

topics:
  departures:    { producers: [flights.out], consumers: [features.in], key: carrier, partitions: 4,
                   contract: departure }
  features:      { producers: [features.out], consumers: [score.in] }
  predictions:   { producers: [score.out] }
  payloads:      { producers: [score.payloads], consumers: [drift.in], partitions: 1, retention: 7d }
  drift-alerts:  { producers: [drift.alerts], consumers: [alerts.in] }
  model-updates: { consumers: [score.updates], compacted: true, external: true }
"""


@pytest.fixture
def flight_delays(tmp_path: Path) -> Path:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "departure.json").write_text('{"type": "object"}')
    path = tmp_path / "flight-delays.yaml"
    path.write_text(FLIGHT_DELAYS)
    return path


def plan_of(tmp_path: Path, text: str, environ=None, overlays=()):
    path = tmp_path / "app.yaml"
    path.write_text(textwrap.dedent(text))
    files = []
    for number, overlay in enumerate(overlays):
        files.append(tmp_path / f"overlay{number}.yaml")
        files[-1].write_text(textwrap.dedent(overlay))
    return load(path, TestCatalog(), environ or {}, files)


def test_the_larger_example_has_one_remark(flight_delays):
    found = verify(flight_delays, TestCatalog(), {})
    assert [(d.severity, d.code) for d in found] == [("warning", "no-consumer")]


def test_the_larger_example_gives_a_plan(flight_delays):
    plan = load(flight_delays, TestCatalog(), {})
    assert (plan.name, plan.prefix, plan.delivery) == ("flight-delays", "flight-delays.", "exactly-once")
    assert plan.topics["departures"].log_name == "flight-delays.departures"
    assert plan.topics["departures"].producers == (PortRef("flights", "out"),)
    assert plan.topics["model-updates"].log_name == "model-updates"
    assert plan.topics["payloads"].retention_s == 7 * 86400
    assert plan.topics["departures"].contract.json_schema == {"type": "object"}
    assert plan.streamlets["score"].inlets == {"in": "features", "updates": "model-updates"}
    assert plan.streamlets["score"].outlets == {"out": "predictions", "payloads": "payloads"}
    assert plan.streamlets["flights"].is_source
    assert plan.streamlets["score"].options["batch"] == {"max_events": 128, "max_wait": "5ms"}
    assert plan.base_dir == flight_delays.parent


def test_partitions_are_those_of_the_topic_that_the_producer_reads(flight_delays):
    plan = load(flight_delays, TestCatalog(), {})
    counts = {name: topic.partitions for name, topic in plan.topics.items()}
    assert counts == {
        "departures": 4,
        "features": 4,
        "predictions": 4,
        "payloads": 1,
        "drift-alerts": 1,
        "model-updates": 1,
    }


def test_a_plan_is_refused_with_every_problem(tmp_path):
    with pytest.raises(BlueprintError) as refused:
        plan_of(
            tmp_path,
            """
            name: app
            streamlets:
              a: { use: scor }
              b: { use: console, wiht: {} }
            topics:
              t: { producers: [a.out], consumers: [b.in], partitions: none }
            """,
        )
    assert [(d.mark.line, d.code) for d in refused.value.diagnostics] == [
        (4, "unknown-streamlet"),
        (5, "unknown-field"),
        (7, "bad-value"),
    ]
    assert "did you mean 'score'" in str(refused.value)
