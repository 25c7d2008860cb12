import pytest

from tests.blueprints.lint import diagnose, lint

SCORE = 'use: score, with: { model: delay, servers: ["http://models:8000"], inputs: { x: [distance] }'

PROBLEMS = {
    "an unknown option says what was meant": (
        """
        name: a
        streamlets:
          score: { SCORE, treshold: 1.0 } }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
        """,
        ["3:106 unknown-option: score has no option 'treshold'; did you mean 'threshold'?"],
    ),
    "an option of an option is named by its path": (
        """
        name: a
        streamlets:
          score:
            use: score
            with:
              model: delay
              servers: [ { url: "http://a", tokn: x } ]
              batch: { max_wiat: 5ms, max_events: 0 }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
        """,
        [
            "7:37 unknown-option: 'servers[0]' of score has no option 'tokn'; did you mean 'token'?",
            "8:16 unknown-option: 'batch' of score has no option 'max_wiat'; did you mean 'max_wait'?",
            "8:43 bad-option: 'batch.max_events' of score: Input should be greater than or equal to 1",
        ],
    ),
    "an option without its unit": (
        """
        name: a
        streamlets:
          score: { SCORE, batch: { max_wait: 5 } } }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
        """,
        [
            "3:125 bad-option: 'batch.max_wait' of score: Value error, a duration needs its unit: "
            "write '5ms' or '2s', not the bare number 5"
        ],
    ),
    "a missing option is reported at `with`, or at the streamlet": (
        """
        name: a
        streamlets:
          one: { use: filter, with: {} }
          two: { use: filter }
        topics:
          t: { external: true, consumers: [one.in] }
          s: { external: true, consumers: [two.in] }
          u: { external: true, producers: [one.out, two.out] }
        """,
        [
            "3:23 missing-option: one needs the option 'where'",
            "4:3 missing-option: two needs the option 'where'",
        ],
    ),
    "an option beside `use` is misplaced, and so is a field under `with`": (
        """
        name: a
        streamlets:
          hot: { use: filter, where: "a > 1", with: { where: "a > 1", replicas: 2 } }
        topics:
          t: { external: true, consumers: [hot.in] }
          u: { external: true, producers: [hot.out] }
        """,
        [
            "3:23 misplaced-field: 'where' is an option of streamlet 'hot'; it goes under 'with'",
            "3:63 misplaced-field: 'replicas' is no option of hot; it goes beside 'use'",
        ],
    ),
    "fields at the wrong level say where they belong": (
        """
        name: a
        partitions: 3
        streamlets:
          print: { use: console, key: x }
        topics:
          t: { external: true, consumers: [print.in], replicas: 2, delivery: exactly-once }
        """,
        [
            "2:1 misplaced-field: 'partitions' does not belong in a blueprint; it goes in a topic under 'topics' "
            "or under 'dead-letters' or under 'defaults'",
            "4:26 misplaced-field: 'key' does not belong in a streamlet; it goes in a topic under 'topics'",
            "6:47 misplaced-field: 'replicas' does not belong in a topic; it goes in a streamlet under 'streamlets', "
            "or did you mean 'replication'?",
            "6:60 misplaced-field: 'delivery' does not belong in a topic; it goes at the top",
        ],
    ),
    "wrong values of every kind": (
        """
        name: 7
        delivery: exactly_once
        streamlets:
          print: { use: console, replicas: 0, overlap: many, on-invalid: ignore, start: yesterday, pod: 3 }
          show: console
        topics:
          t:
            external: yes
            consumers: print.in
            partitions: 1.5
            retention: 7
            max-bytes: 1 MB/s
            config: [a]
          s: { external: true, consumers: [print, print.in.x, 3] }
        """,
        [
            "1:7 bad-value: 'name' of the blueprint must be text; write '7' in quotes",
            "2:11 bad-value: 'delivery' of the blueprint must be 'exactly-once' or 'at-least-once', not 'exactly_once'",
            "4:36 bad-value: 'replicas' of streamlet 'print' must be a whole number from 1 to 10,000, not '0'",
            "4:48 bad-value: 'overlap' of streamlet 'print' must be a whole number from 1 to 1,000, not 'many'",
            "4:66 bad-value: 'on-invalid' of streamlet 'print' must be 'dead-letter' or 'drop' or 'stop', not 'ignore'",
            "4:81 bad-value: 'start' of streamlet 'print' must be 'earliest', 'latest' or a time with its zone, "
            "as 2026-04-01T00:00:00Z, not 'yesterday'",
            "4:97 bad-value: 'pod' of streamlet 'print' must be a mapping, not '3'",
            "5:9 bad-value: streamlet 'show' must be a mapping of use, with, replicas …, not 'console'",
            "8:15 bad-value: 'external' of topic 't' must be true or false, not 'yes'",
            "9:16 bad-value: 'consumers' of topic 't' must be a list of ports such as [score.out], not 'print.in'",
            "10:17 bad-value: 'partitions' of topic 't' must be a whole number from 1 to 10,000, not '1.5'",
            "11:16 bad-value: 'retention' of topic 't': a duration needs its unit: write '5ms' or '2s', "
            "not the bare number 7",
            "12:16 bad-value: 'max-bytes' of topic 't': '1 MB/s' has no unit of a size; the units are "
            "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
            "13:13 bad-value: 'config' of topic 't' must be a mapping of settings, not a list",
            "14:36 bad-value: a port in 'consumers' of topic 's' must be written as streamlet.port, not 'print'",
            "14:43 bad-value: a port in 'consumers' of topic 's' must be written as streamlet.port, not 'print.in.x'",
            "14:55 bad-value: a port in 'consumers' of topic 's' must be text; write '3' in quotes",
        ],
    ),
    "what this version does not carry out is refused": (
        """
        name: a
        streamlets:
          print: { use: console }
          more: { use: console }
        topics:
          t: { external: true, consumers: [print.in], inline: true }
          u: { external: true, consumers: [more.in], registry: true, format: xml }
        """,
        [
            "6:3 inline-misuse: 't' is inline, so it joins one producer with one consumer; it has no producers",
            "6:8 inline-misuse: 't' is inline, so it is not in the log and nobody else sees it; leave 'external' out",
            "6:36 inline-misuse: 't' is inline, and print is a sink, which needs a group of its own",
            "6:47 bad-value: 'inline' of topic 't' is not supported by this version: every topic is kept in the log",
            "7:46 bad-value: 'registry' of topic 'u' is not supported by this version: events carry no framing",
            "7:70 bad-value: 'format' of topic 'u' must be 'json' or 'avro' or 'protobuf', not 'xml'",
        ],
    ),
    "a required field": (
        """
        topics: {}
        """,
        [
            "1:1 missing-field: the blueprint needs 'name': the application: a DNS label",
            "1:1 missing-field: the blueprint needs 'streamlets': the components, by name",
        ],
    ),
    "ports that are not there, point the wrong way or are listed twice": (
        """
        name: a
        streamlets:
          features: { use: pass }
          print: { use: console }
        topics:
          t: { external: true, producers: [features.in], consumers: [fetures.in, print.inn] }
          s: { external: true, producers: [print.out], consumers: [features.in] }
          r: { external: true, consumers: [features.in, features.out] }
        """,
        [
            "6:36 wrong-direction: 'features.in' is an inlet and stands under 'producers'; it belongs under "
            "'consumers', or did you mean 'features.out'?",
            "6:62 unknown-port: there is no streamlet 'fetures'; did you mean 'features'?",
            "6:74 unknown-port: print has no inlet 'inn'; did you mean 'in'?",
            "7:36 unknown-port: print has no outlet 'out'; it has no outlets",
            "8:36 port-in-many-topics: 'features.in' is listed in 's' too; an inlet has one topic",
            "8:49 wrong-direction: 'features.out' is an outlet and stands under 'consumers'; it belongs under "
            "'producers', or did you mean 'features.in'?",
        ],
    ),
    "ports that come from options": (
        """
        name: a
        streamlets:
          way: { use: route, with: { to: [north, south], default: south } }
        topics:
          t: { external: true, consumers: [way.in] }
          n: { external: true, producers: [way.north] }
          e: { external: true, producers: [way.east] }
        """,
        ["7:36 unknown-port: way has no outlet 'east'; its outlets are north, south"],
    ),
    "a table and a stream want different topics": (
        """
        name: a
        streamlets:
          score: { SCORE, updates: { allow: [x] } } }
        topics:
          t: { external: true, consumers: [score.in], compacted: true }
          p: { external: true, producers: [score.out] }
          u: { external: true, consumers: [score.updates] }
        """,
        [
            "5:36 inlet-kind: 'score.in' takes every event and 't' keeps only the latest of each key (compacted)",
            "7:36 inlet-kind: 'score.updates' is a table and 'u' is not compacted; write 'compacted: true'",
        ],
    ),
    "names": (
        """
        name: My App
        contracts: { "a b": { json-schema: contracts/open.json } }
        streamlets:
          Score_1: { use: console }
        topics:
          "a/b": { external: true, consumers: [Score_1.in] }
          c: { external: true, topic: LONG }
        """,
        [
            "1:7 bad-name: the application's name is a DNS label of at most 63 small letters, digits and '-', "
            "not 'My App'; 'my-app' would do",
            "1:7 bad-topic-name: a topic's name in the log has letters, digits, '.', '_' and '-' only, not 'My App.'",
            "2:14 bad-name: a contract's name has letters, digits, '.', '_' and '-' only, not 'a b'",
            "4:3 bad-name: a streamlet's name is a DNS label of at most 63 small letters, digits and '-', "
            "not 'Score_1'; 'score-1' would do",
            "6:3 bad-topic-name: a topic's name in the log has letters, digits, '.', '_' and '-' only, not 'a/b'",
            "7:31 bad-topic-name: the name in the log has 250 characters; at most 249 are allowed",
        ],
    ),
    "reserved names, also where they come from a prefix": (
        """
        name: a
        streamlets:
          keep: { use: pass }
        topics:
          workers: { producers: [keep.out], consumers: [keep.in] }
          other: { external: true, topic: a.keep.state }
          more: { external: true, topic: a.dead-letters }
          status: { external: true }
        """,
        [
            "5:3 reserved-name: 'a.workers' is kept for the workers' snapshots; choose another name",
            "5:49 cycle: events would go round: keep → keep, by workers; take one of these inlets out",
            "6:35 reserved-name: 'a.keep.state' is kept for the small state of keep; choose another name",
            "7:34 reserved-name: 'a.dead-letters' is kept for dead letters; choose another name",
        ],
    ),
    "names that clash in the log": (
        """
        name: a
        prefix: ""
        streamlets:
          keep: { use: pass }
        topics:
          t: { consumers: [keep.in], external: true }
          s: { producers: [keep.out], topic: t, external: true }
          x.y: { external: true }
          x_y: { external: true }
        """,
        [
            "7:38 topic-name-clash: 's' and 't' are both 't' in the log",
            "9:3 topic-name-clash: 'x_y' and 'x.y' differ in '.' and '_' only, which Kafka confuses",
        ],
    ),
    "dead letters must not share a topic": (
        """
        name: a
        streamlets: { print: { use: console } }
        topics: { t: { external: true, consumers: [print.in] } }
        dead-letters: { topic: t, retention: forever }
        """,
        [
            "3:44 dead-letter-loop: 'print.in' reads 't', where the application's dead letters go: its own would come "
            "back to it for ever; let another application read them, or give 'dead-letters' another topic",
            "4:38 bad-value: 'retention' of 'dead-letters' of the blueprint: 'forever' is not a duration; "
            "write '5ms' or '2s'",
        ],
    ),
    "dead letters must not share a topic with what is written": (
        """
        name: a
        streamlets: { keep: { use: pass } }
        topics:
          t: { external: true, consumers: [keep.in] }
          s: { producers: [keep.out], external: true, topic: lost }
          r: { external: true, topic: a.dead-letters }
        dead-letters: { topic: lost }
        """,
        [
            "6:31 reserved-name: 'a.dead-letters' is kept for dead letters; choose another name",
            "7:24 topic-name-clash: 'lost' is the topic 's' already",
        ],
    ),
    "topics that nobody fills or reads": (
        """
        name: a
        streamlets: { keep: { use: pass } }
        topics:
          t: { consumers: [keep.in] }
          s: { producers: [keep.out] }
        """,
        [
            "4:3 no-producer: nothing writes to 't'; name a producer, or write 'external: true' if others fill it",
            "5:3 warning no-consumer: nobody reads 's'; name a consumer, or write 'external: true' if others read it",
        ],
    ),
    "settings of Kafka topics": (
        """
        name: a
        streamlets: { print: { use: console } }
        topics:
          t:
            external: true
            consumers: [print.in]
            retention: 7d
            config:
              retention.ms: 5
              retention.byts: 5
              cleanup.policy: compact
              segment.bytes: 10
              compression.type: zip
              max.message.bytes: many
              retention.bytes: 100
        """,
        [
            "9:7 conflicting-settings: 'retention.ms' is what 'retention' sets; leave it to that field",
            "10:7 bad-topic-config: a Kafka topic has no setting 'retention.byts'; did you mean 'retention.bytes'?",
            "11:7 conflicting-settings: 'cleanup.policy' is what 'compacted' sets; leave it to that field",
            "12:22 bad-topic-config: 'segment.bytes' must lie between 1048576 and 2147483647",
            "13:25 bad-topic-config: 'compression.type' must be uncompressed or zstd or lz4 or snappy or gzip "
            "or producer",
            "14:26 bad-topic-config: 'max.message.bytes' must be a number",
        ],
    ),
    "streamlets that cannot be found": (
        """
        name: a
        streamlets:
          a: { use: scoer }
          b: { use: "os:sep" }
          c: { use: "gone.away:function" }
          d: { use: weather }
          e: {}
        topics: {}
        """,
        [
            "3:13 unknown-streamlet: there is no streamlet 'scoer'; did you mean 'score'?",
            "4:13 not-a-streamlet: 'sep' of 'os' is neither a function nor a streamlet",
            "5:13 import-failed: 'gone.away' cannot be imported: No module named 'gone'",
            "6:13 ambiguous-streamlet: 'weather' is offered by two packages",
            "7:3 missing-field: streamlet 'e' needs 'use': a built-in name, package.module:name, or an entry point",
        ],
    ),
    "an option that will go is a warning": (
        """
        name: a
        streamlets:
          score: { SCORE, max_batch: 9 } }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
        """,
        ["3:106 warning deprecated-option: score: 'max_batch': write batch.max_events"],
    ),
    "contracts that do not fit name both ports, the field and the reason": (
        """
        name: a
        streamlets:
          flights: { use: flights }
          features: { use: features }
        topics:
          t: { producers: [flights.out], consumers: [features.in] }
          s: { producers: [features.out], consumers: [strict.in] }
        """,
        [
            "7:47 unknown-port: there is no streamlet 'strict'",
        ],
    ),
    "a contract of the topic stands between its ports": (
        """
        name: a
        contracts:
          o: { json-schema: contracts/open.json }
          d: { json-schema: contracts/departure.json }
          two: { json-schema: contracts/open.json, python: "x:Y" }
          none: {}
          gone: { json-schema: contracts/gone.json }
          text: { json-schema: app.yaml }
          model: { python: "no.such.module:X" }
          bare: { python: colonless }
        streamlets:
          features: { use: features }
        topics:
          t: { external: true, consumers: [features.in], contract: o }
          d: { external: true, producers: [features.out], contract: d }
          x: { external: true, contract: missing }
        """,
        [
            "5:3 bad-value: contract 'two' names one of json-schema, python, avro, protobuf",
            "6:3 missing-field: contract 'none' names one of json-schema, python, avro, protobuf",
            "7:24 missing-file: the schema 'contracts/gone.json' cannot be read: no such file or directory",
            "8:24 bad-value: the schema 'app.yaml' is not JSON: expecting value at line 1, column 1",
            "9:20 import-failed: there is no module 'no.such.module'",
            "10:19 import-failed: there is no module 'colonless'",
            "14:36 incompatible-contract: the contract 'o' does not fit features.in (Features): "
            "field 'carrier' is wanted, but may be absent; for example {}",
            "14:36 incompatible-contract: the contract 'o' does not fit features.in (Features): "
            "field 'distance' is wanted, but may be absent; for example {}",
            "15:36 incompatible-contract: features.out (Features) does not fit the contract 'd': "
            "field 'delay' is wanted, but is not written; for example "
            '{"carrier": "x", "distance": 0}',
            "15:36 incompatible-contract: features.out (Features) does not fit the contract 'd': "
            "field 'distance' may be a number, but an integer is wanted; for example "
            '{"distance": 0.5, …}',
            "16:34 bad-value: there is no contract 'missing'; name it under 'contracts'",
        ],
    ),
    "what a contract leaves open is not decided, and said once for each field": (
        """
        name: a
        contracts:
          l: { json-schema: contracts/loose.json }
        streamlets:
          features: { use: features }
        topics:
          t: { external: true, consumers: [features.in], contract: l }
        """,
        [
            "7:36 warning undecided-contract: the contract 'l' may not fit features.in (Features): of field "
            "'distance' it cannot be told whether it is a number: the writer's contract leaves open what it is; "
            "give both ends one contract to be sure, or let 'on-invalid' say what becomes of such events",
        ],
    ),
    "keys are CEL": (
        """
        name: a
        streamlets: { print: { use: console }, show: { use: console } }
        topics:
          t: { external: true, consumers: [print.in], key: "carrier + + origin" }
          s: { external: true, consumers: [show.in], key: "carier(origin)" }
        """,
        [
            "4:63 bad-expression: the key of 't', column 11: a value is missing before '+'",
            "5:52 bad-expression: the key of 's', column 1: there is no function 'carier'; there are size, int, "
            "uint, double, string, bytes, bool, dyn, type, timestamp, duration, matches, contains, startsWith, "
            "endsWith …",
        ],
    ),
    "cycles are found once each, through tables they are none": (
        """
        name: a
        streamlets:
          one: { use: pass }
          two: { use: pass }
          three: { use: pass }
          self: { use: pass }
          score: { SCORE, updates: { allow: [x] } } }
        topics:
          t: { producers: [one.out], consumers: [two.in] }
          s: { producers: [two.out], consumers: [three.in] }
          r: { producers: [three.out], consumers: [one.in] }
          q: { producers: [self.out], consumers: [self.in], external: true }
          in: { external: true, consumers: [score.in] }
          out: { producers: [score.out], external: true }
          loop: { producers: [score.status], consumers: [score.updates], compacted: true }
        """,
        [
            "9:42 cycle: events would go round: one → two → three → one, by t, s, r; take one of these inlets out",
            "12:43 cycle: events would go round: self → self, by q; take one of these inlets out",
        ],
    ),
    "a single reader is marked where the second one comes from": (
        """
        name: a
        streamlets:
          one: { use: file-sink, with: { path: a.jsonl }, replicas: 2 }
          two: { use: file-sink, with: { path: b.jsonl } }
          three: { use: file-sink, with: { path: c.jsonl } }
          keep: { use: pass }
        topics:
          t: { external: true, consumers: [one.in] }
          s: { external: true, consumers: [two.in, keep.in], partitions: 3 }
          r: { producers: [keep.out], consumers: [three.in] }
        """,
        [
            "3:61 single-reader: one needs one reader of all events, not 2 replicas: so it is",
            "9:66 single-reader: two needs one reader of all events, not the 3 partitions of 's': so it is",
            "10:43 single-reader: three needs one reader of all events, not the 3 partitions of 'r': so it is",
        ],
    ),
    "a path that is not trusted is marked where it stands": (
        """
        name: a
        streamlets:
          score:
            use: score
            with: { model: m, protocol: onnx, servers: [/opt/m.onnx] }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
        """,
        [
            "5:49 untrusted-path: score: '/opt/m.onnx' lies outside the blueprint's folder; copy it into the folder"
        ],
    ),
    "updates need an allow list": (
        """
        name: a
        streamlets:
          score: { SCORE, updates: {} } }
        topics:
          t: { external: true, consumers: [score.in] }
          p: { external: true, producers: [score.out] }
          u: { external: true, consumers: [score.updates], compacted: true }
        """,
        [
            "3:115 updates-without-allow-list: score: whoever can write to the topic of 'score.updates' could send "
            "every event to a server of theirs; list the servers that may be named"
        ],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_problems_at_once_in_the_order_of_the_file(tmp_path, name):
    text, expected = PROBLEMS[name]
    text = text.replace("SCORE", SCORE).replace("LONG", "x" * 250)
    assert lint(tmp_path, text) == expected


def test_a_streamlet_that_raises_when_it_is_asked_is_none(tmp_path):
    problems = lint(
        tmp_path,
        """
        name: a
        streamlets:
          one: { use: raises-ports }
          two: { use: raises-wiring }
          three: { use: raises-needs }
          four: { use: answers-nothing }
          five: { use: misnames }
        topics:
          t: { external: true, consumers: [two.in, three.in, four.in, five.in] }
    """,
    )
    assert problems == [
        "3:15 not-a-streamlet: 'raises-ports' fails when it is asked for its ports: ZeroDivisionError",
        "4:15 not-a-streamlet: 'raises-wiring' fails when it is asked for its wiring: ZeroDivisionError",
        "5:17 not-a-streamlet: 'raises-needs' fails when it is asked for its needs: ZeroDivisionError",
        "6:16 not-a-streamlet: 'answers-nothing' is asked for its needs, and its answer is of type NoneType, "
        "not Needs; return streamlets.ports.Needs",
        "7:16 not-a-streamlet: 'misnames' says what it needs of an inlet 'inn' that it does not have; "
        "did you mean 'in'?",
    ]


def test_the_line_has_the_form_that_editors_read(tmp_path):
    (found,) = diagnose(tmp_path, "name: a\nstreamlets: { p: { use: consol } }\n")
    assert str(found) == (
        f"{tmp_path}/app.yaml:2:25: error unknown-streamlet: there is no streamlet 'consol'; did you mean 'console'?"
    )
    assert found.frame == "    2 | streamlets: { p: { use: consol } }\n      |                         ^^^^^^"


def test_a_message_stays_on_one_line_whatever_is_in_the_file(tmp_path):
    for found in diagnose(
        tmp_path, 'name: "a\\nb\\e[31m"\nstreamlets: {"x\\ny": {use: "c\\r\\nd", "q\\n": 1}}\n'
    ):
        assert str(found).isprintable()


def test_a_long_line_is_shown_in_part_around_the_caret(tmp_path):
    (found,) = diagnose(
        tmp_path, f"name: a\ndescription: {'x' * 500}\nstreamlets: {{{' ' * 300}p: {{ use: consol }} }}\n"
    )
    line, caret = found.frame.splitlines()
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("consol")
