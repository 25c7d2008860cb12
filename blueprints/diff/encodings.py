"""Whether data that are in a topic in a binary encoding can be read by another definition of their contract.

Avro data are read by the schema that they were written by: nothing in them says where a field begins. Protobuf data
name fields by number: a number must stay with its field, and a field's kind with its number.

Source: Apache Avro 1.12, Protocol Buffers, updating a message type.
"""

from __future__ import annotations

from typing import Any

from blueprints.plan import ContractPlan

_UNREAD = ("doc", "aliases", "default", "order")  # of an Avro schema: without effect on how bytes are read


def misfit(before: ContractPlan, after: ContractPlan) -> str:
    """Return why what was written by one contract cannot be read by the other, or nothing."""
    if before.kind != after.kind:
        return f"what is there was written as {before.kind}"
    if after.kind == "avro" and _bare(before.definition) != _bare(after.definition):
        return "Avro data are read by the schema that they were written by, and it is another one"
    if after.kind == "protobuf" and (before.definition, before.message) != (after.definition, after.message):
        from blueprints.contracts.protobuf import (
            find_message,
        )  # it imports Protobuf, which few blueprints need

        old = find_message(before.definition, before.message)
        new = find_message(after.definition, after.message)
        return _by_number(old, new, set())
    return ""


def _bare(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _bare(value) for name, value in schema.items() if name not in _UNREAD}
    if isinstance(schema, list):
        return [_bare(value) for value in schema]
    return schema


def _by_number(old: Any, new: Any, seen: set[tuple[str, str]]) -> str:
    """Return what of a Protobuf message would be read as something else, or nothing."""
    if (old.full_name, new.full_name) in seen:
        return ""
    seen.add((old.full_name, new.full_name))
    now = {field.number: field for field in new.fields}
    names = {field.name: field for field in new.fields}
    for field in old.fields:
        other = now.get(field.number)
        named = names.get(field.name)
        if named is not None and named.number != field.number:
            return f"field '{field.name}' of {old.name} had the number {field.number} and has {named.number}"
        if other is None:
            continue  # it is passed over
        if other.name != field.name:
            return f"the number {field.number} of {old.name} was '{field.name}' and is '{other.name}'"
        if (other.type, other.is_repeated) != (field.type, field.is_repeated):
            return f"field '{field.name}' of {old.name} is of another type"
        if field.message_type is not None and (
            found := _by_number(field.message_type, other.message_type, seen)
        ):
            return found
    return ""
