"""The tally: totals by fate and sums of ids, the numbers that the account compares with the topics."""

from __future__ import annotations

from typing import Any

import msgspec

from streamlets.ports import Fate

MODULUS = 1 << 128


class Tally(msgspec.Struct):
    """Totals of one partition, or what one entry adds to them.

    `seen`, `filtered` and `emitted` sum ids as numbers modulo 2**128; `emitted` maps a port to [count, sum].
    """

    fates: dict[str, int] = {}
    seen: int = 0
    filtered: int = 0
    emitted: dict[str, list[int]] = {}

    @property
    def n_in(self) -> int:
        """Events counted: each by its one fate."""
        return sum(self.fates.values())

    def count(self, fate: Fate, n: int) -> None:
        if n:
            self.fates[fate.value] = self.fates.get(fate.value, 0) + n

    def emit(self, port: str, n: int, total: int) -> None:
        found = self.emitted.get(port)
        if found is None:
            self.emitted[port] = [n, total % MODULUS]
        else:
            found[0] += n
            found[1] = (found[1] + total) % MODULUS

    def add(self, other: Tally) -> None:
        """Add what an entry counted."""
        for fate, n in other.fates.items():
            self.fates[fate] = self.fates.get(fate, 0) + n
        self.seen = (self.seen + other.seen) % MODULUS
        self.filtered = (self.filtered + other.filtered) % MODULUS
        for port, (n, total) in other.emitted.items():
            self.emit(port, n, total)

    def copy(self) -> Tally:
        """Return a tally that can be added to without changing this one."""
        return Tally(
            dict(self.fates), self.seen, self.filtered, {port: list(v) for port, v in self.emitted.items()}
        )

    def to_json(self) -> dict[str, Any]:
        """Return the tally as JSON values: sums as hexadecimal text, since JSON's numbers end at 2**53."""
        return {
            "fates": self.fates,
            "seen": f"{self.seen:x}",
            "filtered": f"{self.filtered:x}",
            "emitted": {port: [n, f"{total:x}"] for port, (n, total) in self.emitted.items()},
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Tally:
        return Tally(
            dict(value["fates"]),
            int(value["seen"], 16),
            int(value["filtered"], 16),
            {port: [n, int(total, 16)] for port, (n, total) in value["emitted"].items()},
        )
