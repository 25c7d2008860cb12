"""Expressions in the options of users' own streamlets: an annotation is all that the linter and the engine need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blueprints.load import load, verify
from streamlets import imports
from streamlets.catalog import Streamlets
from streamlets.engine.virtual import virtual_run
from tests.engine.application import Application
from tests.test_own_streamlets import Found

MINE = '''
from typing import Annotated

from pydantic import BaseModel, Field

from streamlets.contracts import PydanticContract
from streamlets.evaluation import Cel, Condition, Evaluation, FieldName
from streamlets.event import data_of
from streamlets.ports import Batch, Context, Emit, Inlet, OptionsBase, Outcome, Outlet, Portion


class Reading(BaseModel):
    sensor: str
    celsius: float
    count: int
    note: str | None


class Numbers:
    """Makes readings; whole numbers are written as JSON's shortest."""

    outlets = (Outlet("out", contract=PydanticContract(Reading, "serialization")),)

    def __init__(self, options, context):
        pass

    def splits(self):
        return ["all"]

    async def read(self, split, position, max_events):
        data = [b'{"sensor":"a","celsius":%d,"count":%d,"note":null}' % (n, n) for n in range(10)]
        return Portion([Emit("out", one, id=str(n)) for n, one in enumerate(data)], 1, ended=True)


class Rule(BaseModel):
    when: Condition
    label: Annotated[str, Cel(gives="string")] = "sensor"


class Route:
    """Sends on what a rule is true of."""

    class Options(OptionsBase):
        rules: dict[str, list[Rule]] = {}
        where: Condition | None = Field(default=None, description="which events")
        by: list[FieldName] = []

    inlets = (Inlet("in"),)
    outlets = (Outlet("out"),)

    def __init__(self, options: Options, context: Context) -> None:
        self._where = Evaluation(options.where or "true", "the rule", context.contracts.get("in", ()))

    async def process(self, batch: Batch) -> Outcome:
        return Outcome(
            emits=[
                Emit("out", delivery.value, i)
                for i, delivery in enumerate(batch.deliveries)
                if self._where.of(data_of(delivery))
            ]
        )
'''

BLUEPRINT = """\
name: app
streamlets:
  numbers: { use: "mine:Numbers" }
  route:   { use: "mine:Route", with: { WITH } }
  print:   { use: console }
topics:
  readings: { producers: [numbers.out], consumers: [route.in], key: KEY, partitions: 1 }
  routed:   { producers: [route.out], consumers: [print.in] }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if imports._from_folder.pop(name, None):
            del sys.modules[name]


def told(folder: Path, options: str, key: str = "sensor") -> list[str]:
    (folder / "app.yaml").write_text(BLUEPRINT.replace("WITH", options).replace("KEY", key))
    found = verify(folder / "app.yaml", Streamlets(), {})
    return [f"{one.mark.line}:{one.mark.column} {one.code}: {one.message}" for one in found]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ('where: "celsius > 3 && count / 2 > 1"', None),
        ("by: [sensor, note]", None),
        ('rules: { hot: [ { when: "celsius > 30.5", label: "sensor" } ] }', None),
        ('where: "celsus > 3"', "unknown-field-in-expression: 'where' of route, column 1: there is no field 'celsus' "
         "in Reading; did you mean 'celsius'?"),
        ('where: "celsius * 2 > 3"', "bad-expression: 'where' of route, column 9: '*' wants whole numbers on both "
         "sides, or none; write 2.0"),
        ("by: [sensor, nota]", "unknown-field-in-expression: 'by[1]' of route: there is no field 'nota' in Reading; "
         "did you mean 'note'?"),
        ('rules: { hot: [ { when: "celsius > 3" }, { when: "sensor" } ] }',
         "bad-expression: 'rules.hot[1].when' of route: 'sensor' is text, but true or false is wanted"),
        ('rules: { hot: [ { when: "celsius > 3", label: "count" } ] }',
         "bad-expression: 'rules.hot[0].label' of route: 'count' is a whole number, but text is wanted"),
    ],
)  # fmt: skip
def test_an_annotated_option_is_typed_wherever_it_lies(folder: Path, options: str, says: str | None) -> None:
    found = told(folder, options)
    assert (found == []) if says is None else ([one.split(" ", 1)[1] for one in found] == [says])


def test_the_annotation_is_in_the_schema_of_the_options(folder: Path) -> None:
    kind: Any = Streamlets().find("mine:Route", folder)
    assert kind.may_have_expressions()
    where, by = (kind.options_schema()["properties"][name] for name in ("where", "by"))
    assert where["anyOf"][0]["format"] == "cel"
    assert where["anyOf"][0]["x-cel"] == {"over": "in", "gives": "bool", "attributes": True}
    assert by["items"]["x-cel"]["only-field"] is True
    assert not Streamlets().find("console", folder).may_have_expressions()  # type: ignore[union-attr]


def test_a_number_is_of_the_kind_that_the_contract_declares_however_it_is_spelt(folder: Path) -> None:
    async def main() -> None:
        assert told(folder, 'where: "celsius / 2.0 > 3 && count / 2 == 4"', '"string(celsius / 4.0)"') == []
        plan = load(folder / "app.yaml", Streamlets(), {})
        app = Application(plan, Found(plan))  # type: ignore[arg-type]
        ended = await app.until_idle()
        assert (ended.exit_code, ended.causes) == (0, [])
        assert [one["count"] for one in await app.values("routed")] == [8, 9]
        keys = {delivery.key for delivery in await app.read("readings")}
        assert {b"0.25", b"1.75"} <= keys
        assert await app.read("dead-letters") == []

    virtual_run(main())
