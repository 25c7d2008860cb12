"""Topics: who fills and reads them, and settings that contradict each other."""

from __future__ import annotations

from typing import Final

from blueprints import respell
from blueprints.fields import Section
from blueprints.lint.draft import Draft, TopicDraft
from blueprints.lint.kafka_topics import problem_of
from blueprints.suggest import did_you_mean

_SET_BY: Final = {
    "cleanup.policy": "compacted",
    "retention.ms": "retention",
    "retention.bytes": "max-bytes",
}
"""Settings of a Kafka topic that a field of the language gives."""


def check(draft: Draft) -> None:
    defaults: Section | None = draft.top.get("defaults")
    for topic in draft.topics.values():
        _check_ends(draft, topic)
        _check_config(draft, topic.section, defaults)
        _check_contract_name(draft, topic)
    if defaults is not None:
        _check_config(draft, defaults, None)


def _check_ends(draft: Draft, topic: TopicDraft) -> None:
    mark = topic.section.mark
    section = topic.section
    if topic.is_external or section.is_wrong("external"):
        return
    if not topic.producers and not section.is_wrong("producers"):
        message = (
            f"nothing writes to '{topic.name}'; name a producer, or write 'external: true' if others fill it"
        )
        draft.error(mark, "no-producer", message)
    if not topic.consumers and not section.is_wrong("consumers"):
        message = f"nobody reads '{topic.name}'; name a consumer, or write 'external: true' if others read it"
        draft.warning(mark, "no-consumer", message)


def _check_config(draft: Draft, section: Section, defaults: Section | None) -> None:
    inherited = defaults.get("config", {}) if defaults is not None else {}
    for name, field in _SET_BY.items():
        if name in inherited and section.has(field):
            message = f"'{field}' sets '{name}', which 'defaults' has under 'config'; leave it to one of them"
            draft.error(section.key(field), "conflicting-settings", message)
    for name, (value, key_mark, value_mark) in section.get("config", {}).items():
        field = _SET_BY.get(name, "")
        given = section.has(field) or (defaults is not None and defaults.has(field))
        if given or field == "compacted":
            message = f"'{name}' is what '{field}' sets; leave it to that field"
            draft.error(key_mark, "conflicting-settings", message)
            continue
        problem = problem_of(name, value)
        if problem is None:
            continue
        is_name, message = problem
        fix = None
        if is_name:
            from blueprints.lint.kafka_topics import SETTINGS

            message += did_you_mean(name, SETTINGS)
            fix = respell.name(key_mark, name, SETTINGS, is_key=True)
        draft.error(key_mark if is_name else value_mark, "bad-topic-config", message, fix=fix)


def _check_contract_name(draft: Draft, topic: TopicDraft) -> None:
    wanted = topic.section.get("contract")
    known = draft.top.get("contracts", {})
    declared = draft.top.node.get("contracts")
    names = set(known) | set(getattr(declared, "entries", {}))
    if wanted is not None and wanted not in names:
        hint = did_you_mean(wanted, names) or "; name it under 'contracts'"
        fix = respell.name(topic.section.at("contract"), wanted, names)
        draft.error(
            topic.section.at("contract"), "bad-value", f"there is no contract '{wanted}'{hint}", fix=fix
        )
