"""One mistake is told once: what follows from it is not told too."""

import pytest

from tests.blueprints.lint import lint

APP = """
name: a
streamlets:
  hot:
    use: filter
    with: { where: "a > 1" }
  cold: { use: filter, with: { where: "a < 1" } }
  print: { use: console }
topics:
  t: { external: true, consumers: [hot.in] }
  u: { external: true, consumers: [cold.in] }
  v: { producers: [hot.out], consumers: [print.in] }
  w: { producers: [cold.out], external: true }
"""


@pytest.mark.parametrize(
    ("old", "new", "problems"),
    [
        (
            "  hot:\n",
            "  hoot:\n",
            [
                "3:3 unknown-port: no port of 'hoot' is used, but ports of 'hot' are, at lines 9, 11; "
                "did you mean 'hot'?"
            ],
        ),
        (
            "  print: {",
            "  prnt: {",
            ["11:42 unknown-port: there is no streamlet 'print'; did you mean 'prnt' (line 7)?"],
        ),
        (
            '  cold: { use: filter, with: { where: "a < 1" } }\n',
            "",
            ["9:36 unknown-port: there is no streamlet 'cold' (named at line 11 too)"],
        ),
        (
            "streamlets:",
            "streamlet:",
            ["2:1 unknown-field: the blueprint has no field 'streamlet'; did you mean 'streamlets'?"],
        ),
        (
            "topics:",
            "topis:",
            ["8:1 unknown-field: the blueprint has no field 'topis'; did you mean 'topics'?"],
        ),
        (
            "    use: filter",
            "    ues: filter",
            ["4:5 unknown-field: streamlet 'hot' has no field 'ues'; did you mean 'use'?"],
        ),
        (
            "    with: {",
            "    wiht: {",
            ["5:5 unknown-field: streamlet 'hot' has no field 'wiht'; did you mean 'with'?"],
        ),
        (
            "topics:",
            "  topics:",
            [
                "8:3 misplaced-field: this does not belong here: it is indented by 2 where 0 fit; check the indent"
            ],
        ),
        (
            "  print: {",
            "    print: {",
            None,
        ),
    ],
)
def test_one_mistake_gives_one_problem(tmp_path, old, new, problems):
    assert old in APP
    found = lint(tmp_path, APP.replace(old, new, 1))
    if problems is None:
        assert len(found) == 1
    else:
        assert found == problems


def test_what_else_is_wrong_is_told_beside_a_wrong_indent(tmp_path):
    text = APP.replace("topics:", "  topics:").replace("use: console", "use: consol")
    codes = [line.split(" ")[1] for line in lint(tmp_path, text)]
    assert codes == ["unknown-streamlet:", "misplaced-field:"]


def test_a_blueprint_without_topics_is_told_once(tmp_path):
    text = APP[: APP.index("topics:")]
    assert lint(tmp_path, text) == [
        "1:1 missing-field: the blueprint needs 'topics': what joins the ports of its streamlets, by name"
    ]
