"""Types: an expression held against what is known of the data, by the engine's own checker.

The engine checks a text in which every path is a variable of the path's type, because it has no types for objects that
are not Protobuf messages; what it says is brought back to the places of the expression. Numbers of different kinds may
be compared, as the engine compares them when it evaluates; everything else is as strict as CEL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from blueprints.cel.checked_text import CheckedText
from blueprints.cel.data import SCALARS, WANTED, Data, Fault, Gives, unwanted_kind
from blueprints.cel.functions import FUNCTIONS, METHODS, name_at, problems
from blueprints.cel.guards import Guards
from blueprints.cel.known import Knowledge
from blueprints.cel.syntax import explained, place_of
from blueprints.cel.tree import (
    MAX_LENGTH,
    Call,
    Constant,
    ListOf,
    Node,
    Select,
    engine,
    parsed,
    walk,
)
from blueprints.cel.wording import (
    COMPARISONS,
    EQUALITY,
    OVERLOAD,
    bare,
    numeric,
    one_of,
    overloaded,
    result_told,
    types_of,
)
from blueprints.suggest import did_you_mean

MAX_ROUNDS: Final = (
    8  # each takes at least one complaint away; more are never needed by an expression that is read
)


def faults(
    text: str,
    data: Sequence[Data],
    gives: Gives,
    *,
    has_attributes: bool = True,
    then: str = "",
    takes_null: bool = False,
) -> list[Fault]:
    """Return what is wrong with an expression over data, in the order of the text; the same for several data once.

    Without data, nothing is known of the fields. `then`: what becomes of an event whose field is absent or null;
    `takes_null`: a null that it gives is of use.
    """
    if len(text) > MAX_LENGTH:
        return [Fault(0, 1, "bad-expression", f"an expression has at most {MAX_LENGTH:,} characters")]
    try:
        tree = parsed(text)
    except RuntimeError as exc:
        at, length, message = explained(text, str(exc))
        return [Fault(at, length, "bad-expression", message)]
    found = [Fault(*problem[:2], "bad-expression", problem.message) for problem in problems(text, tree)]
    for one in data or [Data()]:
        found += _Check(text, tree, one, has_attributes).faults(gives, then, takes_null)
    return sorted(dict.fromkeys(found))


class _Check:
    def __init__(self, text: str, tree: Node, data: Data, has_attributes: bool) -> None:
        self._text, self._tree, self._data = text, tree, data
        self._knowledge = Knowledge(text, data, has_attributes)
        self._knowledge.learn(tree, {})
        self._loose: dict[int, str] = {}

    def faults(self, gives: Gives, then: str, takes_null: bool) -> list[Fault]:
        knowledge = self._knowledge
        found = list(knowledge.faults)
        if knowledge.is_misread:
            return found
        found += self._type_faults(self._tree, gives)
        found += self._strange_words()
        if self._data.is_certain and not any(fault.severity == "error" for fault in found):
            guards = Guards(knowledge, then)
            guards.visit(self._tree, takes_null=takes_null)
            found += guards.faults
        return found

    # --- the engine's checker

    def _type_faults(self, tree: Node, gives: Gives) -> list[Fault]:
        found, result = self._checked(tree)
        if result is not None and gives != "any":
            found += self._result_faults(tree, result, gives)
        return found

    def _checked(self, tree: Node) -> tuple[list[Fault], str | None]:
        """Return what the engine's checker says of a tree, and the type of its result, or None where it is wrong."""
        cel = engine()
        found: list[Fault] = []
        result = text = None
        for _ in range(MAX_ROUNDS):
            text = CheckedText(self._knowledge, self._loose)
            text.write(tree)
            written, found, n_loose = "".join(text.pieces), [], len(self._loose)
            try:
                result = cel.NewEnv(variables=text.types(cel)).compile(written).return_type().name()
                break
            except RuntimeError as exc:
                for line in str(exc).split("\n"):
                    fault = self._complaint(line, written, text.nodes)
                    if fault is not None:
                        found.append(fault)
            if len(self._loose) == n_loose:
                break
        for index in text.indexes if text is not None else ():
            found += self._index_faults(index)
        return found, result

    def _complaint(self, line: str, written: str, nodes: dict[int, Node]) -> Fault | None:
        place = place_of(written, line)
        if place is None:
            return None
        node = nodes.get(place[0])
        if node is None or "undeclared reference" in place[1]:
            return None  # functions are told already
        overload = OVERLOAD.search(place[1])
        if overload is not None and "*error*" in overload[2]:
            return None  # of a part that is told already
        if overload is not None and isinstance(node, Call):
            wrapper = self._loosened(node, types_of(overload[2]))
            if wrapper:
                self._loose[id(node)] = wrapper
                return None
        message = overloaded(node, place[1])
        if not message:
            return None
        if isinstance(node, Call) and node.function in (*METHODS, *FUNCTIONS):
            return Fault(name_at(self._text, node), len(node.function), "bad-expression", message)
        return Fault(node.at, _length(node), "bad-expression", message)

    def _loosened(self, node: Call, types: list[str]) -> str:
        """Return what makes the checker take what the engine evaluates: numbers of two kinds, and null, compared.

        Branches of two kinds of numbers are numbers, but only where that makes no difference to what is done with them.
        """
        if id(node) in self._loose:
            return ""
        if node.function in COMPARISONS and len(types) == 2:
            is_null = node.function in EQUALITY and "null_type" in types
            return "dyn" if is_null or numeric(types[0]) == numeric(types[1]) else ""
        if node.function == "@in" and len(types) == 2:
            return "dyn" if f"list({numeric(types[0])})" == numeric(types[1]) else ""
        if node.function == "_?_:_" and len(types) == 3 and bare(types[0]) in ("bool", "dyn"):
            parent = self._knowledge.parents.get(id(node))
            is_compared = isinstance(parent, Call) and parent.function in (*COMPARISONS, "@in", "_?_:_")
            if parent is not None and not is_compared:
                return ""
            if "null_type" in types[1:]:
                return "dyn"
            return "double" if {numeric(kind) for kind in types[1:]} == {"number"} else ""
        return ""

    def _index_faults(self, node: Call) -> list[Fault]:
        """Return what is wrong with the index of a path, which the path's variable stands for."""
        over, index = self._knowledge.of(node.args[0]), node.args[1]
        is_list = over is not None and over.type.core == {"array"}
        found, given = self._checked(index)
        if given is None or given in ("DYN", *(("INT", "UINT") if is_list else ("STRING",))):
            return found
        asked = "an item of a list is asked by a whole number" if is_list else "a field is asked by text"
        return [*found, Fault(node.at, 1, "bad-expression", f"{asked}, not by {result_told(given)}")]

    def _result_faults(self, tree: Node, result: str, gives: Gives) -> list[Fault]:
        wanted, told = WANTED[gives]
        is_test = isinstance(tree, Select) and tree.is_test  # has(…) is a truth, whatever the field is
        known = None if is_test else self._knowledge.of(tree)
        if known is not None and known.type.core:
            unwanted = unwanted_kind(known.told, known.type, gives)
            return [Fault(0, len(self._text), "bad-expression", unwanted)] if unwanted else []
        inner = re.match(r"LIST<(.*)>$", result)
        if inner is not None and "LIST" in wanted and inner[1] in {*SCALARS, "DYN"}:
            return []
        if (
            result == "DYN"
            and isinstance(tree, Call)
            and self._loose.get(id(tree)) == "dyn"
            and len(tree.args) == 3
        ):
            # One branch is null, and does not tell what the other is.
            branches = [branch for branch in tree.args[1:] if not _is_null(branch)]
            return [fault for branch in branches for fault in self._type_faults(branch, gives)]
        if result == "DYN" or result in wanted:
            return []
        message = f"it gives {result_told(result)}, but {told} is wanted"
        return [Fault(0, len(self._text), "bad-expression", message)]

    # --- words that a field never has

    def _strange_words(self) -> list[Fault]:
        found = []
        for node in walk(self._tree):
            if not isinstance(node, Call) or node.function not in (*EQUALITY, "@in"):
                continue
            one, other = node.args
            if node.function == "@in":
                asked, words = one, other.items if isinstance(other, ListOf) else ()
            else:
                asked, words = (one, (other,)) if isinstance(other, Constant) else (other, (one,))
            known = self._knowledge.of(asked)
            values = known.type.values if known is not None else None
            if known is None or values is None or not all(isinstance(value, str) for value in values):
                continue
            for word in words:
                if not isinstance(word, Constant) or word.kind != "string" or word.value in values:
                    continue
                hint = did_you_mean(word.value, values) or f"; it is {one_of(values)}"
                message = f"'{known.told}' is never '{word.value}'{hint}"
                found.append(Fault(word.at, len(word.value) + 2, "bad-expression", message, "warning"))
        return found


def _length(node: Node) -> int:
    if isinstance(node, Call):
        return {"@in": 2, "_?_:_": 1, "_[_]": 1}.get(node.function, len(node.function.strip("_")) or 1)
    return 1


def _is_null(node: Node) -> bool:
    return isinstance(node, Constant) and node.kind == "null"
