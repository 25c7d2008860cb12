"""Blueprint tests as they are written: `NAME_test.yaml` beside `NAME.yaml`, read with the place of every value.

A case gives events by topic, says what the models answer, and what is expected by topic after some virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from blueprints.diagnostics import BlueprintError, Diagnostic, Mark
from blueprints.expressions import Expression, ExpressionError
from blueprints.plan import Plan
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode, plain, read
from blueprints.suggest import did_you_mean
from blueprints.units import Duration, UnitError

T = TypeVar("T")

ERRORS = ("unavailable", "rejected", "broken")
DEAD_LETTERS = "dead-letters"
"""The topic name under which a case expects dead letters: their `code`, `reason`, `streamlet`, `topic` and `data`."""

_CASE = ("name", "given", "models", "expect", "after", "env")
_EVENT = ("data", "key", "id", "type", "source", "subject", "time", "extensions", "partition")
_RULE = ("when", "answer", "error", "default", "version")
_MATCH = ("exact", "subset", "cel")
_BESIDE = ("key", "type", "subject", "extensions")


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """An event of a case. `attributes`: what is given besides the data, of CloudEvents and of the record."""

    mark: Mark
    data: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a model does with a row: answers tensors, or fails. `when` None: with every row."""

    mark: Mark
    when: Expression | None
    answer: Mapping[str, Any] | None
    error: Literal["unavailable", "rejected", "broken"] | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """An event that is expected: its data exactly, a part of it, or a condition; and of its attributes what is said."""

    mark: Mark
    kind: Literal["exact", "subset", "cel"]
    value: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `after_s` None: when all that was given is settled and what is open is closed."""

    name: str
    mark: Mark
    given: Mapping[str, Sequence[GivenEvent]]
    models: Mapping[str, Sequence[Rule]]
    expect: Mapping[str, tuple[Mark, Sequence[Expectation]]]
    after_s: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def cases_path(blueprint: Path) -> Path:
    """Return where the tests of a blueprint are: beside it."""
    return blueprint.with_name(f"{blueprint.stem}_test{blueprint.suffix or '.yaml'}")


def load_cases(path: Path) -> list[Case]:
    """Return the cases of a file. Raises: BlueprintError with every problem, in the file's order."""
    source = read(path)
    reader = _Reader(list(source.diagnostics))
    cases = reader.file(source.root)
    if reader.problems:
        raise BlueprintError(sorted(reader.problems, key=lambda d: (d.mark.line, d.mark.column)))
    return cases


def check_cases(cases: Sequence[Case], plan: Plan) -> list[Diagnostic]:
    """Return what the cases name and the blueprint does not have."""
    problems = []
    for case in cases:
        named = [(topic, e.mark) for topic, events in case.given.items() for e in events[:1]]
        named += [(topic, mark) for topic, (mark, _) in case.expect.items() if topic != DEAD_LETTERS]
        for topic, mark in named:
            if topic not in plan.topics:
                hint = did_you_mean(topic, [*plan.topics, DEAD_LETTERS])
                text = f"'{topic}' is no topic of {plan.path.name}{hint}"
                problems.append(Diagnostic(mark, "bad-value", text))
    return problems


class _Reader:
    def __init__(self, problems: list[Diagnostic]) -> None:
        self.problems = problems

    def problem(self, mark: Mark, code: str, message: str) -> None:
        self.problems.append(Diagnostic(mark, code, message))

    def wrong(self, node: Node, message: str) -> None:
        self.problem(node.mark, "bad-value", message)

    def mapping(self, node: Node, what: str, known: Sequence[str] = ()) -> dict[str, Node]:
        """Return the values of a mapping by name; unknown names are reported, unless any may stand there."""
        if not isinstance(node, MappingNode):
            self.wrong(node, f"{what} must be a mapping")
            return {}
        for name, entry in node.entries.items():
            if known and name not in known:
                hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
                self.problem(entry.key.mark, "unknown-field", f"{what} has no field '{name}'{hint}")
        return {name: e.value for name, e in node.entries.items() if not known or name in known}

    def items(self, node: Node, what: str, each: Callable[[Node], T | None]) -> list[T]:
        if not isinstance(node, SequenceNode):
            self.wrong(node, f"{what} must be a list")
            return []
        return [found for item in node.items if (found := each(item)) is not None]

    def text(self, node: Node, what: str) -> str:
        if isinstance(node, ScalarNode) and node.value is not None:
            return node.text
        self.wrong(node, f"{what} must be text")
        return ""

    def file(self, root: MappingNode) -> list[Case]:
        fields = self.mapping(root, "a test file", ("cases",))
        if "cases" not in fields:
            self.problem(root.mark, "missing-field", "a test file has a list of 'cases'")
            return []
        return self.items(fields["cases"], "'cases'", self.case)

    def case(self, node: Node) -> Case | None:
        fields = self.mapping(node, "a case", _CASE)
        if not fields:
            return None
        name = self.text(fields["name"], "'name'") if "name" in fields else ""
        if not name:
            self.problem(node.mark, "missing-field", "a case has a 'name' that says what is true")
        if "expect" not in fields:
            self.problem(
                node.mark,
                "missing-field",
                f"case '{name}' expects nothing; 'expect: {{ TOPIC: [] }}' says none",
            )
        given = self.mapping(fields["given"], "'given'") if "given" in fields else {}
        models = self.mapping(fields["models"], "'models'") if "models" in fields else {}
        expect = self.mapping(fields["expect"], "'expect'") if "expect" in fields else {}
        env = self.mapping(fields["env"], "'env'") if "env" in fields else {}
        return Case(
            name,
            node.mark,
            {t: self.items(events, f"the events of '{t}'", self.event) for t, events in given.items()},
            {m: self.items(rules, f"the answers of '{m}'", self.rule) for m, rules in models.items()},
            {
                t: (wanted.mark, self.items(wanted, f"what is expected in '{t}'", self.expectation))
                for t, wanted in expect.items()
            },
            self.duration(fields["after"]) if "after" in fields else None,
            {name: self.text(value, f"'{name}'") for name, value in env.items()},
        )

    def duration(self, node: Node) -> float | None:
        try:
            return float(Duration.parse(node.value if isinstance(node, ScalarNode) else None))
        except UnitError as exc:
            self.wrong(node, f"'after': {exc}")
            return None

    def event(self, node: Node) -> GivenEvent | None:
        if isinstance(node, MappingNode) and "data" in node.entries and set(node.entries) <= set(_EVENT):
            attributes = {name: plain(e.value) for name, e in node.entries.items() if name != "data"}
            self.attributes(node, attributes)
            return GivenEvent(node.mark, plain(node.entries["data"].value), attributes)
        return GivenEvent(node.mark, plain(node))

    def attributes(self, node: MappingNode, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            at = node.entries[name].value
            if name == "extensions":
                if not isinstance(value, dict) or any(isinstance(v, dict | list) for v in value.values()):
                    self.wrong(at, "'extensions' must be a mapping of names to single values")
            elif name == "partition":
                if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                    self.wrong(at, "'partition' must be a whole number")
            elif not isinstance(value, str | int | float):
                self.wrong(at, f"'{name}' must be text")

    def rule(self, node: Node) -> Rule | None:
        fields = self.mapping(node, "an answer", _RULE)
        if not fields:
            return None
        said = [name for name in ("answer", "error", "default") if name in fields]
        if len(said) != 1:
            self.wrong(node, "an answer has one of 'answer', 'error' and 'default'")
            return None
        when = self.expression(fields["when"], "'when'") if "when" in fields else None
        if said == ["default"] and when is not None:
            self.wrong(fields["when"], "'default' is for every row; write 'answer' beside 'when'")
        version = self.text(fields["version"], "'version'") if "version" in fields else None
        if said == ["error"]:
            error = self.text(fields["error"], "'error'")
            if error not in ERRORS:
                self.wrong(fields["error"], f"'error' must be {', '.join(ERRORS[:-1])} or {ERRORS[-1]}")
                return None
            return Rule(node.mark, when, None, error, version)  # type: ignore[arg-type]
        tensors = self.mapping(fields[said[0]], "an answer's tensors")
        return Rule(node.mark, when, {name: plain(value) for name, value in tensors.items()}, None, version)

    def expression(self, node: Node, what: str) -> Expression | None:
        text = self.text(node, what)
        try:
            return Expression(text) if text else None
        except ExpressionError as exc:
            self.problem(node.mark, "bad-expression", f"{what}: {exc}")
            return None

    def expectation(self, node: Node) -> Expectation | None:
        fields = self.mapping(node, "an expected event", (*_MATCH, *_BESIDE))
        kinds = [name for name in _MATCH if name in fields]
        if len(kinds) != 1:
            self.wrong(node, "an expected event has one of 'exact', 'subset' and 'cel'")
            return None
        kind = kinds[0]
        attributes = {name: plain(value) for name, value in fields.items() if name not in _MATCH}
        if isinstance(node, MappingNode):
            self.attributes(node, attributes)
        value = self.expression(fields[kind], "'cel'") if kind == "cel" else plain(fields[kind])
        return Expectation(node.mark, kind, value, attributes)  # type: ignore[arg-type]
