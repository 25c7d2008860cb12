"""A plan as a Mermaid flowchart, which code hosts draw in Markdown.

Nodes have ids of their own, `s0` and `t0`, so that no name can be a word of the language; names stand in quotes.
"""

from __future__ import annotations

from blueprints.graph import notes
from blueprints.joints import LEGEND, Joints, node_of, told_of
from blueprints.plan import Plan

_ESCAPES = str.maketrans(
    {
        '"': "#quot;",
        "#": "#35;",
        "&": "#amp;",
        "<": "#lt;",
        ">": "#gt;",
        "`": "#96;",
        "\\": "#92;",
        "|": "#124;",
    }
)


def as_mermaid(plan: Plan) -> str:
    """Return the flowchart, left to right, with a legend where one is needed."""
    joints = Joints(plan)
    ids = {streamlet.name: f"s{number}" for number, streamlet in enumerate(joints.streamlets)}
    ids |= {node_of(topic): f"t{number}" for number, topic in enumerate(joints.topics)}
    lines = ["flowchart LR"]
    for streamlet in joints.streamlets:
        label = _label(streamlet.name, told_of(streamlet))
        shape = f'(["{label}"])' if streamlet.is_source else f'["{label}"]'
        lines.append(f"  {ids[streamlet.name]}{shape}")
    classes: dict[str, list[str]] = {"topic": [], "external": []}
    for topic in joints.topics:
        node = ids[node_of(topic)]
        lines.append(f"  {node}{_shape(topic.compacted, _label(topic.name, notes(topic, True)))}")
        classes["external" if topic.external else "topic"].append(node)
    for line in joints.lines:
        arrow = "-.->" if line.is_table else "-->"
        label = f'|"{_escaped(line.label)}"|' if line.label else ""
        lines.append(f"  {ids[line.source]} {arrow}{label} {ids[line.target]}")
    if joints.kinds:
        lines += ['  subgraph legend["Legend"]', "    direction TB"]
        for number, kind in enumerate(joints.kinds):
            lines.append(f"    l{number}{_shape(kind == 'compacted', _escaped(LEGEND[kind]))}")
            if kind != "table":
                classes["external" if kind == "external" else "topic"].append(f"l{number}")
        lines.append("  end")
    lines.append("  classDef topic fill:#eef3fb,stroke:#5577aa,color:#111111")
    lines.append("  classDef external fill:#ffffff,stroke:#5577aa,color:#111111,stroke-dasharray:5 4")
    lines += [f"  class {','.join(nodes)} {name}" for name, nodes in classes.items() if nodes]
    return "\n".join(lines) + "\n"


def _shape(is_compacted: bool, label: str) -> str:
    return f'[("{label}")]' if is_compacted else f'["{label}"]'


def _label(name: str, told: list[str]) -> str:
    small = f"<br/><small>{_escaped(' · '.join(told))}</small>" if told else ""
    return f"<b>{_escaped(name)}</b>{small}"


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
