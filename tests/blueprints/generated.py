"""Seeded applications over built-ins, functions and classes, their options drawn from the options' JSON Schemas.

About half have something slightly wrong: a bound passed by one, a unit lost, a setting that contradicts another.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detectors.reference import Reference, save
from streamlets.catalog import Streamlets

OWN = '''\
from pydantic import BaseModel

from streamlets.ports import Batch, Inlet, OptionsBase, Outcome, Outlet


class Reading(BaseModel):
    sensor: str
    celsius: float


class Warm(BaseModel):
    sensor: str
    celsius: float
    hot: bool


def warm(reading: Reading) -> Warm | None:
    return Warm(sensor=reading.sensor, celsius=reading.celsius, hot=reading.celsius > 30)


async def later(reading: Reading) -> Reading:
    return reading


def many(readings: list[Reading]) -> list[Reading | None]:
    return list(readings)


def last(warm: Warm) -> None:
    return None


class Split:
    """Two outlets."""

    class Options(OptionsBase):
        above: float = 30.0

    inlets = (Inlet("in"),)
    outlets = (Outlet("high", required=False), Outlet("low", required=False))

    def __init__(self, options: "Split.Options", context: object) -> None:
        self.options = options

    async def process(self, batch: Batch) -> Outcome:
        return Outcome()


class Holding:
    """Holds events."""

    inlets = (Inlet("in"),)
    outlets = (Outlet("out", required=False),)
    holds = True

    def __init__(self, options: object, context: object) -> None:
        self.context = context

    async def process(self, batch: Batch) -> Outcome:
        return Outcome()
'''

SCHEMA = {
    "title": "Reading",
    "type": "object",
    "properties": {"sensor": {"type": "string"}, "celsius": {"type": "number"}},
    "required": ["sensor", "celsius"],
}

ENVIRON = {"TOKEN": "Bearer of-a-test", "COUNT": "3", "WAIT": "20ms", "FLAG": "true"}

_TEXTS: Mapping[str, tuple[str, ...]] = {
    "path": ("readings.jsonl", "*.jsonl", "gone.jsonl", "out/there.jsonl", "reading.txt"),
    "where": ("celsius > 30.0", "sensor == 'a'", "event.type == 'x'", "celsius >", "sensor + 1 > 2"),
    "reference": ("reference.npz", "reference.npz", "reference.npz", "gone.npz", "readings.jsonl", "../reference.npz"),
    "model": ("comfort", "a b", "m"),
    "version": ("1", "2"),
    "url": ("http://127.0.0.1:9101", "https://models.example.org/v1", "http://x y", "ftp://a", "model.onnx"),
    "allow": ("http://127.0.0.1:*", "https://*.example.org", "file:models", "nowhere", "http://10.0.0.0/8:80"),
    "inputs": ("celsius", "sensor", "celsius * 2.0", "celsius *"),
    "outputs": ("y", "z"),
    "fields": ("sensor", "celsius"),
    "include": ("sensor", "celsius"),
    "features": ("celsius", "humidity"),
    "id": ("sensor", "sensor + 'x'", "sensor +"),
    "time": ("at", "timestamp(at)"),
    "type": ("org.example.reading",),
    "headers": ("${TOKEN}", "in-clear"),
    "runbook": ("https://example.org/a",),
    "dashboard": ("https://example.org/b",),
}  # fmt: skip
_NAMES: Mapping[str, tuple[str, ...]] = {
    "inputs": ("x", "y"), "outputs": ("comfort", "y"), "headers": ("Authorization", "X-Team", "Content-Length", "a b"),
}  # fmt: skip


_OUTLETS: Mapping[str, tuple[str, ...]] = {
    "filter": ("out",),
    "score": ("out", "payloads"),
    "detect": ("alerts",),
    "own:Split": ("high", "low"),
}


class Generator:
    """Draws one application."""

    def __init__(self, seed: int, catalog: Streamlets, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.catalog, self.folder = catalog, folder
        self.slips = 0 if self.rng.random() < 0.5 else self.rng.randrange(1, 3)

    def slip(self, chance: float = 0.04) -> bool:
        """Return whether something is to be wrong here; so often as was drawn for the application."""
        if self.slips and self.rng.random() < chance:
            self.slips -= 1
            return True
        return False

    # --- options

    def draw(self, schema: Any, root: Any, name: str) -> Any:
        rng = self.rng
        while "$ref" in schema:
            for part in schema["$ref"].removeprefix("#/").split("/"):
                schema = root[part] if part == "$defs" else (root.get("$defs", {}) | root)[part]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return "nope" if self.slip() else rng.choice(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.draw(rng.choice(schema[word]), root, name)
        kind = schema.get("type")
        if kind == "object":
            if "properties" in schema:
                return self.options(schema, root)
            names = rng.sample(_NAMES.get(name, ("a", "b")), k=rng.randrange(0 if self.slip() else 1, 3))
            return {each: self.draw(schema.get("additionalProperties") or {}, root, name) for each in names}
        if kind == "array":
            least = schema.get("minItems", 0) if not self.slip() else 0
            count = rng.randrange(least, max(least, 2) + 1)
            return [self.draw(schema.get("items", {}), root, name) for _ in range(count)]
        if kind in ("integer", "number"):
            return self.number(schema, kind)
        if kind == "boolean":
            return rng.choice([True, False, "${FLAG}"])
        if kind == "null":
            return None
        return self.text(schema, name)

    def number(self, schema: Any, kind: str) -> Any:
        rng = self.rng
        low = schema.get("minimum", schema.get("exclusiveMinimum", 1))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1000))
        if self.slip():
            return rng.choice([low - 1, high + 1, "many", None])
        if rng.random() < 0.1:
            return "${COUNT}"
        step = 1 if kind == "integer" else 1e-3
        low = low if "exclusiveMinimum" not in schema else low + step
        high = high if "exclusiveMaximum" not in schema else high - step
        ends = [low, high, rng.uniform(low, high), min(high, low + rng.randrange(100))]
        drawn = rng.choice(ends)
        return int(drawn) if kind == "integer" else round(drawn, 3)

    def text(self, schema: Any, name: str) -> Any:
        rng = self.rng
        if schema.get("format") == "date":
            return rng.choice(["2013-01-01", "2013-06-01", "2013-13-01" if self.slip() else "2013-02-01"])
        if "pattern" in schema and schema.get("examples") and name not in _TEXTS:
            wrong = rng.choice(["5", 5, "5 parsec", "0s"])
            return wrong if self.slip() else rng.choice([*schema["examples"], "${WAIT}"])
        texts = _TEXTS.get(name, ("a",))
        if self.slip():
            return rng.choice([*texts, "", 17])
        return texts[0] if rng.random() < 0.9 else rng.choice(texts[:2])

    def options(self, schema: Any, root: Any) -> dict[str, Any]:
        rng = self.rng
        drawn = {}
        for name, child in schema.get("properties", {}).items():
            is_needed = name in schema.get("required", ())
            if (is_needed and not self.slip(0.02)) or (not is_needed and rng.random() < 0.25):
                drawn[name] = self.draw(child, root, name)
        if self.slip(0.02):
            drawn["colour"] = "red"
        return drawn

    # --- the application

    def streamlet(self, use: str) -> dict[str, Any]:
        rng = self.rng
        found: dict[str, Any] = {"use": use}
        if ":" not in use:
            kind = self.catalog.find(use, self.folder)
            schema = kind.options_schema()  # type: ignore[union-attr]
            options = self.options(schema, schema)
            if use == "detect":
                options.pop("features", None)
                if rng.random() < 0.8:
                    options["window"] = {"events": rng.choice([20, 100, 500, 1000])}
            if use == "score":
                if options.get("protocol") == "onnx":
                    options["servers"] = ["model.onnx" if not self.slip(0.3) else "gone.onnx"]
                if rng.random() < 0.8:
                    options.pop("updates", None)
            if use == "file-sink":
                options["path"] = rng.choice(["out.jsonl", "out.ndjson", "out/deep.jsonl"])
            if use == "file" and not self.slip(0.2):
                options["path"] = "readings.jsonl"
            if options or rng.random() < 0.5:
                found["with"] = options
        elif use.endswith("Split") and rng.random() < 0.5:
            found["with"] = {"above": rng.choice([1.5, 30, "high" if self.slip(0.3) else 2])}
        for name, values, wrong in (
            ("replicas", [1, 2, 4, "${COUNT}"], [0, 10_001, "two"]),
            ("overlap", [1, 2, 8], [0, 1_001, 1.5]),
            ("on-invalid", ["dead-letter", "drop", "stop"], ["ignore"]),
            ("start", ["earliest", "latest", "2026-04-01T00:00:00Z"], ["2026-04-01", "now"]),
            ("pod", [{"annotations": {"a": "b"}}], ["x"]),
        ):
            if rng.random() < 0.12:
                found[name] = rng.choice(wrong) if self.slip(0.3) else rng.choice(values)
        return found

    def topic(self) -> dict[str, Any]:
        rng = self.rng
        found: dict[str, Any] = {}
        for name, values, wrong in (
            ("key", ["sensor", "sensor + 'x'"], ["sensor +", "nowhere"]),
            ("partitions", [1, 2, 4, "${COUNT}"], [0, 10_001, "four"]),
            ("replication", [1, 3], [0, 101]),
            ("retention", ["7d", "1h", "${WAIT}"], [7, "0d", "7"]),
            ("max-bytes", ["1GiB", "10MiB"], ["1", "0B"]),
            ("config", [{"compression.type": "zstd"}, {"delete.retention.ms": "1000"}],
             [{"retention.ms": 1}, {"no.such": 1}, {"delete.retention.ms": "x"}]),
            ("contract", ["reading"], ["gone"]),
            ("topic", ["elsewhere.v1"], ["a b", "x" * 250, "app.dead-letters"]),
            ("format", ["json"], ["avro", "xml"]),
        ):  # fmt: skip
            if rng.random() < (0.2 if name in ("partitions", "key") else 0.06):
                found[name] = rng.choice(wrong) if self.slip(0.2) else rng.choice(values)
        return found

    def application(self) -> dict[str, Any]:
        rng = self.rng
        name = "app" if not self.slip() else rng.choice(["App", "a b", "x" * 64, ""])
        streamlets: dict[str, Any] = {}
        topics: dict[str, Any] = {}
        open_topics: list[str] = []
        uses = ["own:warm", "own:later", "own:many", "own:Split", "own:Holding", "filter", "score", "detect", "console",
                "file-sink", "own:last"]  # fmt: skip
        for number in range(rng.randrange(1, 3)):
            source = rng.choice(["file", "replay", "external", "external"])
            topic = f"t{len(topics)}"
            topics[topic] = self.topic()
            if source == "external":
                topics[topic]["external"] = True
            else:
                streamlets[f"source{number}"] = self.streamlet(source)
                topics[topic]["producers"] = [f"source{number}.out"]
            topics[topic]["consumers"] = []
            open_topics.append(topic)
        for number in range(rng.randrange(1, 6)):
            use = rng.choice(uses)
            label = f"s{number}" if not self.slip() else rng.choice(["S", "a_b", "x.y"])
            if label in streamlets:
                continue
            streamlets[label] = self.streamlet(use)
            topics[rng.choice(open_topics)]["consumers"].append(f"{label}.in")
            outlets = _OUTLETS.get(use, ("out",) if use.startswith("own:") and use != "own:last" else ())
            for outlet in outlets:
                if outlet in ("payloads", "low", "alerts") and rng.random() < 0.5:
                    continue
                if self.slip(0.02):
                    outlet = "nowhere"
                topic = f"t{len(topics)}"
                topics[topic] = {**self.topic(), "producers": [f"{label}.{outlet}"], "consumers": []}
                open_topics.append(topic)
            if use == "score" and rng.random() < 0.3:
                updates = {"consumers": [f"{label}.updates"], "compacted": not self.slip(), "external": True}
                topics[f"t{len(topics)}"] = updates
        for topic in topics.values():
            if not topic.get("consumers", True):
                del topic["consumers"]
                topic["external"] = True
        top: dict[str, Any] = {"name": name, "streamlets": streamlets, "topics": topics}
        for field, values, wrong in (
            ("delivery", ["exactly-once", "at-least-once"], ["at-most-once"]),
            ("prefix", ["", "p", "p.q"], ["a b", ".", "x" * 250]),
            ("defaults", [{"partitions": 2}, {"retention": "1d"}, {"replication": 2}],
             [{"partitions": 0}, {"key": "a"}]),
            ("dead-letters", [{"partitions": 2}, {"topic": "dead"}, {"retention": "1d"}],
             [{"partitions": 0}, {"topic": "a b"}, {"topic": "x" * 250}]),
        ):  # fmt: skip
            if rng.random() < 0.2:
                top[field] = rng.choice(wrong) if self.slip(0.3) else rng.choice(values)
        if any("contract" in topic for topic in topics.values()) or rng.random() < 0.2:
            kind = {"python": "own:Reading"} if rng.random() < 0.5 else {"json-schema": "reading.json"}
            top["contracts"] = {
                "reading": kind if not self.slip(0.1) else rng.choice([{}, {"json-schema": "gone.json"}])
            }
        return top

    def text_of(self) -> str:
        """Return the blueprint; JSON is YAML."""
        return json.dumps(self.application(), indent=1)


def beside(folder: Path) -> None:
    """Write what the blueprints name."""
    from blueprints.examples import flight_delays

    (folder / "own.py").write_text(OWN)
    (folder / "reading.json").write_text(json.dumps(SCHEMA))
    (folder / "readings.jsonl").write_text('{"sensor": "a", "celsius": 1.0}\n')
    save(Reference("flat", ("celsius",), np.zeros((200, 1)), np.zeros((30_000, 1))), folder / "reference.npz")
    model = Path(flight_delays.__file__).parent / "models" / "delay-1.onnx"
    (folder / "model.onnx").write_bytes(model.read_bytes())
