"""A draft: a blueprint under the linter, what is known of it so far, and the problems found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from blueprints.catalog import Catalog, Port, StreamletType
from blueprints.diagnostics import MAX_MESSAGE, MAX_PROBLEMS, Diagnostic, Fix, Mark, Severity
from blueprints.environment import FromOutside
from blueprints.fields import INVALID, Section
from blueprints.model import BLUEPRINT
from blueprints.needs import Needs
from blueprints.plan import ContractPlan, PortRef
from blueprints.source import MappingNode, Node, ScalarNode, Source
from blueprints.veil import Veil

T = TypeVar("T")


@dataclass
class StreamletDraft:
    """A streamlet: what `use` named, its options, the ports and needs that they give. `is_sound`: no problem so far."""

    name: str
    section: Section
    type: StreamletType | None = None
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    ports: dict[str, Port] = field(default_factory=dict)
    is_sound: bool = True
    needs: Needs = field(default_factory=Needs)

    @property
    def use(self) -> str:
        return str(self.section.get("use", ""))

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the options; made once, because a type may take milliseconds to make it."""
        return self.type.options_schema() if self.type is not None else {}

    @property
    def replicas(self) -> int:
        return int(self.section.get("replicas", 1))

    @property
    def given(self) -> MappingNode:
        """What stands under `with`; an empty mapping where that is absent."""
        node = self.section.get("with")
        return node if node is not None else MappingNode(self.section.mark)


@dataclass(slots=True)
class PortUse:
    """A port as a topic names it, with what it turned out to be: None where there is no such streamlet or port.

    `meant`: the streamlet that a misspelt name most likely stood for.
    """

    ref: PortRef
    mark: Mark
    streamlet: StreamletDraft | None = None
    port: Port | None = None
    meant: str | None = None


@dataclass(slots=True)
class TopicDraft:
    """A topic, the ports that it joins, and its contract."""

    name: str
    section: Section
    log_name: str
    producers: list[PortUse] = field(default_factory=list)
    consumers: list[PortUse] = field(default_factory=list)
    contract: ContractPlan | None = None

    @property
    def is_external(self) -> bool:
        return bool(self.section.get("external", False))


class Enough(Exception):
    """As many errors as are shown have been found: the rest is not looked for."""


class Draft:
    """A blueprint under the linter. `is_full`: as many errors as are shown were found, and the rest was left."""

    def __init__(
        self, root: MappingNode, sources: Mapping[str, Source], catalog: Catalog, base_dir: Path
    ) -> None:
        self.root, self.sources, self.catalog, self.base_dir = root, sources, catalog, base_dir
        self.diagnostics: list[Diagnostic] = []
        self.n_errors = 0
        self.written: dict[str, Any] = {}
        """Topic → what `lint.written` knows of its events, found once."""
        self.secrets: set[int] = set()
        """Identities of the nodes that hold a secret."""
        self.known: set[str] = set()
        """The secrets themselves, for a veil over every message."""
        try:
            read = BLUEPRINT.read(root, "the blueprint", self.error)
        except Enough:
            read = INVALID
        self.top: Section = (
            read if read is not INVALID else Section(BLUEPRINT, "the blueprint", root, root.mark, {})
        )
        self.streamlets = {
            name: StreamletDraft(name, section) for name, section in self.top.get("streamlets", {}).items()
        }
        self.contracts: dict[str, ContractPlan] = {}
        self.topics = {
            name: TopicDraft(name, section, self.log_name(name, section))
            for name, section in self.top.get("topics", {}).items()
        }

    @property
    def name(self) -> str:
        """The application's name, or nothing where it is missing or wrong."""
        return str(self.top.get("name", ""))

    @property
    def prefix(self) -> str:
        """What the names of the application's own topics begin with in the log, with its dot, or nothing."""
        prefix = str(self.top.get("prefix", self.name)).removesuffix(".")
        return f"{prefix}." if prefix else ""

    @property
    def dead_letters(self) -> str:
        """The name in the log of the topic of dead letters."""
        section: Section | None = self.top.get("dead-letters")
        default = f"{self.name}.dead-letters"
        return str(section.get("topic", default)) if section is not None else default

    def log_name(self, name: str, section: Section) -> str:
        """Return a topic's name in the log: `topic`, else its own, prefixed unless it is external."""
        given = section.get("topic")
        if given is not None:
            return str(given)
        return name if section.get("external", False) else self.prefix + name

    def error(
        self,
        mark: Mark,
        code: str,
        message: str,
        related: tuple[tuple[Mark, str], ...] = (),
        *,
        fix: Fix | None = None,
    ) -> None:
        """Report an error."""
        self.report(mark, code, message, "error", related, fix)

    def warning(self, mark: Mark, code: str, message: str) -> None:
        """Report a warning."""
        self.report(mark, code, message, "warning")

    def report(
        self,
        mark: Mark,
        code: str,
        message: str,
        severity: Severity,
        related: tuple[tuple[Mark, str], ...] = (),
        fix: Fix | None = None,
    ) -> None:
        """Report a problem, on one line whatever the message holds, and what would mend it beyond doubt."""
        line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in message)).strip()
        if len(line) > MAX_MESSAGE:
            line = line[: MAX_MESSAGE - 1] + "…"
        self.diagnostics.append(Diagnostic(mark, code, line, severity, related, fix=fix))
        self.n_errors += severity == "error"
        if self.is_full:
            raise Enough

    @property
    def is_full(self) -> bool:
        return self.n_errors >= MAX_PROBLEMS

    def hide(self, node: Node) -> None:
        """Keep the lines of a node, which holds a secret in clear, out of every frame."""
        source = self.sources.get(node.mark.file)
        if source is None:
            return
        end = node.end_line if isinstance(node, ScalarNode) else node.mark.line
        for line in range(node.mark.line, max(node.mark.line, end) + 1):
            column = node.mark.column if line == node.mark.line else 1
            source.hidden[line] = min(column, source.hidden.get(line, column))

    def veiled(self) -> list[Diagnostic]:
        """Return what was found, with secrets and what came from the environment taken out of every message."""
        veil = Veil(self.known)
        from_outside = FromOutside(self.root)

        def clean(text: str, mark: Mark) -> str:
            return veil(from_outside.named(text, mark))

        return [
            replace(
                found,
                message=clean(found.message, found.mark),
                related=tuple((mark, clean(text, mark)) for mark, text in found.related),
            )
            for found in self.diagnostics
        ]

    def text_of(self, mark: Mark) -> str:
        """Return the text of the file that a place is in."""
        source = self.sources.get(mark.file)
        return source.text if source is not None else ""

    def sections(self) -> Iterator[Section]:
        """Yield every level of the blueprint that was read."""
        waiting: list[Any] = [self.top]
        while waiting:
            found = waiting.pop()
            if isinstance(found, Section):
                yield found
                waiting.extend(found.values.values())
            elif isinstance(found, dict):
                waiting.extend(value for value in found.values() if isinstance(value, Section | dict))

    def ask(self, streamlet: StreamletDraft, question: str, answer: Callable[[], Sequence[T]]) -> Sequence[T]:
        """Return what a streamlet's type answers; nothing, after reporting `not-a-streamlet`, where it raises.

        The type may be anybody's, so it may raise anything; only the kind of error is told, because its text may
        hold an option's value.
        """
        try:
            return answer()
        except Exception as exc:  # noqa: BLE001 - see above
            streamlet.is_sound = False
            message = f"'{streamlet.use}' fails when it is asked for its {question}: {type(exc).__name__}"
            self.error(streamlet.section.at("use"), "not-a-streamlet", message)
            return ()

    def uses(self, streamlet: str, port: str) -> list[tuple[TopicDraft, PortUse]]:
        """Return the topics that name a port, with the place where they do."""
        return self._uses.get((streamlet, port), [])

    def streams(self, streamlet: StreamletDraft) -> list[tuple[TopicDraft, PortUse]]:
        """Return the topics of a streamlet's stream inlets, with the places where they are connected."""
        return [
            use
            for port in streamlet.ports.values()
            if port.direction == "in" and port.kind == "stream"
            for use in self.uses(streamlet.name, port.name)
        ]

    @cached_property
    def _uses(self) -> dict[tuple[str, str], list[tuple[TopicDraft, PortUse]]]:
        uses: dict[tuple[str, str], list[tuple[TopicDraft, PortUse]]] = {}
        for topic in self.topics.values():
            for use in topic.producers + topic.consumers:
                uses.setdefault((use.ref.streamlet, use.ref.port), []).append((topic, use))
        return uses

    @cached_property
    def misnamed(self) -> set[str]:
        """The streamlets of which a port is misnamed: that is the problem, not the port that is left over."""
        return {
            name
            for topic in self.topics.values()
            for use in topic.producers + topic.consumers
            for name in ((use.meant,) if use.streamlet is None else (use.ref.streamlet,) * (use.port is None))
            if name is not None
        }

    @cached_property
    def partitions(self) -> dict[str, int]:
        """The partitions of every topic: its own, the default, those of what its producers read, else 1."""
        counts: dict[str, int] = {}
        defaults: Section | None = self.top.get("defaults")
        default = defaults.get("partitions") if defaults else None
        read_by: dict[str, list[str]] = {}
        for name, topic in self.topics.items():
            for use in topic.consumers:
                if use.port is None or use.port.kind == "stream":
                    read_by.setdefault(use.ref.streamlet, []).append(name)
        reads: dict[str, list[str]] = {}
        for name, topic in self.topics.items():
            own = topic.section.get("partitions", default)
            if own is not None:
                counts[name] = own
            else:
                producers = dict.fromkeys(use.ref.streamlet for use in topic.producers)
                reads[name] = [read for streamlet in producers for read in read_by.get(streamlet, ())]
        waiting, opened = list(reversed(reads)), set[str]()
        while waiting:
            name = waiting[-1]
            # What is open already goes round; a cycle is reported elsewhere, here it must only end.
            before = [read for read in reads[name] if read not in counts and read not in opened]
            opened.add(name)
            if before and name not in counts:
                waiting += before
            else:
                counts.setdefault(name, max((counts.get(read, 1) for read in reads[name]), default=1))
                waiting.pop()
        return counts

    def known_partitions(self, topic: TopicDraft) -> int | None:
        """Return a topic's partitions; None for one of others that the blueprint does not say it of."""
        if topic.is_external and not topic.section.has("partitions"):
            return None
        return self.partitions[topic.name]
