"""A component as the linter sees it: its options' schema and problems, its ports, what it says of its wiring."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from blueprints.catalog import JsonSchema, OptionProblem, Port, Wiring
from blueprints.needs import Needs
from blueprints.suggest import did_you_mean
from blueprints.units import Duration, Rate, Share, Size
from streamlets import ports
from streamlets.component import Component
from streamlets.evaluation import Cel

Path_ = tuple[str | int, ...]


class Described:
    """The linter's view of a component; implements `blueprints.catalog.StreamletType`."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._schema: JsonSchema | None = None

    def __repr__(self) -> str:
        return f"<Described {self.name}>"

    @property
    def name(self) -> str:
        """The name that the blueprint uses."""
        return self._component.name

    @property
    def description(self) -> str:
        """What it does: the docstring."""
        return inspect.cleandoc(self._component.description)

    @property
    def is_source(self) -> bool:
        """Whether it has no stream inlet and makes events of its own."""
        return self._component.is_source

    @property
    def keeps_state(self) -> bool:
        """Whether it may have small state; a class says by `keeps_state = False` that it has none."""
        return self._component.keeps_state

    def options_schema(self) -> JsonSchema:
        """Return the JSON Schema of `with`."""
        if self._schema is None:
            self._schema = self._component.options_model.model_json_schema()
        return self._schema

    def may_hold_secrets(self) -> bool:
        """Return whether an option, however deep, may be a secret: no where every type is known to be none."""
        return _may_hold_secrets(self._component.options_model, set())

    def may_have_expressions(self) -> bool:
        """Return whether an option, however deep, says that it is an expression."""
        return _may_have_expressions(self._component.options_model, set())

    def check_options(self, options: Mapping[str, Any], base_dir: Path) -> Sequence[OptionProblem]:
        """Return every problem of the options alone, one for each place; no value is in a message."""
        model = self._component.options_model
        found = [
            OptionProblem(path, "deprecated-option", message, "warning")
            for path, message in _deprecated(model, options, ())
        ]
        try:
            self._component.options(options, base_dir)
        except ValidationError as exc:
            found += self._problems(exc, options)
        return found

    def ports(self, options: Mapping[str, Any]) -> Sequence[Port]:
        """Return the ports that these options give; where they have problems, those that the sound ones give."""
        inlets, outlets = self._component.ports(self._sound(options))
        return [
            *(Port(i.name, "in", i.kind, _schema(i), i.required, i.description) for i in inlets),
            *(
                Port(o.name, "out", "stream", _schema(o), o.required, o.description, o.forwards)
                for o in outlets
            ),
        ]

    def check_wiring(self, options: Mapping[str, Any], wiring: Wiring) -> Sequence[OptionProblem]:
        """Return what the streamlet itself finds in its options and connections."""
        findings = self._component.check(self._component.options(options, wiring.base_dir), _wiring(wiring))
        return [OptionProblem(one.path, one.code, one.message, one.severity) for one in findings]

    def needs(self, options: Mapping[str, Any], wiring: Wiring) -> Needs:
        """Return what it holds, waits for, promises and trusts with these options."""
        return self._component.needs(self._component.options(options, wiring.base_dir), _wiring(wiring))

    def _sound(self, options: Mapping[str, Any]) -> BaseModel | None:
        """Return the options without those that have problems, or None where one that is needed is missing."""
        left = dict(options)
        for _ in range(len(left) + 1):
            try:
                return self._component.options(left, Path())
            except ValidationError as exc:
                wrong = {one["loc"][0] for one in exc.errors(include_url=False) if one["loc"]}
                if not wrong & left.keys():
                    return None
                left = {name: value for name, value in left.items() if name not in wrong}
        return None

    def _problems(self, exc: ValidationError, options: Mapping[str, Any]) -> list[OptionProblem]:
        by_path: dict[Path_, list[tuple[str, str]]] = {}
        for error in exc.errors(include_url=False, include_input=False):
            path = _real_path(error, options)
            code, message = self._told(error, path)
            if (code, message) not in by_path.setdefault(path, []):
                by_path[path].append((code, message))
        # Of a union each alternative complains: the one that got furthest is the one that was meant.
        kept = {
            path: told
            for path, told in by_path.items()
            if not any(other != path and other[: len(path)] == path for other in by_path)
        }
        return [
            OptionProblem(path, told[0][0], " or ".join(dict.fromkeys(message for _, message in told)))
            for path, told in kept.items()
        ]

    def _told(self, error: ErrorDetails, path: Path_) -> tuple[str, str]:
        if error["type"] == "missing":
            return "missing-option", f"{self.name} needs the option '{_dotted(path)}'"
        if error["type"] == "extra_forbidden":
            name = str(path[-1])
            known = _names_at(self.options_schema(), path[:-1])
            hint = did_you_mean(name, known)
            if not hint:
                hint = f"; its options are {', '.join(known)}" if known else "; it has none"
            owner = self.name if len(path) == 1 else f"'{_dotted(path[:-1])}' of {self.name}"
            return "unknown-option", f"{owner} has no option '{name}'{hint}"
        message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
        return "bad-option", message[:1].lower() + message[1:] if message[1:2].islower() else message


def _real_path(error: ErrorDetails, options: Mapping[str, Any]) -> Path_:
    """Return the part of pydantic's location that is in the file: the names of alternatives are left out."""
    path: list[str | int] = []
    node: Any = options
    location = error["loc"]
    for at, part in enumerate(location):
        if part in node if isinstance(node, Mapping) else isinstance(node, list) and part in range(len(node)):
            node = node[part]
        elif at < len(location) - 1 or error["type"] not in ("missing", "extra_forbidden"):
            continue
        path.append(part)
    return tuple(path)


def _dotted(path: Path_) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _names_at(schema: JsonSchema, path: Path_) -> list[str]:
    from blueprints.options import candidates_at, property_names

    return property_names(candidates_at(schema, path))


def _models(hint: Any) -> list[type[BaseModel]]:
    """Return the models in a type hint, however deep."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return [hint] if issubclass(hint, BaseModel) else []
    return [model for part in typing.get_args(hint) for model in _models(part)]


_OPEN = (str, int, float, bool, type(None), Duration, Size, Rate, Share)
"""Types that are no secret; one that is not known may be."""


def _may_hold_secrets(hint: Any, seen: set[type]) -> bool:
    if isinstance(hint, type) and not typing.get_args(hint):
        if not issubclass(hint, BaseModel):
            return hint not in _OPEN
        if hint in seen:
            return False
        seen.add(hint)
        return any(_is_marked(f) or _may_hold_secrets(f.annotation, seen) for f in hint.model_fields.values())
    if typing.get_origin(hint) is Literal:
        return False
    if typing.get_origin(hint) is Annotated:
        hint, *marks = typing.get_args(hint)
        return any(map(_writes_schema, marks)) or _may_hold_secrets(hint, seen)
    parts = typing.get_args(hint)
    return not parts or any(_may_hold_secrets(part, seen) for part in parts)


def _is_marked(field: FieldInfo) -> bool:
    """Return whether what a field adds to its type's JSON Schema may say that it is a secret."""
    extra = field.json_schema_extra or {}
    return (
        callable(extra)
        or bool({"format", "writeOnly"} & extra.keys())
        or any(map(_writes_schema, field.metadata))
    )


def _writes_schema(mark: Any) -> bool:
    if isinstance(mark, FieldInfo):
        return _is_marked(mark)
    return hasattr(mark, "__get_pydantic_json_schema__") and not isinstance(mark, Cel)


def _may_have_expressions(hint: Any, seen: set[type]) -> bool:
    if isinstance(hint, type) and not typing.get_args(hint):
        if not issubclass(hint, BaseModel) or hint in seen:
            return False
        seen.add(hint)
        return any(
            _says_expression(field) or _may_have_expressions(field.annotation, seen)
            for field in hint.model_fields.values()
        )
    if typing.get_origin(hint) is Annotated:
        hint, *marks = typing.get_args(hint)
        return any(map(_says_expression, marks)) or _may_have_expressions(hint, seen)
    return any(_may_have_expressions(part, seen) for part in typing.get_args(hint))


def _says_expression(mark: Any) -> bool:
    if isinstance(mark, FieldInfo):
        extra = mark.json_schema_extra or {}
        return callable(extra) or "x-cel" in extra or any(map(_says_expression, mark.metadata))
    return hasattr(mark, "__get_pydantic_json_schema__")


def _deprecated(model: type[BaseModel], values: Any, path: Path_) -> list[tuple[Path_, str]]:
    """Return the deprecated options that are given, with what to use instead."""
    if isinstance(values, list):
        return [found for i, value in enumerate(values) for found in _deprecated(model, value, (*path, i))]
    if not isinstance(values, Mapping):
        return []
    found: list[tuple[Path_, str]] = []
    for name, field in model.model_fields.items():
        written = field.alias or name
        if written not in values:
            continue
        here = (*path, written)
        if field.deprecated:
            why = field.deprecated if isinstance(field.deprecated, str) else "it will go"
            found.append((here, f"'{_dotted(here)}' is deprecated: {why}"))
        for inner in _models(field.annotation):
            found += _deprecated(inner, values[written], here)
            if isinstance(values[written], Mapping):  # a map of models
                for key, value in values[written].items():
                    found += _deprecated(inner, value, (*here, cast("str", key)))
    return list(dict.fromkeys(found))


def _wiring(wiring: Wiring) -> ports.Wiring:
    return ports.Wiring(partitions=wiring.partitions, replicas=wiring.replicas, base_dir=wiring.base_dir)


def _schema(port: ports.Inlet | ports.Outlet) -> JsonSchema | None:
    return None if port.contract is None else port.contract.json_schema()
