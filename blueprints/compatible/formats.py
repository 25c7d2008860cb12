"""Formats of text: examples of each, how long they are, and which are special cases of others.

A format is a demand here, because contracts check it (where a validator knows it).
"""

from __future__ import annotations

# Notes for people, which no validator checks; any text has them.
UNCHECKED = frozenset(["binary", "byte", "password", "path", "int32", "int64", "float", "double", "decimal"])

_WIDER = {
    "email": ("idn-email",),
    "hostname": ("idn-hostname",),
    "uri": ("uri-reference", "iri", "iri-reference"),
    "uri-reference": ("iri-reference",),
    "iri": ("iri-reference",),
    **{f"uuid{version}": ("uuid",) for version in range(1, 9)},
}

EXAMPLES: dict[str, tuple[str, ...]] = {
    "date-time": ("2020-01-01T00:00:00Z", "2020-01-01T12:30:00.5+01:00"),
    "date": ("2020-01-01",),
    "time": ("00:00:00Z", "12:30:00.5+01:00"),
    "duration": ("P1D", "PT1H30M"),
    "uuid": ("00000000-0000-4000-8000-000000000000", "00000000-0000-1000-8000-000000000000"),
    "email": ("a@example.org",),
    "idn-email": ("é@example.org", "a@example.org"),
    "hostname": ("example.org", "a"),
    "idn-hostname": ("例え.jp", "example.org"),
    "ipv4": ("192.0.2.1",),
    "ipv6": ("2001:db8::1", "::"),
    "uri": ("https://example.org/a", "urn:a"),
    "uri-reference": ("a", "", "https://example.org/a"),
    "iri": ("https://example.org/é", "urn:a"),
    "iri-reference": ("é", "", "a"),
    "uri-template": ("a{b}", "", "a"),
    "json-pointer": ("/a", ""),
    "relative-json-pointer": ("0", "1/a"),
    "regex": ("a", ""),
}

# Characters at least and at most.
LENGTHS: dict[str, tuple[int, int | None]] = {
    "date-time": (20, None),
    "date": (10, 10),
    "time": (9, None),
    "duration": (3, None),
    "uuid": (36, 36),
    "email": (3, None),
    "idn-email": (3, None),
    "hostname": (1, None),
    "idn-hostname": (1, None),
    "ipv4": (7, 15),
    "ipv6": (2, 45),
    "uri": (2, None),
    "iri": (2, None),
    "relative-json-pointer": (1, None),
}


def implies(narrow: str, wide: str) -> bool:
    """Return whether every text of one format is of another."""
    return narrow == wide or wide in _WIDER.get(narrow, ())
