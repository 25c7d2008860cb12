"""Changes of streamlets: what becomes of their groups, their small state and what they have not read yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from blueprints.diff import options
from blueprints.diff.change import Change, Effect, Side, Sign, taken_for, written
from blueprints.diff.pairs import Pairs
from blueprints.plan import StreamletPlan

Rule = Callable[[Side, Side, StreamletPlan, StreamletPlan, Pairs], Iterator[Change]]


def compare(old: Side, new: Side, pairs: Pairs) -> Iterator[Change]:
    """Yield what changed of streamlets, in the new file's order; what was removed comes last."""
    for name, after in new.plan.streamlets.items():
        was = pairs.streamlets.get(name)
        if was is None:
            yield _added(new, after)
        elif was != name:
            yield _renamed(old, new, old.plan.streamlets[was], after)
        else:
            for rule in RULES.values():
                yield from rule(old, new, old.plan.streamlets[name], after, pairs)
    for name, before in old.plan.streamlets.items():
        if name not in pairs.streamlets.values():
            yield _removed(old, before)


def _added(new: Side, after: StreamletPlan) -> Change:
    reads = [topic for port, topic in after.inlets.items() if _kind(new, after.name, port) == "stream"]
    if reads:
        why = f"its group is new and begins at '{_start(after)}' of {', '.join(reads)}"
    else:
        why = "a source, which begins at its beginning" if after.is_source else ""
    path = ("streamlets", after.name)
    return Change("+", ".".join(path), Effect.SAFE, why, after=after.use, mark=new.mark(*path))


def _removed(old: Side, before: StreamletPlan) -> Change:
    left = f"the group {old.plan.group(before.name)} and the topic {old.plan.state_topic(before.name)} stay in the log"
    why = f"{left}; delete them once nobody wants them back"
    path = ("streamlets", before.name)
    return Change("-", ".".join(path), Effect.ORPHANS, why, before=before.use, mark=old.mark(*path))


def _renamed(old: Side, new: Side, before: StreamletPlan, after: StreamletPlan) -> Change:
    why = (
        f"it looks renamed: the group {old.plan.group(before.name)} and its state stay behind, and "
        f"{new.plan.group(after.name)} begins anew at '{_start(after)}'; keep the name, or drain it "
        "and delete what is left"
    )
    path = ("streamlets", after.name)
    return Change("~", "streamlets", Effect.ORPHANS, why, before.name, after.name, new.mark(*path))


def _use(old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs) -> Iterator[Change]:
    if before.use == after.use:
        return
    keeps = [_keeps_state(side, after.name) for side in (old, new)]
    if before.is_source != after.is_source:
        why = (
            "one of them is a source and the other is not: the offsets of the one are none of the other's; give it "
            "another name"
        )
        effect = Effect.STATE
    elif any(keeps):
        why = (
            "its small state is of another kind and may be misread; once it is drained, delete "
            f"{new.plan.state_topic(after.name)} and its group, or give it another name"
        )
        effect = Effect.STATE
    else:
        effect, why = Effect.SAFE, "neither keeps a state: it goes on where the other one was"
    yield _change(old, new, after.name, "use", effect, why, before.use, after.use)


def _with(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    if before.use == after.use:
        yield from options.compare(old, new, before, after)
    elif before.options != after.options:
        yield _change(old, new, after.name, "with", Effect.SAFE, "the options of another streamlet")


def _replicas(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    if before.replicas != after.replicas:
        why = "partitions are shared out anew; what is in flight is finished first"
        yield _change(old, new, after.name, "replicas", Effect.SAFE, why, before.replicas, after.replicas)


def _overlap(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    if before.overlap != after.overlap:
        yield _change(old, new, after.name, "overlap", Effect.SAFE, "", before.overlap, after.overlap)


def _on_invalid(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    if before.on_invalid != after.on_invalid:
        why = {
            "drop": "events against their contract are counted and gone from now on",
            "stop": "the first event against its contract stops it",
            "dead-letter": "events against their contract are kept as dead letters",
        }[after.on_invalid]
        yield _change(
            old, new, after.name, "on-invalid", Effect.SAFE, why, before.on_invalid, after.on_invalid
        )


def _new_start(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    if before.start != after.start:
        why = f"without effect where the group {new.plan.group(after.name)} has read already; it counts for a new one"
        yield _change(old, new, after.name, "start", Effect.SAFE, why, _start(before), _start(after))


def _pod(old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs) -> Iterator[Change]:
    if before.pod != after.pod:  # it may hold anything, so no value of it is shown
        yield _change(old, new, after.name, "pod", Effect.SAFE, "its pods are replaced")


def _ports(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    yield from _inlets(old, new, before, after, pairs)
    yield from _outlets(old, new, before, after, pairs)


def _inlets(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    name = after.name
    for port in dict.fromkeys([*after.inlets, *before.inlets]):
        was, now = before.inlets.get(port), after.inlets.get(port)
        if was == now or (now is not None and pairs.topics.get(now) == was):
            continue  # where the topic itself was renamed, that is told there
        kind = _kind(new if now else old, name, port)
        if kind != "stream":
            what = (
                "it reads the other one whole before its next event"
                if now and was
                else ("it reads the topic whole before its next event" if now else "it goes on without")
            )
            yield _wired(old, new, name, port, Effect.SAFE, what if kind == "table" else "", was, now)
        elif was is None:
            why = f"it begins at '{_start(after)}' of {now}"
            yield _wired(old, new, name, port, Effect.SAFE, why, was, now)
        elif now is None:
            why = f"what it has not read of {was} is never read by it; drain {was} first"
            yield _wired(old, new, name, port, Effect.DRAIN, why, was, now)
        elif (
            len(before.inlets) == len(after.inlets)
            and old.plan.topics[was].log_name == new.plan.topics[now].log_name
        ):
            yield _wired(old, new, name, port, Effect.SAFE, "the same topic in the log", was, now)
        else:
            left = f"the group {new.plan.group(name)} and {new.plan.state_topic(name)}"
            why = (
                f"its state is true at offsets of {was}: {taken_for(now)}; drain {was}, then delete {left}: "
                f"it begins at '{_start(after)}' of {now}"
            )
            yield _wired(old, new, name, port, Effect.STATE, why, was, now)


def _outlets(
    old: Side, new: Side, before: StreamletPlan, after: StreamletPlan, pairs: Pairs
) -> Iterator[Change]:
    name = after.name
    for port in dict.fromkeys([*after.outlets, *before.outlets]):
        was, now = before.outlets.get(port), after.outlets.get(port)
        if was == now or (now is not None and pairs.topics.get(now) == was):
            continue
        if was is None or was not in new.plan.topics:
            yield _wired(old, new, name, port, Effect.SAFE, "", was, now)
            continue
        readers = set(map(str, old.plan.topics[was].consumers)) - set(
            map(str, new.plan.topics[was].consumers)
        )
        if readers:
            why = f"what is in {was} was for {', '.join(sorted(readers))}, which no longer read it; drain it first"
            yield _wired(old, new, name, port, Effect.DRAIN, why, was, now)
        else:
            yield _wired(old, new, name, port, Effect.SAFE, f"what is in {was} is read as before", was, now)


RULES: Final[Mapping[str, Rule]] = {
    "use": _use,
    "with": _with,
    "replicas": _replicas,
    "overlap": _overlap,
    "on-invalid": _on_invalid,
    "start": _new_start,
    "pod": _pod,
    "ports": _ports,
}
"""Field of a streamlet → what a change of it does; `ports` are those of topics' `producers` and `consumers`."""


def _change(
    old: Side,
    new: Side,
    name: str,
    field: str,
    effect: Effect,
    why: str,
    before: object = None,
    after: object = None,
) -> Change:
    path = ("streamlets", name, field)
    was, now = None, None
    if before is not None or after is not None:
        was, now = old.shown(before, *path), new.shown(after, *path)
    return Change("~", ".".join(path), effect, why, was, now, new.mark(*path))


def _wired(
    old: Side, new: Side, name: str, port: str, effect: Effect, why: str, was: str | None, now: str | None
) -> Change:
    """Return the change of a port's topic, at the place where the topic names it."""
    side = new if now is not None else old
    uses = side.draft.uses(name, port)
    mark = uses[0][1].mark if uses else new.mark("streamlets", name)
    sign: Sign = "+" if was is None else "-" if now is None else "~"
    return Change(sign, f"streamlets.{name}.{port}", effect, why, was, now, mark)


def _kind(side: Side, streamlet: str, port: str) -> str:
    found = side.streamlets[streamlet].ports.get(port)
    return found.kind if found is not None else "stream"


def _keeps_state(side: Side, streamlet: str) -> bool:
    kind = side.streamlets[streamlet].type
    return kind is None or kind.keeps_state


def _start(streamlet: StreamletPlan) -> str:
    return written(streamlet.start)
