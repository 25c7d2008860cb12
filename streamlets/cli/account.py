"""`streamlets account`: are all events there? Counts them anew; fails on a difference."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamlets.cli.application import components, on_option, open_transport
from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.output import output_option

if TYPE_CHECKING:
    from streamlets.engine.account import Account

FATES = ("out", "filtered", "dead-lettered", "shed", "expired", "failed")


@click.command(short_help="Count the events: is one missing?")
@blueprint_argument
@on_option
@output_option
def account(blueprint: Path, on: str, overlays: tuple[Path, ...], output: str) -> None:
    """Count the events of BLUEPRINT's application anew and compare: in = out + filtered + dead-lettered + … + open.

    May be asked while it runs. Exit code 1 when an event is missing, stands twice or was made up.
    """
    plan = load_plan(blueprint, overlays)

    async def count() -> Account:
        from streamlets.engine.account import account

        transport = open_transport(on, plan, is_worker=False)
        await transport.start()
        try:
            return await account(plan, transport, components(plan))
        finally:
            await transport.close()

    found = asyncio.run(count())
    if output == "json":
        import orjson

        from streamlets.engine.account import as_json

        click.echo(orjson.dumps(as_json(found)).decode())
    else:
        click.echo(as_text(found))
    sys.exit(0 if found.is_balanced else 1)


def as_text(account: Account) -> str:
    """Return the account as lines: one a streamlet, what differs below it, the verdict last."""
    shown = [f for f in FATES if f == "out" or any(line.fates.get(f) for line in account.lines)]
    width = max([len("streamlet"), *(len(line.streamlet) for line in account.lines)])
    heads = ["in", *shown, "open"]
    columns = [max(len(head), 9) for head in heads]
    lines = [
        "streamlet".ljust(width) + "".join(f"  {h.rjust(c)}" for h, c in zip(heads, columns)) + "  emitted"
    ]
    for line in account.lines:
        numbers = [line.n_in, *(line.fates.get(f, 0) for f in shown), line.n_open]
        emitted = ", ".join(f"{port} {n}" for port, n in sorted(line.emitted.items()))
        cells = "".join(f"  {str(n).rjust(c)}" for n, c in zip(numbers, columns))
        lines.append(f"{line.streamlet.ljust(width)}{cells}  {emitted}".rstrip())
        lines += [f"  differs: {text}" for text in line.differences]
        lines += [f"  gone: {text}" for text in line.gone]
    verdict = "every event is accounted for" if account.is_balanced else "the account does NOT balance"
    lines.append(f"{account.missing} missing: {verdict}")
    return "\n".join(lines)
