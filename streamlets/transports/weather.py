"""The weather of the simulated transport: what a simulated process meets at each call. Tests make storms of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from streamlets.transports.transport import TopicPartition


class Fortune(StrEnum):
    """What becomes of a release."""

    DONE = "done"
    ABORTED = "aborted"
    FULL = "full"  # the disk: aborted, until there is room
    FENCED = "fenced"
    UNKNOWN_DONE = "unknown-done"
    UNKNOWN_UNDONE = "unknown-undone"
    UNKNOWN_LATER_DONE = "unknown-later-done"
    UNKNOWN_LATER_UNDONE = "unknown-later-undone"


class Weather(Protocol):
    """What a simulated process meets. Each answer is drawn from a seed, or always the best one."""

    async def before(self, call: str) -> None:
        """Delay a call before it has an effect; may raise what ends the process."""
        ...

    async def after(self, call: str) -> None:
        """Delay a call after its effect; may raise what ends the process."""
        ...

    def fortune(self) -> Fortune:
        """Return what becomes of the next release."""
        ...

    def is_cancelled_in_vain(self) -> bool:
        """Return whether a release that is cancelled takes place all the same."""
        ...

    def has_room(self) -> bool:
        """Return whether the disk has room for an append."""
        ...

    def portion(self, max_events: int) -> int:
        """Return how many deliveries the next poll may give, from 1 to `max_events`."""
        ...

    def order(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return the order in which the partitions are read; fair in the long run."""
        ...

    def gap(self) -> int:
        """Return how many offsets a release leaves unused in each partition that it wrote."""
        ...


class Calm:
    """Weather in which nothing happens."""

    async def before(self, call: str) -> None:
        pass

    async def after(self, call: str) -> None:
        pass

    def fortune(self) -> Fortune:
        return Fortune.DONE

    def is_cancelled_in_vain(self) -> bool:
        return False

    def has_room(self) -> bool:
        return True

    def portion(self, max_events: int) -> int:
        return max_events

    def order(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return partitions

    def gap(self) -> int:
        return 0
