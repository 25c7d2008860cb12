"""Small ONNX models for tests, written byte by byte: no binary files in the repository, no package to write them."""

from __future__ import annotations

import struct
from pathlib import Path

FLOAT, INT64, DOUBLE = 1, 7, 11


def linear(
    path: Path, weights: list[float], bias: float = 0.0, version: str | None = None, kind: int = FLOAT
) -> Path:
    """Write the model y = x · weights + bias: `x` is (n, len(weights)), `y` is (n, 1)."""
    n = len(weights)
    graph = (
        _field(1, _field(1, b"x") + _field(1, b"w") + _field(1, b"b") + _field(2, b"y") + _field(4, b"Gemm"))
        + _field(2, b"linear")
        + _field(5, _constant("w", [n, 1], weights, kind))
        + _field(5, _constant("b", [1], [bias], kind))
        + _field(11, _value("x", kind, [None, n]))
        + _field(12, _value("y", kind, [None, 1]))
    )
    return _write(path, graph, version)


def _write(path: Path, graph: bytes, version: str | None) -> Path:
    model = _number(1, 8) + _field(8, _number(2, 13)) + _field(7, graph)
    if version is not None:
        model += _field(14, _field(1, b"version") + _field(2, version.encode()))
    path.write_bytes(model)
    return path


def _constant(name: str, shape: list[int], values: list[float], kind: int) -> bytes:
    layout = {FLOAT: "f", DOUBLE: "d", INT64: "q"}[kind]
    raw = struct.pack(f"<{len(values)}{layout}", *values)
    return (
        b"".join(_number(1, d) for d in shape) + _number(2, kind) + _field(8, name.encode()) + _field(9, raw)
    )


def _value(name: str, kind: int, shape: list[int | None]) -> bytes:
    dims = b"".join(_field(1, _field(2, b"n") if d is None else _number(1, d)) for d in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def recommender(path: Path) -> Path:
    """Write the model rating = products + users, pair = both; all are (n, 1), but `pair` (n, 2)."""
    axis = _field(5, _field(1, b"axis") + _number(3, 1) + _number(20, 2))
    both = _field(1, b"products") + _field(1, b"users")
    graph = (
        _field(1, both + _field(2, b"rating") + _field(4, b"Add"))
        + _field(1, both + _field(2, b"pair") + _field(4, b"Concat") + axis)
        + _field(2, b"recommender")
        + _field(11, _value("products", FLOAT, [None, 1]))
        + _field(11, _value("users", FLOAT, [None, 1]))
        + _field(12, _value("rating", FLOAT, [None, 1]))
        + _field(12, _value("pair", FLOAT, [None, 2]))
    )
    return _write(path, graph, "1")
