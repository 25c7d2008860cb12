"""Secrets in a blueprint: where they may stand, what is refused, and what nobody is ever shown."""

import os

import pytest

from blueprints.options import MAX_SECRET_BYTES
from tests.blueprints.lint import diagnose, lint
from tests.blueprints.test_load import plan_of

APP = """
name: a
streamlets:
  own:
    use: "my.module:Own"
    with:
      %s
topics:
  t: { external: true, consumers: [own.in] }
"""

SCORE = """
name: a
streamlets:
  score:
    use: score
    with: { model: m, servers: [ { url: "https://models:8000", %s } ] }
topics:
  t: { external: true, consumers: [score.in] }
  p: { external: true, producers: [score.out] }
"""

BLOCK = """
name: a
streamlets:
  score:
    use: score
    with:
      model: m
      servers:
        - url: https://models:8000
          token: %s
topics:
  t: { external: true, consumers: [score.in] }
  p: { external: true, producers: [score.out] }
"""


def clear(problems):
    """Return the problems of secrets, without what a catalog for tests says of options that it does not know."""
    return [(d.mark.line, d.mark.column) for d in problems if d.code == "secret-in-clear"]


@pytest.mark.parametrize(
    "text",
    [
        "headers: { Authorization: Bearer abc123def456 }",
        "headers: { authorization: 'Basic bWU6cGFzc3dvcmQ=' }",
        "url: 'https://x.org/?token=abcd1234'",
        "dsn: 'host=db user=me password=hunter2'",
        "password: hunter2!",
        "db: { dbPassword: 'aB3$xyzw' }",
        "keys: [ AKIAIOSFODNN7EXAMPLE ]",
        "anything: 'Bearer abc123def456'",
        'url: "http://u:${PW:-hunter2}@models"',
        'headers: { Authorization: "Bearer ${T:-abc123def456}" }',
    ],
)
def test_a_likely_secret_in_a_streamlet_of_ones_own_is_in_clear(tmp_path, text):
    found = diagnose(tmp_path, APP % text, {"PW": "x", "T": "y"})
    assert len(clear(found)) == 1
    assert not any(part in str(found) for part in ("hunter2", "abc123", "abcd1234", "bWU6", "aB3$", "AKIA"))
    assert not any(
        part in found[0].frame for part in ("hunter2!", "abc123", "abcd1234", "bWU6", "aB3$", "AKIA")
    )


@pytest.mark.parametrize(
    "text",
    [
        "headers: { Authorization: \"Bearer ${T}\" }",
        "headers: { Accept: application/json }",
        "url: \"http://u:${PW}@models\"",
        "url: \"https://x.org/?token=${T}\"",
        "inputs: { token: user_token, password: password_hash }",
        "where: \"token == 'abc' && size(password) > 8\"",
        "max_tokens: 1024\n      tokenizer: bert-base-uncased\n      token_url: https://login.example.org/token",
        "secret: false\n      secret_name: model-credentials\n      password_file: /run/secrets/pw",
        "key: carrier\n      api_key_field: api_key",
        "description: Basic information for the bearer of a token",
    ],
)  # fmt: skip
def test_ordinary_options_raise_no_alarm(tmp_path, text):
    assert clear(diagnose(tmp_path, APP % text, {"PW": "hunter2", "T": "abc"})) == []


def test_the_examples_raise_no_alarm():
    from pathlib import Path

    from blueprints.likely import found_in, found_under
    from blueprints.source import read, scalars

    for path in (Path(__file__).parents[2] / "blueprints" / "examples").rglob("*.yaml"):
        for node in scalars(read(path).root) if "_test" not in path.name else ():
            assert found_in(node.raw) + found_under("token", node.raw) == [], node.mark


def test_the_settings_of_a_topic_and_of_a_pod_are_looked_at_too(tmp_path):
    text = (APP % "x: 1").replace("[own.in] }", "[own.in], config: { sasl.password: letmein } }")
    text = text.replace("    with:", "    pod: { env: [ { name: API_TOKEN, value: letmein } ] }\n    with:")
    found = diagnose(tmp_path, text)
    assert clear(found) == [(5, 45), (9, 70)]
    assert "letmein" not in "".join(str(problem) + problem.frame for problem in found)


@pytest.mark.parametrize(
    "env",
    ["{ name: API_TOKEN, value: '${T}' }", "{ name: LOG_LEVEL, value: debug }", "{ name: TOKEN_FILE, value: /run/t }",
     "{ name: API_TOKEN, valueFrom: { secretKeyRef: { name: creds, key: token } } }"],
)  # fmt: skip
def test_a_pods_environment_without_secrets_raises_no_alarm(tmp_path, env):
    text = (APP % "x: 1").replace("    with:", f"    pod: {{ env: [ {env} ] }}\n    with:")
    assert clear(diagnose(tmp_path, text, {"T": "x"})) == []


def test_a_secret_in_an_overlay_is_reported_there_and_hidden_there(tmp_path):
    over = "streamlets:\n  score: { with: { servers: [ { url: 'http://models:8000', token: hunter2 } ] } }\n"
    (found,) = diagnose(tmp_path, SCORE % 'token: "${T}"', {"T": "x"}, [over])
    assert (found.code, found.mark.file.rpartition("/")[2], found.mark.line) == (
        "secret-in-clear",
        "over0.yaml",
        2,
    )
    assert "hunter2" not in str(found) + found.frame


def test_a_default_of_a_secret_is_in_clear_whether_it_is_taken_or_not(tmp_path):
    for environ in ({}, {"TOKEN": "set"}):
        (found,) = diagnose(tmp_path, SCORE % 'token: "${TOKEN:-hunter2}"', environ)
        assert (found.code, found.mark.line) == ("secret-in-clear", 5)
        assert "hunter2" not in str(found) + found.frame


def test_an_empty_default_is_no_secret_but_a_secret_that_is_empty_is_missing(tmp_path):
    assert lint(tmp_path, SCORE % 'token: "${TOKEN:-}"', {"TOKEN": "x"}) == []
    assert lint(tmp_path, SCORE % 'token: "${TOKEN:-}"') == [
        "5:71 unset-variable: 'token' is a secret, and TOKEN is empty; set it"
    ]
    assert lint(tmp_path, SCORE % 'token: "${TOKEN}"', {"TOKEN": " "})[0].startswith("5:71 unset-variable")


@pytest.mark.parametrize(
    "value", ["null", "true", "123", "~", "1e3", "[a]", "a: b", "# no", "{ file: token }"]
)
@pytest.mark.parametrize("quotes", ["%s", "'%s'", '"%s"'])
def test_a_secret_is_its_text_whatever_it_looks_like(tmp_path, value, quotes):
    text = BLOCK.replace("%s", quotes % "${T}")
    plan = plan_of(tmp_path, text, {"T": value})
    assert plan.streamlets["score"].options["servers"][0]["token"] == value


def test_a_secret_is_a_secret_in_lists_and_maps(tmp_path):
    text = SCORE % 'headers: { X-Key: "${T}", X-File: { file: token } }'
    (tmp_path / "token").write_text("from-file\n")
    plan = plan_of(tmp_path, text, {"T": "from-env"})
    assert plan.streamlets["score"].options["servers"][0]["headers"] == {
        "X-Key": "from-env",
        "X-File": "from-file",
    }
    assert plan.secrets == {"from-env", "from-file"}  # and not `${T}`: messages name variables
    assert "from-" not in repr(plan) + repr(plan.streamlets["score"].options)
    (found,) = diagnose(tmp_path, SCORE % "headers: { X-Key: hunter2 }")
    assert (found.code, "'X-Key' is a secret" in found.message) == ("secret-in-clear", True)


def problem_of_file(tmp_path, name):
    problems = lint(tmp_path, SCORE % f"token: {{ file: {name} }}")
    assert len(problems) == 1
    return problems[0].partition("cannot be read: ")[2]


def test_what_is_wrong_with_a_mounted_file_is_told(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "big").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    (tmp_path / "latin").write_bytes(b"schl\xfcssel")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("gone")
    told = {
        "gone": "no such file or directory",
        "dangling": "no such file or directory",
        "empty": "it is empty",
        "big": "it is larger than 64 KiB",
        "latin": "it is not UTF-8",
        "folder": "is a directory",
        "pipe": "it is no regular file",
        "big/x": "not a directory",
    }
    assert {name: problem_of_file(tmp_path, name) for name in told} == told


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_mounted_file_that_may_not_be_read_is_told(tmp_path):
    (tmp_path / "mine").write_text("x")
    (tmp_path / "mine").chmod(0)
    assert problem_of_file(tmp_path, "mine") == "permission denied"


@pytest.mark.parametrize("raw", [b"hunter2", b"hunter2\n", b"hunter2\r\n", b"\xef\xbb\xbfhunter2\n"])
def test_the_line_end_and_the_mark_that_editors_add_are_no_part_of_a_secret(tmp_path, raw):
    (tmp_path / "token").write_bytes(raw)
    plan = plan_of(tmp_path, SCORE % "token: { file: token }")
    assert plan.streamlets["score"].options["servers"][0]["token"] == "hunter2"


def test_a_secret_mounted_by_kubernetes_is_read_through_its_links_and_again_at_the_next_start(tmp_path):
    for day, secret in (("..2026_01", "first"), ("..2026_02", "second")):
        (tmp_path / day).mkdir()
        (tmp_path / day / "token").write_text(secret)
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "token").symlink_to("..data/token")
    text = SCORE % "token: { file: token }"
    plan = plan_of(tmp_path, text)
    assert plan.streamlets["score"].options["servers"][0]["token"] == "first"
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("..2026_02")
    assert plan.streamlets["score"].options["servers"][0]["token"] == "first"
    assert plan_of(tmp_path, text).streamlets["score"].options["servers"][0]["token"] == "second"


def test_a_secret_is_no_mapping_of_anything_else(tmp_path):
    problems = lint(tmp_path, SCORE % "token: { file: token, encoding: base64 }")
    assert problems == [
        "5:71 bad-option: 'token' is a secret; give it as ${NAME} or as { file: /run/secrets/… } alone"
    ]


def test_the_schema_takes_a_mounted_file_exactly_where_a_secret_is_taken(tmp_path):
    import yaml
    from jsonschema import Draft202012Validator

    from blueprints.schema import blueprint_schema
    from tests.blueprints.catalog import TestCatalog

    validator = Draft202012Validator(blueprint_schema(TestCatalog()))

    def takes(options):
        text = SCORE % "headers: {}"
        return validator.is_valid(
            yaml.safe_load(text.replace('url: "https://models:8000", headers: {}', options))
        )

    assert takes('url: x, token: { file: /run/secrets/x }, headers: { A: { file: b }, B: "${C}" }')
    assert not takes("url: { file: /run/secrets/x }")
    assert not takes("url: x, token: { file: a, encoding: b }")
    assert not takes("url: x, headers: { A: { other: b } }")
    assert not takes("url: x, token: hunter2")
    assert not takes("url: x, token: [ { file: a } ]")


def test_a_streamlets_own_words_about_its_options_show_no_secret_that_came_from_a_file(tmp_path):
    """An author's validator may put the value into its message; here the type of the option is wrong beside it."""
    (tmp_path / "token").write_text("hunter2-from-file")
    problems = lint(tmp_path, SCORE % "token: { file: token }, weight: hunter2-from-file")
    assert problems
    assert "hunter2" not in str(problems)
