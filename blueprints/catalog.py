"""What the linter must know of streamlets. It comes as an argument: the language imports nothing of streamlets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from blueprints.needs import Bounds, Needs

JsonSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a streamlet as the linter sees it. `contract`: JSON Schema 2020-12 with `title`, or None.

    `forwards`: of an outlet, the inlet whose events it passes on as they came.
    """

    name: str
    direction: Literal["in", "out"]
    kind: Literal["stream", "table", "tail"] = "stream"
    contract: JsonSchema | None = None
    required: bool = True
    description: str = ""
    forwards: str | None = None


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """A problem with options: `path` below `with`, a lint code, what is wrong and what next."""

    path: tuple[str | int, ...]
    code: str
    message: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a streamlet is connected: port → partitions of its topic; its replicas; the blueprint's folder."""

    partitions: Mapping[str, int]
    replicas: int
    base_dir: Path


class StreamletType(Protocol):
    """A streamlet that a blueprint can name by `use`."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def is_source(self) -> bool: ...

    @property
    def keeps_state(self) -> bool:
        """Whether it may have small state, which another streamlet under its name would misread."""
        ...

    def options_schema(self) -> JsonSchema:
        """Return the JSON Schema of `with`; descriptions are the documentation."""
        ...

    def may_hold_secrets(self) -> bool:
        """Return whether an option, however deep, may be a secret; without any, the schema need not be made."""
        ...

    def may_have_expressions(self) -> bool:
        """Return whether an option may be an expression, as `x-cel` in its schema says: then the schema is read."""
        ...

    def check_options(self, options: Mapping[str, Any], base_dir: Path) -> Sequence[OptionProblem]:
        """Return the problems of the options alone: unknown-option, missing-option, bad-option, deprecated-option."""
        ...

    def ports(self, options: Mapping[str, Any]) -> Sequence[Port]:
        """Return the ports that these options give; a best effort when the options have problems."""
        ...

    def check_wiring(self, options: Mapping[str, Any], wiring: Wiring) -> Sequence[OptionProblem]:
        """Return what only the streamlet knows of its connections and no general rule says: missing-file,
        bad-expression, unconnected-outlet … Called when the options have no problem."""
        ...

    def needs(self, options: Mapping[str, Any], wiring: Wiring) -> Needs:
        """Return what it needs of its topics, its replicas and the engine. Called when the options have no problem."""
        ...


@dataclass(frozen=True, slots=True)
class NotFound:
    """Why what is named is not there: unknown-streamlet, ambiguous-streamlet, import-failed, not-a-streamlet."""

    code: str
    message: str


class Catalog(Protocol):
    """Every streamlet that can be named, the Python types that contracts name, and what the engine bears."""

    @property
    def bounds(self) -> Bounds:
        """What the engine bears."""
        ...

    def find(self, use: str, base_dir: Path) -> StreamletType | NotFound:
        """Return the streamlet that `use` names: a built-in, `package.module:name`, or an entry point."""
        ...

    def contract(self, source: str, base_dir: Path) -> JsonSchema | NotFound:
        """Return the JSON Schema of the Python type `package.module:Name`: what it accepts. Else import-failed."""
        ...

    def names(self) -> Sequence[str]:
        """Return the built-in names and entry points, for "did you mean" and for the schema."""
        ...
