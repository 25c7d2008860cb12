"""`streamlets dead-letters`: the events that could not be processed, and why."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlets.cli.application import on_option, open_transport
from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.inspect import _described
from streamlets.cli.output import output_option
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.event import Delivery

READ_EVENTS = 1_000


@click.group(short_help="Events that could not be processed, and why.")
def dead_letters() -> None:
    """Events that could not be processed, each with its reason, its place and its bytes."""


@dead_letters.command("list")
@blueprint_argument
@on_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@click.option("--streamlet", help="Of this streamlet only.")
@output_option
def list_(
    blueprint: Path, on: str, overlays: tuple[Path, ...], limit: int, streamlet: str | None, output: str
) -> None:
    """List dead letters of BLUEPRINT, the newest last: no payload is shown."""
    plan = load_plan(blueprint, overlays)
    found, n = asyncio.run(_newest(plan, on, limit, streamlet))
    rows = [_row(delivery) for delivery in found]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['letter']}  {row['streamlet']}  {row['code']}  {row['place']}  {row['reason']}")
    click.echo(
        f"{n} dead letter{'s' * (n != 1)}" + (f", the newest {len(rows)} shown" if n > len(rows) else "")
    )
    if rows:
        click.echo(
            f"one whole, with its bytes: streamlets dead-letters show {blueprint} {rows[-1]['letter']}"
        )


@dead_letters.command("show")
@blueprint_argument
@on_option
@click.argument("letter")
@output_option
def show(blueprint: Path, on: str, overlays: tuple[Path, ...], letter: str, output: str) -> None:
    """Show one dead letter whole, payload included. LETTER is PARTITION/OFFSET, as `list` prints it."""
    plan = load_plan(blueprint, overlays)
    partition, _, offset = letter.partition("/")
    if not (partition.isdigit() and offset.isdigit()):
        raise Fatal(f"{letter!r} is no PARTITION/OFFSET", code="bad-value", hint="such as 0/17", exit_code=64)
    delivery = asyncio.run(_one(plan, on, int(partition), int(offset)))
    if delivery is None:
        raise Fatal(
            f"there is no dead letter {letter}",
            code="no-dead-letter",
            hint=f"streamlets dead-letters list {blueprint}",
        )
    from streamlets.formats.format import Channels

    described = {**_row(delivery), **_described(delivery, Channels(plan))}
    if output == "json":
        click.echo(json.dumps(described))
        return
    for name, value in described.items():
        if name == "attributes":
            click.echo("attributes:")
            for attribute, text in value.items():
                click.echo(f"  {attribute}: {text}")
        else:
            click.echo(f"{name}: {value}")


def _row(delivery: Delivery) -> dict[str, Any]:
    def of(name: str) -> str | None:
        return delivery.header(f"deadletter-{name}")

    place = of("origin") or "/".join(str(of(part)) for part in ("topic", "partition", "offset"))
    return {
        "letter": f"{delivery.partition}/{delivery.offset}",
        "streamlet": of("streamlet"),
        "code": of("code"),
        "reason": of("reason"),
        "attempts": int(of("attempts") or 1),
        "model": of("model"),
        "place": place,
        "id": delivery.header("ce_id"),
        "time": of("time"),
    }


async def _newest(plan: Plan, on: str, limit: int, streamlet: str | None) -> tuple[list[Delivery], int]:
    from streamlets.transports.transport import TopicPartition

    transport = open_transport(on, plan, is_worker=False)
    await transport.start()
    try:
        found: list[Delivery] = []
        n = 0
        topic = plan.dead_letters.log_name
        for partition, (first, end) in (await transport.offsets(topic)).items():
            while first < end:
                deliveries = await transport.read(TopicPartition(topic, partition), first, READ_EVENTS, end)
                if not deliveries:
                    break
                first = deliveries[-1].offset + 1
                wanted = [
                    d
                    for d in deliveries
                    if streamlet is None or d.header("deadletter-streamlet") == streamlet
                ]
                n += len(wanted)
                found = (found + wanted)[-limit:]
        return found, n
    finally:
        await transport.close()


async def _one(plan: Plan, on: str, partition: int, offset: int) -> Delivery | None:
    from streamlets.transports.transport import TopicPartition

    transport = open_transport(on, plan, is_worker=False)
    await transport.start()
    try:
        where = TopicPartition(plan.dead_letters.log_name, partition)
        found = await transport.read(where, offset, 1, offset + 1)
        return found[0] if found else None
    finally:
        await transport.close()
