"""From a departure to what the model asks for. Training and serving both call `features`, so they cannot differ."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, Field

ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = (
    "9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV",
)  # fmt: skip
UNKNOWN = -1  # the code of an airport or an airline that the models have never seen

FEATURES = ("distance", "hour", "origin_code", "carrier_code", "temp", "wind", "visibility", "pressure")
"""The columns of the models' input `x`, in their order."""

_ORIGIN_CODES = {origin: code for code, origin in enumerate(ORIGINS)}
_CARRIER_CODES = {carrier: code for code, carrier in enumerate(CARRIERS)}


class Departure(BaseModel):
    """A flight as the airport reports it, with its weather. What it also says (tail number, arrival …) is left aside.

    The weather is that of its airport in the hour of the scheduled departure; null where there is no reading of the
    last six hours.
    """

    carrier: str = Field(description="the airline's two-letter code")
    flight: int = Field(description="the flight's number")
    origin: str = Field(description="the airport it leaves from")
    dest: str = Field(description="the airport it goes to")
    distance: float = Field(ge=0, description="between the two, in miles")
    hour: int = Field(ge=0, le=24, description="the hour of the scheduled departure, local time")
    time_hour: AwareDatetime = Field(description="the scheduled departure, cut to the hour")
    dep_time: int | None = Field(description="the actual departure, local time as HHMM; null: cancelled")
    temp: float | None = Field(description="°F")
    wind: float | None = Field(description="miles an hour")
    visibility: float | None = Field(description="miles, at most 10")
    pressure: float | None = Field(description="hectopascals at sea level")


class FlightFeatures(BaseModel):
    """What the model asks for (`FEATURES`), and what tells a reader which flight it is."""

    carrier: str
    flight: int
    origin: str
    dest: str
    time_hour: AwareDatetime
    distance: float
    hour: float
    origin_code: float = Field(description="the place in ORIGINS; -1 for an airport that is not there")
    carrier_code: float = Field(description="the place in CARRIERS; -1 for an airline that is not there")
    temp: float = Field(description="°F")
    wind: float = Field(description="miles an hour")
    visibility: float = Field(description="miles, at most 10")
    pressure: float = Field(description="hectopascals at sea level")


def features(flight: Departure) -> FlightFeatures | None:
    """Return the features of a flight; None, so filtered out, in two cases.

    A cancelled flight (no departure time: 2.5 % of them) arrives nowhere, so it has no delay to predict. One without
    weather (0.5 %) would need a made-up temperature, and a prediction from made-up input is a made-up prediction.
    """
    if flight.dep_time is None:
        return None
    if flight.temp is None or flight.wind is None or flight.visibility is None or flight.pressure is None:
        return None
    return FlightFeatures(
        carrier=flight.carrier,
        flight=flight.flight,
        origin=flight.origin,
        dest=flight.dest,
        time_hour=flight.time_hour,
        distance=flight.distance,
        hour=flight.hour,
        origin_code=_ORIGIN_CODES.get(flight.origin, UNKNOWN),
        carrier_code=_CARRIER_CODES.get(flight.carrier, UNKNOWN),
        temp=flight.temp,
        wind=flight.wind,
        visibility=flight.visibility,
        pressure=flight.pressure,
    )
