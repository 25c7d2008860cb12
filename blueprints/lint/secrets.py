"""Secrets where no type says so: in URLs, under telling names, in the forms that issuers give their keys."""

from __future__ import annotations

from collections.abc import Iterator

from blueprints.likely import GAP, found_in, found_under, is_secret_name
from blueprints.lint.draft import Draft
from blueprints.source import MappingNode, Node, ScalarNode


def check(draft: Draft) -> None:
    """Report secrets that stand in clear, and note those that came from outside, so that no message shows them."""
    for name, node, is_setting in _named(draft.root):
        if id(node) in draft.secrets:
            continue
        found = [*found_in(node.in_clear), *found_under(name, node.in_clear, is_setting)]
        if found:
            draft.hide(node)
            draft.known.update(part.replace(GAP, "") for part in found)
            draft.known.add(node.raw)
            draft.error(node.mark, "secret-in-clear", _message(name, node))
        draft.known.update(_from_outside(name, node, is_setting))


def _message(name: str, node: ScalarNode) -> str:
    what = (
        "a password or a token stands in this URL"
        if "://" in node.raw
        else f"'{name}' holds a secret in clear"
    )
    if node.is_default:
        what = (
            f"{what}, as a default" if "://" in node.raw else f"the default of '{name}' is a secret in clear"
        )
        return f"{what}; write ${{NAME}} alone"
    return f"{what}; give it as ${{NAME}}, or through an option that takes a secret"


def _from_outside(name: str, node: ScalarNode, is_setting: bool) -> Iterator[str]:
    """Yield what of a value that the environment gave is a secret, by its shape or by the names that it has."""
    if not node.filled:
        return
    yield from found_in(node.text)
    yield from found_under(name, node.text, is_setting)
    if is_secret_name(name) and not any(said in node.in_clear for said in ("://",)):
        yield from node.filled
    for variable, value in zip(node.variables, node.filled):
        if is_secret_name(variable):
            yield value


def _named(root: Node) -> Iterator[tuple[str, ScalarNode, bool]]:
    """Yield each value with the name that it has, and whether that is a setting of a topic or of a pod's environment.

    In a list the name is that of the list; in `{ name: …, value: … }` it is what `name` says.
    """
    waiting: list[tuple[str, Node, tuple[str, ...]]] = [("", root, ())]
    seen: set[int] = set()
    while waiting:
        name, node, path = waiting.pop()
        if isinstance(node, ScalarNode):
            if id(node) not in seen:
                seen.add(id(node))
                yield name, node, _is_setting(path)
        elif isinstance(node, MappingNode):
            given = node.get("name")
            for key, (_, value) in node.entries.items():
                is_pair = key == "value" and isinstance(given, ScalarNode)
                called = given.text if is_pair and isinstance(given, ScalarNode) else key
                waiting.append((called, value, (*path, key)))
        else:
            waiting.extend((name, item, path) for item in node.items)


def _is_setting(path: tuple[str, ...]) -> bool:
    if path[:1] == ("topics",):
        return path[2:3] == ("config",)
    if path[:1] == ("streamlets",):
        return path[2:3] == ("pod",) and "env" in path and path[-1] == "value"
    return path[:2] == ("defaults", "config")
