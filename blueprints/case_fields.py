"""The language of blueprint tests: every field that `NAME_test.yaml` may have. Parser and JSON Schema read it here.

A case in one go:                               and in steps:
    - name: a warm reading is reported              - name: the second model takes over
      given: { readings: [ { celsius: 35.0 } ] }      models: { m: [ { default: { y: 1.0 } } ] }
      expect: { warm: [ { subset: { … } } ] }         steps:
                                                        - { given: { … }, after: 5s, expect: { … } }

Past 400 lines because it is one table, from the file down to an event, and a field of it is a few lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from blueprints.diagnostics import MAX_PROBLEMS, Mark
from blueprints.expressions import Expression, ExpressionError
from blueprints.fields import (
    INVALID,
    VARIABLE_SCHEMA,
    Choice,
    Field,
    Flag,
    Kind,
    Level,
    Quantity,
    Report,
    Section,
    Text,
    shown,
)
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode, plain
from blueprints.suggest import did_you_mean
from blueprints.units import Duration

ERRORS: Final = ("unavailable", "rejected", "broken")
ATTRIBUTES: Final = ("id", "type", "source", "subject", "time", "key", "partition", "extensions")
"""What an event has beside its data: of CloudEvents, and of its place in the log."""

MAX_COUNT: Final = 1_000_000  # events of one topic in one case; far more than a test file can hold


def _no(node: Node, what: str, wanted: str, report: Report) -> Any:
    report(node.mark, "bad-value", f"{what} must be {wanted}, not {shown(node)}")
    return INVALID


@dataclass(frozen=True)
class Strict(Level):
    """A level whose unknown and missing fields are reported as it is read."""

    def read(self, node: Node, what: str, report: Report, mark: Mark | None = None) -> Any:
        what = self.name  # the place says which; all that it lies in would make long sentences
        section = super().read(node, what, report, mark)
        if section is INVALID:
            return INVALID
        names = self.names()
        unknown = [entry.key for name, entry in section.node.entries.items() if name not in names]
        for key in unknown[:MAX_PROBLEMS]:
            known = did_you_mean(key.text, names) or f"; its fields are {', '.join(names)}"
            report(key.mark, "unknown-field", f"{what} has no field '{key.text}'{known}")
        for field in self.fields:
            if field.is_required and not section.has(field.name):
                report(section.mark, "missing-field", f"{what} needs '{field.name}': {field.description}")
        return section


@dataclass(frozen=True)
class ListOf:
    """A list of values of one kind; what is wrong with one of them is reported, and the others stay."""

    kind: Kind
    noun: str

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, SequenceNode):
            return _no(node, what, f"a list of {self.noun}s", report)
        read = [self.kind.read(item, _article(self.noun), report) for item in node.items]
        return [value for value in read if value is not INVALID]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.kind.schema()}


@dataclass(frozen=True)
class ByName:
    """A mapping of names to values of one kind: {name: (place of the name, value)}."""

    kind: Kind
    noun: str

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, MappingNode):
            return _no(node, what, f"a mapping by {self.noun}", report)
        found = {}
        for name, (key, value) in node.entries.items():
            read = self.kind.read(value, f"{self.noun} '{name}'", report)
            if read is not INVALID:
                found[name] = (key.mark, read)
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.kind.schema()}


@dataclass(frozen=True)
class Json:
    """Any value, as it is written."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        return plain(node)

    def schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Mapped:
    """A mapping of names to any values, as it is written."""

    noun: str

    def read(self, node: Node, what: str, report: Report) -> Any:
        return plain(node) if isinstance(node, MappingNode) else _no(node, what, self.noun, report)

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclass(frozen=True)
class Single:
    """A single value, read as the text that is written; `or_nothing`: None where nothing is written."""

    or_nothing: bool = False

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and (node.value is not None or self.or_nothing):
            return None if node.value is None else node.text
        return _no(node, what, "a single value", report)

    def schema(self) -> dict[str, Any]:
        kinds = ["string", "number", "boolean"]
        return {"type": [*kinds, "null"] if self.or_nothing else kinds}


@dataclass(frozen=True)
class Count:
    """A whole number from nought."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        value = plain(node)
        if type(value) is int and 0 <= value <= MAX_COUNT:
            return value
        return _no(node, what, f"a whole number from 0 to {MAX_COUNT:,}", report)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}


@dataclass(frozen=True)
class Tolerance:
    """A number from nought."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        value = plain(node)
        if type(value) in (int, float) and 0 <= value < float("inf"):
            return float(value)
        return _no(node, what, "a number such as 0.05", report)

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0}


@dataclass(frozen=True)
class Wait(Quantity):
    """A duration above nought, with its unit."""

    def schema(self) -> dict[str, Any]:
        units = "|".join(map(re.escape, self.of.units))
        pattern = (
            rf"^\s*\d{{1,15}}(\.\d{{1,9}})?\s*({units})\s*$"  # as the unit's own, but no variable stands here
        )
        return {"type": "string", "pattern": pattern, "examples": list(self.of.examples)}


@dataclass(frozen=True)
class Extensions:
    """CloudEvents extension attributes: names to single values."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        value = plain(node)
        if isinstance(value, dict) and not any(isinstance(one, dict | list) for one in value.values()):
            return {name: _text(one) for name, one in value.items()}
        return _no(node, what, "a mapping of names to single values", report)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": Single(or_nothing=True).schema()}


@dataclass(frozen=True)
class Condition:
    """A CEL expression, compiled."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        text = Text().read(node, what, report)
        if text is INVALID:
            return INVALID
        try:
            return Expression(text)
        except ExpressionError as exc:
            report(_inside(node, exc), "bad-expression", f"{what}: {exc}")
            return INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


_NAMES: Final = {
    "id": "its id",
    "type": "its type",
    "source": "its source",
    "subject": "its subject",
    "time": "its time, RFC 3339",
    "key": "its key in the log",
    "partition": "the partition that it lies in",
    "extensions": "its CloudEvents extensions, by name",
}


def _attributes(told: str, *, or_nothing: bool) -> tuple[Field, ...]:
    kinds: dict[str, Kind] = {"partition": Count(), "extensions": Extensions()}
    return tuple(
        Field(name, kinds.get(name, Single(or_nothing)), f"{_NAMES[name]}{told}") for name in ATTRIBUTES
    )


GIVEN: Final = Strict(
    "an event that is given",
    "under 'given'",
    (
        Field("data", Json(), "its data; nothing is a tombstone", is_required=True),
        *_attributes("; else one is made up, or there is none", or_nothing=False),
    ),
)


@dataclass(frozen=True)
class GivenEvent:
    """An event with its attributes; or bare data, whatever they are."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, MappingNode) and "data" in node.entries:
            others = [name for name in node.entries if name != "data" and name not in ATTRIBUTES]
            if all(did_you_mean(name, ATTRIBUTES) for name in others):  # else it is data with a field 'data'
                return GIVEN.read(node, what, report)
        # written so that whoever reads it finds what an event has: the data and nothing beside
        return Section(GIVEN, what, MappingNode(node.mark), node.mark, {"data": plain(node)})

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                GIVEN.schema(),
                {"description": "the event's data, bare"},
            ]
        }


EXPECTED: Final = Strict(
    "an event that is expected",
    "in a topic under 'expect'",
    (
        Field("exact", Json(), "its data, with no field more or less"),
        Field("subset", Json(), "a part of its data: of objects the fields that matter, at any depth"),
        Field(
            "cel",
            Condition(),
            "a CEL condition over its data's fields; `data` is the whole, `event` has its attributes",
        ),
        Field(
            "within",
            Tolerance(),
            "how far a number with a fraction may lie from the one that is written; whole numbers are exact",
        ),
        *_attributes(" (of extensions those that matter); nothing: it has none", or_nothing=True),
    ),
)


@dataclass(frozen=True)
class ExpectedEvent:
    """What is expected of one event: some of its data, a condition, attributes; at least one of these."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        what = EXPECTED.name
        section = EXPECTED.read(node, what, report)
        if section is INVALID:
            return INVALID
        said = [name for name in EXPECTED.names() if section.has(name) and name != "within"]
        if not said and not section.node.entries.keys() - {"within"}:
            report(section.mark, "bad-value", f"{what} says nothing; write 'exact', 'subset' or 'cel'")
            return INVALID
        if section.has("exact") and section.has("subset"):
            report(
                section.key("subset"),
                "bad-value",
                f"{what} has both 'exact' and 'subset'; one of them will do",
            )
        if section.has("within") and not (section.has("exact") or section.has("subset")):
            report(
                section.key("within"), "bad-value", f"'within' of {what} needs 'exact' or 'subset' beside it"
            )
        return section

    def schema(self) -> dict[str, Any]:
        needed = [{"required": [name]} for name in EXPECTED.names() if name != "within"]
        both: Mapping[str, Any] = {"required": ["exact", "subset"]}
        return {**EXPECTED.schema(), "anyOf": needed, "not": both}


EVENTS: Final = Strict(
    "a topic that is expected",
    "in a topic under 'expect'",
    (
        Field("events", ListOf(ExpectedEvent(), "event"), "these events, each once"),
        Field("others", Flag(), "whether others than `events` may come as well", default=False),
        Field(
            "order",
            Choice(("kept", "any")),
            "`kept`: events of one key, without keys those of one partition, come in the order of the list, and all "
            "do where the topic has one partition; `any`: no order is looked at",
            default="kept",
        ),
        Field("each", ExpectedEvent(), "what is true of every event that comes"),
        Field("count", Count(), "how many come"),
        Field("at-least", Count(), "how many come at the least"),
        Field("at-most", Count(), "how many come at the most"),
    ),
)


@dataclass(frozen=True)
class ExpectedTopic:
    """What is expected in a topic: `none`, a list of events and no other, or more by EVENTS. Read as its Section."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and node.text == "none":
            return Section(EVENTS, what, MappingNode(node.mark), node.mark, {"events": []})
        if isinstance(node, SequenceNode):
            events = ListOf(ExpectedEvent(), "event").read(node, what, report)
            return Section(EVENTS, what, MappingNode(node.mark), node.mark, {"events": events})
        if not isinstance(node, MappingNode):
            return _no(node, what, "a list of events, or 'none'", report)
        section = EVENTS.read(node, what, report)
        self._check(section, what, report)
        return section

    def _check(self, section: Section, what: str, report: Report) -> None:
        if not section.node.entries:
            report(section.mark, "bad-value", f"{what} says nothing; 'none' stands for no event")
        for name in ("others", "order"):
            if section.has(name) and not section.has("events"):
                report(
                    section.key(name), "bad-value", f"'{name}' of {what} needs a list of 'events' beside it"
                )
        if section.has("count") and (section.has("at-least") or section.has("at-most")):
            report(section.key("count"), "bad-value", f"{what} has 'count'; then 'at-least' and 'at-most' go")
        least, most = section.get("at-least", 0), section.get("at-most", MAX_COUNT)
        if least > most:
            report(
                section.key("at-least"),
                "bad-value",
                f"{what}: no count is {least} or more and {most} or less",
            )

    def schema(self) -> dict[str, Any]:
        events = {"type": "array", "items": {"$ref": "#/$defs/event"}}
        return {"anyOf": [{"enum": ["none"]}, events, {"$ref": "#/$defs/events"}]}


RULE: Final = Strict(
    "an answer",
    "in a model under 'models'",
    (
        Field(
            "when",
            Condition(),
            "a CEL condition over the call's inputs, row by row, as `x[0] > 7.0`; the first rule that fits answers",
        ),
        Field("server", Text(), "only where this server is asked, as the blueprint or the update writes it"),
        Field("answer", Mapped("a mapping of tensors to values"), "tensor → its value, or list of values"),
        Field("default", Mapped("a mapping of tensors to values"), "the answer to every row that is left"),
        Field(
            "error",
            Choice(ERRORS),
            "`unavailable`: the server is away; `rejected`: it refuses the row; `broken`: it fails, as by a 500",
        ),
        Field("version", Single(), "the version that the answer names"),
        Field("takes", Wait(Duration), "how long the call takes, in virtual time"),
    ),
)


@dataclass(frozen=True)
class Rule:
    """One rule of a model's answers: `answer`, `default` or `error`."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        what = RULE.name
        section = RULE.read(node, what, report)
        if section is INVALID:
            return INVALID
        said = [name for name in ("answer", "error", "default") if section.has(name)]
        if len(said) != 1:
            report(section.mark, "bad-value", f"{what} has one of 'answer', 'error' and 'default'")
            return INVALID
        if said == ["default"] and section.has("when"):
            report(
                section.key("when"), "bad-value", "'default' is for every row; write 'answer' beside 'when'"
            )
        return INVALID if section.is_wrong(said[0]) or section.is_wrong("when") else section

    def schema(self) -> dict[str, Any]:
        one = [{"required": [name]} for name in ("answer", "error", "default")]
        both: Mapping[str, Any] = {"required": ["default", "when"]}
        return {**RULE.schema(), "oneOf": one, "not": both}


_GIVEN_FIELD = Field(
    "given",
    ByName(ListOf(GivenEvent(), "event"), "topic"),
    "events that come in, by topic: data, or `{ data, key, type, … }`. What a source would read is given in its topic",
)
_MODELS_FIELD = Field(
    "models",
    ByName(ListOf(Rule(), "answer"), "model"),
    "what model servers answer, by model: the first rule that fits a row; no server is called",
)
_AFTER = Wait(Duration)
_EXPECT_FIELD = Field("expect", ByName(ExpectedTopic(), "topic"), "")

STEP: Final = Strict(
    "a step",
    "in a case under 'steps'",
    (
        replace(_MODELS_FIELD, description="what these models answer from now on; others stay as they are"),
        _GIVEN_FIELD,
        Field(
            "after",
            _AFTER,
            "the virtual time that passes, as 5s, before `expect` is looked at; else all that was given is settled, "
            "and after the last step what is open is closed",
        ),
        replace(
            _EXPECT_FIELD,
            description="what came since the step before, by topic; `dead-letters` and `status` are topics too. "
            "What is not named is not looked at",
        ),
    ),
)

CASE: Final = Strict(
    "a case",
    "under 'cases'",
    (
        Field("name", Text(), "a sentence that says what is true", is_required=True),
        Field(
            "env",
            ByName(Single(or_nothing=True), "variable"),
            "environment variables, over those of the shell; nothing (`NAME:`) unsets one",
        ),
        _MODELS_FIELD,
        _GIVEN_FIELD,
        Field(
            "after",
            _AFTER,
            "the virtual time that passes, as 5s, before `expect` is looked at; else all that was given is settled, "
            "and what is open is closed",
        ),
        replace(
            _EXPECT_FIELD,
            description="what came, by topic: `none`, a list of events, or `{ events, others, order, each, count }`; "
            "`dead-letters` and `status` are topics too. Beside `steps`: over all of them",
        ),
        Field(
            "steps",
            ListOf(STEP, "step"),
            "one after the other, in place of `given` and `after`: events, answers that change, time that passes, "
            "what came by then",
        ),
    ),
)


@dataclass(frozen=True)
class Case:
    """A case: in one go, or in steps."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        section = CASE.read(node, what, report)
        if section is INVALID:
            return INVALID
        told = f"case '{section.get('name')}'" if section.get("name") else what
        if section.has("steps"):
            for name in ("given", "after"):
                if section.has(name):
                    report(
                        section.key(name), "misplaced-field", f"{told} has 'steps'; '{name}' goes into one"
                    )
        steps = section.get("steps") or []
        if not any(one.get("expect") or one.is_wrong("expect") for one in (section, *steps)):
            report(
                section.mark,
                "missing-field",
                f"{told} expects nothing; 'expect: {{ TOPIC: none }}' says none",
            )
        return section

    def schema(self) -> dict[str, Any]:
        flat: Mapping[str, Any] = {"not": {"required": ["steps"]}, "required": ["expect"]}
        barred = [{"required": [name]} for name in ("given", "after")]
        return {**CASE.schema(), "anyOf": [flat, {"required": ["steps"], "not": {"anyOf": barred}}]}


FILE: Final = Strict(
    "a test file",
    "at the top",
    (Field("cases", ListOf(Case(), "case"), "the tests of the blueprint beside it", is_required=True),),
)


def cases_schema() -> dict[str, Any]:
    """Return the JSON Schema of test files, 2020-12: what editors complete from."""
    from blueprints.schema import DIALECT

    definitions = {"event": ExpectedEvent().schema(), "events": {**EVENTS.schema(), "minProperties": 1}}
    reference = {"type": "array", "items": {"$ref": "#/$defs/event"}}
    definitions["events"]["properties"]["events"] |= reference
    definitions["events"]["properties"]["each"] = {
        "$ref": "#/$defs/event",
        "description": next(field.description for field in EVENTS.fields if field.name == "each"),
    }
    schema = {**FILE.schema(), "$defs": definitions}
    return {"$schema": DIALECT, "title": "Tests of a Streamlets blueprint", **_without_variables(schema)}


def _without_variables(schema: Any) -> Any:
    """Return a schema without the `${NAME}` that blueprints accept: test files are read as they are written."""
    if isinstance(schema, list):
        return [_without_variables(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain_ = {word: _without_variables(value) for word, value in schema.items()}
    choices = plain_.get("anyOf")
    if isinstance(choices, list) and VARIABLE_SCHEMA in choices:
        del plain_["anyOf"]
        for choice in choices:
            if choice != VARIABLE_SCHEMA:
                plain_ |= choice
    return plain_


def _inside(node: Node, exc: ExpressionError) -> Mark:
    """Return the place of a fault inside an expression, where it is written on one line and the place is known."""
    mark = node.mark
    if not isinstance(node, ScalarNode) or exc.line != 1 or not exc.column or not mark.end_column:
        return mark
    quote = 0 if node.plain else 1
    if mark.end_column - mark.column != len(node.raw) + 2 * quote:
        return mark  # escapes or folded lines: columns do not correspond
    return replace(mark, column=mark.column + quote + exc.column - 1, end_column=0)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
