"""From a departure to what the model asks for. Training and serving both call `features`, so they cannot differ."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, Field

ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = (
    "9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV",
)  # fmt: skip
UNKNOWN_CARRIER = -1  # an airline that did not fly from New York when the models were trained

FEATURES = ("distance", "hour", "origin_code", "carrier_code", "temp", "wind", "visibility", "pressure")
"""The columns of the models' input `x`, in their order."""

_ORIGIN_CODES = {origin: code for code, origin in enumerate(ORIGINS)}
_CARRIER_CODES = {carrier: code for code, carrier in enumerate(CARRIERS)}


class Departure(BaseModel):
    """A flight as the airport reports it, with the weather. What it also says (tail number, arrival …) is left out."""

    carrier: str = Field(description="the airline's two-letter code")
    flight: int = Field(description="the flight's number")
    origin: str = Field(description="the airport it leaves from")
    dest: str = Field(description="the airport it goes to")
    distance: float = Field(ge=0, description="between the two, in miles")
    hour: int = Field(ge=0, le=24, description="the hour of the scheduled departure, local time")
    time_hour: AwareDatetime = Field(description="the scheduled departure, cut to the hour")
    dep_time: float | None = Field(
        default=None, description="the actual departure, local, HHMM; null: cancelled"
    )
    temp: float | None = Field(
        default=None, description="°F at the airport of origin, in that hour; null: unknown"
    )
    wind: float | None = Field(default=None, description="miles an hour; null: unknown")
    visibility: float | None = Field(default=None, description="miles, at most 10; null: unknown")
    pressure: float | None = Field(default=None, description="hectopascals at sea level; null: unknown")


class FlightFeatures(BaseModel):
    """What the model asks for (`FEATURES`), and what tells a reader which flight it is."""

    carrier: str
    flight: int
    origin: str
    dest: str
    time_hour: AwareDatetime
    distance: float
    hour: float
    origin_code: float = Field(description="the place in ORIGINS")
    carrier_code: float = Field(description="the place in CARRIERS; -1 for an airline that is not there")
    temp: float = Field(description="°F at the airport of origin, in the hour of the scheduled departure")
    wind: float = Field(description="miles an hour")
    visibility: float = Field(description="miles, at most 10")
    pressure: float = Field(description="hectopascals at sea level")


def features(flight: Departure) -> FlightFeatures | None:
    """Return the features of a flight; None, so filtered out, in two cases.

    A cancelled flight (no departure time: 2.5 % of them) arrives nowhere, so it has no delay to predict. One without
    weather (an hour for which its airport has no reading of the last six hours: 0.5 %) would need a made-up
    temperature, and a prediction from made-up input is a made-up prediction.
    """
    temp, wind, visibility, pressure = flight.temp, flight.wind, flight.visibility, flight.pressure
    if flight.dep_time is None or temp is None or wind is None or visibility is None or pressure is None:
        return None
    return FlightFeatures(
        carrier=flight.carrier,
        flight=flight.flight,
        origin=flight.origin,
        dest=flight.dest,
        time_hour=flight.time_hour,
        distance=flight.distance,
        hour=flight.hour,
        origin_code=_ORIGIN_CODES[flight.origin],
        carrier_code=_CARRIER_CODES.get(flight.carrier, UNKNOWN_CARRIER),
        temp=temp,
        wind=wind,
        visibility=visibility,
        pressure=pressure,
    )
