"""Whether a model server serves what the blueprint says: asked at start, for updates, and by `verify --online`."""

from __future__ import annotations

from typing import NamedTuple

from streamlets.builtin.scoring.inputs import Contracts, Inputs
from streamlets.builtin.scoring.mismatch import Misfit, Mismatch
from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.builtin.scoring.outputs import Outputs
from streamlets.builtin.scoring.serving import Serving
from streamlets.errors import Fatal, Unavailable
from streamlets.inference import ModelServer


class Fit(NamedTuple):
    """How events become rows and answers become predictions, and the version to ask for."""

    inputs: Inputs
    outputs: Outputs
    version: str | None


class Unfit(Fatal):
    """The model's tensors are others than the blueprint maps: each misfit with its place."""

    def __init__(self, what: str, mismatches: list[Mismatch]) -> None:
        message = "; ".join(mismatch.message for mismatch in mismatches)
        super().__init__(f"{what}: {message}", code=mismatches[0].code, hint="check `inputs` and `outputs`")
        self.misfits: list[Misfit] = [misfit for mismatch in mismatches for misfit in mismatch.misfits]


async def fit(
    server: ModelServer, serving: Serving, options: ScoreOptions, what: str, contracts: Contracts = ()
) -> Fit:
    """Return how the serving's model is called at a server, once it is ready and its tensors are those wanted.

    `what` names model and server in messages; `contracts`: JSON Schemas of the events. Raises: Unavailable (also
    `model-missing`), Unfit (`tensor-mismatch`), Fatal (`model-missing` for a version that is not served,
    `not-authorised`, …), Broken.
    """
    asked = serving.version if serving.update is None else None
    metadata = await server.metadata(serving.model, asked)
    if serving.update is not None and metadata is not None and metadata.versions:
        if serving.version not in metadata.versions:
            served = ", ".join(metadata.versions[:10])
            raise Fatal(f"{what} serves version {served}, not {serving.version}", code="model-missing")
        if len(metadata.versions) > 1:
            asked = serving.version
            metadata = await server.metadata(serving.model, asked)
    if not await server.is_ready(serving.model, asked):
        raise Unavailable(f"{what}: not ready")
    mismatches: list[Mismatch] = []
    inputs = outputs = None
    try:
        inputs = Inputs(options.inputs, options.include, metadata, contracts)
    except Mismatch as exc:
        mismatches.append(exc)
    try:
        outputs = Outputs(options.outputs, metadata)
    except Mismatch as exc:
        mismatches.append(exc)
    if inputs is None or outputs is None:
        raise Unfit(what, mismatches) from mismatches[0]
    return Fit(inputs, outputs, asked)
