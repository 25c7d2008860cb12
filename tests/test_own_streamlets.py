"""Users' own streamlets, as they write them: functions and classes beside a blueprint, and a package of somebody else.

Each is named by a blueprint, verified, and run whole over the simulated log.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blueprints.load import load, verify
from blueprints.plan import Plan
from streamlets import imports
from streamlets.catalog import Streamlets
from streamlets.engine.virtual import virtual_run
from tests.engine.application import Application

MINE = '''
from pydantic import BaseModel, Field
from streamlets.ports import (
    Batch, Context, Emit, Finding, Inlet, OptionsBase, Outcome, Outlet, Portion, Wiring,
)
from streamlets.contracts import PydanticContract
from streamlets.event import data_of


class Reading(BaseModel):
    sensor: str
    celsius: float


class Total(BaseModel):
    sensor: str
    readings: int


def warm(reading: Reading) -> Reading | None:
    """Lets warm readings through."""
    if reading.sensor == "broken":
        raise RuntimeError("the text of this is not to be told")
    return reading if reading.celsius > 20 else None


class Count:
    """Counts readings by sensor, for ever; an alarm at every `every`th."""

    class Options(OptionsBase):
        every: int = Field(default=3, ge=1, description="readings between alarms")

    _reading = PydanticContract(Reading)
    _total = PydanticContract(Total, "serialization")
    inlets = (Inlet("readings", contract=_reading),)
    outlets = (Outlet("totals", contract=_total, type="total"), Outlet("alarms"))

    @staticmethod
    def check(options: Options, wiring: Wiring) -> list[Finding]:
        if options.every > 100:
            return [Finding("bad-option", ("every",), "nobody would ever see an alarm")]
        return []

    def __init__(self, options: Options, context: Context) -> None:
        self.every = options.every
        self.is_up = False

    async def set_up(self) -> None:
        self.is_up = True

    async def tear_down(self) -> None:
        self.is_up = False

    async def process(self, batch: Batch) -> Outcome:
        assert self.is_up
        emits = []
        for index, delivery in enumerate(batch.deliveries):
            sensor = self._reading.decode(data_of(delivery)).sensor
            count = batch.state.get(sensor, 0) + 1
            batch.state.set(sensor, count)
            emits.append(Emit("totals", self._total.encode(Total(sensor=sensor, readings=count)), index))
            if count % self.every == 0:
                emits.append(Emit("alarms", None, index))
        return Outcome(emits=emits)


class Numbers:
    """Numbers from 0 on."""

    class Options(OptionsBase):
        sensors: list[str] = Field(default=["a"], description="in turn")
        many: int = Field(default=10, description="how many")

    outlets = (Outlet("out", contract=PydanticContract(Reading), type="reading"),)

    def __init__(self, options: Options, context: Context) -> None:
        self.options = options

    def splits(self) -> list[str]:
        return ["all"]

    async def read(self, split: str, position: int | None, max_events: int) -> Portion:
        start = position or 0
        end = min(start + 4, self.options.many)
        sensors = self.options.sensors
        emits = [
            Emit(
                "out",
                Reading(sensor=sensors[n % len(sensors)], celsius=15 + n).model_dump_json().encode(),
                id=str(n),
            )
            for n in range(start, end)
        ]
        return Portion(emits, end, ended=end == self.options.many)
'''

BLUEPRINT = """
name: app
streamlets:
  numbers: { use: "mine:Numbers", with: { sensors: [a, b, broken], many: 30 } }
  warm:    { use: "mine:warm" }
  count:   { use: "mine:Count", with: { every: 4 } }
topics:
  readings: { producers: [numbers.out], consumers: [warm.in] }
  warm:     { producers: [warm.out], consumers: [count.readings] }
  totals:   { producers: [count.totals] }
  alarms:   { producers: [count.alarms] }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A blueprint's folder; what was imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "app.yaml").write_text(BLUEPRINT)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if imports._from_folder.pop(name, None):
            del sys.modules[name]


class Found:
    """What a plan's `use` names, by the catalog."""

    def __init__(self, plan: Plan) -> None:
        self._catalog, self._base_dir = Streamlets(), plan.base_dir

    def __getitem__(self, use: str) -> Any:
        return self._catalog.component(use, self._base_dir)._made_by


def application(folder: Path) -> Application:
    plan = load(folder / "app.yaml", Streamlets(), {})
    return Application(plan, Found(plan))  # type: ignore[arg-type]


def told(folder: Path) -> list[str]:
    return [
        f"{d.code}: {d.message}"
        for d in verify(folder / "app.yaml", Streamlets(), {})
        if d.severity == "error"
    ]


def test_functions_classes_and_sources_of_a_user_run_as_one_application(folder: Path) -> None:
    async def main() -> None:
        app = application(folder)
        ended = await app.until_idle()
        assert (ended.exit_code, ended.causes) == (0, [])
        totals = await app.values("totals")
        assert totals[-1] == {"sensor": "b", "readings": 8}
        assert len(totals) == 16
        assert len(await app.read("alarms")) == 4
        assert {d.header("ce_type") for d in await app.read("totals")} == {"total"}
        dead = await app.read("dead-letters")
        assert len(dead) == 10
        line = MINE.splitlines().index(next(x for x in MINE.splitlines() if "raise RuntimeError" in x)) + 1
        assert dead[0].header("deadletter-reason") == f"warm: RuntimeError at mine.py:{line}"
        assert b"not to be told" not in b"".join(value for d in dead for _, value in d.headers)

    virtual_run(main())


def test_a_second_run_goes_on_where_the_first_ended(folder: Path) -> None:
    async def main() -> None:
        app = application(folder)
        await app.until_idle()
        (folder / "app.yaml").write_text(BLUEPRINT.replace("many: 30", "many: 36"))
        more = Application(application(folder).plan, Found(app.plan), app.log)  # type: ignore[arg-type]
        await more.until_idle()
        totals = await more.values("totals")
        assert len(totals) == 20
        assert totals[-1] == {"sensor": "b", "readings": 10}

    virtual_run(main())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("every: 4", "evry: 4", "unknown-option: count has no option 'evry'; did you mean 'every'?"),
        ("every: 4", "every: 0", "bad-option: 'every' of count: must be greater than or equal to 1"),
        ("every: 4", "every: 400", "bad-option: 'every' of count: nobody would ever see an alarm"),
        (
            "count.readings",
            "count.reading",
            "unknown-port: count has no inlet 'reading'; did you mean 'readings'?",
        ),
        ("mine:Count", "mine:Cuont", "import-failed: module 'mine' has no 'Cuont'; did you mean 'Count'?"),
        (
            "[warm.in]",
            "[count.readings, warm.in]",
            "port-in-many-topics",
        ),
    ],
)
def test_mistakes_in_the_use_of_own_streamlets_are_told_by_the_linter(
    folder: Path, old: str, new: str, says: str
) -> None:
    (folder / "app.yaml").write_text(BLUEPRINT.replace(old, new))
    assert any(one.startswith(says) for one in told(folder)), told(folder)


def test_a_streamlet_that_takes_what_its_producer_does_not_write_is_told(folder: Path) -> None:
    other = "class Other(BaseModel):\n    depth: int\n\n\ndef warm(reading: Other)"
    (folder / "mine.py").write_text(MINE.replace("def warm(reading: Reading)", other))
    (message,) = told(folder)
    assert message.startswith("incompatible-contract: ")
    assert "depth" in message


def test_a_package_of_somebody_else_is_found_by_its_entry_point(folder: Path) -> None:
    site = folder / "site"
    (site / "acme").mkdir(parents=True)
    (site / "acme" / "__init__.py").write_text(MINE)
    info = site / "acme_streams-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-streams\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamlets]\nacme-count = acme:Count\nconsole = acme:Count\n")
    sys.path.insert(0, str(site))
    text = BLUEPRINT.replace('"mine:Count"', "acme-count")
    (folder / "app.yaml").write_text(text)
    assert told(folder) == []

    async def main() -> None:
        app = application(folder)
        await app.until_idle()
        assert len(await app.read("totals")) == 16

    virtual_run(main())
    (folder / "app.yaml").write_text(text.replace("acme-count", "console"))
    assert any(
        "'console' is given by Streamlets itself (streamlets.builtin.console:Console) and acme-streams (acme:Count)"
        in one
        for one in told(folder)
    )
