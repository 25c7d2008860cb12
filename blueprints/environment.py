"""`${NAME}` and `${NAME:-default}` in values, filled in from a mapping that is given, never from the process itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from blueprints.diagnostics import Diagnostic, Mark
from blueprints.likely import GAP
from blueprints.source import MappingNode, Node, ScalarNode, resolve, scalars
from blueprints.suggest import did_you_mean

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{")


def fill(root: Node, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Return what is wrong with the variables, having filled in all others.

    A variable without a value takes its default, also when it is set to nothing. `$${` stands for `${` itself.
    A value without quotes is resolved again once it is filled in, so `${PORT}` can be a number. What is filled in is
    one value whatever it holds: no YAML in it is read, and no variable. A message names variables, never a value.
    """
    problems: list[Diagnostic] = []
    done: set[int] = set()  # an aliased node is met more than once
    for node in scalars(root):
        if "${" in node.raw and id(node) not in done:
            done.add(id(node))
            _fill_one(node, environ, problems)
    _refuse_in_keys(root, problems)
    return problems


def _fill_one(node: ScalarNode, environ: Mapping[str, str], problems: list[Diagnostic]) -> None:
    names: list[str] = []
    filled: list[str] = []
    clear: list[str] = []  # the file's own text between and behind what is filled in
    end = 0

    def wrong(code: str, message: str) -> str:
        node.is_unset = True
        problems.append(Diagnostic(node.mark, code, message))
        return ""

    def replace(found: re.Match[str]) -> str:
        nonlocal end
        clear.append(node.raw[end : found.start()])
        end = found.end()
        name, has_default, default = found[1], found[2], found[3]
        if name is None:
            if found[0] == "$${":
                clear.append("${")
                return "${"
            message = "'${' is no variable; write ${NAME}, ${NAME:-default}, or $${ for '${' itself"
            return wrong("bad-value", message)
        names.append(name)
        if has_default and "${" in default:
            return wrong(
                "bad-value",
                f"the default of {name} holds a variable; a default is text, and ends at the first }}",
            )
        node.is_default = node.is_default or bool(default)
        clear.append(default or GAP)
        value = environ.get(name)
        if value and not _is_utf8(value):
            return wrong("bad-value", f"the environment variable {name} is not UTF-8")
        if value or (value is not None and not has_default):
            filled.append(value)
            return value
        if has_default:
            return str(default)
        hint = did_you_mean(name, environ) or f"; set it, or write ${{{name}:-default}}"
        return wrong("unset-variable", f"the environment variable {name} is not set{hint}")

    node.text = _VARIABLE.sub(replace, node.raw)
    node.value = resolve(node.text) if node.plain else node.text
    node.variables, node.filled = tuple(names), tuple(filled)
    node.clear = "".join([*clear, node.raw[end:]])


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # what could not be decoded came as halves of surrogates
        return False
    return True


def _refuse_in_keys(root: Node, problems: list[Diagnostic]) -> None:
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ScalarNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for key, value in node.entries.values():
                if "${" in key.text:
                    problems.append(_in_key(key.mark))
                waiting.append(value)
        else:
            waiting.extend(node.items)


def _in_key(mark: Mark) -> Diagnostic:
    return Diagnostic(
        mark, "bad-value", "variables are filled in for values, not for keys; write the key out"
    )


class FromOutside:
    """What the environment gave to a blueprint, so that messages show `${NAME}` where its value would stand."""

    def __init__(self, root: Node) -> None:
        nodes = [node for node in scalars(root) if node.variables]
        self._at = {node.mark: node for node in nodes}
        self._names = {value: name for node in nodes for name, value in zip(node.variables, node.filled)}
        # Short values are words of every sentence; in quotes, where a message shows what was given, they are values.
        quoted = sorted((v for v in self._names if len(v) >= 3), key=len, reverse=True)
        self._quoted = _any_of(quoted)
        self._long = _any_of([value for value in quoted if len(value) >= 12])

    def named(self, message: str, mark: Mark) -> str:
        """Return a message about a place with the names of variables for their values."""
        node = self._at.get(mark)
        if node is not None and len(node.text) > 1:
            message = message.replace(node.text, node.raw)
            message = _QUOTED.sub(lambda quote: _part_named(quote[0], node), message)
        if self._quoted is not None:
            message = _QUOTED.sub(lambda quote: self._named(self._quoted, quote[0]), message)
        return self._named(self._long, message)

    def _named(self, values: re.Pattern[str] | None, text: str) -> str:
        if values is None:
            return text
        return values.sub(lambda found: f"${{{self._names[found[0]]}}}", text)


def _part_named(quote: str, node: ScalarNode) -> str:
    """Return what is quoted of a value; the variable's name where it is a part of what the environment gave."""
    part = quote[1:-1].strip()
    for name, value in zip(node.variables, node.filled):
        if len(part) > 1 and part in value and part not in node.raw:
            return f"{quote[0]}${{{name}}}{quote[0]}"
    return quote


_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def _any_of(values: list[str]) -> re.Pattern[str] | None:
    if not values:
        return None
    return re.compile(f"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, values))})(?![A-Za-z0-9])")
