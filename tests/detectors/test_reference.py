"""References: written, read, described; and what is refused, with what to do about it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from detectors.detector import Floats
from detectors.reference import FORMAT, BadReference, Reference, inspect, load, save


def rows(seed: int, count: int = 200, width: int = 3) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, width))


@pytest.fixture
def reference() -> Reference:
    first = rows(1)
    first[3, 1] = np.nan
    return Reference("flights", ("distance", "hour", "wind"), first, rows(2, 150), "January to March")


@pytest.fixture
def path(reference: Reference, tmp_path: Path) -> Path:
    path = tmp_path / "reference.npz"
    save(reference, path)
    return path


def rewritten(path: Path, **members: bytes | None) -> Path:
    """Return a copy of the archive with members replaced (`_` for `.`), or left out where None."""
    with zipfile.ZipFile(path) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    content.update({name.replace("_", "."): data for name, data in members.items()})
    copy = path.with_name("copy.npz")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return copy


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)  # type: ignore[arg-type]
    return buffer.getvalue()


def refused(path: Path) -> BadReference:
    with pytest.raises(BadReference) as caught:
        load(path)
    return caught.value


def test_what_is_saved_is_loaded(reference: Reference, path: Path) -> None:
    found = load(path)
    assert found.description == reference.description
    assert np.array_equal(found.rows, reference.rows, equal_nan=True)
    assert np.array_equal(found.calibration, reference.calibration)


def test_the_same_reference_gives_the_same_bytes(reference: Reference, path: Path, tmp_path: Path) -> None:
    save(load(path), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_it_describes_itself_without_numpy(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from detectors.reference import inspect; "
        f"print(inspect(Path({str(path)!r})).id, 'numpy' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == [load(path).description.id, "False"]


def test_numpy_opens_it_too(reference: Reference, path: Path) -> None:
    with np.load(path, allow_pickle=False) as opened:
        assert np.array_equal(opened["reference"], reference.rows, equal_nan=True)


def test_the_id_changes_with_a_row_and_with_a_name(reference: Reference) -> None:
    changed = reference.rows.copy()
    changed[0, 0] += 1e-9
    ids = {
        reference.description.id,
        Reference("flights", reference.features, changed, reference.calibration).description.id,
        Reference("flights", ("a", "hour", "wind"), reference.rows, reference.calibration).description.id,
        Reference("flights", reference.features, reference.calibration, reference.rows).description.id,
    }
    assert len(ids) == 4
    assert all(i.startswith("flights@") for i in ids)


def test_features_are_selected_in_the_order_asked_for(reference: Reference) -> None:
    found = reference.select(["wind", "distance"])
    assert np.array_equal(found.rows, reference.rows[:, [2, 0]])
    with pytest.raises(BadReference, match="flights has no feature 'winds'; it has distance, hour, wind"):
        reference.select(["winds"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.npz").code == "missing-file"
    assert refused(tmp_path / "none.jsonl").code == "missing-file"
    with pytest.raises(BadReference, match=r"none\.npz does not exist"):
        inspect(tmp_path / "none.npz")


def test_pickled_objects_are_untrusted_and_never_run(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (Path.write_text, (tmp_path / "sprung", "x"))  # type: ignore[return-value]

    trapped = rewritten(path, reference_npy=npy(np.array([Trap()], dtype=object)))
    found = refused(trapped)
    assert found.code == "untrusted"
    assert "run code" in str(found)
    assert not (tmp_path / "sprung").exists()


def test_an_archive_of_others_is_refused_with_the_cure(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", x=rows(1))
    found = refused(tmp_path / "foreign.npz")
    assert found.code == "bad-reference"
    assert "make it anew with detectors.reference.save" in str(found)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"reference_npy": None}, "no item named 'reference.npy'"),
        ({"reference_npy": npy(rows(9))}, "its rows are not those"),
        ({"reference_npy": npy(rows(9, width=2))}, r"has shape \(200, 2\); its description says \(200, 3\)"),
        ({"reference_npy": npy(rows(9).astype(np.float32))}, "reference.npy is <f4 of shape"),
        ({"reference_npy": b"\x93NUMPY\x01\x00"}, "reference.npy cannot be read"),
        ({"reference_npy": npy(np.asfortranarray(rows(9)))}, "float64 rows"),
        ({"reference_npy": npy(rows(9))[:-8]}, "float64 rows"),
        ({"reference_json": b"{"}, "reference.json cannot be read"),
        ({"reference_json": b'{"format": 1}'}, "its description has no 'name'"),
        ({"reference_json": b'{"format": 99}'}, f"has format 99; this version reads {FORMAT}: upgrade"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(
    path: Path, members: dict[str, bytes | None], message: str
) -> None:
    with pytest.raises(BadReference, match=message):
        load(rewritten(path, **members))


def test_no_archive_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    assert "is no .npz archive" in str(refused(tmp_path / "text.npz"))
    with pytest.raises(BadReference, match=r"is no \.npz archive"):
        inspect(tmp_path / "text.npz")
    (tmp_path / "rows.csv").write_text("a,b")
    assert "neither .npz nor .jsonl" in str(refused(tmp_path / "rows.csv"))


def test_too_few_rows_and_doubled_names_are_refused() -> None:
    with pytest.raises(BadReference, match="calibration has 20 rows; 100 are the least"):
        Reference("r", ("a", "b", "c"), rows(1), rows(2, 20))
    with pytest.raises(BadReference, match="all different"):
        Reference("r", ("a", "a", "c"), rows(1), rows(2))


def test_json_lines_are_halved_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    lines = [{"hour": i, "wind": None if i % 10 == 0 else i / 2, "night": i < 6} for i in range(401)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = load(path)
    assert found.features == ("hour", "wind", "night")
    assert (len(found.rows), len(found.calibration)) == (200, 201)
    assert found.rows[:3, 0].tolist() == [0.0, 1.0, 2.0]
    assert found.calibration[0, 0] == 200.0
    assert np.isnan(found.rows[::10, 1]).all()
    assert inspect(path) == found.description


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "clean.jsonl:2 is not JSON"),
        ("[1]", "clean.jsonl:2 is not a JSON object"),
        ('{"a": 1, "c": 2}', "clean.jsonl:2 differs from line 1 in 'b', 'c'"),
        ('{"a": 1, "b": "secret"}', "clean.jsonl:2: b is a str, not a number or null"),
        ('{"a": 1, "b": 1' + "0" * 400 + "}", "clean.jsonl:2: b is too large"),
    ],
)
def test_a_bad_line_is_named_without_its_values(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "clean.jsonl"
    path.write_text('{"a": 1, "b": 2}\n' + line + "\n")
    found = refused(path)
    assert message in str(found)
    assert "secret" not in str(found)
