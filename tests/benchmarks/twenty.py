"""A blueprint of twenty built-in streamlets as an application would have them, and what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

READING = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Reading",
    "type": "object",
    "properties": {
        "sensor": {"type": "string"},
        "celsius": {"type": "number"},
        "humidity": {"type": "number", "minimum": 0, "maximum": 100},
        "room": {"type": "string", "enum": ["attic", "cellar", "kitchen"]},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": ["sensor", "celsius", "humidity", "room", "at"],
}

HOT = ', hot: "celsius > 30.0 ? 1.0 : 0.0"'


def blueprint(with_expressions: bool = True) -> str:
    """Return the text: a file in, eight filters, three models, two detectors, three sinks and three consoles.

    Without expressions: consoles in the place of the filters, and neither keys nor contracts nor tensors of a formula.
    """
    contracts = "contracts:\n  reading: { json-schema: reading.json }\n" if with_expressions else ""
    settings = ", key: sensor, contract: reading" if with_expressions else ""
    streamlets = [
        "  readings: { use: file, with: { path: readings.jsonl } }",
        "  archive: { use: file-sink, with: { path: archive.jsonl } }",
    ]
    topics = []
    readers = ["archive.in"]
    for i in range(8):
        if with_expressions:
            where = f"celsius > {20 + i}.0 && room != 'cellar' || humidity < {i * 10}.5"
            streamlets.append(f'  f{i}: {{ use: filter, with: {{ where: "{where}" }}, overlap: {i + 1} }}')
        else:
            streamlets.append(f"  f{i}: {{ use: console, with: {{ fields: [sensor], width: {80 + i} }} }}")
        readers.append(f"f{i}.in")
    topics.append(
        f"  readings: {{ producers: [readings.out], consumers: [{', '.join(readers)}], partitions: 1,"
        f" retention: 7d{settings} }}"
    )
    for i in range(3):
        streamlets.append(f"""\
  score{i}:
    use: score
    with:
      model: comfort-{i}
      servers:
        - url: http://127.0.0.1:{9101 + i}
          timeout: 2s
          headers: {{ X-Team: "${{PATH}}" }}
        - http://127.0.0.1:{9201 + i}
      protocol: v2
      inputs: {{ x: [celsius, humidity]{HOT if with_expressions else ""} }}
      outputs: {{ comfort: y }}
      batch: {{ max_events: 64, max_wait: 5ms }}
      updates: {{ allow: [ "http://127.0.0.1:*" ] }}""")
        if with_expressions:
            topics.append(f"  warm{i}: {{ producers: [f{i}.out], consumers: [score{i}.in] }}")
        else:
            topics.append(f"  warm{i}: {{ external: true, consumers: [score{i}.in] }}")
        topics.append(f"  comfort{i}: {{ producers: [score{i}.out], external: true }}")
        topics.append(f"  updates{i}: {{ consumers: [score{i}.updates], compacted: true, external: true }}")
    for i in range(2):
        streamlets.append(
            f"  drift{i}: {{ use: detect, with: {{ reference: reference.npz, window: {{ events: 500, wait: 1h }},"
            f" policy: {{ use: votes, needed: 3, of: 5 }} }} }}"
        )
        topics.append(
            f"  payloads{i}: {{ producers: [score{i}.payloads], consumers: [drift{i}.in], partitions: 1,"
            " retention: 2d }"
        )
        topics.append(f"  alerts{i}: {{ producers: [drift{i}.alerts], consumers: [print{i}.in] }}")
        streamlets.append(f"  print{i}: {{ use: console }}")
    streamlets.append("  print2: { use: console, with: { width: 100 } }")
    streamlets.append("  keep: { use: file-sink, with: { path: keep.jsonl } }")
    streamlets.append("  more: { use: file, with: { path: readings.jsonl, type: org.example.more } }")
    topics.append("  more: { producers: [more.out], consumers: [print2.in, keep.in] }")
    if with_expressions:
        topics += [f"  rest{i}: {{ producers: [f{i}.out], external: true }}" for i in range(3, 8)]
    return "\n".join(["name: twenty", contracts + "streamlets:", *streamlets, "topics:", *topics]) + "\n"


def write(folder: Path, with_expressions: bool = True) -> Path:
    """Write the blueprint and what lies beside it; return its path."""
    import numpy as np

    from detectors.reference import Reference, save

    path = folder / "twenty.yaml"
    path.write_text(blueprint(with_expressions))
    (folder / "reading.json").write_text(json.dumps(READING))
    (folder / "readings.jsonl").write_text('{"sensor": "a", "celsius": 1.0}\n')
    rng = np.random.default_rng(7)
    rows, calibration = rng.normal(size=(2_000, 8)), rng.normal(size=(10_000, 8))
    features = tuple(f"x{i}" for i in range(8))
    save(Reference("twenty", features, rows, calibration), folder / "reference.npz")
    return path
