"""Dead letters: their topic is theirs alone, and what is in it does not come back to where it failed."""

from __future__ import annotations

from blueprints.lint.draft import Draft, PortUse, StreamletDraft, TopicDraft


def check(draft: Draft) -> None:
    for topic in draft.topics.values():
        if not draft.name or topic.log_name != draft.dead_letters:
            continue
        readers = [use for use in topic.consumers if _comes_back(use)]
        for use in readers:
            _report_loop(draft, topic, use)
        if not readers:
            _report_clash(draft, topic)


def _comes_back(use: PortUse) -> bool:
    """Return whether what an inlet reads and cannot be processed is a dead letter once more."""
    is_stream = use.port is not None and use.port.kind == "stream"
    return is_stream and use.streamlet is not None and not use.streamlet.needs.bounds_cycles


def _report_loop(draft: Draft, topic: TopicDraft, use: PortUse) -> None:
    assert use.streamlet is not None
    fed = [name for name in _downstream(draft, use.streamlet) if name != use.ref.streamlet]
    more = f", and so would those of {', '.join(fed)}, by way of it" if fed else ""
    message = (
        f"'{use.ref}' reads '{topic.log_name}', where the application's dead letters go: its own would come back to it "
        f"for ever{more}; let another application read them, or give 'dead-letters' another topic"
    )
    draft.error(use.mark, "dead-letter-loop", message)


def _report_clash(draft: Draft, topic: TopicDraft) -> None:
    section = draft.top.get("dead-letters")
    other = ((topic.section.mark, "the other one"),)
    if section is not None and section.has("topic"):
        message = f"'{topic.log_name}' is the topic '{topic.name}' already"
        draft.error(section.at("topic"), "topic-name-clash", message, other)
    else:
        mark = topic.section.at("topic") if topic.section.has("topic") else topic.section.mark
        message = f"'{topic.log_name}' is kept for dead letters; choose another name"
        draft.error(mark, "reserved-name", message)


def _downstream(draft: Draft, streamlet: StreamletDraft) -> list[str]:
    """Return the streamlets that an event of this one can reach, itself included, unless they bound cycles."""
    reached = [streamlet.name]
    for name in reached:
        for topic in draft.topics.values():
            if any(use.ref.streamlet == name for use in topic.producers):
                reached += [
                    use.ref.streamlet
                    for use in topic.consumers
                    if _comes_back(use) and use.ref.streamlet not in reached
                ]
    return list(dict.fromkeys(reached))
