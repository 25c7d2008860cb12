"""What a change of a contract does to what has been written under it."""

from __future__ import annotations

from blueprints.compatible import misfits
from blueprints.contracts.avro import parse_avro
from blueprints.contracts.avro_rules import avro_misfits, canonical
from blueprints.contracts.unreadable import Unreadable
from blueprints.plan import ContractPlan

UNTOLD = "is laid out differently, and events in the log do not say which schema wrote them"


def contract_misfits(old: ContractPlan, new: ContractPlan) -> list[Unreadable]:
    """Return why events written under a contract cannot be read under what it has become; nothing when they can.

    Avro data do not name their schema here, so that even a change by Avro's rules needs a topic that is drained.
    """
    binary = ("avro", "protobuf")
    if (old.kind in binary or new.kind in binary) and old.kind != new.kind:
        return [Unreadable((), f"is {new.kind} now: what was written as {old.kind} cannot be read")]
    if old.kind == "avro":
        writer, reader = parse_avro(old.definition), parse_avro(new.definition)
        found = avro_misfits(writer, reader)
        if not found and canonical(writer) != canonical(reader):
            found = [Unreadable((), UNTOLD)]
        return found
    if old.kind == "protobuf":
        from blueprints.contracts.protobuf import (
            find_message,
        )  # brings a library, for those who have such a contract
        from blueprints.contracts.protobuf_rules import protobuf_misfits

        return protobuf_misfits(
            find_message(old.definition, old.message), find_message(new.definition, new.message)
        )
    if old.json_schema is None or new.json_schema is None:
        return []
    return [Unreadable(one.path, one.reason) for one in misfits(old.json_schema, new.json_schema)]
