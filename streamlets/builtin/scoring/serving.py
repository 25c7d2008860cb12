"""What a partition is scored with: a few words in its small state, from which everything else can be opened again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamlets.builtin.scoring.options import ScoreOptions
from streamlets.builtin.updates import Update, UpdateServer, seconds
from streamlets.errors import Rejected
from streamlets.inference import ServerSpec
from streamlets.servers.addresses import AllowList, Origin, parse_url

FILE = "file:"


class Serving(msgspec.Struct, frozen=True):
    """Model, version and servers, with the epoch that orders them. Epoch 0 is what the blueprint says."""

    epoch: int
    model: str
    version: str | None
    protocol: str
    servers: tuple[UpdateServer, ...]
    update: str | None = None

    def to_state(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @staticmethod
    def from_state(value: Any) -> Serving:
        return msgspec.convert(value, Serving)

    @staticmethod
    def of(update: Update, update_id: str, protocol: str) -> Serving:
        """Return what an update asks for; `protocol` where it names none."""
        return Serving(
            update.epoch,
            update.model,
            update.version,
            update.protocol or protocol,
            update.places(),
            update_id,
        )


class Places:
    """Turns servings into the addresses to call: the blueprint's own, and what the allow list admits."""

    def __init__(self, options: ScoreOptions, base_dir: Path) -> None:
        self._options = options
        self._base_dir = base_dir
        allow = options.updates.allow
        self._allowed = AllowList([pattern for pattern in allow if not pattern.startswith(FILE)])
        self._folders = [
            base_dir / pattern.removeprefix(FILE) for pattern in allow if pattern.startswith(FILE)
        ]
        self._own: dict[tuple[str, str, int], Mapping[str, str]] = {}
        if options.protocol == "v2":
            for spec in self.blueprint():
                self._own[_place(parse_url(spec.url))] = spec.headers

    def initial(self) -> Serving:
        """Return the blueprint's serving."""
        options = self._options
        servers = tuple(UpdateServer(s if isinstance(s, str) else s.url) for s in options.servers)
        return Serving(0, options.model, options.version, options.protocol, servers)

    def blueprint(self) -> list[ServerSpec]:
        """Return the blueprint's servers."""
        options = self._options
        specs = []
        for server in options.servers:
            if isinstance(server, str):
                specs.append(ServerSpec(url=self._url(server, options.protocol), timeout_s=options.timeout))
                continue
            specs.append(
                ServerSpec(
                    url=self._url(server.url, options.protocol),
                    headers={name: value.get_secret_value() for name, value in server.headers.items()},
                    path=server.path,
                    timeout_s=options.timeout if server.timeout is None else server.timeout,
                    weight=server.weight,
                )
            )
        return specs

    def _url(self, url: str, protocol: str) -> str:
        return str(self._base_dir / url) if protocol == "onnx" else url

    def specs(self, serving: Serving) -> list[ServerSpec]:
        """Return the servers of a serving. Raises: Rejected (`not-allowed`, `bad-url`, …) for what may not be called.

        The blueprint's headers go to the blueprint's own servers only.
        """
        if serving.epoch == 0:
            return self.blueprint()
        specs = []
        for place in serving.servers:
            timeout_s = seconds(place.timeout) or self._options.timeout
            if serving.protocol == "onnx":
                specs.append(
                    ServerSpec(url=str(self._file(place.url)), timeout_s=timeout_s, weight=place.weight)
                )
                continue
            origin = parse_url(place.url)
            headers = self._own.get(_place(origin))
            reach = None if headers is not None else self._allowed.reach(place.url)
            specs.append(
                ServerSpec(
                    url=place.url,
                    headers=dict(headers or {}),
                    path=place.path,
                    timeout_s=timeout_s,
                    weight=place.weight,
                    reach=reach,
                )
            )
        return specs

    def _file(self, path: str) -> Path:
        """Return the file that an update names, links followed: it must lie in an allowed folder."""
        found = (self._base_dir / path).resolve()
        if not any(found.is_relative_to(folder.resolve()) for folder in self._folders):
            raise Rejected(
                f"the file {path[:200]!r} is in no allowed folder",
                code="not-allowed",
                hint="add `file:FOLDER` to `updates.allow`",
            )
        return found


def _place(origin: Origin) -> tuple[str, str, int]:
    return origin.scheme, origin.host, origin.port
