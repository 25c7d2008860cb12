"""Contracts: whether what is written on an edge can be read there. `schemas` has read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blueprints.compatible import compare
from blueprints.diagnostics import Mark
from blueprints.lint.draft import Draft, TopicDraft


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        _check_edges(draft, topic)


def _check_edges(draft: Draft, topic: TopicDraft) -> None:
    """Compare each writer with the topic's contract, and that, or each writer, with each reader."""
    agreed = topic.contract
    writers = [(str(use.ref), use.port.contract, use.mark) for use in topic.producers if use.port]
    if agreed is not None and agreed.json_schema is not None:
        for name, schema, mark in writers:
            _compare(draft, name, schema, f"the contract '{agreed.name}'", agreed.accepted, mark)
        writers = [(f"the contract '{agreed.name}'", agreed.json_schema, topic.section.mark)]
    for consumer in topic.consumers:
        if consumer.port is None:
            continue
        for name, schema, _ in writers:
            _compare(draft, name, schema, str(consumer.ref), consumer.port.contract, consumer.mark)


def _compare(
    draft: Draft,
    writer: str,
    written: Mapping[str, Any] | None,
    reader: str,
    accepted: Mapping[str, Any] | None,
    mark: Mark,
) -> None:
    if written is None or accepted is None:
        return
    found = compare(written, accepted)
    if found.fits:
        return
    ends = _titled(writer, written), _titled(reader, accepted)
    for misfit in found.misfits:
        field = f"field '{misfit.field}'" if misfit.path else "the data"
        message = f"{ends[0]} does not fit {ends[1]}: {field} {misfit.reason}; for example {misfit.example}"
        draft.error(mark, "incompatible-contract", message)
    for doubt in found.undecided:
        where = f"of field '{doubt.field}' " if doubt.path else ""
        message = (
            f"{ends[0]} may not fit {ends[1]}: {where}it cannot be told {doubt.reason}; give both ends one contract "
            "to be sure, or let 'on-invalid' say what becomes of such events"
        )
        draft.warning(mark, "undecided-contract", message)


def _titled(name: str, schema: Mapping[str, Any]) -> str:
    title = schema.get("title")
    return name if not title or name.startswith("the contract") else f"{name} ({title})"
