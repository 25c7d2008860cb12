"""Contracts: what is accepted, what is refused, and that a refusal names the field and never the value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator
from typing_extensions import TypedDict

from streamlets.contracts import Contract, JsonSchemaContract, PydanticContract, decode_json, encode_json
from streamlets.errors import Broken, Fatal, Rejected


class Weather(BaseModel):
    temp: float | None = None


class Departure(BaseModel):
    carrier: str = Field(max_length=2)
    flight: int
    distance: float = Field(gt=0)
    weather: Weather = Weather()
    extra: Any = None


DEPARTURE = PydanticContract(Departure)
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Departure",
    "type": "object",
    "properties": {
        "carrier": {"type": "string", "maxLength": 2},
        "flight": {"type": "integer"},
        "distance": {"type": "number", "exclusiveMinimum": 0},
        "weather": {"type": "object", "properties": {"temp": {"type": ["number", "null"]}}},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": ["carrier", "flight", "distance"],
}
BY_SCHEMA = JsonSchemaContract("Departure", SCHEMA)
BOTH = pytest.mark.parametrize("contract", [DEPARTURE, BY_SCHEMA], ids=["pydantic", "json-schema"])
GOOD = b'{"carrier":"UA","flight":1545,"distance":1400.5}'


def rejected(contract: Contract, data: bytes | None) -> str:
    with pytest.raises(Rejected) as caught:
        contract.decode(data)
    with pytest.raises(Rejected):
        contract.check(data)
    assert caught.value.code == "against-contract"
    return caught.value.message


def broken(contract: Contract, value: Any) -> str:
    with pytest.raises(Broken) as caught:
        contract.encode(value)
    assert caught.value.code == "against-contract"
    return caught.value.message


@BOTH
def test_what_keeps_the_contract_comes_through_and_back(contract: Contract) -> None:
    value = contract.decode(GOOD)
    contract.check(GOOD)
    assert contract.decode(contract.encode(value)) == value
    assert contract.name == "Departure"


@BOTH
@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"carrier":"UA","flight":1545}', "distance"),
        (b'{"carrier":"UA","flight":"hunter2","distance":1}', "flight: "),
        (b'{"carrier":"hunter2","flight":1,"distance":1}', "carrier: "),
        (b'{"carrier":"UA","flight":1,"distance":-77.125}', "distance: "),
        (b'{"carrier":"UA","flight":1,"distance":1,"weather":{"temp":"hunter2"}}', "weather.temp: "),
        (b'["hunter2"]', ""),
    ],
)
def test_a_refusal_names_the_field_and_never_the_value(contract: Contract, data: bytes, field: str) -> None:
    message = rejected(contract, data)
    assert message.startswith("against contract Departure: ")
    assert field in message
    assert "hunter2" not in message
    assert "77" not in message


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"{",
        b"nonsense",
        b'{"carrier":"UA","flight":1,"distance":NaN}',
        b'{"carrier":"UA","flight":1,"distance":Infinity}',
        b'{"carrier":"UA","flight":1,"distance":1,"extra":NaN}',
        b'{"carrier":"UA","flight":1,"distance":1,"extra":[-Infinity]}',
        b'{"carrier":"UA","flight":1,"distance":1e999}',
        b'{"carrier":"\xff","flight":1,"distance":1}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_rejected_nan_and_infinity_included(
    contract: Contract, data: bytes | None
) -> None:
    rejected(contract, data)


@BOTH
def test_the_words_for_nan_inside_a_text_are_only_text(contract: Contract) -> None:
    contract.check(b'{"carrier":"UA","flight":1,"distance":1,"extra":"NaN, Infinity"}')


def test_the_word_nan_in_a_text_does_not_become_a_number() -> None:
    rejected(DEPARTURE, b'{"carrier":"UA","flight":1,"distance":"nan"}')
    rejected(DEPARTURE, b'{"carrier":"UA","flight":1,"distance":1,"weather":{"temp":"inf"}}')


def test_an_object_changed_since_it_was_made_is_checked_again() -> None:
    departure = Departure(carrier="UA", flight=1, distance=1)
    departure.distance = -77.125
    departure.weather.temp = math.nan
    message = broken(DEPARTURE, departure)
    assert "distance: " in message
    assert "weather.temp: " in message
    assert "77" not in message


def test_nan_is_broken_wherever_it_hides() -> None:
    base = {"carrier": "UA", "flight": 1, "distance": 1}
    broken(DEPARTURE, Departure(carrier="UA", flight=1, distance=1, extra=math.nan))
    broken(DEPARTURE, {**base, "extra": {"deep": [math.inf]}})
    assert "weather.temp: not a finite number" in broken(BY_SCHEMA, {**base, "weather": {"temp": math.nan}})
    assert "rows.1.x: not a finite" in broken(BY_SCHEMA, {**base, "rows": [{"x": None}, {"x": -math.inf}]})
    broken(BY_SCHEMA, math.nan)


def test_an_encoder_rejects_what_no_json_can_hold() -> None:
    broken(BY_SCHEMA, object())
    broken(DEPARTURE, Departure(carrier="UA", flight=1, distance=1, extra=object()))
    broken(DEPARTURE, "hunter2")
    loop: list[Any] = []
    loop.append(loop)
    broken(BY_SCHEMA, loop)


def test_many_problems_are_counted_not_listed() -> None:
    message = rejected(DEPARTURE, b'{"carrier":1,"flight":"x","distance":"x","weather":3}')
    assert message.endswith("(and 1 more)")


class Colour(Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


@dataclass
class Point:
    x: float
    y: float = 0.0


class Typed(TypedDict):
    a: int


class Wide(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    aliased: int = Field(alias="Aliased", default=1)
    at: datetime | None = None
    colour: Colour | None = None
    amount: Decimal | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    point: Point | None = None
    typed: Typed | None = None
    key: UUID | None = None
    url: HttpUrl | None = None
    children: list[Wide] = []

    @field_validator("aliased")
    @classmethod
    def _small(cls, value: int) -> int:
        if value > 100:
            raise ValueError(f"the secret was {value}")
        return value


WIDE = PydanticContract(Wide)


@pytest.mark.parametrize(
    "value",
    [
        {"Aliased": 5},
        {"at": "2013-01-01T05:15:00Z", "colour": "red", "amount": "1.50"},
        {"pet": {"kind": "dog"}, "point": {"x": 1.5}, "typed": {"a": 1}},
        {"children": [{"Aliased": 3, "children": [{"Aliased": 4}]}]},
        {"key": "12345678-1234-5678-1234-567812345678", "url": "https://example.com/a"},
    ],
)
def test_every_kind_of_field_survives_the_way_through(value: dict[str, Any]) -> None:
    read = WIDE.decode(json.dumps(value).encode())
    assert read == Wide.model_validate(value)
    assert WIDE.decode(WIDE.encode(read)) == read


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Aliased": 98765}, "Aliased: refused by a validator of the model"),
        ({"pet": {"kind": "98765"}}, "pet: the tag is none of those expected"),
        ({"key": "98765-z"}, "key: not valid (uuid_parsing)"),
        ({"url": "98765"}, "url: not valid (url_parsing)"),
        ({"at": "98765-z"}, "at: Input should be a valid datetime"),
        ({"point": {"x": "98765z"}}, "point.x: Input should be a valid number"),
    ],
)
def test_no_kind_of_refusal_repeats_the_value(value: dict[str, Any], says: str) -> None:
    message = rejected(WIDE, json.dumps(value).encode())
    assert says in message
    assert "98765" not in message


@pytest.mark.parametrize(
    ("kind", "data"), [(Point, b'{"x":1.5,"y":0.0}'), (Typed, b'{"a":1}'), (list[int], b"[1,2]")]
)
def test_other_types_that_pydantic_knows_are_contracts_too(kind: Any, data: bytes) -> None:
    contract = PydanticContract(kind)
    assert contract.encode(contract.decode(data)) == data


def test_the_schema_of_what_is_written_says_that_defaults_are_there() -> None:
    assert "weather" not in PydanticContract(Departure).json_schema()["required"]
    assert "weather" in PydanticContract(Departure, "serialization").json_schema()["required"]
    assert PydanticContract(Departure).json_schema()["title"] == "Departure"


def test_a_type_without_a_schema_is_told_at_once() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        call: Callable[[], None]

    with pytest.raises(Fatal, match="Odd has no JSON Schema"):
        PydanticContract(Odd).json_schema()


def test_formats_are_checked() -> None:
    rejected(BY_SCHEMA, b'{"carrier":"UA","flight":1,"distance":1,"at":"yesterday"}')


def test_an_older_draft_is_read_as_its_draft() -> None:
    draft4 = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": {"a": {"type": "number", "minimum": 3, "exclusiveMinimum": True}},
    }
    contract = JsonSchemaContract("old", draft4)
    contract.check(b'{"a":4}')
    rejected(contract, b'{"a":3}')


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "https://example.com/other.json"},
        {"$ref": "other.json"},
        {"$ref": "#/$defs/missing"},
        {"pattern": "("},
    ],
)
def test_a_schema_that_cannot_be_used_is_told_at_once_and_nothing_is_fetched(schema: dict[str, Any]) -> None:
    with pytest.raises(Fatal, match="contract c is no JSON Schema that can be used") as caught:
        JsonSchemaContract("c", schema)
    assert caught.value.code == "bad-value"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(values)
def test_plain_json_is_written_exactly_or_not_at_all(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        with pytest.raises(Broken):
            encode_json(value)
    else:
        assert decode_json(encode_json(value)) == value
