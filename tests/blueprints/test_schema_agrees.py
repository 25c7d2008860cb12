"""What editors refuse by the JSON Schema, the linter refuses; and what a JSON Schema can say at all, it says."""

import json
import random
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from blueprints.diagnostics import BlueprintError
from blueprints.load import verify
from blueprints.schema import blueprint_schema
from blueprints.source import parse, plain
from streamlets.catalog import Streamlets
from streamlets.cli import main, new
from tests.blueprints.bases import BASES, ENVIRON, Base
from tests.blueprints.mutations import Text, mutants

NOT_IN_A_SCHEMA = {
    "yaml-syntax": "there is no value yet",
    "duplicate-key": "a parser keeps one of the two",
    "unset-variable": "the environment",
    "missing-file": "the disk",
    "import-failed": "the user's own code",
    "not-a-streamlet": "the user's own code",
    "ambiguous-streamlet": "what is installed",
    "unknown-port": "a reference from one place to another",
    "wrong-direction": "a reference from one place to another",
    "unconnected-inlet": "a reference from one place to another",
    "unconnected-outlet": "a reference from one place to another",
    "port-in-many-topics": "a comparison of places",
    "inlet-kind": "a reference from one place to another",
    "no-producer": "two lists and a flag, and what overlays add",
    "reserved-name": "a name made of others",
    "bad-topic-name": "a name made of others",
    "topic-name-clash": "a comparison of names",
    "conflicting-settings": "a comparison of places",
    "bad-topic-config": "Kafka's own table of settings",
    "incompatible-contract": "the contents of other files",
    "conflicting-producers": "the contents of other files",
    "unknown-field-in-expression": "the contents of other files",
    "bad-expression": "the grammar of CEL",
    "unknown-key": "the contents of other files",
    "key-differs": "a comparison of places",
    "cycle": "the graph",
    "partitions-differ": "the graph",
    "too-many-replicas": "the graph",
    "single-reader": "the graph",
    "inline-misuse": "the graph",
    "dead-letter-loop": "the graph",
    "window-beyond-retention": "arithmetic",
    "window-beyond-memory": "arithmetic",
    "wait-beyond-deadline": "arithmetic",
    "timeout-beyond-poll-interval": "arithmetic",
    "rate-beyond-capacity": "arithmetic",
    "updates-without-allow-list": "the graph",
    "plain-http-secret": "the parts of a URL",
    "open-listener": "the parts of an address",
    "untrusted-path": "the disk",
}
"""Codes of what a JSON Schema of one file cannot say, and why."""


def is_elsewhere(problem) -> bool:
    """Return whether a problem is of a code above, or refers to a contract by its name."""
    return problem.code in NOT_IN_A_SCHEMA or "there is no contract" in problem.message


CATALOG = Streamlets()
SCHEMA = blueprint_schema(CATALOG)
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def lint(tmp_path_factory):
    folders = {}
    before = list(sys.path)
    for base in BASES:
        folders[base.name] = tmp_path_factory.mktemp(base.name)
        base.write(folders[base.name])
        sys.path.append(str(folders[base.name]))

    def errors(base, text):
        folder = folders[base.name]
        (folder / "a.yaml").write_text(text)
        found = verify(folder / "a.yaml", CATALOG, ENVIRON)
        return [problem for problem in found if problem.severity == "error"]

    yield errors
    sys.path[:] = before


WHOLE = [base for base in BASES if base.under is None]


def test_the_schema_is_one_and_says_so():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("base", WHOLE, ids=lambda base: base.name)
def test_a_blueprint_that_is_right_fits_the_schema(base):
    assert [error.message for error in VALIDATOR.iter_errors(plain(parse(base.text, "a").root))] == []


def differences(lint, texts):
    """Return (how many were compared, those of which schema and linter say different things)."""
    compared, different = 0, []
    for what, base, text in texts:
        try:
            value = plain(parse(text, "a.yaml").root)
        except BlueprintError:
            continue
        found = lint(base, text)
        structural = [problem for problem in found if not is_elsewhere(problem)]
        refusal = next(VALIDATOR.iter_errors(value), None)
        if found and not structural and refusal is None:
            continue  # what a schema cannot say
        compared += 1
        if bool(structural) != (refusal is not None) and not (found and refusal):
            says = refusal.message[:200] if refusal else "the schema accepts it"
            different.append((what, f"{what}: {says}; lint: {[str(problem) for problem in found][:2]}"))
    return compared, different


def agree(lint, seed, count):
    wrong = ((f"seed {seed}, {m}", m.base, m.text) for m in mutants(seed, count) if m.base.under is None)
    compared, different = differences(lint, wrong)
    assert compared > count // 3
    assert len(different) <= compared // 100, f"{len(different)} of {compared}: {different}"


def test_schema_and_linter_agree_on_mistakes(lint):
    agree(lint, 11, 150)


@pytest.mark.slow
def test_schema_and_linter_agree_on_thousands_of_mistakes(lint):
    agree(lint, 12, 1_000)


VALUES = (
    "0", "1", "-1", "4.0", "4.5", "100", "101", "1000", "1001", "10000", "10001", "'4'", "true", "'true'", "null", "''",
    "' '", "word", "'two words'", "[]", "[word]", "[a.b]", "{}", "{ a: b }", "{ file: contracts/reading.json }", "5ms",
    "0s", "0.0s", "0.1s", "1.5 h", "5", "-5ms", "5 parsec", "1GiB", "0B", "10%", "100/s", "'${TOKEN}'",
    "'${TOKEN:-x}'", "'${}'", "earliest", "latest", "2026-04-01", "2026-04-01T00:00:00Z", "2026-04-01T00:00:00",
    "20260401T000000+0200", "2026-04-01 00:00+01:00", "exactly-once", "drop", "json", ".inf", ".nan", "1e3", "0x10",
)  # fmt: skip

EVERYTHING = next(base for base in BASES if base.name == "everything")


def replaced():
    """Yield the blueprint with each field's and option's value replaced by each of the values."""
    text = Text(EVERYTHING.text)
    for site in text.sites:
        if site.key is None or "pod" in site.path or "config" in site.path or len(site.path) < 1:
            continue
        if "\n" in text.text[site.value : site.end]:
            continue
        for value in VALUES:
            changed = text.text[: site.value] + value + text.text[site.end :]
            yield f"{'.'.join(map(str, site.path))}: {value}", EVERYTHING, changed


OWN_CHECKS = (
    "servers", "url", "allow", "inputs", "outputs", "x", "comfort", "path", "where", "include", "needed", "of",
    "events", "max_wait", "timeout", "runbook", "reference", "fields", "python", "json-schema",
)  # fmt: skip
"""Options and fields of which the value itself is looked at: URLs, expressions, suffixes, bounds of two numbers."""

LAX = ("'4'", "true", "'true'", "1", "0", "1e3", "0x10", "4.0")
"""What pydantic reads as a number or a flag and an editor underlines: text in quotes, a flag for a number …"""


def is_known(what: str) -> bool:
    """Return whether a difference is one that is meant: editors know no environment, and own checks are code."""
    path, _, value = what.partition(": ")
    return (
        value.startswith("'${")  # what it holds is not known to an editor
        or value in (".nan", ".inf")  # JSON has no such number
        or (".with." in path and value in LAX)
        or path.rpartition(".")[2] in OWN_CHECKS
    )


@pytest.mark.slow
def test_schema_and_linter_agree_on_values_of_every_field(lint):
    texts = list(replaced())
    random.Random(3).shuffle(texts)
    compared, different = differences(lint, texts[:600])
    hard = [line for what, line in different if not is_known(what)]
    assert compared > 480
    assert len(hard) <= compared // 100, f"{len(hard)} of {compared}: {hard}"
    assert len(different) <= compared // 12, f"{len(different)} of {compared}"


NAMES = (
    "good",
    "Bad",
    "with space",
    "under_score",
    "-dash",
    "x" * 63,
    "x" * 64,
    "dotted.name",
    "ümlaut",
    "1",
)


@pytest.mark.parametrize("name", NAMES)
def test_schema_and_linter_agree_on_names(lint, name):
    text = "name: NAME\nstreamlets: { print: { use: console } }\n"
    text += "topics: { t: { external: true, consumers: [print.in] } }\n"
    one = f"{{ '{name}': {{ json-schema: contracts/reading.json }} }}"
    texts = [
        ("application", WHOLE[0], text.replace("NAME", f"'{name}'")),
        ("streamlet", WHOLE[0], text.replace("NAME", "a").replace("print", f"'{name}'", 1)),
        ("contract", WHOLE[3], f"{text.replace('NAME', 'a')}contracts: {one}\n"),
    ]
    assert differences(lint, texts)[1] == []


@pytest.mark.parametrize(
    ("contract", "is_right"),
    [
        ("{ json-schema: contracts/reading.json }", True),
        ("{}", False),
        ("{ json-schema: contracts/reading.json, python: 'sensors:Warm' }", False),
        ("null", False),
        ("{ json: x }", False),
    ],
)
def test_a_contract_is_of_exactly_one_kind(lint, contract, is_right):
    base = Base("everything", "")
    text = (
        "name: a\nstreamlets: { print: { use: console } }\n"
        f"topics: {{ t: {{ external: true, consumers: [print.in] }} }}\ncontracts: {{ c: {contract} }}\n"
    )
    assert (not lint(base, text)) == is_right
    assert VALIDATOR.is_valid(plain(parse(text, "a").root)) == is_right


def test_options_of_ones_own_streamlet_are_free_and_unknown_ones_of_a_built_in_are_refused():
    own = "name: a\nstreamlets: { s: { use: 'own:thing', with: { any: [1] } } }\n"
    assert VALIDATOR.is_valid(plain(parse(own, "a").root))
    built_in = own.replace("'own:thing'", "console")
    assert not VALIDATOR.is_valid(plain(parse(built_in, "a").root))


def test_what_new_writes_names_a_schema_that_is_there_and_fits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.run(["new", "first"]) == 0
    capsys.readouterr()
    assert main.run(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    text = Path("first/first.yaml").read_text()
    modeline = text.splitlines()[0]
    assert modeline.startswith("# yaml-language-server: $schema=")
    named = Path("first") / modeline.partition("$schema=")[2]
    schema = json.loads(named.read_text())
    assert schema == printed
    Draft202012Validator.check_schema(schema)
    assert list(Draft202012Validator(schema).iter_errors(plain(parse(text, "a").root))) == []
    wrong = text.replace("where:", "were:")
    assert not Draft202012Validator(schema).is_valid(plain(parse(wrong, "a").root))
    assert modeline in new.BLUEPRINT
