"""Rows of events: the payload log of model calls, column by column, or one row from an event's own fields.

The stage only counts rows, which costs a look at shapes and names; the numbers themselves are read in the child.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamlets.errors import Rejected
from streamlets.event import Event

if TYPE_CHECKING:
    from detectors.detector import Floats

Side = Literal["request", "response"]

_TYPES: dict[Side, frozenset[str]] = {
    "request": frozenset({"org.kubeflow.serving.inference.request", "io.seldon.serving.inference.request"}),
    "response": frozenset(
        {"org.kubeflow.serving.inference.response", "io.seldon.serving.inference.response"}
    ),
}
_PAYLOAD_TYPES = _TYPES["request"] | _TYPES["response"] | {"io.seldon.serving.feedback"}

Number = float | bool | None
_MOST_NAMES = 12  # in a message: enough to see the slip, and never a page


class _Parameters(msgspec.Struct):
    columns: list[str] | None = None


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str = ""
    data: msgspec.Raw = msgspec.Raw()
    parameters: _Parameters | None = None


class _Body(msgspec.Struct):
    """A V2 body, of a request or of a response."""

    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []
    model_name: str = ""
    model_version: str = ""


_BODY = msgspec.json.Decoder(_Body)
_FLAT = msgspec.json.Decoder(list[Number])
_NESTED = msgspec.json.Decoder(list[list[Number]])


class Taken(msgspec.Struct, frozen=True):
    """What a window keeps of an event: its number of rows, the `model@version` it names, and the numbers as they lie.

    `parts`: of an event that is a row, its data; of a payload, for each tensor with features
    [name, data, rows, columns, [[feature, column], …]].
    """

    n_rows: int
    model: str
    parts: bytes | list[Any]


@functools.lru_cache(maxsize=64)  # blueprint tests build their streamlets anew for every case
def _decoder(features: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return what reads these fields of an event; what is not there is UNSET."""
    fields: list[Any] = [(f"f{i}", Number | msgspec.UnsetType, msgspec.UNSET) for i in range(len(features))]
    names = {f"f{i}": name for i, name in enumerate(features)}
    return msgspec.json.Decoder(msgspec.defstruct("Fields", fields, rename=names))


class Rows:
    """Reads the features of events. A feature is a tensor's column, a tensor of its own, or a field of the event."""

    def __init__(self, features: Sequence[str], on: Side) -> None:
        self._features = tuple(features)
        self._on: Side = on
        self._event = _decoder(self._features)

    def take(self, event: Event) -> Taken | None:
        """Return what to keep of the event; None: it has no row of ours, and is filtered.

        Raises: Rejected (`undecodable`, `against-contract`) for an event that has rows and not these features.
        """
        try:
            if event.type in _PAYLOAD_TYPES:
                return self._take_payload(event) if event.type in _TYPES[self._on] else None
            return self._take_fields(event)
        except msgspec.ValidationError as exc:
            raise Rejected(str(exc), code="against-contract") from exc  # names the place and types, no value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected("the data is not JSON", code="undecodable") from exc

    def read(self, parts: bytes | list[Any]) -> Floats:
        """Return the rows of what was taken: float64 (n_rows, n_features); null is NaN.

        Raises: ValueError saying what is wrong with the numbers, without one of them.
        """
        import numpy as np

        if isinstance(parts, bytes):
            found = self._event.decode(parts)
            row = [getattr(found, name) for name in found.__struct_fields__]
            return np.array([[None if value is msgspec.UNSET else value for value in row]], np.float64)
        columns: list[Any] = [None] * len(self._features)
        for name, data, n_rows, width, places in parts:
            numbers = _numbers(name, data, n_rows, width)
            for feature, column in places:
                columns[feature] = numbers[:, column]
        return np.column_stack(columns)

    def _take_fields(self, event: Event) -> Taken | None:
        data = event.data or b""
        found = self._event.decode(data)
        if all(getattr(found, name) is msgspec.UNSET for name in found.__struct_fields__):
            return None
        return Taken(1, _model(event, "", ""), data)

    def _take_payload(self, event: Event) -> Taken | None:
        body = _BODY.decode(event.data or b"")
        tensors = body.inputs if self._on == "request" else body.outputs
        if not tensors:
            if self._on == "response":
                return None  # the call failed: its error has no rows
            raise Rejected("the request has no inputs: it is no V2 body", code="against-contract")
        n_rows = tensors[0].shape[0] if tensors[0].shape else -1
        if n_rows < 0 or any(tensor.shape[:1] != [n_rows] for tensor in tensors):
            raise Rejected("the tensors differ in their numbers of rows", code="against-contract")
        there: dict[str, tuple[int, int]] = {}
        widths = []
        for index, tensor in enumerate(tensors):
            names = _columns(tensor)
            widths.append(len(names))
            for column, name in enumerate(names):
                there[name] = (index, column)
        parts: dict[int, list[Any]] = {}
        for feature, name in enumerate(self._features):
            place = there.get(name)
            if place is None:
                has = ", ".join([*there][:_MOST_NAMES]) + (", …" if len(there) > _MOST_NAMES else "")
                raise Rejected(f"feature {name!r} is not among {has}", code="against-contract")
            index, column = place
            if index not in parts:
                tensor = tensors[index]
                data = bytes(tensor.data)
                if not data or tensor.datatype == "BYTES":
                    what = "texts" if data else "no JSON numbers"
                    raise Rejected(f"tensor {tensor.name!r} holds {what}", code="against-contract")
                parts[index] = [tensor.name, data, n_rows, widths[index], []]
            parts[index][4].append((feature, column))
        if not n_rows:
            return None
        return Taken(n_rows, _model(event, body.model_name, body.model_version), [*parts.values()])


def _columns(tensor: _Tensor) -> list[str]:
    """Return the names of a tensor's columns: as the payload log says them, else `x`, or `x[0]`, `x[1]`, …"""
    width = 1
    for size in tensor.shape[1:]:
        width *= size
    named = tensor.parameters.columns if tensor.parameters is not None else None
    if named is not None:
        if len(named) != width:
            raise Rejected(
                f"tensor {tensor.name!r} has {width} columns and {len(named)} names", code="against-contract"
            )
        return named
    if width == 1:
        return [tensor.name]
    if not 0 < width <= 100_000:
        raise Rejected(f"tensor {tensor.name!r} has {width} columns", code="against-contract")
    return [f"{tensor.name}[{column}]" for column in range(width)]


def _numbers(name: str, data: bytes, n_rows: int, width: int) -> Floats:
    """Return a tensor as float64 (n_rows, width). Raises: ValueError without a value in it."""
    import numpy as np

    values: list[Any]
    try:
        values = _FLAT.decode(data)
    except msgspec.ValidationError:
        try:
            values = [value for row in _NESTED.decode(data) for value in row]
        except msgspec.ValidationError as exc:
            raise ValueError(f"tensor {name!r} holds something else than numbers") from exc
    if len(values) != n_rows * width:
        raise ValueError(f"tensor {name!r} of shape [{n_rows}, {width}] holds {len(values)} numbers")
    return np.array(values, np.float64).reshape(n_rows, width)


def _model(event: Event, name: str, version: str) -> str:
    """Return `model@version` as far as the event names them: by its extensions, else by the body's names."""
    said = event.extensions
    name = said.get("modelname") or name or said.get("inferenceservicename", "")
    version = said.get("modelversion") or version
    return f"{name}@{version}" if version else name
