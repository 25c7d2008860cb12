"""The coverage of blueprint tests: which edges and branches some case has taken, and which none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from blueprints.plan import Plan, PortRef
from streamlets.component import Component
from streamlets.engine.entrance import INVALID
from streamlets.engine.tally import Tally
from streamlets.ports import Branch


@dataclass
class Taken:
    """The ways that events went, as the tallies of the stages and the topics show them."""

    given: set[str] = field(default_factory=set)
    """Topics into which events were given."""
    emitted: set[PortRef] = field(default_factory=set)
    fates: set[tuple[str, str]] = field(default_factory=set)
    """(streamlet, fate)"""
    codes: set[tuple[str, str]] = field(default_factory=set)
    """(streamlet, code of a dead letter)"""
    steps: set[tuple[str, str]] = field(default_factory=set)
    """(streamlet, step of a status event)"""
    away: set[str] = field(default_factory=set)
    """Models that were asked while they were away."""

    def count(self, streamlet: str, tally: Tally) -> None:
        """Add what a partition of a stage has counted."""
        self.emitted |= {PortRef(streamlet, port) for port, (n, _) in tally.emitted.items() if n}
        self.fates |= {(streamlet, fate) for fate, n in tally.fates.items() if n}

    def add(self, other: Taken) -> None:
        """Add what another case has taken."""
        self.given |= other.given
        self.emitted |= other.emitted
        self.fates |= other.fates
        self.codes |= other.codes
        self.steps |= other.steps
        self.away |= other.away

    def has(self, streamlet: str, branch: Branch) -> bool:
        """Return whether a branch was taken."""
        letters = {code for name, code in self.codes if name == streamlet}
        return (
            (branch.outlet is not None and PortRef(streamlet, branch.outlet) in self.emitted)
            or (branch.fate is not None and (streamlet, branch.fate.value) in self.fates)
            or (branch.step is not None and (streamlet, branch.step) in self.steps)
            or (branch.away is not None and branch.away in self.away)
            or (branch.is_dead_letter and bool(letters - INVALID))
            or bool(letters & set(branch.codes))
        )


@dataclass(frozen=True)
class Way:
    """An edge (`streamlet` None) or a branch of a streamlet, and whether some case has taken it."""

    name: str
    streamlet: str | None
    is_taken: bool

    def __str__(self) -> str:
        return self.name if self.streamlet is None else f"{self.streamlet}: {self.name}"


def share(ways: Sequence[Way]) -> float:
    """Return the share of ways that were taken; all of none is all."""
    return sum(way.is_taken for way in ways) / len(ways) if ways else 1.0


def ways(
    plan: Plan, run_here: Iterable[str], components: Callable[[str], Component], taken: Taken
) -> list[Way]:
    """Return every edge and branch of a plan, in the blueprint's order."""
    return [*_edges(plan, taken), *_branches(plan, run_here, components, taken)]


def _edges(plan: Plan, taken: Taken) -> list[Way]:
    edges = []
    for topic in plan.topics.values():
        to = ", ".join(map(str, topic.consumers)) or topic.name
        producers = [port for port in topic.producers if not plan.streamlets[port.streamlet].is_source]
        if not producers:  # what a source, or somebody else, would write is given
            edges.append(Way(f"{topic.name} → {to}", None, topic.name in taken.given))
        edges += [Way(f"{port} → {to}", None, port in taken.emitted) for port in producers]
    return edges


def _branches(
    plan: Plan, run_here: Iterable[str], components: Callable[[str], Component], taken: Taken
) -> list[Way]:
    found = []
    for name in run_here:
        streamlet = plan.streamlets[name]
        component = components(streamlet.use)
        branches = list(component.branches(component.load(streamlet.options, plan.base_dir)))
        branches = [one for one in branches if one.inlet is None or one.inlet in streamlet.inlets]
        branches = [one for one in branches if one.outlet is None or one.outlet in streamlet.outlets]
        topics = [plan.topics[topic] for topic in streamlet.inlets.values()]
        if streamlet.on_invalid == "dead-letter" and any(
            t.external and t.contract is not None for t in topics
        ):
            branches.append(Branch(name="against its contract", codes=tuple(sorted(INVALID))))
        found += [Way(branch.name, name, taken.has(name, branch)) for branch in branches]
    return found
