from blueprints.overlay import merge
from blueprints.source import parse, plain
from tests.blueprints.lint import diagnose
from tests.blueprints.test_load import plan_of

BASE = """
name: a
streamlets:
  score: { use: score, with: { model: m, servers: ["http://one"], threshold: 0.5 } }
topics:
  t: { external: true, consumers: [score.in], partitions: 2 }
  p: { external: true, producers: [score.out] }
"""


def merged(base, overlay):
    return plain(merge(parse(base, "base.yaml").root, parse(overlay, "over.yaml").root))


def test_mappings_are_merged_and_the_rest_replaced():
    assert merged("a: {b: 1, c: [1, 2]}\nd: 4", "a: {c: [3], e: 5}\nd: {f: 6}") == {
        "a": {"b": 1, "c": [3], "e": 5},
        "d": {"f": 6},
    }


def test_null_removes():
    assert merged("a: {b: 1, c: 2}\nd: 4", "a: {b: null}\nd: ~\ne: null") == {"a": {"c": 2}}


def test_nulls_below_what_the_base_has_not_are_removed_too():
    assert merged("a: 1", "b: {c: null, d: {e: null}}") == {"a": 1, "b": {"d": {}}}


def test_neither_file_is_changed():
    base, overlay = parse("a: {b: 1}", "base.yaml").root, parse("a: {b: 2}", "over.yaml").root
    merge(base, overlay)
    assert plain(base) == {"a": {"b": 1}}
    assert plain(overlay) == {"a": {"b": 2}}


def test_the_examples_of_the_standard():
    examples = [
        ("a: b", "a: c", {"a": "c"}),
        ("a: b", "b: c", {"a": "b", "b": "c"}),
        ("a: b", "a: null", {}),
        ("{a: b, b: c}", "a: null", {"b": "c"}),
        ("a: [b]", "a: c", {"a": "c"}),
        ("a: c", "a: [b]", {"a": ["b"]}),
        ("a: {b: c}", "a: {b: d, c: null}", {"a": {"b": "d"}}),
        ("a: [{b: c}]", "a: [1]", {"a": [1]}),
        ("e: null", "a: 1", {"e": None, "a": 1}),
        ("a: foo", "a: {bb: {ccc: null}}", {"a": {"bb": {}}}),
    ]
    for base, overlay, expected in examples:
        assert merged(base, overlay) == expected


def test_an_overlay_is_linted_as_one_with_the_base(tmp_path):
    over = "streamlets: { score: { with: { treshold: 1 } } }\ntopics: { t: { partitions: none } }\n"
    found = diagnose(tmp_path, BASE.replace("threshold: 0.5", "treshold: 0.5"), overlays=[over])
    assert [(d.mark.file.rpartition("/")[2], d.mark.line, d.code) for d in found] == [
        ("over0.yaml", 1, "unknown-option"),
        ("over0.yaml", 2, "bad-value"),
    ]
    assert found[0].frame.splitlines()[0].startswith("    1 | streamlets")


def test_several_overlays_are_laid_in_order(tmp_path):
    overlays = ["topics: { t: { partitions: 3, key: a } }", "topics: { t: { partitions: 4 } }"]
    topic = plan_of(tmp_path, BASE, overlays=overlays).topics["t"]
    assert (topic.partitions, topic.key) == (4, "a")


def test_broken_files_are_all_reported(tmp_path):
    found = diagnose(tmp_path, BASE, overlays=["a: [", "b: {"])
    assert [(d.mark.file.rpartition("/")[2], d.code) for d in found] == [
        ("over0.yaml", "yaml-syntax"),
        ("over1.yaml", "yaml-syntax"),
    ]
