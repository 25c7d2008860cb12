"""A second file laid over the first, by the rules of JSON Merge Patch.

Source: RFC 7386. Mappings are merged by key, lists and values are replaced, `null` removes a key. Every node keeps the
place that it was read from, so a problem is reported in the file that caused it; a mapping in both is the base's, which
says what it is, and its parts are each where they were written. Overlays are laid on one after the other, the last one
wins. What an overlay removes and nobody has is reported: a misspelt removal would be silently without effect. Relative
paths begin at the base's folder, in whatever file they stand: what is laid over one blueprint may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from blueprints.diagnostics import Diagnostic
from blueprints.source import Entry, MappingNode, Node, ScalarNode
from blueprints.suggest import did_you_mean


def merge(
    base: MappingNode, overlay: MappingNode, report: Callable[[Diagnostic], None] | None = None
) -> MappingNode:
    """Return the base with the overlay laid over it; neither is changed. `report` gets removals of nothing."""
    merged = MappingNode(base.mark, dict(base.entries))
    for name, (key, value) in overlay.entries.items():
        if isinstance(value, ScalarNode) and value.value is None and not value.variables:
            if merged.entries.pop(name, None) is None and report is not None:
                report(_nothing_to_remove(key, base))
            continue
        under = base.get(name)
        laid: Node = value
        if isinstance(value, MappingNode):
            is_in_both = isinstance(under, MappingNode)
            below = under if isinstance(under, MappingNode) else MappingNode(value.mark)
            laid = merge(below, value, report if is_in_both else None)
        kept = base.entries.get(name)
        is_merged = isinstance(under, MappingNode) and isinstance(value, MappingNode)
        merged.entries[name] = Entry(kept.key if kept and is_merged else key, laid)
    return merged


def _nothing_to_remove(key: ScalarNode, base: MappingNode) -> Diagnostic:
    hint = did_you_mean(key.text, base.entries)
    message = f"'{key.text}: null' removes nothing: there is no '{key.text}' here to remove{hint}"
    return Diagnostic(key.mark, "unknown-field", message, "warning")
