"""Kinds of fields: how a value is read from its node, and how it stands in the JSON Schema. Said once for both.

A line past 400, because a kind is a few lines and all of them are one table.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final, Protocol

from blueprints import respell
from blueprints.diagnostics import Edit, Fix, Mark
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode, resolve
from blueprints.suggest import is_slip
from blueprints.units import Duration, Size, UnitError

VARIABLE_SCHEMA: Final = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}


MAX_SLIPS = 100  # unknown names of a level that are looked at for what they were to mean


class Invalid:
    """What is read of a node that has been reported: nothing more is said of it."""


INVALID: Final = Invalid()


class Report(Protocol):
    """Takes what is wrong: where, code, message, and what would mend it where that is beyond doubt."""

    def __call__(self, mark: Mark, code: str, message: str, *, fix: Fix | None = None) -> None: ...


class Kind(Protocol):
    """A kind of value. A new one is a class with these two methods."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        """Return the value, or INVALID after reporting `bad-value`. `what` names the field in messages."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value, `${NAME}` accepted."""
        ...


def shown(node: Node) -> str:
    """Return a node as messages may show it: as written, variables not filled in, at most 40 characters."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.value is None:
        return "nothing"
    return repr(node.raw if len(node.raw) <= 40 else node.raw[:37] + "...")


def _say_nothing(mark: Mark, code: str, message: str, *, fix: Fix | None = None) -> None:
    """Report nothing: what is read under a misspelt name is wrong already."""


def _value(node: Node) -> Any:
    """Return a single value; one from the environment as what it looks like, whether it stands in quotes or not."""
    if not isinstance(node, ScalarNode):
        return INVALID
    return resolve(node.text) if node.variables else node.value


def _wrong(node: Node, what: str, wanted: str, report: Report, fix: Fix | None = None) -> Invalid:
    if not (isinstance(node, ScalarNode) and node.is_unset):
        report(node.mark, "bad-value", f"{what} must be {wanted}, not {shown(node)}", fix=fix)
    return INVALID


@dataclass(frozen=True)
class Text:
    """Text; `may_be_empty` for a prefix that is switched off.

    `is_expression`: a bare number in its place is nothing that quotes would mend.
    """

    may_be_empty: bool = False
    is_expression: bool = False

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and not node.is_unset:
            if isinstance(node.value, str) and (node.value.strip() or self.may_be_empty):
                return node.value
            if node.variables and node.text:  # the environment's values are text, whatever they look like
                return node.text
            if node.value is not None and not isinstance(node.value, str):
                message = f"{what} must be text; write '{node.raw}' in quotes"
                report(
                    node.mark, "bad-value", message, fix=None if self.is_expression else respell.as_text(node)
                )
                return INVALID
        return _wrong(node, what, "text", report)

    def schema(self) -> dict[str, Any]:
        return (
            {"type": "string"} if self.may_be_empty else {"type": "string", "minLength": 1, "pattern": r"\S"}
        )


@dataclass(frozen=True)
class Choice:
    """One word of several."""

    words: tuple[str, ...]

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and not node.is_unset and node.text in self.words:
            return node.text
        wanted = " or ".join(f"'{word}'" for word in self.words)
        return _wrong(node, what, wanted, report, respell.as_word(node, self.words))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, dict(VARIABLE_SCHEMA)]}


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    minimum: int
    maximum: int

    def read(self, node: Node, what: str, report: Report) -> Any:
        value = _value(node)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 4.0 is a whole number, to JSON Schema and to editors as well
        if type(value) is int and self.minimum <= value <= self.maximum:
            return value
        fix = respell.as_whole(node, self.minimum, self.maximum)
        return _wrong(node, what, f"a whole number from {self.minimum} to {self.maximum:,}", report, fix)

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}
        return {"anyOf": [number, dict(VARIABLE_SCHEMA)]}


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        value = _value(node)
        if isinstance(value, bool):
            return value
        return _wrong(node, what, "true or false", report, respell.as_flag(node))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, dict(VARIABLE_SCHEMA)]}


@dataclass(frozen=True)
class Quantity:
    """A duration or a size, with its unit; more than nothing."""

    of: type[Duration] | type[Size]

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, ScalarNode):
            return _wrong(node, what, f"{self.of.what} such as '{self.of.examples[-1]}'", report)
        if node.is_unset:
            return INVALID
        try:
            quantity = self.of.parse(node.text if node.variables else node.value)
        except UnitError as exc:
            reason = f"{self.of.what} such as '{self.of.examples[-1]}', not {shown(node)}"
            message = f"{what} must be {reason}" if node.variables else f"{what}: {exc}"
            report(node.mark, "bad-value", message, fix=respell.as_quantity(node, self.of))
            return INVALID
        return quantity if quantity > 0 else _wrong(node, what, f"{self.of.what} above zero", report)

    def schema(self) -> dict[str, Any]:
        return self.of.json_schema(above_zero=True)


_TIME_WITH_ZONE: Final = (  # what `datetime.fromisoformat` reads
    r"^\d{4}(-\d\d-\d\d|\d{4}|-W\d\d-[1-7]|W\d\d[1-7])."
    r"\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?(Z|[+-]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?)$"
)


@dataclass(frozen=True)
class Start:
    """`earliest`, `latest`, or a time with its zone, read as Unix seconds."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, ScalarNode) and not node.is_unset:
            if node.text in ("earliest", "latest"):
                return node.text
            try:
                time = dt.datetime.fromisoformat(node.text)
            except ValueError:
                time = None
            if time is not None and time.tzinfo is not None:
                return time.timestamp()
        wanted = "'earliest', 'latest' or a time with its zone, as 2026-04-01T00:00:00Z"
        return _wrong(node, what, wanted, report, respell.as_word(node, ("earliest", "latest")))

    def schema(self) -> dict[str, Any]:
        times = {"type": "string", "format": "date-time", "pattern": _TIME_WITH_ZONE}
        return {"anyOf": [{"enum": ["earliest", "latest"]}, times, dict(VARIABLE_SCHEMA)]}


def _in_brackets(node: Node) -> Fix | None:
    """Return the fix of a port path that is no list."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or node.mark.start < 0:
        return None
    if not re.fullmatch(r"[\w-]+\.[\w-]+", node.raw):
        return None
    mark, quotes = node.mark, 0 if node.plain else 1
    begin, end = mark.start - quotes, mark.end + quotes
    edits = (Edit(mark.file, begin, begin, "["), Edit(mark.file, end, end, "]"))
    return Fix(f"write [{node.raw}]", edits)


@dataclass(frozen=True)
class PortPaths:
    """Port paths `streamlet.port`, each with its place: [(streamlet, port, mark), …]; INVALID for a wrong one."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, SequenceNode):
            return _wrong(node, what, "a list of ports such as [score.out]", report, _in_brackets(node))
        paths: list[tuple[str, str, Mark] | Invalid] = []
        for item in node.items:
            text = Text().read(item, f"a port in {what}", report)
            if text is INVALID:
                paths.append(INVALID)
                continue
            streamlet, dot, port = text.partition(".")
            if not dot or not streamlet or not port or "." in port:
                paths.append(_wrong(item, f"a port in {what}", "written as streamlet.port", report))
                continue
            paths.append((streamlet, port, item.mark))
        return paths

    def schema(self) -> dict[str, Any]:
        path = {"type": "string", "pattern": r"^[^.\s]+\.[^.\s]+$|\$\{", "examples": ["score.out"]}
        return {"type": "array", "items": path}


@dataclass(frozen=True)
class AnyMapping:
    """A mapping that something else understands; read as its node."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if isinstance(node, MappingNode):
            return node
        if isinstance(node, ScalarNode) and node.value is None and not node.is_unset:
            return MappingNode(node.mark)  # `with:` and nothing below it: no options
        return _wrong(node, what, "a mapping", report)

    def schema(self) -> dict[str, Any]:
        return {"type": ["object", "null"]}


@dataclass(frozen=True)
class Settings:
    """A mapping of names to single values, read as text, each with the places of its key and value."""

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, MappingNode):
            return _wrong(node, what, "a mapping of settings", report)
        settings: dict[str, tuple[str, Mark, Mark]] = {}
        for name, (key, value) in node.entries.items():
            if not isinstance(value, ScalarNode) or value.value is None:
                _wrong(value, f"'{name}' in {what}", "a single value", report)
            elif not value.is_unset:
                text = str(value.value).lower() if isinstance(value.value, bool) else value.text
                settings[name] = (text, key.mark, value.mark)
        return settings

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


@dataclass(frozen=True)
class Field:
    """A field of the language: its name, its kind, what it means.

    `unsupported`: why this version refuses the field, which the language reserves; such a field is not in the schema.
    """

    name: str
    kind: Kind
    description: str
    is_required: bool = False
    default: Any = None
    unsupported: str = ""


@dataclass(frozen=True)
class Section:
    """What was read of a level: values with the places of keys and values, and the names that are not its fields.

    `meant`: field → the misspelt name under which it stands. It is read all the same, so that one wrong letter does
    not make everything that refers to the field wrong as well.
    """

    level: Level
    what: str
    node: MappingNode
    mark: Mark
    values: Mapping[str, Any]
    meant: Mapping[str, str] = dataclass_field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value; the default when it is absent or was reported."""
        value = self.values.get(name, default)
        return default if value is INVALID else value

    def has(self, name: str) -> bool:
        """Return whether the field is written, right or wrong."""
        return name in self.node.entries or name in self.meant

    def is_wrong(self, name: str) -> bool:
        """Return whether the field was reported, all of it or a part: what follows from it is not reported too."""
        value = self.values.get(name)
        return value is INVALID or (isinstance(value, list) and INVALID in value)

    def key(self, name: str) -> Mark:
        """Return the place of a field's name; that of the whole where it is absent."""
        entry = self.node.entries.get(self.meant.get(name, name))
        return entry.key.mark if entry else self.mark

    def at(self, name: str) -> Mark:
        """Return the place of a field's value; that of the whole where it is absent."""
        entry = self.node.entries.get(self.meant.get(name, name))
        return entry.value.mark if entry else self.mark


@dataclass(frozen=True)
class Level:
    """A level of the language: the fields that a mapping there may have. A kind itself, read as a Section.

    Names that are no fields and fields that are missing are reported by the linter, which knows where else they fit.
    """

    name: str
    where: str
    fields: tuple[Field, ...]

    def names(self) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in self.fields if not field.unsupported]

    def read(self, node: Node, what: str, report: Report, mark: Mark | None = None) -> Any:
        if not isinstance(node, MappingNode):
            return _wrong(node, what, f"a mapping of {', '.join(self.names()[:3])} …", report)
        values = {
            field.name: field.kind.read(node.entries[field.name].value, f"'{field.name}' of {what}", report)
            for field in self.fields
            if field.name in node.entries
        }
        meant: dict[str, str] = {}
        for name in [name for name in node.entries if name not in values][:MAX_SLIPS]:
            for absent in self.fields:
                if absent.name in values or absent.unsupported or not is_slip(name, absent.name):
                    continue
                value = absent.kind.read(node.entries[name].value, f"'{name}' of {what}", _say_nothing)
                if value is not INVALID:
                    values[absent.name], meant[absent.name] = value, name
        return Section(self, what, node, mark or node.mark, values, meant)

    def schema(self) -> dict[str, Any]:
        properties = {}
        for field in self.fields:
            if field.unsupported:
                continue
            described = {**field.kind.schema(), "description": field.description}
            if field.default is not None:
                described["default"] = field.default
            properties[field.name] = described
        required = [field.name for field in self.fields if field.is_required]
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema


@dataclass(frozen=True)
class Named:
    """A mapping of names that the user gives to things of one level: {name: Section}, marked at the name."""

    level: Level
    noun: str

    def read(self, node: Node, what: str, report: Report) -> Any:
        if not isinstance(node, MappingNode):
            return _wrong(node, what, f"a mapping of names to {self.noun}s", report)
        sections = {
            name: self.level.read(value, f"{self.noun} '{name}'", report, key.mark)
            for name, (key, value) in node.entries.items()
        }
        return {name: section for name, section in sections.items() if section is not INVALID}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.level.schema()}
