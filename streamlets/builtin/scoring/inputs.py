"""From events to tensors: an event's data is decoded into exactly the fields that the model takes.

What is decoded on the hot path is not the whole event; what cannot be decoded takes a slower path that says why.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from blueprints.expressions import is_field
from streamlets.builtin.scoring.datatypes import (
    EVENT_TYPES,
    INTEGER,
    KINDS,
    NUMBER,
    PYTHON_TYPES,
    TEXT,
    TRUTH,
    UNKNOWN,
    A,
)
from streamlets.builtin.scoring.mismatch import Mismatch
from streamlets.errors import Rejected
from streamlets.evaluation import Evaluation, attributes_of
from streamlets.event import Delivery, decode, is_structured
from streamlets.inference import ModelMetadata, Tensor, TensorSpec
from streamlets.ports import DeadLetter

Row = tuple[Any, ...]
"""The values of one event, in the order of the tensors' columns; a vector is one value, a list."""

Contracts = Sequence[Mapping[str, Any]]

_VALUE = attrgetter("value")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")  # what a CloudEvents attribute may be called
_AT = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<field>.*)`$")


class Column:
    """One tensor as the blueprint maps it: from fields stacked side by side, one field, or a CEL expression."""

    def __init__(self, tensor: str, given: str | Sequence[str], contracts: Contracts = ()) -> None:
        self.tensor = tensor
        self.is_stacked = not isinstance(given, str)
        self.fields = [given] if isinstance(given, str) else list(given)
        is_expression = isinstance(given, str) and not is_field(given)
        self.expression = (
            Evaluation(self.fields[0], f"input '{tensor}',", contracts) if is_expression else None
        )
        self.datatype = UNKNOWN
        self.width = len(self.fields)  # values of one row in the tensor
        self.is_vector = False  # one field that holds the whole row of the tensor
        self.is_flat = False  # the tensor has one dimension only

    @property
    def kind(self) -> str:
        return KINDS[self.datatype]

    @property
    def slots(self) -> int:
        """How many values of a `Row` it takes."""
        return len(self.fields)

    def fit(self, spec: TensorSpec) -> str | None:
        """Take over datatype and shape from the model's metadata; return what does not fit, if anything."""
        if spec.datatype not in KINDS:
            return f"input '{self.tensor}' is {spec.datatype}, which JSON cannot carry"
        self.datatype = spec.datatype
        inner = spec.shape[1:]
        if not spec.shape:
            return None
        if spec.shape[0] > 1:
            return f"input '{self.tensor}' is {_shape(spec)}: its number of rows is fixed"
        if len(inner) > 1:
            return f"input '{self.tensor}' is {_shape(spec)}: more than two dimensions cannot be mapped"
        if not inner:
            self.is_flat = True
            return None if self.width == 1 else self._misfit(spec)
        if self.is_stacked or inner[0] == 1:
            return None if inner[0] in (-1, self.width) else self._misfit(spec)
        if inner[0] < 0:
            return f"input '{self.tensor}' is {_shape(spec)}: its width is open; list the fields to stack"
        self.is_vector, self.width = True, inner[0]
        return None

    def _misfit(self, spec: TensorSpec) -> str:
        fields = f"{self.width} field" + ("s" if self.width > 1 else "")
        return f"input '{self.tensor}' is {_shape(spec)}, but {fields} {'are' if self.width > 1 else 'is'} mapped to it"


def _shape(spec: TensorSpec) -> str:
    return f"{spec.datatype} {spec.shape}"


@functools.lru_cache(
    maxsize=64
)  # half a millisecond; blueprint tests and updates build the same again and again
def _decoder(
    types: tuple[tuple[str, Any], ...], extra: tuple[tuple[str, str], ...]
) -> msgspec.json.Decoder[Any]:
    """Return what reads the fields with their types, as f0, f1 …; and those that are only copied, as they lie."""
    shape: list[Any] = [(f"f{i}", kind, msgspec.field(name=field)) for i, (field, kind) in enumerate(types)]
    copied: Any = msgspec.Raw | msgspec.UnsetType
    shape += [(name, copied, msgspec.field(default=msgspec.UNSET, name=field)) for field, name in extra]
    return msgspec.json.Decoder(msgspec.defstruct("Mapped", shape, gc=False))


@functools.lru_cache(maxsize=64)
def _copy(include: tuple[str, ...]) -> Any:
    """Return what is written of an event that is copied."""
    fields = [(f"c{i}", Any, msgspec.field(name=field)) for i, field in enumerate(include)]
    return msgspec.defstruct("Copy", fields, gc=False)


class Inputs:
    """The mapping of a model's inputs, checked against its metadata.

    `max_rows`: 1 for a model that takes one row at a time, else None.
    """

    def __init__(
        self,
        given: Mapping[str, str | Sequence[str]],
        include: Sequence[str],
        metadata: ModelMetadata | None,
        contracts: Contracts = (),
    ) -> None:
        """`contracts`: JSON Schemas of the events.

        Raises: Mismatch (`tensor-mismatch`), naming every input that does not fit.
        """
        self.columns = [Column(tensor, source, contracts) for tensor, source in given.items()]
        self.max_rows: int | None = None
        if metadata is not None and metadata.inputs:
            self._fit(metadata)
        self._is_one = len(self.columns) == 1 and not self.columns[0].is_vector
        self._include = list(include)
        self._prepare()

    def _fit(self, metadata: ModelMetadata) -> None:
        specs = {spec.name: spec for spec in metadata.inputs}
        mapped = {column.tensor for column in self.columns}
        problems = [(name, f"input '{name}' is mapped to nothing") for name in specs if name not in mapped]
        for column in self.columns:
            spec = specs.get(column.tensor)
            if spec is None:
                problems.append((column.tensor, f"there is no input '{column.tensor}'"))
                continue
            problem = column.fit(spec)
            if problem is not None:
                problems.append((column.tensor, problem))
            elif spec.shape[:1] == [1]:
                self.max_rows = 1
        if problems:
            inputs = ", ".join(f"{spec.name} {_shape(spec)}" for spec in metadata.inputs)
            raise Mismatch("inputs", problems, f"the model takes {inputs}")

    def _prepare(self) -> None:
        types: dict[str, Any] = {}
        for column in self.columns:
            if column.expression is not None:
                continue
            kind: Any = EVENT_TYPES[column.kind]
            exact = msgspec.Meta(min_length=column.width, max_length=column.width)
            wanted = Annotated[list[kind], exact] if column.is_vector else kind
            for field in column.fields:
                before, now = types.get(field), wanted
                # a field that is an integer for one tensor and a number for another has to be both
                types[field] = now if before in (None, EVENT_TYPES[NUMBER]) or before == now else before
                if before is not None and now != before and {now, before} != {int, EVENT_TYPES[NUMBER]}:
                    raise Mismatch("inputs", [(column.tensor, f"field '{field}' cannot be of two kinds")])
        names = {field: f"f{i}" for i, field in enumerate(types)}
        extra = {field: f"g{i}" for i, field in enumerate(self._include) if field not in names}
        self._decode: Callable[[bytes], Any] = _decoder(tuple(types.items()), tuple(extra.items())).decode
        order = [names[field] for c in self.columns if c.expression is None for field in c.fields]
        self._take: Callable[[Any], Row]
        if order == [*names.values(), *extra.values()]:
            self._take = msgspec.structs.astuple
        elif len(order) == 1:
            only = attrgetter(order[0])
            self._take = lambda fields: (only(fields),)
        elif order:
            self._take = attrgetter(*order)
        else:
            self._take = lambda fields: ()
        expressions = [column.expression for column in self.columns if column.expression is not None]
        self._has_expressions = bool(expressions)
        self._asks_for_event = any(expression.asks_for_event for expression in expressions)
        # An event in structured mode is an object too: it must not be taken for its own data.
        self._may_be_envelope = all(_ATTRIBUTE.fullmatch(field) for field in names)
        # What is included and not mapped is never decoded; what the event does not have is left out.
        taken = [names.get(f) or extra[f] for f in self._include]
        self._copied: Callable[[Any], Row] = attrgetter(*taken, *taken[:1]) if taken else lambda fields: ()
        self._make_copy: Callable[..., Any] = _copy(tuple(self._include))
        self._encode = msgspec.json.Encoder().encode

    @property
    def layout(self) -> tuple[tuple[str, str, int, bool], ...]:
        """What rows look like: two mappings of the same layout can stand for each other."""
        return tuple((c.tensor, c.datatype, c.width, c.is_vector) for c in self.columns)

    @property
    def names(self) -> list[list[str]]:
        """The columns' names, tensor by tensor: fields, or the expression."""
        return [column.fields for column in self.columns]

    # --- events → rows

    def rows(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[Row], list[int], list[bytes], list[DeadLetter]]:
        """Return (rows, their indexes among the deliveries, copies, what cannot be scored).

        A copy is what is included of an event, a JSON object; there are none where nothing is included.
        """
        if not self._has_expressions and not self._may_be_envelope:
            try:
                found = list(map(self._decode, map(_VALUE, deliveries)))
            except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                copies = [self._copy(fields) for fields in found] if self._include else []
                return list(map(self._take, found)), list(range(len(deliveries))), copies, []
        rows: list[Row] = []
        indexes: list[int] = []
        copies = []
        dead: list[DeadLetter] = []
        for i, delivery in enumerate(deliveries):
            try:
                row, fields = self._row(delivery)
            except Rejected as exc:
                dead.append(DeadLetter(i, exc.code, exc.message))
                continue
            rows.append(row)
            indexes.append(i)
            if self._include:
                copies.append(self._copy(fields))
        return rows, indexes, copies, dead

    def _row(self, delivery: Delivery) -> tuple[Row, Any]:
        data = decode(delivery).data if is_structured(delivery) else delivery.value
        if data is None:
            raise Rejected("the event has no data", code="against-contract")
        try:
            fields = self._decode(data)
        except msgspec.ValidationError as exc:
            raise Rejected(_in_words(str(exc)), code="against-contract") from exc
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            name = _not_finite(data)
            if name is not None:
                raise Rejected(f"field '{name}' is NaN or infinite", code="against-contract") from exc
            raise Rejected("the event's data is no JSON", code="undecodable") from exc
        row = self._take(fields)
        if self._has_expressions:
            attributes = attributes_of(decode(delivery)) if self._asks_for_event else None
            row = self._with_expressions(row, data, attributes)
        return row, fields

    def _with_expressions(self, row: Row, data: bytes, attributes: Mapping[str, Any] | None) -> Row:
        taken = iter(row)
        full: list[Any] = []
        for column in self.columns:
            if column.expression is None:
                full.extend(next(taken) for _ in column.fields)
                continue
            value = column.expression.of(data, attributes)
            parts = value if column.is_vector and isinstance(value, list) else [value]
            allowed = PYTHON_TYPES[column.kind]
            if len(parts) != (column.width if column.is_vector else 1) or not all(
                type(v) in allowed for v in parts
            ):
                wanted = (
                    f"{column.width} values, each {A[column.kind]}" if column.is_vector else A[column.kind]
                )
                raise Rejected(
                    f"input '{column.tensor}': the expression gives not {wanted}", code="against-contract"
                )
            if column.kind == NUMBER and not all(map(math.isfinite, parts)):
                raise Rejected(
                    f"input '{column.tensor}': the expression gives NaN or infinity", code="against-contract"
                )
            full.append(value)
        return tuple(full)

    def _copy(self, fields: Any) -> bytes:
        return self._encode(self._make_copy(*self._copied(fields)[:-1]))

    # --- rows → tensors

    def tensors(self, rows: Sequence[Row]) -> list[Tensor]:
        """Return the tensors of a call of these rows."""
        n = len(rows)
        if self._is_one:
            column = self.columns[0]
            shape = [n] if column.is_flat else [n, column.width]
            return [Tensor(column.tensor, column.datatype, shape, list(chain.from_iterable(rows)))]
        tensors = []
        at = 0
        for column in self.columns:
            end = at + column.slots
            data: list[Any]
            if column.is_vector:
                data = list(chain.from_iterable([row[at] for row in rows]))
            elif end == at + 1:
                data = [row[at] for row in rows]
            else:
                data = list(chain.from_iterable([row[at:end] for row in rows]))
            shape = [n] if column.is_flat else [n, column.width]
            tensors.append(Tensor(column.tensor, column.datatype, shape, data))
            at = end
        return tensors


def _in_words(text: str) -> str:
    """Return a decoder's complaint in the words of an event's author; it holds no values."""
    missing = re.fullmatch(r"Object missing required field `(.*?)`.*", text)
    if missing:
        return f"field '{missing[1]}' is missing"
    found = _AT.match(text)
    what, field = (found["what"], found["field"]) if found else (text, "")
    for type_name, one in (
        ("int | float", A[NUMBER]),
        ("int", A[INTEGER]),
        ("bool", A[TRUTH]),
        ("str", A[TEXT]),
    ):
        what = what.replace(f"Expected `{type_name}`", f"expected {one}")
    what = what.replace("got `null`", "got null")
    return f"field '{field}': {what}" if field else f"the event's data: {what}"


def _not_finite(data: bytes) -> str | None:
    """Return the name of a field whose value is a bare NaN or infinity, which is no JSON, but which some write."""
    if b"NaN" not in data and b"Infinity" not in data:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict):
        for name, value in document.items():
            if isinstance(value, float) and not math.isfinite(value):
                return str(name)[:100]
    return None
