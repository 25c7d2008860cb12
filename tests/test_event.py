"""The codec of events, with the CloudEvents SDK as the second opinion in both directions and both modes.

Where the two differ on purpose, a test of the section "differences" names it; the properties leave those inputs out.
"""

from __future__ import annotations

import json
import string
from datetime import UTC
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlets.errors import Broken, Rejected
from streamlets.event import (
    JSON,
    Delivery,
    Event,
    Headers,
    check,
    child_traceparent,
    data_of,
    decode,
    derived_id,
    encode,
    encode_structured,
    fingerprint,
    fingerprints,
    from_sdk,
    identity,
    is_structured,
    plain_id,
    timestamp,
    to_sdk,
)

FORMAT = JSONFormat()
CASES = settings(max_examples=50, deadline=None)

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12).filter(
    lambda name: (
        name not in ("specversion", "id", "source", "type", "subject", "time", "dataschema")
        and name not in ("datacontenttype", "data", "partitionkey")
    )
)
json_values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_data = json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode())
times = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat().replace("+00:00", "Z"))


@st.composite
def events(draw: st.DrawFn, data: st.SearchStrategy[tuple[str | None, bytes | None]] | None = None) -> Event:
    content_type, value = draw(payloads if data is None else data)
    return Event(
        id=draw(texts),
        source=draw(texts),
        type=draw(texts),
        data=value,
        datacontenttype=content_type,
        subject=draw(st.none() | texts),
        time=draw(st.none() | times),
        dataschema=draw(st.none() | texts),
        extensions=draw(st.dictionaries(names, texts, max_size=3)),
        key=draw(st.none() | st.binary(max_size=5)),
    )


payloads: st.SearchStrategy[tuple[str | None, bytes | None]] = st.one_of(
    st.tuples(st.sampled_from([JSON, "application/vnd.x+json", "text/json; charset=utf-8"]), json_data),
    st.tuples(st.sampled_from([JSON, "text/plain", "application/xml", None]), st.binary(max_size=12)),
    st.tuples(st.sampled_from([JSON, "text/plain", None]), st.none()),
    st.tuples(st.just("text/plain"), texts.map(str.encode)),
)


def delivery(key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int = 0) -> Delivery:
    return Delivery("flights", 3, 918, timestamp_ms, key, value, headers)


BINARY: Headers = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/s"),
    ("ce_type", b"t"),
    ("content-type", b"application/json"),
]


def refused(bad: Delivery) -> str:
    with pytest.raises(Rejected) as caught:
        decode(bad)
    assert caught.value.code == "undecodable"
    return caught.value.message


# Our own two directions


@CASES
@given(events())
def test_an_event_comes_back_from_binary_mode_as_it_was(event: Event) -> None:
    assert decode(delivery(*encode(event))) == event


@CASES
@given(events())
def test_an_event_comes_back_from_structured_mode_as_it_was(event: Event) -> None:
    back = decode(delivery(*encode_structured(event)))
    if event.datacontenttype is None and back.datacontenttype == JSON:
        back.datacontenttype = None  # the JSON format reads its absence beside JSON data as JSON
    if event.data is not None and back.data is not None:
        assert back.data.strip(b" \t\r\n") == event.data.strip(b" \t\r\n")
        back.data = event.data
    assert back == event


@CASES
@given(events())
def test_identity_and_data_agree_with_decode(event: Event) -> None:
    for encoded in (encode(event), encode_structured(event)):
        assert identity(delivery(*encoded)) == (event.source, event.id)
        assert data_of(delivery(*encoded)) == decode(delivery(*encoded)).data


@CASES
@given(st.lists(st.tuples(st.text(max_size=14), st.binary(max_size=8) | st.none())), st.binary(max_size=40))
def test_whatever_lies_in_a_topic_is_an_event_or_undecodable(headers: Any, value: bytes) -> None:
    for content_type in ([], [("content-type", b"application/cloudevents+json")]):
        try:
            event = decode(delivery(None, value, [*headers, *content_type]))
        except Rejected as refusal:
            if refusal.code != "undecodable":
                raise
        else:
            assert all((event.id, event.source, event.type))


# The second opinion


def plain(event: Event) -> dict[str, Any]:
    """Return what both opinions must agree on; data parsed where they are JSON, text where they are text."""
    sdk = to_sdk(event)
    return {"data": sdk.get_data(), **{k: v for k, v in sdk.get_attributes().items() if v != ""}}


agreed = st.one_of(
    st.tuples(st.just(JSON), st.dictionaries(texts, json_values, max_size=3).map(json.dumps).map(str.encode)),
    st.tuples(st.just("text/plain"), texts.map(str.encode)),
)


@CASES
@given(events(agreed))
def test_the_sdk_reads_our_binary_mode_as_we_mean_it(event: Event) -> None:
    _, value, headers = encode(event)
    sdk = sdk_kafka.from_binary(sdk_kafka.KafkaMessage(dict(headers), None, value or b""), FORMAT)
    if event.time is None:
        del sdk.get_attributes()["time"]
    assert {"data": sdk.get_data(), **sdk.get_attributes()} == plain(event)


@CASES
@given(events(agreed))
def test_we_read_the_sdks_binary_mode_as_it_means_it(event: Event) -> None:
    message = sdk_kafka.to_binary(to_sdk(event), FORMAT, key_mapper=lambda _: None)
    ours = decode(delivery(event.key, message.value, list(message.headers.items())))
    assert plain(ours) == plain(event)
    assert ours.key == event.key


@CASES
@given(events(agreed))
def test_the_sdk_reads_our_structured_mode_as_we_mean_it(event: Event) -> None:
    _, value, headers = encode_structured(event)
    sdk = sdk_kafka.from_structured(sdk_kafka.KafkaMessage(dict(headers), None, value or b""), FORMAT)
    if event.time is None:
        del sdk.get_attributes()["time"]
    assert {"data": sdk.get_data(), **sdk.get_attributes()} == plain(event)


@CASES
@given(events(agreed))
def test_we_read_the_sdks_structured_mode_as_it_means_it(event: Event) -> None:
    message = sdk_kafka.to_structured(to_sdk(event), FORMAT, key_mapper=lambda _: None)
    ours = decode(delivery(event.key, message.value, list(message.headers.items())))
    assert plain(ours) == plain(event)


@CASES
@given(events(st.tuples(st.just("application/octet-stream"), st.binary(min_size=1, max_size=9))))
def test_binary_data_agree_in_structured_mode(event: Event) -> None:
    message = sdk_kafka.to_structured(to_sdk(event), FORMAT, key_mapper=lambda _: None)
    assert decode(delivery(event.key, message.value, list(message.headers.items()))) == event
    _, value, headers = encode_structured(event)
    sdk = sdk_kafka.from_structured(sdk_kafka.KafkaMessage(dict(headers), None, value or b""), FORMAT)
    assert sdk.get_data() == event.data


@CASES
@given(events(agreed))
def test_an_event_goes_to_the_sdks_object_and_back(event: Event) -> None:
    back = from_sdk(to_sdk(event), event.key)
    assert plain(back) == plain(event)
    assert back.extensions == event.extensions


# Differences from the SDK, on purpose


def sdk_read(value: bytes, headers: Headers, key: bytes | None = None) -> Any:
    return sdk_kafka.from_kafka_event(sdk_kafka.KafkaMessage(dict(headers), key, value))


STRUCTURED_VALUE = b'{"specversion":"1.0","id":"inner","source":"/s","type":"t","data":{"a":1}}'


def test_differs_structured_with_repeated_headers_is_structured_to_us_and_misread_by_the_sdk() -> None:
    headers = [*BINARY[:-1], ("content-type", b"application/cloudevents+json")]
    assert decode(delivery(None, STRUCTURED_VALUE, headers)).id == "inner"
    assert sdk_read(STRUCTURED_VALUE, headers).get_id() == "1"


def test_differs_the_record_key_never_becomes_an_attribute() -> None:
    assert "partitionkey" not in decode(delivery(b"k", b"{}", BINARY)).extensions
    assert sdk_read(b"{}", BINARY, b"k").get_extension("partitionkey") == "k"


def test_differs_a_partition_key_attribute_stays_beside_another_record_key() -> None:
    headers = [*BINARY, ("ce_partitionkey", b"mine")]
    event = decode(delivery(b"k", b"{}", headers))
    assert (event.key, event.extensions["partitionkey"]) == (b"k", "mine")
    assert sdk_read(b"{}", headers, b"k").get_extension("partitionkey") == "k"


def test_differs_a_key_that_is_not_utf8_is_read() -> None:
    assert decode(delivery(b"\xff", b"{}", BINARY)).key == b"\xff"
    with pytest.raises(UnicodeDecodeError):
        sdk_read(b"{}", BINARY, b"\xff")


def test_differs_a_null_header_counts_as_absent() -> None:
    headers: Any = [*BINARY, ("ce_subject", None), ("other", None), ("ce_extra", None)]
    event = decode(delivery(None, b"{}", headers))
    assert (event.subject, event.extensions) == (None, {})
    with pytest.raises(AttributeError):
        sdk_read(b"{}", headers)


def test_differs_booleans_are_written_canonically() -> None:
    sdk = CloudEvent({"id": "1", "source": "/s", "type": "t", "flag": True, "count": 7}, None)
    assert dict(sdk_kafka.to_binary_event(sdk).headers)["ce_flag"] == b"True"
    assert from_sdk(sdk).extensions == {"flag": "true", "count": "7"}


def test_differs_no_data_is_a_tombstone_not_an_empty_value() -> None:
    event = Event(id="1", source="/s", type="t")
    assert encode(event)[1] is None
    assert sdk_kafka.to_binary_event(to_sdk(event)).value == b""
    assert decode(delivery(None, b"", BINARY)).data == b""


def test_differs_malformed_json_is_an_error_not_a_string() -> None:
    bad = decode(delivery(None, b'{"a":', BINARY))
    with pytest.raises(Rejected):
        to_sdk(bad)
    assert sdk_read(b'{"a":', BINARY).get_data() == '{"a":'


def test_differs_nan_is_not_json() -> None:
    with pytest.raises(Rejected):
        to_sdk(decode(delivery(None, b"[NaN]", BINARY)))
    assert sdk_read(b"[NaN]", BINARY).get_data() != []


def test_differs_no_id_is_made_up() -> None:
    headers = [header for header in BINARY if header[0] != "ce_id"]
    assert refused(delivery(None, b"{}", headers)) == "not a CloudEvent: id missing"
    assert sdk_read(b"{}", headers).get_id()


def test_differs_no_time_is_made_up() -> None:
    assert decode(delivery(None, b"{}", BINARY)).time is None
    assert to_sdk(decode(delivery(None, b"{}", BINARY))).get_time() is None
    assert sdk_read(b"{}", BINARY).get_time() is not None


def test_differs_a_time_is_kept_to_its_last_digit() -> None:
    exact = "2013-01-01T05:15:00.123456789Z"
    event = decode(delivery(None, b"{}", [*BINARY, ("ce_time", exact.encode())]))
    assert event.time == exact
    assert from_sdk(to_sdk(event)).time == "2013-01-01T05:15:00.123456Z"


def test_differs_a_json_string_keeps_its_quotes() -> None:
    event = decode(delivery(None, b'"text"', BINARY))
    assert encode(event)[1] == b'"text"'
    assert sdk_kafka.to_binary_event(to_sdk(event)).value == b"text"
    assert from_sdk(to_sdk(event)).data == b'"text"'


def test_differs_header_names_are_compared_exactly() -> None:
    headers = [(name.upper(), value) for name, value in BINARY]
    assert decode(delivery(None, b"{}", headers)).type == "dev.knative.kafka.event"
    assert sdk_read(b"{}", headers).get_id() == "1"


# What is no event


@pytest.mark.parametrize(
    ("headers", "value", "says"),
    [
        ([("ce_id", b"1")], b"{}", "specversion, source, type missing"),
        ([*BINARY[1:]], b"{}", "specversion missing"),
        ([("ce_specversion", b"0.3"), *BINARY[1:]], b"{}", "specversion is not 1.0"),
        ([("ce_id", b""), *(h for h in BINARY if h[0] != "ce_id")], b"{}", "id missing"),
        ([*BINARY, ("ce_subject", b"\xff")], b"{}", "header ce_subject is not UTF-8"),
        ([*BINARY, ("ce_some_thing", b"x")], b"{}", "header 'ce_some_thing' names no CloudEvents attribute"),
        ([*BINARY, ("ce_data", b"x")], b"{}", "header 'ce_data' names no CloudEvents attribute"),
    ],
)
def test_what_is_wrong_in_binary_mode_is_named(headers: Headers, value: bytes, says: str) -> None:
    assert says in refused(delivery(None, value, headers))


@pytest.mark.parametrize(
    ("content_type", "value", "says"),
    [
        (b"application/cloudevents+json", None, "without a value"),
        (b"application/cloudevents+json", b"[1]", "no JSON object"),
        (b"application/cloudevents+json", b'{"a":"\xff"}', "no JSON object in UTF-8"),
        (b"application/cloudevents+json", b"[" * 100_000, "no JSON object"),
        (b"application/cloudevents+json", b"{}", "specversion, id, source, type missing"),
        (b"application/cloudevents-batch+json", b"[]", "batch"),
        (b"application/cloudevents+avro", b"x", "format other than JSON"),
        (
            b"Application/CloudEvents+JSON; charset=utf-8",
            STRUCTURED_VALUE[:-1] + b',"id":7}',
            "id is not text",
        ),
        (b"application/cloudevents+json", STRUCTURED_VALUE[:-1] + b',"x":[1]}', "x is not text"),
        (b"application/cloudevents+json", STRUCTURED_VALUE[:-1] + b',"x":1.5}', "x is not text"),
        (b"application/cloudevents+json", STRUCTURED_VALUE[:-1] + b',"X":"a"}', "'X' is no attribute's name"),
        (b"application/cloudevents+json", STRUCTURED_VALUE[:-1] + b',"data_base64":"YQ=="}', "both data and"),
        (
            b"application/cloudevents+json",
            b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"*"}',
            "not base64",
        ),
    ],
)
def test_what_is_wrong_in_structured_mode_is_named(
    content_type: bytes, value: bytes | None, says: str
) -> None:
    assert says in refused(delivery(None, value, [("content-type", content_type)]))


def test_a_message_of_refusal_holds_no_payload() -> None:
    secret = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"hunter2"}'
    message = refused(delivery(None, secret, [("content-type", b"application/cloudevents+json")]))
    assert "hunter2" not in message


def test_the_content_type_alone_makes_an_event_structured_in_any_case() -> None:
    structured = delivery(None, STRUCTURED_VALUE, [("content-type", b"APPLICATION/CLOUDEVENTS+json")])
    assert is_structured(structured)
    assert decode(structured).data == b'{"a":1}'
    assert not is_structured(delivery(None, STRUCTURED_VALUE, []))
    assert decode(delivery(None, STRUCTURED_VALUE, [])).type == "dev.knative.kafka.event"


def test_structured_booleans_integers_and_nulls_become_canonical_text() -> None:
    value = STRUCTURED_VALUE[:-1] + b',"flag":true,"count":-3,"none":null}'
    event = decode(delivery(None, value, [("content-type", b"application/cloudevents+json")]))
    assert event.extensions == {"flag": "true", "count": "-3"}


def test_structured_null_data_is_no_data() -> None:
    value = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":null}'
    assert decode(delivery(None, value, [("content-type", b"application/cloudevents+json")])).data is None


def test_the_last_of_repeated_headers_counts_everywhere() -> None:
    twice = delivery(None, b"{}", [*BINARY, ("ce_id", b"2")])
    assert decode(twice).id == identity(twice)[1] == twice.header("ce_id") == "2"


def test_a_plain_record_is_wrapped_and_named_by_its_place() -> None:
    event = decode(delivery(b"k", b"x", [("content-type", b"text/plain")], timestamp_ms=1_357_017_300_250))
    assert event == Event(
        id=plain_id("flights", 3, 918),
        source="/flights",
        type="dev.knative.kafka.event",
        data=b"x",
        datacontenttype="text/plain",
        time="2013-01-01T05:15:00.250Z",
        key=b"k",
    )
    assert identity(delivery(b"k", b"x", [])) == ("/flights", plain_id("flights", 3, 918))


def test_events_of_users_are_checked_before_they_are_written() -> None:
    check(Event(id="1", source="/s", type="t", extensions={"x1": "a"}))
    with pytest.raises(Broken, match="without type"):
        check(Event(id="1", source="/s", type=""))
    with pytest.raises(Broken, match="no extension's name"):
        check(Event(id="1", source="/s", type="t", extensions={"data": "a"}))


# Ids and traces


def test_ids_are_derived_and_equal_inputs_give_equal_ids() -> None:
    assert derived_id("/s", "1", "score", "out", 0) == derived_id("/s", "1", "score", "out", 0)
    assert derived_id("/s", "1", "score", "out", 0) != derived_id("/s", "1", "score", "out", 1)
    assert fingerprint(derived_id("/s", "1", "a", "b", 0)) == int(derived_id("/s", "1", "a", "b", 0), 16)
    assert fingerprints(["a", "b"]) == (fingerprint("a") + fingerprint("b")) % 2**128


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_child_keeps_its_parents_trace_and_flags_with_itself_as_the_span() -> None:
    child = derived_id("/s", "1", "score", "out", 0)
    assert child_traceparent(PARENT, "c", child) == f"00-{TRACE}-{child[:16]}-01"
    assert child_traceparent(PARENT, "c", "not ours")[:36] == PARENT[:36]


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "nonsense",
        PARENT.upper(),
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}--b7ad6b7169203331-01",
        PARENT[:-1] + "g",
    ],
)
def test_an_invalid_parent_is_replaced_by_a_trace_of_the_correlation(parent: str | None) -> None:
    child = derived_id("/s", "1", "score", "out", 0)
    made = child_traceparent(parent, "order-7", child)
    assert made == child_traceparent(None, "order-7", child)
    assert child_traceparent(made, "other", child) == made  # itself a valid parent
    assert child_traceparent(None, TRACE, child)[3:35] == TRACE


@CASES
@given(st.text(max_size=60), texts, texts)
def test_every_traceparent_is_valid(parent: str, correlation: str, event_id: str) -> None:
    made = child_traceparent(parent, correlation, event_id)
    assert child_traceparent(made, "", event_id) == made


def test_times_are_written_in_utc() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
