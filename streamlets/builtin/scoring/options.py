"""The options of `score`: what is asked, how, of whom."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from blueprints.units import Duration
from streamlets.errors import Rejected
from streamlets.evaluation import Cel
from streamlets.ports import OptionsBase
from streamlets.servers.addresses import AllowList, header_problem, parse_url

PROTOCOLS_NOT_YET = ("v2-grpc", "kserve", "tensorflow", "seldon")


class ServerOptions(OptionsBase):
    """One model server."""

    url: str = Field(
        description="Where it listens: http or https. With `protocol: onnx` the path of the model's file."
    )
    headers: dict[str, SecretStr] = Field(
        default={}, description="Headers of every call, such as `Authorization`."
    )
    path: str = Field(default="", description="A path before the protocol's own, behind a gateway.")
    timeout: Duration | None = Field(
        default=None, description="How long a call may take; instead of `score`'s own."
    )
    weight: float = Field(
        default=1.0, gt=0, le=1000, description="Its share of the calls, beside the others'."
    )

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if problem := header_problem(name, secret.get_secret_value()):
                raise ValueError(problem)
        return value


class BatchOptions(OptionsBase):
    """How events are gathered into calls. While calls are in flight events gather; a free slot takes all that wait."""

    max_events: int = Field(default=128, ge=1, le=10_000, description="The most events in one call.")
    max_wait: Duration = Field(
        default=Duration("5ms"),
        description="How long events wait for a call to fill while others are in flight. With none in flight they go "
        "at once.",
    )

    @field_validator("max_wait")
    @classmethod
    def _bounded(cls, value: Duration) -> Duration:
        if value > 60.0:
            raise ValueError("events wait at most 60s for a call to fill")
        return value


class PayloadOptions(OptionsBase):
    """What the outlet `payloads` gets."""

    mode: Literal["all", "request", "response"] = Field(
        default="all", description="What was sent, what came back, or both."
    )
    per: Literal["call"] = Field(
        default="call", description="One request and one response event for each call and source partition."
    )


class UpdateOptions(OptionsBase):
    """What is done with model updates."""

    allow: list[str] = Field(
        default=[],
        description="Which servers an update may name: scheme://host:port, such as `http://127.0.0.1:*`, "
        "`https://*.models.example.org` or `http://10.0.0.0/8:8000`. `file:FOLDER` admits ONNX files in that folder.",
    )
    ready_within: Duration = Field(
        default=Duration("60s"),
        json_schema_extra={"pattern": Duration.json_schema(above_zero=True)["pattern"]},
        description="How long an update's servers may take to be ready before it is rejected.",
    )

    @field_validator("ready_within")
    @classmethod
    def _takes_time(cls, value: Duration) -> Duration:
        if value <= 0:
            raise ValueError("a server needs some time to be ready, such as 30s")
        return value

    @field_validator("allow")
    @classmethod
    def _readable(cls, value: list[str]) -> list[str]:
        AllowList([pattern for pattern in value if not pattern.startswith("file:")])
        return value


Server = Annotated[str, Field(description="The server's URL, or with `protocol: onnx` the file's path.")]


Column = Annotated[str, Cel(gives="scalar", only_field=True)]


class ScoreOptions(OptionsBase):
    """The options of `score`."""

    model: str = Field(min_length=1, max_length=200, description="The model's name at its servers.")
    version: str | None = Field(
        default=None, min_length=1, description="The version to ask for; by default the servers' choice."
    )
    servers: list[Server | ServerOptions] = Field(
        min_length=1, max_length=100, description="The model's servers."
    )
    protocol: Literal["v2", "onnx"] = Field(
        default="v2",
        description="`v2`: Open Inference Protocol over REST. `onnx`: the file itself, in this process.",
    )
    inputs: dict[str, Annotated[str, Cel(gives="values")] | list[Column]] = Field(
        min_length=1,
        description="Tensor ← a field, a list of fields stacked as columns, or a CEL expression over the fields.",
    )
    outputs: dict[str, str] = Field(
        default={},
        description="Field of the prediction ← tensor of the answer. By default each tensor of the answer is the "
        "field of its own name: one value where a row of it has one, else a list.",
    )
    batch: BatchOptions = Field(default=BatchOptions(), description="How events are gathered into calls.")
    concurrency: int = Field(default=4, ge=1, le=256, description="The most calls in flight.")
    balance: Literal["least-outstanding", "round-robin"] = Field(
        default="least-outstanding", description="Which server gets the next call."
    )
    include: list[Annotated[str, Cel(only_field=True, takes_null=True, takes_absent=True)]] = Field(
        default=[], description="Fields of the event to copy into the prediction's `input`."
    )
    payloads: PayloadOptions = Field(
        default=PayloadOptions(), description="The payload log on the outlet `payloads`."
    )
    updates: UpdateOptions = Field(
        default=UpdateOptions(), description="Model updates on the inlet `updates`."
    )
    attempts: int = Field(
        default=3, ge=1, le=20, description="Tries of a call that breaks, before its events are told apart."
    )
    timeout: Duration = Field(default=Duration("10s"), description="How long a call may take.")

    @field_validator("protocol", mode="before")
    @classmethod
    def _not_yet(cls, value: Any) -> Any:
        if value in PROTOCOLS_NOT_YET:
            raise ValueError(f"protocol '{value}' is not built yet; there are v2 and onnx")
        return value

    @field_validator("inputs")
    @classmethod
    def _inputs(cls, value: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for tensor, source in value.items():
            if isinstance(source, list) and not source:
                raise ValueError(f"tensor '{tensor}' has no fields")
        return value

    @field_validator("timeout")
    @classmethod
    def _positive(cls, value: Duration) -> Duration:
        if not 0.0 < value <= 600.0:
            raise ValueError("a call may take more than 0s and at most 10m")
        return value

    @model_validator(mode="after")
    def _urls(self) -> ScoreOptions:
        if self.protocol == "v2":
            wrong = []
            for i, server in enumerate(self.servers):
                is_plain = isinstance(server, str)
                try:
                    parse_url(server if isinstance(server, str) else server.url)
                except Rejected as exc:
                    # At the server, not at the whole; its URL may hold a password and is not repeated.
                    place: tuple[int | str, ...] = ("servers", i) if is_plain else ("servers", i, "url")
                    error = PydanticCustomError("value_error", "{reason}", {"reason": str(exc)})
                    wrong.append(InitErrorDetails(type=error, loc=place, input=None))
            if wrong:
                raise ValidationError.from_exception_data("ScoreOptions", wrong)
        return self
