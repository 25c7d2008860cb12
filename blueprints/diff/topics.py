"""Changes of topics: what becomes of the events in them, of their order by key, and of those who read them.

What a change of a contract means is decided by holding the new reader against what the old writer may have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from blueprints.diff.change import Change, Effect, Side, Sign, cut, duration, size, taken_for, written
from blueprints.diff.encodings import misfit
from blueprints.diff.pairs import Pairs
from blueprints.plan import TopicPlan

Rule = Callable[["Compared"], Iterator[Change]]

ALTER: Final = "alter the topic in the log (`run` refuses one that differs)"


class Compared:
    """A topic on both sides. `path`: where it stands in the blueprint."""

    def __init__(
        self, old: Side, new: Side, before: TopicPlan, after: TopicPlan, path: tuple[str, ...]
    ) -> None:
        self.old, self.new, self.before, self.after, self.path = old, new, before, after, path

    def changed(
        self, field: str, effect: Effect, why: str, was: str | None = None, now: str | None = None
    ) -> Change:
        """Return the change of a field, with values as they are written where they come from the environment."""
        here = (*self.path, field)
        if was is not None:
            was = self.old.shown(
                was, *(*self.path[:-1], self.before.name, field) if self.path[0] == "topics" else here
            )
        if now is not None:
            now = self.new.shown(now, *here)
        return Change("~", ".".join(here), effect, why, was, now, self.new.mark(*here))

    @property
    def is_others(self) -> bool:
        """Whether the topic's settings are others' to make, before and after."""
        return self.before.external and self.after.external


def compare(old: Side, new: Side, pairs: Pairs, is_prefix_told: bool) -> Iterator[Change]:
    """Yield what changed of topics, in the new file's order; what was removed comes last."""
    for name, after in new.plan.topics.items():
        was = pairs.topics.get(name)
        if was is None:
            yield Change("+", f"topics.{name}", Effect.SAFE, "", mark=new.mark("topics", name))
            continue
        one = Compared(old, new, old.plan.topics[was], after, ("topics", name))
        if was != name:
            yield _renamed(one)
        elif not is_prefix_told or _own(old, one.before) != _own(new, after):
            yield from _log_name(one)
        for field, rule in RULES.items():
            if field != "topic":
                yield from rule(one)
    for name, before in old.plan.topics.items():
        if name not in pairs.topics.values():
            yield _removed(old, before)


def dead_letters(old: Side, new: Side) -> Iterator[Change]:
    """Yield what changed of the topic of dead letters."""
    one = Compared(old, new, old.plan.dead_letters, new.plan.dead_letters, ("dead-letters",))
    was, now = one.before.log_name, one.after.log_name
    is_named_after = was == f"{old.plan.name}.dead-letters" and now == f"{new.plan.name}.dead-letters"
    if was != now and not is_named_after:
        why = f"the letters in {was} stay there; look through them first"
        yield one.changed("topic", Effect.ORPHANS, why, was, now)
    for field in ("partitions", "replication", "retention", "max-bytes"):
        yield from RULES[field](one)


def _own(side: Side, topic: TopicPlan) -> str:
    return topic.log_name.removeprefix(side.plan.prefix)


def _removed(old: Side, before: TopicPlan) -> Change:
    path = ("topics", before.name)
    if before.external:
        effect, why = Effect.SAFE, f"{before.log_name} stays in the log, for others"
    else:
        effect = Effect.ORPHANS
        why = f"{before.log_name} stays in the log with its events; delete it once they are read"
    return Change("-", ".".join(path), effect, why, mark=old.mark(*path))


def _renamed(one: Compared) -> Change:
    was, now = one.before, one.after
    if was.log_name == now.log_name:
        effect, why = Effect.SAFE, f"it is {now.log_name} in the log as before"
    else:
        effect = Effect.ORPHANS
        why = (
            f"it looks renamed: {was.log_name} stays in the log with its events, and {now.log_name} begins empty"
            f"{_moved_readers(one)}; write 'topic: {was.log_name}' to keep it"
        )
    return Change("~", "topics", effect, why, was.name, now.name, one.new.mark(*one.path))


def _log_name(one: Compared) -> Iterator[Change]:
    was, now = one.before, one.after
    if was.log_name == now.log_name:
        if was.external != now.external:
            why = (
                "its settings are others' to make from now on"
                if now.external
                else "its settings are ours to make from now on: `run` refuses a topic that differs from them"
            )
            yield one.changed("external", Effect.SAFE, why, written(was.external), written(now.external))
        return
    field = "topic" if was.external == now.external else "external"
    values = (
        (written(was.external), written(now.external))
        if field == "external"
        else (was.log_name, now.log_name)
    )
    why = f"{was.log_name} stays in the log with its events, and {now.log_name} is another topic{_moved_readers(one)}"
    if field == "external":
        why += f"; write 'topic: {was.log_name}' to keep it"
    yield one.changed(field, Effect.ORPHANS, why, *values)


def _moved_readers(one: Compared) -> str:
    """Return what the readers of a topic meet when its name in the log is another."""
    names = sorted(
        {ref.streamlet for ref in one.after.consumers} & {ref.streamlet for ref in one.before.consumers}
    )
    if not names:
        return ""
    told = f"the state of {', '.join(names)} is true at offsets of the old one"
    return f"; {told}: {taken_for('the new one')}"


def _partitions(one: Compared) -> Iterator[Change]:
    was, now = one.before.partitions, one.after.partitions
    if was == now:
        return
    if one.is_others:
        yield one.changed(
            "partitions", Effect.SAFE, "without effect: others have made it", str(was), str(now)
        )
        return
    if now < was:
        why = "a log only ever adds partitions: drain it and delete it, or give it another name"
    else:
        why = (
            "events of one key go to other partitions from now on, where they may overtake earlier ones, and small "
            f"state stays with the partition that it was kept for; drain it, then {ALTER} and "
            "the state topics of its readers"
        )
    yield one.changed("partitions", Effect.PARTITIONS, why, str(was), str(now))


def _key(one: Compared) -> Iterator[Change]:
    if one.before.key == one.after.key:
        return
    why = "events of one key lie in other partitions from now on, where they may overtake earlier ones; drain it first"
    if one.after.compacted:
        why += ", and delete the entries under the old keys, which nothing replaces any more"
    yield one.changed("key", Effect.PARTITIONS, why, written(one.before.key), written(one.after.key))


def _replication(one: Compared) -> Iterator[Change]:
    if one.before.replication != one.after.replication:
        why = "for a topic that is made anew; one that is there keeps its copies until its log moves them"
        was, now = written(one.before.replication), written(one.after.replication)
        yield one.changed("replication", Effect.SAFE, why, was, now)


def _kept(
    one: Compared, field: str, was: float | None, now: float | None, show: Callable[[Any], str]
) -> Iterator[Change]:
    """Yield a change of how much is kept."""
    if was == now:
        return
    if one.is_others:
        effect, why = Effect.SAFE, "without effect: others have made it"
    elif now is None:
        effect, why = (
            Effect.SAFE,
            "the topic that is there keeps what it has; a new one gets the log's own default",
        )
    elif was is None or now < was:
        effect = Effect.DRAIN
        why = f"what is beyond it is deleted, read or not: be sure that every reader is done with it, then {ALTER}"
        if was is None:
            why = f"where that is less than the log's own default, {why}"
    else:
        effect, why = Effect.SAFE, ALTER
    yield one.changed(field, effect, why, show(was), show(now))


def _retention(one: Compared) -> Iterator[Change]:
    yield from _kept(one, "retention", one.before.retention_s, one.after.retention_s, duration)


def _max_bytes(one: Compared) -> Iterator[Change]:
    yield from _kept(one, "max-bytes", one.before.max_bytes, one.after.max_bytes, size)


def _compacted(one: Compared) -> Iterator[Change]:
    was, now = one.before.compacted, one.after.compacted
    if was == now:
        return
    if one.is_others:
        effect, why = Effect.SAFE, "others have made it; see that it is so"
    elif now:
        effect = Effect.DRAIN
        why = f"of each key only the latest event is kept: see that every reader is done with the others, then {ALTER}"
    else:
        effect = Effect.STATE
        why = f"entries are deleted with age, so that tables read from it lose them; {ALTER}"
    yield one.changed("compacted", effect, why, written(was), written(now))


def _config(one: Compared) -> Iterator[Change]:
    for name in dict.fromkeys([*one.before.config, *one.after.config]):
        was, now = one.before.config.get(name), one.after.config.get(name)
        if was == now:
            continue
        here = (*one.path, "config", name)
        effect, why = Effect.SAFE, "for a topic that is made anew; alter the one that is there"
        if (
            name in ("retention.ms", "retention.bytes")
            and now is not None
            and (was is None or _less(now, was))
        ):
            effect = Effect.DRAIN
            why = "what is beyond it is deleted, read or not: be sure that every reader is done with it"
        elif name == "max.message.bytes" and now is not None and was is not None and _less(now, was):
            why = "events larger than this are refused from now on; alter the topic that is there"
        sign: Sign = "+" if was is None else "-" if now is None else "~"
        before, after = (None if value is None else cut(value) for value in (was, now))
        yield Change(sign, ".".join(here), effect, why, before, after, one.new.mark(*here))


def _less(now: str, was: str) -> bool:
    try:
        return 0 <= int(now) < int(was) or int(was) < 0 <= int(now)
    except ValueError:
        return False


def _inline(one: Compared) -> Iterator[Change]:
    if one.before.inline != one.after.inline:
        effect, why = Effect.SAFE, "it becomes a topic of the log; its reader begins with a group of its own"
        if one.after.inline:
            effect = Effect.ORPHANS
            why = f"{one.before.log_name} and the group of its reader stay in the log; drain it first"
        yield one.changed("inline", effect, why, written(one.before.inline), written(one.after.inline))


def _cluster(one: Compared) -> Iterator[Change]:
    if one.before.cluster != one.after.cluster:
        why = f"{one.before.log_name} stays on the old cluster with its events and its readers' offsets; drain it first"
        yield one.changed(
            "cluster", Effect.ORPHANS, why, written(one.before.cluster), written(one.after.cluster)
        )


def _format(one: Compared) -> Iterator[Change]:
    if one.before.format != one.after.format:
        why = (
            f"what is in it is {one.before.format}, and its readers expect {one.after.format}; drain it first"
        )
        yield one.changed("format", Effect.DRAIN, why, one.before.format, one.after.format)


def _registry(one: Compared) -> Iterator[Change]:
    if one.before.registry != one.after.registry:
        why = "what is in it has the other framing, and its readers cannot decode it; drain it first"
        yield one.changed(
            "registry", Effect.DRAIN, why, written(one.before.registry), written(one.after.registry)
        )


def _contract(one: Compared) -> Iterator[Change]:
    """Yield a change of the contract, or of what a reader's own type accepts, held against the events in the topic."""
    was, now = one.before.contract, one.after.contract
    old_schema = None if was is None else was.json_schema
    new_schema = None if now is None else now.json_schema
    names = (was.name if was else "unset", now.name if now else "unset")
    if (was is None) != (now is None) or old_schema != new_schema or _definition(was) != _definition(now):
        if now is None:
            effect, why = Effect.SAFE, "events are no longer checked against it"
        elif was is None:
            effect, why = (
                Effect.DRAIN,
                "what is in it was not checked against this; drain it, or be sure that it fits",
            )
        elif now.kind in ("avro", "protobuf") and one.after.format == now.kind and (told := misfit(was, now)):
            effect, why = Effect.DRAIN, f"{told}; drain it first, or its events become dead letters"
        else:
            effect, why = _held("what was written", old_schema, now.accepted)
        if names[0] == names[1]:
            why = f"its schema has changed: {why}"
        values = names if names[0] != names[1] else (None, None)
        yield one.changed("contract", effect, why, *values)
    elif names[0] != names[1]:
        yield one.changed("contract", Effect.SAFE, "the schema is the same", *names)
    yield from _readers(one, old_schema)


def _readers(one: Compared, agreed: Mapping[str, Any] | None) -> Iterator[Change]:
    """Yield readers whose own type has changed so that events in the topic do not fit it any more."""
    writers = [agreed] if agreed is not None else _schemas(one.old, one.before.producers)
    for ref in one.after.consumers:
        port = _port(one.new, ref)
        before = _port(one.old, ref)
        if port is None or port.contract is None or before is None or before.contract == port.contract:
            continue
        for writer in writers:
            effect, why = _held("what was written", writer, port.contract)
            if effect is not Effect.SAFE:
                path = ("streamlets", ref.streamlet, "use")
                told = f"what {ref} accepts has changed: {why}"
                yield Change("~", f"streamlets.{ref}", effect, told, mark=one.new.mark(*path))
                break


def _held(
    what: str, writer: Mapping[str, Any] | None, reader: Mapping[str, Any] | None
) -> tuple[Effect, str]:
    """Return what it does to events that are there when they are read by another schema."""
    from blueprints.compatible import compare as fits

    if writer is None or reader is None:
        return Effect.DRAIN, "it cannot be told whether the events that are there fit; drain it first"
    verdict = fits(writer, reader)
    if verdict.misfits:
        first = verdict.misfits[0]
        field = f"field '{first.field}' of {what}" if first.path else what
        return Effect.DRAIN, f"{field} {first.reason}; drain it first, or its events become dead letters"
    if verdict.undecided:
        first_open = verdict.undecided[0]
        field = f"field '{first_open.field}' of {what}" if first_open.path else what
        return Effect.DRAIN, f"it cannot be told whether {field} fits: {first_open.reason}; drain it first"
    return Effect.SAFE, "every event that is there fits it"


def _definition(contract: Any) -> Any:
    return None if contract is None else (contract.definition, contract.message)


def _schemas(side: Side, refs: Sequence[Any]) -> list[Mapping[str, Any]]:
    ports = [_port(side, ref) for ref in refs]
    return [port.contract for port in ports if port is not None and port.contract is not None]


def _port(side: Side, ref: Any) -> Any:
    streamlet = side.streamlets.get(ref.streamlet)
    return None if streamlet is None else streamlet.ports.get(ref.port)


def _told_elsewhere(one: Compared) -> Iterator[Change]:
    return iter(())


RULES: Final[Mapping[str, Rule]] = {
    "producers": _told_elsewhere,  # at the streamlets' ports
    "consumers": _told_elsewhere,
    "topic": _log_name,
    "external": _told_elsewhere,  # with the name in the log, which it decides
    "key": _key,
    "partitions": _partitions,
    "replication": _replication,
    "retention": _retention,
    "max-bytes": _max_bytes,
    "config": _config,
    "compacted": _compacted,
    "contract": _contract,
    "format": _format,
    "registry": _registry,
    "inline": _inline,
    "cluster": _cluster,
}
"""Field of a topic → what a change of it does."""
