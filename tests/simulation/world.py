"""What a world is: an application drawn from a seed, what arrives, and what must be true in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from blueprints.plan import Plan
from streamlets.event import Record
from streamlets.transports.simulated_log import SimulatedLog
from tests.simulation.servers import SimulatedServer
from tests.simulation.verifier import Finding

Check = Callable[[SimulatedLog], Iterable[Finding]]


@dataclass
class World:
    """One application, drawn from a seed: its plan, what arrives when, its servers, what to check at the end."""

    plan: Plan
    arrivals: list[tuple[float, Record]]
    checks: list[Check]
    servers: list[SimulatedServer] = field(default_factory=list)
    afterwards: list[Record] = field(default_factory=list)
    """What arrives when the storm is over: traffic goes on, and tells a bad event from a sick server."""
    workers: int = 1
    may_end: bool = True
    """Whether a bounded run may be its end: nothing is decided by time alone."""
    is_done: Callable[[SimulatedLog], bool] = lambda log: True
    """Whether what no group's offset tells has come to its end too."""
