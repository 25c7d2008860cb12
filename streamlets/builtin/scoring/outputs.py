"""From answers to predictions: every tensor is checked in length, shape, type and finiteness before it is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from streamlets.builtin.scoring.datatypes import KINDS, NUMBER, PYTHON_TYPES, TEXT, A
from streamlets.builtin.scoring.mismatch import Mismatch
from streamlets.errors import Broken
from streamlets.inference import InferAnswer, ModelMetadata, Tensor, TensorSpec

UNNAMED = "output"
"""The field of an answer's only tensor, where neither the answer nor the metadata names it."""


class Outputs:
    """The mapping of a model's outputs, checked against its metadata.

    `tensors`: those that are asked for, `fields`: those of the prediction; none where nobody has named them.
    """

    def __init__(self, given: Mapping[str, str], metadata: ModelMetadata | None) -> None:
        """`given`: field of the prediction → tensor; empty: every tensor is the field of its own name.

        Raises: Mismatch (`tensor-mismatch`).
        """
        self._specs: dict[str, TensorSpec] = {}
        if metadata is not None and metadata.outputs:
            self._specs = {spec.name: spec for spec in metadata.outputs}
        fields = dict(given) or {name or UNNAMED: name for name in self._specs}
        self.fields = list(fields)
        self.tensors = list(dict.fromkeys(fields.values()))
        problems = []
        for name in self.tensors if self._specs else ():
            spec = self._specs.get(name)
            if spec is None:
                problems.append((name, f"there is no output '{name}'"))
            elif spec.datatype not in KINDS:
                cure = "" if given else "; name those that are wanted under 'outputs'"
                problems.append((name, f"output '{name}' is {spec.datatype}, which JSON cannot carry{cure}"))
        if problems:
            there = ", ".join(f"{spec.name} {spec.datatype} {spec.shape}" for spec in self._specs.values())
            raise Mismatch("outputs", problems, f"the model gives {there}")
        self._places = [self.tensors.index(name) for name in fields.values()]
        self._starts = _starts(self.fields)

    def read(self, answer: InferAnswer, n: int, what: str) -> list[Tensor]:
        """Return the mapped tensors, every one of them n rows of the right type.

        Raises: Broken (`wrong-length`, `wrong-shape`, `wrong-type`, `not-finite`), saying which tensor.
        """
        by_name = {tensor.name: tensor for tensor in answer.outputs}
        names = self.tensors or list(by_name)
        if not names:
            raise Broken(f"{what}: the answer has no tensor", code="wrong-shape")
        if len(by_name) < len(answer.outputs):
            raise Broken(f"{what}: the answer names two tensors alike", code="wrong-shape")
        found = []
        for name in names:
            tensor = by_name.get(name)
            if tensor is None and len(names) == 1 and list(by_name) == [""]:
                tensor = by_name[""]  # some protocols leave the name of an only tensor away
            if tensor is None:
                raise Broken(f"{what}: the answer has no tensor '{name}'", code="wrong-shape")
            self._check(tensor, n, what)
            found.append(tensor)
        return found

    def _check(self, tensor: Tensor, n: int, what: str) -> None:
        shape, data = tensor.shape, tensor.data
        if not shape or shape[0] != n:
            raise Broken(
                f"{what}: '{tensor.name}' answers {shape[0] if shape else 'no'} of {n} rows",
                code="wrong-length",
            )
        if math.prod(shape) != len(data):
            raise Broken(
                f"{what}: '{tensor.name}' is {shape} but holds {len(data)} values", code="wrong-shape"
            )
        kind = KINDS.get(tensor.datatype)
        spec = self._specs.get(tensor.name)
        if spec is not None:
            width = math.prod(spec.shape[1:])
            if -1 not in spec.shape[1:] and width != math.prod(shape[1:]) and spec.shape:
                raise Broken(f"{what}: '{tensor.name}' is {shape}, not {spec.shape}", code="wrong-shape")
            if kind != KINDS.get(spec.datatype):
                raise Broken(
                    f"{what}: '{tensor.name}' is {tensor.datatype[:20]}, not {spec.datatype}",
                    code="wrong-type",
                )
        if kind is None:
            raise Broken(f"{what}: '{tensor.name}' is of an unknown type", code="wrong-type")
        if not set(map(type, data)) <= PYTHON_TYPES[kind]:
            raise Broken(f"{what}: '{tensor.name}' holds what is not {A[kind]}", code="wrong-type")
        # The sum is finite where all values are, but for sums beyond the largest double.
        if kind == NUMBER and not math.isfinite(sum(data)) and not all(map(math.isfinite, data)):
            raise Broken(f"{what}: '{tensor.name}' holds NaN or infinity", code="not-finite")

    def encode(self, tensors: list[Tensor], n: int) -> list[bytes]:
        """Return the rows' predictions as JSON objects without their closing brace; `tensors` as `read` gave them."""
        starts, places = self._starts, self._places
        if not starts:
            starts, places = (
                _starts([tensor.name or UNNAMED for tensor in tensors]),
                list(range(len(tensors))),
            )
        encoded = [_values(tensor, n) for tensor in tensors]
        columns = [encoded[place] for place in places]
        rows = [starts[0] + value for value in columns[0]]
        for start, column in zip(starts[1:], columns[1:], strict=True):
            rows = [row + start + value for row, value in zip(rows, column, strict=True)]
        return rows


def _starts(fields: Sequence[str]) -> list[bytes]:
    keys = [orjson.dumps(field) + b":" for field in fields]
    return [(b"," if at else b"{") + key for at, key in enumerate(keys)]


def _values(tensor: Tensor, n: int) -> list[bytes]:
    """Return each row's value as JSON: a scalar where a row has one, else a list."""
    width = len(tensor.data) // n
    if width != 1:
        rows: list[Any] = [tensor.data[i : i + width] for i in range(0, len(tensor.data), width)] or [[]] * n
        return [orjson.dumps(row) for row in rows]
    if KINDS.get(tensor.datatype) == TEXT:
        return [orjson.dumps(value) for value in tensor.data]
    return orjson.dumps(tensor.data)[1:-1].split(b",")  # numbers hold no comma: one call for the whole column
