"""Schemas: the contracts that the blueprint names, read from their files and types, and which topic has which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from blueprints.catalog import NotFound
from blueprints.diagnostics import Mark
from blueprints.fields import Section
from blueprints.lint.draft import Draft
from blueprints.plan import ContractPlan

MAX_SCHEMA_BYTES = 1 << 20  # 1 MiB, as a blueprint itself


def check(draft: Draft) -> None:
    for name, section in draft.top.get("contracts", {}).items():
        contract = _contract(draft, name, section)
        if contract is not None:
            draft.contracts[name] = contract
    for topic in draft.topics.values():
        topic.contract = draft.contracts.get(topic.section.get("contract", ""))


def _contract(draft: Draft, name: str, section: Section) -> ContractPlan | None:
    written = [field for field in section.level.names() if section.has(field)]
    if len(written) != 1:
        if not section.node.entries or written:
            message = f"{section.what} names one of {' or '.join(section.level.names())}"
            draft.error(section.mark, "bad-value" if written else "missing-field", message)
        return None
    kind = written[0]
    source = section.get(kind)
    if source is None:
        return None
    read = _read_file if kind == "json-schema" else _read_type
    schema = read(draft, source, section.at(kind))
    if schema is None:
        return None
    return ContractPlan(name, "json-schema" if kind == "json-schema" else "python", source, schema)


def _read_file(draft: Draft, source: str, mark: Mark) -> Mapping[str, Any] | None:
    try:
        with (draft.base_dir / source).open("rb") as file:
            raw = file.read(MAX_SCHEMA_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = (getattr(exc, "strerror", None) or str(exc)).lower()
        draft.error(mark, "missing-file", f"the schema '{source}' cannot be read: {reason}")
        return None
    if len(raw) > MAX_SCHEMA_BYTES:
        draft.error(mark, "bad-value", f"the schema '{source}' is larger than 1 MiB")
        return None
    try:
        schema = json.loads(raw)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        draft.error(mark, "bad-value", f"the schema '{source}' is not JSON: {exc.msg.lower()} at {where}")
    except (UnicodeDecodeError, RecursionError, ValueError):
        draft.error(mark, "bad-value", f"the schema '{source}' is not JSON in UTF-8")
    else:
        if not isinstance(schema, dict):
            problem = "not a JSON object"
        elif not (problem := _refuse_no_schema(schema)):
            return schema
        draft.error(mark, "bad-value", f"the schema '{source}' is no JSON Schema: {problem}")
    return None


def _read_type(draft: Draft, source: str, mark: Mark) -> Mapping[str, Any] | None:
    found = draft.catalog.contract(source, draft.base_dir)
    if isinstance(found, NotFound):
        draft.error(mark, found.code, found.message)
        return None
    return found


def _refuse_no_schema(schema: Mapping[str, Any]) -> str:
    """Return why a JSON object is no JSON Schema that events can be checked against, or nothing."""
    import jsonschema_rs  # 10 ms that a blueprint without such a contract does not pay

    try:
        jsonschema_rs.validator_for(dict(schema), validate_formats=True, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        return str(exc).splitlines()[0][:200]
    return ""
