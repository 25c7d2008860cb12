from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, create_model

from blueprints.compatible import misfits


def told(writer, reader):
    schemas = [side.model_json_schema() if isinstance(side, type) else side for side in (writer, reader)]
    return [f"{misfit.field} {misfit.reason}".strip() for misfit in misfits(*schemas)]


def of(annotation, default=...):
    return create_model("Event", field=(annotation, default))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Leg(BaseModel):
    origin: str
    miles: int


class IntegerLeg(BaseModel):
    origin: str
    miles: str


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    field: int


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class OtherNode(BaseModel):
    value: str
    children: list["OtherNode"] = []


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        (of(int), of(int)),
        (of(int), of(float)),
        (of(int), of(int | None)),
        (of(int), of(int | str)),
        (of(int | str), of(str | int | None)),
        (of(Literal["a"]), of(Literal["a", "b"])),
        (of(Literal["a"]), of(str)),
        (of(Colour), of(str)),
        (of(Colour), of(Literal["red", "blue", "green"])),
        (of(int), of(int, 5)),
        (of(int | None), of(int | None, None)),
        (of(list[Leg]), of(list[Leg])),
        (of(dict[str, int]), of(dict[str, float])),
        (of(Leg), of(dict[str, Any])),
        (of(Any), of(int)),
        (of(int), of(Any)),
        (of(bool), of(Literal[True, False])),
        (of(datetime), of(str)),
        (of(tuple[int, str]), of(tuple[float, str])),
        (Node, Node),
        (create_model("Wide", field=(int, ...), more=(str, ...)), of(int)),
        (of(Annotated[int, Field(ge=1)]), of(int)),
        ({"type": ["integer", "null"]}, {"anyOf": [{"type": "null"}, {"type": "number"}]}),
        ({}, of(int)),
        (of(int), {}),
        (of(int), {"type": "object", "properties": {"field": {"$ref": "#/nowhere"}}}),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
         {"type": "object", "properties": {"a": {"type": "integer"}}}),
    ],
)  # fmt: skip
def test_what_fits_is_let_through(writer, reader):
    assert told(writer, reader) == []


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        (of(float), of(int), ["field may be a number, but an integer is wanted"]),
        (of(int | None), of(int), ["field may be null, but an integer is wanted"]),
        (of(int | None, None), of(int), ["field is wanted, but may be absent; may be null, but an integer is wanted"]),
        (of(str), of(int), ["field may be a string, but an integer is wanted"]),
        (of(int | str), of(int), ["field may be a string, but an integer is wanted"]),
        (of(Literal["a", "c"]), of(Literal["a", "b"]), ["field may be 'c', but 'a' or 'b' is wanted"]),
        (of(str), of(Literal["a", "b"]), ["field may be any string, but 'a' or 'b' is wanted"]),
        (of(str | None), of(Literal["a"]), ["field may be any string or null, but 'a' is wanted"]),
        (of(Literal[1]), of(Literal[True]), ["field may be 1, but true is wanted"]),
        (of(Literal["a"]), of(int), ["field may be 'a', but an integer is wanted"]),
        (create_model("A", other=(int, ...)), of(int), ["field is wanted, but is not written"]),
        (create_model("A"), of(int), ["field is wanted, but may be absent"]),
        ({"type": "object", "properties": {"field": {"type": "integer"}}}, of(int),
         ["field is wanted, but may be absent"]),
        (create_model("Wide", field=(int, ...), more=(str, ...)), Closed, ["more is written, but is not accepted"]),
        (of(list[Leg]), of(list[IntegerLeg]), ["field[].miles may be an integer, but a string is wanted"]),
        (of(list[int]), of(int), ["field may be a list, but an integer is wanted"]),
        (of(dict[str, str]), of(dict[str, int]), ["field.* may be a string, but an integer is wanted"]),
        (of(str), of(int | bool), ["field may be a string, but an integer or a boolean is wanted"]),
        (of(Leg), of(IntegerLeg | None), ["field.miles may be an integer, but a string is wanted"]),
        (of(tuple[int, str]), of(tuple[int, int]), ["field[1] may be a string, but an integer is wanted"]),
        (Node, OtherNode, ["value may be an integer, but a string is wanted"]),
        (of(int, 5), of(int), ["field is wanted, but may be absent"]),
        ({"type": "integer"}, {"type": "object"}, ["may be an integer, but an object is wanted"]),
        (of(int), {"type": "object", "properties": {"field": False}}, ["field is written, but is not accepted"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_the_field_and_the_reason(writer, reader, expected):
    assert told(writer, reader) == expected


KINDS = st.sampled_from([int, float, str, bool, int | None, str | None, Literal["a", "b"], Literal["a"], list[int],
                         list[str], int | str, Leg, IntegerLeg, dict[str, int]])  # fmt: skip
VALUES = {
    int: st.integers(-5, 5), float: st.just(1.5), str: st.sampled_from(["a", "z"]), bool: st.booleans(),
    int | None: st.sampled_from([1, None]), str | None: st.sampled_from(["b", None]),
    Literal["a", "b"]: st.sampled_from(["a", "b"]), Literal["a"]: st.just("a"), list[int]: st.just([1]),
    list[str]: st.just(["x"]), int | str: st.sampled_from([1, "x"]), Leg: st.just({"origin": "x", "miles": 1}),
    IntegerLeg: st.just({"origin": "x", "miles": "1"}), dict[str, int]: st.just({"k": 1}),
}  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    st.dictionaries(st.sampled_from("abc"), KINDS, min_size=1),
    st.dictionaries(st.sampled_from("abc"), KINDS),
    st.data(),
)
def test_an_event_of_a_writer_that_fits_is_always_accepted(writes, reads, data):
    """The second opinion is a validator of JSON Schema: what fits must be valid for every event that may be written."""
    writer = create_model("W", **{name: (kind, ...) for name, kind in writes.items()}).model_json_schema()
    reader = create_model("R", **{name: (kind, ...) for name, kind in reads.items()}).model_json_schema()
    event = {name: data.draw(VALUES[kind]) for name, kind in writes.items()}
    assert Draft202012Validator(writer).is_valid(event)
    if not misfits(writer, reader):
        assert Draft202012Validator(reader).is_valid(event)
