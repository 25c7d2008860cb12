"""A plan as a graph in Graphviz's DOT language."""

from __future__ import annotations

from blueprints.graph import notes
from blueprints.joints import LEGEND, Joints, node_of, told_of
from blueprints.plan import Plan


def as_dot(plan: Plan) -> str:
    """Return the graph, left to right, with a legend where one is needed."""
    joints = Joints(plan)
    lines = [
        f"digraph {_quoted(plan.name)} {{",
        '  graph [rankdir=LR, fontname="Helvetica", nodesep=0.3, ranksep=0.7];',
        '  node [fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, color="#555555"];',
    ]
    for streamlet in joints.streamlets:
        told = told_of(streamlet)
        shape = 'shape=box, style="rounded"' if streamlet.is_source else "shape=box"
        lines.append(f"  {_quoted(streamlet.name)} [{shape}, label={_label(streamlet.name, told)}];")
    for topic in joints.topics:
        looks = _looks(topic.compacted, topic.external)
        lines.append(
            f"  {_quoted(node_of(topic))} [{looks}, label={_label(topic.name, notes(topic, True))}];"
        )
    for line in joints.lines:
        told = [f"label={_quoted(line.label)}"] if line.label else []
        told += ['style="dotted"'] if line.is_table else []
        attributes = f" [{', '.join(told)}]" if told else ""
        lines.append(f"  {_quoted(line.source)} -> {_quoted(line.target)}{attributes};")
    if joints.kinds:
        lines += ["  subgraph cluster_legend {", '    label="Legend"; fontsize=10; color="#aaaaaa";']
        for kind in joints.kinds:
            looks = "shape=plaintext" if kind == "table" else _looks(kind == "compacted", kind == "external")
            lines.append(
                f"    {_quoted(f'legend:{kind}')} [{looks}, fontsize=9, label={_quoted(LEGEND[kind])}];"
            )
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _looks(is_compacted: bool, is_external: bool) -> str:
    shape, style = "cylinder" if is_compacted else "box", "filled,dashed" if is_external else "filled"
    return f'shape={shape}, style="{style}", fillcolor="#eef3fb", color="#5577aa"'


def _label(name: str, told: list[str]) -> str:
    return _quoted("\n".join([name, " · ".join(told)] if told else [name]))


def _quoted(text: str) -> str:
    """Return a quoted string; a line break in it centres the lines."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
