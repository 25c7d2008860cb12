"""The catalog: every streamlet that a blueprint can name, for the linter and for the engine.

A name is a built-in's (one line in `BUILTIN`), an entry point's of the group `streamlets`, or `package.module:name`.
Nothing is imported before it is named.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from blueprints.catalog import JsonSchema, NotFound
from blueprints.needs import Bounds
from blueprints.suggest import did_you_mean
from streamlets.component import Component
from streamlets.contracts import PydanticContract
from streamlets.described import Described
from streamlets.errors import Fatal, StreamletsError
from streamlets.imports import CannotImport, load
from streamlets.ports import DONE_RANGES, HELD_BYTES, HELD_EVENTS, POLL_INTERVAL_S, Inlet, Outlet
from streamlets.shape import NotAStreamlet

BUILTIN = {
    "console": "streamlets.builtin.console:Console",
    "detect": "streamlets.builtin.detect:Detect",
    "file": "streamlets.builtin.file:File",
    "file-sink": "streamlets.builtin.file_sink:FileSink",
    "filter": "streamlets.builtin.filter:Filter",
    "replay": "streamlets.builtin.replay:Replay",
    "score": "streamlets.builtin.score:Score",
}

GROUP = "streamlets"
"""The group of entry points by which other packages add streamlets."""


class Streamlets:
    """Every streamlet that can be named; implements `blueprints.catalog.Catalog`."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Path], Component | NotFound] = {}
        self._described: dict[Component, Described] = {}
        self._entry_points: dict[str, dict[str, str]] | None = None

    @property
    def bounds(self) -> Bounds:
        """What the engine bears."""
        return Bounds(HELD_EVENTS, HELD_BYTES, DONE_RANGES, POLL_INTERVAL_S)

    def names(self) -> Sequence[str]:
        """Return the names of the built-ins and of the entry points."""
        return sorted({*BUILTIN, *self._installed()})

    def find(self, use: str, base_dir: Path) -> Described | NotFound:
        """Return the streamlet that `use` names, as the linter sees it, or why there is none."""
        found = self._find(use, base_dir)
        if isinstance(found, NotFound):
            return found
        # Kept, because it keeps the JSON Schema of its options, which takes milliseconds to make.
        return self._described.setdefault(found, Described(found))

    def component(self, use: str, base_dir: Path) -> Component:
        """Return the streamlet that `use` names, as the engine runs it. Raises: Fatal with the linter's code."""
        found = self._find(use, base_dir)
        if isinstance(found, NotFound):
            raise Fatal(found.message, code=found.code, exit_code=64)
        return found

    def contract(self, source: str, base_dir: Path) -> JsonSchema | NotFound:
        """Return the JSON Schema of the Python type that a contract names, or why there is none."""
        try:
            found = load(source, base_dir)
        except CannotImport as exc:
            return NotFound("import-failed", str(exc))
        if not inspect.isclass(found):
            return NotFound("import-failed", f"'{source}' is a {type(found).__name__}; a contract is a class")
        try:
            return PydanticContract(found).json_schema()
        except (StreamletsError, PydanticUserError):
            return NotFound(
                "import-failed", f"'{source}' is no type that events can be checked against; use a model"
            )

    def _find(self, use: str, base_dir: Path) -> Component | NotFound:
        key = (use, base_dir.resolve())
        if key not in self._found:
            self._found[key] = self._resolve(use, base_dir)
        return self._found[key]

    def _resolve(self, use: str, base_dir: Path) -> Component | NotFound:
        if ":" in use:
            return _made(use, use, base_dir)
        givers = dict(self._installed().get(use, {}))
        if use in BUILTIN:
            givers["Streamlets itself"] = BUILTIN[use]
        if len(set(givers.values())) > 1:
            told = " and ".join(f"{giver} ({target})" for giver, target in sorted(givers.items()))
            return NotFound(
                "ambiguous-streamlet", f"'{use}' is given by {told}; write the one that is meant in full"
            )
        for target in givers.values():
            return _made(use, target, base_dir)
        hint = did_you_mean(use, self.names())
        if not hint:
            hint = "; your own is written as package.module:name"
        return NotFound("unknown-streamlet", f"there is no streamlet '{use}'{hint}")

    def _installed(self) -> dict[str, dict[str, str]]:
        """Return the entry points: name → {distribution: target}."""
        if self._entry_points is None:
            self._entry_points = {}
            if not _may_be_named():
                return self._entry_points
            import importlib.metadata  # reads what every installed package says of itself: 20 ms

            for point in importlib.metadata.entry_points(group=GROUP):
                giver = point.dist.name if point.dist is not None else "an unknown package"
                self._entry_points.setdefault(point.name, {})[giver] = point.value
        return self._entry_points


def _may_be_named() -> bool:
    """Return whether an installed package may name the group: a look at the files that would say so, in a millisecond.

    True, too, where packages may lie in something else than folders.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    for place in map(Path, sys.path):
        try:
            if place.is_file():
                return True  # an archive
            for points in (
                *place.glob("*.dist-info/entry_points.txt"),
                *place.glob("*.egg-info/entry_points.txt"),
            ):
                if f"[{GROUP}]" in points.read_text("utf-8", "replace"):
                    return True
        except OSError:
            return True  # then the real search says what it makes of it
    return False


def _made(name: str, target: str, base_dir: Path) -> Component | NotFound:
    """Return the component of an import path, or why what is there is none."""
    try:
        found = load(target, base_dir)
    except CannotImport as exc:
        return NotFound("import-failed", str(exc))
    try:
        component = Component(name, _maker(found, name))
        _check_ports(component)
    except NotAStreamlet as exc:
        return NotFound("not-a-streamlet", str(exc))
    except StreamletsError as exc:
        return NotFound("not-a-streamlet", f"{name}: {exc}")
    return component


def _maker(found: Any, name: str) -> Any:
    """Return what makes the streamlet: the class, or the function with its shape. Raises: NotAStreamlet."""
    if inspect.isclass(found):
        _check_class(found)
        return found
    if not callable(found):
        raise NotAStreamlet(f"'{name}' is a {type(found).__name__}; a streamlet is a function or a class")
    from streamlets.functions import Function  # here, because most blueprints' streamlets are classes

    return Function(found)


def _check_class(found: type) -> None:
    def no(what: str, instead: str) -> NotAStreamlet:
        return NotAStreamlet(f"class {found.__name__} {what}; {instead}")

    method = "process" if hasattr(found, "process") else "read"
    work = getattr(found, method, None)
    if work is None:
        raise no(
            "has neither 'process' nor 'read'",
            "a streamlet has process(batch), a source read(…) and splits()",
        )
    if not inspect.iscoroutinefunction(work):
        raise no(f"has a '{method}' that is not async", f"write `async def {method}`")
    if method == "read" and not hasattr(found, "splits"):
        raise no("has no 'splits'", "write `def splits(self) -> list[str]`; one split is the usual case")
    options = getattr(found, "Options", None)
    if options is not None and not (inspect.isclass(options) and issubclass(options, BaseModel)):
        raise no("has 'Options' that are no pydantic model", "derive them from streamlets.ports.OptionsBase")
    try:
        inspect.signature(found).bind("options", "context")
    except TypeError:
        raise no(
            "cannot be made of (options, context)", "write `def __init__(self, options, context)`"
        ) from None


def _check_ports(component: Component) -> None:
    """Look at the ports that are known without options. Raises: NotAStreamlet, or what a contract raises."""
    inlets, outlets = component.ports(None)
    _check_side(component.name, inlets, Inlet)
    _check_side(component.name, outlets, Outlet)
    names = [inlet.name for inlet in inlets] + [outlet.name for outlet in outlets]
    if len(set(names)) < len(names):
        raise NotAStreamlet(f"{component.name} has two ports of one name; give each its own")


def _check_side(owner: str, side: Sequence[Inlet | Outlet], kind: type[Inlet | Outlet]) -> None:
    for port in side:
        if not isinstance(port, kind):
            instead = f"make it by streamlets.ports.{kind.__name__}(name)"
            raise NotAStreamlet(f"{owner} has an {kind.__name__.lower()} that is none; {instead}")
        if port.contract is not None:
            port.contract.json_schema()
