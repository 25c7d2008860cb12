"""The entrance: events become JSON where their topic has another format, and are checked where they enter.

What comes from outside is checked against its topic's contract here and nowhere else; what is of another format is
checked by being decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from streamlets.contracts import Contract
from streamlets.errors import Rejected
from streamlets.event import Delivery, data_of
from streamlets.formats.format import Channel
from streamlets.ports import Batch, DeadLetter

INVALID = frozenset({"against-contract", "undecodable"})
"""The codes of an event that is against its contract: what `on-invalid` decides about."""


class Gate(NamedTuple):
    """What the events of one topic pass: its contract where they enter the application, its channel if not JSON."""

    contract: Contract | None
    channel: Channel | None
    is_external: bool


class Entrance:
    """Holds back what does not meet its topic's contract; passes topics that have no gate."""

    def __init__(
        self, gates: Mapping[str, Gate], on_invalid: Literal["dead-letter", "drop", "stop"] = "dead-letter"
    ) -> None:
        """`gates`: by the topic's name in the log."""
        self._gates = gates
        self.drops = on_invalid == "drop"
        self.stops = on_invalid == "stop"

    def check(self, batch: Batch) -> tuple[Batch, list[tuple[Delivery, DeadLetter]]]:
        """Return the batch as JSON, without the deliveries that are against the contract, and those with the reason."""
        gate = self._gates.get(batch.topic)
        if gate is None:
            return batch, []
        good: list[Delivery] = []
        letters: list[tuple[Delivery, DeadLetter]] = []
        for delivery in batch.deliveries:
            try:
                good.append(_through(gate, delivery))
            except Rejected as exc:
                letters.append((delivery, DeadLetter(-1, exc.code, exc.message)))
        if not letters and gate.channel is None:
            return batch, letters
        return Batch(batch.inlet, batch.topic, batch.partition, good, batch.state), letters


def _through(gate: Gate, delivery: Delivery) -> Delivery:
    if gate.channel is not None:
        if delivery.value is None and not gate.is_external:
            return delivery  # a tombstone of our own has nothing to decode
        return gate.channel.read(delivery)
    if gate.contract is not None:
        gate.contract.decode(data_of(delivery))
    return delivery
