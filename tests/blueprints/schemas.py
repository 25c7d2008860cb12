"""Made-up JSON Schemas, their neighbours, and events of them: from one source of randomness, so that all can be
replayed.

A writer's objects always say whether there may be other fields, so that what is written is what the schema says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

NAMES = ["a", "b", "c", "ab", "kind"]
WORDS = [
    "a",
    "b",
    "ab",
    "abc",
    "",
    "x1",
    "é",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "a@example.org",
    "192.0.2.1",
]
PATTERNS = ["^a", "b$", "^[a-z]+$", "^[a-z0-9]{1,3}$", "^(a|b|ab)$", "x", "^\\d+$", "^.{2,}$"]
FORMATS = ["date", "date-time", "uuid", "email", "ipv4", "uri", "uri-reference", "binary", "unheard-of"]
NUMBERS = [-2, -1, 0, 1, 2, 3, 5, 10, 0.5, 1.5, 2.5]
CONSTANTS: list[Any] = [*WORDS[:5], *NUMBERS[:8], None, True, False, [], [1], {}, {"a": 1}, {"kind": "a"}]

Made = dict[str, Any] | bool


def schema(random: Random, depth: int = 3) -> Made:
    """Return a schema, with definitions where it refers to some."""
    made = _schema(random, depth)
    if isinstance(made, dict) and '"$ref"' in repr(made).replace("'", '"'):
        made["$defs"] = {"one": _schema(random, 1), "two": _node(random)}
    return made


def _node(random: Random) -> Made:
    """Return a model that holds itself."""
    inner = {"$ref": "#/$defs/two"}
    field = random.choice([{"type": "array", "items": inner}, {"anyOf": [inner, {"type": "null"}]}])
    return {
        "type": "object",
        "properties": {"value": _schema(random, 0), "next": field},
        "required": random.choice([[], ["value"], ["value", "next"]]),
        "additionalProperties": False,
    }


def _schema(random: Random, depth: int) -> Made:
    roll = random.random()
    if roll < 0.03:
        return random.choice([True, False, {}])
    if roll < 0.08:
        return {"$ref": random.choice(["#/$defs/one", "#/$defs/two"])}
    if depth > 0 and roll < 0.3:
        return _combined(random, depth)
    kinds = [_number, _number, _text, _text, _constant, _plain]
    return random.choice(kinds + ([_object, _object, _object, _array, _array] if depth > 0 else []))(
        random, depth
    )


def _combined(random: Random, depth: int) -> Made:
    branches = [_schema(random, depth - 1) for _ in range(random.randint(1, 3))]
    match random.choice(["anyOf", "anyOf", "oneOf", "allOf", "not", "if", "tagged"]):
        case "not":
            return {**_loose(random, depth), "not": branches[0]}
        case "if":
            return {
                **_loose(random, depth),
                "if": branches[0],
                "then": branches[-1],
                "else": _schema(random, 0),
            }
        case "tagged":
            return {
                "oneOf": [_tagged(random, depth, tag) for tag in random.sample("abcd", random.randint(1, 3))]
            }
        case word:
            return {word: branches} | (_loose(random, depth) if random.random() < 0.3 else {})


def _loose(random: Random, depth: int) -> dict[str, Any]:
    made = _schema(random, depth - 1)
    return dict(made) if isinstance(made, dict) and "if" not in made and "not" not in made else {}


def _tagged(random: Random, depth: int, tag: str) -> dict[str, Any]:
    made = _object(random, depth)
    made["properties"] = {"kind": {"const": tag, "type": "string"}, **made["properties"]}
    made["properties"]["kind"] = {"const": tag, "type": "string"}
    made["required"] = ["kind", *(name for name in made["required"] if name != "kind")]
    return made


def _number(random: Random, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": random.choice(["integer", "number"])}
    for word in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        if random.random() < 0.25:
            made[word] = random.choice(NUMBERS)
    if random.random() < 0.15:
        made["multipleOf"] = random.choice([0.5, 1, 2, 3, 0.1])
    return made


def _text(random: Random, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    if random.random() < 0.25:
        made["minLength"] = random.randint(0, 3)
    if random.random() < 0.25:
        made["maxLength"] = random.choice([0, 1, 2, 3, 10, 40])
    if random.random() < 0.3:
        made["pattern"] = random.choice(PATTERNS)
    elif random.random() < 0.3:
        made["format"] = random.choice(FORMATS)
    return made


def _constant(random: Random, depth: int) -> dict[str, Any]:
    if random.random() < 0.4:
        return {"const": random.choice(CONSTANTS)}
    return {"enum": copy.deepcopy(random.sample(CONSTANTS, random.randint(1, 4)))}


def _plain(random: Random, depth: int) -> dict[str, Any]:
    kinds = ["null", "boolean", "integer", "number", "string", "array", "object"]
    return {"type": random.choice(kinds) if random.random() < 0.7 else random.sample(kinds, 2)} | {
        "additionalProperties": random.choice([True, False])
    }


def _object(random: Random, depth: int) -> dict[str, Any]:
    names = random.sample(NAMES, random.randint(0, 3))
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: _schema(random, depth - 1) for name in names},
        "required": [name for name in NAMES if random.random() < (0.6 if name in names else 0.03)],
        "additionalProperties": random.choice([False, False, False, True, _schema(random, 0)]),
    }
    if random.random() < 0.1:
        made["patternProperties"] = {random.choice(["^a", "b$", "^x"]): _schema(random, 0)}
    if random.random() < 0.1:
        made[random.choice(["minProperties", "maxProperties"])] = random.randint(0, 3)
    if random.random() < 0.07:
        made["propertyNames"] = {"maxLength": random.randint(1, 4)}
    if random.random() < 0.07:
        made["dependentRequired"] = {random.choice(NAMES): [random.choice(NAMES)]}
    if random.random() < 0.04:
        made["dependentSchemas"] = {random.choice(NAMES): _schema(random, 0)}
    if random.random() < 0.05 and made.pop("additionalProperties") is not None:
        made["unevaluatedProperties"] = random.choice([False, True])
    return made


def _array(random: Random, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "array"}
    if random.random() < 0.3:
        made["prefixItems"] = [_schema(random, depth - 1) for _ in range(random.randint(1, 2))]
    if random.random() < 0.8:
        made["items"] = _schema(random, depth - 1)
    for word in ("minItems", "maxItems"):
        if random.random() < 0.25:
            made[word] = random.randint(0, 3)
    if random.random() < 0.15:
        made["uniqueItems"] = True
    if random.random() < 0.12:
        made["contains"] = _schema(random, 0)
        if random.random() < 0.4:
            made[random.choice(["minContains", "maxContains"])] = random.randint(0, 2)
    return made


def neighbour(random: Random, made: Made) -> Made:
    """Return a schema that differs in one or two places."""
    made = copy.deepcopy(made)
    for _ in range(random.randint(1, 2)):
        places = list(_places({"root": made}))
        holder, key = random.choice(places)
        changed = _changed(random, holder[key])
        if isinstance(holder, dict) and key == "root":
            if isinstance(changed, dict) and isinstance(made, dict) and "$defs" in made:
                changed.setdefault("$defs", made["$defs"])
            made = changed
        else:
            holder[key] = changed
    return made if "$ref" not in repr(made) or (isinstance(made, dict) and "$defs" in made) else True


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    items = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(items):
        if key in ("enum", "const", "required", "type", "dependentRequired"):
            continue
        if isinstance(value, dict) and key in (
            "properties",
            "$defs",
            "patternProperties",
            "dependentSchemas",
        ):
            yield from _places(value)
        elif isinstance(value, dict | bool) and key != "uniqueItems":
            yield holder, key
            if isinstance(value, dict):
                yield from _places(value)
        elif isinstance(value, list):
            yield from _places(value)


def _changed(random: Random, made: Made) -> Made:
    if not isinstance(made, dict) or random.random() < 0.2:
        return {"anyOf": [made, _schema(random, 0)]} if random.random() < 0.5 else _schema(random, 1)
    words = [
        word
        for word in made
        if word not in ("$defs", "$ref", "additionalProperties", "unevaluatedProperties")
    ]
    if not words or random.random() < 0.2:
        return {
            **made,
            random.choice(["minimum", "minLength", "minItems", "minProperties"]): random.randint(0, 2),
        }
    word = random.choice(words)
    if random.random() < 0.3 and word != "properties":
        return {other: value for other, value in made.items() if other != word}
    value = made[word]
    tuned: dict[str, Callable[[], Any]] = {
        "type": lambda: (
            random.choice(["integer", "number", "string", "null", [value, "null"]])
            if isinstance(value, str)
            else value[:1]
        ),
        "pattern": lambda: random.choice(PATTERNS),
        "format": lambda: random.choice(FORMATS),
        "enum": lambda: value[1:] or [None] if random.random() < 0.5 else [*value, "z"],
        "required": lambda: (
            value[1:] if random.random() < 0.5 else list(dict.fromkeys([*value, random.choice(NAMES)]))
        ),
    }
    if word in tuned:
        return {**made, word: tuned[word]()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {**made, word: max(value + random.choice([-1, 1]), 1 if word == "multipleOf" else 0)}
    return {**made}


def events(random: Random, made: Made, count: int) -> Iterator[Any]:
    """Yield values that a schema may well allow, or nearly."""
    for _ in range(count):
        value = _event(random, made, made, 0)
        yield value
        yield _disturbed(random, value)


def _event(random: Random, root: Any, made: Any, depth: int) -> Any:
    if not isinstance(made, dict) or depth > 6:
        return random.choice(CONSTANTS)
    if "$ref" in made:
        target: Any = root
        for step in made["$ref"].split("/")[1:]:
            target = target[step]
        return _event(random, root, target, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if made.get(word) and random.random() < 0.8:
            return _event(random, root, random.choice(made[word]), depth + 1)
    if "if" in made and random.random() < 0.7:
        return _event(random, root, made.get(random.choice(["if", "then", "else"]), True), depth + 1)
    if "const" in made:
        return made["const"]
    if "enum" in made:
        return random.choice(made["enum"])
    kind = made.get("type", random.choice(["object", "array", "string", "number", "null"]))
    match random.choice(kind) if isinstance(kind, list) else kind:
        case "null":
            return None
        case "boolean":
            return random.random() < 0.5
        case "integer" | "number" as name:
            bounds = [
                value for word, value in made.items() if "im" in word and isinstance(value, int | float)
            ]
            near = random.choice([*bounds, *bounds, *NUMBERS]) + random.choice([0, 0, 1, -1, 0.5, -0.5])
            return int(near) if name == "integer" or near == int(near) else near
        case "string":
            return random.choice(
                [*WORDS, *WORDS, "aaa", "x" * 11, "00000000-0000-4000-8000-000000000000", "12", "uri:a"]
            )
        case "array":
            return _list(random, root, made, depth)
    return _fields(random, root, made, depth)


def _list(random: Random, root: Any, made: Any, depth: int) -> list[Any]:
    first = made.get("prefixItems", [])
    length = max(made.get("minItems", 0), 0) + random.randint(0, 2)
    items = [
        _event(random, root, first[i] if i < len(first) else made.get("items", True), depth + 1)
        for i in range(length)
    ]
    if items and "contains" in made:
        items[random.randrange(len(items))] = _event(random, root, made["contains"], depth + 1)
    return items


def _fields(random: Random, root: Any, made: Any, depth: int) -> dict[str, Any]:
    fields = made.get("properties", {})
    required = made.get("required", [])
    value = {
        name: _event(random, root, of, depth + 1)
        for name, of in fields.items()
        if name in required or random.random() < 0.5
    }
    more = made.get("additionalProperties", True)
    for name in [
        *(name for name in required if name not in fields),
        *random.sample([*NAMES, "x", "zzzzz"], 1),
    ]:
        if name not in value and more is not False and (name in required or random.random() < 0.4):
            value[name] = _event(random, root, more, depth + 1)
    return value


def _disturbed(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.8:
        name = random.choice(list(value))
        if random.random() < 0.3:
            return {other: one for other, one in value.items() if other != name}
        return {**value, name: _disturbed(random, value[name])}
    if isinstance(value, list) and value and random.random() < 0.8:
        return [_disturbed(random, value[0]), *value[1:], *value[:1]][: random.randint(0, len(value) + 1)]
    return random.choice(CONSTANTS)
