"""`verify --online` for `score`: every server of the blueprint is asked, by the code that asks it at start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

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
            if answer.inputs.layout == first.inputs.layout:
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
