"""Cases in steps: events, answers, model updates and time in the middle of a case."""

import textwrap

from streamlets.cli.main import run

UPDATED = """
name: updated
streamlets:
  score:
    use: score
    with:
      model: m
      servers: [ "http://one:1", "http://other:1" ]
      inputs: { x: [a] }
      outputs: { y: y }
      timeout: 2s
      updates: { allow: [ "http://two:*" ] }
topics:
  rows: { external: true, consumers: [score.in] }
  predictions: { producers: [score.out], external: true }
  updates: { external: true, compacted: true, consumers: [score.updates] }
"""


def updated(tmp_path, capsys, cases):
    (tmp_path / "updated.yaml").write_text(UPDATED)
    (tmp_path / "updated_test.yaml").write_text("cases:\n" + textwrap.dedent(cases))
    code = run(["test", str(tmp_path / "updated.yaml")])
    told = capsys.readouterr()
    return code, (told.out + told.err).replace(f"{tmp_path}/", "")


def test_a_step_looks_at_what_came_since_the_one_before_and_the_case_at_all_of_it(tested):
    code, told = tested("""
      - name: one after the other
        steps:
          - given: { readings: [ { sensor: a, celsius: 31.0 } ] }
            expect: { warm: [ { subset: { celsius: 31.0 } } ] }
          - given: { readings: [ { sensor: a, celsius: 29.0 } ] }
            expect: { warm: none }
          - given: { readings: [ { sensor: a, celsius: 33.0 } ] }
            expect: { warm: [ { subset: { celsius: 33.0 } } ] }
        expect: { warm: [ { subset: { celsius: 31.0 } }, { subset: { celsius: 33.0 } } ] }
    """)
    assert (code, told[:8]) == (0, "1 passed"), told


def test_time_passes_between_steps_and_what_is_open_is_closed_after_the_last(tested):
    code, told = tested("""
      - name: a window waits five seconds
        steps:
          - { given: { values: [ { v: 1 } ] }, after: 4s, expect: { windows: none } }
          - { given: { values: [ { v: 2 } ] }, after: 1s, expect: { windows: [ { subset: { closed: wait } } ] } }
          - { given: { values: [ { v: 3 } ] }, expect: { windows: [ { subset: { closed: end } } ] } }
      - name: a step without a time leaves it open
        steps:
          - { given: { values: [ { v: 1 } ] }, expect: { windows: none } }
          - { given: { values: [ { v: 2 } ] }, expect: { windows: [ { subset: { closed: end } } ] } }
    """)
    assert (code, told[:8]) == (0, "2 passed"), told


def test_what_is_wrong_in_a_step_is_told_at_its_line(tested):
    code, told = tested("""
      - name: twice
        steps:
          - given: { readings: [ { sensor: a, celsius: 31.0 } ] }
            expect: { warm: [ { subset: { celsius: 31.0 } } ] }
          - given: { readings: [ { sensor: a, celsius: 32.0 } ] }
            expect: { warm: [ { subset: { celsius: 31.0 } } ] }
    """)
    assert code == 1
    assert told.splitlines()[:2] == [
        "sensors_test.yaml:8:25: twice: warm[0] differs",
        "    celsius: expected 31.0, got 32.0",
    ]


def test_a_server_goes_away_and_comes_back(tested):
    code, told = tested("""
      - name: away, then back
        models: { m: [ { error: unavailable } ] }
        steps:
          - { given: { rows: [ { a: 1, b: 2 } ] }, after: 1m, expect: { predictions: none } }
          - models: { m: [ { default: { y: 0.5 } } ] }
            after: 3s
            expect: { predictions: [ { subset: { prediction: { y: 0.5 } } } ] }
        expect: { dead-letters: none }
    """)
    assert (code, told[:8]) == (0, "1 passed"), told


def test_a_step_that_cannot_settle_says_who_waits_for_what(tested):
    code, told = tested("""
      - name: away
        models: { m: [ { error: unavailable } ] }
        steps:
          - { given: { rows: [ { a: 1, b: 2 } ] }, expect: { predictions: none } }
          - { models: { m: [ { default: { y: 0.5 } } ] }, expect: { predictions: { count: 1 } } }
    """)
    assert code == 1
    assert "sensors_test.yaml:6:7: away: score still waits after 600 s of virtual time" in told


def test_a_call_takes_its_time_and_one_that_takes_too_long_is_given_up(tmp_path, capsys):
    code, told = updated(
        tmp_path,
        capsys,
        """
      - name: within the timeout
        models: { m: [ { default: { y: 1.0 }, takes: 1s } ] }
        steps:
          - { given: { rows: [ { a: 1 } ] }, after: 900ms, expect: { predictions: none } }
          - { after: 200ms, expect: { predictions: { count: 1 } } }
      - name: beyond it, an outage like any other
        models: { m: [ { default: { y: 1.0 }, takes: 3s } ] }
        steps:
          - { given: { rows: [ { a: 1 } ] }, after: 1m, expect: { predictions: none, dead-letters: none } }
          - { models: { m: [ { default: { y: 2.0 } } ] }, expect: { predictions: { count: 1 } } }
    """,
    )
    assert (code, told[:8]) == (0, "2 passed"), told


def test_one_of_two_servers_is_away_and_the_other_answers(tmp_path, capsys):
    code, told = updated(
        tmp_path,
        capsys,
        """
      - name: the other
        models: { m: [ { server: "http://one:1", error: unavailable }, { default: { y: 1.0 } } ] }
        given: { rows: [ { a: 1 }, { a: 2 } ] }
        expect: { predictions: { count: 2, each: { subset: { model: { server: "other:1" } } } } }
    """,
    )
    assert (code, told[:8]) == (0, "1 passed"), told


def test_a_model_update_takes_over_at_the_event_after_at_once(tmp_path, capsys):
    """An update whose servers answer in the instant they are asked needs no time, and no other event to be noticed."""
    code, told = updated(
        tmp_path,
        capsys,
        """
      - name: version 2 at the event after
        models: { m: [ { server: "http://two:1", answer: { y: 2.0 } }, { default: { y: 1.0 } } ] }
        steps:
          - given: { rows: [ { a: 1 } ] }
            expect: { predictions: [ { subset: { prediction: { y: 1.0 } } } ] }
          - given:
              updates:
                - data: { model: m, version: "2", epoch: 1, servers: [ "http://two:1" ] }
                  type: streamlets.model.update
                  key: m@2
            expect:
              predictions: none
              status: [ { subset: { step: received } }, { subset: { step: validated, version: "2" } } ]
          - given: { rows: [ { a: 1 } ] }
            expect:
              predictions: [ { subset: { prediction: { y: 2.0 }, model: { version: "2" } } } ]
              status: [ { subset: { step: applied } } ]
        expect: { predictions: { count: 2 }, dead-letters: none }
      - name: an update that may not be is rejected, and nothing changes
        models: { m: [ { default: { y: 1.0 } } ] }
        steps:
          - given:
              updates:
                - data: { model: m, version: "2", epoch: 1, servers: [ "http://elsewhere:1" ] }
                  type: streamlets.model.update
                  key: m@2
            expect: { status: { events: [ { subset: { step: rejected } } ], others: true } }
          - given: { rows: [ { a: 1 } ] }
            expect: { predictions: [ { subset: { prediction: { y: 1.0 } } } ] }
    """,
    )
    assert (code, told[:8]) == (0, "2 passed"), told


def test_a_stage_that_has_stopped_ends_the_steps_and_says_why(tested):
    code, told = tested("""
      - name: stopped
        steps:
          - { given: { values: [ "text" ] }, expect: { windows: none } }
          - { given: { values: [ { v: 1 } ] }, expect: { windows: none } }
    """)
    assert code == 1
    assert "stopped: a streamlet has stopped" in told
