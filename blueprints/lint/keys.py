"""Keys: what must meet in one partition is keyed so that it does."""

from __future__ import annotations

from blueprints.catalog import OptionProblem
from blueprints.expressions import same_key
from blueprints.lint.draft import Draft, StreamletDraft, TopicDraft
from blueprints.lint.options import report_problem
from blueprints.needs import Keyed


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        for keyed in streamlet.needs.keyed:
            for topic, _ in draft.uses(streamlet.name, keyed.inlet):
                _check(draft, streamlet, keyed, topic)


def _check(draft: Draft, streamlet: StreamletDraft, keyed: Keyed, topic: TopicDraft) -> None:
    count = draft.known_partitions(topic)
    if count == 1 or topic.section.is_wrong("key"):
        return  # everything meets in one partition
    key = topic.section.get("key")
    if key is None:
        if count is not None and not _is_taken_over(draft, keyed.by, topic, {topic.name}):
            message = (
                f"what has the same '{keyed.by}' must meet in one partition, and '{topic.name}' has {count} and no "
                f"key; write 'key: {keyed.by}' there"
            )
            report_problem(draft, streamlet, OptionProblem(keyed.option, "key-differs", message, "warning"))
    elif not same_key(keyed.by, key):
        message = (
            f"what has the same '{keyed.by}' must meet in one partition, but '{topic.name}' is keyed by '{key}'; "
            f"key it by '{keyed.by}', or a topic made from it"
        )
        related = ((topic.section.at("key"), "keyed here"),)
        report_problem(draft, streamlet, OptionProblem(keyed.option, "key-differs", message), related=related)


def _is_taken_over(draft: Draft, by: str, topic: TopicDraft, seen: set[str]) -> bool:
    """Return whether every producer of a topic reads what is keyed so: without a key of its own an event keeps it."""
    for use in topic.producers:
        reads = draft.streams(use.streamlet) if use.streamlet is not None else []
        if not reads:
            return False
        for source, _ in reads:
            key = source.section.get("key")
            if key is None and source.name not in seen:
                if not _is_taken_over(draft, by, source, seen | {source.name}):
                    return False
            elif key is None or not same_key(by, key):
                return False
    return bool(topic.producers)
