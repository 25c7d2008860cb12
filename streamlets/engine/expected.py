"""What a case expects beside what was seen: which events differ, and in which fields."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from blueprints.cases import Expectation, TopicExpectation
from blueprints.diagnostics import Mark
from blueprints.expressions import ExpressionError, free_names
from blueprints.suggest import did_you_mean
from streamlets.engine.matching import Undecided, fit_in_any_order, fit_in_order, nearest_pairs

SHOWN = 300  # characters of an event in a message: enough to know it by
SHOWN_VALUE = 120  # characters of one field's value
SHOWN_EVENTS = 10  # events that were not expected: after these they are counted
_MISSING = re.compile("there is no field '(.*)'")
EXACT = 1e-9  # relative: what is left of a number that went through JSON and a tensor of doubles


class Difference(NamedTuple):
    """A field that is not as expected: what was expected, and what came."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, {self.got}"


class Problem(NamedTuple):
    """What is wrong, at which line of the case; `fields` one difference each."""

    mark: Mark
    text: str
    fields: tuple[Difference, ...] = ()


class Seen(NamedTuple):
    """An event that came out, with its attributes. Events of one lane have an order that can be relied on."""

    data: Any
    attributes: Mapping[str, Any]
    lane: Hashable = None

    def __str__(self) -> str:
        return _cut(_json(self.data), SHOWN)


def compare(topic: str, expected: TopicExpectation, seen: Sequence[Seen]) -> list[Problem]:
    """Return how the events of a topic differ from what is expected of it."""
    problems = _compare_counts(topic, expected, len(seen))
    if expected.each is not None:
        for j, event in enumerate(seen):
            if found := differences(expected.each, event):
                problems.append(Problem(expected.each.mark, f"{topic}[{j}] differs", tuple(found)))
        problems = _bounded(problems, expected.each.mark, f"{topic}: %d more events differ")
    if expected.events is not None:
        problems += _compare_events(topic, expected, expected.events, seen)
    return problems


def _compare_counts(topic: str, expected: TopicExpectation, n: int) -> list[Problem]:
    least, most = expected.at_least, expected.at_most
    if n >= least and (most is None or n <= most):
        return []
    if least == most:
        wanted = count(least)
    elif n < least:
        wanted = f"at least {count(least)}"
    else:
        wanted = f"at most {count(most or 0)}"
    return [Problem(expected.mark, f"{topic}: {wanted} expected, {count(n)} came")]


def _compare_events(
    topic: str, expected: TopicExpectation, events: Sequence[Expectation], seen: Sequence[Seen]
) -> list[Problem]:
    known: dict[tuple[int, int], list[Difference]] = {}

    def differ(i: int, j: int) -> list[Difference]:
        if (i, j) not in known:
            known[i, j] = differences(events[i], seen[j])
        return known[i, j]

    def fits(i: int, j: int) -> bool:
        return not differ(i, j)

    n, mark = len(events), expected.mark
    is_whole = not expected.others
    if n == len(seen) or (expected.others and n <= len(seen)):
        try:
            lanes = [one.lane for one in seen]
            if expected.in_order and fit_in_order(n, lanes, fits, is_whole=is_whole):
                return []
        except Undecided:
            told = "too many events fit several of those expected to tell their order"
            told += "; say more of each, or 'order: any'"
            return [Problem(mark, f"{topic}: {told}")]
    pairs = fit_in_any_order(n, len(seen), fits)
    left = [i for i in range(n) if i not in pairs]
    taken = set(pairs.values())
    extra = [j for j in range(len(seen)) if j not in taken]
    if not left and (expected.others or not extra):
        if not expected.in_order:
            return []
        shown = "; ".join(map(str, seen[:5])) + ("; …" if len(seen) > 5 else "")
        return [Problem(mark, f"{topic}: the events are as expected, but in another order: {shown}")]
    problems = []
    if n != len(seen) and is_whole:
        problems.append(Problem(mark, f"{topic}: {count(n)} expected, {count(len(seen))} came"))
    near = nearest_pairs(left, extra, lambda i, j: len(differ(i, j)) / _weight(events[i]))
    for i in left:
        if i in near:
            found = tuple(differ(i, near[i]))
            problems.append(Problem(events[i].mark, f"{topic}[{near[i]}] differs", found))
        else:
            problems.append(Problem(events[i].mark, f"{topic}: this event did not come"))
    if is_whole:
        used = set(near.values())
        others = [Problem(mark, f"{topic}[{j}] was not expected: {seen[j]}") for j in extra if j not in used]
        problems += _bounded(others, mark, f"{topic}: %d more events were not expected")
    return problems


def _bounded(problems: list[Problem], mark: Mark, more: str) -> list[Problem]:
    if len(problems) <= SHOWN_EVENTS:
        return problems
    return [*problems[:SHOWN_EVENTS], Problem(mark, more % (len(problems) - SHOWN_EVENTS))]


def differences(expected: Expectation, seen: Seen) -> list[Difference]:
    """Return how an event differs from what is expected of it, one for each field; none when it fits."""
    found: list[Difference] = []
    if expected.kind is not None:
        _differ("", expected.value, seen.data, expected.kind == "subset", expected.within, found)
    for name, value in expected.attributes.items():
        there = seen.attributes.get(name)
        if isinstance(value, dict):  # of an extension that is not there nothing is expected
            value = {one: text for one, text in value.items() if text is not None or one in (there or {})}
        _differ(f"({name})", value, there, True, None, found)
    if expected.cel is not None:
        found += _condition(expected, seen)
    return found


def _condition(expected: Expectation, seen: Seen) -> list[Difference]:
    assert expected.cel is not None
    fields = seen.data if isinstance(seen.data, dict) else {}
    attributes = {name: value for name, value in seen.attributes.items() if value is not None}
    values = {"data": seen.data, **fields, "event": {**attributes, "data": seen.data}}
    try:
        result = expected.cel.evaluate(values)
    except ExpressionError as exc:
        missing = _MISSING.fullmatch(str(exc))
        hint = did_you_mean(missing[1], values) if missing else ""
        return [Difference("cel", expected.cel.text, f"{exc}{hint}; the event is {seen}")]
    if result is True:
        return []
    named = [name for name in free_names(expected.cel.text) if name in values]
    where = ", ".join(f"{name} = {_cut(_json(values[name]), SHOWN_VALUE)}" for name in named)
    told = (
        _json(result)
        if isinstance(result, bool)
        else f"{_cut(_json(result), SHOWN_VALUE)}, which is no truth"
    )
    return [Difference("cel", expected.cel.text, f"got {told}" + (f" where {where}" if where else ""))]


def _weight(expected: Expectation) -> int:
    """Return how much is said of an event: how many differences there can be, about."""
    return 1 + _leaves(expected.value) + len(expected.attributes) + (expected.cel is not None)


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    return sum(map(_leaves, value)) if isinstance(value, list) else 1


def _differ(
    path: str, expected: Any, seen: Any, is_subset: bool, within: float | None, found: list[Difference]
) -> None:
    if isinstance(expected, dict) and isinstance(seen, dict):
        for name, value in expected.items():
            below = f"{path}.{name}" if path else str(name)
            if name not in seen:
                found.append(Difference(below, _shown(value), "but it is missing"))
            else:
                _differ(below, value, seen[name], is_subset, within, found)
        if not is_subset:
            for name, value in seen.items():
                if name not in expected:
                    found.append(
                        Difference(f"{path}.{name}" if path else name, "nothing", f"got {_shown(value)}")
                    )
    elif isinstance(expected, list) and isinstance(seen, list):
        if len(expected) != len(seen):
            found.append(Difference(path or "data", _items(expected), f"got {_items(seen)}"))
            return
        for index, (one, other) in enumerate(zip(expected, seen)):
            _differ(f"{path}[{index}]", one, other, is_subset, within, found)
    elif not _is_same(expected, seen, within):
        one, other = _beside(expected, seen)
        told = f"got {other}" + (f", not within {within:g}" if within and _is_number(seen) else "")
        found.append(Difference(path or "data", one, told))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_same(expected: Any, seen: Any, within: float | None) -> bool:
    if isinstance(expected, bool) or isinstance(seen, bool):
        return expected is seen
    if _is_number(expected) and _is_number(seen) and float in (type(expected), type(seen)):
        if math.isnan(expected) or math.isnan(seen):
            return math.isnan(expected) and math.isnan(seen)
        return math.isclose(expected, seen, rel_tol=EXACT, abs_tol=within or 0.0)
    return bool(expected == seen)


def _items(values: Sequence[Any]) -> str:
    n = len(values)
    text = _json(values)
    return f"{n} item{'s' * (n != 1)} {text}" if len(text) <= SHOWN_VALUE else f"{n} items"


def _beside(expected: Any, seen: Any) -> tuple[str, str]:
    """Return two values as they are shown; of long texts the part around the first character that differs."""
    if isinstance(expected, str) and isinstance(seen, str) and max(len(expected), len(seen)) > SHOWN_VALUE:
        pairs = zip(expected, seen)
        first = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(seen)))
        start = max(0, first - SHOWN_VALUE // 3)
        if start:
            return _part(expected, start), _part(seen, start)
    return _shown(expected), _shown(seen)


def _part(text: str, start: int) -> str:
    end = start + SHOWN_VALUE
    return f"…{_json(text[start:end])}{'…' if len(text) > end else ''} (from character {start + 1})"


def _shown(value: Any) -> str:
    return _cut(_json(value), SHOWN_VALUE)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits, which YAML can write
        return str(value)


def count(n: int) -> str:
    """Return `3 events`, `1 event` or `no event`."""
    return f"{n:,} event{'s' * (n != 1)}" if n else "no event"
