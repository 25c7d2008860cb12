"""Schemas: the contracts that the blueprint names, read from their files and types, and which topic has which."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from blueprints.catalog import NotFound
from blueprints.diagnostics import Mark
from blueprints.fields import Section
from blueprints.files import TooLarge, read_bytes
from blueprints.lint.draft import Draft, TopicDraft
from blueprints.plan import ContractPlan

MAX_SCHEMA_BYTES = 1 << 20  # 1 MiB, as a blueprint itself
BINARY: Final = ("avro", "protobuf")

_KINDS: Final = {
    "json-schema": "a JSON Schema",
    "python": "a Python type",
    "avro": "an Avro schema",
    "protobuf": "a Protobuf message",
}
_UNREAD: Final = object()


def check(draft: Draft) -> None:
    for name, section in draft.top.get("contracts", {}).items():
        contract = _contract(draft, name, section)
        if contract is not None:
            draft.contracts[name] = contract
    for topic in draft.topics.values():
        topic.contract = draft.contracts.get(topic.section.get("contract", ""))
        _check_format(draft, topic)


def _check_format(draft: Draft, topic: TopicDraft) -> None:
    """Hold a topic's format against its contract: a format is read and written by the schema of its own kind."""
    section, contract = topic.section, topic.contract
    if section.is_wrong("format") or (contract is None and section.has("contract")):
        return
    format_ = section.get("format", "json")
    if contract is None:
        if format_ != "json":
            message = (
                f"the events of '{topic.name}' are {format_}, so it needs 'contract': one of kind '{format_}'"
            )
            draft.error(section.at("format"), "missing-field", message)
        return
    wanted = contract.kind if contract.kind in BINARY else "json"
    if format_ == wanted:
        return
    told = f"the contract '{contract.name}' is {_KINDS[contract.kind]}, but the events of '{topic.name}' are {format_}"
    if wanted == "json":
        message = f"{told}; leave 'format' out, or name a contract of kind '{format_}'"
    else:
        message = f"{told}; write 'format: {wanted}'"
    draft.error(
        section.at("format" if section.has("format") else "contract"), "conflicting-settings", message
    )


def _contract(draft: Draft, name: str, section: Section) -> ContractPlan | None:
    written = [field for field in section.level.names() if section.has(field)]
    if len(written) != 1:
        if not section.node.entries or written:
            message = f"{section.what} names one of {', '.join(section.level.names())}"
            draft.error(section.mark, "bad-value" if written else "missing-field", message)
        return None
    kind = written[0]
    source = section.get(kind)
    return None if source is None else _READERS[kind](draft, name, source, section.at(kind))


def _json_schema(draft: Draft, name: str, source: str, mark: Mark) -> ContractPlan | None:
    schema = _read_json(draft, source, mark)
    if schema is _UNREAD:
        return None
    if not isinstance(schema, dict):
        problem = "not a JSON object"
    elif not (problem := _refuse_no_schema(schema)):
        return ContractPlan(name, "json-schema", source, schema)
    draft.error(mark, "bad-value", f"the schema '{source}' is no JSON Schema: {problem}")
    return None


def _python(draft: Draft, name: str, source: str, mark: Mark) -> ContractPlan | None:
    found = draft.catalog.contract(source, draft.base_dir)
    if isinstance(found, NotFound):
        draft.error(mark, found.code, found.message)
        return None
    return ContractPlan(name, "python", source, found)


def _avro(draft: Draft, name: str, source: str, mark: Mark) -> ContractPlan | None:
    from blueprints.contracts.avro import (
        SchemaError,
        parse_avro,
    )  # only blueprints with such a contract need it
    from blueprints.contracts.avro_json import avro_json_schema

    schema = _read_json(draft, source, mark)
    if schema is _UNREAD:
        return None
    try:
        root = parse_avro(schema)
        read, written = avro_json_schema(root), avro_json_schema(root, is_written=True)
    except SchemaError as exc:
        problem = str(exc)
    except RecursionError:
        problem = "nested too deeply"
    else:
        return ContractPlan(name, "avro", source, read, written, schema)
    draft.error(mark, "bad-value", f"the schema '{source}' is no Avro schema: {problem}")
    return None


def _protobuf(draft: Draft, name: str, source: str, mark: Mark) -> ContractPlan | None:
    from blueprints.contracts.avro import SchemaError  # these are for those who have such a contract
    from blueprints.contracts.protobuf import NotInstalled, compile_protobuf, find_message, split_source

    file, message = split_source(source)
    try:
        compiled = compile_protobuf(draft.base_dir / file, draft.base_dir)
        from blueprints.contracts.protobuf_json import protobuf_json_schema

        root = find_message(compiled, message)
        read, written = protobuf_json_schema(root), protobuf_json_schema(root, is_written=True)
    except NotInstalled as exc:
        draft.error(mark, "import-failed", str(exc))
        return None
    except (OSError, ValueError) as exc:
        if isinstance(exc, SchemaError):
            draft.error(mark, "bad-value", f"the schema '{file}': {exc}")
        else:
            _unreadable(draft, file, mark, exc)
        return None
    except RecursionError:
        draft.error(mark, "bad-value", f"the schema '{file}': nested too deeply")
        return None
    return ContractPlan(name, "protobuf", source, read, written, compiled, root.full_name)


def _read_json(draft: Draft, source: str, mark: Mark) -> Any:
    """Return the JSON value of a schema's file; _UNREAD, after reporting why, where there is none."""
    try:
        raw = read_bytes(draft.base_dir / source, MAX_SCHEMA_BYTES)
    except TooLarge:
        draft.error(mark, "bad-value", f"the schema '{source}' is larger than 1 MiB")
        return _UNREAD
    except (OSError, ValueError) as exc:
        _unreadable(draft, source, mark, exc)
        return _UNREAD
    try:
        return json.loads(raw)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        draft.error(mark, "bad-value", f"the schema '{source}' is not JSON: {exc.msg.lower()} at {where}")
    except RecursionError:
        draft.error(mark, "bad-value", f"the schema '{source}' is nested too deeply")
    except (UnicodeDecodeError, ValueError):
        draft.error(mark, "bad-value", f"the schema '{source}' is not JSON in UTF-8")
    return _UNREAD


def _unreadable(draft: Draft, source: str, mark: Mark, exc: Exception) -> None:
    reason = (getattr(exc, "strerror", None) or str(exc)).lower()
    draft.error(mark, "missing-file", f"the schema '{source}' cannot be read: {reason}")


def _refuse_no_schema(schema: Mapping[str, Any]) -> str:
    """Return why a JSON object is no JSON Schema that events can be checked against, or nothing."""
    import jsonschema_rs  # 10 ms that a blueprint without such a contract does not pay

    try:
        jsonschema_rs.validator_for(dict(schema), validate_formats=True, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        return str(exc).splitlines()[0][:200]
    return ""


_READERS: Final[Mapping[str, Callable[[Draft, str, str, Mark], ContractPlan | None]]] = {
    "json-schema": _json_schema,
    "python": _python,
    "avro": _avro,
    "protobuf": _protobuf,
}
