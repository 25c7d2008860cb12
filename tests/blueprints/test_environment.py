import pytest

from blueprints.diagnostics import BlueprintError
from blueprints.load import load
from tests.blueprints.catalog import TestCatalog
from tests.blueprints.lint import diagnose, lint
from tests.blueprints.test_load import plan_of

APP = """
name: a
streamlets:
  score:
    use: score
    replicas: ${REPLICAS:-1}
    with:
      model: ${MODEL}
      servers: [ { url: "http://${HOST:-models}:8000", token: "${TOKEN}" } ]
      threshold: ${THRESHOLD:-0.5}
      batch: { max_events: "${BATCH:-16}", max_wait: "${WAIT:-5}ms" }
      concurrency: ${CALLS:-adaptive}
topics:
  t: { external: "${EXTERNAL:-true}", consumers: [score.in], retention: "${KEEP:-7}d" }
  p: { external: true, producers: [score.out] }
"""


def test_variables_take_the_type_that_is_wanted(tmp_path):
    plan = plan_of(tmp_path, APP, {"MODEL": "7", "TOKEN": "123", "REPLICAS": "3", "CALLS": "4"})
    score = plan.streamlets["score"]
    assert score.replicas == 3
    assert score.options == {
        "model": "7",
        "servers": [{"url": "http://models:8000", "token": "123"}],
        "threshold": 0.5,
        "batch": {"max_events": 16, "max_wait": "5ms"},
        "concurrency": 4,
    }
    assert plan.topics["t"].external is True
    assert plan.topics["t"].retention_s == 7 * 86400


def test_an_unset_variable_is_one_problem_at_its_place(tmp_path):
    assert lint(tmp_path, APP, {"TOKEN": "x"}) == [
        "7:14 unset-variable: the environment variable MODEL is not set; set it, or write ${MODEL:-default}"
    ]


def test_a_default_stands_in_for_what_is_set_to_nothing(tmp_path):
    plan = plan_of(tmp_path, APP, {"MODEL": "m", "TOKEN": "x", "HOST": ""})
    assert plan.streamlets["score"].options["servers"][0]["url"] == "http://models:8000"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"REPLICAS": "many"}, "5:15 bad-value: 'replicas' of streamlet 'score' must be a whole number "
                               "from 1 to 10,000, not '${REPLICAS:-1}'"),
        ({"KEEP": "hunter2"}, "13:73 bad-value: 'retention' of topic 't' must be a duration such as '7d', "
                              "not '${KEEP:-7}d'"),
        ({"BATCH": "hunter2"}, "10:28 bad-option: 'batch.max_events' of score: Input should be a valid integer, "
                               "unable to parse string as an integer (from ${BATCH})"),
        ({"WAIT": "hunter2"}, "10:54 bad-option: 'batch.max_wait' of score: Value error, '${WAIT:-5}ms' is not a "
                              "duration; write '5ms' or '2s' (from ${WAIT})"),
    ],
)  # fmt: skip
def test_what_comes_from_the_environment_is_never_shown(tmp_path, environ, expected):
    problems = lint(tmp_path, APP, {"MODEL": "m", "TOKEN": "x", **environ})
    assert "hunter2" not in str(problems)
    assert problems == [expected]


NO_VARIABLE = "bad-value: '${' is no variable; write ${NAME}, ${NAME:-default}, or $${ for '${' itself"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("description: a ${ b", [f"2:14 {NO_VARIABLE}"]),
        ("description: ${A-b}", [f"2:14 {NO_VARIABLE}"]),
        ("description: $${A}", []),
        ("description: $A", []),
    ],
)  # fmt: skip
def test_what_is_no_variable_is_refused_and_can_be_escaped(tmp_path, text, problems):
    app = f"name: a\n{text}\nstreamlets: {{ p: {{ use: console }} }}\n"
    app += "topics: { t: { external: true, consumers: [p.in] } }\n"
    assert lint(tmp_path, app) == problems


def test_an_escaped_variable_is_itself(tmp_path):
    app = "name: a\ndescription: say $${A}\nstreamlets: { p: { use: console } }\n"
    plan = plan_of(tmp_path, app + "topics: { t: { external: true, consumers: [p.in] } }\n")
    assert plan.description == "say ${A}"


def test_keys_are_not_filled_in(tmp_path):
    app = 'name: a\nstreamlets: { "${X}": { use: console } }\n'
    assert any("not for keys" in problem for problem in lint(tmp_path, app, {"X": "p"}))


SECRETS = """
name: a
streamlets:
  score:
    use: score
    with:
      model: m
      servers:
        - { url: "http://models:8000", token: %s }
topics:
  t: { external: true, consumers: [score.in] }
  p: { external: true, producers: [score.out] }
"""


def test_a_secret_in_clear_is_refused_and_not_shown(tmp_path):
    (found,) = diagnose(tmp_path, SECRETS.replace("%s", "hunter2"))
    assert found.code == "secret-in-clear"
    assert found.mark.line == 8
    assert "hunter2" not in str(found) + found.frame
    assert found.frame.splitlines()[0].endswith("token: ***")


def test_a_secret_as_a_default_is_in_clear_too(tmp_path):
    (found,) = diagnose(tmp_path, SECRETS.replace("%s", '"${TOKEN:-hunter2}"'))
    assert found.code == "secret-in-clear"
    assert "hunter2" not in str(found) + found.frame


def test_a_password_in_a_url_is_in_clear(tmp_path):
    (found,) = diagnose(
        tmp_path, SECRETS.replace("%s", '"${T}"').replace("//models", "//u:hunter2@models"), {"T": "x"}
    )
    assert found.code == "secret-in-clear"
    assert "hunter2" not in str(found) + found.frame


def test_a_problem_beside_a_secret_does_not_show_it(tmp_path):
    found = diagnose(tmp_path, SECRETS.replace("%s", "hunter2, tokn: 1"))
    assert {problem.code for problem in found} == {"secret-in-clear", "unknown-option"}
    assert "hunter2" not in "".join(str(problem) + problem.frame for problem in found)


def test_a_secret_in_a_block_is_hidden_on_each_of_its_lines(tmp_path):
    block = "- url: x\n          token: |\n            hunter2\n            hunter3\n          tokn: y"
    text = SECRETS.replace('- { url: "http://models:8000", token: %s }', block)
    shown = "".join(str(problem) + problem.frame for problem in diagnose(tmp_path, text))
    assert "secret-in-clear" in shown
    assert "hunter" not in shown


def test_a_secret_is_read_from_a_mounted_file(tmp_path):
    (tmp_path / "token").write_text("hunter2\n")
    plan = plan_of(tmp_path, SECRETS.replace("%s", "{ file: token }"))
    assert plan.streamlets["score"].options["servers"][0]["token"] == "hunter2"


NO_FILE = "missing-file: the file of the secret 'token' cannot be read"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{ file: gone }", f"8:55 {NO_FILE}: no such file or directory"),
        ("{ file: . }", f"8:55 {NO_FILE}: is a directory"),
        ("{ file: [a] }", "8:55 bad-value: 'file' of the secret 'token' must be a path"),
        ("{ file: \"a\\0b\" }", f"8:55 {NO_FILE}: embedded null byte"),
        ("{ fil: token }", "8:51 unknown-option: 'servers[0].token' of score has no option 'fil'"),
    ],
)  # fmt: skip
def test_a_secret_file_that_cannot_be_read_is_said_so(tmp_path, value, says):
    problems = lint(tmp_path, SECRETS.replace("%s", value))
    assert len(problems) == 1
    assert problems[0] == says or "bad-option" in problems[0]


def test_the_revision_changes_with_what_is_said_and_not_with_secrets(tmp_path):
    def revision(text, **environ):
        return plan_of(tmp_path, text, environ).revision

    text = SECRETS.replace("%s", '"${TOKEN}"')
    first = revision(text, TOKEN="one")
    assert len(first) == 12
    assert revision(text, TOKEN="two") == first
    assert revision(f"# a remark\n{text}", TOKEN="one") == first
    assert revision(text.replace("model: m", "model: n"), TOKEN="one") != first
    assert revision(text.replace("model: m", "model: ${M}"), TOKEN="one", M="m") == first
    assert revision(text.replace("model: m", "model: ${M}"), TOKEN="one", M="n") != first


def test_the_environment_is_given_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL", "m")
    path = tmp_path / "a.yaml"
    path.write_text(APP)
    with pytest.raises(BlueprintError, match="MODEL is not set"):
        load(path, TestCatalog(), {})


def test_a_default_may_hold_no_variable(tmp_path):
    app = 'name: a\ndescription: "${A:-${B}}"\nstreamlets: { p: { use: console } }\n'
    assert lint(tmp_path, app + "topics: { t: { external: true, consumers: [p.in] } }\n") == [
        "2:14 bad-value: the default of A holds a variable; a default is text, and ends at the first }"
    ]


def test_a_misspelt_variable_is_told_by_name_and_never_by_value(tmp_path):
    app = 'name: a\ndescription: "${MODEL_SERVR}"\nstreamlets: { p: { use: console } }\n'
    app += "topics: { t: { external: true, consumers: [p.in] } }\n"
    (problem,) = lint(tmp_path, app, {"MODEL_SERVER": "hunter2"})
    assert problem == (
        "2:14 unset-variable: the environment variable MODEL_SERVR is not set; did you mean 'MODEL_SERVER'?"
    )


@pytest.mark.parametrize(
    "value",
    [
        "b: c",
        "[x",
        "{a: 1}",
        "# none",
        "- a",
        "*x",
        "!x",
        "&x",
        "a\nname: b",
        "${OTHER}",
        "$${",
        "'",
        '"',
        "\t",
        "%x",
    ],
)
def test_what_is_filled_in_is_one_value_whatever_it_holds(tmp_path, value):
    app = "name: a\ndescription: ${D}\nstreamlets: { p: { use: console } }\n"
    plan = plan_of(
        tmp_path,
        app + "topics: { t: { external: true, consumers: [p.in] } }\n",
        {"D": value, "OTHER": "hunter2"},
    )
    assert (plan.name, plan.description) == ("a", value)


def test_a_value_in_several_places_is_filled_in_each_and_a_name_may_be_one(tmp_path):
    app = 'name: "${STAGE}-app"\ndescription: ${STAGE} of ${STAGE}\nstreamlets: { p: { use: console } }\n'
    app += "topics: { t: { external: true, consumers: [p.in] } }\n"
    plan = plan_of(tmp_path, app, {"STAGE": "test"})
    assert (plan.name, plan.description) == ("test-app", "test of test")
    (problem,) = lint(tmp_path, app, {"STAGE": "Hunter_2"})
    assert "bad-name" in problem
    assert "${STAGE}-app" in problem
    assert "Hunter" not in problem


@pytest.mark.parametrize(("text", "value"), [("${N}", 5), ("'${N}'", 5), ('"0${N}"', 5), ("${N}0", 50)])
def test_a_number_from_outside_is_a_number_in_quotes_and_without(tmp_path, text, value):
    app = "name: a\nstreamlets: { p: { use: console } }\n"
    app += f"topics:\n  t:\n    external: true\n    consumers: [p.in]\n    partitions: {text}\n"
    assert plan_of(tmp_path, app, {"N": "5"}).topics["t"].partitions == value


def test_what_is_not_utf8_in_the_environment_is_refused_by_name(tmp_path):
    app = "name: a\ndescription: ${D}\nstreamlets: { p: { use: console } }\n"
    app += "topics: { t: { external: true, consumers: [p.in] } }\n"
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert lint(tmp_path, app, {"D": broken}) == ["2:14 bad-value: the environment variable D is not UTF-8"]


@pytest.mark.parametrize(
    ("line", "environ"),
    [
        ('name: "${X} app"', {}),
        ('name: a\nprefix: "${X} "', {}),
        ('name: a\ncontracts: { c: { json-schema: "${X}.json" } }', {}),
        ('name: a\ndelivery: "${X}"', {}),
    ],
)
def test_no_family_of_rules_shows_what_the_environment_gave(tmp_path, line, environ):
    app = line + '\nstreamlets: { p: { use: "${X}" }, q: { use: console, start: "${X}" } }\n'
    app += (
        'topics: { t: { external: true, consumers: ["${X}.in", "q.${X}"], key: "${X} +", retention: "${X}", '
    )
    app += 'topic: "${X} x", contract: "${X}", config: { retention.bytes: "${X}", "max.message.bytes": "${X}" } } }\n'
    problems = lint(tmp_path, app, {"X": "hunter2-of-mine"})
    assert len(problems) > 6
    assert not any(part in str(problems) for part in ("hunter2", "of-mine", "mine"))
