"""Producers: several on one topic, whose contracts contradict each other where no contract of the topic decides."""

from __future__ import annotations

from itertools import combinations

from blueprints.compatible import misfits
from blueprints.field_types import FieldType
from blueprints.lint.draft import Draft, PortUse, TopicDraft


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        if topic.section.has("contract"):
            continue  # each producer is held against it, and readers against nothing else
        uses = [use for use in topic.producers if use.port is not None and use.port.contract is not None]
        for one, other in combinations(uses, 2):
            _compare(draft, topic, one, other)


def _compare(draft: Draft, topic: TopicDraft, one: PortUse, other: PortUse) -> None:
    """Report the fields of which no reader can say what they are.

    Those that neither producer's readers accept of the other, and that have no kind in common: whole numbers beside
    numbers, or a null now and then, are read as the wider of the two. Events that a field tells apart, such as a `kind`
    with words of its own in each contract, are two kinds of events and may differ in all else.
    """
    assert one.port is not None
    assert other.port is not None
    mine, theirs = one.port.contract, other.port.contract
    if mine is None or theirs is None or mine == theirs:
        return
    left, right = FieldType.of(mine), FieldType.of(theirs)
    if _are_told_apart(left, right):
        return
    refused = {misfit.path: misfit for misfit in misfits(mine, theirs)}
    for misfit in misfits(theirs, mine):
        if misfit.path not in refused:
            continue
        here, there = _at(left, misfit.path), _at(right, misfit.path)
        if here is None or there is None or not _differ(here, there):
            continue
        what = f"the field '{misfit.field}'" if misfit.path else "the data"
        message = (
            f"'{topic.name}' has two producers that contradict each other: {what} is {there.told} in what {other.ref} "
            f"writes, and {here.told} in what {one.ref} writes; let one of them write another topic, or both the same"
        )
        draft.error(other.mark, "conflicting-producers", message, ((one.mark, "the other producer"),))


def _differ(one: FieldType, other: FieldType) -> bool:
    if not one.core or not other.core:
        return False
    return not _numbers(one) & _numbers(other)


def _numbers(kind: FieldType) -> frozenset[str]:
    return frozenset("number" if name == "integer" else name for name in kind.core)


def _are_told_apart(one: FieldType, other: FieldType) -> bool:
    """Return whether both have a field, always there, that never has the same value in both."""
    for name in one.names:
        here, there = one.field(name), other.field(name)
        if here is None or there is None or here.may_be_absent or there.may_be_absent:
            continue
        mine, theirs = here.type.values, there.type.values
        if mine is not None and theirs is not None and not any(value in theirs for value in mine):
            return True
    return False


def _at(kind: FieldType, path: tuple[str, ...]) -> FieldType | None:
    for step in path:
        if step.startswith("["):
            kind = kind.item()
            continue
        found = kind.field(step)
        if found is None:
            return None
        kind = found.type
    return kind
