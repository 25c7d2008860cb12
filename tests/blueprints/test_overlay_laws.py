"""The laws of overlays, held against random files; and that a problem's place holds what the problem is about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blueprints.overlay import merge
from blueprints.source import MappingNode, Node, SequenceNode, parse, plain
from tests.blueprints.lint import diagnose, lint
from tests.blueprints.test_load import plan_of

NAMES = st.sampled_from("abcd")
LEAVES = st.one_of(st.integers(0, 9), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 9), max_size=2))
FILES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | LEAVES, max_size=4),
    max_leaves=8,
)  # fmt: skip
WITH_NULLS = st.recursive(
    st.dictionaries(NAMES, LEAVES | st.none(), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | LEAVES | st.none(), max_size=4),
    max_leaves=8,
)  # fmt: skip
QUICK = settings(max_examples=30, deadline=None)


def shaped(names: str, depth: int = 0):
    """Return files of one shape: a name is a mapping in all of them or in none."""
    fields = {name: shaped(names, depth + 1) if name in "ab" and depth < 2 else LEAVES for name in names}
    return st.fixed_dictionaries({}, optional=fields)


SHAPED = shaped("abcd")


def text_of(value: object, indent: int = 0) -> str:
    """Return a value as YAML, one key a line."""
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        lead = "\n" if indent else ""
        return lead + "".join(f"{' ' * indent}{k}:{text_of(v, indent + 2)}" for k, v in value.items())
    return f" {'null' if value is None else value}\n"


def node(value: dict, file: str = "f.yaml") -> MappingNode:
    return parse(text_of(value), file).root if value else MappingNode(parse("a: 1", file).root.mark)


def laid(*files: dict) -> object:
    root = node(files[0], "0.yaml")
    for number, file in enumerate(files[1:], 1):
        root = merge(root, node(file, f"{number}.yaml"))
    return plain(root)


def expected(base: object, over: object) -> object:
    """Merge by the words of the standard, on plain values."""
    if not isinstance(over, dict):
        return over
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = expected(result.get(key), value)
    return result


@QUICK
@given(FILES, WITH_NULLS)
def test_it_is_the_merge_patch_of_the_standard(base, over):
    assert laid(base, over) == expected(base, over)


@QUICK
@given(FILES)
def test_nothing_laid_over_changes_nothing_and_what_lies_over_nothing_is_itself(base):
    assert laid(base, {}) == base
    assert laid({}, base) == base


@QUICK
@given(FILES, WITH_NULLS)
def test_an_overlay_laid_twice_does_what_it_does_once(base, over):
    assert laid(base, over, over) == laid(base, over)
    assert laid(base, base) == base


@QUICK
@given(SHAPED, SHAPED, SHAPED)
def test_overlays_of_one_shape_that_remove_nothing_may_be_put_together_first(base, first, second):
    assert laid(base, first, second) == laid(base, laid(first, second))


@QUICK
@given(FILES, FILES, FILES)
def test_where_the_last_overlay_says_something_it_stands(base, first, last):
    found = laid(base, first, last)

    def stands(said: object, got: object) -> bool:
        if isinstance(said, dict):
            return isinstance(got, dict) and all(stands(value, got[key]) for key, value in said.items())
        return said == got

    assert stands(last, found)


def values(tree: Node, key: str = ""):
    if isinstance(tree, MappingNode):
        for name, entry in tree.entries.items():
            yield entry.key.mark, name
            yield from values(entry.value, name)
    elif isinstance(tree, SequenceNode):
        yield tree.mark, "["
    else:
        yield tree.mark, tree.raw


@QUICK
@given(FILES, WITH_NULLS, WITH_NULLS)
def test_every_place_in_what_was_merged_holds_what_stands_there(base, first, second):
    texts = {f"{n}.yaml": text_of(file) for n, file in enumerate((base, first, second))}
    root = node(base, "0.yaml")
    for number, file in enumerate((first, second), 1):
        root = merge(root, node(file, f"{number}.yaml"))
    for mark, what in values(root):
        line = texts[mark.file].splitlines()[mark.line - 1]
        assert line[mark.column - 1 :].startswith(what)


# --- as the user meets them

BASE = """
name: a
streamlets:
  score: { use: score, with: { model: m, servers: ["http://one"], threshold: 0.5 } }
topics:
  t: { external: true, consumers: [score.in], partitions: 2 }
  p: { external: true, producers: [score.out] }
"""


def told(tmp_path, *overlays, text=BASE):
    """Return the problems as `file:line:column code`, each with what stands at its place."""
    found = []
    for problem in diagnose(tmp_path, text, overlays=overlays):
        file = problem.mark.file.rpartition("/")[2]
        found.append(f"{file}:{problem.mark.line}:{problem.mark.column} {problem.code}")
    return found


def test_an_overlay_adds_a_streamlet_and_a_topic(tmp_path):
    over = """
    streamlets: { print: { use: console } }
    topics: { p: { external: null, consumers: [print.in] } }
    """
    plan = plan_of(tmp_path, BASE, overlays=[over])
    assert list(plan.streamlets) == ["score", "print"]
    assert not plan.topics["p"].external


def test_an_overlay_removes_a_streamlet_with_what_belongs_to_it(tmp_path):
    more = BASE.replace("topics:", "  print: { use: console }\ntopics:").replace(
        "[score.out] }", "[score.out], consumers: [print.in] }"
    )
    assert list(plan_of(tmp_path, more).streamlets) == ["score", "print"]
    plan = plan_of(
        tmp_path, more, overlays=["{ streamlets: { print: null }, topics: { p: { consumers: null } } }"]
    )
    assert list(plan.streamlets) == ["score"]
    (problem,) = lint(tmp_path, more, overlays=["streamlets: { print: null }"])
    assert "unknown-port: there is no streamlet 'print'" in problem


def test_a_removal_of_what_is_not_there_is_a_warning_with_the_name_that_was_meant(tmp_path):
    (problem,) = diagnose(tmp_path, BASE, overlays=["topics: { t: { partition: null, key: null } }"])[:1]
    assert (problem.severity, problem.code) == ("warning", "unknown-field")
    assert problem.message == (
        "'partition: null' removes nothing: there is no 'partition' here to remove; did you mean 'partitions'?"
    )
    assert problem.frame.splitlines()[0] == "    1 | topics: { t: { partition: null, key: null } }"


def test_in_what_an_overlay_adds_null_means_nothing_and_is_no_removal(tmp_path):
    over = "{ streamlets: { print: { use: console, with: null } }, topics: { p: { consumers: [print.in] } } }"
    assert told(tmp_path, over) == []


@pytest.mark.parametrize(
    ("over", "place"),
    [
        ("streamlets: 5", "over0.yaml:1:13 bad-value"),
        ("streamlets: { score: console }", "over0.yaml:1:22 bad-value"),
        ("topics: [ t ]", "over0.yaml:1:9 bad-value"),
        ("topics: { t: { consumers: score.in } }", "over0.yaml:1:27 bad-value"),
        ("topics: { t: { partitions: { a: 1 } } }", "over0.yaml:1:28 bad-value"),
        ("name: null", "app.yaml:1:1 missing-field"),
        ("streamlets: { score: { use: null } }", "app.yaml:3:3 missing-field"),
        ("streamlets: { score: { use: scoer } }", "over0.yaml:1:29 unknown-streamlet"),
        ("streamlets: { score: { with: { model: null } } }", "app.yaml:3:24 missing-option"),
        ("streamlets: { score: { with: { servers: [ 5 ] } } }", "over0.yaml:1:43 bad-option"),
        ("nmae: b", "over0.yaml:1:1 unknown-field"),
        ("{ name: b, name: c }", "over0.yaml:1:12 duplicate-key"),
    ],
)
def test_a_problem_is_told_where_what_it_is_about_stands(tmp_path, over, place):
    assert place in told(tmp_path, over)


def test_only_the_file_that_has_the_last_word_is_told_of_a_value(tmp_path):
    bad = "topics: { t: { partitions: none } }"
    assert told(tmp_path, bad, "topics: { t: { partitions: 3 } }") == []
    assert told(tmp_path, "topics: { t: { partitions: 3 } }", bad) == ["over1.yaml:1:28 bad-value"]


def test_relative_paths_of_an_overlay_begin_at_the_blueprints_folder(tmp_path):
    from blueprints.load import load
    from tests.blueprints.catalog import TestCatalog

    (tmp_path / "app").mkdir()
    (tmp_path / "stage").mkdir()
    (tmp_path / "app" / "token").write_text("of the blueprint")
    (tmp_path / "stage" / "token").write_text("of the overlay")
    (tmp_path / "app" / "app.yaml").write_text(BASE)
    over = 'streamlets: { score: { with: { servers: [ { url: "http://one", token: { file: token } } ] } } }'
    (tmp_path / "stage" / "over.yaml").write_text(over)
    plan = load(tmp_path / "app" / "app.yaml", TestCatalog(), {}, [tmp_path / "stage" / "over.yaml"])
    assert plan.streamlets["score"].options["servers"][0]["token"] == "of the blueprint"


def test_the_same_overlay_twice_counts_in_its_last_turn(tmp_path):
    from blueprints.load import load
    from tests.blueprints.catalog import TestCatalog

    files = [tmp_path / "app.yaml", tmp_path / "three.yaml", tmp_path / "four.yaml"]
    for file, text in zip(
        files, [BASE, "topics: { t: { partitions: 3 } }", "topics: { t: { partitions: 4 } }"]
    ):
        file.write_text(text)
    base, three, four = files
    assert load(base, TestCatalog(), {}, [three, four, three]).topics["t"].partitions == 3
    assert load(base, TestCatalog(), {}, [base]).topics["t"].partitions == 2


def test_an_overlay_that_is_not_there_is_told_once_and_as_an_overlay(tmp_path):
    from blueprints.load import verify
    from tests.blueprints.catalog import TestCatalog

    (tmp_path / "app.yaml").write_text(BASE)
    gone = tmp_path / "gone.yaml"
    (problem,) = verify(tmp_path / "app.yaml", TestCatalog(), {}, [gone, gone])
    assert (
        str(problem)
        == f"{gone}:1:1: error missing-file: the overlay cannot be read: no such file or directory"
    )


def test_an_empty_overlay_is_told_so(tmp_path):
    (problem,) = diagnose(tmp_path, BASE, overlays=["# nothing yet\n"])
    assert problem.message == "the file is empty; leave it out, or write what it changes"
    (problem,) = diagnose(tmp_path, BASE, overlays=["[ a ]\n"])
    assert problem.message == "an overlay is a mapping: name, streamlets, topics"


def test_a_variable_that_an_overlay_replaces_need_not_be_set(tmp_path):
    text = BASE.replace("model: m", 'model: "${MODEL}"')
    assert told(tmp_path, text=text) == ["app.yaml:3:39 unset-variable"]
    assert told(tmp_path, "streamlets: { score: { with: { model: n } } }", text=text) == []
