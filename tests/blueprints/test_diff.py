"""What a changed blueprint does to an application that runs: every field of the language has a class."""

import dataclasses
import json
import textwrap

import pytest

from blueprints.diff import Effect, Side, compare, summary
from blueprints.load import lint, plan_of
from blueprints.model import LEVELS
from tests.blueprints.catalog import FLIGHT, TestCatalog

BASE = """\
name: a
contracts:
  flight: { json-schema: flight.json }
  wide: { json-schema: wide.json }
streamlets:
  flights: { use: flights }
  keep: { use: filter, with: { where: "distance > 100" } }
  score: { use: score, with: { model: delay, servers: ["http://h"], updates: { allow: ["http://h"] } } }
  drift: { use: detect, with: { detector: ks, reference: r.npz } }
  end: { use: console }
topics:
  departures: { producers: [flights.out], consumers: [keep.in], partitions: 2 }
  kept: { producers: [keep.out], consumers: [score.in], key: carrier }
  predictions: { producers: [score.out], consumers: [end.in] }
  payloads: { producers: [score.payloads], consumers: [drift.in], partitions: 1 }
  updates: { consumers: [score.updates], compacted: true, external: true }
"""
SAFE, DRAIN, PARTITIONS, STATE, ORPHANS = Effect


def side(folder, text, environ=None):
    folder.mkdir(exist_ok=True)
    (folder / "flight.json").write_text(json.dumps(FLIGHT))
    wide = {**FLIGHT, "required": ["carrier"]}
    if not (folder / "wide.json").exists():
        (folder / "wide.json").write_text(json.dumps(wide))
    path = folder / "app.yaml"
    path.write_text(text)
    draft, found = lint(path, TestCatalog(), environ or {}, ())
    assert [str(one) for one in found if one.severity == "error"] == []
    return Side(plan_of(draft, path), draft)


def changes(tmp_path, before, after, environ=None):
    return compare(side(tmp_path / "old", before, environ), side(tmp_path / "new", after, environ))


def told(tmp_path, before, after, environ=None):
    """Return (sign, path, class, before, after) of each change."""
    return [(c.sign, c.path, c.effect, c.before, c.after) for c in changes(tmp_path, before, after, environ)]


def of(was, now, *wanted):
    return was, now, list(wanted)


DEPARTURES = "partitions: 2 }\n  kept"
TOP = "name: a\n"

CASES = {
    ("a blueprint", "name"): [
        of(TOP, "name: b\n", ("~", "name", ORPHANS, "a", "b"), ("~", "prefix", ORPHANS, "a", "b")),
        of(TOP + "prefix: x\n", "name: b\nprefix: x\n", ("~", "name", ORPHANS, "a", "b")),
    ],
    ("a blueprint", "description"): [
        of(TOP, TOP + "description: new\n", ("~", "description", SAFE, '""', "new"))
    ],
    ("a blueprint", "prefix"): [of(TOP, TOP + "prefix: x\n", ("~", "prefix", ORPHANS, "a", "x"))],
    ("a blueprint", "delivery"): [
        of(TOP, TOP + "delivery: at-least-once\n", ("~", "delivery", DRAIN, "exactly-once", "at-least-once")),
        of(TOP, TOP + "delivery: exactly-once\n"),
    ],
    ("a blueprint", "contracts"): [
        of("contracts:\n", "contracts:\n  x: { json-schema: wide.json }\n", ("+", "contracts.x", SAFE, None, None)),
        of("  wide: { json-schema: wide.json }\n", "", ("-", "contracts.wide", SAFE, None, None)),
    ],
    ("a blueprint", "streamlets"): [
        of("  end:", "  end2: { use: pass }\n  end:", ("+", "streamlets.end2", SAFE, None, "pass"),
           ("+", "topics.more", SAFE, None, None)),
        of("  drift: { use: detect, with: { detector: ks, reference: r.npz } }\n", "",
           ("~", "streamlets.score.payloads", None, None, None)),
        of("flights", "planes", ("~", "streamlets", ORPHANS, "flights", "planes")),
    ],
    ("a blueprint", "topics"): [
        of("  departures:", "  take-offs:", ("~", "topics", ORPHANS, "departures", "take-offs")),
        of("  departures: {", "  take-offs: { topic: a.departures,", ("~", "topics", SAFE, "departures", "take-offs")),
    ],
    ("a blueprint", "dead-letters"): [
        of(TOP, TOP + "dead-letters: {}\n"),
    ],
    ("a blueprint", "defaults"): [
        of(TOP, TOP + "defaults: {}\n"),
    ],
    ("a streamlet", "use"): [
        of("use: console", "use: pass", ("~", "streamlets.end.use", SAFE, "console", "pass")),
        of("use: detect, with: { detector: ks, reference: r.npz }", "use: file-sink, with: { path: x }",
           ("~", "streamlets.drift.use", STATE, "detect", "file-sink"),
           ("~", "streamlets.drift.with", SAFE, None, None)),
    ],
    ("a streamlet", "with"): [
        of("distance > 100", "distance > 200",
           ("~", "streamlets.keep.with.where", SAFE, "distance > 100", "distance > 200")),
        of("reference: r.npz", "reference: s.npz",
           ("~", "streamlets.drift.with.reference", STATE, "r.npz", "s.npz")),
        of("detector: ks,", "detector: ks, window: { events: 7 },",
           ("+", "streamlets.drift.with.window", STATE, None, '{"events": 7}')),
        of('servers: ["http://h"]', 'servers: ["http://h"], batch: { max_wait: 0.005s, max_events: 128 }'),
        of('servers: ["http://h"]', 'servers: ["http://h"], batch: { max_wait: 6ms }',
           ("~", "streamlets.score.with.batch.max_wait", SAFE, "5ms", "6ms")),
        of('servers: ["http://h"]', 'servers: ["http://h", "http://i"]',
           ("~", "streamlets.score.with.servers", SAFE, '["http://h"]', '["http://h", "http://i"]')),
    ],
    ("a streamlet", "replicas"): [
        of("use: console", "use: console, replicas: 2", ("~", "streamlets.end.replicas", SAFE, "1", "2"))
    ],
    ("a streamlet", "overlap"): [
        of("use: console", "use: console, overlap: 2", ("~", "streamlets.end.overlap", SAFE, "unset", "2"))
    ],
    ("a streamlet", "on-invalid"): [
        of("use: console", "use: console, on-invalid: drop",
           ("~", "streamlets.end.on-invalid", SAFE, "dead-letter", "drop")),
        of("use: console", "use: console, on-invalid: dead-letter"),
    ],
    ("a streamlet", "start"): [
        of("use: console", "use: console, start: latest", ("~", "streamlets.end.start", SAFE, "earliest", "latest"))
    ],
    ("a streamlet", "pod"): [
        of("use: console", "use: console, pod: { env: { TOKEN: hunter2 } }",
           ("~", "streamlets.end.pod", SAFE, None, None))
    ],
    ("a topic", "producers"): [
        of("  departures: { producers: [flights.out],", "  departures: { external: true, topic: a.departures,",
           ("-", "streamlets.flights.out", None, None, None)),
    ],
    ("a topic", "consumers"): [
        of("consumers: [end.in] }", "consumers: [] }\n  x: { external: true, consumers: [end.in] }",
           ("~", "streamlets.end.in", STATE, "predictions", "x"), ("+", "topics.x", SAFE, None, None)),
        of("{ consumers: [score.updates], compacted", "{ compacted",
           ("-", "streamlets.score.updates", SAFE, "updates", None)),
    ],
    ("a topic", "key"): [
        of("key: carrier", "key: distance", ("~", "topics.kept.key", PARTITIONS, "carrier", "distance")),
        of(", key: carrier", "", ("~", "topics.kept.key", PARTITIONS, "carrier", "unset")),
    ],
    ("a topic", "partitions"): [
        # What others inherit changes with it.
        of(DEPARTURES, "partitions: 4 }\n  kept", ("~", "topics.departures.partitions", PARTITIONS, "2", "4"),
           ("~", "topics.kept.partitions", PARTITIONS, "2", "4"),
           ("~", "topics.predictions.partitions", PARTITIONS, "2", "4")),
        of("external: true", "external: true, partitions: 3", ("~", "topics.updates.partitions", SAFE, "1", "3")),
        of("partitions: 1 }", "partitions: 1 } # the same"),
    ],
    ("a topic", "replication"): [
        of("partitions: 1 }", "partitions: 1, replication: 3 }",
           ("~", "topics.payloads.replication", SAFE, "unset", "3"))
    ],
    ("a topic", "retention"): [
        of("partitions: 1 }", "partitions: 1, retention: 7d }",
           ("~", "topics.payloads.retention", DRAIN, "unset", "7d")),
    ],
    ("a topic", "max-bytes"): [
        of("partitions: 1 }", "partitions: 1, max-bytes: 1GiB }",
           ("~", "topics.payloads.max-bytes", DRAIN, "unset", "1GiB")),
    ],
    ("a topic", "config"): [
        of("partitions: 1 }", "partitions: 1, config: { segment.ms: 1000 } }",
           ("+", "topics.payloads.config.segment.ms", SAFE, None, "1000")),
        of("partitions: 1 }", "partitions: 1, config: { retention.ms: 1000 } }",
           ("+", "topics.payloads.config.retention.ms", DRAIN, None, "1000")),
    ],
    ("a topic", "compacted"): [],
    ("a topic", "external"): [
        of("[end.in] }", "[end.in], external: true }",
           ("~", "topics.predictions.external", ORPHANS, "false", "true")),
        of("[end.in] }", "[end.in], external: true, topic: a.predictions }",
           ("~", "topics.predictions.external", SAFE, "false", "true")),
    ],
    ("a topic", "topic"): [
        of("[end.in] }", "[end.in], topic: other }",
           ("~", "topics.predictions.topic", ORPHANS, "a.predictions", "other")),
        of("[end.in] }", "[end.in], topic: a.predictions }"),
    ],
    ("a topic", "contract"): [
        of("[keep.in], ", "[keep.in], contract: wide, ",
           ("~", "topics.departures.contract", DRAIN, "unset", "wide")),
    ],
    ("a topic", "format"): [],
    ("a topic", "registry"): [],
    ("a topic", "inline"): [],
    ("a topic", "cluster"): [],
    ("a contract", "json-schema"): [
        of("json-schema: wide.json", "json-schema: flight.json",
           ("~", "contracts.wide", SAFE, "json-schema wide.json", "json-schema flight.json"))
    ],
    ("a contract", "python"): [
        of("json-schema: wide.json", 'python: "own:Flight"',
           ("~", "contracts.wide", SAFE, "json-schema wide.json", "python own:Flight"))
    ],
    ("a contract", "avro"): [],
    ("a contract", "protobuf"): [],
    ("dead-letters", "topic"): [
        of(TOP, TOP + "dead-letters: { topic: x }\n", ("~", "dead-letters.topic", ORPHANS, "a.dead-letters", "x"))
    ],
    ("dead-letters", "partitions"): [
        of(TOP, TOP + "dead-letters: { partitions: 2 }\n", ("~", "dead-letters.partitions", PARTITIONS, "1", "2"))
    ],
    ("dead-letters", "replication"): [
        of(TOP, TOP + "dead-letters: { replication: 2 }\n",
           ("~", "dead-letters.replication", SAFE, "unset", "2"))
    ],
    ("dead-letters", "retention"): [
        of(TOP, TOP + "dead-letters: { retention: 1d }\n", ("~", "dead-letters.retention", DRAIN, "unset", "1d"))
    ],
    ("dead-letters", "max-bytes"): [
        of(TOP, TOP + "dead-letters: { max-bytes: 1GB }\n", ("~", "dead-letters.max-bytes", DRAIN, "unset", "1GB"))
    ],
    ("defaults", "partitions"): [
        of(TOP, TOP + "defaults: { partitions: 1 }\n", ("~", "topics.kept.partitions", PARTITIONS, "2", "1"),
           ("~", "topics.predictions.partitions", PARTITIONS, "2", "1"))
    ],
    ("defaults", "replication"): [of(TOP, TOP + "defaults: { replication: 3 }\n", *(
        ("~", f"topics.{name}.replication", SAFE, "unset", "3")
        for name in ("departures", "kept", "predictions", "payloads", "updates")
    ))],
    ("defaults", "retention"): [of(TOP, TOP + "defaults: { retention: 3d }\n", *(
        ("~", f"topics.{name}.retention", effect, "unset", "3d")
        for name, effect in (("departures", DRAIN), ("kept", DRAIN), ("predictions", DRAIN), ("payloads", DRAIN),
                             ("updates", SAFE))
    ))],
    ("defaults", "max-bytes"): [of(TOP, TOP + "defaults: { max-bytes: 3MB }\n", *(
        ("~", f"topics.{name}.max-bytes", effect, "unset", "3MB")
        for name, effect in (("departures", DRAIN), ("kept", DRAIN), ("predictions", DRAIN), ("payloads", DRAIN),
                             ("updates", SAFE))
    ))],
    ("defaults", "config"): [of(TOP, TOP + "defaults: { config: { segment.ms: 9 } }\n", *(
        ("+", f"topics.{name}.config.segment.ms", SAFE, None, "9")
        for name in ("departures", "kept", "predictions", "payloads", "updates")
    ))],
}  # fmt: skip
"""(level, field) → (in `BASE` this, becomes that, what is told). Empty: `AS_PLANNED` below has it."""


def test_every_field_of_the_language_has_a_class():
    fields = {(level.name, field.name) for level in LEVELS for field in level.fields}
    assert fields == set(CASES)
    elsewhere = {*AS_PLANNED, ("a contract", "avro"), ("a contract", "protobuf")}
    assert {key for key, cases in CASES.items() if not cases} == elsewhere


FLAT = [(key, number) for key, cases in CASES.items() for number in range(len(cases))]
SPECIAL = {("a blueprint", "streamlets"), ("a topic", "producers")}


@pytest.mark.parametrize(("key", "number"), [one for one in FLAT if one[0] not in SPECIAL])
def test_a_change_of_a_field_is_of_its_class(tmp_path, key, number):
    was, now, wanted = CASES[key][number]
    before = BASE if was in BASE else BASE.replace(TOP, was)
    assert told(tmp_path, before, before.replace(was, now)) == wanted
    again = told(tmp_path, before.replace(was, now), before.replace(was, now))
    assert again == []


AS_PLANNED = {
    ("a topic", "compacted"): [({"compacted": True}, DRAIN, STATE)],
    ("a topic", "format"): [({"format": "avro"}, DRAIN, DRAIN)],
    ("a topic", "registry"): [({"registry": True}, DRAIN, DRAIN)],
    ("a topic", "inline"): [({"inline": True}, ORPHANS, SAFE)],
    ("a topic", "cluster"): [({"cluster": "other"}, ORPHANS, ORPHANS)],
}
"""Changes of a plan, because the blueprint would have to change elsewhere too: there, and back."""


@pytest.mark.parametrize("key", AS_PLANNED)
def test_a_change_of_a_topics_plan_is_of_its_class(tmp_path, key):
    base = side(tmp_path / "old", BASE)
    for values, there, back in AS_PLANNED[key]:
        changed = dataclasses.replace(base.plan.topics["predictions"], **values)
        other = Side(
            dataclasses.replace(base.plan, topics={**base.plan.topics, "predictions": changed}), base.draft
        )
        for one, two, wanted in ((base, other, there), (other, base, back)):
            assert [(c.path, c.effect) for c in compare(one, two)] == [
                (f"topics.predictions.{key[1]}", wanted)
            ]


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [("7d", "1d", DRAIN), ("1d", "7d", SAFE), ("24h", "1d", None), ("7d", "", SAFE)],
)
def test_keeping_less_loses_events_and_keeping_more_does_not(tmp_path, before, after, effect):
    texts = [
        BASE.replace("partitions: 1 }", f"partitions: 1{f', retention: {one}' if one else ''} }}")
        for one in (before, after)
    ]
    assert [c.effect for c in changes(tmp_path, *texts)] == ([] if effect is None else [effect])


def test_a_streamlet_that_is_removed_leaves_its_group_and_state(tmp_path):
    after = BASE.replace("  end: { use: console }\n", "").replace(", consumers: [end.in]", "")
    (change,) = changes(tmp_path, BASE, after)
    assert (change.sign, change.path, change.effect) == ("-", "streamlets.end", ORPHANS)
    assert "the group a.end and the topic a.end.state stay in the log" in change.why
    assert change.mark.file.endswith("old/app.yaml")


def test_a_streamlet_that_is_added_says_where_it_begins(tmp_path):
    after = BASE.replace("  end: {", "  see: { use: console, start: latest }\n  end: {")
    after = after.replace("[end.in]", "[end.in, see.in]")
    (change,) = changes(tmp_path, BASE, after)
    assert str(change).startswith(
        "+ streamlets.see: console   safe: its group is new and begins at 'latest' of predictions"
    )


def test_a_rename_is_told_as_one_and_what_it_leaves(tmp_path):
    (change,) = changes(tmp_path, BASE, BASE.replace("end", "print"))
    assert (change.path, change.before, change.after, change.effect) == (
        "streamlets",
        "end",
        "print",
        ORPHANS,
    )
    assert "it looks renamed: the group a.end and its state stay behind" in change.why


def test_renames_of_streamlets_and_topics_together_are_found(tmp_path):
    after = BASE.replace("end", "print").replace("predictions", "scores")
    found = {(c.path, c.before, c.after) for c in changes(tmp_path, BASE, after)}
    assert found == {("streamlets", "end", "print"), ("topics", "predictions", "scores")}


def test_another_reader_of_another_kind_is_no_rename(tmp_path):
    after = BASE.replace("end", "print").replace("use: console", "use: pass")
    assert [(c.sign, c.path) for c in changes(tmp_path, BASE, after)] == [
        ("+", "streamlets.print"),
        ("-", "streamlets.end"),
    ]


def test_an_inlet_that_moves_is_refused_at_start_so_it_says_what_to_delete(tmp_path):
    after = BASE.replace("consumers: [end.in] }", "external: true, topic: a.predictions }")
    after = after.replace("consumers: [score.in]", "consumers: [score.in, end.in]")
    moved = next(c for c in changes(tmp_path, BASE, after) if c.path == "streamlets.end.in")
    assert (moved.before, moved.after, moved.effect) == ("predictions", "kept", STATE)
    assert "`run` refuses it in kept (state-differs)" in moved.why
    assert "delete the group a.end and a.end.state: it begins at 'earliest' of kept" in moved.why
    twice = [text + "delivery: at-least-once\n" for text in (BASE, after)]
    moved = next(c for c in changes(tmp_path, *twice) if c.path == "streamlets.end.in")
    assert "`run` refuses it in kept (state-differs)" in moved.why


def test_an_outlet_that_moves_away_from_its_readers_needs_them_to_be_done(tmp_path):
    before = BASE.replace("  payloads:", "  other: { external: true, consumers: [] }\n  payloads:")
    after = before.replace(
        "producers: [score.out], consumers: [end.in]", "external: true, topic: a.predictions"
    )
    after = after.replace("consumers: [] }", "producers: [score.out], consumers: [end.in] }")
    found = {c.path: c for c in changes(tmp_path, before, after)}
    assert found["streamlets.score.out"].effect is DRAIN
    assert "was for end.in" in found["streamlets.score.out"].why


def test_a_contract_that_old_events_do_not_fit_needs_a_drain(tmp_path):
    before = BASE.replace("[keep.in], ", "[keep.in], contract: flight, ")
    (change,) = changes(tmp_path, before, before.replace("contract: flight, ", "contract: wide, "))
    assert (change.effect, change.why) == (SAFE, "every event that is there fits it")
    side(tmp_path / "new", BASE)
    stricter = {
        **FLIGHT,
        "properties": {**FLIGHT["properties"], "distance": {"type": "integer", "maximum": 9}},
    }
    (tmp_path / "new" / "wide.json").write_text(json.dumps(stricter))
    external = before.replace("producers: [flights.out]", "external: true").replace(
        "  flights: { use: flights }\n", ""
    )
    (change,) = changes(tmp_path, external, external.replace("contract: flight, ", "contract: wide, "))[-1:]
    assert (change.path, change.effect) == ("topics.departures.contract", DRAIN)
    assert "field 'distance' of what was written" in change.why


AVRO = {
    "type": "record",
    "name": "Flight",
    "fields": [{"name": "carrier", "type": "string"}, {"name": "distance", "type": "int"}],
}
PROTO = 'syntax = "proto3";\nmessage Flight { string carrier = 1; int32 distance = 2; }\n'


def encoded(tmp_path, kind, before, after):
    """Return the change of a topic's contract in an encoding, from a definition to another."""
    source = "f.avsc" if kind == "avro" else "f.proto"
    text = BASE.replace("contracts:\n", f"contracts:\n  f: {{ {kind}: {source} }}\n")
    text = text.replace("distance > 100", "carrier == 'UA'")
    text = text.replace("  flights: { use: flights }\n", "").replace(
        "producers: [flights.out]", f"external: true, format: {kind}, contract: f"
    )
    for folder, definition in (("old", before), ("new", after)):
        (tmp_path / folder).mkdir(exist_ok=True)
        written = definition if isinstance(definition, str) else json.dumps(definition)
        (tmp_path / folder / source).write_text(written)
    return [(c.path, c.effect, c.why) for c in changes(tmp_path, text, text)]


def test_avro_data_are_read_by_their_own_schema_only(tmp_path):
    wider = {**AVRO, "fields": [*AVRO["fields"], {"name": "gate", "type": "string", "default": "-"}]}
    ((path, effect, why),) = encoded(tmp_path, "avro", AVRO, wider)
    assert (path, effect) == ("topics.departures.contract", DRAIN)
    assert "the data is laid out differently, and events in the log do not say which schema wrote them" in why
    told = {**AVRO, "doc": "flights, as they left"}
    assert [effect for _, effect, _ in encoded(tmp_path, "avro", AVRO, told)] in ([], [SAFE])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("distance = 2", "distance = 3"),
            "field 'distance' had the number 2 and has 3: what was written is not read",
        ),
        (
            ("int32 distance", "string distance"),
            "field 'distance' is int32, but is read as string: it is not read at all",
        ),
        (("int32 distance", "int32 way"), "the number 2 of Flight was 'distance' and is 'way'"),
        (("string carrier = 1;", "string carrier = 1; string gate = 3;"), None),
        (("int32 distance", "int64 distance"), None),
        (
            ("int32 distance", "uint32 distance"),
            "is int32, but is read as uint32: it would be another number",
        ),
        (
            (
                "string carrier = 1; int32 distance = 2;",
                "oneof o { string carrier = 1; int32 distance = 2; }",
            ),
            "joins 'carrier' and 'distance', which could both be set",
        ),
    ],
)
def test_protobuf_data_are_read_by_number(tmp_path, change, says):
    pytest.importorskip("grpc_tools")
    found = encoded(tmp_path, "protobuf", PROTO, PROTO.replace(*change))
    if says is None:
        assert [effect for _, effect, _ in found] == [SAFE]
    else:
        ((_, effect, why),) = found
        assert effect is DRAIN
        assert says in why


def test_a_schema_with_another_content_counts_whatever_its_name(tmp_path):
    text = BASE.replace("[keep.in], ", "[keep.in], contract: wide, ")
    assert changes(tmp_path, text, text) == []
    (tmp_path / "new" / "wide.json").write_text('{"type": "object"}')
    (change,) = changes(tmp_path, text, text)
    assert (change.path, change.effect) == ("topics.departures.contract", SAFE)
    assert change.why.startswith("its schema has changed")


def test_a_file_with_another_content_counts_whatever_its_name(tmp_path):
    assert changes(tmp_path, BASE, BASE) == []
    (tmp_path / "old" / "r.npz").write_bytes(b"1")
    (tmp_path / "new" / "r.npz").write_bytes(b"2")
    (change,) = changes(tmp_path, BASE, BASE)
    assert (change.path, change.effect) == ("streamlets.drift.with.reference", STATE)
    assert "the file r.npz has another content" in change.why


def test_order_comments_and_spelling_do_not_count(tmp_path):
    after = textwrap.dedent("""\
        # the same
        topics:
          updates: { external: true, compacted: true, consumers: [ score.updates ] }
          payloads: { partitions: 1, consumers: [drift.in], producers: ["score.payloads"] }
          predictions: { consumers: [end.in], producers: [score.out], inline: false }
          kept: { key: "carrier", consumers: [score.in], producers: [keep.out], partitions: 2 }
          departures: { partitions: 2, consumers: [keep.in], producers: [flights.out], format: json }
        streamlets:
          end: { use: console, with: {}, replicas: 1 }
          drift: { with: { reference: r.npz, detector: ks, window: null }, use: detect }
          score:
            with: { updates: { allow: ["http://h"] }, servers: ["http://h"], model: delay, protocol: v2 }
            use: score
          keep: { use: filter, with: { where: "distance > 100" } }
          flights: { use: flights }
        contracts:
          wide: { json-schema: wide.json }
          flight: { json-schema: flight.json }
        delivery: exactly-once
        name: a
        """)
    assert told(tmp_path, BASE, after) == []


def test_a_default_that_changes_in_the_environments_stead_counts_and_is_shown_as_written(tmp_path):
    texts = [BASE.replace("partitions: 1 }", f"partitions: '${{N:-{n}}}' }}") for n in (1, 3)]
    alone = "  drift: { use: detect, with: { detector: ks, reference: r.npz } }\n"
    texts = [text.replace("consumers: [drift.in], ", "").replace(alone, "") for text in texts]
    assert told(tmp_path, *texts) == [("~", "topics.payloads.partitions", PARTITIONS, "${N:-1}", "${N:-3}")]
    assert told(tmp_path, *texts, {"N": "2"}) == []


def test_no_secret_and_no_value_of_the_environment_is_shown(tmp_path):
    def with_token(token, url):
        return BASE.replace('servers: ["http://h"]', f'servers: [{{ url: "{url}", token: "{token}" }}]')

    environ = {"OLD": "hunter2", "NEW": "hunter3", "HOST": "http://inner"}
    found = changes(tmp_path, with_token("${OLD}", "http://h"), with_token("${NEW}", "${HOST}"), environ)
    shown = "\n".join(map(str, found))
    assert [c.path for c in found] == ["streamlets.score.with.servers"]
    assert not any(value in shown for value in environ.values())


def test_the_summary_counts_by_class(tmp_path):
    after = BASE.replace("key: carrier", "key: distance").replace("name: a", "name: a\ndescription: x")
    assert summary(changes(tmp_path, BASE, after)) == {SAFE: 1, PARTITIONS: 1}
