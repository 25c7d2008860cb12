"""The bare loop: what a careful engineer writes by hand for one machine, with apsw and aiohttp and no checks.

It reads the same events from its own table, calls the same server with up to 128 rows, four calls in flight, keeps the
order, and writes the predictions and the offset in one durable transaction. `python -m tests.benchmarks.bare_loop`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import msgspec
import orjson

from tests.benchmarks.work import CALLS, FIELDS, PARTITIONS, ROWS, event

Row = msgspec.defstruct("Row", [(name, float) for name in FIELDS])
PACK = msgspec.msgpack.Encoder()
UNPACK = msgspec.msgpack.Decoder(list[tuple[str, bytes]])
READ = 1000


def prepare(file: Path, n: int) -> apsw.Connection:
    db = apsw.Connection(str(file))
    db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384")
    for table in ("events", "predictions"):
        db.execute(
            f"CREATE TABLE {table} (part INTEGER, offset INTEGER, ts INTEGER, key BLOB, headers BLOB, value BLOB,"
            " PRIMARY KEY (part, offset)) WITHOUT ROWID"
        )
    db.execute("CREATE TABLE offsets (part INTEGER PRIMARY KEY, offset INTEGER)")
    for start in range(0, n, 10_000):
        rows = []
        for i in range(start, min(n, start + 10_000)):
            key, data, headers = event(i)
            rows.append((i % PARTITIONS, i // PARTITIONS, 0, key, PACK.encode(headers), data))
        with db:
            db.executemany("INSERT INTO events VALUES (?,?,?,?,?,?)", rows)
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return db


async def run(db: apsw.Connection, reader: apsw.Connection, port: int, n: int) -> None:
    decoder = msgspec.json.Decoder(list[Row])
    url = f"http://127.0.0.1:{port}/v2/models/delay/infer"
    done = 0
    positions = [0] * PARTITIONS
    written = [0] * PARTITIONS
    in_flight: deque[tuple[int, list[Any], asyncio.Task[bytes]]] = deque()
    commits = asyncio.Lock()
    committing: asyncio.Task[None] | None = None
    settled: list[tuple[int, list[Any], list[float]]] = []

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLS)) as session:

        async def call(body: bytes) -> bytes:
            async with session.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                return await answer.read()

        def write(batch: list[tuple[int, list[Any], list[float]]]) -> None:
            rows, ends = [], {}
            for part, events, values in batch:
                offset = written[part]
                for (source, _, key, packed, _), value in zip(events, values, strict=True):
                    headers = dict(UNPACK.decode(packed))
                    out = [
                        ("ce_id", b"%s-p" % headers["ce_id"]),
                        ("content-type", b"application/json"),
                        ("ce_source", b"/bench/score"),
                        ("ce_specversion", b"1.0"),
                        ("ce_type", b"streamlets.prediction"),
                        ("ce_time", headers["ce_time"]),
                    ]
                    data = orjson.dumps(
                        {
                            "prediction": {"delay_minutes": value},
                            "model": {"name": "delay", "version": "1", "server": url, "update": 0},
                        }
                    )
                    rows.append((part, offset, 0, key, PACK.encode(out), data))
                    offset += 1
                    ends[part] = source + 1
                written[part] = offset
            with db:
                db.executemany("INSERT INTO predictions VALUES (?,?,?,?,?,?)", rows)
                db.executemany("INSERT OR REPLACE INTO offsets VALUES (?,?)", list(ends.items()))

        async def commit() -> None:
            nonlocal done
            async with commits:
                while settled:
                    batch = settled[:]
                    settled.clear()
                    await asyncio.to_thread(write, batch)
                    done += sum(len(events) for _, events, _ in batch)

        queues: list[deque[Any]] = [deque() for _ in range(PARTITIONS)]
        part = 0
        while done < n:
            for p in range(PARTITIONS):
                if not queues[p]:
                    rows = list(
                        reader.execute(
                            "SELECT offset, ts, key, headers, value FROM events WHERE part=? AND offset>=? LIMIT ?",
                            (p, positions[p], READ),
                        )
                    )
                    if rows:
                        positions[p] = rows[-1][0] + 1
                        queues[p].extend(rows)
            while len(in_flight) < CALLS and any(queues):
                part = (part + 1) % PARTITIONS
                if not queues[part]:
                    continue
                events = [queues[part].popleft() for _ in range(min(ROWS, len(queues[part])))]
                decoded = decoder.decode(b"[" + b",".join(e[4] for e in events) + b"]")
                rows = [
                    (
                        r.distance,
                        r.hour,
                        r.origin_code,
                        r.carrier_code,
                        r.temp,
                        r.wind,
                        r.visibility,
                        r.pressure,
                    )
                    for r in decoded
                ]
                tensor = {"name": "x", "shape": [len(rows), 8], "datatype": "FP64", "data": rows}
                body = orjson.dumps({"id": "1", "inputs": [tensor]})
                in_flight.append((part, events, asyncio.create_task(call(body))))
            if in_flight:
                source, events, task = in_flight.popleft()
                answer = orjson.loads(await task)
                settled.append((source, events, answer["outputs"][0]["data"]))
            if committing is None or committing.done():
                committing = asyncio.create_task(commit())
            if not in_flight:
                await committing
        if committing is not None:
            await committing


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    import uvloop

    with tempfile.TemporaryDirectory(prefix="streamlets-bench-") as folder:
        db = prepare(Path(folder) / "bare.db", given.events)
        reader = apsw.Connection(str(Path(folder) / "bare.db"))  # a connection is one thread's at a time
        wall, cpu = time.perf_counter(), time.process_time()
        uvloop.run(run(db, reader, given.port, given.events))
        result = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        result["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (count,) = next(db.execute("SELECT count(*) FROM predictions"))
        assert count == given.events, f"{count} predictions of {given.events} events"
        print(json.dumps(result))


if __name__ == "__main__":
    main()
