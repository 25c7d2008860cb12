"""The entrance: checks events against their topic's contract where they enter the application, and nowhere else."""

from __future__ import annotations

from typing import Literal

from streamlets.contracts import Contract
from streamlets.errors import Rejected
from streamlets.event import Delivery, is_structured
from streamlets.event import decode as decode_event
from streamlets.ports import Batch, DeadLetter

INVALID = frozenset({"against-contract", "undecodable"})
"""The codes of an event that is against its contract: what `on-invalid` decides about."""


class Entrance:
    """Holds back what does not meet the contract of an external topic; passes everything where there is none."""

    def __init__(
        self, contract: Contract | None, on_invalid: Literal["dead-letter", "drop", "stop"] = "dead-letter"
    ) -> None:
        self._contract = contract
        self.drops = on_invalid == "drop"
        self.stops = on_invalid == "stop"

    def check(self, batch: Batch) -> tuple[Batch, list[tuple[Delivery, DeadLetter]]]:
        """Return the batch without the deliveries that are against the contract, and those with the reason."""
        contract = self._contract
        if contract is None:
            return batch, []
        good: list[Delivery] = []
        letters: list[tuple[Delivery, DeadLetter]] = []
        for delivery in batch.deliveries:
            try:
                data = decode_event(delivery).data if is_structured(delivery) else delivery.value
                contract.decode(data)
            except Rejected as exc:
                letters.append((delivery, DeadLetter(-1, exc.code, exc.message)))
            else:
                good.append(delivery)
        if not letters:
            return batch, letters
        return Batch(batch.inlet, batch.topic, batch.partition, good, batch.state), letters
