"""`filter`: lets through the events for which a condition is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import Field

from blueprints.expressions import Expression, ExpressionError, free_names
from streamlets.errors import Rejected
from streamlets.event import data_of
from streamlets.ports import (
    Batch,
    Context,
    DeadLetter,
    Emit,
    Finding,
    Inlet,
    OptionsBase,
    Outcome,
    Outlet,
    Wiring,
)


class Filter:
    """Lets events through, unchanged, for which a condition over their fields is true; the others are filtered out."""

    class Options(OptionsBase):
        where: str = Field(
            description="the condition, a CEL expression over the fields of the event's data",
            examples=["distance > 500 && carrier == 'UA'"],
            min_length=1,
        )

    inlets = (Inlet("in", description="events with a JSON object as data"),)
    outlets = (Outlet("out", required=True, description="the events for which the condition is true"),)

    @staticmethod
    def check(options: Options, wiring: Wiring) -> Sequence[Finding]:
        """Return what is wrong with the condition, with the column inside it."""
        try:
            Expression(options.where)
        except ExpressionError as exc:
            return [Finding("bad-expression", ("where",), str(exc))]
        return []

    def __init__(self, options: Options, context: Context) -> None:
        self._where = options.where
        self._expression = Expression(options.where)
        # Only the fields that the condition asks for are decoded; the rest of the data is skipped over.
        self._names = free_names(options.where)
        fields = [
            (f"f{i}", Any, msgspec.field(name=name, default=msgspec.UNSET))
            for i, name in enumerate(self._names)
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Asked", fields))

    async def process(self, batch: Batch) -> Outcome:
        """Return the events for which the condition is true, as they came."""
        emits: list[Emit] = []
        filtered: list[int] = []
        dead: list[DeadLetter] = []
        for index, delivery in enumerate(batch.deliveries):
            try:
                data = data_of(delivery)
                if self._is_true(data):
                    emits.append(Emit("out", data, index, copies=True))
                else:
                    filtered.append(index)
            except Rejected as exc:
                dead.append(DeadLetter(index, exc.code, str(exc)))
        return Outcome(emits=emits, dead=dead, filtered=filtered)

    def _is_true(self, data: bytes | None) -> bool:
        try:
            asked = msgspec.structs.astuple(self._decoder.decode(data or b""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected("the data are no JSON object", code="against-contract") from exc
        fields = {
            name: value for name, value in zip(self._names, asked, strict=True) if value is not msgspec.UNSET
        }
        try:
            result = self._expression.evaluate(fields)
        except ExpressionError as exc:
            raise Rejected(f"the condition {self._where!r} fails: {exc}", code="expression-failed") from exc
        if not isinstance(result, bool):
            raise Rejected(
                f"the condition {self._where!r} gives a {type(result).__name__}, not true or false",
                code="expression-failed",
            )
        return result
