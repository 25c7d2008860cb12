"""Safety: what an attacker would look for first."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from blueprints.catalog import OptionProblem
from blueprints.lint.draft import Draft, StreamletDraft
from blueprints.lint.options import report_problem
from blueprints.needs import OptionPath

_NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        needs = streamlet.needs

        def tell(code: str, option: OptionPath, message: str, streamlet: StreamletDraft = streamlet) -> None:
            report_problem(draft, streamlet, OptionProblem(option, code, message))

        for said in needs.unguarded:
            if draft.uses(streamlet.name, said.text):
                message = (
                    f"whoever can write to the topic of '{streamlet.name}.{said.text}' could send every event to a "
                    "server of theirs; list the servers that may be named"
                )
                tell("updates-without-allow-list", said.option, message)
        for said in needs.secrets_to:
            scheme, host = _taken_apart(said.text)
            if scheme == "http" and not is_loopback(host):
                message = f"a secret would go to '{host}' in clear; use https, or leave the secret out"
                tell("plain-http-secret", said.option, message)
        for said in needs.open_listeners:
            host = _host_of(said.text)
            if not is_loopback(host):
                message = (
                    f"anybody who reaches '{said.text}' could call it, for nobody is asked who they are; listen on "
                    "127.0.0.1, or have callers prove themselves"
                )
                tell("open-listener", said.option, message)
        for said in needs.trusted_files:
            if not is_inside(said.text, draft.base_dir):
                message = f"'{said.text}' lies outside the blueprint's folder; copy it into the folder"
                tell("untrusted-path", said.option, message)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine and nothing else, in whatever form it is written."""
    name = host.strip("[]").partition("%")[0].rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # An IPv4 address in one of its older forms, such as 127.1 or 0x7f000001; never a name, so nothing is asked.
        return bool(_NUMBERS.fullmatch(name)) and _first_byte(name) == 127
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _first_byte(name: str) -> int:
    try:
        return socket.inet_aton(name)[0]
    except OSError:
        return 0


def is_inside(place: str, base_dir: Path) -> bool:
    """Return whether a file lies in the blueprint's folder, links followed; what leads nowhere does not."""
    try:
        return (base_dir / place).resolve().is_relative_to(base_dir.resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, a character that no path holds
        return False


def _taken_apart(url: str) -> tuple[str, str]:
    """Return a URL's scheme and host; what cannot be taken apart is reported by who reads it."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname or ""
    except ValueError:
        return "", ""


def _host_of(address: str) -> str:
    """Return the host of an address: of `host:port`, `[::1]:port`, a URL, or a port alone, which is every address."""
    if "://" in address:
        return _taken_apart(address)[1]
    if address.startswith("["):
        return address.partition("]")[0]
    if address.count(":") > 1:  # an IPv6 address without a port
        return address
    host, colon, _ = address.partition(":")
    return host if colon or not host.isdigit() else ""
