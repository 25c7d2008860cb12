"""What does not fit between the tensors of a model and those that the blueprint maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from streamlets.errors import Rejected


class Misfit(NamedTuple):
    """One tensor that does not fit: on which side, why, and what the model has there."""

    side: Literal["inputs", "outputs"]
    tensor: str
    text: str
    told: str


class Mismatch(Rejected):
    """The tensors of one side that do not fit (`tensor-mismatch`)."""

    def __init__(
        self, side: Literal["inputs", "outputs"], problems: Sequence[tuple[str, str]], told: str = ""
    ) -> None:
        """`problems`: tensor and what is wrong with it; `told`: what the model has."""
        texts = "; ".join(text for _, text in problems)
        super().__init__(f"{texts}; {told}" if told else texts, code="tensor-mismatch")
        self.misfits = [Misfit(side, tensor, text, told) for tensor, text in problems]
