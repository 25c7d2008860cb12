"""`verify --online` for `score`: every server of the blueprint is asked, by the code that asks it at start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from blueprints.options import candidates_at
from streamlets.builtin.scoring.datatypes import INTEGER, NUMBER, TEXT, TRUTH, A
from streamlets.builtin.scoring.fit import Fit, Unfit, fit
from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.builtin.scoring.serving import Places
from streamlets.builtin.scoring.target import label_of
from streamlets.errors import StreamletsError
from streamlets.inference import ServerSpec
from streamlets.ports import Finding, Reach

OptionPath = tuple[str | int, ...]

_SAID = ("not-authorised", "model-missing", "tensor-mismatch", "bad-option", "missing-file", "import-failed")
"""Codes that mean the same at start; whatever else a server fails with, it cannot be reached as one."""


async def check_online(options: ScoreOptions, reach: Reach) -> list[Finding]:
    """Return what is wrong with the servers, and with their models as they are now. They are asked side by side.

    What several servers have in common is told once, with all their names.
    """
    places = Places(options, reach.base_dir)
    specs = places.blueprint()
    answers = await asyncio.gather(*(_ask(spec, options, places, reach) for spec in specs))
    found: dict[tuple[str, OptionPath, str], list[str]] = {}
    first: Fit | None = None
    for i, (spec, answer) in enumerate(zip(specs, answers, strict=True)):
        if isinstance(answer, Fit):
            first = first or answer
            if (answer.inputs.layout, answer.outputs.fields) == (first.inputs.layout, first.outputs.fields):
                for path, text in _never_fitting(answer, reach.contracts.get("in", {})):
                    found.setdefault(("tensor-mismatch", path, text), []).append(label_of(spec))
                continue
            answer = StreamletsError(
                "its tensors differ from those of the other servers", code="tensor-mismatch"
            )
        for code, path, text in _told(answer, options, i):
            found.setdefault((code, path, text), []).append(label_of(spec))
    return [
        Finding(code, path, f"model {options.model} at {', '.join(labels)}: {text}")
        for (code, path, text), labels in found.items()
    ]


_JSON: dict[str, set[str]] = {
    NUMBER: {"number", "integer"},
    INTEGER: {"integer", "number"},  # a number may be a whole one
    TRUTH: {"boolean"},
    TEXT: {"string"},
}
"""Kind of a tensor's values → the JSON types of which some value can be one."""


def _never_fitting(answer: Fit, contract: Mapping[str, Any]) -> Iterator[tuple[OptionPath, str]]:
    """Yield the fields of which, by their contract, no event can hold what the tensor takes.

    What may be of several types and fits in one of them is left to each event.
    """
    for column in answer.inputs.columns:
        for at, field in enumerate(column.fields if column.expression is None else ()):
            types = _types_of(contract, field)
            wanted = {"array"} if column.is_vector else _JSON[column.kind]
            if types and not types & wanted:
                path: OptionPath = (
                    ("inputs", column.tensor, at) if column.is_stacked else ("inputs", column.tensor)
                )
                what = f"a list of {column.width}" if column.is_vector else A[column.kind]
                yield (
                    path,
                    f"input '{column.tensor}' is {column.datatype}, which takes {what}, but the contract of the events "
                    f"says that '{field}' is {' or '.join(sorted(types))}",
                )


def _types_of(contract: Mapping[str, Any], field: str) -> set[str]:
    """Return the JSON types that a field may have; empty where the contract does not say."""
    given = candidates_at(contract, (field,)) if field in contract.get("properties", {}) else []
    types: set[str] = set()
    for schema in given:
        said = schema.get("type")
        if said is None and {"$ref", "anyOf", "oneOf", "allOf"}.isdisjoint(schema):
            return set()  # anything, or something that only a validator knows
        types.update([said] if isinstance(said, str) else said or ())
    return types


async def _ask(
    spec: ServerSpec, options: ScoreOptions, places: Places, reach: Reach
) -> Fit | StreamletsError:
    """Return how the model is called at a server, or why it cannot be; an answer of its own for each server."""
    try:
        server = reach.open_server(options.protocol, spec)
    except StreamletsError as exc:
        return exc
    try:
        async with asyncio.timeout(reach.within_s):
            return await fit(server, places.initial(), options, "")
    except TimeoutError:
        return StreamletsError(f"no answer within {reach.within_s:g} s", code="server-unreachable")
    except StreamletsError as exc:
        return exc
    finally:
        await server.close()


def _told(error: StreamletsError, options: ScoreOptions, i: int) -> Iterator[tuple[str, OptionPath, str]]:
    """Yield code, place and text of what is wrong with the server number `i`."""
    if isinstance(error, Unfit):
        for misfit in error.misfits:
            yield (
                error.code,
                _place_of(misfit.side, misfit.tensor, options),
                f"{misfit.text}; {misfit.told}".rstrip("; "),
            )
        return
    code = error.code if error.code in _SAID else "server-unreachable"
    given = options.servers[i]
    path: OptionPath = ("servers", i) if isinstance(given, str) else ("servers", i, "url")
    if code == "not-authorised" and not isinstance(given, str) and given.headers:
        path = ("servers", i, "headers")
    elif code == "model-missing":
        path = ("version",) if options.version is not None else ("model",)
    elif code == "tensor-mismatch":
        path = ("servers", i)
    yield code, path, _without_name(str(error), options)


def _place_of(side: str, tensor: str, options: ScoreOptions) -> OptionPath:
    if side == "outputs":
        return next(
            (("outputs", field) for field, name in options.outputs.items() if name == tensor), ("outputs",)
        )
    return ("inputs", tensor) if tensor in options.inputs else ("inputs",)


def _without_name(text: str, options: ScoreOptions) -> str:
    """Return a client's message without its own naming of model and server, which is put before it for all alike."""
    text = text.removeprefix(": ")
    head = f"model {options.model} at "
    if text.startswith(head):
        where, _, rest = text.removeprefix(head).partition(": ")
        if rest and " " not in where:
            return rest
        where, _, rest = text.removeprefix(head).partition(" ")
        return f"it {rest}"
    return text
