"""A second file laid over the first, by the rules of JSON Merge Patch.

Source: RFC 7386. Mappings are merged by key, lists and values are replaced, `null` removes a key. Every node keeps the
place that it was read from, so a problem is reported in the file that caused it.
"""

from __future__ import annotations

from blueprints.source import Entry, MappingNode, Node, ScalarNode


def merge(base: MappingNode, overlay: MappingNode) -> MappingNode:
    """Return the base with the overlay laid over it; neither is changed."""
    merged = MappingNode(base.mark, dict(base.entries))
    for name, (key, value) in overlay.entries.items():
        if isinstance(value, ScalarNode) and value.value is None:
            merged.entries.pop(name, None)
            continue
        under = base.get(name)
        laid: Node = value
        if isinstance(value, MappingNode):
            laid = merge(under if isinstance(under, MappingNode) else MappingNode(value.mark), value)
        kept = base.entries.get(name)
        merged.entries[name] = Entry(kept.key if kept and isinstance(under, MappingNode) else key, laid)
    return merged
