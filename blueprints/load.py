"""From a file to a plan: read, lay overlays over it, fill in the environment, lint, fill in the defaults."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blueprints.catalog import Catalog, OptionProblem
from blueprints.diagnostics import MAX_PROBLEMS, BlueprintError, Diagnostic, Fix, Mark, Severity
from blueprints.environment import fill
from blueprints.fields import Section
from blueprints.frames import frame
from blueprints.lint import Draft, check
from blueprints.lint.draft import StreamletDraft, TopicDraft
from blueprints.lint.options import report_problem
from blueprints.lint.written import written_to
from blueprints.overlay import merge
from blueprints.plan import Plan, StreamletPlan, TopicPlan
from blueprints.source import (
    BLUEPRINT_FILE,
    OVERLAY_FILE,
    MappingNode,
    Node,
    SequenceNode,
    Source,
    built,
    parse,
    read,
)
from blueprints.veil import Veil


def load(path: Path, catalog: Catalog, environ: Mapping[str, str], overlays: Sequence[Path] = ()) -> Plan:
    """Return the plan of a blueprint. Raises: BlueprintError with every problem, in the file's order."""
    draft, diagnostics = lint(path, catalog, environ, overlays)
    if any(found.severity == "error" for found in diagnostics):
        raise BlueprintError(diagnostics)
    assert draft is not None
    return plan_of(draft, path)


def verify(
    path: Path,
    catalog: Catalog,
    environ: Mapping[str, str],
    overlays: Sequence[Path] = (),
    texts: Mapping[Path, bytes] = {},
) -> list[Diagnostic]:
    """Return every problem of a blueprint, in the file's order; those of overlays after those of the base.

    `texts`: what to take files to hold, instead of reading them.
    """
    return lint(path, catalog, environ, overlays, texts)[1]


class Checked:
    """A blueprint after the linter, to which what others find can be added at its place in the file."""

    def __init__(
        self, path: Path, catalog: Catalog, environ: Mapping[str, str], overlays: Sequence[Path] = ()
    ) -> None:
        self._draft, self._found = lint(path, catalog, environ, overlays)
        self._n_own = 0 if self._draft is None else len(self._draft.diagnostics)
        self.plan: Plan | None = None
        """What runs; None where there are errors."""
        if self._draft is not None and not any(found.severity == "error" for found in self._found):
            self.plan = plan_of(self._draft, path)
        self.base_dir = path.parent
        self.secrets = frozenset(() if self._draft is None else self._draft.known)

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Every problem, what was added among them, in the file's order."""
        if self._draft is None:
            return self._found
        added = self._draft.veiled()[self._n_own :]
        return _in_order([*self._found, *added], self._draft.sources, Veil(self._draft.known))

    def sound(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Return name → (what it uses, its options) of the streamlets in which the linter found no error."""
        if self._draft is None:
            return {}
        return {
            name: (streamlet.use, streamlet.options)
            for name, streamlet in self._draft.streamlets.items()
            if streamlet.is_sound and streamlet.type is not None
        }

    def contracts(self, streamlet: str) -> dict[str, Mapping[str, Any]]:
        """Return inlet → the schema of what arrives there: the topic's contract, else that of its one writer."""
        assert self._draft is not None
        found: dict[str, Mapping[str, Any]] = {}
        for port in self._draft.streamlets[streamlet].ports.values():
            for topic, _ in self._draft.uses(streamlet, port.name) if port.direction == "in" else ():
                written = [use.port.contract for use in topic.producers if use.port is not None]
                agreed = topic.contract.json_schema if topic.contract is not None else None
                schema = agreed or (written[0] if len(written) == 1 and not topic.is_external else None)
                if schema is not None:
                    found[port.name] = schema
        return found

    def add_of_option(self, streamlet: str, problem: OptionProblem) -> None:
        """Add a problem at the option of a streamlet that it is about."""
        assert self._draft is not None
        report_problem(self._draft, self._draft.streamlets[streamlet], problem)

    def add_of_streamlet(self, streamlet: str, field: str, code: str, message: str) -> None:
        """Add an error at a field of a streamlet, or at its name where it has none such."""
        assert self._draft is not None
        section = self._draft.streamlets[streamlet].section
        self._draft.error(section.at(field), code, message)

    def add_of_application(self, code: str, message: str) -> None:
        """Add an error of the whole, at the application's name."""
        assert self._draft is not None
        self._draft.error(self._draft.top.at("name"), code, message)

    def says(self, topic: str, field: str) -> bool:
        """Return whether the blueprint itself says a field of a topic; `dead-letters` is one too."""
        return self._section(topic, field) is not None

    def add_of_topic(
        self, topic: str, field: str, code: str, message: str, severity: Severity = "error"
    ) -> None:
        """Add a problem at a field of a topic, or where the blueprint sets it for all, or at the topic's name."""
        assert self._draft is not None
        section = self._section(topic, field)
        if section is not None:
            mark = section.at(field)
        elif topic in self._draft.topics:
            mark = self._draft.topics[topic].section.mark
        else:
            mark = self._draft.top.at(topic) if self._draft.top.has(topic) else self._draft.top.at("name")
        self._draft.report(mark, code, message, severity)

    def _section(self, topic: str, field: str) -> Section | None:
        assert self._draft is not None
        top = self._draft.top
        own = self._draft.topics[topic].section if topic in self._draft.topics else top.get("dead-letters")
        for section in (own, top.get("defaults") if topic in self._draft.topics else None):
            if section is not None and section.has(field):
                return section
        return None


def lint(
    path: Path,
    catalog: Catalog,
    environ: Mapping[str, str],
    overlays: Sequence[Path],
    texts: Mapping[Path, bytes] = {},
) -> tuple[Draft | None, list[Diagnostic]]:
    """Return the draft of a blueprint, or None where its files cannot be read, and every problem."""
    turns = [os.fspath(file) for file in (path, *overlays)]
    sources: dict[str, Source] = {}
    diagnostics: list[Diagnostic] = []
    for name in dict.fromkeys(
        turns
    ):  # an overlay that is laid again counts in its last turn, and is read once
        try:
            document = BLUEPRINT_FILE if name == turns[0] else OVERLAY_FILE
            given = texts.get(Path(name))
            sources[name] = (
                read(Path(name), document=document) if given is None else parse(given, name, document)
            )
        except BlueprintError as exc:
            diagnostics += exc.diagnostics
            continue
        diagnostics += sources[name].diagnostics
    if len(sources) < len(set(turns)):
        return None, _in_order(diagnostics, sources, Veil())
    draft, found = _checked(sources, turns, catalog, environ, path.parent)
    diagnostics += found
    if wrong := _misindented(sources, diagnostics):
        # One line stands at a wrong indent: said once, not of everything below it that reads as something else.
        sources = {**sources, wrong[1].file: wrong[1]}
        draft, found = _checked(sources, turns, catalog, environ, path.parent)
        diagnostics = [wrong[0], *(d for source in sources.values() for d in source.diagnostics), *found]
        # Its text is not the file's any more, so no fix of another line fits.
        diagnostics = [dataclasses.replace(d, fix=None) for d in diagnostics]
    if draft.is_full:  # what of it is secret was not looked for, so no line is shown
        return draft, _in_order(diagnostics, {}, Veil(draft.known))
    return draft, _in_order(diagnostics, sources, Veil(draft.known))


def _checked(
    sources: Mapping[str, Source],
    turns: Sequence[str],
    catalog: Catalog,
    environ: Mapping[str, str],
    base_dir: Path,
) -> tuple[Draft, list[Diagnostic]]:
    """Return the draft of files laid over each other, and what is wrong with it beyond what reading them found."""
    diagnostics: list[Diagnostic] = []
    root = sources[turns[0]].root
    for name in turns[1:]:
        root = merge(root, sources[name].root, diagnostics.append)
    diagnostics += fill(root, environ)
    draft = Draft(root, sources, catalog, base_dir)
    check(draft)
    return draft, diagnostics + draft.veiled()


_OUT_OF_PLACE = ("duplicate-key", "unknown-field", "misplaced-field", "missing-field")


def _misindented(
    sources: Mapping[str, Source], diagnostics: Sequence[Diagnostic]
) -> tuple[Diagnostic, Source] | None:
    """Return the problem of a line whose indent explains many others, and its file read as if it were right."""
    for file, source in sources.items():
        odd = sorted({d.mark.line for d in diagnostics if d.code in _OUT_OF_PLACE and d.mark.file == file})
        if len(odd) < 2:
            continue
        from blueprints.repair import misindented  # the cost of a search, for those only who need it

        found = misindented(source.lines, odd, built)
        if found is None:
            continue
        fault, text = found
        message = f"this does not belong here: it is {fault.message}"
        return Diagnostic(Mark(file, fault.line, fault.column), "misplaced-field", message), parse(text, file)
    return None


def _in_order(diagnostics: list[Diagnostic], sources: Mapping[str, Source], veil: Veil) -> list[Diagnostic]:
    order = {file: index for index, file in enumerate(sources)}
    found = sorted(
        dict.fromkeys(diagnostics),
        key=lambda d: (order.get(d.mark.file, len(order)), d.mark.line, d.mark.column),
    )
    found = _first_of(found)
    return [
        dataclasses.replace(
            d, frame=veil(frame(d.mark, sources[d.mark.file])), fix=_sound(d.fix, sources, veil)
        )
        if d.mark.file in sources
        else d
        for d in found
    ]


def _sound(fix: Fix | None, sources: Mapping[str, Source], veil: Veil) -> Fix | None:
    """Return a fix that changes nothing which an alias repeats elsewhere, and tells no secret; else None."""
    if fix is None:
        return None
    for edit in fix.edits:
        if veil(edit.text) != edit.text:
            return None
        source = sources.get(edit.file)
        if source is None or any(edit.start <= end and start <= edit.end for start, end in source.shared):
            return None
    return fix


def _first_of(found: list[Diagnostic]) -> list[Diagnostic]:
    """Return as many errors and warnings as anybody reads, and a last one that says that there are more."""
    left = {"error": MAX_PROBLEMS, "warning": MAX_PROBLEMS}
    kept: list[Diagnostic] = []
    for one in found:
        left[one.severity] -= 1
        if left[one.severity] > 0:
            kept.append(one)
        elif left[one.severity] == 0:
            message = f"{one.message} (and more {one.severity}s, which are not shown; mend these first)"
            kept.append(dataclasses.replace(one, message=message))
    return kept


def plan_of(draft: Draft, path: Path) -> Plan:
    """Return the plan of a draft without errors."""
    top = draft.top
    defaults: Section | None = top.get("defaults")
    return Plan(
        name=draft.name,
        prefix=draft.prefix,
        delivery=top.get("delivery", "exactly-once"),
        streamlets={name: _streamlet(draft, streamlet) for name, streamlet in draft.streamlets.items()},
        topics={name: _topic(draft, topic, defaults) for name, topic in draft.topics.items()},
        dead_letters=_dead_letters(draft),
        revision=_revision(draft),
        path=path,
        description=Veil(draft.known)(top.get("description", "")),
        secrets=frozenset(draft.known),
    )


def _streamlet(draft: Draft, streamlet: StreamletDraft) -> StreamletPlan:
    section = streamlet.section
    assert streamlet.type is not None
    connected: dict[str, dict[str, str]] = {"in": {}, "out": {}}
    for port in streamlet.ports.values():
        for topic, _ in draft.uses(streamlet.name, port.name):
            connected[port.direction][port.name] = topic.name
    return StreamletPlan(
        name=streamlet.name,
        use=streamlet.use,
        options=streamlet.options,
        inlets=connected["in"],
        outlets=connected["out"],
        mark=section.mark,
        is_source=streamlet.type.is_source,
        replicas=section.get("replicas", 1),
        overlap=section.get("overlap"),
        on_invalid=section.get("on-invalid", "dead-letter"),
        start=section.get("start", "earliest"),
        pod=_plain(section.node.get("pod"), frozenset()) or {},
    )


def _topic(draft: Draft, topic: TopicDraft, defaults: Section | None) -> TopicPlan:
    section = topic.section

    def setting(name: str) -> Any:
        return section.get(name, defaults.get(name) if defaults else None)

    config = {**(defaults.get("config", {}) if defaults else {}), **section.get("config", {})}
    return TopicPlan(
        name=topic.name,
        log_name=topic.log_name,
        producers=tuple(use.ref for use in topic.producers),
        consumers=tuple(use.ref for use in topic.consumers),
        partitions=draft.partitions[topic.name],
        mark=section.mark,
        key=section.get("key"),
        replication=setting("replication"),
        retention_s=_number(setting("retention"), float),
        max_bytes=_number(setting("max-bytes"), int),
        compacted=section.get("compacted", False),
        external=topic.is_external,
        contract=topic.contract,
        format=section.get("format", "json"),
        config={name: value for name, (value, _, _) in config.items()},
        schemas=tuple(one.schema for one in written_to(draft, topic)),
    )


def _dead_letters(draft: Draft) -> TopicPlan:
    section: Section = draft.top.get("dead-letters") or Section(
        draft.top.level, "dead-letters", MappingNode(draft.top.mark), draft.top.mark, {}
    )
    return TopicPlan(
        name="dead-letters",
        log_name=draft.dead_letters,
        producers=(),
        consumers=(),
        partitions=section.get("partitions", 1),
        mark=section.mark,
        replication=section.get("replication"),
        retention_s=_number(section.get("retention"), float),
        max_bytes=_number(section.get("max-bytes"), int),
    )


def _number(quantity: float | None, kind: type[float] | type[int]) -> Any:
    """Return a quantity as a bare number: past the plan nobody needs its unit."""
    return None if quantity is None else kind(quantity)


def _revision(draft: Draft) -> str:
    said = json.dumps(_plain(draft.root, draft.secrets), sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()


def _plain(node: Node | None, secrets: frozenset[int] | set[int]) -> Any:
    if node is None or id(node) in secrets:
        return None
    if isinstance(node, MappingNode):
        return {name: _plain(entry.value, secrets) for name, entry in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [_plain(item, secrets) for item in node.items]
    return node.value
