"""An expression over the data of events, decoding no more of them than the fields that it names."""

from __future__ import annotations

from typing import Any

import msgspec

from blueprints.expressions import Expression, ExpressionError, free_names
from streamlets.errors import Rejected
from streamlets.event import Event

_ATTRIBUTES = ("id", "source", "type", "subject", "time", "dataschema", "datacontenttype")


class Evaluation:
    """A field's name or a CEL expression, evaluated over JSON objects. Raises: ExpressionError where it is no CEL."""

    def __init__(self, text: str, what: str) -> None:
        """`what` it is, for messages: `the condition`."""
        self._told = f"{what} {text!r}"
        self._expression = Expression(text)
        self.names = free_names(text)
        fields = [
            (f"f{at}", Any, msgspec.field(name=name, default=msgspec.UNSET))
            for at, name in enumerate(self.names)
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Asked", fields))

    def __repr__(self) -> str:
        return f"<Evaluation of {self._told}>"

    def of(self, data: bytes | None) -> Any:
        """Return the expression's value over the data.

        Raises: Rejected, `against-contract` where the data are no JSON object, `bad-expression` where a field is
        missing or of the wrong kind; the message holds no value.
        """
        return self._value(self._fields(data))

    def of_event(self, event: Event) -> Any:
        """Return the expression's value over the data, with the event's attributes under `event`.

        The data are looked into only where the expression names a field of theirs. Raises: as `of` does.
        """
        fields = self._fields(event.data) if self.names != ["event"] else {}
        attributes = {name: value for name in _ATTRIBUTES if (value := getattr(event, name)) is not None}
        return self._value(fields | {"event": attributes | event.extensions})

    def _fields(self, data: bytes | None) -> dict[str, Any]:
        try:
            asked = msgspec.structs.astuple(self._decoder.decode(data or b""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected("the data are no JSON object", code="against-contract") from exc
        return {
            name: value for name, value in zip(self.names, asked, strict=True) if value is not msgspec.UNSET
        }

    def _value(self, fields: dict[str, Any]) -> Any:
        try:
            return self._expression.evaluate(fields)
        except ExpressionError as exc:
            raise self.rejected(f"fails: {exc}") from exc

    def rejected(self, why: str) -> Rejected:
        """Return the error of a value that is not what was asked for."""
        return Rejected(f"{self._told} {why}", code="bad-expression")
