"""What a Kafka topic can be set to: the names, and the values that a broker would refuse.

Source: Apache Kafka 4.1, topic-level configuration.
"""

from __future__ import annotations

from typing import Final

_FLAG: Final = ("true", "false")
_WHOLE: Final = ()

SETTINGS: Final[dict[str, tuple[str, ...] | tuple[int, float]]] = {
    "cleanup.policy": ("compact", "delete", "compact,delete", "delete,compact"),
    "compression.gzip.level": (-1, 9),
    "compression.lz4.level": (1, 17),
    "compression.type": ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    "compression.zstd.level": (-131072, 22),
    "delete.retention.ms": (0, 2**63 - 1),
    "file.delete.delay.ms": (0, 2**63 - 1),
    "flush.messages": (1, 2**63 - 1),
    "flush.ms": (0, 2**63 - 1),
    "follower.replication.throttled.replicas": _WHOLE,
    "index.interval.bytes": (0, 2**31 - 1),
    "leader.replication.throttled.replicas": _WHOLE,
    "local.retention.bytes": (-2, 2**63 - 1),
    "local.retention.ms": (-2, 2**63 - 1),
    "max.compaction.lag.ms": (1, 2**63 - 1),
    "max.message.bytes": (0, 2**31 - 1),
    "message.timestamp.after.max.ms": (0, 2**63 - 1),
    "message.timestamp.before.max.ms": (0, 2**63 - 1),
    "message.timestamp.type": ("CreateTime", "LogAppendTime"),
    "min.cleanable.dirty.ratio": (0, 1.0),
    "min.compaction.lag.ms": (0, 2**63 - 1),
    "min.insync.replicas": (1, 2**31 - 1),
    "preallocate": _FLAG,
    "remote.log.copy.disable": _FLAG,
    "remote.log.delete.on.disable": _FLAG,
    "remote.storage.enable": _FLAG,
    "retention.bytes": (-1, 2**63 - 1),
    "retention.ms": (-1, 2**63 - 1),
    "segment.bytes": (1024 * 1024, 2**31 - 1),
    "segment.index.bytes": (4, 2**31 - 1),
    "segment.jitter.ms": (0, 2**63 - 1),
    "segment.ms": (1, 2**63 - 1),
    "unclean.leader.election.enable": _FLAG,
}
"""Words that are allowed, or the least and the greatest number; nothing: any text."""


def problem_of(name: str, value: str) -> tuple[bool, str] | None:
    """Return what a broker would refuse, and whether it is the name; None when it would take the setting."""
    allowed = SETTINGS.get(name)
    if allowed is None:
        return True, f"a Kafka topic has no setting '{name}'"
    if not allowed:
        return None
    if isinstance(allowed[0], str):
        if value not in allowed:
            return False, f"'{name}' must be {' or '.join(map(str, allowed))}"
        return None
    least, greatest = float(allowed[0]), float(allowed[1])
    try:
        number = float(value) if isinstance(allowed[1], float) else int(value)
    except ValueError:
        return False, f"'{name}' must be a number"
    if not least <= number <= greatest:
        return False, f"'{name}' must lie between {allowed[0]} and {allowed[1]}"
    return None
