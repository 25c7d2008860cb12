"""Blueprint tests as they are written: `NAME_test.yaml` beside `NAME.yaml`, read with the place of every value.

What a field means is said in `case_fields`. Here a case becomes its steps, and what it names is held against the plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from blueprints.case_fields import ATTRIBUTES, FILE
from blueprints.diagnostics import MAX_PROBLEMS, BlueprintError, Diagnostic, Fix, Mark
from blueprints.expressions import Expression
from blueprints.fields import INVALID, Section
from blueprints.frames import frame
from blueprints.plan import Plan
from blueprints.source import Document, Source, read
from blueprints.suggest import did_you_mean

DEAD_LETTERS: Final = "dead-letters"
"""The topic under which a case expects dead letters: events whose data are DEAD_LETTER_FIELDS."""
DEAD_LETTER_FIELDS: Final = ("code", "reason", "streamlet", "topic", "attempts", "data")
STATUS: Final = "status"
"""The topic under which a case expects status events, where the blueprint has no topic of this name."""

TEST_FILE: Final = Document(
    "test file",
    "a test file is a mapping with a list of 'cases'",
    max_bytes=8 << 20,  # thousands of cases
    max_values=500_000,  # read within five seconds
    when_empty="'streamlets new NAME' writes an application with a test",
)


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """An event of a case. `attributes`: what is given besides the data, of CloudEvents and of the record."""

    mark: Mark
    data: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a model does with a row: answers tensors, or fails. `when` None: with every row; `server` None: at each."""

    mark: Mark
    when: Expression | None
    answer: Mapping[str, Any] | None
    error: Literal["unavailable", "rejected", "broken"] | None = None
    version: str | None = None
    server: str | None = None
    takes_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of an event. `kind` None: its data may be any; `within`: of numbers with a fraction."""

    mark: Mark
    kind: Literal["exact", "subset"] | None = None
    value: Any = None
    cel: Expression | None = None
    within: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicExpectation:
    """What is expected of a topic. `events` None: nothing is said of them one by one."""

    mark: Mark
    events: Sequence[Expectation] | None = None
    others: bool = False
    in_order: bool = True
    each: Expectation | None = None
    at_least: int = 0
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at one instant, the time that passes then (None: until all is settled), and what came by then."""

    mark: Mark
    models: Mapping[str, Sequence[Rule]] = field(default_factory=dict)
    given: Mapping[str, tuple[Mark, Sequence[GivenEvent]]] = field(default_factory=dict)
    after_s: float | None = None
    expect: Mapping[str, TopicExpectation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One test. A case in one go has one step. `expect`: over all steps. `env`: None unsets a variable."""

    name: str
    mark: Mark
    steps: Sequence[Step]
    models: Mapping[str, Sequence[Rule]] = field(default_factory=dict)
    expect: Mapping[str, TopicExpectation] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def given(self) -> dict[str, int]:
        """Topic → how many events are given there, over all steps."""
        found: dict[str, int] = {}
        for step in self.steps:
            for topic, (_, events) in step.given.items():
                found[topic] = found.get(topic, 0) + len(events)
        return found


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A test file as it was read: its cases, and what is wrong with it."""

    cases: Sequence[Case]
    problems: Sequence[Diagnostic]
    source: Source

    def framed(self, problems: Sequence[Diagnostic]) -> list[Diagnostic]:
        """Return problems in the file's order, each with its line and a caret below the place."""
        found = sorted(dict.fromkeys(problems), key=lambda d: (d.mark.line, d.mark.column))
        return [dataclasses.replace(one, frame=frame(one.mark, self.source)) for one in found]


def cases_path(blueprint: Path) -> Path:
    """Return where the tests of a blueprint are: beside it."""
    return blueprint.with_name(f"{blueprint.stem}_test{blueprint.suffix or '.yaml'}")


def read_cases(path: Path) -> CaseFile:
    """Return the cases of a file with what is wrong in it. Raises: BlueprintError where it cannot be read at all."""
    source = read(path, document=TEST_FILE)
    problems = list(source.diagnostics)

    def report(mark: Mark, code: str, message: str, *, fix: Fix | None = None) -> None:
        if len(problems) < MAX_PROBLEMS:
            problems.append(Diagnostic(mark, code, message, fix=fix))

    root = FILE.read(source.root, "a test file", report)
    cases = [_case(section) for section in root.get("cases") or []] if root is not INVALID else []
    named: dict[str, Mark] = {}
    for case in cases:
        first = named.setdefault(case.name, case.mark)
        if case.name and first is not case.mark:
            report(case.mark, "bad-value", f"the case of line {first.line} is called '{case.name}' too")
    return CaseFile(cases, problems, source)


def load_cases(path: Path) -> list[Case]:
    """Return the cases of a file. Raises: BlueprintError with every problem, in the file's order."""
    found = read_cases(path)
    if found.problems:
        raise BlueprintError(found.framed(found.problems))
    return list(found.cases)


def check_cases(cases: Sequence[Case], plan: Plan) -> list[Diagnostic]:
    """Return what the cases name and the blueprint does not have, or cannot take."""
    problems: list[Diagnostic] = []
    for case in cases:
        for step in case.steps:
            for topic, (mark, events) in step.given.items():
                problems += _check_given(topic, mark, events, plan)
            problems += _check_expected(step.expect, plan)
        problems += _check_expected(case.expect, plan)
    return problems


def _check_given(topic: str, mark: Mark, events: Sequence[GivenEvent], plan: Plan) -> list[Diagnostic]:
    there = plan.topics.get(topic)
    if there is None:
        hint = did_you_mean(topic, plan.topics)
        return [Diagnostic(mark, "bad-value", f"'{topic}' is no topic of {plan.path.name}{hint}")]
    problems = []
    for event in events:
        if event.attributes.get("partition", 0) >= there.partitions:
            has = f"'{topic}' has {there.partitions} partition{'s' * (there.partitions > 1)}, from 0"
            problems.append(
                Diagnostic(event.mark, "bad-value", f"{has}; there is no {event.attributes['partition']}")
            )
        if there.compacted and there.key is None and event.attributes.get("key") is None:
            told = f"'{topic}' is compacted: an event in it needs a key; write {{ data: …, key: … }}"
            problems.append(Diagnostic(event.mark, "missing-field", told))
    return problems


def _check_expected(expect: Mapping[str, TopicExpectation], plan: Plan) -> list[Diagnostic]:
    problems = []
    for topic, expected in expect.items():
        if topic not in plan.topics and topic not in (DEAD_LETTERS, STATUS):
            hint = did_you_mean(topic, [*plan.topics, DEAD_LETTERS, STATUS])
            told = f"'{topic}' is no topic of {plan.path.name}{hint}"
            problems.append(Diagnostic(expected.mark, "bad-value", told))
        if topic == DEAD_LETTERS and topic not in plan.topics:
            for event in (*(expected.events or ()), *([expected.each] if expected.each else [])):
                problems += _check_dead_letter(event, plan)
    return problems


def _check_dead_letter(event: Expectation, plan: Plan) -> list[Diagnostic]:
    if not isinstance(event.value, dict):
        return []
    problems = []
    for name in event.value:
        if name not in DEAD_LETTER_FIELDS:
            hint = did_you_mean(name, DEAD_LETTER_FIELDS) or f"; it has {', '.join(DEAD_LETTER_FIELDS)}"
            problems.append(Diagnostic(event.mark, "unknown-field", f"a dead letter has no '{name}'{hint}"))
    for name, known in (("streamlet", plan.streamlets), ("topic", plan.topics)):
        said = event.value.get(name)
        if isinstance(said, str) and said not in known:
            told = f"'{said}' is no {name} of {plan.path.name}{did_you_mean(said, known)}"
            problems.append(Diagnostic(event.mark, "bad-value", told))
    return problems


# --- from sections to cases


def _case(section: Section) -> Case:
    env = {name: value for name, (_, value) in (section.get("env") or {}).items()}
    name = section.get("name", "")
    models = _models(section)
    if section.has("steps"):
        steps = [_step(one) for one in section.get("steps") or []]
        return Case(name, section.mark, steps, models, _expected(section), env)
    return Case(name, section.mark, [_step(section)], models, {}, env)


def _step(section: Section) -> Step:
    given = {
        topic: (mark, [_given(event) for event in events])
        for topic, (mark, events) in (section.get("given") or {}).items()
    }
    after = section.get("after")
    return Step(
        section.mark, _models(section), given, None if after is None else float(after), _expected(section)
    )


def _models(section: Section) -> dict[str, Sequence[Rule]]:
    return {
        model: [_rule(rule) for rule in rules] for model, (_, rules) in (section.get("models") or {}).items()
    }


def _given(section: Section) -> GivenEvent:
    return GivenEvent(section.mark, section.get("data"), _attributes(section))


def _attributes(section: Section) -> dict[str, Any]:
    return {
        name: section.values[name]
        for name in ATTRIBUTES
        if name in section.values and not section.is_wrong(name)
    }


def _rule(section: Section) -> Rule:
    return Rule(
        section.mark,
        section.get("when"),
        section.get("answer", section.get("default")),
        section.get("error"),
        section.get("version"),
        section.get("server"),
        float(section.get("takes", 0.0)),
    )


def _expected(section: Section) -> dict[str, TopicExpectation]:
    return {
        topic: _topic(mark, expected) for topic, (mark, expected) in (section.get("expect") or {}).items()
    }


def _topic(mark: Mark, section: Section) -> TopicExpectation:
    events = section.get("events")
    each, count = section.get("each"), section.get("count")
    return TopicExpectation(
        mark,
        None if events is None else [_expectation(one) for one in events],
        section.get("others", False),
        section.get("order", "kept") == "kept",
        None if each is None else _expectation(each),
        section.get("at-least", 0) if count is None else count,
        section.get("at-most") if count is None else count,
    )


def _expectation(section: Section) -> Expectation:
    kind: Literal["exact", "subset"] | None = None
    if "exact" in section.values:
        kind = "exact"
    elif "subset" in section.values:
        kind = "subset"
    return Expectation(
        section.mark,
        kind,
        section.values.get(kind) if kind else None,
        section.get("cel"),
        section.get("within"),
        _attributes(section),
    )
