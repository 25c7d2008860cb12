"""References: the rows that windows are compared with, and the held-out ones that a detector is calibrated on.

A file is a zip archive, as numpy's `.npz` is, of `reference.json` (what it is), `reference.npy` and
`calibration.npy` (float64 rows). The description can be read without numpy and without the rows, and nothing in it is
ever unpickled. Clean rows as JSON lines do as well: the first half of them becomes
the reference, the second half the calibration, in their order.

Calibration rows belong in the order in which the stream will bring them, best out of a payload log itself. A window of
two days has one weather; and where partitions are scored beside each other a log has them in blocks, so that windows
vary in what the partitions are keyed by. Rows in another order, or drawn at random, hide how windows vary without
drift, and then every window is one.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.detector import Floats

FORMAT = 1
LEAST_ROWS = 100  # of either part: below, the reference's own noise is larger than most drifts
MAX_BYTES = (
    2 << 30
)  # unpacked; a month of 30 features at 100 rows a second is 62 GB, and 10,000 rows say as much

_DESCRIPTION, _REFERENCE, _CALIBRATION = "reference.json", "reference.npy", "calibration.npy"
_EPOCH = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the archive's own times say nothing: making a reference anew changes no byte


_Part = tuple[tuple[int, ...], bytes]
"""Shape and bytes of an array: float64, row-major, little-endian."""


class BadReference(ValueError):
    """A reference that cannot be used. `code`: `missing-file`, `untrusted` or `bad-reference`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Description:
    """What a reference says of itself. `digest`: SHA-256 over features and rows; `id`: its name and 12 digits of it."""

    name: str
    features: tuple[str, ...]
    rows: int
    calibration_rows: int
    created_from: str
    digest: str

    @property
    def id(self) -> str:
        return f"{self.name}@{self.digest[:12]}"


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Rows known to be clean. rows, calibration: float64 (n_rows, n_features), oldest first; NaN is missing."""

    name: str
    features: tuple[str, ...]
    rows: Floats
    calibration: Floats
    created_from: str = ""
    description: Description = field(init=False)

    def __post_init__(self) -> None:
        """Raises: BadReference for shapes, names or sizes that cannot be meant."""
        if not self.features or len(set(self.features)) != len(self.features) or "" in self.features:
            raise BadReference(
                "bad-reference", f"{self.name}: feature names must be given, and all different"
            )
        for part, rows in (("reference", self.rows), ("calibration", self.calibration)):
            if rows.dtype != "float64" or rows.ndim != 2 or rows.shape[1] != len(self.features):
                raise BadReference(
                    "bad-reference",
                    f"{self.name}: {part} is {rows.dtype} of shape {rows.shape}; "
                    f"{len(self.features)} features need float64 of shape (rows, {len(self.features)})",
                )
            if len(rows) < LEAST_ROWS:
                raise BadReference(
                    "bad-reference",
                    f"{self.name}: {part} has {len(rows)} rows; {LEAST_ROWS} are the least that say anything",
                )
        object.__setattr__(
            self,
            "description",
            Description(
                self.name,
                self.features,
                len(self.rows),
                len(self.calibration),
                self.created_from,
                _digest(
                    self.features,
                    [(part.shape, part.astype("<f8").tobytes()) for part in (self.rows, self.calibration)],
                ),
            ),
        )

    def select(self, features: Sequence[str]) -> Reference:
        """Return the reference of these features only, in this order. Raises: BadReference naming those it lacks."""
        lacking = [name for name in features if name not in self.features]
        if lacking:
            raise BadReference(
                "bad-reference",
                f"{self.name} has no feature {', '.join(map(repr, lacking))}; it has {', '.join(self.features)}",
            )
        columns = [self.features.index(name) for name in features]
        return Reference(
            self.name, tuple(features), self.rows[:, columns], self.calibration[:, columns], self.created_from
        )


def save(reference: Reference, path: Path) -> None:
    """Write a reference as `.npz`; the same reference gives the same bytes."""
    import numpy as np

    about = reference.description
    text = json.dumps(
        {
            "format": FORMAT,
            "name": about.name,
            "features": about.features,
            "rows": about.rows,
            "calibration_rows": about.calibration_rows,
            "created_from": about.created_from,
            "digest": about.digest,
        },
        indent=1,
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_DESCRIPTION, _EPOCH), text)
        for name, rows in ((_REFERENCE, reference.rows), (_CALIBRATION, reference.calibration)):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(rows), allow_pickle=False)
            member = zipfile.ZipInfo(name, _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, buffer.getvalue())


def inspect(path: Path) -> Description:
    """Return what a reference says of itself, its rows compared with its digest; no numpy. Raises: BadReference."""
    if path.suffix != ".npz":
        return load(path).description
    return _read(path)[0]


def load(path: Path) -> Reference:
    """Return the reference in a file: `.npz` as `save` writes it, or JSON lines of clean rows.

    Raises: BadReference, naming the file, the line and the field, never a value.
    """
    if path.suffix in (".jsonl", ".ndjson"):
        return _from_lines(path)
    if path.suffix != ".npz":
        raise BadReference("bad-reference", f"{path.name} is neither .npz nor .jsonl")
    import numpy as np

    about, parts = _read(path)
    rows, calibration = (np.frombuffer(data, np.float64).reshape(shape) for shape, data in parts)
    return Reference(about.name, about.features, rows, calibration, about.created_from)


_MAKE = "make it anew with detectors.reference.save"


def _read(path: Path) -> tuple[Description, list[_Part]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_BYTES:
                raise BadReference(
                    "bad-reference", f"{path.name} unpacks to {size} bytes; {MAX_BYTES} are the most"
                )
            about = _described(path, archive)
            parts = [_part(path, archive, member) for member in (_REFERENCE, _CALIBRATION)]
    except FileNotFoundError as exc:
        raise BadReference("missing-file", f"{path} does not exist") from exc
    except KeyError as exc:
        raise BadReference("bad-reference", f"{path.name}: {exc.args[0]}; {_MAKE}") from exc
    except (
        OSError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        RuntimeError,
    ) as exc:  # RuntimeError: encrypted
        raise BadReference(
            "bad-reference", f"{path.name} is no .npz archive that can be read: {exc}"
        ) from exc
    width = len(about.features)
    for (shape, _), member, rows in zip(
        parts, (_REFERENCE, _CALIBRATION), (about.rows, about.calibration_rows)
    ):
        if shape != (rows, width):
            raise BadReference(
                "bad-reference",
                f"{path.name}: {member} has shape {shape}; its description says {(rows, width)}; {_MAKE}",
            )
    digest = _digest(about.features, parts)
    if digest != about.digest:
        raise BadReference(
            "bad-reference",
            f"{path.name}: its rows are not those of its description (digest {digest[:12]}, "
            f"not {about.digest[:12]}); {_MAKE}",
        )
    return about, parts


def _part(path: Path, archive: zipfile.ZipFile, member: str) -> _Part:
    """Return shape and bytes of an array, after numpy's own format; nothing else than float64 rows is looked at."""
    data = archive.read(member)
    try:
        if data[:6] != b"\x93NUMPY":
            raise ValueError("no array")
        start = 10 if data[6] == 1 else 12
        end = start + int.from_bytes(data[8:start], "little")
        header = ast.literal_eval(data[start:end].decode("latin-1"))
        kind, is_transposed, shape = header["descr"], header["fortran_order"], tuple(header["shape"])
    except (ValueError, SyntaxError, LookupError, TypeError, MemoryError, RecursionError) as exc:
        raise BadReference("bad-reference", f"{path.name}: {member} cannot be read; {_MAKE}") from exc
    if "O" in str(kind):
        raise BadReference(
            "untrusted", f"{path.name}: {member} holds pickled objects, which run code when read; {_MAKE}"
        )
    rows = data[end:]
    if kind != "<f8" or is_transposed or len(shape) != 2 or len(rows) != 8 * shape[0] * shape[1]:
        raise BadReference(
            "bad-reference",
            f"{path.name}: {member} is {kind} of shape {shape} in {len(rows)} bytes; "
            f"float64 rows ('<f8') are needed; {_MAKE}",
        )
    return shape, rows


def _described(path: Path, archive: zipfile.ZipFile) -> Description:
    data = archive.read(_DESCRIPTION)
    try:
        about: dict[str, Any] = json.loads(data)
        if about["format"] != FORMAT:
            raise BadReference(
                "bad-reference",
                f"{path.name} has format {about['format']}; this version reads {FORMAT}: upgrade, or {_MAKE}",
            )
        return Description(
            str(about["name"]),
            tuple(map(str, about["features"])),
            int(about["rows"]),
            int(about["calibration_rows"]),
            str(about["created_from"]),
            str(about["digest"]),
        )
    except BadReference:
        raise
    except KeyError as exc:
        raise BadReference(
            "bad-reference", f"{path.name}: its description has no {exc.args[0]!r}; {_MAKE}"
        ) from exc
    except (ValueError, TypeError, RecursionError) as exc:
        raise BadReference("bad-reference", f"{path.name}: {_DESCRIPTION} cannot be read; {_MAKE}") from exc


def _from_lines(path: Path) -> Reference:
    import numpy as np

    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadReference("bad-reference", f"{path.name} has {size} bytes; {MAX_BYTES} are the most")
        with path.open(encoding="utf-8") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    except FileNotFoundError as exc:
        raise BadReference("missing-file", f"{path} does not exist") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise BadReference(
            "bad-reference", f"{path.name} cannot be read as text: {type(exc).__name__}"
        ) from exc
    features: tuple[str, ...] = ()
    rows: list[list[float]] = []
    for number, line in lines:
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise BadReference("bad-reference", f"{path.name}:{number} is not JSON") from exc
        if not isinstance(row, dict):
            raise BadReference("bad-reference", f"{path.name}:{number} is not a JSON object")
        if not rows:
            features = tuple(row)
        elif set(row) != set(features):
            differing = ", ".join(map(repr, sorted(set(row) ^ set(features))))
            raise BadReference("bad-reference", f"{path.name}:{number} differs from line 1 in {differing}")
        rows.append([_number(row[name], f"{path.name}:{number}: {name}") for name in features])
    array = np.array(rows, np.float64).reshape(len(rows), len(features))
    half = len(array) // 2
    return Reference(path.stem, features, array[:half], array[half:], f"{path.name}, halved in its order")


def _number(value: Any, where: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError as exc:
            raise BadReference("bad-reference", f"{where} is too large for a float") from exc
    raise BadReference("bad-reference", f"{where} is a {type(value).__name__}, not a number or null")


def _digest(features: Sequence[str], parts: Sequence[_Part]) -> str:
    digest = hashlib.sha256(json.dumps([*features]).encode())
    for shape, data in parts:
        digest.update(f"\0{shape}\0".encode())
        digest.update(data)
    return digest.hexdigest()
