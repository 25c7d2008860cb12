"""What a streamlet's type tells the linter of its needs: what it holds, waits for, promises and trusts.

A type answers with one `Needs` for its options; the rules (`lint/graph.py`, `physics.py`, `keys.py`, `safety.py`) hold
that against the topics, the replicas and the engine's `Bounds`. Every number and every place comes with the option that
says it, so that a message can name what to change.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeAlias

OptionPath: TypeAlias = tuple[str | int, ...]
"""A path below `with`: `("window", "wait")`; empty where no option says it."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number that an option gives; its unit is that of the field it stands in.

    `what`: in words, where the option's name does not tell, as "the waits between the tries".
    """

    value: float
    option: OptionPath = ()
    what: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A text that an option gives: a URL, an address, a file, or the name of an inlet."""

    text: str
    option: OptionPath = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """What is held of a stream inlet until a window closes or a wait is over. None: not known, or without bound.

    `longest_s`: how long an event is held at the most. `events`: how many close a window, the last of them included.
    `keys`: how many windows are open beside each other in a partition at the most; None: one. `event_bytes`: the least
    that an event takes.
    """

    inlet: str = "in"
    longest_s: Amount | None = None
    events: Amount | None = None
    keys: Amount | None = None
    event_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A time that an event may spend in the streamlet, at the longest: a batch that fills, a call's timeout.

    `times`: how often at the most, as the tries of a call. `on_retry`: between tries only, so not where the first one
    succeeds. `blocks`: synchronous work, during which the worker does nothing else at all, polling included.
    """

    longest_s: Amount
    times: int = 1
    on_retry: bool = False
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Keyed:
    """Events of an inlet for which `by`, a field or a CEL expression, is the same must meet in one partition."""

    by: str
    inlet: str = "in"
    option: OptionPath = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """What a source writes to an outlet: so many events a second, and the least that one of them takes."""

    outlet: str
    per_s: Amount
    event_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a streamlet needs with these options. Whatever is left out is not held against the blueprint.

    holds            what it holds, by inlet; a class with `holds = True` that says nothing here holds all its inlets
    waits, deadline_s   what adds up for one event, and when it is expired
    single_reader    why it works with one reader of all events only, and what to do; empty: it works with many
    keyed            by what its inlets must be keyed
    aligned          inlets that are joined: their topics need the same partitions and the same key
    bounds_cycles    whether it lets an event pass so many times only, so that a cycle through it ends
    splits           of a source: how many replicas can have work
    flows            of a source: what it writes
    promised_per_s, capacity_per_s   rates that it promises to some, and what it lets through in all
    unguarded        inlets whose events say where to call, without an allow list; the option is that list
    secrets_to       URLs that a secret is sent to
    open_listeners   addresses, host:port, that it listens on without asking who calls
    trusted_files    files that it runs, or believes as it does the blueprint: models, references, code
    read_files, written_files   files that it reads events from and writes them to: each that is written has one user
    """

    holds: tuple[Hold, ...] = ()
    waits: tuple[Wait, ...] = ()
    deadline_s: Amount | None = None
    single_reader: str = ""
    keyed: tuple[Keyed, ...] = ()
    aligned: tuple[str, ...] = ()
    bounds_cycles: bool = False
    splits: int | None = None
    flows: tuple[Flow, ...] = ()
    promised_per_s: tuple[Amount, ...] = ()
    capacity_per_s: Amount | None = None
    unguarded: tuple[Said, ...] = ()
    secrets_to: tuple[Said, ...] = ()
    open_listeners: tuple[Said, ...] = ()
    trusted_files: tuple[Said, ...] = ()
    read_files: tuple[Said, ...] = ()
    written_files: tuple[Said, ...] = ()

    def inlets(self) -> set[str]:
        """Return the inlets that something is said of."""
        named = {hold.inlet for hold in self.holds} | {keyed.inlet for keyed in self.keyed}
        return named | set(self.aligned) | {said.text for said in self.unguarded}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the engine bears, for each partition of a streamlet's inlets.

    `held_events`, `held_bytes`: what is held at the most. `done_ranges`: runs of settled events beyond the oldest that
    is held. At each of the three the oldest window is closed early. `poll_interval_s`: how long a worker may go without
    a poll before the group takes its partitions away.
    """

    held_events: int
    held_bytes: int
    done_ranges: int
    poll_interval_s: float


def flaw(answer: Any) -> str:
    """Return what is wrong with what a type answers, which may be anybody's, or nothing; no value is in it."""
    if not isinstance(answer, Needs):
        return f"is of type {type(answer).__name__}, not Needs"
    return _flaw(answer, Needs, "")


def _flaw(value: Any, hint: Any, place: str) -> str:
    wanted = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            return f"has in '{place}' a value of type {type(value).__name__}, not a tuple"
        found = (_flaw(one, wanted[0], f"{place}[{i}]") for i, one in enumerate(value))
        return next(filter(None, found), "")
    if wanted:  # one of several, mostly of something and None
        flaws = [_flaw(value, one, place) for one in wanted]
        return "" if "" in flaws else flaws[0]
    if isinstance(value, bool) is not (hint is bool) or not isinstance(
        value, (int, float) if hint is float else hint
    ):
        wanted_here = _WORDS.get(hint, hint.__name__)
        return f"has in '{place}' a value of type {type(value).__name__}, not {wanted_here}"
    if isinstance(value, int | float) and not 0 <= value < _NO_BOUND:  # nor what is no number
        return f"has a number in '{place}' that is below 0 or has no bound; leave out what has none"
    if is_dataclass(hint):
        dot = f"{place}." if place else ""
        if hint not in _HINTS:
            _HINTS[hint] = typing.get_type_hints(hint)
        found = (_flaw(getattr(value, name), one, dot + name) for name, one in _HINTS[hint].items())
        return next(filter(None, found), "")
    return ""


_HINTS: dict[Any, dict[str, Any]] = {}  # read once each: a tenth of a millisecond
_NO_BOUND = 1e300  # what can still be multiplied with anything here
_WORDS: dict[Any, str] = {float: "a number", int: "a whole number", str: "a text", bool: "a yes or no"}
