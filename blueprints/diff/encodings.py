"""Whether data that are in a topic in a binary encoding can be read by another definition of their contract.

By Avro's and Protobuf's own rules (`blueprints.contracts`), and in one thing stricter: the number of a Protobuf field
that has another name now may have been given to another field, which no rule can tell.
"""

from __future__ import annotations

from typing import Any

from blueprints.contracts.changes import contract_misfits
from blueprints.plan import ContractPlan


def misfit(before: ContractPlan, after: ContractPlan) -> str:
    """Return why what was written by one contract cannot be read by the other, or nothing."""
    found = contract_misfits(before, after)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}"
    if after.kind == "protobuf" and (before.definition, before.message) != (after.definition, after.message):
        from blueprints.contracts.protobuf import (
            find_message,
        )  # it imports Protobuf, which few blueprints need

        old = find_message(before.definition, before.message)
        return _renamed(old, find_message(after.definition, after.message), set())
    return ""


def _renamed(old: Any, new: Any, seen: set[tuple[str, str]]) -> str:
    """Return which number of a Protobuf message has another name now, or nothing."""
    if (old.full_name, new.full_name) in seen:
        return ""
    seen.add((old.full_name, new.full_name))
    now = {field.number: field for field in new.fields}
    for field in old.fields:
        other = now.get(field.number)
        if other is None:
            continue  # it is passed over
        if other.name != field.name:
            return f"the number {field.number} of {old.name} was '{field.name}' and is '{other.name}'"
        if field.message_type is not None and other.message_type is not None:
            found = _renamed(field.message_type, other.message_type, seen)
            if found:
                return found
    return ""
