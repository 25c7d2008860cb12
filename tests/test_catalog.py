"""The catalog: what a blueprint may name, and what is said where it cannot be had."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema, create_model

from blueprints.catalog import NotFound, OptionProblem, Wiring
from blueprints.units import Duration
from streamlets import described, imports
from streamlets.catalog import BUILTIN, Streamlets
from streamlets.component import Component
from streamlets.described import Described
from streamlets.errors import Fatal
from streamlets.ports import Finding, Inlet, OptionsBase, Outlet
from tests.contexts import context


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A blueprint's folder; what was imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if imports._from_folder.pop(name, None):
            del sys.modules[name]


def found(use: str, base_dir: Path = Path("/")) -> Described:
    result = Streamlets().find(use, base_dir)
    assert isinstance(result, Described), result
    return result


def not_found(use: str, base_dir: Path = Path("/")) -> tuple[str, str]:
    result = Streamlets().find(use, base_dir)
    assert isinstance(result, NotFound), result
    with pytest.raises(Fatal) as caught:
        Streamlets().component(use, base_dir)
    assert (caught.value.code, caught.value.exit_code) == (result.code, 64)
    return result.code, result.message


FUNCTION = """
from pydantic import BaseModel

class A(BaseModel):
    n: int

def double(event: A) -> A | None:
    "Twice."
    return A(n=2 * event.n)

VALUE = 7
"""


# What can be named


LANDED = sorted(
    name for name, target in BUILTIN.items() if importlib.util.find_spec(target.partition(":")[0])
)


@pytest.mark.parametrize("name", LANDED)
def test_every_builtin_of_the_table_is_there_and_described(name: str) -> None:
    kind = found(name)
    assert kind.name == name
    assert kind.description
    schema = kind.options_schema()
    models = schema.get("$defs", {})
    for options in (schema, *models.values()):
        for option, told in options.get("properties", {}).items():
            model = models.get(told.get("$ref", "").rpartition("/")[2], {})
            assert told.get("description") or model.get("description"), option


def test_verifying_loads_no_heavy_library() -> None:
    code = f"""
import sys
from pathlib import Path
from streamlets.catalog import Streamlets
for name in {LANDED}:
    kind = Streamlets().find(name, Path("."))
    kind.options_schema(), kind.ports({{}})
heavy = ["aiohttp", "numpy", "onnxruntime", "confluent_kafka", "httpx", "pandas", "scipy"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_function_in_the_blueprints_folder_is_a_streamlet(folder: Path) -> None:
    (folder / "mine.py").write_text(FUNCTION)
    kind = found("mine:double", folder)
    assert (kind.name, kind.description, kind.is_source) == ("mine:double", "Twice.", False)
    ports = {port.name: port for port in kind.ports({})}
    assert [(p.name, p.direction) for p in ports.values()] == [("in", "in"), ("out", "out")]
    assert ports["in"].contract is not None
    assert ports["in"].contract["title"] == "A"
    (problem,) = kind.check_options({"factor": 2}, folder)
    assert (problem.code, problem.message) == (
        "unknown-option",
        "mine:double has no option 'factor'; it has none",
    )
    built = Streamlets().component("mine:double", folder).build({}, context())
    assert hasattr(built, "process")


def test_a_package_in_the_blueprints_folder_is_found(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "inner.py").write_text(FUNCTION)
    assert found("parts.inner:double", folder).name == "parts.inner:double"


def test_each_blueprints_folder_has_its_own_modules(folder: Path) -> None:
    for which in ("a", "b"):
        (folder / which).mkdir()
        (folder / which / "shared.py").write_text(f"WHICH = {which!r}\n")
        (folder / which / "mine.py").write_text(
            f"import shared\ndef here(x: int) -> str:\n    {which!r}\n    return shared.WHICH\n"
        )
    for which in ("a", "b", "a"):
        assert found("mine:here", folder / which).description == which
        assert which == sys.modules["mine"].shared.WHICH


# What cannot


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    assert not_found("replya") == (
        "unknown-streamlet",
        "there is no streamlet 'replya'; did you mean 'replay'?",
    )
    assert "written as package.module:name" in not_found("xyzzy")[1]


def test_a_missing_module_is_told_with_the_nearest(folder: Path) -> None:
    (folder / "features.py").write_text(FUNCTION)
    assert not_found("featurs:double", folder) == (
        "import-failed",
        "there is no module 'featurs'; did you mean 'features'?",
    )
    assert "neither in the blueprint's folder nor installed" in not_found("xyzzy.deep:f", folder)[1]


def test_a_missing_name_is_told_with_the_nearest(folder: Path) -> None:
    (folder / "mine.py").write_text(FUNCTION)
    assert not_found("mine:duble", folder) == (
        "import-failed",
        "module 'mine' has no 'duble'; did you mean 'double'?",
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os\nimport pandsa\n", "ModuleNotFoundError: No module named 'pandsa' (mine.py:2)"),
        ("x = 1\n\ny = 1 / 0\n", "ZeroDivisionError: division by zero (mine.py:3)"),
        ("def f(:\n", "SyntaxError: invalid syntax (mine.py:1)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (mine.py:2)"),
        ("from streamlets.ports import Nonsense\n", "(mine.py:1)"),
        ("def g():\n    raise ValueError\ng()\n", "ValueError (mine.py:2)"),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(folder: Path, source: str, says: str) -> None:
    (folder / "mine.py").write_text(source)
    code, message = not_found("mine:double", folder)
    assert code == "import-failed"
    assert message.startswith("module 'mine' cannot be imported: ")
    assert says in message


@pytest.mark.parametrize("use", ["mine:", ":double", "mi ne:double", "mine:a.b", "../mine:double"])
def test_what_is_no_import_path_is_told(folder: Path, use: str) -> None:
    assert not_found(use, folder) == ("import-failed", f"'{use}' is not written as package.module:name")


def test_a_name_that_ours_hides_is_told_with_the_cure(folder: Path) -> None:
    (folder / "detectors").mkdir()
    (folder / "detectors" / "mine.py").write_text(FUNCTION)
    code, message = not_found("detectors.mine:double", folder)
    assert code == "import-failed"
    assert message == (
        "'detectors' in this folder is hidden by the package 'detectors' of Streamlets; give yours another name"
    )


def test_a_name_that_python_hides_is_told_with_the_cure(folder: Path) -> None:
    (folder / "queue.py").write_text(FUNCTION)
    __import__("queue")
    message = not_found("queue:double", folder)[1]
    assert (
        message
        == "'queue.py' in this folder is hidden by the module 'queue' of Python itself; give yours another name"
    )


CLASSES = """
from streamlets.ports import Inlet, Outlet, OptionsBase

class NoMethod: pass

class NotAsync:
    def __init__(self, options, context): pass
    def process(self, batch): pass

class NoSplits:
    def __init__(self, options, context): pass
    async def read(self, split, position, max_events): pass

class BadInit:
    async def process(self, batch): pass

class BadOptions:
    class Options: pass
    def __init__(self, options, context): pass
    async def process(self, batch): pass

class BadPorts:
    inlets = ("in",)
    def __init__(self, options, context): pass
    async def process(self, batch): pass

class Twins:
    inlets = (Inlet("a"),)
    outlets = (Outlet("a"),)
    def __init__(self, options, context): pass
    async def process(self, batch): pass

def untyped(x): pass
VALUE = 7
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("NoMethod", "class NoMethod has neither 'process' nor 'read'"),
        ("NotAsync", "class NotAsync has a 'process' that is not async; write `async def process`"),
        ("NoSplits", "class NoSplits has no 'splits'"),
        ("BadInit", "class BadInit cannot be made of (options, context)"),
        ("BadOptions", "class BadOptions has 'Options' that are no pydantic model"),
        ("BadPorts", "has an inlet that is none; make it by streamlets.ports.Inlet(name)"),
        ("Twins", "has two ports of one name"),
        ("untyped", "function untyped has no type hint for 'x'"),
        ("VALUE", "is a int; a streamlet is a function or a class"),
    ],
)
def test_what_is_no_streamlet_is_told_with_what_to_write(folder: Path, name: str, says: str) -> None:
    (folder / "odd.py").write_text(CLASSES)
    code, message = not_found(f"odd:{name}", folder)
    assert code == "not-a-streamlet"
    assert says in message


def installed(monkeypatch: pytest.MonkeyPatch, site: Path, *points: tuple[str, str, str]) -> None:
    """Install packages that name a streamlet each."""
    for giver, name, target in points:
        info = site / f"{giver}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {giver}\nVersion: 1.0\n")
        with (info / "entry_points.txt").open("a") as file:
            if not file.tell():
                file.write("[streamlets]\n")
            file.write(f"{name} = {target}\n")
    monkeypatch.syspath_prepend(str(site))


def test_another_package_adds_a_streamlet_by_an_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, tmp_path, ("acme", "acme-double", "tests.test_catalog:double"))
    assert found("acme-double").name == "acme-double"
    assert "acme-double" in Streamlets().names()
    assert not_found("acme-duble")[1].endswith("did you mean 'acme-double'?")


def double(event: dict[str, Any]) -> dict[str, Any]:
    return event


def test_two_of_one_name_are_ambiguous(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(
        monkeypatch,
        tmp_path,
        ("acme", "twice", "acme:twice"),
        ("other", "twice", "other:twice"),
        ("acme", "replay", "acme:replay"),
    )
    assert not_found("twice") == (
        "ambiguous-streamlet",
        "'twice' is given by acme (acme:twice) and other (other:twice); write the one that is meant in full",
    )
    assert not_found("replay")[0] == "ambiguous-streamlet"


# Options


class Server(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str
    port: int = Field(default=80, ge=1)


class Thing:
    """A thing."""

    class Options(OptionsBase):  # its defaults are pydantic's, which copies them
        model: str
        threshold: float = Field(default=0.5, ge=0, le=1)
        wait: Duration = Duration("5ms")
        servers: list[str | Server] = Field(default=[])
        named: dict[str, Server] = Field(default={})
        shift_time: bool = Field(default=False, alias="shift-time")
        old: int | None = Field(default=None, deprecated="use threshold")
        token: SecretStr | None = None

    outlets = (Outlet("out"),)

    def __init__(self, options: Options, context: Any) -> None: ...

    async def process(self, batch: Any) -> Any: ...

    @staticmethod
    def ports(options: Options) -> Any:
        return (Inlet(options.model),), Thing.outlets

    @staticmethod
    def check(options: Options, wiring: Any) -> list[Finding]:
        if wiring.replicas > 1:
            return [Finding("single-reader", (), "one only")]
        return []


SCORE = Described(Component("score", Thing))


def problems(options: dict[str, Any]) -> list[OptionProblem]:
    return list(SCORE.check_options({"model": "m"} | options, Path("/")))


def test_an_unknown_option_is_told_in_these_words() -> None:
    (problem,) = problems({"treshold": 0.5})
    assert problem == OptionProblem(
        ("treshold",), "unknown-option", "score has no option 'treshold'; did you mean 'threshold'?"
    )
    (problem,) = problems({"shift_time": True})
    assert problem.message == "score has no option 'shift_time'; did you mean 'shift-time'?"
    (problem,) = problems({"servers": [{"url": "x", "prot": 1}]})
    assert problem.path == ("servers", 0, "prot")
    assert problem.message == "'servers[0]' of score has no option 'prot'; did you mean 'port'?"


def test_a_missing_option_is_told() -> None:
    (problem,) = SCORE.check_options({}, Path("/"))
    assert (problem.path, problem.code, problem.message) == (
        ("model",),
        "missing-option",
        "score needs the option 'model'",
    )
    (problem,) = problems({"named": {"a": {"port": 1}}})
    assert (problem.path, problem.message) == (("named", "a", "url"), "score needs the option 'named.a.url'")


@pytest.mark.parametrize(
    ("options", "path", "says"),
    [
        ({"threshold": 7}, ("threshold",), "must be less than or equal to 1"),
        ({"threshold": "much"}, ("threshold",), "must be a valid number"),
        ({"wait": 5}, ("wait",), "needs its unit"),
        ({"servers": [5]}, ("servers", 0), "must be a valid string or must be a valid dictionary"),
        (
            {"servers": [{"url": "x", "port": 0}]},
            ("servers", 0, "port"),
            "must be greater than or equal to 1",
        ),
        ({"servers": "x"}, ("servers",), "must be a valid list"),
    ],
)
def test_a_bad_option_is_told_once_at_its_place(options: dict[str, Any], path: Any, says: str) -> None:
    (problem,) = problems(options)
    assert (problem.path, problem.code) == (path, "bad-option")
    assert says in problem.message


def test_no_value_is_in_a_message() -> None:
    for options in ({"token": ["hunter2"]}, {"threshold": "hunter2"}, {"servers": "hunter2"}):
        assert "hunter2" not in str(problems(options))


def test_a_deprecated_option_is_a_warning() -> None:
    (problem,) = problems({"old": 1})
    assert (problem.path, problem.code, problem.severity) == (("old",), "deprecated-option", "warning")
    assert problem.message == "'old' is deprecated: use threshold"


def test_all_problems_are_told_at_once() -> None:
    codes = [problem.code for problem in SCORE.check_options({"treshold": 1, "wait": 1}, Path("/"))]
    assert sorted(codes) == ["bad-option", "missing-option", "unknown-option"]


def test_ports_follow_the_options_even_where_others_are_wrong() -> None:
    assert [port.name for port in SCORE.ports({"model": "m", "threshold": 7, "x": 1})] == ["m", "out"]
    assert [port.name for port in SCORE.ports({})] == ["out"]


def test_what_only_the_streamlet_knows_comes_through() -> None:
    wiring = Wiring({}, 2, Path("/"))
    assert list(SCORE.check_wiring({"model": "m"}, wiring)) == [
        OptionProblem((), "single-reader", "one only")
    ]


def test_what_start_up_refuses_is_named_without_its_value() -> None:
    with pytest.raises(Fatal) as caught:
        Component("score", Thing).build({"model": "m", "threshold": "hunter2"}, context())
    assert caught.value.code == "bad-option"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("use", ["console", "detect", "file", "file-sink", "filter", "score", "replay"])
def test_only_what_may_hold_a_secret_says_so(use: str) -> None:
    kind = found(use)
    says_secret = '"writeOnly"' in json.dumps(kind.options_schema())
    assert kind.may_hold_secrets() or not says_secret
    if use in ("console", "file", "file-sink", "filter"):
        assert not kind.may_hold_secrets()
    if use == "score":
        assert kind.may_hold_secrets()


class Own(BaseModel):
    plain: str = ""


@pytest.mark.parametrize(
    ("hint", "may"),
    [
        (list[Own], False),
        (dict[str, int | None], False),
        (Annotated[float, Field(gt=0)], False),
        (SecretStr, True),
        (dict[str, list[SecretStr | None]], True),
        (Annotated[str, Field(json_schema_extra={"format": "password"})], True),
        (Annotated[str, WithJsonSchema({"type": "string", "writeOnly": True})], True),
        (Any, True),
        (Path, True),
    ],
)
def test_a_secret_is_found_however_deep_it_lies(hint: Any, may: bool) -> None:
    model = create_model("Options", option=(hint, ...))
    assert described._may_hold_secrets(model, set()) is may
