"""What a case can expect of events and topics, and how a difference is told."""


def test_attributes_of_an_event_are_expected_beside_its_data_or_alone(tested):
    code, told = tested("""
      - name: attributes
        given:
          readings:
            - { data: { sensor: a, celsius: 31.0 }, id: x, type: reading, subject: attic, extensions: { room: up } }
        expect:
          warm: [ { key: a, type: reading, subject: attic, partition: 0, time: "2026-01-01T00:00:00.000Z" } ]
      - name: absent
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { subject: , extensions: { room: } } ] }
      - name: other
        given: { readings: [ { data: { sensor: a, celsius: 31.0 }, subject: attic, extensions: { room: up } } ] }
        expect: { warm: [ { subject: , type: "x", extensions: { room: down, floor: 1 } } ] }
    """)
    assert told.splitlines()[:5] == [
        "sensors_test.yaml:14:21: other: warm[0] differs",
        '    (type): expected "x", got "test.event"',
        '    (subject): expected null, got "attic"',
        '    (extensions).room: expected "down", got "up"',
        '    (extensions).floor: expected "1", but it is missing',
    ], told
    assert "2 passed, 1 failed" in told
    assert code == 1


def test_a_condition_sees_the_data_and_the_event_and_shows_what_it_saw(tested):
    code, told = tested("""
      - name: holds
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { cel: "celsius > 30.0 && event.key == 'a' && data.sensor == 'a'" } ] }
      - name: not
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { cel: "celsius > 32.0" } ] }
      - name: no truth
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { cel: "sensor" } ] }
      - name: no field
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: [ { cel: "celsus > 300.0" } ] }
    """)
    assert code == 1
    assert "    cel: expected celsius > 32.0, got false where celsius = 31.0" in told
    assert '    cel: expected sensor, got "a", which is no truth where sensor = "a"' in told
    assert (
        "    cel: expected celsus > 300.0, there is no field 'celsus'; did you mean 'celsius'?; the event is"
        in told
    )
    assert "1 passed, 3 failed" in told


def test_numbers_with_a_fraction_may_be_near_and_whole_ones_are_exact(tested):
    code, told = tested("""
      - name: near
        given: { readings: [ { sensor: a, celsius: 31.04, n: 3 } ] }
        expect: { warm: [ { subset: { celsius: 31.0, n: 3 }, within: 0.05 } ] }
      - name: not so near
        given: { readings: [ { sensor: a, celsius: 31.04, n: 3 } ] }
        expect: { warm: [ { subset: { celsius: 31.0, n: 4 }, within: 0.01 } ] }
    """)
    assert code == 1
    assert "    celsius: expected 31.0, got 31.04, not within 0.01\n    n: expected 4, got 3" in told
    assert "1 passed, 1 failed" in told


def test_counts_others_and_each(tested):
    code, told = tested("""
      - name: holds
        given:
          readings: [ { sensor: a, celsius: 31.0 }, { sensor: a, celsius: 32.0 }, { sensor: b, celsius: 33.0 } ]
        expect: { warm: { events: [ { subset: { celsius: 32.0 } } ], others: true, at-least: 2, at-most: 3 } }
      - name: another count
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: { count: 2 } }
      - name: too few
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: { at-least: 2 } }
      - name: too many
        given: { readings: [ { sensor: a, celsius: 31.0 }, { sensor: a, celsius: 31.0 } ] }
        expect: { warm: { at-most: 1 } }
      - name: each
        given: { readings: [ { sensor: a, celsius: 31.0 }, { sensor: b, celsius: 32.0 } ] }
        expect: { warm: { each: { subset: { sensor: a } } } }
      - name: not there
        given: { readings: [ { sensor: a, celsius: 31.0 } ] }
        expect: { warm: { events: [ { subset: { celsius: 99.0 } } ], others: true } }
    """)
    assert code == 1
    assert "another count: warm: 2 events expected, 1 event came" in told
    assert "too few: warm: at least 2 events expected, 1 event came" in told
    assert "too many: warm: at most 1 event expected, 2 events came" in told
    assert 'each: warm[1] differs\n    sensor: expected "a", got "b"' in told
    assert "not there: warm[0] differs" in told
    assert "1 passed, 5 failed" in told


def test_the_order_of_a_key_is_kept_and_that_among_keys_is_nobodys(tested):
    case = """
      - name: order
        given:
          readings: [ { sensor: a, celsius: 31.0 }, { sensor: b, celsius: 32.0 }, { sensor: a, celsius: 33.0 } ]
        expect: { warm: %s }
    """
    one, two, three = (f"{{ subset: {{ celsius: {n}.0 }} }}" for n in (31, 32, 33))
    assert tested(case % f"[ {two}, {one}, {three} ]")[0] == 0
    code, told = tested(case % f"[ {three}, {two}, {one} ]")
    assert code == 1
    assert "warm: the events are as expected, but in another order" in told
    assert tested(case % f"{{ order: any, events: [ {three}, {two}, {one} ] }}")[0] == 0


def test_the_nearest_event_is_shown_not_the_first(tested):
    _, told = tested("""
      - name: nearest
        given: { readings: [ { sensor: x, celsius: 99.0, n: 1 }, { sensor: b, celsius: 31.0, n: 2 } ] }
        expect:
          warm: { order: any, events: [ { exact: { sensor: b, celsius: 31.0, n: 3 } }, { subset: { n: 7 } } ] }
    """)
    assert "warm[1] differs\n    n: expected 3, got 2\n" in told
    assert "warm[0] differs\n    n: expected 7, got 1\n" in told


def test_long_texts_are_cut_around_where_they_differ(tested):
    text = "x" * 500
    _, told = tested(f"""
      - name: long
        given: {{ readings: [ {{ sensor: "{text}a", celsius: 31.0 }} ] }}
        expect: {{ warm: [ {{ subset: {{ sensor: "{text}b" }} }} ] }}
    """)
    line = next(line for line in told.splitlines() if "sensor:" in line)
    assert len(line) < 300
    assert 'xb" (from character' in line
    assert 'xa" (from character' in line


def test_many_events_too_many_are_counted_not_listed(tested):
    readings = ", ".join(f"{{ sensor: a, celsius: {n}.0 }}" for n in range(40, 140))
    _, told = tested(f"""
      - name: many
        given: {{ readings: [ {readings} ] }}
        expect: {{ warm: none }}
    """)
    assert told.count("was not expected") == 10
    assert "warm: 90 more events were not expected" in told


def test_lists_of_another_length_are_told_by_their_length(tested):
    _, told = tested("""
      - name: lists
        given: { readings: [ { sensor: a, celsius: 31.0, at: [ 1, 2, 3 ] } ] }
        expect: { warm: [ { subset: { at: [ 1, 2 ] } } ] }
    """)
    assert "at: expected 2 items [1,2], got 3 items [1,2,3]" in told


def test_a_dead_letter_has_known_fields_and_names_what_there_is(tested):
    code, told = tested("""
      - name: misspelt
        given: { readings: [ { sensor: a } ] }
        expect: { dead-letters: [ { subset: { cod: x, streamlet: wram, topic: readngs } } ] }
    """)
    assert code == 1
    assert "a dead letter has no 'cod'; did you mean 'code'?" in told
    assert "'wram' is no streamlet of sensors.yaml; did you mean 'warm'?" in told
    assert "'readngs' is no topic of sensors.yaml; did you mean 'readings'?" in told


def test_an_event_that_cannot_be_given_is_told_at_its_line(tested):
    code, told = tested("""
      - name: no key
        given: { readings: [ { celsius: 31.0 } ] }
        expect: { warm: none }
    """)
    assert code == 1
    assert "sensors_test.yaml:4:24: no key: this event cannot be given" in told
