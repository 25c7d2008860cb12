"""The options of `detect`: which rows are held against which, in what windows, and when that is an alert."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.config import JsonDict

from blueprints.suggest import did_you_mean
from blueprints.units import Duration
from detectors import table
from streamlets.ports import OptionsBase

_ANEW: JsonDict = {
    "x-state": "the policy begins anew, and an alert that is firing is resolved with the reason 'configuration changed'"
}
"""What becomes of the small state when an option changes that verdicts are made by (`detector.config`)."""


class WindowOptions(OptionsBase):
    """When a window closes."""

    events: int = Field(
        default=500,
        ge=20,
        le=100_000,
        json_schema_extra=_ANEW,
        description="Rows that close a window. The delivery that reaches the number is its last, with all its rows.",
    )
    wait: Duration = Field(
        default=Duration("1h"),
        json_schema_extra={"pattern": Duration.json_schema(above_zero=True)["pattern"]},
        description="The longest that a window stays open after its first delivery was read; then it closes with "
        "what it has, marked `closed: wait`. Fewer than 20 rows are reported, not judged.",
    )

    @field_validator("wait")
    @classmethod
    def _takes_time(cls, value: Duration) -> Duration:
        if value <= 0:
            raise ValueError("a window stays open for some time, such as 10m or 1h")
        return value


class EwmaOptions(OptionsBase):
    """A moving average of each feature's score against a limit calibrated on the reference's held-out windows."""

    use: Literal["ewma"] = Field(default="ewma", description="A moving average of each feature's score.")
    smoothing: float = Field(default=0.2, gt=0, le=1, description="The weight of the newest window.")
    limit: float = Field(
        default=4.5, gt=0, le=100, description="Standard deviations of the average at which an alert fires."
    )


class VotesOptions(OptionsBase):
    """So many of the last windows in drift; over after so many in a row without."""

    use: Literal["votes"] = Field(description="Windows in drift, counted.")
    needed: int = Field(default=3, ge=1, le=100, description="Windows in drift at which an alert fires.")
    of: int = Field(default=5, ge=1, le=100, description="Of the last so many.")
    clean: int = Field(default=5, ge=1, le=100, description="Windows without drift, in a row, that end it.")

    @model_validator(mode="after")
    def _can_be_reached(self) -> VotesOptions:
        if self.needed > self.of:
            raise ValueError(f"{self.needed} of {self.of} windows can never be in drift; lower 'needed'")
        return self


class DetectOptions(OptionsBase):
    """The options of `detect`."""

    detector: str = Field(
        default="ks",
        description="`ks`: two-sample Kolmogorov–Smirnov, feature by feature.",
        json_schema_extra={"enum": list(table.names()), **_ANEW},
    )
    reference: str = Field(
        min_length=1,
        json_schema_extra={"pattern": r"\.(npz|jsonl|ndjson)$|\$\{", **_ANEW},
        description="The rows to compare with, and held-out ones in the stream's order to calibrate on: an .npz that "
        "`detectors.reference.save` wrote, or .jsonl of clean rows, in the blueprint's folder.",
    )
    features: list[str] | None = Field(
        default=None,
        min_length=1,
        json_schema_extra=_ANEW,
        description="Of the reference's features these only; by default all.",
    )
    on: Literal["request", "response"] = Field(
        default="request",
        json_schema_extra=_ANEW,
        description="Of a payload log: what was sent to the model, or what came back. Other events are rows "
        "themselves, by their fields.",
    )
    window: WindowOptions = Field(default=WindowOptions(), description="When a window closes.")
    per: Literal["all", "partition"] = Field(
        default="all",
        description="`all`: one window over all events, from a topic of one partition. `partition`: a window and an "
        "alert for each partition.",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        json_schema_extra=_ANEW,
        description="The chance that a window without drift has any feature in drift.",
    )
    correction: Literal["bonferroni", "fdr"] = Field(
        default="bonferroni",
        json_schema_extra=_ANEW,
        description="For the number of features; `fdr`: Benjamini and Hochberg's, which finds more.",
    )
    policy: Annotated[EwmaOptions | VotesOptions, Field(discriminator="use")] = Field(
        default=EwmaOptions(),
        json_schema_extra=_ANEW,
        description="When windows become an alert, and when it is over.",
    )
    runbook: str | None = Field(default=None, description="A link that alerts carry: what to do about them.")
    dashboard: str | None = Field(default=None, description="A link that alerts carry: where to look.")

    @field_validator("detector")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in table.names():
            hint = did_you_mean(name, table.names()) or f"; there is: {', '.join(table.names())}"
            raise ValueError(f"there is no detector {name[:40]!r}{hint}")
        return name

    @field_validator("per", mode="before")
    @classmethod
    def _not_by_key(cls, value: Any) -> Any:
        if value == "key":
            raise ValueError("windows by key are not built yet; use 'partition' on a topic with that key")
        return value

    @field_validator("features")
    @classmethod
    def _once_each(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            if (value or []).count(name) > 1:
                raise ValueError(f"feature {name!r} is there twice")
        return value
