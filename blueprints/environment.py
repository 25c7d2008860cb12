"""`${NAME}` and `${NAME:-default}` in values, filled in from a mapping that is given, never from the process itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from blueprints.diagnostics import Diagnostic, Mark
from blueprints.source import MappingNode, Node, ScalarNode, resolve, scalars

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{")


def fill(root: Node, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Return what is wrong with the variables, having filled in all others.

    A variable without a value takes its default, also when it is set to nothing. `$${` stands for `${` itself.
    A value without quotes is resolved again once it is filled in, so `${PORT}` can be a number.
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

    def replace(found: re.Match[str]) -> str:
        name, has_default, default = found[1], found[2], found[3]
        if name is None:
            if found[0] == "$${":
                return "${"
            node.is_unset = True
            message = "'${' is no variable; write ${NAME}, ${NAME:-default}, or $${ for '${' itself"
            problems.append(Diagnostic(node.mark, "bad-value", message))
            return ""
        names.append(name)
        value = environ.get(name)
        if value or (value is not None and not has_default):
            return value
        if has_default:
            node.is_default = node.is_default or bool(default)
            return str(default)
        node.is_unset = True
        message = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        problems.append(Diagnostic(node.mark, "unset-variable", message))
        return ""

    node.text = _VARIABLE.sub(replace, node.raw)
    node.value = resolve(node.text) if node.plain else node.text
    node.variables = tuple(names)


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
