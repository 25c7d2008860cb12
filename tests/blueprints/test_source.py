import random
import time

import pytest

from blueprints.diagnostics import BlueprintError
from blueprints.source import MAX_DEPTH, MAX_FILE_BYTES, MappingNode, parse, plain, read

BROKEN = {
    "nothing": b"",
    "comments only": b"# nothing\n",
    "a list": b"- a\n- b\n",
    "a word": b"blueprint",
    "flow list 10,000 deep": b"[" * 10_000,
    "flow mapping 10,000 deep": b"{a: " * 10_000,
    "sequences 10,000 deep": b"- " * 10_000,
    "question marks": b"? " * 10_000,
    "blocks 1,000 deep": b"".join(b" " * i + b"a:\n" for i in range(1000)),
    "a billion laughs": b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(98, 108)),
    "an alias chain that gets deep": b"x0: &x0 [1]\n"
    + b"".join(b"x%d: &x%d [*x%d]\n" % (i, i, i - 1) for i in range(1, 100)),
    "an alias inside its anchor": b"a: &a [*a]\n",
    "an alias of nothing": b"a: *b\n",
    "400,000 values": b"a: [" + b"1," * 400_000 + b"]\n",
    "an open quote of 900 KB": b'a: "' + b"x" * 900_000,
    "an open quote over many lines": b"a: '" + b"x\n" * 400_000,
    "a key of 500 KB": b"a" * 500_000 + b": 1\n",
    "not UTF-8": b"name: caf\xe9\n",
    "UTF-16": "name: a".encode("utf-16"),
    "a control character": b"name: a\x00b\n",
    "a tab as indent": b"name:\n\ttopics: 1\n",
    "a custom tag": b"name: !secret x\n",
    "a Python tag": b"name: !!python/object/apply:os.system [ls]\n",
    "a local tag on a mapping": b"name: !Ref {a: 1}\n",
    "a tag that does not fit": b"name: !!int x\n",
    "two documents": b"name: a\n---\nname: b\n",
    "a directive alone": b"%YAML 1.1\n",
    "a merge key": b"a: &a {b: 1}\nc: {<<: *a}\n",
    "a list as key": b"? [a, b]\n: c\n",
    "template braces": b"name: {{ app }}\n",
    "two colons": b"name: a: b\n",
    "a brace left open": b"name: {a: 1\n",
    "text after the end": b"name: a\n...\nb\n",
    "wrong indent": b"a:\n  b: 1\n c: 2\n",
    "an at sign": b"a: @b\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_yaml_gives_one_clear_line_within_a_second(name):
    began = time.process_time()
    with pytest.raises(BlueprintError) as refused:
        parse(BROKEN[name], "a.yaml")
    assert time.process_time() - began < 1.0
    (found,) = refused.value.diagnostics
    assert found.code == "yaml-syntax"
    assert found.mark.line >= 1
    assert len(str(found)) < 250
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("raw", "place", "says"),
    [
        (b"name: a\ntopics: [a, b\n", "a.yaml:2:9", "bracket is not closed"),
        (b"name: a: b\n", "a.yaml:1:8", "a second ': ' on one line"),
        (b"name:\n\ta: 1\n", "a.yaml:2:1", "not tabs"),
        (b"name: a\nx: !ref b\n", "a.yaml:2:4", "no custom tags"),
        (b"a: 1\nname: \xff\n", "a.yaml:2:7", "0xff is not UTF-8"),
        ("a: é\nb: \x07".encode(), "a.yaml:2:4", "U+0007"),
        (b"a: &a [*a]", "a.yaml:1:8", "inside its own anchor"),
    ],
)
def test_the_place_and_the_cure_are_named(raw, place, says):
    with pytest.raises(BlueprintError) as refused:
        parse(raw, "a.yaml")
    assert str(refused.value.diagnostics[0].mark) == place
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2026-04-01", "2026-04-01"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!int '3'", 3),
        ("9" * 5000, "9" * 5000),
        ("-", None),
    ],
)
def test_values_follow_yaml_1_2(text, value):
    if text == "-":
        text, value = "'-'", "-"
    assert plain(parse(f"a: {text}\n", "a.yaml").root) == {"a": value}


def test_every_key_and_value_knows_its_place():
    root = parse("name: a\nstreamlets:\n  score: { use: score, with: [ 1, é, x ] }\n", "a.yaml").root
    score = root.entries["streamlets"].value.entries["score"]
    assert str(score.key.mark) == "a.yaml:3:3"
    assert str(score.value.mark) == "a.yaml:3:10"
    assert [item.mark.column for item in score.value.entries["with"].value.items] == [32, 35, 38]
    assert score.key.mark.end_column == 8


def test_a_repeated_key_is_reported_and_the_first_stands():
    source = parse("a: 1\nb: 2\na: 3\n", "a.yaml")
    assert plain(source.root) == {"a": 1, "b": 2}
    (found,) = source.diagnostics
    assert (
        str(found) == "a.yaml:3:1: error duplicate-key: 'a' is already set at line 1; remove one of the two"
    )


def test_anchors_are_followed():
    source = parse("a: &x { b: [1, 2] }\nc: *x\n", "a.yaml")
    assert plain(source.root) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_depth_is_allowed_up_to_its_bound():
    assert isinstance(
        parse("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1), "a.yaml").root, MappingNode
    )


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(BlueprintError, match="refused unread"):
        read(path)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_read_is_a_missing_file(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "none.yaml"
    with pytest.raises(BlueprintError) as refused:
        read(path)
    assert refused.value.diagnostics[0].code == "missing-file"


def test_a_byte_order_mark_and_crlf_are_taken():
    assert plain(parse(b"\xef\xbb\xbfname: a\r\nb: 1\r\n", "a.yaml").root) == {"name": "a", "b": 1}


def test_random_bytes_never_give_a_traceback():
    rng = random.Random(7)
    alphabet = b"ab: -[]{}\n\t'\"&*!|>%@`#,?\x00\xff\xc3\xa91~<"
    for _ in range(2000):
        raw = bytes(rng.choice(alphabet) for _ in range(rng.randrange(40)))
        assert all(found.mark.line >= 1 for found in problems(raw))


def problems(raw):
    try:
        return parse(raw, "a.yaml").diagnostics
    except BlueprintError as exc:
        return exc.diagnostics


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (
            "name: a\nstreamlets:\n  s:\n     use: x\n    with: {a: 1}\n",
            "a.yaml:4:6",
            "indented by 5 where 4 fit",
        ),
        ("name: a\nstreamlets:\n   s: {use: x}\n  t: {use: x}\n", "a.yaml:3:4", "indented by 3 where 2 fit"),
        ("name: a\ntopics\n  t: {}\n", "a.yaml:2:1", "'topics' is a key without ': '"),
        ("delivery at-least-once\nname: a\n", "a.yaml:1:1", "'delivery' is a key without ': '"),
        (
            "name: a\nstreamlets:\n  s:\n    use:score\n    with: {}\n",
            "a.yaml:4:5",
            "no blank after the colon",
        ),
        ('name: "a\nprefix: b\ntopics: {t: {topic: "x"}}\n', "a.yaml:1:7", "this quote is not closed"),
        ("topics: {\n  a: { key: [x },\n  b: { key: y } }\n", "a.yaml:2:13", "this bracket is not closed"),
        (" name: a\nprefix: b\ntopics: {}\n", "a.yaml:1:2", "indented by 1 where 0 fit"),
        ("topics:\n  t:\n\t\tkey: a\n", "a.yaml:3:1", "by spaces, not tabs"),
    ],
)
def test_the_line_at_fault_is_named_not_the_one_where_it_is_noticed(text, place, says):
    with pytest.raises(BlueprintError) as refused:
        parse(text, "a.yaml")
    (found,) = refused.value.diagnostics
    assert (str(found.mark), says in found.message) == (place, True), str(found)


def test_what_no_small_repair_mends_is_told_where_it_was_noticed():
    with pytest.raises(BlueprintError, match=r"^a.yaml:2:1"):
        parse("a: {\n]: [}:::\n", "a.yaml")


def test_the_search_for_the_line_at_fault_is_bounded():
    text = "".join(f"k{i}: {{a: [1, 2}}\n" for i in range(30_000))
    began = time.process_time()
    with pytest.raises(BlueprintError):
        parse(text, "a.yaml")
    assert time.process_time() - began < 1.0
