"""Expressions: conditions, keys and mappings, held against the contract of the events they are evaluated over.

A topic's key is one, and every option of a streamlet whose schema says so by `x-cel`. A name alone is a field, and the
engine of CEL is not loaded for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blueprints.cel.data import Data, Fault, field_faults
from blueprints.diagnostics import Mark
from blueprints.expressions import is_field, told_place
from blueprints.lint.draft import Draft, StreamletDraft, TopicDraft
from blueprints.lint.options import dotted
from blueprints.lint.written import Written, at_port, written_to
from blueprints.options import OptionPath, child_candidates, expand
from blueprints.places import place_inside
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode

Said = Mapping[str, Any]
"""What an option says of its expression: over, gives, attributes, only-field, takes-null, takes-absent."""

_DEAD = "and the event is a dead letter then"
_NO_KEY = "and an event without a key is refused by a compacted topic"


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        _check_key(draft, topic)
    for streamlet in draft.streamlets.values():
        for path, node, said in _expressions(streamlet):
            _check_option(draft, streamlet, path, node, said)


def _check_key(draft: Draft, topic: TopicDraft) -> None:
    node = topic.section.node.get("key")
    if topic.section.get("key") is None or not isinstance(node, ScalarNode):
        return
    data = _data(written_to(draft, topic))
    if not topic.producers:
        # Others write the keys: what the expression says is held against the contract, no event can fail by it here.
        data = [one._replace(is_certain=False) for one in data]
    is_compacted = bool(topic.section.get("compacted", False))
    text = _text(node)
    if is_field(text):
        found = field_faults(text, data, "scalar", then=_DEAD, takes_null=not is_compacted)
        found = [_as_key(fault) for fault in found]
    else:
        from blueprints.cel.typed import (
            faults,  # here, as below, because most keys and inputs are plain names
        )

        found = faults(text, data, "scalar", then=_DEAD, takes_null=not is_compacted)
    if is_compacted:
        found = [_of_null(fault) for fault in found]
    _report(draft, node, f"the key of '{topic.name}'", text, found)


def _as_key(fault: Fault) -> Fault:
    if fault.code == "unknown-field-in-expression":
        return fault._replace(code="unknown-key")
    return fault


def _of_null(fault: Fault) -> Fault:
    if "may be null" in fault.message:
        return fault._replace(message=fault.message.replace(_DEAD, _NO_KEY))
    return fault


def _check_option(
    draft: Draft, streamlet: StreamletDraft, path: OptionPath, node: ScalarNode, said: Said
) -> None:
    text = _text(node)
    data = _data(at_port(draft, streamlet, str(said.get("over", "in"))))
    gives, takes_null = said.get("gives", "any"), bool(said.get("takes-null"))
    if said.get("takes-absent"):
        data = [one._replace(is_certain=False) for one in data]
    if said.get("only-field") or is_field(text):
        found = field_faults(text, data, gives, then=_DEAD, takes_null=takes_null)
    else:
        from blueprints.cel.typed import faults

        attributes = bool(said.get("attributes"))
        found = faults(text, data, gives, has_attributes=attributes, then=_DEAD, takes_null=takes_null)
    if any(fault.severity == "error" for fault in found):
        streamlet.is_sound = False
    _report(draft, node, f"'{dotted(path)}' of {streamlet.name}", text, found)


def _report(draft: Draft, node: ScalarNode, what: str, text: str, found: Sequence[Fault]) -> None:
    for fault in found:
        message = fault.message
        told = what if is_field(text) else f"{what}, {told_place(text, fault.at)}"
        if node.variables:
            names = ", ".join(f"${{{name}}}" for name in node.variables)
            # What the environment gave may be nobody's business: it is shown only where the file shows it too.
            if text[fault.at : fault.at + fault.length] not in node.raw or fault.length >= len(text):
                message = "it does not fit the events, or is no CEL"
            message += f" (from {names})"
        draft.report(_mark(draft, node, fault), fault.code, f"{told}: {message}", fault.severity)


def _mark(draft: Draft, node: ScalarNode, fault: Fault) -> Mark:
    source = draft.sources.get(node.mark.file)
    place = None if source is None else place_inside(node, source.lines, fault.at)
    if place is None or source is None:
        return node.mark
    end = place_inside(node, source.lines, fault.at + max(0, fault.length - 1))
    is_one_line = end is not None and end[0] == place[0]
    return Mark(node.mark.file, *place, end[1] + 1 if end is not None and is_one_line else 0)


def _expressions(streamlet: StreamletDraft) -> Iterator[tuple[OptionPath, ScalarNode, Said]]:
    """Yield the options of a streamlet that are expressions, as they are written in the file."""
    if streamlet.type is None or not streamlet.given.entries or not streamlet.type.may_have_expressions():
        return
    schema = streamlet.schema
    yield from _below(schema, streamlet.given, expand(schema, [schema]), ())


def _below(
    root: Mapping[str, Any], node: Node, candidates: Sequence[Mapping[str, Any]], path: OptionPath
) -> Iterator[tuple[OptionPath, ScalarNode, Said]]:
    if isinstance(node, MappingNode):
        for name, (_, value) in node.entries.items():
            yield from _below(root, value, child_candidates(root, candidates, name), (*path, name))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield from _below(root, item, child_candidates(root, candidates, index), (*path, index))
    elif not node.is_unset and (node.variables or isinstance(node.value, str)) and _text(node).strip():
        for candidate in candidates:
            said = candidate.get("x-cel")
            if isinstance(said, Mapping):
                yield path, node, said
                return


def _text(node: ScalarNode) -> str:
    return node.text if node.variables else str(node.value)


def _data(written: Sequence[Written]) -> list[Data]:
    return [one.data() for one in written]
