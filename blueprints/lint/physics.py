"""Physics: numbers of the blueprint that cannot all be true. Each message says the numbers and what to change.

Equal is fine: a window of 7d fits a topic that is kept for 7d. Times and rates are compared to the billionth, because
they are added up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from blueprints.catalog import OptionProblem
from blueprints.diagnostics import Mark, Severity
from blueprints.fields import Section
from blueprints.lint.draft import Draft, StreamletDraft, TopicDraft
from blueprints.lint.options import dotted, report_problem
from blueprints.needs import Amount, Hold, OptionPath, Wait
from blueprints.units import Duration, Rate, Size

Related = tuple[tuple[Mark, str], ...]

# Of K windows side by side, filled by a well mixed stream to N events each, the j-th last event of a key is still open
# with probability 1 - j/N. So of the last K·N events of all keys x·(1 - x), on the average a sixth, begin a run of
# settled ones. With few keys neighbours are of one key too often for that.
MIXED_KEYS = 10


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        for hold in streamlet.needs.holds:
            for topic, _ in draft.uses(streamlet.name, hold.inlet):
                _check_retention(draft, streamlet, hold, topic)
                _check_memory(draft, streamlet, hold, topic)
        _check_deadline(draft, streamlet)
        _check_poll_interval(draft, streamlet)
        _check_capacity(draft, streamlet)


def _tell(
    draft: Draft,
    streamlet: StreamletDraft,
    code: str,
    option: OptionPath,
    message: str,
    severity: Severity = "error",
    related: Related = (),
) -> None:
    problem = OptionProblem(option, code, message, severity)
    report_problem(draft, streamlet, problem, related=related)


# --- numbers and words


def is_more(one: float, other: float) -> bool:
    """Return whether one number is larger than the other by a billionth at least: what sums of floats can tell."""
    return round(one * 1e9) > round(other * 1e9)


def _name(amount: Amount) -> str:
    return amount.what or f"'{dotted(amount.option)}'"


def _lower(amount: Amount) -> str:
    """Return what to do about an amount that is too large, where an option says it."""
    return f", or lower '{dotted(amount.option)}'" if amount.option else ""


def _and(parts: list[str]) -> str:
    return " + ".join(parts)


# --- what a topic keeps, and what comes in


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting of a topic, as a number, and where it stands."""

    value: float
    mark: Mark


def _setting(draft: Draft, topic: TopicDraft, field: str, kafka: str, unit: float) -> _Setting | None:
    """Return a topic's setting, by its field or as Kafka's own; None where it has none, or others have set it.

    The defaults are those of topics that are made by the application: one of others may have been made otherwise.
    """
    defaults: Section | None = None if topic.is_external else draft.top.get("defaults")
    for section in (topic.section, defaults):
        if section is None:
            continue
        if section.is_wrong(field):
            return None
        if (value := section.get(field)) is not None:
            return _Setting(float(value), section.at(field))
        if kafka in section.get("config", {}):
            text, _, mark = section.get("config")[kafka]
            try:
                number = int(text)
            except ValueError:
                return None  # reported as bad-topic-config
            return None if number < 0 else _Setting(number * unit, mark)  # -1: for ever
    return None


def _inflow(draft: Draft, topic: TopicDraft) -> tuple[float, int | None]:
    """Return what is known to come in, in events a second and the least bytes of an event; 0.0 and None if nothing is.

    Sources say it of themselves. What stands between a source and a topic may filter, so that nothing is known there.
    """
    flows = [
        flow
        for use in topic.producers
        if use.streamlet is not None
        for flow in use.streamlet.needs.flows
        if flow.outlet == use.ref.port
    ]
    sizes = [flow.event_bytes for flow in flows]
    is_all = not topic.is_external and len(flows) == len(topic.producers) and None not in sizes
    rate = math.fsum(flow.per_s.value for flow in flows)
    return rate, min([size for size in sizes if size is not None], default=None) if is_all else None


# --- window-beyond-retention


def _check_retention(draft: Draft, streamlet: StreamletDraft, hold: Hold, topic: TopicDraft) -> None:
    longest = hold.longest_s
    if longest is None or topic.section.get("compacted", False):
        return  # that a stream inlet reads a compacted topic has been said
    held = Duration(longest.value)
    kept = _setting(draft, topic, "retention", "retention.ms", 1e-3)
    if kept is not None and is_more(longest.value, kept.value):
        message = (
            f"it holds events for up to {held} ({_name(longest)}), but '{topic.name}' keeps them for "
            f"{Duration(kept.value)}: a restart after that would miss what was held; let '{topic.name}' keep them for "
            f"{held} at least{_lower(longest)}"
        )
        related = ((kept.mark, "kept for so long"),)
        _tell(draft, streamlet, "window-beyond-retention", longest.option, message, related=related)
        return
    size = _setting(draft, topic, "max-bytes", "retention.bytes", 1)
    rate, least = _inflow(draft, topic)
    event_bytes = hold.event_bytes or least
    if size is None or not rate or not event_bytes:
        return
    # The fullest partition gets its share of the events at least, and is the first to drop some. A window that closes
    # by its number of events holds no more than that, however fast they come.
    per_s = rate / draft.partitions[topic.name]
    kept_s = size.value // event_bytes / per_s
    closes_earlier = hold.events is not None and not is_more(hold.events.value * event_bytes, size.value)
    if is_more(longest.value, kept_s) and not closes_earlier:
        needed = math.ceil(round(longest.value * per_s, 6)) * event_bytes
        message = (
            f"it holds events for up to {held} ({_name(longest)}), but at {Rate(rate)} of {event_bytes} bytes and more "
            f"the {Size(size.value)} of '{topic.name}' ('max-bytes') last for {Duration(round(kept_s, 3))}: a restart "
            f"would miss what was held; raise 'max-bytes' to {Size(needed)} at least"
            f"{_lower(longest)}"
        )
        related = ((size.mark, "so much is kept of a partition"),)
        _tell(draft, streamlet, "window-beyond-retention", longest.option, message, related=related)


# --- window-beyond-memory


def _check_memory(draft: Draft, streamlet: StreamletDraft, hold: Hold, topic: TopicDraft) -> None:
    """Compare what would be held of a partition with what the engine bears, by number, bytes and done ranges."""
    bounds = draft.catalog.bounds
    rate, least = _inflow(draft, topic)
    keys = hold.keys.value if hold.keys is not None else 1
    # The event that fills a window closes it, so one less is held. By time all that come before the first one leaves.
    by_number = math.inf if hold.events is None else keys * (hold.events.value - 1)
    by_time = math.inf
    if rate and hold.longest_s is not None:
        by_time = math.ceil(round(rate / draft.partitions[topic.name] * hold.longest_s.value, 6))
    held = min(by_number, by_time)
    if held == math.inf:
        return
    option, why = _explained(hold, by_number <= by_time, rate)
    event_bytes = hold.event_bytes or least
    early = "there the oldest window is closed early"
    cure = "take a shorter window, or more partitions" if by_time < by_number else "take smaller windows"
    if not is_more(bounds.held_events, held):
        message = (
            f"it may hold {_count(held)} events of a partition ({why}), and {bounds.held_events:,} are the most: "
            f"{early}; {cure}"
        )
        _tell(draft, streamlet, "window-beyond-memory", option, message)
    elif event_bytes and not is_more(bounds.held_bytes, held * event_bytes):
        message = (
            f"it may hold {_count(held)} events of a partition ({why}) of {event_bytes} bytes and more, which is "
            f"{_size(held * event_bytes)}, and {Size(bounds.held_bytes)} are the most: {early}; {cure}"
        )
        _tell(draft, streamlet, "window-beyond-memory", option, message)
    elif hold.events is not None and held == by_number and keys >= MIXED_KEYS:
        ranges = keys * hold.events.value / 6
        if not is_more(bounds.done_ranges, ranges):
            message = (
                f"{_count(keys)} windows of {_count(hold.events.value)} events side by side leave about "
                f"{_count(ranges)} runs of settled events between those that are held, where keys come well mixed, and "
                f"{bounds.done_ranges:,} are the most: {early}; take fewer keys for a partition, or smaller windows"
            )
            _tell(draft, streamlet, "window-beyond-memory", option, message, "warning")


def _explained(hold: Hold, is_by_number: bool, rate: float) -> tuple[OptionPath, str]:
    """Return the option that decides how much is held, and the reckoning in words."""
    if is_by_number:
        assert hold.events is not None
        why = f"{_name(hold.events)} of {_count(hold.events.value)}, less the one that closes a window"
        if hold.keys is not None:
            why += f", for {_count(hold.keys.value)} keys"
        return hold.events.option, why
    assert hold.longest_s is not None
    return (
        hold.longest_s.option,
        f"{_name(hold.longest_s)} of {Duration(hold.longest_s.value)} at {Rate(rate)}",
    )


def _count(number: float) -> str:
    return f"{round(number):,}"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"


# --- wait-beyond-deadline


def _check_deadline(draft: Draft, streamlet: StreamletDraft) -> None:
    """Compare what waits add up to with the deadline: of one try, and of all."""
    deadline, waits = streamlet.needs.deadline_s, streamlet.needs.waits
    if deadline is None:
        return
    once = math.fsum(wait.longest_s.value for wait in waits if not wait.on_retry)
    whole = math.fsum(wait.longest_s.value * wait.times for wait in waits)
    allowed = f"{_name(deadline)} is {Duration(deadline.value)}"
    if is_more(once, deadline.value):
        parts = _and([_part(wait, 1) for wait in waits if not wait.on_retry])
        message = (
            f"an event may take {Duration(once)} at the first try ({parts}), but {allowed}: it would be expired though "
            f"all went well; raise it to {Duration(once)} at least, or lower what is added up"
        )
        _tell(draft, streamlet, "wait-beyond-deadline", deadline.option, message)
    elif is_more(whole, deadline.value):
        parts = _and([_part(wait, wait.times) for wait in waits])
        message = (
            f"the tries may take {Duration(whole)} in all ({parts}), but {allowed}: the last of them would come too "
            f"late to help; raise it to {Duration(whole)}, or allow fewer tries or less time for each"
        )
        _tell(draft, streamlet, "wait-beyond-deadline", deadline.option, message, "warning")


def _part(wait: Wait, times: int) -> str:
    count = f"{times} × " if times > 1 else ""
    return f"{count}{_name(wait.longest_s)} {Duration(wait.longest_s.value)}"


# --- timeout-beyond-poll-interval


def _check_poll_interval(draft: Draft, streamlet: StreamletDraft) -> None:
    """Report synchronous work that may keep the worker from polling for so long that the group drops it."""
    most = draft.catalog.bounds.poll_interval_s
    for wait in streamlet.needs.waits:
        longest = wait.longest_s
        if wait.blocks and is_more(longest.value, most):
            message = (
                f"the worker may stand still for {Duration(longest.value)} ({_name(longest)}), but who does not poll "
                f"for {Duration(most)} is put out of its group: its partitions go to another worker, which would do "
                "the same, for ever; do less at a time, or do it in a child process or a thread"
            )
            _tell(draft, streamlet, "timeout-beyond-poll-interval", longest.option, message)


# --- rate-beyond-capacity


def _check_capacity(draft: Draft, streamlet: StreamletDraft) -> None:
    capacity, promised = streamlet.needs.capacity_per_s, streamlet.needs.promised_per_s
    whole = math.fsum(amount.value for amount in promised)
    if capacity is not None and is_more(whole, capacity.value):
        parts = _and([f"{_name(amount)} {Rate(amount.value)}" for amount in promised])
        message = (
            f"{Rate(whole)} are promised ({parts}), but {_name(capacity)} lets {Rate(capacity.value)} through; raise "
            f"it to {Rate(whole)} at least, or promise less"
        )
        _tell(draft, streamlet, "rate-beyond-capacity", capacity.option, message)
