"""Streamlets: what `use` names."""

from __future__ import annotations

from blueprints import respell
from blueprints.catalog import NotFound
from blueprints.lint.draft import Draft
from blueprints.suggest import did_you_mean


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        if not streamlet.use:
            streamlet.is_sound = False
            continue
        found = draft.catalog.find(streamlet.use, draft.base_dir)
        if not isinstance(found, NotFound):
            streamlet.type = found
            continue
        streamlet.is_sound = False
        message, fix = found.message, None
        if found.code == "unknown-streamlet":
            fix = respell.name(streamlet.section.at("use"), streamlet.use, draft.catalog.names())
        if found.code == "unknown-streamlet" and "did you mean" not in message:
            message += did_you_mean(streamlet.use, draft.catalog.names())
        draft.error(streamlet.section.at("use"), found.code, message, fix=fix)
    if draft.top.has("streamlets") and draft.top.get("streamlets") == {}:
        draft.error(draft.top.key("streamlets"), "missing-field", "a blueprint has at least one streamlet")
