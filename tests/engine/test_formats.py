"""Topics in Avro and Protobuf under the engine: JSON inside, the format in the log, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from blueprints.contracts.avro import parse_avro
from blueprints.contracts.avro_json import avro_json_schema
from blueprints.contracts.protobuf_json import protobuf_json_schema
from blueprints.plan import ContractPlan
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Fatal
from streamlets.event import Delivery, Record
from streamlets.formats.avro import AvroFormat
from streamlets.formats.format import Channels
from streamlets.formats.protobuf import ProtobufFormat
from streamlets.ports import Batch, Context, DeadLetter, Emit, Inlet, Outcome, Outlet
from tests.engine.application import Application, plan, topic
from tests.formats.proto_files import HEAD, compiled, message

SCHEMA = {"type": "record", "name": "Number", "fields": [{"name": "n", "type": "long"}]}
PROTO = HEAD + "message Number { int64 n = 1; }"
AVRO = ContractPlan("number", "avro", "number.avsc", avro_json_schema(parse_avro(SCHEMA)), definition=SCHEMA)
PROTOBUF = ContractPlan(
    "number-p",
    "protobuf",
    "number.proto",
    protobuf_json_schema(message(PROTO)),
    definition=compiled(PROTO),
    message="flights.Number",
)
AS_AVRO = {"contract": AVRO, "format": "avro"}
AS_PROTOBUF = {"contract": PROTOBUF, "format": "protobuf"}
ONE = AvroFormat(SCHEMA).encode({"n": 1})
TWO = AvroFormat(SCHEMA).encode({"n": 2})


class Forward:
    """Forwards its events as they came."""

    inlets = (Inlet("in"),)
    outlets = (Outlet("out"),)

    def __init__(self, options: Any, context: Context) -> None:
        pass

    async def process(self, batch: Batch) -> Outcome:
        return Outcome(emits=[Emit("out", d.value, i, copies=True) for i, d in enumerate(batch.deliveries)])


class Strange(Forward):
    """Emits what the topic's schema does not have for every even number."""

    async def process(self, batch: Batch) -> Outcome:
        emits = []
        for i, delivery in enumerate(batch.deliveries):
            n = json.loads(delivery.value or b"")["n"]
            emits.append(Emit("out", b'{"m":"secret"}' if n % 2 == 0 else delivery.value, i))
        return Outcome(emits=emits)


class Refuse(Forward):
    """Refuses everything."""

    async def process(self, batch: Batch) -> Outcome:
        return Outcome(dead=[DeadLetter(i, "refused", "no") for i in range(len(batch.deliveries))])


class Announcing(Forward):
    """Announces what its topic's schema does not have, of itself."""

    def __init__(self, options: Any, context: Context) -> None:
        self._announce = context.announce

    async def set_up(self) -> None:
        self._announce(Emit("out", b'{"m":1}', id="a" * 32))


def application(kind: type, into: dict[str, Any], **of: Any) -> Application:
    topics = [topic("numbers", consumers=["work.in"], **of), topic("copies", producers=["work.out"], **into)]
    return Application(plan(["work"], topics), {"work": kind})


async def put(app: Application, *values: bytes, **headers: bytes) -> None:
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    for number, value in enumerate(values):
        app.log.append(Record("app.numbers", 0, b"k%d" % number, value, list(given)))


async def run(app: Application) -> tuple[list[Delivery], list[Delivery]]:
    """Return what came out and the dead letters, as they lie in the log."""
    await app.until_idle()
    return await app.read("copies"), await app.read("dead-letters")


def test_avro_comes_in_and_protobuf_goes_out() -> None:
    async def main() -> None:
        app = application(Forward, AS_PROTOBUF, **AS_AVRO)
        await app.worker()
        await put(app, ONE, TWO, content_type=b"application/avro")
        out, dead = await run(app)
        assert [ProtobufFormat(compiled(PROTO), "Number").decode(d.value or b"") for d in out] == [
            b'{"n":1}',
            b'{"n":2}',
        ]
        assert [d.header("content-type") for d in out] == ["application/protobuf"] * 2
        assert dead == []

    virtual_run(main())


def test_what_is_forwarded_in_the_same_format_keeps_its_very_bytes() -> None:
    number = AvroFormat(SCHEMA)
    odd = b"\x82\x00"  # the number 1 in more bytes than it needs: a writer that encoded it anew would shorten it
    assert number.decode(odd) == b'{"n":1}'

    async def main() -> None:
        app = application(Forward, AS_AVRO, **AS_AVRO)
        await app.worker()
        await put(app, odd)
        out, _ = await run(app)
        assert [d.value for d in out] == [odd]
        assert out[0].header("content-type") == "application/avro"

    virtual_run(main())


def test_bytes_that_cannot_be_decoded_are_a_dead_letter_as_they_came() -> None:
    async def main() -> None:
        app = application(Forward, {}, **AS_AVRO)
        await app.worker()
        await put(app, ONE, b"\xff", b"\x00\x00\x00\x00\x07\x02", TWO, content_type=b"application/avro")
        out, dead = await run(app)
        assert [d.value for d in out] == [b'{"n":1}', b'{"n":2}']
        assert [d.header("content-type") for d in out] == ["application/json"] * 2
        assert [d.value for d in dead] == [b"\xff", b"\x00\x00\x00\x00\x07\x02"]
        assert [d.header("content-type") for d in dead] == ["application/avro"] * 2
        assert [d.header("deadletter-reason") for d in dead] == [
            "against contract number: n: the data end too early",
            "against contract number: 5 bytes more than the schema has; "
            "it may have a schema registry's framing, which is not read",
        ]

    virtual_run(main())


def test_an_event_that_fails_later_is_a_dead_letter_with_its_own_bytes() -> None:
    async def main() -> None:
        app = application(Refuse, {}, **AS_AVRO)
        await app.worker()
        await put(app, ONE, content_type=b"application/avro", ce_note=b"x")
        _, (letter,) = await run(app)
        assert (letter.value, letter.key) == (ONE, b"k0")
        assert letter.header("content-type") == "application/avro"
        shown = Channels(app.plan).shown(letter, letter.header("deadletter-topic"))
        assert shown.value == b'{"n":1}'

    virtual_run(main())


def test_an_emit_that_does_not_fit_makes_its_event_a_dead_letter_and_the_rest_goes_on() -> None:
    async def main() -> None:
        app = application(Strange, AS_AVRO)
        await app.worker()
        await app.put("numbers", [{"n": 1}, {"n": 2}, {"n": 3}])
        out, dead = await run(app)
        assert [d.value for d in out] == [ONE, AvroFormat(SCHEMA).encode({"n": 3})]
        assert [d.value for d in dead] == [b'{"n":2}']
        reason = dead[0].header("deadletter-reason") or ""
        assert "against contract number: n: is missing" in reason
        assert "secret" not in reason

    virtual_run(main())


def test_what_stems_from_no_event_and_does_not_fit_stops_the_stage_and_says_why() -> None:
    async def main() -> None:
        app = application(Announcing, AS_AVRO)
        worker = await app.worker()
        ended = await asyncio.wait_for(worker.run(), 60)
        assert ended.exit_code == Fatal("").exit_code
        assert (
            "what it emits to out cannot be written: against contract number: n: is missing"
            in ended.causes[0]
        )

    virtual_run(main())


def test_a_structured_event_has_its_data_in_the_format_too() -> None:
    async def main() -> None:
        app = application(Forward, {}, **AS_AVRO)
        await app.worker()
        whole = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
        good = {**whole, "datacontenttype": "application/avro", "data_base64": "Ag=="}
        await put(
            app, json.dumps(good).encode(), json.dumps({**whole, "data": {"n": 1}}).encode(),
            content_type=b"application/cloudevents+json",
        )  # fmt: skip
        out, dead = await run(app)
        assert [d.value for d in out] == [b'{"n":1}']
        assert [d.header("deadletter-reason") for d in dead] == [
            "against contract number: it says that its data are application/json, not application/avro"
        ]

    virtual_run(main())


def test_a_tombstone_of_our_own_passes_and_one_from_outside_is_against_the_contract() -> None:
    async def main(is_external: bool) -> tuple[int, int]:
        app = application(Forward, {}, **AS_AVRO)
        numbers = replace(app.plan.topics["numbers"], external=is_external)
        app.plan = replace(app.plan, topics={**app.plan.topics, "numbers": numbers})
        await app.worker()
        app.log.append(Record("app.numbers", 0, b"k", None, []))
        out, dead = await run(app)
        return len(out), len(dead)

    assert virtual_run(main(False)) == (1, 0)
    assert virtual_run(main(True)) == (0, 1)


class Looks(Forward):
    """Emits what its table holds."""

    inlets = (Inlet("in"), Inlet("table", kind="table"))

    def __init__(self, options: Any, context: Context) -> None:
        self._table = context.tables["table"]

    async def process(self, batch: Batch) -> Outcome:
        entries = {key: json.loads(event.data or b"") for key, event in self._table.entries().items()}
        return Outcome(emits=[Emit("out", json.dumps(entries).encode(), 0)])


def test_a_table_in_another_format_is_read_as_json() -> None:
    async def main() -> None:
        topics = [
            topic("numbers", consumers=["work.in"]),
            topic("table", consumers=["work.table"], compacted=True, **AS_AVRO),
            topic("copies", producers=["work.out"]),
        ]
        app = Application(plan(["work"], topics), {"work": Looks})
        await app.worker()
        app.log.append(Record("app.table", 0, b"a", TWO, []))
        app.log.append(Record("app.table", 0, b"b", b"\xff", []))
        await put(app, b"{}")
        out, _ = await run(app)
        assert [json.loads(d.value or b"") for d in out] == [{"a": {"n": 2}}]

    virtual_run(main())


@pytest.mark.parametrize("of", [AS_AVRO, AS_PROTOBUF])
def test_a_key_is_computed_from_the_json_and_not_from_the_bytes(of: dict[str, Any]) -> None:
    async def main() -> None:
        app = application(Forward, {**of, "key": "n"})
        await app.worker()
        await app.put("numbers", [{"n": 7}])
        out, _ = await run(app)
        assert out[0].key == b"7"

    virtual_run(main())


class Both(Forward):
    """Forwards what comes in at either inlet."""

    inlets = (Inlet("in"), Inlet("other"))


def test_each_inlet_has_its_own_contract_and_its_own_format() -> None:
    async def main() -> None:
        topics = [
            topic("numbers", consumers=["work.in"], **AS_AVRO),
            topic("others", consumers=["work.other"]),
            topic("copies", producers=["work.out"]),
        ]
        app = Application(plan(["work"], topics), {"work": Both})
        await app.worker()
        await put(app, ONE, b"\xff")
        await app.put("others", [{"m": 1}])
        out, dead = await run(app)
        assert sorted(d.value or b"" for d in out) == [b'{"m":1}', b'{"n":1}']
        assert [d.value for d in dead] == [b"\xff"]

    virtual_run(main())
