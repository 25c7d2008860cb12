"""`filter`: what the condition lets through, and what becomes of an event it cannot judge."""

from __future__ import annotations

from typing import Any

import pytest

from streamlets.builtin.filter import Filter
from streamlets.engine.virtual import virtual_run
from streamlets.event import Delivery, Headers
from streamlets.ports import Outcome
from tests.contexts import batch, context, delivery, numbered, raw


def run(where: str, deliveries: list[Delivery]) -> Outcome:
    return virtual_run(Filter(Filter.Options(where=where), context()).process(batch(deliveries)))


def test_events_pass_unchanged_where_the_condition_is_true() -> None:
    given = numbered([{"d": 400, "c": "UA"}, {"d": 900, "c": "UA"}, {"d": 900, "c": "AA"}])
    outcome = run("d > 500 && c == 'UA'", given)
    (emit,) = outcome.emits
    assert (emit.parent, emit.data, emit.copies, emit.type) == (1, given[1].value, True, None)
    assert outcome.filtered == [0, 2]


def test_nested_fields_and_absent_ones_can_be_asked_for() -> None:
    outcome = run(
        "has(w.temp) && w.temp > 30.0", numbered([{"w": {"temp": 31.5}}, {"w": {}}, {"w": {"temp": 1}}])
    )
    assert [emit.parent for emit in outcome.emits] == [0]
    assert outcome.filtered == [1, 2]


@pytest.mark.parametrize(
    ("where", "data", "says"),
    [
        ("distance > 500", {"n": 1}, "the condition 'distance > 500' fails: there is no field 'distance'"),
        ("n > 500", {"n": "hunter2"}, "the condition 'n > 500' fails: "),
        ("n", {"n": "hunter2"}, "the condition 'n' gives a str, not true or false"),
        ("n.deep == 1", {"n": {"hunter2": 1}}, "the condition 'n.deep == 1' fails: "),
        ("100 / n == 1", {"n": 0}, "the condition '100 / n == 1' fails: "),
    ],
)
def test_an_event_that_cannot_be_judged_is_a_dead_letter_and_its_neighbours_go_on(
    where: str, data: dict[str, Any], says: str
) -> None:
    outcome = run(where, numbered([data, {"n": 100, "distance": 1000}]))
    assert (outcome.dead[0].index, outcome.dead[0].code) == (0, "bad-expression")
    assert says in outcome.dead[0].reason
    assert "hunter2" not in outcome.dead[0].reason


def test_a_null_can_be_asked_for() -> None:
    outcome = run("d != null && d > 1", numbered([{"d": None}, {"d": 1}, {"d": 2.5}]))
    assert ([emit.parent for emit in outcome.emits], outcome.dead) == ([2], [])


def test_the_attributes_of_the_event_can_be_asked_for_whatever_its_data_are() -> None:
    given = [
        delivery(0, b"\xff", type="a", datacontenttype="application/octet-stream"),
        delivery(1, {"n": 1}, type="b", subject="x", extensions={"tenant": "t"}),
        delivery(2, {"n": 2}, type="b"),
    ]
    for where, passed in (
        ("event.type == 'a'", [0]),
        ("has(event.subject) && event.subject == 'x'", [1]),
        ("has(event.tenant)", [1]),
        ("event.id in ['0', '2']", [0, 2]),
    ):
        outcome = run(where, given)
        assert ([emit.parent for emit in outcome.emits], outcome.dead) == (passed, [])
    outcome = run("event.type == 'b' && n > 1", given)
    assert [emit.parent for emit in outcome.emits] == [2]
    assert [(dead.index, dead.code) for dead in outcome.dead] == [(0, "against-contract")]
    assert run("event.subject == 'x'", given).dead[0].reason.endswith("there is no field 'subject'")


@pytest.mark.parametrize("data", [b"[1]", b"{", b"", b'"x"', b'{"n":NaN}', b"\xff"])
def test_data_that_are_no_json_object_are_a_dead_letter(data: bytes) -> None:
    (dead,) = run("n > 1", numbered([data])).dead
    assert (dead.code, dead.reason) == ("against-contract", "the data are no JSON object")


def test_a_tombstone_is_a_dead_letter() -> None:
    assert [dead.code for dead in run("true", [raw(0, None, [])]).dead] == ["against-contract"]


def test_a_structured_event_is_judged_by_its_data() -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":7}}'
    headers: Headers = [("content-type", b"application/cloudevents+json")]
    assert run("n == 7", [raw(0, value, headers)]).emits[0].data == b'{"n":7}'


def test_a_whole_number_in_a_number_field_is_a_number() -> None:
    contract = {"properties": {"temp": {"type": "number"}, "n": {"type": "integer"}}}
    given = numbered([{"temp": 3, "n": 7}, {"temp": 3.0, "n": 7.0}, {"temp": 1, "n": 7}])
    where = "temp / 2.0 > 1 && temp > 2 && n / 2 == 3 && event.data.temp * 1.0 == temp"
    for options in (where, f"({where}) && event.id != ''"):
        streamlet = Filter(Filter.Options(where=options), context(contracts={"in": (contract,)}))
        outcome = virtual_run(streamlet.process(batch(given)))
        assert ([emit.parent for emit in outcome.emits], outcome.dead) == ([0, 1], [])


def test_a_field_at_the_top_can_be_asked_for_by_the_data_of_the_event() -> None:
    outcome = run("has(event.data.d) && d > 1", numbered([{"d": 2}, {}, {"d": 0}]))
    assert ([emit.parent for emit in outcome.emits], outcome.dead) == ([0], [])
    outcome = run("event.data['a-b'] == 1 && event.type == 'test'", numbered([{"a-b": 1}, {"a-b": 2}]))
    assert ([emit.parent for emit in outcome.emits], outcome.dead) == ([0], [])
    outcome = run("size(event.data) == 2", numbered([[1, 2], [1]]))
    assert ([emit.parent for emit in outcome.emits], outcome.dead) == ([0], [])
