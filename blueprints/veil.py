"""A veil: text without the secrets that an application knows, however they got into it.

Types keep secrets out of what we write ourselves. A veil is the last line: a server repeats a header in its refusal, a
user's code puts an option into an exception. What passes it names no secret, in none of the usual spellings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
LEAST: Final = 4  # characters; what is shorter stands in every second word, and guards nothing
_LEAST_LINE: Final = 12  # characters of a line of a key file, from which on the line alone is hidden too

_SCHEME = re.compile(r"(Bearer|Basic|Token|ApiKey|Digest)\s+(\S+)", re.IGNORECASE)


class Veil:
    """Takes secrets out of text. Without any it gives the text back as it is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secrets)
        spelt = {way for secret in self._secrets for part in _parts(secret) for way in _spellings(part)}
        longest_first = sorted((way for way in spelt if len(way) >= LEAST), key=lambda way: (-len(way), way))
        self._wide: Veil | None = None
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __repr__(self) -> str:
        return f"<Veil over {len(self._secrets)}>"

    def __call__(self, text: str) -> str:
        """Return the text with `***` for each secret in it."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def over_bytes(self, text: bytes) -> bytes:
        """Return bytes with `***` for each secret in them."""
        if self._pattern is None:
            return text
        if self._wide is None:  # made once: a server that refuses may refuse a hundred times a second
            self._wide = Veil(way.encode(errors="replace").decode("latin-1") for way in self._secrets)
        # Latin-1 gives every byte a character, so what is not UTF-8 comes back as it was.
        return self._wide(text.decode("latin-1")).encode("latin-1")

    def with_more(self, secrets: Iterable[str]) -> Veil:
        """Return a veil over these secrets too."""
        return Veil(self._secrets.union(secrets))


def _parts(secret: str) -> set[str]:
    """Return what of a secret is one by itself: all of it, its lines, what follows a scheme such as Bearer."""
    parts = {secret, secret.strip()}
    parts.update(line.strip() for line in secret.splitlines() if len(line.strip()) >= _LEAST_LINE)
    for scheme, value in _SCHEME.findall(secret):
        parts.add(value)
        if scheme.lower() == "basic":
            parts.update(_of_basic(value))
    return parts


def _of_basic(value: str) -> set[str]:
    try:
        said = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return set()
    return {said, said.partition(":")[2]}


def _spellings(part: str) -> set[str]:
    """Return a secret as messages, JSON and URLs write it."""
    if not part:
        return set()
    try:
        encoded = base64.b64encode(part.encode()).decode()
        urls = {quote(part, safe=""), quote(part), quote_plus(part), encoded}
    except UnicodeEncodeError:  # half a surrogate, out of an environment that is not UTF-8
        urls = set()
    texts = {part, repr(part)[1:-1], json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
    return texts | urls
