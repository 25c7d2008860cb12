"""`filter`: lets through the events for which a condition is true."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from streamlets.errors import Rejected
from streamlets.evaluation import Condition, Evaluation
from streamlets.event import data_of, decode
from streamlets.ports import (
    Batch,
    Branch,
    Context,
    DeadLetter,
    Emit,
    Fate,
    Inlet,
    OptionsBase,
    Outcome,
    Outlet,
)


class Filter:
    """Lets events through, unchanged, for which a condition over their fields is true; the others are filtered out."""

    class Options(OptionsBase):
        where: Condition = Field(
            description="the condition, a CEL expression over the fields of the event's data; the event's attributes "
            "and extensions are there as `event`, and the data as a whole as `event.data`",
            examples=[
                "distance > 500 && carrier == 'UA'",
                "event.type == 'flight.departure'",
                "has(event.data.gate) && gate != 'C'",
            ],
            min_length=1,
        )

    keeps_state = False
    inlets = (
        Inlet("in", description="events; with a JSON object as data, where the condition names a field"),
    )
    outlets = (
        Outlet("out", required=True, description="the events for which the condition is true", forwards="in"),
    )

    @staticmethod
    def branches(options: Options) -> Sequence[Branch]:
        """Return the ways that events can go."""
        return [Branch(name="passed", outlet="out"), Branch(name="filtered out", fate=Fate.FILTERED)]

    def __init__(self, options: Options, context: Context) -> None:
        self._where = Evaluation(options.where, "the condition", context.contracts.get("in", ()))

    async def process(self, batch: Batch) -> Outcome:
        """Return the events for which the condition is true, as they came."""
        emits: list[Emit] = []
        filtered: list[int] = []
        dead: list[DeadLetter] = []
        for index, delivery in enumerate(batch.deliveries):
            try:
                if self._where.asks_for_event:
                    event = decode(delivery)
                    data, result = event.data, self._where.of_event(event)
                else:
                    data = data_of(delivery)
                    result = self._where.of(data)
                if not isinstance(result, bool):
                    raise self._where.rejected(f"gives a {type(result).__name__}, not true or false")
                if result:
                    emits.append(Emit("out", data, index, copies=True))
                else:
                    filtered.append(index)
            except Rejected as exc:
                dead.append(DeadLetter(index, exc.code, str(exc)))
        return Outcome(emits=emits, dead=dead, filtered=filtered)
