"""What a change of a blueprint does to an application that runs: plan against plan, so that order, comments and the
spelling of values do not count, and defaults and the environment do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from blueprints.diff import streamlets, topics
from blueprints.diff.change import Change, Effect, Side, Sign
from blueprints.diff.pairs import pairs


def compare(old: Side, new: Side) -> list[Change]:
    """Return the changes: of the application, its contracts, its streamlets, its topics."""
    which = pairs(old.plan, new.plan)
    return [
        *_application(old, new),
        *_contracts(old, new),
        *streamlets.compare(old, new, which),
        *topics.compare(old, new, which, is_prefix_told=old.plan.prefix != new.plan.prefix),
        *topics.dead_letters(old, new),
    ]


def _application(old: Side, new: Side) -> Iterator[Change]:
    was, now = old.plan, new.plan
    if was.name != now.name:
        why = (
            f"groups and state topics are named after the application: those of {was.name} stay in the log, and every "
            f"streamlet begins anew at its 'start'; keep the name, or drain {was.name} and delete what it leaves"
        )
        yield _change(old, new, "name", Effect.ORPHANS, why, was.name, now.name)
    if was.prefix != now.prefix:
        own = [
            one for one in now.topics.values() if not one.external and one.log_name == now.prefix + one.name
        ]
        why = (
            f"{len(own)} topics have other names in the log: the old ones stay there with their events, and what "
            "reads them has a state that is true at their offsets; once they are drained, delete its groups and states"
        )
        if own:
            if was.name != now.name and not new.draft.top.has("prefix"):
                why = f"it is the name, where none is given: {why}"
            shown = (was.prefix.removesuffix("."), now.prefix.removesuffix("."))
            yield _change(old, new, "prefix", Effect.ORPHANS, why, *shown)
    if was.delivery != now.delivery:
        why = "workers of the old way and of the new do not fence each other off; stop and drain it, then start it anew"
        if now.delivery == "at-least-once":
            why += "; readers of its topics may see an event more than once from now on"
        yield _change(old, new, "delivery", Effect.DRAIN, why, was.delivery, now.delivery)
    if was.description != now.description:
        yield _change(old, new, "description", Effect.SAFE, "", was.description, now.description)


def _contracts(old: Side, new: Side) -> Iterator[Change]:
    was, now = old.draft.contracts, new.draft.contracts
    for name in dict.fromkeys([*now, *was]):
        before, after = was.get(name), now.get(name)
        path = ("contracts", name)
        why = "what it means for events is told at their topics"
        if before is None or after is None:
            side = old if after is None else new
            sign: Sign = "-" if after is None else "+"
            yield Change(sign, ".".join(path), Effect.SAFE, mark=side.mark(*path))
        elif (before.kind, before.source) != (after.kind, after.source):
            shown = (f"{before.kind} {before.source}", f"{after.kind} {after.source}")
            yield Change("~", ".".join(path), Effect.SAFE, why, *shown, new.mark(*path))


def _change(old: Side, new: Side, field: str, effect: Effect, why: str, before: str, after: str) -> Change:
    shown = (old.shown(before, field), new.shown(after, field))
    return Change("~", field, effect, why, *shown, new.mark(field))


def summary(changes: list[Change]) -> Mapping[Effect, int]:
    """Return how many changes there are of each class, the harmless first."""
    return {effect: count for effect in Effect if (count := sum(one.effect is effect for one in changes))}


__all__ = ["Change", "Effect", "Side", "compare", "summary"]
