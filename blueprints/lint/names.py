"""Names: of the application, its streamlets, contracts and topics, here and in the log."""

from __future__ import annotations

import re

from blueprints.lint.draft import Draft, TopicDraft

MAX_TOPIC_NAME = 249  # Kafka's limit: the name is a folder on disk, with a suffix, and 255 bytes is the most

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]+\Z")


def check(draft: Draft) -> None:
    if draft.name and (problem := bad_label("the application's name", draft.name)):
        draft.error(draft.top.at("name"), "bad-name", problem)
    if not _TOPIC.match(draft.prefix or "none") or draft.prefix.startswith("."):
        draft.error(
            draft.top.at("prefix" if draft.top.has("prefix") else "name"),
            "bad-topic-name",
            _bad(draft.prefix),
        )
    for name, streamlet in draft.streamlets.items():
        if problem := bad_label("a streamlet's name", name):
            draft.error(streamlet.section.mark, "bad-name", problem)
    for name, section in draft.top.get("contracts", {}).items():
        if not _TOPIC.match(name):
            message = f"a contract's name has letters, digits, '.', '_' and '-' only, not '{name[:80]}'"
            draft.error(section.mark, "bad-name", message)
    for topic in draft.topics.values():
        _check_topic_name(draft, topic)
    _check_dead_letters(draft)
    _check_reserved(draft)
    _check_clashes(draft)


def _check_dead_letters(draft: Draft) -> None:
    section = draft.top.get("dead-letters")
    name = section.get("topic") if section is not None else None
    if name is None:
        return
    if name in (".", "..") or not _TOPIC.match(name):
        draft.error(section.at("topic"), "bad-topic-name", _bad(name))
    elif len(name) > MAX_TOPIC_NAME:
        message = f"the name in the log has {len(name)} characters; at most {MAX_TOPIC_NAME} are allowed"
        draft.error(section.at("topic"), "bad-topic-name", message)


def bad_label(what: str, name: str) -> str:
    """Return why a name is no DNS label and what would be one, or nothing when it is one."""
    if _LABEL.match(name):
        return ""
    fixed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    hint = f"; '{fixed}' would do" if fixed and fixed != name else ""
    return f"{what} is a DNS label of at most 63 small letters, digits and '-', not '{name[:80]}'{hint}"


def _bad(name: str) -> str:
    return f"a topic's name in the log has letters, digits, '.', '_' and '-' only, not '{name[:80]}'"


def _check_topic_name(draft: Draft, topic: TopicDraft) -> None:
    mark = topic.section.at("topic") if topic.section.has("topic") else topic.section.mark
    name = topic.log_name
    own = name.removeprefix(draft.prefix)
    if own in (".", "..", ""):
        draft.error(mark, "bad-topic-name", f"a topic cannot be called '{own}'")
    elif not _TOPIC.match(own):
        draft.error(mark, "bad-topic-name", _bad(own))
    elif len(name) > MAX_TOPIC_NAME:
        message = f"the name in the log has {len(name)} characters; at most {MAX_TOPIC_NAME} are allowed"
        draft.error(mark, "bad-topic-name", message)


def _reserved(draft: Draft) -> dict[str, str]:
    """Return the names in the log that the framework keeps for itself, and what for."""
    reserved = {
        f"{draft.name}.dead-letters": "dead letters",
        f"{draft.name}.status": "status events",
        f"{draft.name}.workers": "the workers' snapshots",
    }
    for name in draft.streamlets:
        reserved[f"{draft.name}.{name}.state"] = f"the small state of {name}"
        reserved[f"{draft.name}.{name}.panes"] = f"the windows of {name}"
    return reserved


def _check_reserved(draft: Draft) -> None:
    if not draft.name:
        return
    reserved = _reserved(draft)
    for topic in draft.topics.values():
        if (
            topic.log_name in reserved and topic.log_name != draft.dead_letters
        ):  # that one: see dead_letters.py
            mark = topic.section.at("topic") if topic.section.has("topic") else topic.section.mark
            purpose = reserved[topic.log_name]
            draft.error(
                mark, "reserved-name", f"'{topic.log_name}' is kept for {purpose}; choose another name"
            )


def _check_clashes(draft: Draft) -> None:
    taken: dict[str, TopicDraft] = {}
    for topic in draft.topics.values():
        folded = topic.log_name.replace(".", "_")  # Kafka's metrics cannot tell the two apart
        first = taken.setdefault(folded, topic)
        if first is topic:
            continue
        mark = topic.section.at("topic") if topic.section.has("topic") else topic.section.mark
        if first.log_name == topic.log_name:
            message = f"'{topic.name}' and '{first.name}' are both '{topic.log_name}' in the log"
        else:
            message = (
                f"'{topic.log_name}' and '{first.log_name}' differ in '.' and '_' only, which Kafka confuses"
            )
        draft.error(mark, "topic-name-clash", message, ((first.section.mark, "the other one"),))
