"""What streamlets need, told by `verify` for built-in streamlets and for a user's own classes."""

import sys
from pathlib import Path

import pytest

import blueprints.examples.flight_delays as flight_delays
from blueprints.load import verify
from streamlets import imports
from streamlets.catalog import Streamlets
from streamlets.cli import main
from streamlets.component import Component
from streamlets.engine.stage import DONE_RANGES, HELD_BYTES, HELD_EVENTS
from streamlets.engine.virtual import virtual_run
from streamlets.errors import Fatal
from streamlets.ports import Batch, Hold, Inlet, Needs, Outcome
from tests.engine.application import Application, plan, topic

EXAMPLE = Path(flight_delays.__file__).parent

MINE = """
from blueprints.units import Duration, Rate
from streamlets.ports import (
    Amount, Batch, Context, Hold, Inlet, Keyed, Needs, OptionsBase, Outcome, Outlet, Said, Wait, Wiring,
)


class Sessions:
    class Options(OptionsBase):
        gap: Duration = Duration("30m")
        by: str = "user"

    inlets = (Inlet("clicks"),)
    outlets = (Outlet("sessions"),)
    holds = True

    def __init__(self, options: Options, context: Context) -> None:
        pass

    @staticmethod
    def needs(options: Options, wiring: Wiring) -> Needs:
        return Needs(
            holds=(Hold("clicks", longest_s=Amount(options.gap, ("gap",))),),
            keyed=(Keyed(options.by, "clicks", ("by",)),),
        )

    async def process(self, batch: Batch) -> Outcome:
        return Outcome()
"""
SESSIONS = """\
name: shop
streamlets:
  sessions: { use: "mine:Sessions", with: { gap: 2h, by: user } }
topics:
  clicks: { external: true, consumers: [sessions.clicks], key: product, partitions: 4, retention: 1h }
  sessions: { producers: [sessions.sessions], external: true }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A blueprint's folder; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "reference.npz").write_bytes((EXAMPLE / "reference.npz").read_bytes())
    yield tmp_path
    for name in set(sys.modules) - modules:
        if imports._from_folder.pop(name, None):
            del sys.modules[name]


def told(folder, text, capsys):
    """Return the exit code and what `verify` prints, without the file's name."""
    (folder / "app.yaml").write_text(text)
    exit_code = main.run(["verify", "app.yaml"])
    return exit_code, [line.removeprefix("app.yaml:") for line in capsys.readouterr().out.splitlines()]


def test_a_users_class_is_held_against_its_topic(folder, capsys):
    assert told(folder, SESSIONS, capsys) == (
        1,
        [
            "3:50: error window-beyond-retention: sessions: it holds events for up to 2h ('gap'), but 'clicks' keeps "
            "them for 1h: a restart after that would miss what was held; let 'clicks' keep them for 2h at least, or "
            "lower 'gap'",
            "3:58: error key-differs: sessions: what has the same 'user' must meet in one partition, but 'clicks' is "
            "keyed by 'product'; key it by 'user', or a topic made from it",
        ],
    )
    assert told(folder, SESSIONS.replace("1h", "2h").replace("product", "user"), capsys) == (0, [])


def test_the_default_of_an_option_counts_as_if_it_were_written(folder, capsys):
    text = SESSIONS.replace("gap: 2h, ", "").replace("1h", "20m").replace("product", "user")
    exit_code, (line,) = told(folder, text, capsys)
    assert exit_code == 1
    assert line.startswith(
        "3:37: error window-beyond-retention: sessions: it holds events for up to 30m ('gap')"
    )


DRIFT = """\
name: shop
streamlets:
  drift: { use: detect, with: { reference: reference.npz, window: { events: 500 } }, overlap: 2 }
topics:
  payloads: { external: true, consumers: [drift.in] }
"""


def test_what_holds_cannot_overlap_as_start_up_says_too(folder, capsys):
    exit_code, lines = told(folder, DRIFT, capsys)
    assert (exit_code, lines) == (
        1,
        ["3:95: error bad-value: drift holds events, so its batches cannot overlap; leave 'overlap' out"],
    )

    class Holding:
        inlets = (Inlet("in"),)
        holds = True

        def __init__(self, options, context):
            pass

        async def process(self, batch: Batch) -> Outcome:
            return Outcome()

    async def start():
        from dataclasses import replace

        made = plan(["hold"], [topic("t", consumers=["hold.in"])])
        made = replace(made, streamlets={"hold": replace(made.streamlets["hold"], overlap=2)})
        await Application(made, {"hold": Holding}).worker()

    with pytest.raises(Fatal) as caught:
        virtual_run(start())
    assert caught.value.code == "bad-value"


def test_a_class_that_holds_and_says_no_more_holds_its_stream_inlets():
    class Holding:
        inlets = (Inlet("a"), Inlet("b"), Inlet("table", kind="table"))
        holds = True

        async def process(self, batch: Batch) -> Outcome:
            return Outcome()

    component = Component("mine", Holding)
    assert component.needs(component.options({}, Path()), None) == Needs(holds=(Hold("a"), Hold("b")))


def test_a_bad_url_of_a_model_server_is_told_where_it_stands(folder, capsys):
    text = """\
name: shop
streamlets:
  score:
    use: score
    with:
      model: delay
      servers: [ "http://models:8000", "ftp://models" ]
      inputs: { x: [distance] }
      outputs: { delay: y }
topics:
  flights: { external: true, consumers: [score.in] }
  delays: { producers: [score.out], external: true }
"""
    exit_code, (line,) = told(folder, text, capsys)
    assert exit_code == 1
    assert line.startswith("7:40: error bad-option: 'servers[1]' of score: scheme 'ftp'")


def test_the_linter_knows_the_bounds_that_the_engine_keeps():
    bounds = Streamlets().bounds
    assert (bounds.held_events, bounds.held_bytes, bounds.done_ranges) == (
        HELD_EVENTS,
        HELD_BYTES,
        DONE_RANGES,
    )


def test_the_example_has_no_problem_and_one_topic_that_others_read(folder):
    found = verify(EXAMPLE / "flight-delays.yaml", Streamlets(), {})
    assert {(one.code, one.severity) for one in found} == {("no-consumer", "warning")}
