"""What streamlets need of readers, partitions, keys, addresses and files, held against the blueprint."""

import math
import random

import pytest

from blueprints.lint.safety import is_loopback
from blueprints.needs import Amount, Hold, Needs, Said, Wait, flaw
from blueprints.units import Duration
from tests.blueprints.lint import lint

PROBLEMS = {
    "replicas beyond partitions or splits would be idle": (
        """
        name: a
        streamlets:
          from: { use: paced, with: { splits: 2 }, replicas: 3 }
          enough: { use: paced, with: { splits: 2 }, replicas: 2 }
          idle: { use: pass, replicas: 5 }
          fits: { use: pass, replicas: 4 }
          either: { use: join, replicas: 9 }
          unknown: { use: pass, replicas: 50 }
          followed: { use: pass, replicas: 5 }
          half: { use: join, replicas: 9 }
        topics:
          t: { producers: [from.out], consumers: [idle.in, fits.in, either.left], partitions: 4 }
          s: { producers: [enough.out], consumers: [either.right], partitions: 4 }
          r: { external: true, consumers: [unknown.in] }
          q: { producers: [fits.out], consumers: [followed.in, half.left] }
          p: { external: true, consumers: [half.right] }
        """,
        [
            "3:54 warning too-many-replicas: from has 3 replicas and reads 2 splits: 1 would be idle; write "
            "'replicas: 2'",
            "5:32 warning too-many-replicas: idle has 5 replicas and reads 4 partitions: 1 would be idle; write "
            "'replicas: 4', or give the topic more partitions",
            "7:34 warning too-many-replicas: either has 9 replicas and reads 4 partitions: 5 would be idle; write "
            "'replicas: 4', or give the topic more partitions",
            "9:36 warning too-many-replicas: followed has 5 replicas and reads 4 partitions: 1 would be idle; write "
            "'replicas: 4', or give the topic more partitions",
        ],
    ),
    "what is read together has as many partitions, unless others know better": (
        """
        name: a
        streamlets:
          one: { use: join }
          two: { use: join }
          three: { use: join }
        topics:
          t: { external: true, consumers: [one.left, two.left, three.left], partitions: 4 }
          s: { external: true, consumers: [one.right], partitions: 8 }
          r: { external: true, consumers: [two.right] }
          q: { external: true, consumers: [three.right], partitions: 4 }
        """,
        [
            "8:36 partitions-differ: 'one.right' reads 8 partitions of 's', but 'one.left' 4 of 't'; what is read "
            "together needs as many of each",
        ],
    ),
    "what is joined is keyed alike, however it is spelt": (
        """
        name: a
        streamlets:
          one: { use: join }
          two: { use: join }
          three: { use: join }
          four: { use: join }
        topics:
          t: { external: true, consumers: [one.left, two.left, three.left], partitions: 4, key: "a.b" }
          s: { external: true, consumers: [one.right], partitions: 4, key: "a.c" }
          r: { external: true, consumers: [two.right], partitions: 4, key: " a . b " }
          q: { external: true, consumers: [three.right], partitions: 4 }
          p: { external: true, consumers: [four.left], partitions: 1, key: a }
          o: { external: true, consumers: [four.right], partitions: 1, key: b }
        """,
        [
            "9:36 partitions-differ: 'one.right' is joined with 'one.left', but 's' is keyed by 'a.c' and 't' by "
            "'a.b': what belongs together would lie in different partitions",
        ],
    ),
    "a topic is keyed by what its reader goes by": (
        """
        name: a
        streamlets:
          from: { use: paced }
          differs: { use: needy, with: { by: tenant } }
          agrees: { use: needy, with: { by: tenant } }
          lone: { use: needy, with: { by: tenant } }
          unkeyed: { use: needy, with: { by: tenant } }
          others: { use: needy, with: { by: tenant } }
          passes: { use: pass }
          inherits: { use: needy, with: { by: tenant } }
          anyhow: { use: pass }
          follows: { use: needy, with: { by: tenant } }
        topics:
          t: { external: true, consumers: [differs.in], partitions: 4, key: user }
          s: { external: true, consumers: [agrees.in, passes.in], partitions: 4, key: "(tenant)" }
          r: { external: true, consumers: [lone.in], partitions: 1, key: user }
          q: { producers: [from.out], consumers: [unkeyed.in], partitions: 4 }
          p: { external: true, consumers: [others.in, anyhow.in] }
          o: { producers: [passes.out], consumers: [inherits.in] }
          n: { producers: [anyhow.out], consumers: [follows.in], partitions: 2 }
        """,
        [
            "4:38 key-differs: differs: what has the same 'tenant' must meet in one partition, but 't' is keyed by "
            "'user'; key it by 'tenant', or a topic made from it",
            "7:38 warning key-differs: unkeyed: what has the same 'tenant' must meet in one partition, and 'q' has 4 "
            "and no key; write 'key: tenant' there",
            "12:38 warning key-differs: follows: what has the same 'tenant' must meet in one partition, and 'n' has 2 "
            "and no key; write 'key: tenant' there",
        ],
    ),
    "cycles through a streamlet that bounds them end": (
        """
        name: a
        streamlets:
          one: { use: pass }
          bounds: { use: needy, with: { rounds: 3 } }
          two: { use: pass }
        topics:
          t: { producers: [one.out], consumers: [bounds.in] }
          s: { producers: [bounds.out], consumers: [one.in], external: true }
          r: { producers: [two.out], consumers: [two.in], external: true }
        """,
        ["9:42 cycle: events would go round: two → two, by r; take one of these inlets out"],
    ),
    "two readers of one, each at its place": (
        """
        name: a
        streamlets:
          one: { use: file-sink, with: { path: a.jsonl }, replicas: 2 }
        topics:
          t: { external: true, consumers: [one.in], partitions: 4 }
        """,
        [
            "3:61 single-reader: one needs one reader of all events, not 2 replicas: so it is",
            "5:57 single-reader: one needs one reader of all events, not the 4 partitions of 't': so it is",
        ],
    ),
    "batches of what is held do not overlap": (
        """
        name: a
        streamlets:
          one: { use: needy, with: { window: { events: 10 } }, overlap: 2 }
          two: { use: needy, with: { window: { events: 10 } }, overlap: 1 }
          three: { use: needy, overlap: 8 }
        topics:
          t: { external: true, consumers: [one.in, two.in, three.in] }
        """,
        ["3:65 bad-value: one holds events, so its batches cannot overlap; leave 'overlap' out"],
    ),
    "inline topics have what two streamlets of one process can share, and nothing else": (
        """
        name: a
        streamlets:
          from: { use: paced }
          one: { use: pass }
          two: { use: pass }
          look: { use: look-up }
          print: { use: console }
        topics:
          t: { producers: [from.out], consumers: [one.in], inline: true }
          s: { producers: [one.out], consumers: [look.table, two.in], inline: true, compacted: true }
          r: { producers: [two.out], consumers: [print.in], inline: true, key: a, partitions: 2, retention: 1d }
          q: { external: true, consumers: [look.in], inline: false }
        """,
        [
            "9:20 inline-misuse: 't' is inline, and from is a source, which has no group that the two could share",
            "9:52 bad-value: 'inline' of topic 't' is not supported by this version: every topic is kept in the log",
            "10:41 inline-misuse: 's' is inline, so it joins one producer with one consumer; it has 2 consumers",
            "10:42 inline-misuse: 's' is inline, and 'look.table' is a table, which is read from the log",
            "10:54 inlet-kind: 'two.in' takes every event and 's' keeps only the latest of each key (compacted)",
            "10:63 bad-value: 'inline' of topic 's' is not supported by this version: every topic is kept in the log",
            "10:77 inline-misuse: 's' is inline, so it is not in the log and nobody else sees it; leave 'compacted' "
            "out",
            "11:42 inline-misuse: 'r' is inline, and print is a sink, which needs a group of its own",
            "11:53 bad-value: 'inline' of topic 'r' is not supported by this version: every topic is kept in the log",
            "11:67 inline-misuse: 'r' is inline, so it is not in the log and nobody else sees it; leave 'key' out",
            "11:75 inline-misuse: 'r' is inline, so it is not in the log and nobody else sees it; leave 'partitions' "
            "out",
            "11:90 inline-misuse: 'r' is inline, so it is not in the log and nobody else sees it; leave 'retention' "
            "out",
        ],
    ),
    "secrets and open doors": (
        """
        name: a
        streamlets:
          clear: { use: needy, with: { url: "http://models:8000" } }
          tls: { use: needy, with: { url: "https://models:8000" } }
          here: { use: needy, with: { url: "http://[::1]:8000" } }
          open: { use: needy, with: { listen: "0.0.0.0:8080" } }
          bare: { use: needy, with: { listen: ":8080" } }
          shut: { use: needy, with: { listen: "127.0.0.9:8080" } }
        topics:
          t: { external: true, consumers: [clear.in, tls.in, here.in, open.in, bare.in, shut.in] }
        """,
        [
            "3:37 plain-http-secret: clear: a secret would go to 'models' in clear; use https, or leave the secret "
            "out",
            "6:39 open-listener: open: anybody who reaches '0.0.0.0:8080' could call it, for nobody is asked who they "
            "are; listen on 127.0.0.1, or have callers prove themselves",
            "7:39 open-listener: bare: anybody who reaches ':8080' could call it, for nobody is asked who they are; "
            "listen on 127.0.0.1, or have callers prove themselves",
        ],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_streamlets_need_is_held_against_the_blueprint(tmp_path, name):
    text, expected = PROBLEMS[name]
    assert lint(tmp_path, text) == expected


def test_what_came_from_the_environment_is_named_and_not_shown(tmp_path):
    text = """
        name: a
        streamlets:
          clear: { use: needy, with: { url: "${URL}" } }
          open: { use: needy, with: { listen: "${ADDRESS}" } }
        topics:
          t: { external: true, consumers: [clear.in, open.in] }
        """
    found = lint(tmp_path, text, {"URL": "http://inside.example", "ADDRESS": "10.1.2.3:80"})
    assert [line.split()[1] for line in found] == ["plain-http-secret:", "open-listener:"]
    assert "(from ${URL})" in found[0]
    assert "'${ADDRESS}'" in found[1]
    assert "10.1.2.3" not in found[1]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "api.localhost", "::1", "[::1]",
     "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "[::1%lo]", "127.1", "2130706433", "0x7f.1", "127.0.1"],
)  # fmt: skip
def test_this_machine_is_known_however_it_is_written(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.example.org", "notlocalhost",
     "127.0.0.1.example.org", "::ffff:10.0.0.1", "fe80::1", "128.1", "2147483648", "127.0.0.256", "127.0.0.1.1"],
)  # fmt: skip
def test_other_machines_and_what_could_be_read_as_one_are_not_this_machine(host):
    assert not is_loopback(host)


def test_a_file_is_trusted_in_the_blueprints_folder_only_links_followed(tmp_path):
    inside, outside = tmp_path / "app", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "link.onnx").symlink_to(outside / "m.onnx")
    (inside / "own.onnx").symlink_to(inside / "m.onnx")
    (inside / "round.onnx").symlink_to(inside / "round.onnx")
    text = """
        name: a
        streamlets: { score: { use: score, with: { model: m, protocol: onnx, servers: ["FILE"] } } }
        topics: { t: { external: true, consumers: [score.in] }, p: { external: true, producers: [score.out] } }
        """
    for file in ("m.onnx", "own.onnx", "deep/../m.onnx", str(inside / "m.onnx")):
        assert lint(inside, text.replace("FILE", file)) == [], file
    for file in ("link.onnx", "../m.onnx", "round.onnx", "/m.onnx", "~/../../m.onnx", "a\\0b"):
        (line,) = lint(inside, text.replace("FILE", file))
        assert " untrusted-path: " in line, file


@pytest.mark.parametrize(
    ("listen", "is_open"),
    [
        ("127.0.0.1:8080", False),
        ("[::1]:8080", False),
        ("::1", False),
        ("localhost", False),
        ("http://localhost:80/x", False),
        ("[::]:8080", True),
        ("::", True),
        ("8080", True),
        ("http://0.0.0.0:80", True),
        ("box:80", True),
    ],
)
def test_an_address_is_read_in_every_form(tmp_path, listen, is_open):
    text = f"""
        name: a
        streamlets: {{ in: {{ use: needy, with: {{ listen: "{listen}" }} }} }}
        topics: {{ t: {{ external: true, consumers: [in.in] }} }}
        """
    assert bool(lint(tmp_path, text)) == is_open


def has_cycle(edges, bounding):
    """Whether something is left when streamlets without a predecessor are taken out, again and again."""
    left = {node for edge in edges for node in edge} - bounding
    while True:
        fed = {b for a, b in edges if a in left and b in left}
        if fed == left:
            return bool(left)
        left = fed


def test_cycles_are_found_where_taking_away_beginnings_leaves_something(tmp_path):
    rng = random.Random(81)
    seen = set()
    for _ in range(60):
        n = rng.randint(1, 6)
        bounding = {node for node in range(n) if rng.random() < 0.3}
        targets = [sorted({rng.randrange(n) for _ in range(rng.choice((0, 1, 1, 2)))}) for _ in range(n)]
        readers = [[a for a in range(n) if b in targets[a]][:1] for b in range(n)]  # an inlet has one topic
        edges = {(a, b) for b in range(n) for a in readers[b]}
        lines = ["name: a", "streamlets:"]
        lines += [
            f"  s{i}: {{ use: needy, with: {{ {'rounds: 2' if i in bounding else ''} }} }}" for i in range(n)
        ]
        free = ", ".join(f"s{i}.in" for i in range(n) if not readers[i])
        lines += ["topics:", f"  start: {{ external: true, consumers: [{free}] }}"]
        for a in range(n):
            consumers = ", ".join(f"s{b}.in" for b in range(n) if (a, b) in edges)
            lines.append(f"  t{a}: {{ producers: [s{a}.out], consumers: [{consumers}], external: true }}")
        found = lint(tmp_path, "\n".join(lines) + "\n")
        expected = has_cycle(edges, bounding)
        seen.add(expected)
        assert bool(found) == expected, (found, edges, bounding)
        assert all(" cycle: " in line for line in found)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "is of type NoneType, not Needs"),
        (Needs(holds=Hold()), "has in 'holds' a value of type Hold, not a tuple"),
        (Needs(holds=("in",)), "has in 'holds[0]' a value of type str, not Hold"),
        (Needs(holds=(Hold(longest_s=60.0),)), "has in 'holds[0].longest_s' a value of type float, not Amount"),
        (Needs(deadline_s=Amount("60s")), "has in 'deadline_s.value' a value of type str, not a number"),
        (Needs(deadline_s=Amount(True)), "has in 'deadline_s.value' a value of type bool, not a number"),
        (Needs(deadline_s=Amount(math.inf)), "has a number in 'deadline_s.value' that is below 0 or has no bound"),
        (Needs(deadline_s=Amount(math.nan)), "has a number in 'deadline_s.value' that is below 0 or has no bound"),
        (Needs(waits=(Wait(Amount(1), times=-1),)), "has a number in 'waits[0].times' that is below 0"),
        (Needs(secrets_to=(Said(None),)), "has in 'secrets_to[0].text' a value of type NoneType, not a text"),
        (Needs(secrets_to=(Said("a", ("x", None)),)), "has in 'secrets_to[0].option[1]' a value of type NoneType"),
        (Needs(splits=10**400), "has a number in 'splits' that is below 0 or has no bound"),
        (Needs(single_reader=None), "has in 'single_reader' a value of type NoneType, not a text"),
        (Needs(bounds_cycles=1), "has in 'bounds_cycles' a value of type int, not a yes or no"),
        (Needs(splits=1.5), "has in 'splits' a value of type float, not a whole number"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_told_at_its_place_and_without_its_value(answer, says):
    assert says in flaw(answer)


def test_what_streamlets_say_may_stand_in_lists_and_in_quantities():
    said = Said("x", ("servers", 0, "url"))
    assert flaw(Needs(holds=[Hold(longest_s=Amount(Duration("7d")))], secrets_to=[said], splits=2)) == ""
