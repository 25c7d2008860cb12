"""What a topic's `key` makes of an event."""

from __future__ import annotations

from typing import Any

import pytest

from streamlets.engine.keys import key_of
from streamlets.errors import Rejected
from streamlets.event import Headers
from tests.engine.application import topic

HEADERS: Headers = [
    ("ce_id", b"1"), ("content-type", b"application/json"), ("ce_specversion", b"1.0"), ("ce_subject", b"gate/7"),
]  # fmt: skip


def key(text: str, data: bytes | None, schemas: Any = ()) -> bytes | None:
    found = key_of(topic("t", key=text, schemas=tuple(schemas)))
    assert found is not None
    return found(data, HEADERS)


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        ("k", b'{"k":"a"}', b"a"),
        ("k", b'{"k":7}', b"7"),
        ("k", b'{"k":7.0}', b"7"),
        ("k", b'{"k":7.5}', b"7.5"),
        ("k", b'{"k":1e300}', b"1e+300"),
        ("k", b'{"k":true}', b"true"),
        ("k", b'{"k":null}', None),
        ("k", b'{"x":[1],"k":"\xc3\xa9"}', "é".encode()),
        ("event.data.k", b'{"k":7.0}', b"7"),
        ("event.data['a-b']", b'{"a-b":"x"}', b"x"),
        ("a + '/' + b", b'{"a":"x","b":"y"}', b"x/y"),
        ("event.subject", b"not JSON", b"gate/7"),
        ("event.subject + k", b'{"k":"a"}', b"gate/7a"),
        ("has(event.time) ? event.time : event.datacontenttype", b"{}", b"application/json"),
        ("n * 2.0", b'{"n":2.5}', b"5"),
        ("n > 1", b'{"n":2}', b"true"),
        ("has(event.data.k) ? k : null", b"{}", None),
    ],
)
def test_a_key_is_text_as_it_is_and_numbers_in_one_spelling(
    text: str, data: bytes, found: bytes | None
) -> None:
    assert key(text, data) == found


def test_a_key_is_computed_with_the_kinds_of_numbers_that_the_contract_declares() -> None:
    contract = {"properties": {"n": {"type": "number"}}}
    assert key("n / 2.0", b'{"n":3}', [contract]) == b"1.5"
    with pytest.raises(Rejected):
        key("n / 2.0", b'{"n":3}')


@pytest.mark.parametrize(
    ("text", "data", "says"),
    [
        ("k", b"{}", "the field 'k', which the event does not have"),
        ("k", b"[1]", "the field 'k', which the event does not have"),
        ("k", b"\xff", "the field 'k', which the event does not have"),
        ("k", None, "the field 'k', which the event does not have"),
        ("k", b'{"k":["hunter2"]}', "gives neither text nor a number nor true or false"),
        ("k", b'{"k":{"hunter2":1}}', "gives neither text nor a number nor true or false"),
        ("[k]", b'{"k":"hunter2"}', "gives neither text nor a number nor true or false"),
        ("k + 1", b'{"k":"hunter2"}', "the key of topic 't', 'k + 1' fails: '+' cannot be applied to"),
        ("k + 1", b"hunter2", "the key of topic 't': the data are no JSON object"),
        ("event.time + k", b'{"k":"hunter2"}', "there is no field 'time'"),
    ],
)
def test_what_gives_no_key_is_told_by_the_topic_without_a_value(
    text: str, data: bytes | None, says: str
) -> None:
    with pytest.raises(Rejected) as rejected:
        key(text, data)
    assert rejected.value.code == "no-key"
    assert says in rejected.value.message
    assert "hunter2" not in rejected.value.message
