"""`streamlets test`: what passes, what fails and how it is told, as its user sees it."""

import json
import time

from streamlets.cli.main import run
from tests.cli.conftest import SENSORS


def test_a_case_that_holds_passes(tested):
    code, told = tested("""
      - name: only what is warm
        given: { readings: [ { sensor: a, celsius: 31.0 }, { sensor: a, celsius: 29.0 } ] }
        expect: { warm: [ { exact: { sensor: a, celsius: 31.0 }, key: a } ] }
    """)
    assert code == 0
    assert told.startswith("1 passed in")


def test_a_difference_is_told_field_by_field_at_its_line(tested):
    code, told = tested("""
      - name: only what is warm
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect:
          warm:
            - exact: { sensor: b, celsius: 31.0, unit: C }
    """)
    assert code == 1
    assert told.splitlines()[:3] == [
        "sensors_test.yaml:7:9: only what is warm: warm[0] differs",
        '    sensor: expected "b", got "a"',
        '    unit: expected "C", but it is missing',
    ]
    assert "1 failed" in told


def test_too_many_too_few_and_another_order_are_three_things(tested):
    code, told = tested("""
      - name: none
        given: { values: [ { v: 1 }, { v: 2 }, { v: 3 } ] }
        expect: { windows: [] }
      - name: two
        given: { values: [ { v: 1 }, { v: 2 }, { v: 3 } ] }
        expect: { windows: [ { cel: "size(members) == 3" }, { subset: { key: 0 } } ] }
      - name: order
        given: { values: [ { v: 1 }, { v: 2 }, { v: 3 }, { v: 4 } ] }
        expect: { windows: [ { subset: { closed: end } }, { subset: { closed: count } } ] }
    """)
    assert code == 1
    assert "none: windows: no event expected, 1 event came" in told
    assert "two: windows: 2 events expected, 1 event came" in told
    assert "two: windows: this event did not come" in told
    assert "order: windows: the events are as expected, but in another order" in told


def test_waits_take_virtual_time_and_no_other(tested):
    began = time.perf_counter()
    code, told = tested("""
      - name: still open
        given: { values: [ { v: 1 } ] }
        after: 4s
        expect: { windows: [] }
      - name: closed by its longest wait
        given: { values: [ { v: 1 } ] }
        after: 6s
        expect: { windows: [ { subset: { closed: wait } } ] }
      - name: closed at the end
        given: { values: [ { v: 1 } ] }
        expect: { windows: [ { subset: { closed: end } } ] }
    """)
    assert (code, told[:8]) == (0, "3 passed")
    assert time.perf_counter() - began < 4


def test_a_case_has_its_own_environment(tested):
    code, told = tested("""
      - name: the default limit
        given: { readings: [ { sensor: a, celsius: 25.0 } ] }
        expect: { warm: [] }
      - name: a lower limit
        env: { LIMIT: "20.0" }
        given: { readings: [ { sensor: a, celsius: 25.0 } ] }
        expect: { warm: [ { subset: { celsius: 25.0 } } ] }
    """)
    assert (code, told[:8]) == (0, "2 passed")


def test_dead_letters_are_expected_like_events(tested):
    code, told = tested("""
      - name: a text is no value
        given: { values: [ "text" ], readings: [ { sensor: a } ] }
        expect:
          dead-letters: [ { subset: { streamlet: warm, topic: readings, data: { sensor: a } } } ]
    """)
    assert code == 1  # windows stop at what they cannot hold, and say so
    assert "a streamlet has stopped" in told
    code, told = tested("""
      - name: a missing field
        given: { readings: [ { sensor: a } ] }
        expect: { dead-letters: [ { subset: { streamlet: warm, topic: readings, data: { sensor: a } } } ] }
    """)
    assert code == 0, told


def test_several_partitions_have_no_order_among_them(tested):
    code, told = tested("""
      - name: any order
        given:
          readings:
            - { sensor: a, celsius: 31.0 }
            - { sensor: b, celsius: 32.0 }
            - { sensor: c, celsius: 33.0 }
        expect: { warm: [ { subset: { sensor: c } }, { subset: { sensor: b } }, { cel: "sensor == 'a'" } ] }
    """)
    assert code == 0, told


def test_every_mistake_in_the_file_is_told_at_once(tested):
    code, told = tested("""
      - nam: x
        given: { readngs: [ { a: 1 } ] }
        expect: { warm: [ { subst: 1 }, { cel: "a >" } ] }
        after: 5
        models: { m: [ { answer: { y: 1 }, error: unavailable }, { error: gone } ] }
    """)
    assert code == 1
    assert [line.split(" error ")[1].split(":")[0] for line in told.splitlines()] == [
        "unknown-field",
        "bad-value",
        "unknown-field",
        "bad-expression",
        "bad-value",
        "bad-value",
        "bad-value",
    ]


def test_topics_that_are_none_are_told_with_the_nearest_name(tested):
    code, told = tested("""
      - name: misspelt
        given: { readngs: [ { a: 1 } ] }
        expect: { wram: [] }
    """)
    assert code == 1
    assert "'readngs' is no topic of sensors.yaml; did you mean 'readings'?" in told
    assert "'wram' is no topic of sensors.yaml; did you mean 'warm'?" in told


def test_without_a_test_file_the_usage_is_wrong(tmp_path, capsys):
    (tmp_path / "sensors.yaml").write_text(SENSORS)
    assert run(["test", str(tmp_path / "sensors.yaml")]) == 64
    assert "there is no 'sensors_test.yaml' beside it" in capsys.readouterr().err


def test_a_blueprint_with_errors_is_told_before_its_tests(tmp_path, capsys):
    (tmp_path / "sensors.yaml").write_text(SENSORS.replace("use: filter", "use: fitler"))
    (tmp_path / "sensors_test.yaml").write_text("cases: []")
    assert run(["test", str(tmp_path / "sensors.yaml")]) == 1
    assert "did you mean 'filter'?" in capsys.readouterr().err


def test_json_has_every_case_and_the_edges_never_taken(tested):
    code, told = tested(
        """
      - name: passes
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { subset: {} } ] }
      - name: fails
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [] }
    """,
        "--output",
        "json",
        "--coverage",
    )
    found = json.loads(told)
    assert code == 1
    assert (found["passed"], found["failed"]) == (1, 1)
    assert [case["passed"] for case in found["cases"]] == [True, False]
    assert found["cases"][1]["problems"][0]["line"] == 8
    assert [edge["edge"] for edge in found["coverage"]["edges"] if not edge["taken"]] == [
        "rows → score.in",
        "score.out → predictions",
        "values → windows.in",
        "windows.out → windows",
    ]


def test_only_runs_the_cases_that_are_named(tested):
    cases = """
      - name: first
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { subset: {} } ] }
      - name: second
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [] }
    """
    assert tested(cases, "--only", "first")[0] == 0
    assert tested(cases, "--only", "third")[0] == 64


def test_models_answer_row_by_row_what_the_case_says(tested):
    code, told = tested("""
      - name: by the inputs
        given: { rows: [ { a: 1, b: 2 }, { a: 5, b: 2 }, { a: 9, b: 2 } ] }
        models:
          m:
            - { when: "x[0] > 7.0", error: rejected }
            - { when: "x[0] > 3.0", answer: { y: 0.5 }, version: "2" }
            - { default: { y: 0.25 }, version: "2" }
        expect:
          predictions:
            - subset: { prediction: { y: 0.25 }, model: { version: "2" }, input: { a: 1 } }
            - subset: { prediction: { y: 0.5 } }
          dead-letters: [ { subset: { code: rejected, streamlet: score, data: { a: 9 } } } ]
    """)
    assert code == 0, told


def test_a_model_that_is_away_is_waited_for_and_no_event_is_lost_to_it(tested):
    away = """
      - name: away
        given: { rows: [ { a: 1, b: 2 } ] }
        models: { m: [ { error: unavailable } ] }
        AFTER
        expect: { predictions: [], dead-letters: [] }
    """
    assert tested(away.replace("AFTER", "after: 1m"))[0] == 0
    code, told = tested(away.replace("AFTER", ""))
    assert code == 1
    assert "score still waits after 600 s" in told


def test_a_model_or_an_answer_that_the_case_does_not_have_is_told(tested):
    code, told = tested("""
      - name: no model
        given: { rows: [ { a: 1, b: 2 } ] }
        expect: { dead-letters: [ { subset: { code: model-missing } } ] }
      - name: no answer
        given: { rows: [ { a: 1, b: 2 } ] }
        models: { m: [ { when: "x[0] > 7.0", answer: { y: 1.0 } }, { when: "z > 1", answer: { y: 1.0 } } ] }
        expect: { predictions: [] }
    """)
    assert code == 1
    assert "no model: model 'm' was called; add it under 'models' of the case" in told
    assert "'when' over the inputs x: there is no field 'z'" in told
    assert "no answer of model 'm' fits a row; end its list with a 'default'" in told


def test_a_case_that_expects_nothing_of_no_topic_is_refused(tested):
    code, told = tested("""
      - name: says nothing
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: {}
    """)
    assert code == 1
    assert "expects nothing" in told


def test_a_condition_of_a_case_may_ask_for_a_field_as_the_linter_advises(tested):
    code, told = tested("""
      - name: asks first
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { cel: "has(event.data.sensor) && !has(event.data.unit)" } ] }
    """)
    assert code == 0, told
