"""`file`: every line once, from wherever it stopped; what cannot be read is told, and never read on in the middle."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamlets.builtin import file as module
from streamlets.builtin.file import File
from streamlets.component import Component
from streamlets.described import Described
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Fatal
from streamlets.event import Event, encode_structured
from streamlets.ports import Emit, Portion, Wiring
from tests.contexts import context


def source(folder: Path, **options: Any) -> File:
    return File(File.Options(**options), context(base_dir=folder))


async def drain(file: File, split: str, position: Any = None, most: int = 1000) -> tuple[list[Portion], Any]:
    portions = []
    while True:
        portion = await file.read(split, position, most)
        portions.append(portion)
        position = json.loads(json.dumps(portion.position))  # as the small state keeps it
        if portion.ended:
            return portions, position


def read(folder: Path, position: Any = None, most: int = 1000, **options: Any) -> tuple[list[Portion], Any]:
    async def main() -> tuple[list[Portion], Any]:
        file = source(folder, **options)
        try:
            (split,) = file.splits()
            return await drain(file, split, position, most)
        finally:
            await file.tear_down()

    return virtual_run(main())


def emits(portions: list[Portion]) -> list[Emit]:
    return [emit for portion in portions for emit in portion.emits]


def lines(folder: Path, content: bytes, **options: Any) -> list[bytes | None]:
    (folder / "a.jsonl").write_bytes(content)
    return [emit.data for emit in emits(read(folder, path="a.jsonl", **options)[0])]


def test_each_line_is_an_event_with_the_line_as_its_data(tmp_path: Path) -> None:
    assert lines(tmp_path, b'{"n": 1}\n{"n":2}\r\n  [3]\n') == [b'{"n": 1}', b'{"n":2}', b"[3]"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"1\n\n2", [b"1", b"2"]),
        (b"\xef\xbb\xbf1\n2\n", [b"1", b"2"]),
        (b"1", [b"1"]),
    ],
)
def test_empty_lines_marks_and_a_missing_last_newline_are_no_trouble(
    tmp_path: Path, content: bytes, found: list[bytes]
) -> None:
    assert lines(tmp_path, content) == found


def test_ids_are_of_the_place_and_differ(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n1\n1\n")
    first = [emit.id for emit in emits(read(tmp_path, path="a.jsonl")[0])]
    assert len(set(first)) == 3
    assert first == [emit.id for emit in emits(read(tmp_path, path="a.jsonl", most=1)[0])]


def test_id_and_time_come_from_the_data_where_asked_for(tmp_path: Path) -> None:
    rows = [
        {"no": 7, "at": "2013-01-01T05:15:00.123456+01:00"},
        {"no": "b", "at": "2013-01-01 05:15"},
        {"no": 3, "at": 1357017300},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = emits(read(tmp_path, path="a.jsonl", id="no", time="at", type="row")[0])
    assert [(emit.id, emit.time, emit.type) for emit in found] == [
        ("7", "2013-01-01T04:15:00.123456Z", "row"),
        ("b", "2013-01-01T05:15:00Z", "row"),
        ("3", "2013-01-01T05:15:00Z", "row"),
    ]
    found = emits(read(tmp_path, path="a.jsonl", id="'x' + string(no)")[0])
    assert [emit.id for emit in found] == ["x7", "xb", "x3"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b'{"no":NaN}', "not JSON"),
        (b'{"no":"\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"at":"2013-01-01"}', "the id 'no' fails: there is no field 'no'"),
        (b'{"no":null,"at":"2013-01-01"}', "the id 'no' gives a NoneType"),
        (b'{"no":"","at":"2013-01-01"}', "the id 'no' gives a str"),
        (b'{"no":1,"at":"hunter2"}', "the time 'at' gives no time"),
        (b'{"no":1,"at":true}', "the time 'at' gives no time"),
        (b'{"no":1,"at":1e300}', "the time 'at' gives no time"),
        (b"3", "no JSON object"),
    ],
)
def test_a_line_that_cannot_be_decoded_is_a_dead_letter_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, says: str
) -> None:
    good = b'{"no":1,"at":"2013-01-01"}\n'
    (tmp_path / "a.jsonl").write_bytes(good + line + b"\n" + good)
    (portion, *_), _ = read(tmp_path, path="a.jsonl", id="no", time="at")
    assert len(portion.emits) == 2
    ((raw, code, reason),) = portion.dead
    assert raw == line[: module.KEPT_BYTES]
    assert code
    assert reason.startswith(f"'a.jsonl' at byte {len(good)}: ")
    assert says in reason
    assert "hunter2" not in reason


def test_a_line_that_is_too_long_is_a_dead_letter_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    (tmp_path / "a.jsonl").write_bytes(b"1\n" + b'"' + b"x" * 3_000_000 + b'"\n2\n' + b"y" * 500)
    portions, _ = read(tmp_path, path="a.jsonl")
    assert [emit.data for emit in emits(portions)] == [b"1", b"2"]
    assert portions[0].dead[0][2].startswith("'a.jsonl' at byte 2: a line longer")
    assert len(portions[0].dead) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([b"1", b'{"a":2}', b"", b"bad", b'"' + b"z" * 2000 + b'"']), max_size=30),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_any_stops_and_starts_give_the_same_events_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], newline: bool, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    chance = random.Random(seed)
    content = b"\n".join(rows) + (b"\n" if newline else b"")
    (folder / "a.jsonl").write_bytes(content)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(content))

    async def main(path: str) -> list[Any]:
        found: list[Any] = []
        position = None
        file = source(folder, path=path)
        while True:
            if chance.random() < 0.5:  # a new life
                await file.tear_down()
                file = source(folder, path=path)
            if chance.random() < 0.2:  # read, but never released
                await file.read(path, position, chance.randint(1, 5))
            portion = await file.read(path, position, chance.randint(1, 5))
            position = json.loads(json.dumps(portion.position))
            found += [emit.data for emit in portion.emits] + [raw for raw, _, _ in portion.dead]
            if portion.ended:
                await file.tear_down()
                return sorted(found)

    wanted = sorted(row for row in rows if row)
    assert virtual_run(main("a.jsonl")) == wanted
    assert virtual_run(main("a.jsonl.gz")) == wanted


def test_a_file_that_has_grown_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n")
    _, position = read(tmp_path, path="a.jsonl")
    with path.open("ab") as file:
        file.write(b"3\n")
    portions, position = read(tmp_path, position, path="a.jsonl")
    assert [emit.data for emit in emits(portions)] == [b"3"]
    assert emits(read(tmp_path, position, path="a.jsonl")[0]) == []


def replaced(tmp_path: Path, change: Callable[[Path], Any]) -> str:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n3\n")
    _, position = read(tmp_path, path="a.jsonl")
    change(path)
    with pytest.raises(Fatal) as caught:
        read(tmp_path, position, path="a.jsonl")
    assert caught.value.code in ("file-replaced", "missing-file")
    return str(caught.value)


def test_a_file_that_shrank_or_was_replaced_is_refused_and_not_read_on_in_the_middle(tmp_path: Path) -> None:
    assert "replaced or truncated" in replaced(tmp_path, lambda path: path.write_bytes(b"1\n"))
    assert "replaced or truncated" in replaced(tmp_path, lambda path: path.write_bytes(b"9\n8\n7\n6\n"))
    assert "there is no file" in replaced(tmp_path, lambda path: path.unlink())


def test_a_long_file_that_was_truncated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'"0123456789"\n' * 1000)
    _, position = read(tmp_path, path="a.jsonl")
    path.write_bytes(b'"0123456789"\n' * 500)
    with pytest.raises(Fatal, match="shorter than the 13000 bytes"):
        read(tmp_path, position, path="a.jsonl")


def test_a_copy_of_the_file_in_its_place_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n")
    _, position = read(tmp_path, path="a.jsonl", most=1)
    (tmp_path / "copy").write_bytes(b"1\n2\n3\n")
    (tmp_path / "copy").replace(path)
    assert [emit.data for emit in emits(read(tmp_path, position, path="a.jsonl")[0])] == [b"3"]


def test_following_waits_for_the_end_of_a_line_and_never_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2")

    async def main() -> list[bytes | None]:
        file = source(tmp_path, path="a.jsonl", follow=True)
        first = await file.read("a.jsonl", None, 1000)
        waiting = asyncio.create_task(file.read("a.jsonl", first.position, 1000))
        await asyncio.sleep(10)
        assert not waiting.done()
        with path.open("ab") as out:
            out.write(b"2\n3\n4")
        second = await waiting
        assert not any((first.ended, second.ended))
        await file.tear_down()
        return [emit.data for emit in [*first.emits, *second.emits]]

    assert virtual_run(main()) == [b"1", b"22", b"3"]


def test_a_file_that_is_replaced_while_it_is_followed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n")

    async def main() -> None:
        file = source(tmp_path, path="a.jsonl", follow=True)
        first = await file.read("a.jsonl", None, 1000)
        waiting = asyncio.create_task(file.read("a.jsonl", first.position, 1000))
        await asyncio.sleep(1)
        (tmp_path / "new").write_bytes(b"2\n")
        (tmp_path / "new").replace(path)
        with pytest.raises(Fatal, match="another file took its place"):
            await waiting
        await file.tear_down()

    virtual_run(main())


def test_a_long_line_that_is_still_being_written_is_waited_for_and_is_one_dead_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n" + b"x" * 150)

    async def main() -> Portion:
        file = source(tmp_path, path="a.jsonl", follow=True)
        first = await file.read("a.jsonl", None, 1000)
        assert (first.dead, first.position["offset"]) == ([], 2)
        with path.open("ab") as out:
            out.write(b"2\n3\n")  # what looks like an event is the end of the line before
        second = await file.read("a.jsonl", first.position, 1000)
        await file.tear_down()
        return second

    portion = virtual_run(main())
    assert [emit.data for emit in portion.emits] == [b"3"]
    assert len(portion.dead) == 1


def test_a_file_that_is_written_anew_while_it_is_followed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n")

    async def main() -> None:
        file = source(tmp_path, path="a.jsonl", follow=True)
        first = await file.read("a.jsonl", None, 1000)
        path.write_bytes(b"7\n8\n9\n")  # longer than before: the size alone does not tell
        with pytest.raises(Fatal, match="written anew while it was read"):
            await file.read("a.jsonl", first.position, 1000)
        await file.tear_down()

    virtual_run(main())


def test_each_file_of_a_pattern_is_a_split(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/b.jsonl", "d/a.jsonl", "d/c.ndjson.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"1\n") if name.endswith("gz") else b"1\n")
    assert source(tmp_path, path="d/*").splits() == ["d/a.jsonl", "d/b.jsonl", "d/c.ndjson.gz"]
    assert source(tmp_path, path="**/*.jsonl").splits() == ["d/a.jsonl", "d/b.jsonl"]

    async def main() -> set[str | None]:
        file = source(tmp_path, path="d/*")
        ids = {emit.id for split in file.splits() for emit in emits((await drain(file, split))[0])}
        await file.tear_down()
        return ids

    assert len(virtual_run(main())) == 3


def test_a_file_that_came_between_the_others_is_told_and_nothing_is_mixed_up(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(b"1\n")
    _, position = read(tmp_path, path="*.jsonl")
    (tmp_path / "b.jsonl").rename(tmp_path / "a.jsonl")
    with pytest.raises(Fatal, match=r"this split was 'b\.jsonl' when it began: files came or went"):
        read(tmp_path, position, path="*.jsonl")


def test_a_broken_gzip_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"1\n" * 100_000)[:100])
    with pytest.raises(Fatal, match=r"'a\.jsonl\.gz' is no whole gzip file"):
        read(tmp_path, path="a.jsonl.gz")
    (tmp_path / "a.jsonl.gz").write_bytes(b"1\n")
    with pytest.raises(Fatal, match=r"'a\.jsonl\.gz' is no whole gzip file"):
        read(tmp_path, path="a.jsonl.gz")


def test_whole_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    event = Event(
        id="7",
        source="/shop",
        type="order",
        data=b'{"n":7}',
        datacontenttype="application/json",
        subject="o",
        time="2013-01-01T05:15:00Z",
        dataschema="/s",
        extensions={"tenant": "a", "partitionkey": "UA", "origin": "elsewhere/0/1"},
    )
    value = encode_structured(event)[1]
    assert value is not None
    (tmp_path / "a.jsonl").write_bytes(value + b"\n" + b'{"id":"1"}\n')
    (portion, *_), _ = read(tmp_path, path="a.jsonl", format="cloudevents")
    (emit,) = portion.emits
    assert (emit.id, emit.source, emit.type, emit.subject) == ("7", "/shop", "order", "o")
    assert (emit.time, emit.data, emit.key) == (event.time, event.data, b"UA")
    assert emit.extensions == {"tenant": "a", "partitionkey": "UA", "dataschema": "/s"}
    assert "specversion, source, type missing" in portion.dead[0][2]


def test_progress_is_the_share_that_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n" * 4)
    portions, _ = read(tmp_path, path="a.jsonl", most=2)
    assert [portion.progress for portion in portions] == [0.5, 1.0, 1.0]


# The linter


def problems(folder: Path, **options: Any) -> list[tuple[str, Any, str]]:
    kind = Described(Component("file", File))
    found = [*kind.check_options(options, folder)]
    if not found:
        found = [*kind.check_wiring(options, Wiring(partitions={}, replicas=1, base_dir=folder))]  # type: ignore[arg-type]
    return [(one.code, one.path, one.message) for one in found]


def test_the_linter_is_told_that_each_file_is_read_by_one_worker(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.csv"):
        (tmp_path / name).touch()
    kind = Described(Component("file", File))
    wiring = Wiring(partitions={}, replicas=1, base_dir=tmp_path)
    assert kind.needs({"path": "*.jsonl"}, wiring).splits == 2  # type: ignore[arg-type]


def test_a_missing_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "flights.jsonl").touch()
    ((code, path, message),) = problems(tmp_path, path="flihgts.jsonl")
    assert (code, path) == ("missing-file", ("path",))
    assert message.endswith("flihgts.jsonl'; did you mean 'flights.jsonl'?")
    ((code, _, message),) = problems(tmp_path, path="x/*.jsonl")
    assert (code, message) == ("missing-file", f"no file matches 'x/*.jsonl' in {tmp_path}")
    assert problems(tmp_path, path="flights.jsonl") == []


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"path": "a.csv"}, "bad-option", "files of '.csv' are not read; those of .jsonl, .ndjson"),
        ({"path": "*.parquet"}, "bad-option", "files of '.parquet' are not read"),
        ({"path": "events"}, "bad-option", "files without a suffix are not read"),
        ({"path": "d/*"}, "bad-option", "'d/x.csv' is not read"),
        ({"path": "folder.jsonl"}, "bad-option", "is a folder; write 'folder.jsonl/*.jsonl'"),
        ({"path": "a.jsonl.gz", "follow": True}, "bad-option", "is gzipped and cannot be followed"),
        ({"path": "a.jsonl", "id": "n", "format": "cloudevents"}, "bad-option", "has its own id"),
    ],
)
def test_what_cannot_be_read_is_found_by_the_linter(
    tmp_path: Path, options: dict[str, Any], code: str, says: str
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("a.jsonl", "a.jsonl.gz", "d/x.csv"):
        (tmp_path / name).touch()
    ((found, _, message),) = problems(tmp_path, **options)
    assert found == code
    assert says in message


@pytest.mark.parametrize("option", ["id", "time"])
def test_an_empty_expression_is_no_option(option: str) -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        File.Options.model_validate({"path": "a.jsonl", option: ""})
