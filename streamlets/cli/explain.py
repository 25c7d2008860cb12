"""`streamlets explain CODE`: what a problem's code means, with a bad and a good example."""

from __future__ import annotations

import dataclasses
import sys
import textwrap

import click

from streamlets.cli.output import colours, output_option, print_json, width


@click.command()
@click.argument("code", required=False)
@output_option
def explain(code: str | None, output: str) -> None:
    """Say what the CODE of a problem means: its cause, a bad and a good example. Without CODE, list them all."""
    from blueprints.lint.explain import pages
    from blueprints.suggest import did_you_mean

    found = pages()
    if code is None:
        if output == "json":
            print_json([dataclasses.asdict(page) for page in found.values()])
            return
        longest = max(map(len, found))
        for page in found.values():
            first = page.cause.partition(". ")[0].rstrip(".")
            line = f"{page.code:<{longest}}  {first}"
            click.echo(line if len(line) <= width() else f"{line[: width() - 1]}…")
        return
    code = code.strip().lower()
    if code not in found:
        hint = did_you_mean(code, found) or "; 'streamlets explain' lists the codes"
        raise click.UsageError(f"there is no code '{code}'{hint}")
    page = found[code]
    if output == "json":
        print_json(dataclasses.asdict(page))
        return
    in_colour = colours(sys.stdout)
    click.echo(click.style(page.code, bold=True) if in_colour else page.code)
    click.echo()
    paragraphs = page.cause.replace("`", "").split("\n\n")
    click.echo("\n\n".join(textwrap.fill(paragraph, min(width(), 100)) for paragraph in paragraphs))
    if page.is_online:
        click.echo()
        click.echo(
            "Found by `streamlets verify --online`, which asks the model servers and looks into the log."
        )
    for title, hue, text in (("Bad:", "red", page.bad), ("Good:", "green", page.good)):
        click.echo()
        click.echo(click.style(title, fg=hue) if in_colour else title)
        click.echo(textwrap.indent(text.rstrip(), "    "))
