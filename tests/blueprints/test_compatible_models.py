"""Compatibility of what people write: pairs of pydantic models, as the engine makes schemas of them."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from blueprints.compatible import compare
from streamlets.contracts import PydanticContract


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColours(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Leg(BaseModel):
    origin: str
    miles: int


class LongLeg(Leg):
    note: str = ""


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class NumberedDog(BaseModel):
    kind: Literal["dog"]
    name: int


class Bird(BaseModel):
    kind: Literal["bird"]
    wings: int


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
AnyPet = Annotated[Cat | Dog | Bird, Field(discriminator="kind")]
OddPet = Annotated[Cat | NumberedDog, Field(discriminator="kind")]


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class LooseNode(BaseModel):
    value: float
    children: list["LooseNode"] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    field: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    field: int


class Wide(BaseModel):
    field: int
    other: str = "x"


class Partial(TypedDict):
    a: int
    b: NotRequired[str]


class Whole(TypedDict):
    a: int
    b: str


Short = Annotated[str, Field(max_length=5)]
Long = Annotated[str, Field(max_length=10)]
Code = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Capitals = Annotated[str, Field(pattern="^[A-Z]+$")]
Key = Annotated[str, Field(pattern="^k")]
Tens = Annotated[int, Field(multiple_of=10)]
Fives = Annotated[int, Field(multiple_of=5)]
Positive = Annotated[int, Field(ge=1)]
Filled = Annotated[list[int], Field(min_length=1)]


def of(kind: Any, default: Any = ...) -> type[BaseModel]:
    return create_model("Event", field=(kind, default))


FITS = [
    (int, int), (int, float), (int, Decimal), (float, Decimal), (Decimal, Decimal), (Decimal, str), (bool, bool),
    (int | None, int | None), (int, int | None), (int | str, str | int | None), (int, Any), (float, int | float),
    (datetime, datetime), (datetime, str), (date, date), (time, time), (timedelta, timedelta), (UUID, UUID),
    (UUID, Annotated[str, Field(min_length=1)]), (IPv4Address, str), (AnyUrl, AnyUrl), (AnyUrl, str), (Path, Path),
    (str, Path), (bytes, bytes), (str, bytes), (bytes, str), (Colour, Colour), (Colour, MoreColours), (Colour, str),
    (Colour, Literal["red", "blue"]), (Level, int), (Level, Literal[1, 2, 3]), (Level, Positive),
    (Literal["JFK", "LAX"], Code), (Code, Code), (Code, Capitals), (Short, Long), (Short, str), (Tens, Fives),
    (Annotated[int, Field(ge=1, le=5)], Annotated[int, Field(ge=0, lt=6)]), (Positive, int),
    (Annotated[float, Field(gt=0)], Annotated[float, Field(ge=0)]),
    (list[Leg], list[Leg]), (list[LongLeg], list[Leg]), (set[int], list[int]), (list[int], set[int]),
    (list[int], frozenset[int]), (tuple[int, int], list[int]), (list[int], tuple[int, ...]), (Filled, list[int]),
    (tuple[int, str], tuple[float, str]), (dict[str, int], dict[str, float]), (dict[int, int], dict[str, int]),
    (dict[Key, int], dict[str, int]), (dict[Literal["a", "b"], int], dict[str, int]), (Leg, dict[str, str | int]),
    (Cat, Pet), (Pet, Pet), (Pet, AnyPet), (list[Pet], list[AnyPet]), (Cat | Dog, Pet), (Pet, Cat | Dog),
    (Cat | None, Cat | Dog | None), (Leg | list[Leg], list[Leg] | Leg), (Node, Node), (Node, LooseNode),
    (Partial, Partial), (Whole, Partial), (Closed, Closed), (Closed, Open), (Closed, Wide), (Wide, Open),
]  # fmt: skip

MISFITS = [
    (float, int), (str, int), (int, str), (int | None, int), (bool, int), (int, bool), (Decimal, float),
    (datetime, date), (date, datetime), (str, datetime), (str, UUID), (str, IPv4Address), (datetime, int),
    (MoreColours, Colour), (str, Colour), (int, Level), (bool, Literal[True]), (Literal["JFK", "lax"], Code),
    (Capitals, Code), (str, Code), (Long, Short), (Fives, Tens), (int, Positive),
    (Positive, Annotated[int, Field(ge=2)]),
    (Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]), (list[int], Filled), (list[int], tuple[int, int]),
    (tuple[int, str], tuple[int, int]), (list[float], list[int]), (dict[str, float], dict[str, int]),
    (dict[str, int], Leg), (list[int], int), (AnyPet, Pet), (OddPet, Pet), (Pet, Cat),
    (dict[str, AnyPet], dict[str, Pet]),
    (Cat | Dog | None, Pet), (LooseNode, Node), (Partial, Whole), (Wide, Closed), (Cat, Dog), (str, Decimal),
]  # fmt: skip

OPEN = [(Any, int), (list[Any], list[int]), (Open, Wide), (Open, Closed), (dict[str, Any], dict[str, int])]


def verdict(writer: Any, reader: Any) -> str:
    are_models = all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in (writer, reader))
    kinds = [writer, reader] if are_models else [of(writer), of(reader)]
    found = compare(
        PydanticContract(kinds[0], "serialization").json_schema(), PydanticContract(kinds[1]).json_schema()
    )
    return "misfit" if found.misfits else "fits" if found.fits else "undecided"


@pytest.mark.parametrize(("writer", "reader"), FITS)
def test_models_that_fit_are_let_through(writer, reader):
    assert verdict(writer, reader) == "fits"


@pytest.mark.parametrize(("writer", "reader"), MISFITS)
def test_models_that_do_not_fit_are_told(writer, reader):
    assert verdict(writer, reader) == "misfit"


@pytest.mark.parametrize(("writer", "reader"), OPEN)
def test_what_a_writer_leaves_open_is_not_decided(writer, reader):
    assert verdict(writer, reader) == "undecided"


KINDS: dict[Any, list[Any]] = {
    int: [0, -7], float: [0.5, 2.0], str: ["", "JFK"], bool: [True], int | None: [None, 3], str | None: [None, "z"],
    datetime: [datetime(2020, 1, 1, tzinfo=UTC)], date: [date(2020, 1, 1)], UUID: [UUID(int=1)], bytes: [b"x"],
    Decimal: [Decimal("1.5")], Colour: [Colour.RED], MoreColours: [MoreColours.GREEN], Level: [Level.LOW],
    Literal["red"]: ["red"], Code: ["JFK"], Capitals: ["ABCD"], Short: ["abc"], Long: ["abcdefgh"], Positive: [1],
    Tens: [20], Fives: [15], list[int]: [[], [1, 1]], set[int]: [{1}], Filled: [[2]], list[str]: [["a"]],
    tuple[int, str]: [(1, "a")], dict[str, int]: [{"k": 1}], dict[str, float]: [{"k": 0.5}],
    Leg: [Leg(origin="a", miles=1)],
    LongLeg: [LongLeg(origin="a", miles=1)], list[Leg]: [[Leg(origin="a", miles=1)]], Leg | None: [None],
    Pet: [Cat(kind="cat", lives=9)], AnyPet: [Bird(kind="bird", wings=2)], int | str: [1, "x"],
    Node: [Node(value=1, children=[Node(value=2)])], timedelta: [timedelta(hours=1)],
}  # fmt: skip


def pairs(random: Random, count: int):
    """Yield made-up pairs of models that share names, and an event of the first."""
    kinds = list(KINDS)
    for _ in range(count):
        names = random.sample(["id", "at", "size", "kind", "legs", "note"], random.randint(1, 4))
        writes = {name: random.choice(kinds) for name in names}
        reads = {
            name: kind if random.random() < 0.8 else random.choice(kinds) for name, kind in writes.items()
        }
        if random.random() < 0.3:
            reads.popitem()
        defaults = {name: None if random.random() < 0.2 else ... for name in reads}
        writer = create_model("Writes", **{name: (kind, ...) for name, kind in writes.items()})
        reader = create_model("Reads", **{name: (kind, defaults[name]) for name, kind in reads.items()})
        yield writer, reader, writer(**{name: random.choice(KINDS[kind]) for name, kind in writes.items()})


def decided(count: int, seed: int) -> float:
    """Return the share of pairs that are decided. What fits is read by the very contracts of the engine."""
    unknown = 0
    for writer, reader, event in pairs(Random(seed), count):
        writes, reads = PydanticContract(writer, "serialization"), PydanticContract(reader)
        found = compare(writes.json_schema(), reads.json_schema())
        unknown += bool(found.undecided)
        if found.fits:
            reads.decode(writes.encode(event))
    return 1 - unknown / count


def test_nearly_all_pairs_of_models_are_decided_and_what_fits_is_read():
    assert decided(60, seed=1) >= 0.95


@pytest.mark.slow
def test_nearly_all_of_many_pairs_of_models_are_decided_and_what_fits_is_read():
    assert decided(400, seed=2) >= 0.95
