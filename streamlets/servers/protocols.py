"""The protocols that model servers are spoken to in, by the name that a blueprint gives them."""

from __future__ import annotations

from importlib import import_module

from streamlets.errors import Fatal
from streamlets.inference import ModelServer, ServerSpec

PROTOCOLS = {
    "v2": "streamlets.servers.v2:V2Server",
    "onnx": "streamlets.servers.onnx:OnnxServer",
}


def open_server(protocol: str, spec: ServerSpec) -> ModelServer:
    """Return a client of one model server; nothing is connected yet.

    Raises: Fatal for an unknown protocol, a URL or header that cannot be used, an extra that is not installed.
    """
    place = PROTOCOLS.get(protocol)
    if place is None:
        raise Fatal(
            f"protocol {protocol!r} is not known",
            code="bad-option",
            hint=f"there are {', '.join(sorted(PROTOCOLS))}",
        )
    module, _, name = place.partition(":")
    server: ModelServer = getattr(import_module(module), name)(spec)
    return server
