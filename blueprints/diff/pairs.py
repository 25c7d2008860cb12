"""What of the new blueprint was what of the old one: by name, and where names changed, by what looks alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from blueprints.plan import Plan, StreamletPlan, TopicPlan

T = TypeVar("T")

ALIKE = 0.5  # of what could be the same at least so much is


@dataclass(frozen=True)
class Pairs:
    """New name → old name, of streamlets and of topics."""

    streamlets: Mapping[str, str]
    topics: Mapping[str, str]


def pairs(old: Plan, new: Plan) -> Pairs:
    """Return which is which; a name on both sides is the same thing, whatever has changed of it."""
    streamlets = _paired(
        old.streamlets, new.streamlets, lambda was, now: _streamlets_alike(was, now, old.topics, new.topics)
    )
    topics = _paired(old.topics, new.topics, lambda was, now: _topics_alike(was, now, streamlets))
    return Pairs(streamlets, topics)


def _paired(old: Mapping[str, T], new: Mapping[str, T], alike: Callable[[T, T], float]) -> dict[str, str]:
    found = {name: name for name in new if name in old}
    left = [name for name in old if name not in new]
    scores = sorted(
        ((alike(old[was], new[now]), was, now) for now in new if now not in old for was in left),
        key=lambda score: (-score[0], score[1:]),
    )
    for score, was, now in scores:
        if score >= ALIKE and now not in found and was not in found.values():
            found[now] = was
    return found


def _streamlets_alike(
    was: StreamletPlan, now: StreamletPlan, old: Mapping[str, Any], new: Mapping[str, Any]
) -> float:
    if was.use != now.use:
        return 0.0

    def items(one: StreamletPlan, others: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        ports = [("in", *pair) for pair in one.inlets.items()] + [
            ("out", *pair) for pair in one.outlets.items()
        ]
        # A topic that is on one side only may be renamed itself, so that its name says nothing.
        wired = [(kind, port, topic if topic in others else "") for kind, port, topic in ports]
        return wired + [("with", name, repr(value)) for name, value in one.options.items()]

    return _share(items(was, new), items(now, old))


def _topics_alike(was: TopicPlan, now: TopicPlan, streamlets: Mapping[str, str]) -> float:
    if was.external != now.external:
        return 0.0
    if was.log_name == now.log_name:
        return 1.0
    renamed = [
        (side, streamlets.get(ref.streamlet, ref.streamlet), ref.port)
        for side, refs in (("out", now.producers), ("in", now.consumers))
        for ref in refs
    ]
    before = [
        (side, ref.streamlet, ref.port)
        for side, refs in (("out", was.producers), ("in", was.consumers))
        for ref in refs
    ]
    return _share(before, renamed)


def _share(was: Iterable[Any], now: Iterable[Any]) -> float:
    one, other = set(was), set(now)
    return len(one & other) / len(one | other) if one | other else 0.0
