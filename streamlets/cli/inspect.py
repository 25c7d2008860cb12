"""`streamlets inspect`: the events at a port, as they lie in its topic."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamlets.cli.application import on_option, open_transport
from streamlets.cli.blueprint import blueprint_argument, load_plan
from streamlets.cli.main import USAGE_EXIT
from streamlets.cli.output import output_option
from streamlets.errors import Fatal

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.event import Delivery
    from streamlets.formats.format import Channels
    from streamlets.transports.transport import Transport


@click.command(short_help="Show the events at a port.")
@blueprint_argument
@on_option
@click.argument("port")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="The most events shown.")
@click.option("--from", "first", type=click.Choice(["start", "end"]), default="end", show_default=True)
@click.option("--partition", type=click.IntRange(0), help="Of this partition only.")
@click.option("--follow", is_flag=True, help="Go on with what is appended, until Ctrl-C.")
@output_option
def inspect(
    blueprint: Path,
    on: str,
    overlays: tuple[Path, ...],
    port: str,
    limit: int,
    first: str,
    partition: int | None,
    follow: bool,
    output: str,
) -> None:
    """Show the events at PORT (such as score.out) or of a topic of BLUEPRINT, while it runs or not."""
    plan = load_plan(blueprint, overlays)
    topic = _topic(plan, port)
    asyncio.run(_inspect(plan, on, topic, limit, first, partition, follow, output))


def _topic(plan: Plan, port: str) -> str:
    from blueprints.suggest import did_you_mean

    known: dict[str, str] = {t.name: t.log_name for t in plan.topics.values()}
    known["dead-letters"] = plan.dead_letters.log_name
    for topic in plan.topics.values():
        for ref in (*topic.producers, *topic.consumers):
            known[str(ref)] = topic.log_name
    if port in known:
        return known[port]
    raise Fatal(
        f"there is no connected port or topic {port!r} in {plan.path}{did_you_mean(port, known)}",
        code="unknown-port",
        exit_code=USAGE_EXIT,
    )


async def _inspect(
    plan: Plan, on: str, topic: str, limit: int, first: str, partition: int | None, follow: bool, output: str
) -> None:
    from streamlets.formats.format import Channels

    channels = Channels(plan)
    transport = open_transport(on, plan, is_worker=False)
    await transport.start()
    try:
        positions: dict[int, int] = {}
        found: list[Delivery] = []
        for number, (start, end) in (await transport.offsets(topic)).items():
            if partition is not None and number != partition:
                continue
            begin = start if first == "start" else max(start, end - limit)
            found += await _read(transport, topic, number, begin, limit, end)
            positions[number] = end
        if partition is not None and partition not in positions:
            raise Fatal(
                f"{topic} has no partition {partition}", code="unknown-partition", exit_code=USAGE_EXIT
            )
        found.sort(key=lambda d: (d.timestamp_ms, d.partition, d.offset))
        found = found[:limit] if first == "start" else found[-limit:]
        if output == "json" and not follow:
            click.echo(json.dumps([_described(d, channels) for d in found]))
            return
        for delivery in found:
            _show(delivery, output, channels)
        while follow:
            await transport.wait(1.0, [topic])
            for number, (_, end) in (await transport.offsets(topic)).items():
                if number in positions and end > positions[number]:
                    for delivery in await _read(transport, topic, number, positions[number], 1_000, end):
                        _show(delivery, output, channels)
                        positions[number] = delivery.offset + 1
    finally:
        await transport.close()


async def _read(
    transport: Transport, topic: str, partition: int, first: int, limit: int, end: int
) -> list[Delivery]:
    from streamlets.transports.transport import TopicPartition

    return await transport.read(TopicPartition(topic, partition), first, limit, end)


def _show(delivery: Delivery, output: str, channels: Channels) -> None:
    described = _described(delivery, channels)
    if output == "json":
        click.echo(json.dumps(described))
        return
    attributes = " ".join(f"{k}={v}" for k, v in described["attributes"].items() if k not in ("specversion",))
    click.echo(f"{delivery.topic}/{delivery.partition}/{delivery.offset} key={described['key']} {attributes}")
    click.echo(f"  {described['data']}")


def _described(delivery: Delivery, channels: Channels) -> dict[str, Any]:
    """Return a delivery for people: data of another format as JSON, bytes that are no text as hexadecimal digits.

    A dead letter is read as its topic's events are, where they can be.
    """
    shown = channels.shown(delivery, delivery.header("deadletter-topic"))
    attributes = {}
    for name, value in delivery.headers:
        attributes[name.removeprefix("ce_")] = _text(value)
    return {
        "topic": delivery.topic,
        "partition": delivery.partition,
        "offset": delivery.offset,
        "timestamp_ms": delivery.timestamp_ms,
        "key": None if delivery.key is None else _text(delivery.key),
        "attributes": attributes,
        "data": None if shown.value is None else _text(shown.value),
    }


def _text(value: bytes | None) -> str:
    if value is None:
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value[:64].hex()} ({len(value)} bytes, not UTF-8)"
