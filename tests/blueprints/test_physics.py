"""Numbers of a blueprint that cannot all be true: each said with its parts, and each compared with a simulation."""

import math
import random
import re
from itertools import pairwise

import pytest

from blueprints.lint.physics import MIXED_KEYS
from blueprints.load import verify
from blueprints.needs import Bounds
from tests.blueprints.catalog import TestCatalog
from tests.blueprints.lint import diagnose, lint

PROBLEMS = {
    "a window is held longer than its topic keeps events": (
        """
        name: a
        streamlets:
          drift: { use: needy, with: { window: { wait: 8d } } }
          fine: { use: needy, with: { window: { wait: 7d } } }
        topics:
          payloads: { external: true, consumers: [drift.in], retention: 7d }
          others: { external: true, consumers: [fine.in], retention: 7d }
        """,
        [
            "3:48 window-beyond-retention: drift: it holds events for up to 8d ('window.wait'), but 'payloads' keeps "
            "them for 7d: a restart after that would miss what was held; let 'payloads' keep them for 8d at least, or "
            "lower 'window.wait'",
        ],
    ),
    "retention comes from the defaults, which are not those of topics of others": (
        """
        name: a
        streamlets:
          from: { use: paced }
          a: { use: needy, with: { window: { wait: 2h } } }
          b: { use: needy, with: { window: { wait: 2h } } }
        topics:
          t: { producers: [from.out], consumers: [a.in] }
          s: { external: true, consumers: [b.in] }
        defaults: { retention: 1h }
        """,
        [
            "4:44 window-beyond-retention: a: it holds events for up to 2h ('window.wait'), but 't' keeps them for "
            "1h: a restart after that would miss what was held; let 't' keep them for 2h at least, or lower "
            "'window.wait'",
        ],
    ),
    "retention as Kafka's own setting": (
        """
        name: a
        streamlets:
          a: { use: needy, with: { window: { wait: 2h } } }
          b: { use: needy, with: { window: { wait: 2h } } }
          c: { use: needy, with: { window: { wait: 2h } } }
        topics:
          t: { external: true, consumers: [a.in], config: { retention.ms: 7199999 } }
          s: { external: true, consumers: [b.in], config: { retention.ms: 7200000 } }
          r: { external: true, consumers: [c.in], config: { retention.ms: -1 } }
        """,
        [
            "3:44 window-beyond-retention: a: it holds events for up to 2h ('window.wait'), but 't' keeps them for "
            "7199999ms: a restart after that would miss what was held; let 't' keep them for 2h at least, or lower "
            "'window.wait'",
        ],
    ),
    "a window on a compacted topic is one mistake, not two": (
        """
        name: a
        streamlets:
          a: { use: needy, with: { window: { wait: 2h } } }
        topics:
          t: { external: true, consumers: [a.in], compacted: true, retention: 1h }
        """,
        ["5:36 inlet-kind: 'a.in' takes every event and 't' keeps only the latest of each key (compacted)"],
    ),
    "a topic is full before a window closes": (
        """
        name: a
        streamlets:
          from: { use: paced, with: { rate: 100/s, bytes: 1000 } }
          a: { use: needy, with: { window: { wait: 10m } } }
          by-number: { use: needy, with: { window: { wait: 10m, events: 1000 } } }
          short: { use: needy, with: { window: { wait: 20s } } }
        topics:
          t: { producers: [from.out], consumers: [a.in, by-number.in, short.in], partitions: 2, max-bytes: 1MB }
        """,
        [
            "4:44 window-beyond-retention: a: it holds events for up to 10m ('window.wait'), but at 100/s of 1000 "
            "bytes and more the 1MB of 't' ('max-bytes') last for 20s: a restart would miss what was held; raise "
            "'max-bytes' to 30MB at least, or lower 'window.wait'",
        ],
    ),
    "windows that hold more than the engine bears": (
        """
        name: a
        streamlets:
          fits: { use: needy, with: { window: { events: 100000 } } }
          large: { use: needy, with: { window: { events: 100001 } } }
          many: { use: needy, with: { window: { events: 2001, keys: 50 } } }
          heavy: { use: needy, with: { window: { events: 1025, bytes: 65536 } } }
          light: { use: needy, with: { window: { events: 1024, bytes: 65536 } } }
          mixed: { use: needy, with: { window: { events: 60, keys: 100 } } }
          calm: { use: needy, with: { window: { events: 59, keys: 100 } } }
          few: { use: needy, with: { window: { events: 5000, keys: 4 } } }
        topics:
          t:
            external: true
            consumers: [fits.in, large.in, many.in, heavy.in, light.in, mixed.in, calm.in, few.in]
        """,
        [
            "4:50 window-beyond-memory: large: it may hold 100,000 events of a partition ('window.events' of 100,001, "
            "less the one that closes a window), and 100,000 are the most: there the oldest window is closed early; "
            "take smaller windows",
            "5:49 window-beyond-memory: many: it may hold 100,000 events of a partition ('window.events' of 2,001, "
            "less the one that closes a window, for 50 keys), and 100,000 are the most: there the oldest window is "
            "closed early; take smaller windows",
            "6:50 window-beyond-memory: heavy: it may hold 1,024 events of a partition ('window.events' of 1,025, "
            "less the one that closes a window) of 65536 bytes and more, which is 64.0 MiB, and 64MiB are the most: "
            "there the oldest window is closed early; take smaller windows",
            "8:50 warning window-beyond-memory: mixed: 100 windows of 60 events side by side leave about 1,000 runs "
            "of settled events between those that are held, where keys come well mixed, and 1,000 are the most: there "
            "the oldest window is closed early; take fewer keys for a partition, or smaller windows",
        ],
    ),
    "a window that gathers too much in its time, at the rate of its source": (
        """
        name: a
        streamlets:
          from: { use: paced, with: { rate: 1000/s } }
          a: { use: needy, with: { window: { wait: 200s } } }
          b: { use: needy, with: { window: { wait: 199s } } }
          c: { use: needy, with: { window: { wait: 200s, events: 500 } } }
        topics:
          t: { producers: [from.out], consumers: [a.in, b.in, c.in], partitions: 2 }
        """,
        [
            "4:44 window-beyond-memory: a: it may hold 100,000 events of a partition ('window.wait' of 200s at "
            "1000/s), and 100,000 are the most: there the oldest window is closed early; take a shorter window, or "
            "more partitions",
        ],
    ),
    "waits against a deadline, with their parts": (
        """
        name: a
        streamlets:
          never: { use: needy, with: { batch: 5ms, timeout: 10s, deadline: 10s } }
          late: { use: needy, with: { batch: 5ms, timeout: 1s, attempts: 3, deadline: 3s } }
          exact: { use: needy, with: { batch: 5ms, timeout: 1s, attempts: 3, deadline: 3205ms } }
          without: { use: needy, with: { batch: 5ms, timeout: 1d } }
        topics:
          t: { external: true, consumers: [never.in, late.in, exact.in, without.in] }
        """,
        [
            "3:68 wait-beyond-deadline: never: an event may take 10005ms at the first try ('batch' 5ms + 'timeout' "
            "10s), but 'deadline' is 10s: it would be expired though all went well; raise it to 10005ms at least, or "
            "lower what is added up",
            "4:79 warning wait-beyond-deadline: late: the tries may take 3205ms in all ('batch' 5ms + 3 × 'timeout' 1s "
            "+ the waits between 200ms), but 'deadline' is 3s: the last of them would come too late to help; raise it "
            "to 3205ms, or allow fewer tries or less time for each",
        ],
    ),
    "synchronous work may not keep a worker from its poll, waiting may": (
        """
        name: a
        streamlets:
          stands: { use: needy, with: { limit: 301s } }
          works: { use: needy, with: { limit: 5m } }
          waits: { use: needy, with: { timeout: 1h } }
        topics:
          t: { external: true, consumers: [stands.in, works.in, waits.in] }
        """,
        [
            "3:40 timeout-beyond-poll-interval: stands: the worker may stand still for 301s ('limit'), but who does "
            "not poll for 5m is put out of its group: its partitions go to another worker, which would do the same, "
            "for ever; do less at a time, or do it in a child process or a thread",
        ],
    ),
    "tiers that promise more than there is": (
        """
        name: a
        streamlets:
          over: { use: needy, with: { rate: 100/s, tiers: { gold: 80/s, silver: 21/s } } }
          exact: { use: needy, with: { rate: 1/s, tiers: { a: 20/m, b: 20/m, c: 20/m } } }
        topics:
          t: { external: true, consumers: [over.in, exact.in] }
        """,
        [
            "3:37 rate-beyond-capacity: over: 101/s are promised ('tiers.gold' 80/s + 'tiers.silver' 21/s), but 'rate' "
            "lets 100/s through; raise it to 101/s at least, or promise less",
        ],
    ),
    "dead letters that come back, also by several hops": (
        """
        name: a
        streamlets:
          mend: { use: pass }
          again: { use: pass }
          bounded: { use: needy, with: { rounds: 3 } }
        topics:
          lost: { external: true, topic: a.dead-letters, consumers: [mend.in] }
          mended: { producers: [mend.out], consumers: [again.in, bounded.in] }
        """,
        [
            "7:62 dead-letter-loop: 'mend.in' reads 'a.dead-letters', where the application's dead letters go: its "
            "own would come back to it for ever, and so would those of again, by way of it; let another application "
            "read them, or give 'dead-letters' another topic",
        ],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_numbers_that_cannot_all_be_true_are_told(tmp_path, name):
    text, expected = PROBLEMS[name]
    assert lint(tmp_path, text) == expected


def test_a_problem_with_retention_shows_the_other_place_too(tmp_path):
    text, _ = PROBLEMS["a window is held longer than its topic keeps events"]
    (found,) = diagnose(tmp_path, text)
    ((mark, says),) = found.related
    assert (mark.line, mark.column, says) == (6, 65, "kept for so long")


# --- against simulations that know nothing of the rules

UNITS = (("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000))
SMALL = Bounds(held_events=40, held_bytes=900, done_ranges=10**9, poll_interval_s=300.0)


class SmallCatalog(TestCatalog):
    """The tests' catalog over an engine that bears little, so that a simulation comes to its end."""

    bounds = SMALL


@pytest.fixture
def codes(tmp_path):
    def ask(text):
        path = tmp_path / "app.yaml"
        path.write_text(text)
        return {(d.code, d.severity) for d in verify(path, SmallCatalog(), {}) if d.code != "no-consumer"}

    return ask


def near(rng, number):
    """Return a number at, just below, just above or well away from another."""
    return max(1, number + rng.choice((-1, 0, 0, 1, rng.randint(-number, number))))


def is_lost(held_ms, kept_ms):
    """Whether a restart, at some instant while an event is held, no longer finds it in the log."""
    crashes = sorted({0, held_ms, *range(0, held_ms + 1, max(1, held_ms // 50)), min(held_ms, kept_ms + 1)})
    return any(age_ms > kept_ms for age_ms in crashes)


def test_retention_agrees_with_a_log_that_is_replayed_after_each_crash(codes):
    rng = random.Random(71)
    for _ in range(150):
        unit, ms = rng.choice(UNITS)
        other, other_ms = rng.choice(UNITS)
        kept = rng.randint(1, 90)
        held = near(rng, kept * ms // other_ms) if kept * ms >= other_ms else near(rng, 1)
        found = codes(
            f"name: a\nstreamlets: {{ w: {{ use: needy, with: {{ window: {{ wait: {held}{other} }} }} }} }}\n"
            f"topics: {{ t: {{ external: true, consumers: [w.in], retention: {kept}{unit} }} }}\n"
        )
        lost = is_lost(held * other_ms, kept * ms)
        assert found == ({("window-beyond-retention", "error")} if lost else set()), (held, other, kept, unit)


def replay(rate, partitions, n_bytes, wait_s, events, max_bytes):
    """Return (whether an event of an open window is dropped, the most events held, their bytes), by playing it.

    Of one partition that gets its even share. The window's last event is needed until the window is released; one that
    comes in the instant in which the wait is over is not of it.
    """
    log, window, most, is_dropped, at = [], [], 0, False, 0
    while True:
        now = at * partitions / rate
        if now >= wait_s - 1e-9 or (events is not None and len(window) + 1 > events):
            break
        log.append(at)
        window.append(at)
        while len(log) * n_bytes > max_bytes:
            log.pop(0)
        is_dropped |= window[0] not in log
        if events is None or len(window) < events:
            most = max(most, len(window))
        at += 1
    return is_dropped, most, most * n_bytes


@pytest.mark.slow
def test_bytes_and_memory_agree_with_a_partition_that_is_played_event_by_event(codes):
    rng = random.Random(72)
    seen = set()
    for _ in range(250):
        rate, partitions, n_bytes = rng.choice((1, 2, 5, 10)), rng.choice((1, 2, 3)), rng.randint(5, 60)
        in_time = near(rng, rng.choice((10, 39, 40, 900 // n_bytes)))  # events of a partition within the wait
        wait_s = max(1, round(in_time * partitions / rate))
        events = rng.choice((None, near(rng, rng.choice((10, 40, 41, 900 // n_bytes)))))
        max_bytes = near(rng, n_bytes * rng.randint(1, 60))
        number = "" if events is None else f", events: {events}"
        found = codes(
            "name: a\nstreamlets:\n"
            f"  s: {{ use: paced, with: {{ rate: {rate}/s, bytes: {n_bytes} }} }}\n"
            f"  w: {{ use: needy, with: {{ window: {{ wait: {wait_s}s{number} }} }} }}\n"
            f"topics: {{ t: {{ producers: [s.out], consumers: [w.in], partitions: {partitions}, "
            f"max-bytes: {max_bytes}B }} }}\n"
        )
        is_dropped, most, size = replay(rate, partitions, n_bytes, wait_s, events, max_bytes)
        expected = {("window-beyond-retention", "error")} if is_dropped else set()
        if most >= SMALL.held_events or size >= SMALL.held_bytes:
            expected.add(("window-beyond-memory", "error"))
        seen.add(frozenset(expected))
        assert found == expected, (rate, partitions, n_bytes, wait_s, events, max_bytes)
    assert len(seen) == 4  # each rule alone, both, neither


def test_a_partition_keeps_whole_events(codes):
    # 95 bytes keep 9 events of 10; the tenth comes at 18 s of a window of 19 s.
    text = """name: a
streamlets:
  s: { use: paced, with: { rate: 1/s, bytes: 10 } }
  w: { use: needy, with: { window: { wait: WAITs } } }
topics: { t: { producers: [s.out], consumers: [w.in], partitions: 2, max-bytes: 95B } }
"""
    assert replay(1, 2, 10, 19, None, 95)[0]
    assert not replay(1, 2, 10, 18, None, 95)[0]
    assert codes(text.replace("WAIT", "19")) == {("window-beyond-retention", "error")}
    assert codes(text.replace("WAIT", "18")) == set()


def most_held(events, keys):
    """Return the most that windows by key hold, for keys that come in turn and in each key's own time, by playing."""
    most = 0
    for order in ([key for _ in range(events) for key in range(keys)], [0] * events * 2):
        held = dict.fromkeys(range(keys), 0)
        for key in order:
            held[key] = 0 if held[key] + 1 == events else held[key] + 1
            most = max(most, sum(held.values()))
    return most


def test_windows_by_key_agree_with_keys_that_come_in_turn(codes):
    rng = random.Random(73)
    for _ in range(100):
        keys = rng.randint(1, 12)
        events = max(2, near(rng, SMALL.held_events // keys + 1))
        found = codes(
            "name: a\nstreamlets:\n"
            f"  w: {{ use: needy, with: {{ window: {{ events: {events}, keys: {keys} }} }} }}\n"
            "topics: { t: { external: true, consumers: [w.in] } }\n"
        )
        is_over = most_held(events, keys) >= SMALL.held_events
        assert found == ({("window-beyond-memory", "error")} if is_over else set()), (events, keys)


def mean_ranges(events, keys, rng):
    """Return the runs of settled events beyond the oldest open one, on the average over a well mixed stream."""
    windows, is_open, counts = [[] for _ in range(keys)], [], []
    for at in range(keys * events * 8):
        mine = rng.choice(windows)
        mine.append(at)
        is_open.append(True)
        if len(mine) == events:
            for place in mine:
                is_open[place] = False
            mine.clear()
        if at > keys * events * 3 and at % (keys * events // 4) == 0:
            oldest = min(window[0] for window in windows if window)
            beyond = is_open[oldest:]
            counts.append(sum(before and not after for before, after in pairwise(beyond)))
    return sum(counts) / len(counts)


def test_the_expected_runs_of_settled_events_are_those_of_a_mixed_stream():
    rng = random.Random(74)
    for keys, events in ((MIXED_KEYS, 60), (20, 30), (50, 20), (100, 12), (25, 80)):
        expected = keys * events / 6
        assert mean_ranges(events, keys, rng) == pytest.approx(expected, rel=0.35), (keys, events)


def test_deadlines_agree_with_an_event_that_takes_as_long_as_it_may(codes):
    rng = random.Random(75)
    seen = set()
    for _ in range(150):
        batch, timeout, attempts = rng.randint(0, 60), rng.randint(1, 300), rng.randint(1, 5)
        spent_ms, by_try = batch, []
        for tried in range(attempts):
            spent_ms += timeout + (
                100 if tried else 0
            )  # 100 ms between two tries, as the tests' streamlet says
            by_try.append(spent_ms)
        deadline = near(rng, rng.choice(by_try))
        found = codes(
            "name: a\nstreamlets:\n"
            f"  w: {{ use: needy, with: {{ batch: {batch}ms, timeout: {timeout}ms, attempts: {attempts}, "
            f"deadline: {deadline}ms }} }}\n"
            "topics: { t: { external: true, consumers: [w.in] } }\n"
        )
        in_time = [spent for spent in by_try if spent <= deadline]
        severity = "error" if not in_time else "warning" if len(in_time) < attempts else None
        seen.add(severity)
        assert found == ({("wait-beyond-deadline", severity)} if severity else set()), (by_try, deadline)
    assert seen == {"error", "warning", None}


def test_promises_agree_with_counting_a_day_of_them(codes):
    rng = random.Random(76)
    per_day = {"/s": 86_400, "/m": 1_440, "/h": 24, "/d": 1}
    for _ in range(150):
        tiers = [(rng.randint(1, 50), rng.choice(list(per_day))) for _ in range(rng.randint(1, 6))]
        promised = sum(number * per_day[unit] for number, unit in tiers)
        unit = rng.choice(list(per_day))
        capacity = near(rng, math.ceil(promised / per_day[unit]))
        written = ", ".join(f"t{i}: {number}{unit}" for i, (number, unit) in enumerate(tiers))
        found = codes(
            f"name: a\nstreamlets: {{ w: {{ use: needy, with: {{ rate: {capacity}{unit}, "
            f"tiers: {{ {written} }} }} }} }}\ntopics: {{ t: {{ external: true, consumers: [w.in] }} }}\n"
        )
        is_over = promised > capacity * per_day[unit]
        assert found == ({("rate-beyond-capacity", "error")} if is_over else set()), (tiers, capacity, unit)


def test_every_number_in_a_message_is_one_of_the_blueprint_or_follows_from_it(tmp_path):
    text, expected = PROBLEMS["a topic is full before a window closes"]
    (message,) = lint(tmp_path, text)
    assert message == expected[0]
    wait_s, rate, n_bytes, partitions = 600, 100, 1000, 2
    assert re.findall(r"\d+MB", message) == ["1MB", f"{wait_s * rate // partitions * n_bytes // 10**6}MB"]
