"""The plan: a checked blueprint with every default filled in. The engine and deploy read nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from blueprints.diagnostics import Mark


@dataclass(frozen=True, slots=True)
class PortRef:
    """A port of a streamlet: `score.out`."""

    streamlet: str
    port: str

    def __str__(self) -> str:
        return f"{self.streamlet}.{self.port}"


@dataclass(frozen=True, slots=True)
class ContractPlan:
    """A contract as the blueprint names it: its kind and the file or type it comes from, as JSON Schema where known.

    `json_schema`: what a reader is given. `written_schema`: what may be written, where that is more: an Avro field
    with a default may be left out, and is there when it is read.
    `definition`: an Avro schema as its JSON value, or the compiled descriptor set of a Protobuf file; `message`: the
    full name of the message in it.
    """

    name: str
    kind: Literal["json-schema", "python", "avro", "protobuf"]
    source: str
    json_schema: Mapping[str, Any] | None = None
    written_schema: Mapping[str, Any] | None = None
    definition: Any = None
    message: str = ""

    @property
    def accepted(self) -> Mapping[str, Any] | None:
        """What an event must meet to be written under this contract."""
        return self.json_schema if self.written_schema is None else self.written_schema


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic. `name` is the blueprint's word for it, `log_name` its name in the log.

    `schemas`: JSON Schemas of what is written to it, as far as its contract, or else its producers', say it.
    """

    name: str
    log_name: str
    producers: tuple[PortRef, ...]
    consumers: tuple[PortRef, ...]
    partitions: int
    mark: Mark
    key: str | None = None
    replication: int | None = None
    retention_s: float | None = None
    max_bytes: int | None = None
    compacted: bool = False
    external: bool = False
    inline: bool = False
    cluster: str | None = None
    contract: ContractPlan | None = None
    format: Literal["json", "avro", "protobuf"] = "json"
    registry: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    schemas: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamletPlan:
    """A streamlet. `options` are plain values, secrets and environment filled in: never print them; a `repr` does not.

    `inlets` and `outlets`: port → the topic's name in the blueprint, connected ports only.
    `start`: where a new group begins: earliest, latest, or Unix seconds.
    """

    name: str
    use: str
    options: Mapping[str, Any] = field(repr=False)
    inlets: Mapping[str, str]
    outlets: Mapping[str, str]
    mark: Mark
    is_source: bool = False
    replicas: int = 1
    overlap: int | None = None
    on_invalid: Literal["dead-letter", "drop", "stop"] = "dead-letter"
    start: Literal["earliest", "latest"] | float = "earliest"
    pod: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked application. `revision`: 12 hexadecimal digits of a hash of all that the blueprint says, secrets
    left out; it is on events' status and in snapshots. `prefix`: of names in the log, with its dot, or empty.
    `secrets`: what no message, log or file of ours may show; see `blueprints.veil`."""

    name: str
    prefix: str
    delivery: Literal["exactly-once", "at-least-once"]
    streamlets: Mapping[str, StreamletPlan]
    topics: Mapping[str, TopicPlan]
    dead_letters: TopicPlan
    revision: str
    path: Path
    description: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @property
    def base_dir(self) -> Path:
        """The folder that relative paths in the blueprint start from."""
        return self.path.parent

    def group(self, streamlet: str) -> str:
        """Return the name of a streamlet's consumer group."""
        return f"{self.name}.{streamlet}"

    def state_topic(self, streamlet: str) -> str:
        """Return the name in the log of the topic that keeps a streamlet's small state."""
        return f"{self.name}.{streamlet}.state"

    @property
    def workers_topic(self) -> str:
        """The name in the log of the topic that keeps the workers' snapshots."""
        return f"{self.name}.workers"

    @property
    def status_topic(self) -> str:
        """The name in the log of the reserved status topic."""
        return f"{self.name}.status"
