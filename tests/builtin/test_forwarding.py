"""What a streamlet passes on is the event as it came, in whatever mode it came; run whole, over the simulated log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamlets.builtin.filter import Filter
from streamlets.engine.virtual import virtual_run
from streamlets.event import Event, Record, decode, encode, encode_structured
from streamlets.functions import Function
from tests.engine.application import Application, plan, topic

EVENT = Event(
    id="1",
    source="/shop",
    type="order",
    data=b'{"n":7}',
    datacontenttype="application/vnd.order+json",
    subject="o-1",
    time="2013-01-01T05:15:00Z",
    dataschema="/schemas/order",
    extensions={"tenant": "a", "correlationid": "c-1"},
    key=b"k",
)


def through(made_by: Any, options: dict[str, Any], records: list[Record]) -> list[Event]:
    async def main() -> list[Event]:
        topics = [topic("orders", (), ("it.in",)), topic("passed", ("it.out",))]
        made = plan(["it"], topics)
        made = replace(made, streamlets={"it": replace(made.streamlets["it"], options=options)})
        app = Application(made, {"it": made_by})
        await app.worker()
        await app.transport().append(records)
        ended = await app.until_idle()
        assert ended.exit_code == 0
        assert await app.read("dead-letters") == []
        return [decode(delivery) for delivery in await app.read("passed")]

    return virtual_run(main())


def records() -> list[Record]:
    return [
        Record("app.orders", 0, *encode(EVENT)),
        Record("app.orders", 0, *encode_structured(EVENT)),
        Record("app.orders", 0, b"k", b'{"n":7}', [], 1_357_017_300_000),
    ]


def test_a_filtered_event_keeps_all_its_attributes_in_either_mode() -> None:
    binary, structured, plain = through(Filter, {"where": "n == 7"}, records())
    for event in (binary, structured):
        given = {**EVENT.extensions, "causationid": "1"}
        assert {name: event.extensions[name] for name in given} == given
        assert (event.type, event.subject, event.time) == (EVENT.type, EVENT.subject, EVENT.time)
        assert (event.data, event.datacontenttype, event.dataschema) == (
            EVENT.data,
            EVENT.datacontenttype,
            EVENT.dataschema,
        )
        assert event.key == b"k"
    assert (plain.type, plain.time) == ("dev.knative.kafka.event", "2013-01-01T05:15:00.000Z")


def same(event: Event) -> Event:
    return event


def test_an_event_returned_as_it_is_keeps_its_attributes_and_gets_a_trace_of_its_own() -> None:
    binary, structured, _ = through(Function(same), {}, records())
    for event in (binary, structured):
        assert (event.type, event.subject, event.data) == (EVENT.type, EVENT.subject, EVENT.data)
        assert event.dataschema == EVENT.dataschema
        assert (event.extensions["tenant"], event.extensions["correlationid"]) == ("a", "c-1")
        assert event.extensions["causationid"] == "1"
        assert event.id != "1"
