"""`streamlets graph B`: a blueprint's streamlets and the topics between them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.output import print_json, width


@click.command()
@blueprint_argument
@click.option(
    "--format",
    "--output",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "svg", "json"]),
    default="text",
    show_default=True,
    help="How to print it: as text, for Mermaid (in Markdown), for Graphviz, as a picture, as one JSON object.",
)
def graph(blueprint: Path, overlays: tuple[Path, ...], form: str) -> None:
    """Draw the streamlets of a BLUEPRINT in the order that events take, with the topics between them."""
    from blueprints.graph import as_json, as_text

    plan = load_plan(blueprint, overlays)
    if form == "json":
        print_json(as_json(plan))
        return
    if form == "mermaid":
        from blueprints.mermaid import as_mermaid

        click.echo(as_mermaid(plan), nl=False)
        return
    if form == "svg":
        from blueprints.svg import as_svg

        click.echo(as_svg(plan), nl=False)
        return
    if form == "dot":
        from blueprints.dot import as_dot

        click.echo(as_dot(plan), nl=False)
        return
    encoding = sys.stdout.encoding or "ascii"
    is_ascii = "─┌▶·".encode(encoding, "replace").count(b"?") > 0
    click.echo(as_text(plan, width(), is_ascii), nl=False)
