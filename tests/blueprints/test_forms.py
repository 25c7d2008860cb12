"""The forms that CI reads: SARIF and GitHub's workflow commands."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from blueprints.annotations import as_commands
from blueprints.diagnostics import Diagnostic, Edit, Fix, Mark
from blueprints.lint.explain import pages
from blueprints.sarif import as_sarif

ROOT = Path("/work")
FOUND = [
    Diagnostic(
        Mark("/work/a b/é,1%.yaml", 3, 5, 9, 40, 44),
        "unknown-option",
        "s has no option 'x'; 50% of it",
        fix=Fix("write 'y'", (Edit("/work/a b/é,1%.yaml", 40, 44, "y"),)),
    ),
    Diagnostic(
        Mark("/work/app.yaml", 7, 1),
        "port-in-many-topics",
        "'s.out' is listed twice",
        related=((Mark("/work/over.yaml", 2, 2, 6), "listed here first"),),
    ),
    Diagnostic(Mark("/work/app.yaml", 9, 1), "no-consumer", "nobody reads 't'", "warning"),
    Diagnostic(Mark("/elsewhere/b:c.yaml", 1, 1), "somebodys-own-code", "100%\r\nodd: a, b"),
]


def closed(required, **properties):
    """Return the schema of an object that has these properties and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
LINE = {"type": "integer", "minimum": 1}
MESSAGE = closed("text", text=TEXT)
WHERE = closed("uri", uri={"type": "string", "format": "uri-reference", "pattern": "^[^ :]+(/|$)"})
PLACE = closed(
    "artifactLocation region",
    artifactLocation=WHERE,
    region=closed("startLine", startLine=LINE, startColumn=LINE, endColumn=LINE),
)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REPLACEMENT = closed(
    "deletedRegion insertedContent",
    deletedRegion=closed("charOffset charLength", charOffset=COUNT, charLength=COUNT),
    insertedContent=closed("text", text={"type": "string"}),
)
CHANGE = closed(
    "artifactLocation replacements",
    artifactLocation=WHERE,
    replacements={"type": "array", "minItems": 1, "items": REPLACEMENT},
)
RESULT = closed(
    "ruleId ruleIndex level message locations",
    ruleId=TEXT,
    ruleIndex=COUNT,
    level=LEVEL,
    message=MESSAGE,
    locations={"type": "array", "items": closed("physicalLocation", physicalLocation=PLACE)},
    relatedLocations={
        "type": "array",
        "uniqueItems": True,
        "items": closed("id message physicalLocation", id=COUNT, message=MESSAGE, physicalLocation=PLACE),
    },
    fixes={
        "type": "array",
        "items": closed(
            "description artifactChanges",
            description=MESSAGE,
            artifactChanges={"type": "array", "minItems": 1, "items": CHANGE},
        ),
    },
)
RULE = closed(
    "id defaultConfiguration",
    id=TEXT,
    defaultConfiguration=closed("level", level=LEVEL),
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=closed("text markdown", text=TEXT, markdown=TEXT),
    properties=closed("tags", tags={"type": "array", "items": TEXT, "uniqueItems": True}),
)
DRIVER = closed(
    "name semanticVersion rules", name=TEXT, semanticVersion=TEXT, rules={"type": "array", "items": RULE}
)
RUN = closed(
    "tool columnKind invocations results",
    tool=closed("driver", driver=DRIVER),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    invocations={
        "type": "array",
        "items": closed(
            "executionSuccessful", executionSuccessful={"type": "boolean"}, exitCode={"type": "integer"}
        ),
    },
    results={"type": "array", "items": RESULT},
)
SARIF = closed(
    "$schema version runs",
    **{"$schema": TEXT, "version": {"const": "2.1.0"}, "runs": {"type": "array", "items": RUN}},
)
"""What of the official schema concerns what is written here, and stricter: nothing else may be there at all."""


def log(found=FOUND):
    return json.loads(json.dumps(as_sarif(found, ROOT, "0.1.0")))


def test_sarif_is_of_the_form_that_the_standard_wants():
    Draft202012Validator.check_schema(SARIF)
    for found in (FOUND, []):
        problems = list(Draft202012Validator(SARIF).iter_errors(log(found)))
        assert problems == []
    assert list(Draft202012Validator(SARIF).iter_errors({"version": "2.1.0", "runs": [{}]}))


def test_a_sarif_result_points_at_its_rule_and_place():
    run = log()["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [
        "unknown-option", "port-in-many-topics", "no-consumer", "somebodys-own-code",
    ]  # fmt: skip
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "error"]
    assert rules[2]["defaultConfiguration"] == {"level": "warning"}
    first, second, _, last = (result["locations"][0]["physicalLocation"] for result in run["results"])
    assert first == {
        "artifactLocation": {"uri": "a%20b/%C3%A9%2C1%25.yaml"},
        "region": {"startLine": 3, "startColumn": 5, "endColumn": 9},
    }
    assert second["region"] == {"startLine": 7, "startColumn": 1}
    assert last["artifactLocation"] == {"uri": "../elsewhere/b%3Ac.yaml"}
    assert run["results"][1]["relatedLocations"] == [
        {
            "id": 1,
            "message": {"text": "listed here first"},
            "physicalLocation": {
                "artifactLocation": {"uri": "over.yaml"},
                "region": {"startLine": 2, "startColumn": 2, "endColumn": 6},
            },
        }
    ]
    assert run["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"] == [
        {"deletedRegion": {"charOffset": 40, "charLength": 4}, "insertedContent": {"text": "y"}}
    ]
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]


@pytest.mark.parametrize("code", list(pages()))
def test_a_sarif_rule_explains_itself_as_explain_does(code):
    page = pages()[code]
    rule = log([Diagnostic(Mark("/work/a.yaml", 1, 1), code, "x")])["runs"][0]["tool"]["driver"]["rules"][0]
    assert page.bad.rstrip() in rule["help"]["text"]
    assert page.good.rstrip() in rule["help"]["markdown"]
    assert rule["shortDescription"]["text"].endswith(".")
    assert len(rule["shortDescription"]["text"]) < 300
    assert rule["properties"]["tags"] == [page.family]


def unescaped(command):
    """Return a command as GitHub's runner reads it."""
    head, _, data = command[2:].partition("::")
    severity, _, written = head.partition(" ")
    properties = dict(pair.split("=", 1) for pair in written.split(","))
    for name, value in properties.items():
        for sign, escape in ((",", "%2C"), (":", "%3A"), ("\n", "%0A"), ("\r", "%0D"), ("%", "%25")):
            value = value.replace(escape, sign)
        properties[name] = value
    for sign, escape in (("\n", "%0A"), ("\r", "%0D"), ("%", "%25")):
        data = data.replace(escape, sign)
    return severity, properties, data


def test_annotations_survive_the_runners_unescaping():
    commands = list(as_commands(FOUND, ROOT))
    assert all("\n" not in command and "\r" not in command for command in commands)
    assert commands[0] == (
        "::error file=a b/é%2C1%25.yaml,line=3,col=5,endLine=3,endColumn=9,title=unknown-option"
        "::s has no option 'x'; 50%25 of it"
    )
    for command, one in zip(commands, FOUND):
        severity, properties, data = unescaped(command)
        assert (severity, data) == (one.severity, one.message)
        assert properties["title"] == one.code
        assert (ROOT / properties["file"]).resolve() == Path(one.mark.file)
        assert (int(properties["line"]), int(properties["col"])) == (one.mark.line, one.mark.column)
