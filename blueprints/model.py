"""The model of the language: every field that a blueprint may have. Linter, JSON Schema and plan read it here."""

from __future__ import annotations

from typing import Final

from blueprints.fields import (
    AnyMapping,
    Choice,
    Field,
    Flag,
    Level,
    Named,
    PortPaths,
    Quantity,
    Settings,
    Start,
    Text,
    Whole,
)
from blueprints.units import Duration, Size

# Partitions cost a file handle or two each in every broker; Kafka's own advice ends at 4,000 a broker.
MAX_PARTITIONS: Final = 10_000

_SIZES = (
    Field(
        "partitions",
        Whole(1, MAX_PARTITIONS),
        "else those of the topic that its producer reads, else 1",
    ),
    Field("replication", Whole(1, 100), "copies on different brokers; else the cluster's own default"),
    Field("retention", Quantity(Duration), "how long events are kept, as 7d; else the log's own default"),
    Field(
        "max-bytes", Quantity(Size), "the size from which on a partition drops its oldest events, as 10GiB"
    ),
    Field("config", Settings(), "any other setting of a Kafka topic, passed through"),
)

CONTRACT: Final = Level(
    "a contract",
    "in a contract under 'contracts'",
    (
        Field("json-schema", Text(), "a JSON Schema file, relative to the blueprint"),
        Field("python", Text(), "a pydantic model, as package.module:Name"),
        Field("avro", Text(), "an Avro schema file (.avsc), relative to the blueprint"),
        Field(
            "protobuf",
            Text(),
            "a Protobuf file, or a compiled descriptor set (.binpb, .desc), with the message behind a colon, as "
            "contracts/departure.proto:Departure; imports are found beside the file and in the blueprint's folder",
        ),
    ),
)

STREAMLET: Final = Level(
    "a streamlet",
    "in a streamlet under 'streamlets'",
    (
        Field("use", Text(), "a built-in name, package.module:name, or an entry point", is_required=True),
        Field("with", AnyMapping(), "its options"),
        Field("replicas", Whole(1, MAX_PARTITIONS), "workers that share its partitions", default=1),
        Field(
            "overlap", Whole(1, 1000), "batches of one partition in flight at once; else the streamlet's own"
        ),
        Field(
            "on-invalid",
            Choice(("dead-letter", "drop", "stop")),
            "what becomes of an event against its contract",
            default="dead-letter",
        ),
        Field("start", Start(), "where a new group begins: earliest, latest or a time", default="earliest"),
        Field("pod", AnyMapping(), "passed through to its Kubernetes pod; without effect elsewhere"),
    ),
)

TOPIC: Final = Level(
    "a topic",
    "in a topic under 'topics'",
    (
        Field("producers", PortPaths(), "outlets that write to it, as [score.out]"),
        Field("consumers", PortPaths(), "inlets that read it, as [score.in]"),
        Field(
            "key",
            Text(is_expression=True),
            "a field of the event's data, or a CEL expression over it; else the producer's key",
        ),
        *_SIZES,
        Field(
            "compacted", Flag(), "keeps the latest event of each key; what table inlets read", default=False
        ),
        Field("external", Flag(), "made and filled, or read, by others too", default=False),
        Field("topic", Text(), "its name in the log, where that differs"),
        Field("contract", Text(), "the schema of its events: a name under 'contracts'"),
        Field(
            "format",
            Choice(("json", "avro", "protobuf")),
            "how its events are encoded in the log; avro and protobuf need a contract of that kind, whose JSON the "
            "events are inside the application",
            default="json",
        ),
        Field("registry", Flag(), "the schema registry's framing", unsupported="events carry no framing"),
        Field("inline", Flag(), "handed over in the process", unsupported="every topic is kept in the log"),
        Field("cluster", Text(), "a named cluster of --on", unsupported="an application runs on one log"),
    ),
)

DEAD_LETTERS: Final = Level(
    "dead-letters",
    "under 'dead-letters'",
    (
        Field("topic", Text(), "its name in the log; else <application>.dead-letters"),
        *(field for field in _SIZES if field.name != "config"),
    ),
)

DEFAULTS: Final = Level("defaults", "under 'defaults'", _SIZES)

BLUEPRINT: Final = Level(
    "a blueprint",
    "at the top",
    (
        Field("name", Text(), "the application: a DNS label", is_required=True),
        Field("description", Text(), "what it is for"),
        Field(
            "prefix", Text(may_be_empty=True), 'of its topics\' names in the log; else the name; "" for none'
        ),
        Field(
            "delivery",
            Choice(("exactly-once", "at-least-once")),
            "what readers of its topics may rely on",
            default="exactly-once",
        ),
        Field("contracts", Named(CONTRACT, "contract"), "schemas of events, by name"),
        Field("streamlets", Named(STREAMLET, "streamlet"), "the components, by name", is_required=True),
        Field("topics", Named(TOPIC, "topic"), "what joins them, by name"),
        Field("dead-letters", DEAD_LETTERS, "the topic of events that cannot be processed"),
        Field("defaults", DEFAULTS, "settings of every topic that does not say otherwise"),
    ),
)

LEVELS: Final = (BLUEPRINT, STREAMLET, TOPIC, CONTRACT, DEAD_LETTERS, DEFAULTS)
