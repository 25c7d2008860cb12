import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blueprints.units import Duration, Rate, Share, Size, UnitError


class Limits(BaseModel):
    model_config = ConfigDict(validate_default=True)

    wait: Duration = Field(default=Duration("5ms"), gt=0)
    room: Size = Size("1MiB")
    pace: Rate | None = None
    part: Share = Share("10%")


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (Duration, "5ms", 0.005),
        (Duration, "1.5s", 1.5),
        (Duration, "7d", 604_800),
        (Size, "1MiB", 1_048_576),
        (Size, "1.5kB", 1500),
        (Rate, "100/s", 100),
        (Rate, "6/m", 0.1),
        (Share, "10%", 0.1),
        (Share, "100%", 1),
    ],
)
def test_a_quantity_is_read_with_its_unit(kind, text, number):
    assert kind(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["5ms", "90s", "1500ms", "7d", "0s"])
def test_a_duration_is_written_as_it_was_read(text):
    assert str(Duration(text)) == text


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Duration, 5, "needs its unit"),
        (Duration, "5", "needs its unit"),
        (Duration, "-5s", "is not a duration"),
        (Duration, "5 parsec", "the units are"),
        (Duration, True, "written as text"),
        (Duration, None, "written as text"),
        (Size, "5MS", "the units are"),
        (Share, "101%", "between 0% and 100%"),
        (Rate, "100", "'100/s'"),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_to_write(kind, value, says):
    with pytest.raises(UnitError, match=says):
        kind.parse(value)


def test_an_options_model_takes_quantities_and_gives_them_back():
    limits = Limits(wait="20ms", room="2kB", pace="5/s")
    assert (limits.wait, limits.room, limits.pace) == (0.02, 2000, 5.0)
    assert Limits.model_validate(limits.model_dump()) == limits
    assert Limits.model_validate_json(limits.model_dump_json()) == limits


def test_an_options_model_refuses_a_bare_number_and_keeps_its_bounds():
    with pytest.raises(ValidationError, match="needs its unit"):
        Limits(wait=5)
    with pytest.raises(ValidationError, match="greater than 0"):
        Limits(wait="0s")


def test_the_json_schema_is_a_pattern_that_accepts_a_variable_too():
    import re

    wait = Limits.model_json_schema()["properties"]["wait"]
    assert wait["type"] == "string"
    assert wait["default"] == "5ms"
    for good in ("5ms", "${WAIT}", "${WAIT:-5ms}", "${N}ms"):
        assert re.search(wait["pattern"], good)
    for bad in ("5", "5parsec", "ms"):
        assert not re.search(wait["pattern"], bad)
