"""Options as their JSON Schema describes them: values from the environment get the type that is wanted there, secrets
are told from other values, mounted files are read, and a path leads back to the place in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blueprints.catalog import OptionProblem
from blueprints.diagnostics import Mark
from blueprints.fields import Report
from blueprints.files import TooLarge, read_bytes
from blueprints.likely import GAP
from blueprints.source import MappingNode, Node, ScalarNode, SequenceNode, resolve, scalars

MAX_SECRET_BYTES = 1 << 16  # a certificate chain is the largest secret there is, at a few KiB

Schema = Mapping[str, Any]
OptionPath = tuple[str | int, ...]


class Secret(str):
    """A secret on its way to the option that takes it: text in all but its `repr`, which errors and logs print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class OptionReader:
    """Reads the options of one streamlet.

    `spoiled`: paths whose value is missing or wrong and was reported. `secrets`: identities of the nodes that hold
    one; `known`: the secrets themselves, for a veil.
    """

    def __init__(self, schema: Schema, base_dir: Path, report: Report, hide: Callable[[Node], None]) -> None:
        self.schema, self.base_dir, self.report, self.hide = schema, base_dir, report, hide
        self.spoiled: list[OptionPath] = []
        self.secrets: set[int] = set()
        self.known: set[str] = set()

    def read(self, node: MappingNode) -> dict[str, Any]:
        """Return the options as plain values, environment and secrets filled in."""
        candidates = expand(self.schema, [self.schema])
        return {
            name: self._value(value, child_candidates(self.schema, candidates, name), (name,))
            for name, (_, value) in node.entries.items()
        }

    def _value(self, node: Node, candidates: Sequence[Schema], path: OptionPath) -> Any:
        if isinstance(node, SequenceNode):
            return [
                self._value(item, child_candidates(self.schema, candidates, index), (*path, index))
                for index, item in enumerate(node.items)
            ]
        if isinstance(node, MappingNode):
            if _wants_secret(candidates):
                if list(node.entries) == ["file"]:
                    return self._file(node, path)
                if not any(schema.get("type") == "object" for schema in candidates):
                    return self._no_secret(node, path)
            return {
                name: self._value(value, child_candidates(self.schema, candidates, name), (*path, name))
                for name, (_, value) in node.entries.items()
            }
        if node.is_unset:
            self.spoiled.append(path)
        if _wants_secret(candidates) and (node.variables or node.value is not None):
            return self._secret(node, path)
        return _fitted(node, candidates) if node.variables else node.value

    def _secret(self, node: ScalarNode, path: OptionPath) -> Any:
        self.secrets.add(id(node))
        self.known.update((node.text, *node.filled))
        if node.is_default:
            self.known.add(node.in_clear.replace(GAP, ""))
        if not node.variables or node.is_default:
            self.hide(node)
            self.spoiled.append(path)
            if node.is_default:
                message = f"'{_named(path)}' is a secret, and its default stands here in clear; write ${{NAME}} alone"
            else:
                message = (
                    f"'{_named(path)}' is a secret; give it as ${{NAME}} or as {{ file: /run/secrets/… }}"
                )
            self.report(node.mark, "secret-in-clear", message)
        elif not node.text.strip() and not node.is_unset:
            self.spoiled.append(path)
            names = " and ".join(node.variables)
            self.report(
                node.mark,
                "unset-variable",
                f"'{_named(path)}' is a secret, and {names} is empty; set it",
            )
        return Secret(node.text)

    def _no_secret(self, node: MappingNode, path: OptionPath) -> None:
        self.hide(node)
        for scalar in scalars(node):
            self.hide(scalar)
        self.spoiled.append(path)
        message = f"'{_named(path)}' is a secret; give it as ${{NAME}} or as {{ file: /run/secrets/… }} alone"
        self.report(node.mark, "bad-option", message)

    def _file(self, node: MappingNode, path: OptionPath) -> str:
        """Return what a mounted file holds, now: one that changes later counts from the next start on."""
        place = node.entries["file"].value
        self.secrets.add(id(node))
        if not isinstance(place, ScalarNode) or not place.text:
            self.spoiled.append(path)
            self.report(place.mark, "bad-value", f"'file' of the secret '{_named(path)}' must be a path")
            return ""
        if place.is_unset:
            self.spoiled.append(path)
            return ""
        try:
            secret = _read_secret(self.base_dir / place.text)
            self.known.add(secret)
            return Secret(secret)
        except OSError as exc:
            reason = (exc.strerror or type(exc).__name__).lower()
        except UnicodeDecodeError:
            reason = "it is not UTF-8"
        except ValueError as exc:
            reason = str(exc)
        self.spoiled.append(path)
        message = f"the file of the secret '{_named(path)}' cannot be read: {reason}"
        self.report(place.mark, "missing-file", message)
        return ""


def _read_secret(path: Path) -> str:
    """Return a file's text without the line end that editors add. Raises: OSError, ValueError with the reason.

    Links are followed: Kubernetes mounts a secret as links through `..data`, to change all files at once.
    """
    try:
        raw = read_bytes(path, MAX_SECRET_BYTES)
    except TooLarge as exc:
        raise ValueError("it is larger than 64 KiB") from exc
    secret = raw.decode("utf-8-sig").rstrip("\r\n")
    if not secret.strip():
        raise ValueError("it is empty")
    return secret


def _named(path: OptionPath) -> str:
    """Return the end of a path, with the place in a list: `token`, `keys[0]`."""
    text = ""
    for part in reversed(path):
        text = f"[{part}]{text}" if isinstance(part, int) else f"{part}{text}"
        if isinstance(part, str):
            break
    return text


def expand(root: Schema, schemas: Iterable[Any]) -> list[Schema]:
    """Return the schemas with references followed and alternatives taken apart."""
    found: list[Schema] = []
    waiting, seen = list(schemas), set[int]()
    while waiting:
        schema = waiting.pop(0)
        if not isinstance(schema, Mapping) or id(schema) in seen:
            continue
        seen.add(id(schema))
        if "$ref" in schema:
            target: Any = root
            for part in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
                target = (
                    target.get(part.replace("~1", "/").replace("~0", "~"))
                    if isinstance(target, Mapping)
                    else None
                )
            waiting.append(target)
        for word in ("anyOf", "oneOf", "allOf"):
            waiting.extend(schema.get(word, ()))
        found.append(schema)
    return found


def child_candidates(root: Schema, candidates: Sequence[Schema], part: str | int) -> list[Schema]:
    """Return the schemas of a child of what the candidates describe."""
    children: list[Any] = []
    for schema in candidates:
        if isinstance(part, int):
            prefix = schema.get("prefixItems", ())
            children.append(prefix[part] if part < len(prefix) else schema.get("items"))
        elif part in schema.get("properties", {}):
            children.append(schema["properties"][part])
        else:
            children.append(schema.get("additionalProperties"))
    return expand(root, children)


def candidates_at(root: Schema, path: OptionPath) -> list[Schema]:
    """Return the schemas of the option at a path."""
    candidates = expand(root, [root])
    for part in path:
        candidates = child_candidates(root, candidates, part)
    return candidates


def property_names(candidates: Sequence[Schema]) -> list[str]:
    """Return the names of the options that the schemas know."""
    names: dict[str, None] = {}
    for schema in candidates:
        names.update(dict.fromkeys(schema.get("properties", {})))
    return list(names)


def locate(node: Node, path: OptionPath, at_key: bool) -> tuple[Mark | None, tuple[str, ...]]:
    """Return the place of an option and the variables in it; the nearest place above where the path ends early.

    Parts of the path that name nothing in the file, such as the name of an alternative, are passed over.
    """
    mark: Mark | None = None
    for part in path:
        if isinstance(node, MappingNode) and str(part) in node.entries:
            key, node = node.entries[str(part)]
            mark = key.mark if at_key else node.mark
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            mark = node.mark
    return mark, node.variables if isinstance(node, ScalarNode) else ()


def node_at(node: Node, path: OptionPath) -> Node | None:
    """Return the node of an option, or None where the path names nothing in the file."""
    for part in path:
        found: Node | None = None
        if isinstance(node, MappingNode):
            found = node.get(str(part))
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
            found = node.items[part]
        if found is None:
            return None
        node = found
    return node


def named_path(node: Node, problem: OptionProblem) -> OptionPath:
    """Return a problem's path without the names of alternatives, which name nothing in the file."""
    return _walk(node, problem)[0]


def sifted(node: MappingNode, problems: Sequence[OptionProblem]) -> list[OptionProblem]:
    """Return the problems without those of alternatives that were not meant.

    Where a value may be of several kinds and fits none, each kind has its problems. The kind that was meant is the one
    whose problems lie deepest: what was written looks most like it.
    """
    walks = [(problem, *_walk(node, problem)) for problem in problems]
    deepest: dict[OptionPath, int] = {}
    for _, named, alternatives in walks:
        for place in alternatives:
            deepest[place] = max(deepest.get(place, 0), len(named))
    return [
        problem
        for problem, named, alternatives in walks
        if all(len(named) == deepest[place] for place in alternatives)
    ]


def _walk(node: Node, problem: OptionProblem) -> tuple[OptionPath, list[OptionPath]]:
    """Return what of a problem's path is in the file, and the places on it where an alternative is named."""
    named: list[str | int] = []
    alternatives: list[OptionPath] = []
    is_name = problem.code in ("unknown-option", "missing-option")
    for index, part in enumerate(problem.path):
        found: Node | None = None
        if isinstance(node, MappingNode):
            found = node.get(str(part))
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
            found = node.items[part]
        if found is not None:
            node = found
            named.append(part)
        elif is_name and index == len(problem.path) - 1:
            named.append(part)  # what is missing
        else:
            alternatives.append(tuple(named))
    return tuple(named), alternatives


def description(candidates: Sequence[Schema]) -> str:
    """Return the first description among the schemas, or nothing."""
    return next((str(schema["description"]) for schema in candidates if schema.get("description")), "")


def _is_secret(schema: Schema) -> bool:
    return bool(schema.get("writeOnly")) or schema.get("format") == "password"


def _wants_secret(candidates: Sequence[Schema]) -> bool:
    """Return whether a single value is accepted here as a secret only."""
    texts = [schema for schema in candidates if schema.get("type") == "string"]
    single = texts or [
        schema for schema in candidates if schema.get("type") in ("integer", "number", "boolean")
    ]
    return bool(single) and all(map(_is_secret, single))


def _fitted(node: ScalarNode, candidates: Sequence[Schema]) -> Any:
    """Return a value from the environment as the type that is wanted: text where text is, else what it looks like."""
    types: set[str] = set()
    for schema in candidates:
        named = schema.get("type", ())
        types.update([named] if isinstance(named, str) else named)
        types.update(
            {str: "string", bool: "boolean", int: "integer"}.get(type(v), "") for v in schema.get("enum", ())
        )
    value = resolve(node.text)
    if not types:
        return node.value  # anything is accepted: quotes decide, as they do for a value written out
    if isinstance(value, bool):
        fits = "boolean" in types
    elif isinstance(value, int):
        fits = bool(types & {"integer", "number"})
    elif isinstance(value, float):
        fits = "number" in types
    else:
        fits = value is None and "string" not in types and "null" in types
    return value if fits else node.text
