"""A plan as Mermaid, DOT, SVG and JSON: what is drawn, that it is of the language, that no secret is in it."""

import json
import random
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from blueprints.dot import as_dot
from blueprints.graph import MOST_BOXES, as_json, as_text
from blueprints.joints import Joints, node_of
from blueprints.load import load
from blueprints.mermaid import as_mermaid
from blueprints.svg import as_svg
from tests.blueprints.catalog import TestCatalog
from tests.blueprints.test_load import flight_delays, plan_of  # noqa: F401

ODD = """\
name: odd
streamlets:
  end: { use: pass }
  graph: { use: 'a.b:c"d<e>#1|`x`' }
  subgraph: { use: pass }
  class: { use: pass, replicas: 2 }
  o: { use: pass }
  "1": { use: pass }
topics:
  end: { producers: [end.out], consumers: [graph.in], partitions: 2 }
  a.b-c_d: { producers: [graph.out], consumers: [subgraph.in, class.in], partitions: 2 }
  click: { producers: [subgraph.out, class.out], consumers: [o.in], partitions: 2 }
  x---y: { producers: [o.out], consumers: ["1.in"], key: carrier }
  style: { external: true, consumers: [end.in], key: '"|" + "]"', partitions: 2 }
  default: { external: true, producers: ["1.out"] }
"""
"""Names that are words of the drawing languages, and signs that end their strings."""


def big(streamlets=50, seed=3):
    """Return a blueprint of many streamlets with fans in and out."""
    rng = random.Random(seed)
    names = [f"{rng.choice(['score', 'enrich', 'route', 'clean', 'audit'])}-{i}" for i in range(streamlets)]
    readers = {"entry": []}
    for name in names:
        readers[rng.choice(list(readers)[-8:])].append(f"{name}.in")
        readers[f"{name}-events"] = []
    lines = ["name: big", "streamlets:", *(f"  {name}: {{ use: pass }}" for name in names), "topics:"]
    for topic, consumers in readers.items():
        producer = (
            "external: true" if topic == "entry" else f"producers: [{topic.removesuffix('-events')}.out]"
        )
        ends = f"consumers: [{', '.join(consumers)}]" if consumers else "external: true"
        lines.append(f"  {topic}: {{ {producer}, {ends} }}")
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["example", "odd", "big"])
def plan(request, tmp_path):
    if request.param == "example":
        return load(request.getfixturevalue("flight_delays"), TestCatalog(), {})
    return plan_of(tmp_path, ODD if request.param == "odd" else big())


def test_every_pair_of_ends_is_joined_by_a_line_or_through_its_topic(plan):
    joints = Joints(plan)
    lines = {(line.source, line.target) for line in joints.lines}
    nodes = {topic.name for topic in joints.topics}
    for topic in plan.topics.values():
        for writer in topic.producers:
            for reader in topic.consumers:
                if topic.name in nodes:
                    assert (writer.streamlet, node_of(topic)) in lines
                    assert (node_of(topic), reader.streamlet) in lines
                else:
                    assert (writer.streamlet, reader.streamlet) in lines
    assert len(joints.lines) <= sum(
        len(topic.producers) + len(topic.consumers) for topic in plan.topics.values()
    )


# What is written of Mermaid's grammar, line by line. A string holds no quote and no bare `#`, `<` or `&`.
STRING = r'"(?:[^"#<>&`]|#\d+;|#(?:quot|amp|lt|gt);|</?b>|<br/>|</?small>)+"'
NODE = rf"[slt]\d+(?:\[{STRING}\]|\(\[{STRING}\]\)|\[\({STRING}\)\])"
MERMAID = re.compile(
    "|".join(
        [
            "flowchart LR",
            f"  {NODE}",
            rf"  [st]\d+ (?:-->|-\.->)(?:\|{STRING}\|)? [st]\d+",
            r'  subgraph legend\["Legend"\]',
            f"    {NODE}",
            "    direction TB",
            "  end",
            r"  classDef (?:topic|external) [\w:#,\- ]+",
            r"  class [stl]\d+(?:,[stl]\d+)* (?:topic|external)",
        ]
    )
)


def test_mermaid_is_of_the_grammar_and_names_each_node_before_it_is_joined(plan):
    text = as_mermaid(plan)
    defined = set()
    for line in text.splitlines():
        assert MERMAID.fullmatch(line), line
        if joined := re.match(r"  (\w\d+) (?:-->|-\.->).* (\w\d+)$", line):
            assert defined >= {joined[1], joined[2]}
        elif node := re.match(r" +([slt]\d+)[\[(]", line):
            assert node[1] not in defined
            defined.add(node[1])
    for name in (*plan.streamlets, *plan.topics):
        assert name in text


def tokens(dot):
    """Return the tokens of a DOT text. Fails at what is none."""
    found, at = [], 0
    pattern = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(->|[{}\[\];,=])|([A-Za-z_]\w*|\d+(?:\.\d+)?))\s*')
    while at < len(dot):
        one = pattern.match(dot, at)
        assert one, dot[at : at + 40]
        found.append(one[1] or one[2] or one[3])
        at = one.end()
    return found


def statements(dot):
    """Return the edges and nodes of a DOT text, read by the grammar of which it is written."""
    words = iter(tokens(dot))
    assert next(words) == "digraph"
    next(words)
    edges, nodes, depth, statement = [], [], 0, []
    for word in words:
        if word == "{":
            depth += 1
            statement = []
        elif word == "}":
            depth -= 1
            statement = []
        elif word == ";" and statement.count("[") == statement.count("]"):
            if "->" in statement:
                assert statement[1] == "->"
                edges.append((json.loads(statement[0]), json.loads(statement[2])))
            elif statement[1:2] == ["["] and statement[0].startswith('"'):
                nodes.append(json.loads(statement[0]))
            statement = []
        else:
            statement.append(word)
    assert depth == 0
    return nodes, edges


def test_dot_is_of_the_grammar_and_has_the_lines(plan):
    nodes, edges = statements(as_dot(plan))
    joints = Joints(plan)
    assert edges == [(line.source, line.target) for line in joints.lines]
    named = [node for node in nodes if not node.startswith("legend:")]
    assert named == [*(s.name for s in joints.streamlets), *map(node_of, joints.topics)]


@pytest.mark.skipif(
    shutil.which("dot") is None, reason="NOT CHECKED BY GRAPHVIZ ITSELF: no 'dot' on this machine"
)
def test_graphviz_draws_it(plan):
    done = subprocess.run(["dot", "-Tsvg"], input=as_dot(plan), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_picture_is_xml_with_every_name_and_no_box_on_another(plan):
    root = ElementTree.fromstring(as_svg(plan))
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
    svg = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{svg}text")]
    for name in (*plan.streamlets, *plan.topics):
        assert name in texts
    boxes = []
    for box in root.iter(f"{svg}rect"):
        if "class" in box.attrib:
            boxes.append([float(box.attrib[name]) for name in ("x", "y", "width", "height")])
    assert len(boxes) >= len(plan.streamlets)
    for at, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for x2, y2, w2, h2 in boxes[:at]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    lines = [path for path in root.iter(f"{svg}path") if path.attrib.get("marker-end")]
    assert len(lines) == len(Joints(plan).lines)
    assert as_svg(plan) == as_svg(plan)


def test_the_picture_of_a_table_that_goes_round_is_drawn(tmp_path):
    plan = plan_of(
        tmp_path,
        """
        name: a
        streamlets:
          f: { use: flights }
          s: { use: score, with: { model: m, servers: [u], updates: { allow: [u] } } }
        topics:
          t: { producers: [f.out], consumers: [s.in] }
          u: { producers: [s.out], consumers: [s.updates], compacted: true }
        """,
    )
    assert as_svg(plan).count("marker-end") == 2


def test_a_legend_explains_what_is_there_and_nothing_else(tmp_path):
    plain = plan_of(
        tmp_path,
        """
        name: a
        streamlets: { f: { use: flights }, c: { use: console } }
        topics: { t: { producers: [f.out], consumers: [c.in] } }
        """,
    )
    for draw in (as_mermaid, as_dot, as_svg):
        assert "a topic; with one" not in draw(plain)
        told = draw(plan_of(tmp_path, ODD))
        assert "external: filled or read by others too" in told
        assert "compacted: the latest" not in told


def test_a_drawing_of_many_streamlets_stays_in_its_width_and_names_all(tmp_path):
    plan = plan_of(tmp_path, big())
    text = as_text(plan, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 5 * len(plan.streamlets)
    for name in (*plan.streamlets, *plan.topics):
        assert name in text
    assert "┌" not in text
    assert "┌" in as_text(plan_of(tmp_path, big(MOST_BOXES)), 80)


def test_the_json_has_an_edge_for_every_pair_and_null_for_outside(tmp_path):
    value = as_json(plan_of(tmp_path, ODD))
    assert value["format"] == 1
    assert list(value) == [
        "format", "name", "description", "delivery", "revision", "streamlets", "topics", "edges",
    ]  # fmt: skip
    assert {"from": "subgraph.out", "topic": "click", "to": "o.in"} in value["edges"]
    assert {"from": "class.out", "topic": "click", "to": "o.in"} in value["edges"]
    assert [one for one in value["edges"] if one["topic"] == "style"] == [
        {"from": None, "topic": "style", "to": "end.in"}
    ]
    assert [one for one in value["edges"] if one["topic"] == "default"] == [
        {"from": "1.out", "topic": "default", "to": None}
    ]


def test_no_drawing_has_an_option(tmp_path):
    text = """
        name: a
        streamlets:
          s: { use: score, with: { model: hidden-model, servers: [{ url: "http://hidden-host", token: "${T}" }] } }
        topics:
          t: { external: true, consumers: [s.in] }
          u: { external: true, producers: [s.out] }
        """
    path = tmp_path / "a.yaml"
    path.write_text(text)
    plan = load(path, TestCatalog(), {"T": "hidden-token"})
    for told in (as_text(plan), as_mermaid(plan), as_dot(plan), as_svg(plan), json.dumps(as_json(plan))):
        assert "hidden" not in told
