"""Functions as streamlets: what their hints mean, and that no event ever touches its neighbours."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import BaseModel, Field

from streamlets.engine.virtual import virtual_run
from streamlets.errors import Broken, Fatal, Rejected, Unavailable
from streamlets.event import Delivery, Event, Headers
from streamlets.functions import CONCURRENCY, Function
from streamlets.ports import Outcome, Streamlet
from streamlets.shape import NotAStreamlet
from tests.contexts import batch, context, delivery, numbered, raw


class In(BaseModel):
    n: int


class Out(BaseModel):
    twice: int = Field(le=1_000_000)


def run(function: Callable[..., Any], deliveries: list[Delivery], **given: Any) -> Outcome:
    async def main() -> Outcome:
        streamlet = Function(function)(Function.Options(), context("it", **given))
        assert isinstance(streamlet, Streamlet)
        return await streamlet.process(batch(deliveries))

    return virtual_run(main())


def ns(*numbers: int) -> list[Delivery]:
    return numbered({"n": number} for number in numbers)


def twice(outcome: Outcome) -> list[tuple[int, int]]:
    return [(emit.parent, orjson.loads(emit.data or b"")["twice"]) for emit in outcome.emits]


def codes(outcome: Outcome) -> list[tuple[int, str]]:
    return [(dead.index, dead.code) for dead in outcome.dead]


# What hints mean


def test_each_event_goes_in_and_its_result_out_in_order() -> None:
    def double(event: In) -> Out:
        return Out(twice=2 * event.n)

    outcome = run(double, ns(1, 2, 3))
    assert twice(outcome) == [(0, 2), (1, 4), (2, 6)]
    assert (outcome.dead, outcome.filtered) == ([], [])


def test_none_is_filtered_out() -> None:
    def odd(event: In) -> Out | None:
        return Out(twice=2 * event.n) if event.n % 2 else None

    outcome = run(odd, ns(1, 2, 3))
    assert twice(outcome) == [(0, 2), (2, 6)]
    assert outcome.filtered == [1]


def test_a_function_without_a_result_is_a_sink() -> None:
    seen = []

    def note(event: In) -> None:
        seen.append(event.n)

    assert Function(note).outlets == ()
    outcome = run(note, ns(1, 2))
    assert (seen, outcome.emits, outcome.dead, outcome.filtered) == ([1, 2], [], [], [])


def test_a_result_that_has_no_outlet_is_not_dropped_in_silence() -> None:
    def forgetful(event: In):  # type: ignore[no-untyped-def]  # the hint is what is missing
        return event

    outcome = run(forgetful, ns(1))
    assert "give the function a return annotation" in outcome.dead[0].reason


def test_none_where_a_result_was_promised_is_broken() -> None:
    def double(event: In) -> Out:
        return None  # type: ignore[return-value]

    assert codes(run(double, ns(1))) == [(0, "against-contract")]


def test_an_async_function_is_awaited_concurrently_and_order_is_kept() -> None:
    async def main() -> tuple[Outcome, float]:
        given = context()

        async def slow(event: In) -> Out:
            await given.clock.sleep(1.0 / event.n)
            return Out(twice=2 * event.n)

        before = given.clock.monotonic_s()
        outcome = await Function(slow)(Function.Options(), given).process(batch(ns(*range(1, 21))))
        return outcome, given.clock.monotonic_s() - before

    outcome, took_s = virtual_run(main())
    assert twice(outcome) == [(i, 2 * i + 2) for i in range(20)]
    assert took_s == pytest.approx(1.0)


def test_concurrency_of_an_async_function_is_bounded() -> None:
    now = most = 0

    async def counted(event: In) -> Out:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)
        now -= 1
        return Out(twice=event.n)

    assert len(run(counted, ns(*range(300))).emits) == 300
    assert most == CONCURRENCY


def test_a_list_is_a_batch_aligned_by_position() -> None:
    def clean(rows: list[In]) -> list[Out | None]:
        return [Out(twice=2 * row.n) if row.n else None for row in rows]

    outcome = run(clean, ns(1, 0, 3))
    assert twice(outcome) == [(0, 2), (2, 6)]
    assert outcome.filtered == [1]


def test_an_async_function_of_a_batch_is_awaited_once() -> None:
    calls = []

    async def clean(rows: list[In]) -> list[Out]:
        calls.append(len(rows))
        await asyncio.sleep(0)
        return [Out(twice=row.n) for row in rows]

    assert len(run(clean, ns(1, 2, 3)).emits) == 3
    assert calls == [3]


def test_a_batch_sink_takes_all_and_emits_nothing() -> None:
    seen: list[int] = []

    def store(rows: list[In]) -> None:
        seen.extend(row.n for row in rows)

    outcome = run(store, ns(1, 2))
    assert (seen, outcome.emits, outcome.filtered) == ([1, 2], [], [])


def test_a_dict_is_a_json_object() -> None:
    def plain(event: dict[str, Any]) -> dict[str, Any]:
        return {"twice": event["n"] * 2}

    assert Function(plain).inlets[0].contract is None
    outcome = run(plain, [*ns(2), delivery(1, b"[1]"), delivery(2, b"{"), delivery(3, b'{"n":NaN}')])
    assert twice(outcome) == [(0, 4)]
    assert codes(outcome) == [(i, "against-contract") for i in (1, 2, 3)]


def test_bytes_go_through_as_they_lie_with_their_content_type() -> None:
    def same(data: bytes) -> bytes:
        return data

    outcome = run(same, [delivery(0, b"\xff\x00", datacontenttype="image/png")])
    assert (outcome.emits[0].data, outcome.emits[0].copies) == (b"\xff\x00", True)


def test_bytes_of_a_structured_event_are_its_data() -> None:
    def same(data: bytes) -> bytes:
        return data

    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}'
    headers: Headers = [("content-type", b"application/cloudevents+json")]
    assert run(same, [raw(0, value, headers)]).emits[0].data == b'{"a":1}'


def test_an_event_gives_its_attributes_and_the_engine_the_rest() -> None:
    def rename(event: Event) -> Event:
        extensions = {**event.extensions, "mine": "yes"}
        return Event(
            id="x", source="/x", type="renamed", data=event.data, extensions=extensions, key=event.key
        )

    given = delivery(0, type="t", key=b"k", extensions={"origin": "a/0/1", "correlationid": "c"})
    emit = run(rename, [given]).emits[0]
    assert (emit.type, emit.extensions) == ("renamed", {"mine": "yes", "correlationid": "c"})
    assert (emit.id, emit.key) == (None, None)  # taken over from the parent, and its partition with it


def test_a_returned_event_that_cannot_be_written_is_broken() -> None:
    def bad(event: Event) -> Event:
        return Event(id="x", source="/x", type="", data=None)

    assert "without type" in run(bad, [delivery(0)]).dead[0].reason


def test_partials_and_callable_objects_are_functions_too() -> None:
    def scaled(event: In, factor: int = 1) -> Out:
        return Out(twice=event.n * factor)

    class Scale:
        def __call__(self, event: In) -> Out:
            return Out(twice=event.n)

    assert twice(run(functools.partial(scaled, factor=5), ns(2))) == [(0, 10)]
    assert twice(run(Scale(), ns(2))) == [(0, 2)]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(x): ...", "function f has no type hint for 'x'; write one"),
        ("def f(x: int, y: int): ...", "takes 2 arguments; it must take one"),
        ("def f(): ...", "takes 0 arguments; it must take one"),
        ("def f(*, x: int): ...", "takes 'x' by keyword only"),
        ("def f(x: Missing): ...", "has hints that cannot be read (name 'Missing' is not defined)"),
        ("def f(x: int):\n    yield x", "function f yields"),
        (
            "def f(x: list[int]) -> int: ...",
            "takes a list and returns int; return a list aligned by position",
        ),
        ("def f(x: int) -> list[int]: ...", "takes one event and returns list[int]"),
        ("def f(x: object()): ...", "has a hint that is no contract"),
    ],
)
def test_what_cannot_be_a_streamlet_says_why_and_what_to_write(source: str, says: str) -> None:
    scope: dict[str, Any] = {}
    exec(source, scope)
    with pytest.raises(NotAStreamlet) as caught:
        Function(scope["f"])
    assert says in str(caught.value)


def test_ports_carry_the_contracts_of_the_hints() -> None:
    def double(event: In) -> Out | None:
        return None

    shape = Function(double)
    (inlet,), (outlet,) = shape.inlets, shape.outlets
    assert inlet.contract is not None
    assert outlet.contract is not None
    assert (inlet.name, inlet.contract.name) == ("in", "In")
    assert (outlet.name, outlet.contract.name, outlet.required) == ("out", "Out", True)


# What one event does to the others


def test_an_event_against_its_contract_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    def double(event: In) -> Out:
        return Out(twice=2 * event.n)

    outcome = run(double, numbered([{"n": 1}, {"n": "hunter2"}, b"{", {"n": 4}]))
    assert twice(outcome) == [(0, 2), (3, 8)]
    assert codes(outcome) == [(1, "against-contract"), (2, "against-contract")]
    assert "n: " in outcome.dead[0].reason
    assert "hunter2" not in outcome.dead[0].reason


def sync_double(event: In) -> Out:
    if event.n < 0:
        raise KeyError("hunter2")
    return Out(twice=2 * event.n)


async def async_double(event: In) -> Out:
    await asyncio.sleep(0.01)
    return sync_double(event)


def batch_double(rows: list[In]) -> list[Out]:
    return [sync_double(row) for row in rows]


KINDS = pytest.mark.parametrize("function", [sync_double, async_double, batch_double])


@KINDS
@pytest.mark.parametrize("poison", [[0], [3], [7], [0, 7], [1, 2, 5]])
def test_an_event_that_breaks_the_function_is_a_dead_letter_and_its_neighbours_go_on(
    function: Callable[..., Any], poison: list[int]
) -> None:
    outcome = run(function, ns(*(-1 if i in poison else i for i in range(8))))
    assert twice(outcome) == [(i, 2 * i) for i in range(8) if i not in poison]
    assert codes(outcome) == [(i, "exception") for i in poison]
    assert all(dead.attempts >= 3 for dead in outcome.dead)


@KINDS
def test_a_reason_names_streamlet_exception_and_place_and_never_what_it_said(
    function: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path(__file__)
    monkeypatch.chdir(here.parent)
    lines = here.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if 'KeyError("hunter2")' in text)
    outcome = run(function, ns(1, -1), base_dir=Path("."))
    assert outcome.dead[0].reason == f"it: KeyError at {here.name}:{line}"


def test_a_model_that_the_function_cannot_fill_is_named_by_its_field() -> None:
    def double(event: In) -> Out:
        return Out(twice="hunter2" if event.n else 1)  # type: ignore[arg-type]

    reason = run(double, ns(1)).dead[0].reason
    assert "ValidationError at " in reason
    assert "twice: Input should be a valid integer" in reason
    assert "hunter2" not in reason


def test_a_result_against_its_contract_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    def double(event: In) -> Out:
        return Out.model_construct(twice=2_000_000 if event.n == 2 else event.n)

    outcome = run(double, ns(1, 2, 3))
    assert twice(outcome) == [(0, 1), (2, 3)]
    assert codes(outcome) == [(1, "against-contract")]


@KINDS
def test_every_event_poisoned_is_every_event_a_dead_letter(function: Callable[..., Any]) -> None:
    assert codes(run(function, ns(*[-1] * 9))) == [(i, "exception") for i in range(9)]


def failing(times: int, error: Exception) -> Callable[[In], Out]:
    left = {2: times}

    def sometimes(event: In) -> Out:
        if left.get(event.n, 0):
            left[event.n] -= 1
            raise error
        return Out(twice=2 * event.n)

    return sometimes


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("hunter2"),
        TimeoutError("hunter2"),
        OSError(5, "hunter2"),
        Unavailable("the service is away"),
        httpx.ConnectTimeout("hunter2"),
        httpx.HTTPStatusError(
            "hunter2", request=httpx.Request("GET", "http://x"), response=httpx.Response(503)
        ),
    ],
)
def test_an_outage_is_waited_out_and_no_event_is_lost(error: Exception) -> None:
    waited: list[str | None] = []
    outcome = run(failing(30, error), ns(1, 2, 3), waiting=waited.append)
    assert twice(outcome) == [(0, 2), (1, 4), (2, 6)]
    assert outcome.dead == []
    assert waited[-1] is None
    assert not any("hunter2" in (text or "") for text in waited)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("hunter2"),
        ValueError("hunter2"),
        httpx.HTTPStatusError(
            "hunter2", request=httpx.Request("GET", "http://x"), response=httpx.Response(400)
        ),
    ],
)
def test_what_is_no_outage_is_a_dead_letter(error: Exception) -> None:
    outcome = run(failing(1000, error), ns(1, 2, 3))
    assert codes(outcome) == [(1, "exception")]
    assert "hunter2" not in outcome.dead[0].reason


def test_a_transport_error_of_a_library_that_is_not_loaded_is_not_asked_for() -> None:
    assert "requests" not in sys.modules
    test_what_is_no_outage_is_a_dead_letter(ValueError())
    assert "requests" not in sys.modules


def test_a_failure_that_heals_is_no_failure() -> None:
    outcome = run(failing(2, ValueError()), ns(1, 2, 3))
    assert twice(outcome) == [(0, 2), (1, 4), (2, 6)]


def test_rejected_by_the_function_is_a_dead_letter_at_once_with_its_code() -> None:
    calls = []

    def picky(event: In) -> Out:
        calls.append(event.n)
        raise Rejected("not on the list", code="unlisted")

    outcome = run(picky, ns(1))
    assert [(d.code, d.reason, d.attempts) for d in outcome.dead] == [("unlisted", "not on the list", 1)]
    assert calls == [1]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_fatal_goes_through(asynchronous: bool) -> None:
    def fails(event: In) -> Out:
        raise Fatal("no key configured")

    async def fails_later(event: In) -> Out:
        raise Fatal("no key configured")

    with pytest.raises(Fatal, match="no key configured"):
        run(fails_later if asynchronous else fails, ns(1, 2))


def test_a_batch_of_the_wrong_length_is_broken() -> None:
    def short(rows: list[In]) -> list[Out]:
        return [Out(twice=row.n) for row in rows if row.n != 2]

    outcome = run(short, ns(1, 2, 3))
    assert twice(outcome) == [(0, 1), (2, 3)]
    assert codes(outcome) == [(1, "wrong-length")]


def test_input_that_the_function_spoiled_is_read_anew() -> None:
    left = [1]

    def spoils(event: In) -> Out:
        event.n += 100
        if left:
            left.pop()
            raise ValueError
        return Out(twice=event.n)

    assert twice(run(spoils, ns(1))) == [(0, 101)]


def test_a_function_that_cancels_itself_loses_nothing() -> None:
    async def odd(event: In) -> Out:
        if event.n == 2:
            raise asyncio.CancelledError
        return Out(twice=event.n)

    outcome = run(odd, ns(1, 2, 3))
    assert twice(outcome) == [(0, 1), (2, 3)]
    assert codes(outcome) == [(1, "exception")]


def test_cancellation_ends_what_is_under_way() -> None:
    ended = []

    async def hangs(event: In) -> Out:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(event.n)
        return Out(twice=1)

    async def main() -> None:
        task = asyncio.create_task(Function(hangs)(Function.Options(), context()).process(batch(ns(1, 2))))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_run(main())
    assert sorted(ended) == [1, 2]


def test_a_slow_plain_function_lets_others_have_a_turn() -> None:
    class Ticking:
        """A clock on which every look takes 15 ms."""

        at_s = 0.0
        turns = 0

        def monotonic_s(self) -> float:
            self.at_s += 0.015
            return self.at_s

        def now_s(self) -> float:
            return self.at_s

        async def sleep(self, seconds: float) -> None:
            self.turns += 1

    clock = Ticking()
    run(sync_double, ns(*range(100)), clock=clock)
    assert clock.turns >= 2


def test_an_iterator_of_results_is_not_a_list() -> None:
    def lazy(rows: list[In]) -> list[Out]:
        def each() -> Iterator[Out]:
            yield Out(twice=1)

        return each()  # type: ignore[return-value]

    outcome = run(lazy, ns(1))
    assert "returned a generator where a list was promised" in outcome.dead[0].reason


def test_broken_by_hand_is_tried_again_then_judged() -> None:
    outcome = run(failing(1000, Broken("the model gave nonsense", code="nonsense")), ns(1, 2, 3))
    assert codes(outcome) == [(1, "nonsense")]
