"""`streamlets schema`: the JSON Schema of blueprints, for editors."""

from __future__ import annotations

import click

from streamlets.cli.blueprint import catalog
from streamlets.cli.output import print_json


@click.command()
@click.option("--tests", is_flag=True, help="The schema of test files, NAME_test.yaml, instead.")
@click.option("--output", type=click.Choice(["json"]), default="json", help="JSON, which is all there is.")
def schema(tests: bool, output: str) -> None:
    """Print the JSON Schema of blueprints, with the options of every streamlet that is installed.

    Editors complete and check by it from a first line `# yaml-language-server: $schema=blueprint.schema.json`.
    """
    if tests:
        from blueprints.case_fields import cases_schema

        print_json(cases_schema())
        return
    from blueprints.schema import blueprint_schema

    print_json(blueprint_schema(catalog()))
