"""Random contracts, events that keep them, and expressions over their fields: mostly well typed, now and then not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

WORDS = ("UA", "AA", "B6")
NAMES = ("alpha", "beta", "gamma", "delta", "omega", "kappa", "sigma")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Path:
    """A way to a value: how it is written, its kind, and what must be asked first."""

    text: str
    kind: str
    guards: tuple[str, ...] = ()


def contract(random: Random, depth: int = 0) -> Schema:
    """Return the schema of an object: fields of every kind, some optional, some nullable."""
    names = random.sample(NAMES, random.randint(2, 5))
    properties = {name: _kind(random, depth) for name in names}
    required = [name for name in names if random.random() < 0.75]
    return {"title": "Made", "type": "object", "properties": properties, "required": required}


def _kind(random: Random, depth: int) -> Schema:
    kinds = ["integer", "number", "string", "boolean", "enum"] + (
        ["array", "object", "map"] if depth < 2 else []
    )
    kind = random.choice(kinds)
    made: Schema
    if kind == "enum":
        made = {"type": "string", "enum": list(WORDS)}
    elif kind == "array":
        made = {"type": "array", "items": _kind(random, depth + 1), "minItems": 1}
    elif kind == "object":
        made = contract(random, depth + 1)
    elif kind == "map":
        made = {"type": "object", "additionalProperties": {"type": "integer"}}
    else:
        made = {"type": kind}
    return {"anyOf": [made, {"type": "null"}]} if random.random() < 0.2 else made


def event(random: Random, schema: Schema, is_full: bool = False) -> Any:
    """Return a value that the schema allows, numbers in either spelling of JSON; `is_full`: nothing absent or null."""
    if "anyOf" in schema:
        is_null = not is_full and random.random() < 0.4
        return None if is_null else event(random, schema["anyOf"][0], is_full)
    if "enum" in schema:
        return random.choice(schema["enum"])
    kind = schema["type"]
    if kind == "object" and "properties" in schema:
        required = schema["required"]
        return {
            name: event(random, below, is_full)
            for name, below in schema["properties"].items()
            if is_full or name in required or random.random() < 0.5
        }
    if kind == "object":
        return {random.choice(NAMES): random.randint(-9, 9) for _ in range(2)}
    if kind == "array":
        return [event(random, schema["items"], is_full) for _ in range(random.randint(1, 3))]
    if kind == "integer":
        number = random.randint(-9, 9)
        return float(number) if random.random() < 0.2 else number
    if kind == "number":
        return random.choice([random.randint(-9, 9), random.uniform(-9, 9), 3, 3.0])
    return (
        random.choice([True, False]) if kind == "boolean" else random.choice(["", "x", "UA", "longer text"])
    )


class Maker:
    """Makes expressions over a contract."""

    def __init__(self, random: Random, schema: Schema, mistakes: float = 0.05) -> None:
        self._random, self._mistakes = random, mistakes
        self._paths = list(paths(schema))
        self._loops = 0

    def condition(self) -> str:
        return self.of("boolean", 3)

    def of(self, kind: str, depth: int) -> str:
        """Return an expression of a kind: boolean, integer, number or string."""
        random = self._random
        if random.random() < self._mistakes:
            kind = random.choice(["boolean", "integer", "number", "string"])
        if depth <= 0 or random.random() < 0.25:
            return self._leaf(kind)
        if random.random() < 0.1:
            other = self.of("boolean", depth - 1)
            return f"({other} ? {self.of(kind, depth - 1)} : {self.of(kind, depth - 1)})"
        return getattr(self, f"_{kind}")(depth - 1)

    def _leaf(self, kind: str) -> str:
        random = self._random
        fitting = [path for path in self._paths if path.kind == kind]
        if fitting and random.random() < 0.7:
            path = random.choice(fitting)
            if path.guards and random.random() < 0.8:
                default = {"boolean": "false", "integer": "1", "number": "1.5", "string": "'x'"}[kind]
                return f"({' && '.join(path.guards)} ? {path.text} : {default})"
            return path.text
        return {
            "boolean": random.choice(["true", "false"]),
            "integer": str(random.randint(0, 9)),
            "number": random.choice(["0.5", "2.0", "7.25"]),
            "string": random.choice(["'x'", "'UA'", "''"]),
        }[kind]

    def _boolean(self, depth: int) -> str:
        random = self._random
        choice = random.randrange(9)
        if choice == 0:
            return f"({self.of('boolean', depth)} && {self.of('boolean', depth)})"
        if choice == 1:
            return f"({self.of('boolean', depth)} || {self.of('boolean', depth)})"
        if choice == 2:
            return f"!{self._leaf('boolean')}"
        if choice == 3:
            sign = random.choice(["<", "<=", ">", ">=", "==", "!="])
            kinds = random.choice([("integer", "integer"), ("number", "integer"), ("number", "number")])
            return f"({self.of(kinds[0], depth)} {sign} {self.of(kinds[1], depth)})"
        if choice == 4:
            return (
                f"({self.of('string', depth)} {random.choice(['==', '!=', '<'])} {self.of('string', depth)})"
            )
        if choice == 5:
            return (
                f"({self.of('number', depth)} in [{self.of('integer', depth)}, {self.of('integer', depth)}])"
            )
        if choice == 6:
            return f"{self._leaf('string')}.{random.choice(['contains', 'startsWith', 'endsWith'])}('x')"
        if choice == 7 and self._paths:
            path = random.choice(self._paths)
            if not path.guards:
                return f"({path.text} {random.choice(['==', '!='])} null)"
        return self._loop(depth)

    def _loop(self, depth: int) -> str:
        lists = [path for path in self._paths if path.kind.startswith("array ") and not path.guards]
        if not lists:
            return self._leaf("boolean")
        path = self._random.choice(lists)
        self._loops += 1
        name, before = f"it{self._loops}", self._paths
        item = json.loads(path.kind.removeprefix("array "))
        self._paths = before + list(paths_of(name, item, ()))
        body = self.of("boolean", depth)
        self._paths = before
        return f"{path.text}.{self._random.choice(['all', 'exists', 'exists_one'])}({name}, {body})"

    def _integer(self, depth: int) -> str:
        sign = self._random.choice(["+", "-", "*", "/", "%"])
        if self._random.random() < 0.2:
            sized = [path for path in self._paths if path.kind.startswith("array ") and not path.guards]
            return f"size({self._random.choice(sized).text})" if sized else f"size({self._leaf('string')})"
        return f"({self.of('integer', depth)} {sign} {self.of('integer', depth)})"

    def _number(self, depth: int) -> str:
        if self._random.random() < 0.2:
            return f"double({self.of('integer', depth)})"
        return f"({self.of('number', depth)} {self._random.choice('+-*/')} {self.of('number', depth)})"

    def _string(self, depth: int) -> str:
        if self._random.random() < 0.3:
            return f"string({self.of('integer', depth)})"
        return f"({self.of('string', depth)} + {self.of('string', depth)})"


def paths(schema: Schema) -> list[Path]:
    """Return the ways to the values of a contract."""
    found = []
    for name, below in schema["properties"].items():
        guards = () if name in schema["required"] else (f"has(event.data.{name})",)
        found += paths_of(name, below, guards)
    return found


def paths_of(text: str, schema: Schema, guards: tuple[str, ...]) -> list[Path]:
    if "anyOf" in schema:
        return paths_of(text, schema["anyOf"][0], (*guards, f"{text} != null"))
    kind = schema["type"]
    if kind == "object" and "properties" in schema:
        found = []
        for name, below in schema["properties"].items():
            more = () if name in schema["required"] else (f"has({text}.{name})",)
            found += paths_of(f"{text}.{name}", below, (*guards, *more))
        return found
    if kind == "array":
        whole = Path(text, f"array {json.dumps(schema['items'])}", guards)
        return [whole, *paths_of(f"{text}[0]", schema["items"], guards)]
    return [] if kind == "object" else [Path(text, kind, guards)]
