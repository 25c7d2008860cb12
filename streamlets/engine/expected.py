"""What a case expects beside what was seen: which events differ, and in which fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from blueprints.cases import Expectation
from blueprints.diagnostics import Mark
from blueprints.expressions import ExpressionError

SHOWN = 300  # characters of an event in a message: enough to know it by


class Problem(NamedTuple):
    """What is wrong, at which line of the case; `fields` one difference each."""

    mark: Mark
    text: str
    fields: tuple[str, ...] = ()


class Seen(NamedTuple):
    """An event that came out."""

    data: Any
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        text = orjson.dumps(self.data, default=str).decode()
        return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def compare(
    topic: str, mark: Mark, expected: Sequence[Expectation], seen: Sequence[Seen], is_ordered: bool
) -> list[Problem]:
    """Return how the events of a topic differ from what is expected; `is_ordered`: also in their order."""
    found = [[differences(one, event) for event in seen] for one in expected]
    pairs = _in_order(found, len(seen)) if is_ordered else _in_any_order(found, len(seen))
    left = [i for i in range(len(expected)) if i not in pairs]
    extra = [j for j in range(len(seen)) if j not in pairs.values()]
    if not left and not extra:
        return []
    if is_ordered and len(expected) == len(seen) and len(_in_any_order(found, len(seen))) == len(seen):
        return [Problem(mark, f"{topic}: the events are as expected, but in another order: {_shown(seen)}")]
    problems = []
    if len(expected) != len(seen):
        problems.append(Problem(mark, f"{topic}: {_count(len(expected))} expected, {_count(len(seen))} came"))
    for i, j in zip(left, extra):
        problems.append(Problem(expected[i].mark, f"{topic}[{j}] differs", tuple(found[i][j])))
    for i in left[len(extra) :]:
        problems.append(Problem(expected[i].mark, f"{topic}: this event did not come"))
    for j in extra[len(left) :]:
        problems.append(Problem(mark, f"{topic}[{j}] was not expected: {seen[j]}"))
    return problems


def differences(expected: Expectation, seen: Seen) -> list[str]:
    """Return how an event differs from what is expected of it, a line for each field; none when it fits."""
    found: list[str] = []
    if expected.kind == "cel":
        data = seen.data if isinstance(seen.data, dict) else {"data": seen.data}
        try:
            if expected.value.evaluate(data) is not True:
                found.append(f"not true: {expected.value.text}; the event is {seen}")
        except ExpressionError as exc:
            found.append(f"{expected.value.text}: {exc}; the event is {seen}")
    else:
        _differ("", expected.value, seen.data, expected.kind == "subset", found)
    for name, value in expected.attributes.items():
        wanted = value if isinstance(value, dict) else str(value)
        _differ(f"({name})", wanted, seen.attributes.get(name), True, found)
    return found


def _differ(path: str, expected: Any, seen: Any, is_subset: bool, found: list[str]) -> None:
    if isinstance(expected, dict) and isinstance(seen, dict):
        for name, value in expected.items():
            below = f"{path}.{name}" if path else str(name)
            if name not in seen:
                found.append(f"{below}: expected {_json(value)}, but it is missing")
            else:
                _differ(below, value, seen[name], is_subset, found)
        if not is_subset:
            found += [
                f"{path}.{name}" if path else f"{name}: not expected, but {_json(value)} came"
                for name, value in seen.items()
                if name not in expected
            ]
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        for index, (one, other) in enumerate(zip(expected, seen)):
            _differ(f"{path}[{index}]", one, other, is_subset, found)
    elif not _is_same(expected, seen):
        found.append(f"{path or 'data'}: expected {_json(expected)}, got {_json(seen)}")


def _is_same(expected: Any, seen: Any) -> bool:
    if isinstance(expected, bool) or isinstance(seen, bool):
        return expected is seen
    if isinstance(expected, float) and isinstance(seen, int | float):
        return math.isclose(expected, seen, rel_tol=1e-9) or (math.isnan(expected) and math.isnan(seen))
    return bool(expected == seen)


def _in_order(found: Sequence[Sequence[list[str]]], n_seen: int) -> dict[int, int]:
    """Return expected → seen of the longest run of fits in the same order."""
    n = len(found)
    best = [[0] * (n_seen + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        for j in range(n_seen - 1, -1, -1):
            best[i][j] = best[i + 1][j + 1] + 1 if not found[i][j] else max(best[i + 1][j], best[i][j + 1])
    pairs, i, j = {}, 0, 0
    while i < n and j < n_seen:
        if not found[i][j]:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _in_any_order(found: Sequence[Sequence[list[str]]], n_seen: int) -> dict[int, int]:
    """Return expected → seen with as many fits as there can be (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in range(n_seen):
            if found[i][j] or j in tried:
                continue
            tried.add(j)
            if j not in taken or place(taken[j], tried):
                taken[j] = i
                return True
        return False

    for i in range(len(found)):
        place(i, set())
    return {i: j for j, i in taken.items()}


def _json(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _shown(seen: Sequence[Seen]) -> str:
    return "; ".join(map(str, seen[:5])) + ("; …" if len(seen) > 5 else "")


def _count(n: int) -> str:
    return f"{n} event{'s' * (n != 1)}" if n else "no event"
