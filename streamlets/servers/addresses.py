"""Which URLs out of an event may be called: the allow list, and the check of every address before it is connected to.

A URL that came in an event is somebody's wish. It is taken apart strictly (no other spelling of an address, no
credentials in it), held against the allow list by scheme, host and port, and where the list names no exact host the
address behind the name must be public or in a listed network, *at every new connection*: a name that was checked
once may lead elsewhere the next time.

Source: OWASP API security 2023, API7 (server-side request forgery); WHATWG URL ("ends in a number").
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from streamlets.errors import Rejected

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARACTERS = 2048
DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATTERN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-fA-F:.]+\](/\d+)?|[^\s/:@\[\]?#\\]+(/\d+)?)"
    r"(:(?P<port>\d+|\*))?/?"
)

# IPv6 forms that carry an IPv4 address inside: what they lead to depends on the network, so none is followed.
_CARRIERS = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


class Origin(msgspec.Struct, frozen=True):
    """A URL, taken apart: the host in its one normal form, the port always there, the path without its last slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> Address | None:
        """The host as an address, or None where it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse_url(url: str) -> Origin:
    """Return the parts of a server's URL.

    Raises: Rejected (`bad-url`) for whatever could be read in two ways: other schemes, credentials, addresses that
    are not written as four decimal numbers, names beyond ASCII, control characters, backslashes, queries.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise Rejected(
            f"a URL of {len(url)} characters", code="bad-url", hint=f"at most {MAX_URL_CHARACTERS}"
        )
    if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        raise Rejected("the URL holds characters that a URL may not hold", code="bad-url", hint=_ASCII_HINT)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").lower()
    except ValueError as exc:
        raise Rejected("the URL cannot be taken apart", code="bad-url") from exc
    if parts.scheme not in DEFAULT_PORTS:
        raise Rejected(f"scheme {parts.scheme[:20]!r}", code="bad-url", hint="http and https are spoken")
    if "@" in parts.netloc:
        raise Rejected("the URL holds credentials", code="bad-url", hint="put them into `headers`")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise Rejected("the URL holds a query or a fragment", code="bad-url", hint="end it after the path")
    if not _PATH.fullmatch(parts.path) or ".." in parts.path.split("/"):
        raise Rejected("the URL's path holds unusual characters", code="bad-url")
    if port == 0:
        raise Rejected("port 0", code="bad-url")
    return Origin(
        parts.scheme, _host(host, parts.netloc), port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/")
    )


_ASCII_HINT = "write a name beyond ASCII in its xn-- form"


def _host(host: str, netloc: str) -> str:
    if "[" in netloc:
        try:
            return str(ipaddress.IPv6Address(host if "%" not in host else "zone"))
        except ValueError as exc:
            raise Rejected("the host is no IPv6 address", code="bad-url") from exc
    host = host.removesuffix(".")
    if not host or len(host) > 253 or not _HOST.fullmatch(host):
        raise Rejected("the host is no name and no address", code="bad-url", hint=_ASCII_HINT)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as exc:
            raise Rejected(
                "the host is an address in an unusual form", code="bad-url", hint="write four decimal numbers"
            ) from exc
    return host


class _Pattern(msgspec.Struct, frozen=True):
    scheme: str
    host: str  # an exact name or address, "*", or "*.suffix"; empty where `network` says it
    port: int | None  # None: any
    network: Network | None = None

    def takes(self, scheme: str, port: int) -> bool:
        return self.scheme == scheme and self.port in (None, port)


class AllowList:
    """Which servers an update may name: `http://127.0.0.1:*`, `https://*.models.example.org`, `http://10.0.0.0/8:8000`.

    A pattern is scheme, host and port; without a port it is the scheme's own. The host is exact, `*`, `*.suffix` or a
    network. An exact host may lead anywhere; behind a wildcard only public addresses and the listed networks.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises: ValueError naming the pattern that cannot be read."""
        self._patterns = [_pattern(text) for text in patterns]

    def reach(self, url: str) -> tuple[str, ...] | None:
        """Return what `ServerSpec.reach` is to be for an admitted URL.

        Raises: Rejected (`bad-url`, `not-allowed`).
        """
        origin = parse_url(url)
        address = origin.address
        networks: list[str] = []
        is_admitted = False
        for pattern in self._patterns:
            if not pattern.takes(origin.scheme, origin.port):
                continue
            if pattern.network is not None:
                if address is not None and address in pattern.network:
                    return None
                networks.append(str(pattern.network))
            elif pattern.host == origin.host:
                return None
            elif pattern.host == "*":
                is_admitted = True
            elif pattern.host.startswith("*.") and address is None:
                is_admitted = is_admitted or origin.host.endswith(pattern.host[1:])
        if not is_admitted:
            raise Rejected(
                f"{origin.scheme}://{origin.host}:{origin.port} is not on the allow list",
                code="not-allowed",
                hint="add it to `updates.allow`",
            )
        if address is not None:
            check_address(str(address), tuple(networks))
        return tuple(networks)


def _pattern(text: str) -> _Pattern:
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no pattern; write scheme://host:port, like http://127.0.0.1:*")
    scheme, host, port_text = found["scheme"], found["host"].lower(), found["port"]
    port = None if port_text == "*" else int(port_text) if port_text else DEFAULT_PORTS[scheme]
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{text!r}: there is no port {port}")
    if "/" in host:
        try:
            return _Pattern(scheme, "", port, ipaddress.ip_network(host.replace("[", "").replace("]", "")))
        except ValueError as exc:
            raise ValueError(f"{text!r}: {exc}") from exc
    if host == "*" or (host.startswith("*.") and _HOST.fullmatch(host[2:])):
        return _Pattern(scheme, host, port)
    try:
        return _Pattern(scheme, parse_url(f"{scheme}://{host}").host, port)
    except Rejected as exc:
        raise ValueError(f"{text!r}: {exc}") from exc


def check_address(address: str, reach: tuple[str, ...]) -> None:
    """Return when this address may be connected to: it is public, or in one of the networks `reach`.

    Raises: Rejected (`not-allowed`).
    """
    found: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if is_public(found) or any(found in ipaddress.ip_network(network) for network in reach):
        return
    raise Rejected(
        "the name leads to an address that is neither public nor on the allow list",
        code="not-allowed",
        hint="list its network, like http://10.0.0.0/8:8000",
    )


def is_public(address: Address) -> bool:
    """Return whether the address is one of the public internet, and nothing that stands for another one."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or any(address in carrier for carrier in _CARRIERS)
    ):
        return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_private
        or address.is_unspecified
    )


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = ("content-length", "transfer-encoding", "connection", "content-type", "host")


def header_problem(name: str, value: str) -> str:
    """Return why a header cannot be sent, or nothing; its value is not in the answer."""
    if not _HEADER_NAME.fullmatch(name):
        return f"no header can be called {name[:40]!r}"
    if name.lower() in _OWN_HEADERS:
        return f"the header {name!r} is the client's own; leave it out"
    if any(char in value for char in "\r\n\0") or not value.isascii():
        return f"the value of the header {name!r} has characters that cannot be sent"
    return ""
