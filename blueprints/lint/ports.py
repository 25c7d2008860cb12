"""Ports: that they exist, point the right way, and are connected as they must be."""

from __future__ import annotations

from typing import Literal

from blueprints import moves, respell
from blueprints.diagnostics import Edit, Fix, Mark
from blueprints.fields import INVALID
from blueprints.lint.draft import Draft, PortUse, TopicDraft
from blueprints.plan import PortRef
from blueprints.suggest import certain, did_you_mean, nearest

Direction = Literal["in", "out"]
_NOUN = {"in": "inlet", "out": "outlet"}


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        topic.producers = _uses(draft, topic, "producers", "out")
        topic.consumers = _uses(draft, topic, "consumers", "in")
    _check_named(draft)
    _check_once(draft)
    for topic in draft.topics.values():
        for use in topic.consumers:
            _check_kind(draft, topic, use)
    _check_connected(draft)


def _uses(draft: Draft, topic: TopicDraft, field: str, direction: Direction) -> list[PortUse]:
    uses = []
    for path in topic.section.get(field, ()):
        if path is INVALID:
            continue
        streamlet_name, port_name, mark = path
        use = PortUse(PortRef(streamlet_name, port_name), mark, draft.streamlets.get(streamlet_name))
        uses.append(use)
        if use.streamlet is not None and use.streamlet.type is not None:
            _find_port(draft, topic, use, field, direction)
    return uses


def _check_named(draft: Draft) -> None:
    """Report streamlets that ports name and that are not there: once each, however many ports name them."""
    if not draft.top.has("streamlets") or draft.top.is_wrong("streamlets"):
        return  # that is the problem, and it has been said
    lost: dict[str, list[PortUse]] = {}
    found: set[str] = set()
    for topic in draft.topics.values():
        for use in topic.producers + topic.consumers:
            if use.streamlet is None:
                lost.setdefault(use.ref.streamlet, []).append(use)
            else:
                found.add(use.ref.streamlet)
    for name, uses in lost.items():
        meant = nearest(name, draft.streamlets)
        for use in uses:
            use.meant = meant
        first, *more = uses
        lines = ", ".join(str(use.mark.line) for use in more[:5]) + (" …" if len(more) > 5 else "")
        also = f" (named at line{'s' * (len(more) > 1)} {lines} too)" if more else ""
        if meant is None:
            draft.error(first.mark, "unknown-port", f"there is no streamlet '{name}'{also}", _places(more))
        elif more and meant not in found:
            # Several places agree on a name, and none has the other one: the name was misspelt where it is given.
            mark = draft.streamlets[meant].section.mark
            lines = ", ".join(str(use.mark.line) for use in uses[:5]) + (" …" if len(uses) > 5 else "")
            used = f"no port of '{meant}' is used, but ports of '{name}' are, at lines {lines}"
            message = f"{used}; did you mean '{name}'?"
            is_certain = certain(name, draft.streamlets) == meant
            fix = respell.respelling(mark, name, is_key=True) if is_certain else None
            draft.error(mark, "unknown-port", message, _places(uses), fix=fix)
        else:
            where = f" (line {draft.streamlets[meant].section.mark.line})" if meant not in found else ""
            message = f"there is no streamlet '{name}'{also}; did you mean '{meant}'{where}?"
            draft.error(first.mark, "unknown-port", message, _places(more), fix=_respelt(draft, name, uses))


def _places(uses: list[PortUse]) -> tuple[tuple[Mark, str], ...]:
    return tuple((use.mark, "named here") for use in uses)


def _respelt(draft: Draft, name: str, uses: list[PortUse]) -> Fix | None:
    """Return the fix of a misspelt streamlet's name wherever ports name it, if the one that was meant has them all."""
    meant = certain(name, draft.streamlets)
    if meant is None:
        return None
    edits: list[Edit] = []
    for use in uses:
        fix = respell.respelling(use.mark, f"{meant}.{use.ref.port}")
        if fix is None or use.ref.port not in draft.streamlets[meant].ports:
            return None
        edits += fix.edits
    return Fix(f"write '{meant}'", tuple(edits))


def _find_port(draft: Draft, topic: TopicDraft, use: PortUse, field: str, direction: Direction) -> None:
    assert use.streamlet is not None
    ports = use.streamlet.ports
    port = ports.get(use.ref.port)
    wanted = [name for name, other in ports.items() if other.direction == direction]
    noun = _NOUN[direction]
    if port is None:
        hint = did_you_mean(use.ref.port, wanted)
        if not hint:
            hint = f"; its {noun}s are {', '.join(wanted)}" if wanted else f"; it has no {noun}s"
        message = f"{use.ref.streamlet} has no {noun} '{use.ref.port}'{hint}"
        fix = respell.name(use.mark, use.ref.port, wanted, prefix=f"{use.ref.streamlet}.")
        draft.error(use.mark, "unknown-port", message, fix=fix)
    elif port.direction != direction:
        belongs = f"it belongs under '{'consumers' if direction == 'out' else 'producers'}'"
        hint = f"; {belongs}" + (
            f", or did you mean '{use.ref.streamlet}.{wanted[0]}'?" if len(wanted) == 1 else ""
        )
        draft.error(
            use.mark,
            "wrong-direction",
            f"'{use.ref}' is an {_NOUN[port.direction]} and stands under '{field}'{hint}",
            fix=_turned_round(draft, topic, use, field),
        )
    else:
        use.port = port


def _turned_round(draft: Draft, topic: TopicDraft, use: PortUse, field: str) -> Fix | None:
    """Return the fix of a port under the wrong list; None where another port of its streamlet may have been meant."""
    section = topic.section
    other = "consumers" if field == "producers" else "producers"
    wrong, right = _directions(draft, topic, field), _directions(draft, topic, other)
    here: Direction = "out" if field == "producers" else "in"
    is_all = bool(wrong) and all(direction not in (here, None) for direction in wrong)
    if is_all and right and all(direction == here for direction in right):
        one = respell.respelling(section.key(field), other, is_key=True)
        two = respell.respelling(section.key(other), field, is_key=True)
        if one and two and section.key(field).file == section.key(other).file:
            return Fix("swap 'producers' and 'consumers'", tuple(sorted(one.edits + two.edits)))
    assert use.streamlet is not None
    placed = {
        (path[0], path[1])
        for each in draft.topics.values()
        for list_, way in (("producers", "out"), ("consumers", "in"))
        for path, direction in zip(each.section.get(list_, ()), _directions(draft, each, list_))
        if path is not INVALID and direction == way
    }
    for each in draft.topics.values():  # with a misplaced port elsewhere too, the two may have changed places
        if each is not topic and (
            "in" in _directions(draft, each, "producers") or "out" in _directions(draft, each, "consumers")
        ):
            return None
    for port in use.streamlet.ports.values():
        if port.direction == here and (use.streamlet.name, port.name) not in placed:
            return None
    if is_all and not section.has(other):
        return respell.respelling(section.key(field), other, f"write '{other}'", is_key=True)
    paths = section.get(field, [])
    if len(paths) == 1 and not topic.is_external:
        return None  # the list would be empty: another port was meant to stand here
    index = next(i for i, path in enumerate(paths) if path is not INVALID and path[2] is use.mark)
    return moves.to_list(draft.text_of(use.mark), section.node, field, index, other)


def _directions(draft: Draft, topic: TopicDraft, field: str) -> list[str | None]:
    """Return which way each port of a list points; None where that is not known."""
    found: list[str | None] = []
    for path in topic.section.get(field, ()):
        streamlet = None if path is INVALID else draft.streamlets.get(path[0])
        port = streamlet.ports.get(path[1]) if streamlet is not None else None
        found.append(port.direction if port is not None else None)
    return found


def _check_once(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        for port in streamlet.ports.values():
            uses = [(topic, use) for topic, use in draft.uses(streamlet.name, port.name) if use.port is port]
            for topic, use in uses[1:]:
                first, where = uses[0]
                again = "twice" if first is topic else f"in '{first.name}' too"
                draft.error(
                    use.mark,
                    "port-in-many-topics",
                    f"'{use.ref}' is listed {again}; an {_NOUN[port.direction]} has one topic",
                    ((where.mark, "listed here first"),),
                )


def _check_kind(draft: Draft, topic: TopicDraft, use: PortUse) -> None:
    if use.port is None:
        return
    is_compacted = bool(topic.section.get("compacted", False))
    if use.port.kind == "table" and not is_compacted:
        message = f"'{use.ref}' is a table and '{topic.name}' is not compacted; write 'compacted: true'"
        draft.error(use.mark, "inlet-kind", message)
    elif use.port.kind == "stream" and is_compacted:
        message = (
            f"'{use.ref}' takes every event and '{topic.name}' keeps only the latest of each key (compacted)"
        )
        draft.error(use.mark, "inlet-kind", message)


def _check_connected(draft: Draft) -> None:
    if draft.top.is_wrong("topics") or any(
        topic.section.is_wrong(field)
        for topic in draft.topics.values()
        for field in ("producers", "consumers")
    ):
        return  # it may be meant by what could not be read
    left = [
        (streamlet, port)
        for streamlet in draft.streamlets.values()
        if streamlet.name not in draft.misnamed
        for port in streamlet.ports.values()
        if port.required and not draft.uses(streamlet.name, port.name)
    ]
    if len(left) > 1 and not draft.top.has("topics"):
        message = "the blueprint needs 'topics': what joins the ports of its streamlets, by name"
        draft.error(draft.top.mark, "missing-field", message)
        return
    for streamlet, port in left:
        noun, field = _NOUN[port.direction], "consumers" if port.direction == "in" else "producers"
        draft.error(
            streamlet.section.mark,
            f"unconnected-{noun}",
            f"the {noun} '{streamlet.name}.{port.name}' has no topic; list it under the '{field}' of one",
        )
