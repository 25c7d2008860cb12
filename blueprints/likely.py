"""What is likely a secret where no type says so: by the name that it has, or by its shape.

Held to what is nearly certain. A name alone says nothing where the value is a word (`inputs: { token: user_token }`),
and a shape alone only where nothing else looks so.
"""

from __future__ import annotations

import re
from typing import Final

GAP: Final = "\0"
"""Stands, in what is looked at here, for a variable without a default: what comes from outside is not in clear."""

_CREDENTIALS = re.compile(r"://(?P<user>[^/\s:@\0]*):(?P<secret>[^/\s@\0]+)@")
_USER_ONLY = re.compile(r"://(?P<secret>[A-Za-z0-9_\-]{16,})@")

# The last words of a name that say what it holds; `token_url`, `max_tokens` and `secret_name` hold something else.
_NAMES = re.compile(
    r"(?:^|[._\- ]|(?<=[a-z0-9])(?=[A-Z]))"
    r"(password|passwd|passphrase|pwd|secret|token|api[_\-]?key|access[_\-]?key|secret[_\-]?key|private[_\-]?key"
    r"|account[_\-]?key|signing[_\-]?key|encryption[_\-]?key|credentials?|authorization|jaas[._\-]config"
    r"|secret[_\-]?access[_\-]?key|x-api-key|auth)$",
    re.IGNORECASE,
)

# In a URL's query or a connection string, up to the next separator. `==` compares, so it is no assignment.
_QUERY = re.compile(
    r"[?&;](?:password|passwd|pwd|secret|client_secret|token|access_token|refresh_token|id_token|auth_token"
    r"|api[_-]?key|apikey|sig|signature|x-amz-signature|x-amz-security-token|sharedaccesskey|accountkey)"
    r"=(?P<secret>[^&\s#\0;\"']{4,})",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?:^|[\s;,])(?:password|passwd|pwd|client_secret|sasl\.password|secret_access_key|sharedaccesskey|accountkey)"
    r"\s?=(?!=)\s?(?P<secret>\"[^\"\0]{3,}\"|'[^'\0]{3,}'|[^\s;,\"'&\0=][^\s;,\"'&\0]{2,})",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"^\s*(?:bearer|basic|token|apikey)\s+(?P<secret>[A-Za-z0-9._~+/=\-]{8,})\s*$", re.I)

# Forms that issuers give their keys so that they can be found.
_ISSUED = re.compile(
    r"\b(?P<secret>"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS access key id
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}"  # GitHub
    r"|glpat-[A-Za-z0-9_\-]{20,}"  # GitLab
    r"|xox[abprs]-[A-Za-z0-9\-]{10,}"  # Slack
    r"|hf_[A-Za-z]{30,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_\-]{20,}"  # OpenAI, Anthropic
    r"|AIza[0-9A-Za-z_\-]{35}"  # Google
    r"|eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"  # a JSON Web Token
    r")"
)
_KEY_FILE = re.compile(r"(?P<secret>-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*)")

_WORD = re.compile(
    r"[A-Za-z]+(?:[_.\- ][A-Za-z]+)*[_\d]?\d?$"  # words, with a number at the end
    r"|[a-z][a-z0-9]*(?:[_.][a-z][a-z0-9]*)+$"  # names of fields, with numbers in them
)
_PLACE = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*://|\.{0,2}/|~/|[A-Za-z]:\\)")


def is_secret_name(name: str) -> bool:
    """Return whether a name says that it holds a secret: `password`, `api-key`, `sasl.password`, `AuthToken`."""
    return bool(_NAMES.search(name.strip()))


def found_in(text: str) -> list[str]:
    """Return the parts of a text that are secrets by their shape; GAP in the text is what is not in clear."""
    found = [
        match["secret"].strip("\"'")
        for pattern in (_CREDENTIALS, _QUERY, _ASSIGNED, _ISSUED, _KEY_FILE)
        for match in pattern.finditer(text)
    ]
    found += [match["secret"] for match in _USER_ONLY.finditer(text) if _is_mixed(match["secret"])]
    if (match := _SCHEME.match(text)) and _is_mixed(match["secret"]):
        found.append(match["secret"])
    return found


def found_under(name: str, text: str, is_setting: bool = False) -> list[str]:
    """Return the parts of a text that are secrets because of the name that it has.

    `is_setting`: the name is that of a setting of somebody else's (a Kafka topic, a pod's environment), never that of
    a field or a tensor, so that any text below it is what the name says.
    """
    if not is_secret_name(name):
        return []
    value = text.strip()
    after = value.partition(" ")[2].strip() if _is_header(name) else ""
    if after and GAP not in after:
        value = after  # Authorization: <scheme> <credentials>
    if not value or GAP in value or _PLACE.match(value) or value.lower() in _NOTHING:
        return []
    if is_setting:
        return [value]
    if " " in value or len(value) < 6 or _WORD.match(value) or not _is_mixed(value):
        return []
    return [value]


_NOTHING = frozenset({"true", "false", "none", "null", "0", "1"})


def _is_header(name: str) -> bool:
    return name.strip().lower().endswith("authorization")


def _is_mixed(text: str) -> bool:
    """Return whether letters and digits or signs stand mixed, as in a password, and not as in an expression."""
    if re.search(r"[()\[\]<>{}]|==|&&|\|\|", text):
        return False
    kinds = [
        bool(re.search(kind, text)) for kind in (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9_.\-/:,=+@ ]")
    ]
    return sum(kinds) >= 2 and (kinds[2] or kinds[3] or bool(re.search(r"[a-z][A-Z].*[a-z][A-Z]", text)))
