"""A component: a streamlet's class as the engine and the linter see it, before an instance is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from blueprints.expressions import ExpressionError
from streamlets.errors import Fatal
from streamlets.ports import Branch, Context, Finding, Hold, Inlet, Needs, OptionsBase, Outlet, Reach, Wiring


class NoOptions(OptionsBase):
    """Options of a streamlet that has none."""


class Component:
    """What a streamlet's class declares, with the defaults of `ports.Streamlet` filled in."""

    def __init__(self, name: str, made_by: Any) -> None:
        """`made_by`: the class; or an object with the same attributes that is called in its place."""
        self.name = name
        self._made_by = made_by
        self.options_model: type[BaseModel] = getattr(made_by, "Options", NoOptions)
        self.is_source = hasattr(made_by, "read") and not hasattr(made_by, "process")
        self.overlap: int = getattr(made_by, "overlap", 1)
        self.is_critical: bool = getattr(made_by, "critical", True)
        self.keeps_state: bool = getattr(made_by, "keeps_state", True)
        self.holds: bool = getattr(made_by, "holds", False)
        self.max_events: int = getattr(made_by, "max_events", 500)
        self.description: str = (getattr(made_by, "__doc__", None) or "").strip()

    def __repr__(self) -> str:
        return f"<Component {self.name}>"

    def options(self, values: Mapping[str, Any], base_dir: Path) -> BaseModel:
        """Return the options as the model. Raises: pydantic's ValidationError."""
        return self.options_model.model_validate(dict(values), context={"base_dir": base_dir})

    def ports(self, options: BaseModel | None) -> tuple[Sequence[Inlet], Sequence[Outlet]]:
        """Return (inlets, outlets) that the options give; with None, those that need no options."""
        by_options = getattr(self._made_by, "ports", None)
        if by_options is not None and options is not None:
            inlets, outlets = by_options(options)
            return inlets, outlets
        return getattr(self._made_by, "inlets", ()), getattr(self._made_by, "outlets", ())

    def check(self, options: BaseModel, wiring: Wiring) -> Sequence[Finding]:
        """Return what only the streamlet knows of its options and connections."""
        check = getattr(self._made_by, "check", None)
        return check(options, wiring) if check is not None else ()

    async def check_online(self, options: BaseModel, reach: Reach) -> Sequence[Finding]:
        """Return what those say whom it will call; none where it calls nobody, or says nothing of it."""
        ask = getattr(self._made_by, "check_online", None)
        return await ask(options, reach) if ask is not None else ()

    def needs(self, options: BaseModel, wiring: Wiring) -> Needs:
        """Return what it holds, waits for and trusts; of a class that only says that it holds, its inlets."""
        ask = getattr(self._made_by, "needs", None)
        needs: Needs = Needs() if ask is None else ask(options, wiring)
        if self.holds and isinstance(needs, Needs) and not needs.holds:
            inlets, _ = self.ports(options)
            return replace(needs, holds=tuple(Hold(one.name) for one in inlets if one.kind == "stream"))
        return needs

    def branches(self, options: BaseModel) -> Sequence[Branch]:
        """Return the ways that events can go in it, for the coverage of blueprint tests; none where it says none."""
        branches = getattr(self._made_by, "branches", None)
        return branches(options) if branches is not None else ()

    def build(self, values: Mapping[str, Any], context: Context) -> Any:
        """Return an instance. Raises: Fatal (`bad-option`), which the linter would have found."""
        return self.make(self.load(values, context.base_dir), context)

    def make(self, options: BaseModel, context: Context) -> Any:
        """Return an instance with options that are loaded already."""
        try:
            return self._made_by(options, context)
        except ExpressionError as exc:
            raise Fatal(f"{context.streamlet}: {exc}", code="bad-expression", exit_code=64) from exc

    def load(self, values: Mapping[str, Any], base_dir: Path) -> BaseModel:
        """Return the options as the model. Raises: Fatal with the linter's code, naming the option, never its value."""
        try:
            return self.options(values, base_dir)
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            path = ".".join(map(str, first["loc"]))
            codes = {"missing": "missing-option", "extra_forbidden": "unknown-option"}
            raise Fatal(
                f"{self.name}: option {path!r}: {first['msg']}",
                code=codes.get(first["type"], "bad-option"),
                hint="run `streamlets verify` on the blueprint",
                exit_code=64,
            ) from exc
