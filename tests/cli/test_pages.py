"""The pages of `explain`, tried on the real catalog: what is shown as bad is bad, what is shown as good is clean."""

import json
import sys
from pathlib import Path

import pytest

import blueprints.examples.flight_delays
from blueprints.lint.explain import pages
from blueprints.load import verify
from streamlets import imports
from streamlets.catalog import Streamlets

FEATURES = """\
from pydantic import BaseModel

class Flight(BaseModel):
    carrier: str
    distance: int

def features(flight: Flight) -> None:
    return None
"""
REFERENCE = Path(blueprints.examples.flight_delays.__file__).with_name("reference.npz")

OWN = """\
from pydantic import Field

from blueprints.units import Duration, Rate
from streamlets.ports import (
    Amount, Batch, Hold, Inlet, Keyed, Needs, OptionsBase, Outcome, Outlet, Portion, Said, Wait,
)


class _Streamlet:
    inlets = (Inlet("in"),)

    def __init__(self, options, context):
        pass

    async def process(self, batch: Batch) -> Outcome:
        return Outcome()


class Join(_Streamlet):
    inlets = (Inlet("orders"), Inlet("payments"))
    outlets = (Outlet("out"),)
    holds = True

    @staticmethod
    def needs(options, wiring):
        return Needs(aligned=("orders", "payments"))


class Window(OptionsBase):
    events: int = 50
    keys: int = 60


class Sessions(_Streamlet):
    holds = True

    class Options(OptionsBase):
        window: Window = Window()

    @staticmethod
    def needs(options, wiring):
        events, keys = options.window.events, options.window.keys
        return Needs(
            holds=(Hold(events=Amount(events, ("window", "events")), keys=Amount(keys, ("window", "keys"))),)
        )


class Ask(_Streamlet):
    class Options(OptionsBase):
        timeout: Duration = Duration("2s")
        attempts: int = 2
        deadline: Duration | None = None

    @staticmethod
    def needs(options, wiring):
        deadline = None if options.deadline is None else Amount(options.deadline, ("deadline",))
        return Needs(
            waits=(Wait(Amount(options.timeout, ("timeout",)), times=options.attempts),), deadline_s=deadline
        )


class Solve(_Streamlet):
    class Options(OptionsBase):
        limit: Duration = Duration("1m")

    @staticmethod
    def needs(options, wiring):
        return Needs(waits=(Wait(Amount(options.limit, ("limit",)), blocks=True),))


class Limit(_Streamlet):
    class Options(OptionsBase):
        rate: Rate
        by: str | None = None
        tiers: dict[str, Rate] = {}

    @staticmethod
    def needs(options, wiring):
        return Needs(
            keyed=() if options.by is None else (Keyed(options.by, option=("by",)),),
            capacity_per_s=Amount(options.rate, ("rate",)),
            promised_per_s=tuple(Amount(rate, ("tiers", name)) for name, rate in options.tiers.items()),
        )


class Ingress:
    outlets = (Outlet("out"),)

    class Options(OptionsBase):
        listen: str = "127.0.0.1:8080"

    def __init__(self, options, context):
        pass

    def splits(self):
        return ["all"]

    async def read(self, split, position, max_events) -> Portion:
        return Portion([], None, ended=True)

    @staticmethod
    def needs(options, wiring):
        return Needs(open_listeners=(Said(options.listen, ("listen",)),))
"""
CONFLICT = """\
from pydantic import BaseModel

class Planned(BaseModel):
    number: str

class Minutes(BaseModel):
    delay: float

class Words(BaseModel):
    delay: str

def flights(plan: Planned) -> Minutes:
    return Minutes(delay=1.5)

def trains(plan: Planned) -> Words:
    return Words(delay="late")
"""
FLIGHT = {
    "type": "object",
    "properties": {"carrier": {"type": "string"}, "distance": {"type": "integer"}},
    "required": ["carrier", "distance"],
}

# No built-in option is deprecated, and no two packages here offer one streamlet: tests of the language have both.
# What is found online is tried against servers and a log in test_online.py.
NOT_HERE = {"deprecated-option", "ambiguous-streamlet"}


@pytest.fixture
def folder(tmp_path):
    """A blueprint's folder; what was imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / "features.py").write_text(FEATURES)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "conflict.py").write_text(CONFLICT)
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "reference.npz").write_bytes(REFERENCE.read_bytes())
    (tmp_path / "delay.onnx").write_bytes(b"")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "departure.json").write_text(json.dumps(FLIGHT))
    (tmp_path / "contracts" / "reading.avsc").write_text('"string"')
    (tmp_path / "contracts" / "reading.json").write_text('{"type": "object", "properties": {}}')
    loose = {**FLIGHT, "properties": {"carrier": {"type": "string"}, "distance": {}}}
    (tmp_path / "contracts" / "loose.json").write_text(json.dumps(loose))
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if imports._from_folder.pop(name, None):
            del sys.modules[name]


@pytest.mark.parametrize(
    "code", [code for code, page in pages().items() if code not in NOT_HERE and not page.is_online]
)
def test_a_page_is_true_of_the_built_in_streamlets(folder, code):
    def problems(text):
        path = folder / "page.yaml"
        path.write_text(text)
        return {problem.code: str(problem) for problem in verify(path, Streamlets(), {})}

    assert code in problems(pages()[code].bad)
    assert problems(pages()[code].good) == {}


def test_every_code_that_a_streamlet_gives_the_linter_has_a_page():
    import re
    from pathlib import Path

    import streamlets

    sources = [file.read_text() for file in Path(streamlets.__file__).parent.rglob("*.py")]
    codes = {code for text in sources for code in re.findall(r'\bFinding\(\s*"([a-z-]+)"', text)}
    assert "bad-option" in codes
    assert codes <= set(pages())
