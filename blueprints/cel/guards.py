"""What an expression uses without asking first whether it is there, though the contract says that it may not be.

`has(leg.delay) && leg.delay > 5`, `delay == null || delay > 5` and `has(a.b) ? a.b : 0` ask first. The engine lets an
error on one side of `&&` and `||` go when the other side decides, so there the order does not matter.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from blueprints.cel.data import Fault
from blueprints.cel.known import Knowledge, Known, Path, field_at
from blueprints.cel.tree import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select, children

Facts = frozenset[tuple[str, Path]]
"""What is known where a node is evaluated: ("there", path), or ("set", path): if it is there, it is not null."""

_NOTHING: Final[Facts] = frozenset()
_TOLERANT: Final = ("_==_", "_!=_", "@in", "type", "dyn")  # they take null as a value


class Truth(NamedTuple):
    """What follows where a condition is true, and where it is false.

    Only of conditions that have a value, and no error, where it does not follow: an error decides nothing.
    """

    if_true: Facts = _NOTHING
    if_false: Facts = _NOTHING


class Guards:
    """Finds uses that nothing guards; each field is told once."""

    def __init__(self, knowledge: Knowledge, then: str) -> None:
        """`then`: what becomes of an event without the field, for messages."""
        self._knowledge, self._then = knowledge, then
        self._told: set[Path] = set()
        self.faults: list[Fault] = []

    def visit(self, node: Node, facts: Facts = _NOTHING, takes_null: bool = False) -> None:
        """Look at a node that is evaluated where `facts` hold; `takes_null`: null is a value to what it is given to."""
        known = self._knowledge.of(node)
        if isinstance(node, Select):
            self.visit(node.operand, facts)
            if known is not None and not node.is_test:
                self._use(node, known, facts, takes_null)
        elif isinstance(node, Name):
            if known is not None:
                self._use(node, known, facts, takes_null)
        elif isinstance(node, Call):
            self._call(node, known, facts, takes_null)
        elif isinstance(node, Loop):
            self.visit(node.over, facts)
            if node.condition is not None:
                self.visit(node.condition, facts)
                if node.body is not None:
                    facts |= self._truth(node.condition).if_true
            if node.body is not None:
                self.visit(node.body, facts, takes_null=True)
        elif isinstance(node, ListOf | MapOf):
            for child in children(node):
                self.visit(child, facts, takes_null=True)

    def _call(self, node: Call, known: Known | None, facts: Facts, takes_null: bool) -> None:
        function, args = node.function, node.args
        if function in ("_&&_", "_||_"):
            for one, other in (args, args[::-1]):
                truth = self._truth(other)
                self.visit(one, facts | (truth.if_true if function == "_&&_" else truth.if_false))
        elif function == "_?_:_":
            truth = self._truth(args[0])
            self.visit(args[0], facts)
            self.visit(args[1], facts | truth.if_true, takes_null)
            self.visit(args[2], facts | truth.if_false, takes_null)
        else:
            for child in children(node):
                self.visit(child, facts, takes_null=function in _TOLERANT)
            if known is not None:
                self._use(node, known, facts, takes_null)

    def _use(self, node: Node, known: Known, facts: Facts, takes_null: bool) -> None:
        path, what = known.path, known.told
        if path in self._told:
            return
        if known.may_be_absent and ("there", path) not in facts:
            asked = what if isinstance(node, Select) else f"event.data.{what}"
            self._tell(node, path, f"'{what}' may be absent, {self._then}; ask first: has({asked})")
        elif known.type.is_nullable and known.type.core and not takes_null and ("set", path) not in facts:
            self._tell(node, path, f"'{what}' may be null, {self._then}; ask first: {what} != null")

    def _tell(self, node: Node, path: Path, message: str) -> None:
        self._told.add(path)
        at = field_at(self._knowledge.text, node) if isinstance(node, Select) else node.at
        name = str(path[-1]) if isinstance(node, Name | Select) else "["
        self.faults.append(Fault(at, len(name), "bad-expression", message, "warning"))

    def _truth(self, node: Node) -> Truth:
        if isinstance(node, Select) and node.is_test:
            known = self._knowledge.of(node)
            return Truth(if_true=_there(known))
        if not isinstance(node, Call):
            return Truth()
        function, args = node.function, node.args
        if function == "!_":
            truth = self._truth(args[0])
            return Truth(truth.if_false, truth.if_true)
        if function in ("_&&_", "_||_"):
            one, other = self._truth(args[0]), self._truth(args[1])
            if function == "_&&_":
                return Truth(one.if_true | other.if_true, one.if_false & other.if_false)
            return Truth(one.if_true & other.if_true, one.if_false | other.if_false)
        if function in ("_==_", "_!=_"):
            return self._equality(function, args[0], args[1])
        if function == "@in" and isinstance(args[1], ListOf) and not any(map(_may_be_null, args[1].items)):
            return Truth(_set(self._knowledge.of(args[0])))
        return Truth()

    def _equality(self, function: str, one: Node, other: Node) -> Truth:
        for asked, value in ((one, other), (other, one)):
            known = self._knowledge.of(asked)
            if known is None or not isinstance(value, Constant):
                continue
            truth = Truth(if_false=_set(known)) if value.kind == "null" else Truth(_set(known))
            return truth if function == "_==_" else Truth(truth.if_false, truth.if_true)
        return Truth()


def _may_be_null(node: Node) -> bool:
    return not isinstance(node, Constant) or node.kind == "null"


def _there(known: Known | None) -> Facts:
    return _NOTHING if known is None else frozenset({("there", known.path)})


def _set(known: Known | None) -> Facts:
    return _NOTHING if known is None else frozenset({("set", known.path)})
