"""A plan as an SVG picture, drawn here: no program and no network is needed to see it.

Layers from left to right by the longest way from a source; in each layer nodes are put in the order of their
neighbours, then as near to them as the others allow. Source: Sugiyama, Tagawa, Toda 1981; the least squares of the
last step by pooling adjacent violators (Barlow 1972).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

from blueprints.graph import notes
from blueprints.joints import LEGEND, Joints, node_of, told_of
from blueprints.plan import Plan

CHAR, SMALL = (
    7.4,
    5.9,
)  # pixels of a letter at 13 and at 10 pixels: wider than most, so that no text leaves its box
HEIGHT, GAP = 40.0, 18.0  # of a node, and between two of them
BEND = 14.0  # height that a passing line takes in a layer
BETWEEN = 46.0  # pixels between layers, beside what labels need
MARGIN = 16.0
SWEEPS = 12  # of ordering and of placing; no drawing of fifty streamlets changed after eight

_STYLE = """\
text{font-family:Helvetica,Arial,sans-serif;font-size:13px;fill:#111;text-anchor:middle}
.small,.label{font-size:10px;fill:#444}.label{stroke:#fff;stroke-width:3px;paint-order:stroke}
.left{text-anchor:start}.line{fill:none;stroke:#555;stroke-width:1.2}.table{stroke-dasharray:2 3}
.streamlet{fill:#fff;stroke:#333}.topic{fill:#eef3fb;stroke:#57a}.external{stroke-dasharray:5 4}"""


@dataclass(eq=False)
class _Node:
    """A box, or where a line passes through a layer (no `name`)."""

    layer: int
    name: str = ""
    small: str = ""
    looks: str = ""
    width: float = 0.0
    height: float = BEND
    x: float = 0.0
    y: float = 0.0
    before: list[_Node] = field(default_factory=list)
    after: list[_Node] = field(default_factory=list)


def as_svg(plan: Plan) -> str:
    """Return the picture as one SVG document."""
    joints = Joints(plan)
    nodes = _nodes(joints)
    layers, ways = _layered(joints, nodes)
    _ordered(layers)
    right = _placed(layers, ways, [line.label for line in joints.lines])
    every = [node for layer in layers for node in layer]
    top = min(node.y - node.height / 2 for node in every)
    top -= HEIGHT / 2 if any(way[0] is way[-1] for way in ways) else 0  # where a bow and its label have room
    for node in every:
        node.y += MARGIN - top
    bottom = max(node.y + node.height / 2 for node in every)
    parts: list[str] = []
    for line, way in zip(joints.lines, ways):
        parts.append(
            f'<path class="line{" table" if line.is_table else ""}" d="{_path(way)}" marker-end="url(#tip)"/>'
        )
    for line, way in zip(joints.lines, ways):
        if line.label:
            x, y = (way[0].x + way[0].width / 2 + way[1].x - way[1].width / 2) / 2, (way[0].y + way[1].y) / 2
            y -= HEIGHT / 2 + 10 if way[0] is way[-1] else 0
            parts.append(f'<text class="label" x="{x:.1f}" y="{y - 3:.1f}">{escape(line.label)}</text>')
    for node in nodes.values():
        parts += _box(node)
    legend, height = _legend(joints.kinds, bottom + GAP)
    widest = max([right, *(MARGIN * 2 + 34 + len(LEGEND[kind]) * SMALL for kind in joints.kinds)])
    size = f"{widest:.0f} {height + MARGIN:.0f}"
    return (
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {size}" '
                f'width="{widest:.0f}" height="{height + MARGIN:.0f}">',
                f"<title>{escape(plan.name)}</title>",
                f"<style>{_STYLE}</style>",
                '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
                'orient="auto">'
                '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
                '<rect width="100%" height="100%" fill="#fff"/>',
                *parts,
                *legend,
                "</svg>",
            ]
        )
        + "\n"
    )


def _nodes(joints: Joints) -> dict[str, _Node]:
    nodes = {}
    for streamlet in joints.streamlets:
        looks = "source" if streamlet.is_source else "streamlet"
        nodes[streamlet.name] = _sized(_Node(0, streamlet.name, " · ".join(told_of(streamlet)), looks))
    for topic in joints.topics:
        looks = "topic compacted" if topic.compacted else "topic"
        looks += " external" if topic.external else ""
        nodes[node_of(topic)] = _sized(_Node(0, topic.name, " · ".join(notes(topic, True)), looks))
    return nodes


def _sized(node: _Node) -> _Node:
    node.width = max(len(node.name) * CHAR, len(node.small) * SMALL) + 20
    node.height = HEIGHT
    return node


def _layered(joints: Joints, nodes: dict[str, _Node]) -> tuple[list[list[_Node]], list[list[_Node]]]:
    """Return the layers, and each line's way through them; lines that go back do not push what they reach."""
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for line in joints.lines:
        targets[line.source].append(line.target)
    forward = _without_cycles(targets)
    for _ in nodes:
        moved = False
        for source, target in forward:
            if nodes[target].layer <= nodes[source].layer:
                nodes[target].layer, moved = nodes[source].layer + 1, True
        if not moved:
            break
    for name, node in nodes.items():  # what only gives stands just before the first that takes
        after = [nodes[target].layer for source, target in forward if source == name]
        if after and not any(target == name for _, target in forward):
            node.layer = min(after) - 1
    layers: list[list[_Node]] = [[] for _ in range(max(node.layer for node in nodes.values()) + 1)]
    for node in nodes.values():
        layers[node.layer].append(node)
    ways = []
    for line in joints.lines:
        begin, end = nodes[line.source], nodes[line.target]
        step = 1 if end.layer > begin.layer else -1
        way = [begin]
        for layer in range(begin.layer + step, end.layer, step):
            way.append(_Node(layer))
            layers[layer].append(way[-1])
        way.append(end)
        for one, two in pairwise(way):
            one.after.append(two)
            two.before.append(one)
        ways.append(way)
    return layers, ways


def _without_cycles(targets: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the lines but those that lead back to where a search is coming from."""
    kept: list[tuple[str, str]] = []
    state: dict[str, int] = {}
    for root in targets:
        waiting = [(root, iter(targets[root]))] if root not in state else []
        state.setdefault(root, 1)
        while waiting:
            name, left = waiting[-1]
            target = next(left, None)
            if target is None:
                state[name] = 2
                waiting.pop()
            elif state.get(target) != 1:
                kept.append((name, target))
                if target not in state:
                    state[target] = 1
                    waiting.append((target, iter(targets[target])))
    return kept


def _ordered(layers: list[list[_Node]]) -> None:
    """Put each layer in the order of the middles of what it is joined to."""
    for sweep in range(SWEEPS):
        rank = {node: index for layer in layers for index, node in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = {}
            for node in layer:
                others = node.before if sweep % 2 == 0 else node.after
                wanted[node] = _mean([rank[other] for other in others], rank[node])
            layer.sort(key=wanted.__getitem__)
            rank.update({node: index for index, node in enumerate(layer)})


def _placed(layers: list[list[_Node]], ways: Sequence[Sequence[_Node]], labels: Sequence[str]) -> float:
    """Give each node its place; return the width of the whole."""
    room = [0.0] * len(layers)  # behind each layer, for the labels of lines that leave it
    for way, label in zip(ways, labels):
        at = min(way[0].layer, way[1].layer)
        room[at] = max(room[at], len(label) * SMALL)
    left = MARGIN
    for layer, behind in zip(layers, room):
        width = max(node.width for node in layer)
        for node in layer:
            node.x = left + width / 2
            if not node.name:
                node.width = width  # a line passes in a straight way below and above the boxes
        left += width + BETWEEN + behind
    right = left - BETWEEN - room[-1] + MARGIN
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            sides = [node.before if sweep % 2 == 0 else node.after for node in layer]
            _spread(layer, [_mean([o.y for o in side], node.y) for node, side in zip(layer, sides)])
    return right


def _spread(layer: Sequence[_Node], wanted: Sequence[float]) -> None:
    """Place a layer as near to what is wanted as its order and the gaps allow: by least squares."""
    offsets, pools = [0.0], list[tuple[float, int]]()
    for one, two in pairwise(layer):
        offsets.append(offsets[-1] + (one.height + two.height) / 2 + GAP)
    for place, offset in zip(wanted, offsets):
        pools.append((place - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    shifts = [shift for shift, count in pools for _ in range(count)]
    for node, shift, offset in zip(layer, shifts, offsets):
        node.y = shift + offset


def _mean(values: Iterable[float], otherwise: float) -> float:
    found = list(values)
    return sum(found) / len(found) if found else otherwise


def _path(way: Sequence[_Node]) -> str:
    """Return a curve from box to box, through the layers between them."""
    if way[0] is way[-1]:  # what a streamlet writes for itself: a bow over its box
        top = way[0].y - way[0].height / 2
        return f"M{way[0].x + 12:.1f} {top:.1f}c8 -16 -32 -16 -24 0"
    back = way[1].x < way[0].x
    told = ""
    for one, two in pairwise(way):
        x1 = one.x + (-one.width if back else one.width) / 2
        x2 = two.x - (-two.width if back else two.width) / 2
        bend = (x2 - x1) / 2
        told += f"L{x1:.1f} {one.y:.1f}" if told else f"M{x1:.1f} {one.y:.1f}"
        told += f"C{x1 + bend:.1f} {one.y:.1f} {x2 - bend:.1f} {two.y:.1f} {x2:.1f} {two.y:.1f}"
    return told


def _box(node: _Node) -> list[str]:
    left, top = node.x - node.width / 2, node.y - node.height / 2
    y = node.y if node.small else node.y + 4
    told = [_shape(node.looks, left, top, node.width, node.height)]
    told.append(f'<text x="{node.x:.1f}" y="{y:.1f}">{escape(node.name)}</text>')
    if node.small:
        told.append(f'<text class="small" x="{node.x:.1f}" y="{node.y + 13:.1f}">{escape(node.small)}</text>')
    return told


def _shape(looks: str, left: float, top: float, width: float, height: float) -> str:
    if "compacted" in looks:
        arc = f"a{width / 2:.1f} 5 0 0"
        sides = f"M{left:.1f} {top + 5:.1f}v{height - 10:.1f}{arc} 0 {width:.1f} 0v{10 - height:.1f}"
        lid = f"{arc} 0 {-width:.1f} 0{arc} 1 {width:.1f} 0"
        return f'<path class="{looks}" d="{sides}{lid}"/>'
    round_ = height / 2 if looks == "source" else 3
    kind = "streamlet" if looks == "source" else looks
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place} rx="{round_:.0f}"/>'


def _legend(kinds: Sequence[str], top: float) -> tuple[list[str], float]:
    """Return the legend and where it ends."""
    told: list[str] = []
    for kind in kinds:
        if kind == "table":
            told.append(f'<path class="line table" d="M{MARGIN} {top + 8:.1f}h26"/>')
        else:
            looks = {"topic": "topic", "external": "topic external", "compacted": "topic compacted"}[kind]
            told.append(_shape(looks, MARGIN, top, 26, 16))
        told.append(
            f'<text class="small left" x="{MARGIN + 34}" y="{top + 12:.1f}">{escape(LEGEND[kind])}</text>'
        )
        top += 22
    return told, top if kinds else top - GAP
