"""Syntax: fields that are unknown, misplaced, missing or not supported.

Broken YAML, repeated keys and wrong values are found while reading, in `source`, `environment` and `fields`.
"""

from __future__ import annotations

from blueprints import moves, respell
from blueprints.fields import Field, Section
from blueprints.lint.draft import Draft
from blueprints.model import LEVELS, STREAMLET
from blueprints.source import ScalarNode
from blueprints.suggest import did_you_mean


def check(draft: Draft) -> None:
    for section in draft.sections():
        _check_section(draft, section)


def _check_section(draft: Draft, section: Section) -> None:
    fields = {field.name: field for field in section.level.fields}
    for name, (key, _) in section.node.entries.items():
        field = fields.get(name)
        if field is None:
            _report_unknown(draft, section, name)
        elif field.unsupported and section.get(name) not in (None, False):
            draft.error(
                key.mark,
                "bad-value",
                f"'{name}' of {section.what} is not supported by this version: {field.unsupported}",
            )
    for field in section.level.fields:
        if field.is_required and not section.has(field.name):
            draft.error(section.mark, "missing-field", _needs(section, field))


def _needs(section: Section, field: Field) -> str:
    return f"{section.what} needs '{field.name}': {field.description}"


def _report_unknown(draft: Draft, section: Section, name: str) -> None:
    mark = section.key(name)
    hint = did_you_mean(name, section.level.names())
    if section.level is STREAMLET and _is_option(draft, section, name):
        message = f"'{name}' is an option of {section.what}; it goes under 'with'"
        given = section.get("with")
        is_free = given is None or name not in given.entries
        fix = moves.under(draft.text_of(mark), section.node, name, "with") if is_free else None
        draft.error(mark, "misplaced-field", message, fix=fix)
        return
    elsewhere = [level.where for level in LEVELS if name in level.names()]
    value = section.node.entries[name].value
    if elsewhere:
        places = " or ".join(elsewhere) + hint.replace("; did", ", or did")
        message = f"'{name}' does not belong in {section.level.name}; it goes {places}"
        draft.error(mark, "misplaced-field", message)
    elif not name and isinstance(value, ScalarNode):
        draft.error(mark, "unknown-field", f"{section.what} has a key without a name")
    else:
        known = hint or f"; its fields are {', '.join(section.level.names())}"
        free = [field for field in section.level.names() if field not in section.node.entries]
        fix = respell.name(mark, name, free, is_key=True)
        draft.error(mark, "unknown-field", f"{section.what} has no field '{name}'{known}", fix=fix)


def _is_option(draft: Draft, section: Section, name: str) -> bool:
    for streamlet in draft.streamlets.values():
        if streamlet.section is section and streamlet.type is not None:
            return name in streamlet.schema.get("properties", {})
    return False
