"""What is known of the parts of an expression: which field of the contract each path is, and which names are none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from blueprints.cel.data import Data, Fault, is_close, told_names
from blueprints.cel.lexemes import TYPE_NAMES, end_of_brackets
from blueprints.cel.tree import Call, Constant, Loop, Name, Node, Select, children
from blueprints.field_types import UNKNOWN, FieldType
from blueprints.suggest import did_you_mean

ATTRIBUTES: Final = FieldType.of(
    {
        "type": "object",
        "properties": {
            name: {"type": "string"}
            for name in ("id", "source", "type", "subject", "time", "dataschema", "datacontenttype")
        },
        "required": ["id", "source", "type"],
        "additionalProperties": {"type": "string"},
    }
)
"""The attributes of an event; what is not listed is an extension."""

_OBJECT: Final = FieldType.of({"type": "object"})

_WORDS: Final = {
    **dict.fromkeys(("None", "nil", "NULL", "Null", "undefined", "NIL", "none"), "null"),
    **dict.fromkeys(("True", "TRUE"), "true"),
    **dict.fromkeys(("False", "FALSE"), "false"),
}
"""Words of other languages that no field is called."""

Step = str | int
Path = tuple[Step, ...]


class Known(NamedTuple):
    """A part that stands for something of the event: a path that tells it from others, and its type."""

    path: Path
    type: FieldType
    told: str
    """How one writes it: `legs[0].miles`."""
    may_be_absent: bool = False


@dataclass
class Knowledge:
    """What is known of each node of a tree, by identity, and the faults that came up while finding out."""

    text: str
    data: Data
    has_attributes: bool
    nodes: dict[int, Known] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    parents: dict[int, Node] = field(default_factory=dict)
    is_misread: bool = False
    """A type's name stands where a field was meant: what its type then breaks is no news."""

    def learn(self, node: Node, scope: Mapping[str, Known | None]) -> Known | None:
        """Return what is known of a node, after learning of all below it. `scope`: the variables of macros."""
        found = None
        if isinstance(node, Loop):
            found = self._loop(node, scope)
        else:
            for child in children(node):
                self.parents[id(child)] = node
                self.learn(child, scope)
            if isinstance(node, Name):
                found = self._name(node, scope)
            elif isinstance(node, Select):
                found = self._select(node)
            elif isinstance(node, Call) and node.function == "_[_]":
                found = self._index(node)
        if found is not None:
            self.nodes[id(node)] = found
        return found

    def of(self, node: Node | None) -> Known | None:
        """Return what was learned of a node."""
        return None if node is None else self.nodes.get(id(node))

    def _loop(self, node: Loop, scope: Mapping[str, Known | None]) -> Known | None:
        self.parents[id(node.over)] = node
        over = self.learn(node.over, scope)
        item = None  # then the engine's checker knows better
        if over is not None:
            kind = UNKNOWN
            if over.type.core == {"array"}:
                kind = over.type.item()
            elif over.type.core == {"object"}:
                kind = FieldType.of({"type": "string"})
            item = Known(("item", id(node)), kind, node.variable)
        for child in (node.condition, node.body):
            if child is not None:
                self.parents[id(child)] = node
                self.learn(child, {**scope, node.variable: item})
        if node.macro == "filter" and over is not None and over.type.core == {"array"}:
            return Known(("filtered", id(node)), over.type, f"{over.told}.filter(…)")
        return None

    def _name(self, node: Name, scope: Mapping[str, Known | None]) -> Known | None:
        name = node.name.lstrip(".")
        if name in scope:
            return scope[name]
        if name == "event":
            return Known(("event",), ATTRIBUTES if self.has_attributes else _OBJECT, name)
        if name in TYPE_NAMES:
            self._type_name(node, name)
            return None
        if name in _WORDS and name not in self.data.type.names:
            self._fault(node.at, len(node.name), f"'{name}' is written {_WORDS[name]}", "bad-expression")
            return Known(("data", name), UNKNOWN, name)
        return self._field(node, self._whole, name, node.at + len(node.name) - len(name))

    def _type_name(self, node: Name, name: str) -> None:
        """Tell that a type's name is compared with what is no type: a field was meant."""
        parent = self.parents.get(id(node))
        if not isinstance(parent, Call) or parent.function not in (
            "_==_",
            "_!=_",
            "@in",
            "_+_",
            "_<_",
            "_>_",
        ):
            return
        others = [other for other in parent.args if other is not node]
        if any(
            (isinstance(other, Call) and other.function == "type")
            or (isinstance(other, Name) and other.name in TYPE_NAMES)
            for other in others
        ):
            return
        meant = f"; the field is event.data.{name}" if name in self.data.type.names or name != "type" else ""
        if name == "type" and not meant:
            meant = "; the event's own is event.type"
        self._fault(node.at, len(name), f"'{name}' is a word of CEL{meant}", "bad-expression")
        self.is_misread = True

    @property
    def _whole(self) -> Known:
        return Known(("data",), self.data.type, "event.data")

    def _select(self, node: Select) -> Known | None:
        operand = self.of(node.operand)
        if operand is None:
            return None
        at = field_at(self.text, node)
        if operand.path == ("event",):
            return self._whole if node.field == "data" else self._attribute(node.field, at)
        return self._field(node, operand, node.field, at)

    def _attribute(self, name: str, at: int) -> Known:
        unknown = Known(("event", name), UNKNOWN, f"event.{name}")
        if not self.has_attributes:
            self._fault(at, len(name), f"there is no 'event.{name}' here, but the data alone: event.data")
            return unknown
        if not re.fullmatch("[a-z0-9]+", name):
            hint = did_you_mean(name, ATTRIBUTES.names) or "; it has lower-case letters and digits alone"
            self._fault(at, len(name), f"'{name}' is no attribute of an event{hint}")
            return unknown
        found = ATTRIBUTES.field(name)
        assert found is not None
        if not found.is_listed and is_close(name, ATTRIBUTES.names):
            message = f"'{name}' is none of CloudEvents' own attributes{did_you_mean(name, ATTRIBUTES.names)}"
            self._fault(at, len(name), message, severity="warning")
        return Known(("event", name), found.type, f"event.{name}", found.may_be_absent)

    def _index(self, node: Call) -> Known | None:
        operand, index = self.of(node.args[0]), node.args[1]
        if operand is None:
            return None
        core = operand.type.core
        if isinstance(index, Constant) and index.kind == "string" and core <= {"object"}:
            if operand.path == ("event",):
                return self._whole if index.value == "data" else self._attribute(index.value, index.at + 1)
            return self._field(node, operand, index.value, index.at + 1)
        if core == {"object"} and operand.path != ("event",):
            entry = operand.type.field("") if not operand.type.names else None
            return Known(
                (*operand.path, f"[{id(node)}]"), entry.type if entry else UNKNOWN, f"{operand.told}[…]"
            )
        if core != {"array"}:
            return None
        if isinstance(index, Constant) and index.kind == "int":
            number = int(index.value)
            return Known((*operand.path, number), operand.type.item(number), f"{operand.told}[{number}]")
        return Known((*operand.path, f"[{id(node)}]"), operand.type.item(), f"{operand.told}[…]")

    def _field(self, node: Node, owner: Known, name: str, at: int) -> Known:
        path, told = (*owner.path, name), name if owner.path == ("data",) else f"{owner.told}.{name}"
        core = owner.type.core
        if core and "object" not in core:
            self._fault(at, len(name), _no_fields(owner, name, self.data), "bad-expression")
            return Known(path, UNKNOWN, told)
        found = owner.type.field(name)
        is_test = isinstance(node, Select) and node.is_test
        names = owner.type.names
        if found is None:
            self._fault(
                at,
                len(name),
                f"{self._lacks(owner, name)}{self._hint(node, name, names)}",
                severity="warning" if is_test else "error",
            )
            return Known(path, UNKNOWN, told)
        if not found.is_listed and names and is_close(name, names):
            message = f"{self._titled(owner)} does not list '{name}'{did_you_mean(name, names)}"
            self._fault(at, len(name), message, severity="warning")
        return Known(path, found.type, told, found.may_be_absent)

    def _lacks(self, owner: Known, name: str) -> str:
        return (
            f"{self._titled(owner)} has no field '{name}'"
            if owner.path != ("data",)
            else (f"there is no field '{name}' in {self.data.name}")
        )

    def _titled(self, owner: Known) -> str:
        return f"'{owner.told}'" if owner.path != ("data",) else self.data.name

    def _hint(self, node: Node, name: str, names: Sequence[str]) -> str:
        hint = did_you_mean(name, names)
        if hint:
            return hint
        parent = self.parents.get(id(node))
        if isinstance(node, Name) and isinstance(parent, Call) and parent.function in ("_==_", "_!=_"):
            other = self.of(parent.args[0] if parent.args[1] is node else parent.args[1])
            if other is not None and other.type.core == {"string"}:
                return f"; text is written in quotes: '{name}'"
        return told_names(names)

    def _fault(
        self,
        at: int,
        length: int,
        message: str,
        code: str = "unknown-field-in-expression",
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        self.faults.append(Fault(at, length, code, message, severity))


def _no_fields(owner: Known, name: str, data: Data) -> str:
    what = owner.told if owner.path != ("data",) else data.name
    told = f"'{what}' is {owner.type.told}" if owner.path != ("data",) else f"{what} are {owner.type.told}"
    if owner.type.core == {"array"} and owner.path != ("data",):
        return (
            f"{told}; its items' '{name}' is asked by {what}.exists(item, item.{name} …) or {what}[0].{name}"
        )
    if name in ("length", "size", "count", "len"):
        return f"{told}; its size is size({what})"
    return f"{told}, and has no field '{name}'"


def field_at(text: str, node: Select) -> int:
    """Return the place of the field's name; that of the node where it cannot be told."""
    dot = node.at if not node.is_test else _end_of(text, node.operand)
    if dot is None:
        return node.at
    found = re.compile(r"(?:\s|//[^\n]*)*\.(?:\s|//[^\n]*)*`?").match(text, dot)
    return found.end() if found else node.at


def _end_of(text: str, node: Node) -> int | None:
    """Return the place after a node, where it is a path or a call."""
    if isinstance(node, Name):
        return node.at + len(node.name)
    if isinstance(node, Select):
        return field_at(text, node) + len(node.field)
    if isinstance(node, Call | Loop):
        return end_of_brackets(text, node.at)
    return None
