"""Blueprints that are right, for tests that break them: each with the files that lie beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detectors.reference import Reference, save
from streamlets.cli import new

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "blueprints" / "examples" / "flight_delays"

READING = {
    "title": "Reading",
    "type": "object",
    "properties": {"sensor": {"type": "string"}, "celsius": {"type": "number"}, "room": {"type": "string"}},
    "required": ["sensor", "celsius", "room"],
}

RECOMMENDER = """\
# yaml-language-server: $schema=blueprint.schema.json
name: recommender
streamlets:
  score:
    use: score
    with:
      servers: [ "http://recommender:8501" ]
      protocol: v2
      model: recommender
      inputs: { products: product, users: user }
topics:
  requests:        { external: true, consumers: [score.in] }
  recommendations: { producers: [score.out] }
"""

EVERYTHING = """\
name: everything
description: every field of the language, and every built-in
prefix: all
delivery: at-least-once

contracts:
  reading:
    json-schema: contracts/reading.json
  warm:
    python: "sensors:Warm"

defaults:
  replication: 1
  retention: 14d
  config:
    min.insync.replicas: 1

dead-letters:
  topic: everything.dead-letters
  partitions: 2
  replication: 1
  retention: 30d
  max-bytes: 1GiB

streamlets:
  readings:
    use: file
    with:
      path: readings.jsonl
      format: json
      follow: false
      type: org.example.reading
  clean:
    use: "sensors:clean"
    replicas: 1
    overlap: 2
    on-invalid: drop
    start: latest
  warm:
    use: filter
    with:
      where: "celsius > 30.0"
    replicas: 2
    on-invalid: stop
    start: 2026-04-01T00:00:00Z
  score:
    use: score
    with:
      model: comfort
      version: "3"
      servers:
        - http://127.0.0.1:9101
        - url: http://127.0.0.1:9102
          timeout: 5s
          weight: 2
          headers:
            Authorization: "${TOKEN}"
      protocol: v2
      inputs:
        x: [celsius]
      outputs:
        comfort: y
      include: [sensor]
      batch:
        max_events: 64
        max_wait: 5ms
      concurrency: 4
      balance: round-robin
      payloads:
        mode: request
      updates:
        allow:
          - http://127.0.0.1:*
        ready_within: 30s
      attempts: 3
      timeout: 10s
    pod:
      annotations:
        team: climate
  drift:
    use: detect
    with:
      detector: ks
      reference: reference.npz
      on: request
      window:
        events: 500
        wait: 1h
      per: all
      alpha: 0.05
      correction: fdr
      policy:
        use: votes
        needed: 3
        of: 5
        clean: 5
      runbook: https://example.org/drift
  alerts:
    use: console
    with:
      fields: [kind, feature]
      width: 120
  archive:
    use: file-sink
    with:
      path: out.jsonl

topics:
  raw:
    producers: [readings.out]
    consumers: [clean.in]
    key: sensor
    partitions: 4
    retention: 7d
    max-bytes: 1GiB
    config:
      compression.type: zstd
    format: json
    contract: reading
  cleaned:
    producers: [clean.out]
    consumers: [warm.in]
    replication: 2
  warm:
    producers: [warm.out]
    consumers: [score.in]
    contract: warm
  comfort:
    producers: [score.out]
    external: true
    topic: comfort.v1
  payloads:
    producers: [score.payloads]
    consumers: [drift.in]
    partitions: 1
  drift-alerts:
    producers: [drift.alerts]
    consumers: [alerts.in, archive.in]
    partitions: 1
  model-updates:
    consumers: [score.updates]
    compacted: true
    external: true
"""

SENSORS = """\
from pydantic import BaseModel


class Reading(BaseModel):
    sensor: str
    celsius: float
    room: str


class Warm(BaseModel):
    sensor: str
    celsius: float
    room: str


def clean(reading: Reading) -> Warm | None:
    return Warm(**reading.model_dump())
"""

FLOW = """\
{
  name: flow,
  "prefix": "",
  contracts: { reading: { json-schema: "contracts/reading.json" } },
  streamlets: {
    readings: { use: file, with: { path: readings.jsonl, "format": "json" } },
    warm: { use: 'filter', with: { where: "celsius > 30.0" }, start: latest, overlap: 3 },
    drift: { use: detect, with: { reference: reference.npz,
        window: { events: 500, wait: 10m }, alpha: 0.01,
        policy: { use: ewma, limit: 4.5 } } },
    print: { use: console, with: { width: 80 } },
  },
  topics: {
    readings: { producers: [ readings.out ], consumers: [ warm.in ], contract: reading,
                partitions: 1, retention: 2d },
    warm: { producers: [ warm.out ], consumers: [ drift.in, print.in ], max-bytes: 10MiB },
    alerts: { producers: [ drift.alerts ], external: true },
  },
}
"""

ANCHORS = """\
name: anchors
streamlets:
  north: &sensor
    use: file
    with: &lines
      path: readings.jsonl
      follow: true
  south: *sensor
  hot: { use: filter, with: { where: "celsius > 30.0" } }
  cold: &cold
    use: filter
    with: { where: "celsius < 5.0" }
    overlap: 2
  print: { use: console }
  keep: { use: console, with: { width: 100 } }
topics:
  north: &small
    producers: [north.out]
    consumers: [hot.in]
    retention: &week 7d
    key: sensor
  south: { producers: [south.out], consumers: [cold.in], retention: *week, key: sensor }
  hot:
    producers: [hot.out]
    consumers: [print.in]
    partitions: &few 2
  cold:
    producers: [cold.out]
    consumers: [keep.in]
    partitions: *few
"""

UNDER = """\
name: layered
streamlets:
  readings: { use: file, with: { path: readings.jsonl } }
  warm: { use: filter, with: { where: "celsius > 30.0" } }
  print: { use: console }
topics:
  readings: { producers: [readings.out], consumers: [warm.in], partitions: 2 }
  warm: { producers: [warm.out], consumers: [print.in] }
"""

OVER = """\
delivery: at-least-once
contracts:
  reading: { json-schema: contracts/reading.json }
streamlets:
  warm:
    with:
      where: "celsius > 35.0"
    overlap: 4
  keep:
    use: file-sink
    with:
      path: kept.jsonl
topics:
  readings:
    partitions: 1
    retention: 30d
    contract: reading
  warm:
    consumers: [print.in, keep.in]
    key: sensor
"""


@dataclass(frozen=True)
class Base:
    """A blueprint that is right. `text` is the file that is broken; `under` lies below it where it is an overlay."""

    name: str
    text: str
    files: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    under: str | None = None

    def write(self, folder: Path) -> None:
        """Write what lies beside the blueprint into a folder."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        save(_REFERENCE, folder / "reference.npz")
        if self.under is not None:
            (folder / "under.yaml").write_text(self.under)

    def paths(self, folder: Path) -> tuple[Path, list[Path]]:
        """Return the blueprint and its overlays; the file that is broken is `a.yaml`."""
        return (folder / "a.yaml", []) if self.under is None else (folder / "under.yaml", [folder / "a.yaml"])


_REFERENCE = Reference("flat", ("celsius",), np.zeros((200, 1)), np.zeros((30_000, 1)))
"""Small to unpack, and long enough for every window in here."""

ENVIRON = {"TOKEN": "Bearer of-a-test"}

_BESIDE = {
    "contracts/reading.json": json.dumps(READING),
    "sensors.py": SENSORS,
    "readings.jsonl": json.dumps({"sensor": "attic", "celsius": 31.0, "room": "attic"}) + "\n",
}

BASES = (
    Base(
        "flight-delays",
        (EXAMPLE / "flight-delays.yaml").read_text(),
        {"contracts/departure.json": (EXAMPLE / "contracts" / "departure.json").read_text()},
    ),
    Base("recommender", RECOMMENDER),
    Base(
        "new",
        new.BLUEPRINT.format(name="new"),
        {"features.py": new.FEATURES, "readings.jsonl": '{"sensor": "attic", "celsius": 35.0}\n'},
    ),
    Base("everything", EVERYTHING, _BESIDE),
    Base("flow", FLOW, _BESIDE),
    Base("anchors", ANCHORS, _BESIDE),
    Base("overlay", OVER, _BESIDE, under=UNDER),
)
