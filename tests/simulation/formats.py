"""W8: topics in Avro and Protobuf: refused events, forwarded ones, and bytes that cannot be decoded."""

from __future__ import annotations

from typing import Any

import orjson

from blueprints.plan import ContractPlan
from streamlets.event import Delivery, Record
from streamlets.formats.avro import AvroFormat
from streamlets.formats.format import Channels
from tests.formats.proto_files import HEAD, compiled
from tests.simulation import own
from tests.simulation.plans import arrivals, delivery_of, facts, make_plan, streamlet, value_of
from tests.simulation.storm import Storm
from tests.simulation.verifier import Expected, check_mapping
from tests.simulation.world import World

SCHEMA = {
    "type": "record",
    "name": "Value",
    "fields": [{"name": "v", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}],
}
PROTO = HEAD + "message Value { int64 v = 1; }"
AVRO = ContractPlan("value", "avro", "value.avsc", definition=SCHEMA)
GARBAGE = [b"\xff", b"", b"\x02\x02\x7f", b"{}"]


def formats(storm: Storm) -> World:
    """Avro in, Protobuf between two stages that overlap, Avro out."""
    draw = storm.random
    partitions = draw.randint(1, 3)
    protobuf = ContractPlan(
        "value-p", "protobuf", "value.proto", definition=compiled(PROTO), message="flights.Value"
    )
    plan = make_plan(
        "formats",
        delivery_of(storm),
        [
            streamlet("picky", {"in": "values"}, {"out": "accepted"}, "Picky"),
            streamlet("forward", {"in": "accepted"}, {"out": "copies"}, "Picky", refuses=False),
        ],
        {"values": partitions, "accepted": partitions, "copies": draw.choice([1, partitions])},
        values={"contract": AVRO, "format": "avro"},
        accepted={"contract": protobuf, "format": "protobuf"},
        copies={"contract": AVRO, "format": "avro"},
    )
    channels = Channels(plan)

    def picky(state: dict[str, Any], delivery: Delivery) -> Expected:
        value = value_of(channels.shown(delivery))
        code = "against-contract" if value is None else own.picky_step(value)
        return Expected("dead-lettered", (), code) if code else Expected("out", [("out", {"v": value})])

    def forward(state: dict[str, Any], delivery: Delivery) -> Expected:
        return Expected("out", [("out", {"v": value_of(channels.shown(delivery)), "note": None})])

    data: list[Any] = [{"v": draw.randrange(10_000)} for _ in range(draw.randint(20, 150))]
    return World(
        plan,
        [
            (at_s, _as_avro(record))
            for at_s, record in arrivals(storm, "formats.values", partitions, [*data, *GARBAGE], 14.0)
        ],
        [
            lambda log: check_mapping(log, facts(plan, "picky"), picky),
            lambda log: check_mapping(log, facts(plan, "forward"), forward),
        ],
        workers=draw.randint(1, 3),
    )


def _as_avro(record: Record) -> Record:
    """Return what arrives in Avro; garbage as it is."""
    if not record.headers:
        return record
    value = AvroFormat(SCHEMA).encode(orjson.loads(record.value or b""))
    headers = [("content-type", b"application/avro"), *(h for h in record.headers if h[0] != "content-type")]
    return Record(record.topic, record.partition, record.key, value, headers)
