"""`streamlets new NAME`: a working application with its test, from which to go on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamlets.cli.blueprint import catalog
from streamlets.cli.output import output_option, print_json

BLUEPRINT = """\
# yaml-language-server: $schema=blueprint.schema.json
name: {name}
description: readings of sensors in, those that are too warm out

streamlets:
  readings: {{ use: file, with: {{ path: readings.jsonl }} }}
  features: {{ use: "features:features" }}
  warm: {{ use: filter, with: {{ where: "fahrenheit > 86.0" }} }}
  print: {{ use: console }}

topics:
  readings: {{ producers: [readings.out], consumers: [features.in] }}
  features: {{ producers: [features.out], consumers: [warm.in] }}
  warm: {{ producers: [warm.out], consumers: [print.in] }}
"""

FEATURES = '''\
"""Functions of the application. A function with type hints is a streamlet; its annotations are its contracts."""

from pydantic import BaseModel


class Reading(BaseModel):
    """What a sensor sends."""

    sensor: str
    celsius: float


class Features(BaseModel):
    """What is made of a reading."""

    sensor: str
    fahrenheit: float


def features(reading: Reading) -> Features | None:
    """Return the features of a reading; None for one below absolute zero, which is left out."""
    if reading.celsius < -273.15:
        return None
    return Features(sensor=reading.sensor, fahrenheit=reading.celsius * 9 / 5 + 32)
'''

TEST = """\
# yaml-language-server: $schema=blueprint-tests.schema.json
# Run by: streamlets test {name}.yaml
cases:
  - name: a warm reading is reported in degrees Fahrenheit
    given:
      readings:
        - {{ sensor: attic, celsius: 35.0 }}
    expect:
      features:
        - exact: {{ sensor: attic, fahrenheit: 95.0 }} # all of its data
      warm:
        - subset: {{ fahrenheit: 95.1 }} # some fields of it,
          within: 0.2 # numbers with a fraction about so
        # and a condition would be: cel: "fahrenheit > 90.0 && sensor == 'attic'"

  - name: a cool reading, and one below absolute zero, are not reported
    given:
      readings:
        - {{ sensor: cellar, celsius: 12.5 }}
        - {{ sensor: broken, celsius: -300.0 }}
    expect:
      features:
        - cel: "sensor == 'cellar' && event.type != ''"
      warm: none
      dead-letters: none

  - name: what is no reading becomes a dead letter, and the next is reported
    steps: # one after the other; `after: 5s` lets time pass
      - given: {{ readings: [{{ sensor: attic }}] }}
        expect:
          warm: none
          dead-letters:
            - subset: {{ streamlet: features, topic: readings, code: against-contract }}
      - given: {{ readings: [{{ sensor: attic, celsius: 36.5 }}] }}
        expect:
          warm: {{ count: 1, each: {{ cel: "fahrenheit > 86.0" }} }}
"""

READINGS = [
    ("cellar", 12.5),
    ("attic", 35.0),
    ("kitchen", 21.0),
    ("attic", 36.5),
    ("broken", -300.0),
    ("roof", 41.0),
]


@click.command()
@click.argument("name")
@output_option
def new(name: str, output: str) -> None:
    """Write a working application, in a new folder called NAME.

    It has a blueprint, a function, some events to begin with, tests, and the schemas that editors complete from.
    """
    from blueprints.case_fields import cases_schema
    from blueprints.lint.names import bad_label
    from blueprints.schema import blueprint_schema

    if problem := bad_label("an application's name", name):
        raise click.UsageError(problem)
    folder = Path(name)
    files = {
        f"{name}.yaml": BLUEPRINT.format(name=name),
        f"{name}_test.yaml": TEST.format(name=name),
        "features.py": FEATURES,
        "readings.jsonl": "".join(
            json.dumps({"sensor": sensor, "celsius": celsius}) + "\n" for sensor, celsius in READINGS
        ),
        "blueprint.schema.json": json.dumps(blueprint_schema(catalog()), indent=1) + "\n",
        "blueprint-tests.schema.json": json.dumps(cases_schema(), indent=1) + "\n",
    }
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, "utf-8")
    except FileExistsError as exc:
        message = f"'{name}' is there already, and nothing was changed; choose another name or remove it"
        raise click.ClickException(message) from exc
    except OSError as exc:
        raise click.ClickException(
            f"'{name}' cannot be written: {(exc.strerror or str(exc)).lower()}"
        ) from exc
    if output == "json":
        print_json({"folder": name, "files": sorted(files)})
        return
    for file in files:
        click.echo(f"wrote {folder / file}")
    click.echo(f"next: cd {name} && streamlets test {name}.yaml && streamlets run {name}.yaml --until-idle")
