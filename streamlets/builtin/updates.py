"""Model updates: the event that changes where a model is, and the events that say what became of it.

An update is an event of type `streamlets.model.update` on a compacted topic, keyed `model@version`, subject = model.
Its data (JSON):

    model, version    what is served from now on
    epoch             a whole number; an update counts only if it is newer than what is present
    servers           URLs, or objects { url, path, timeout, weight }
    protocol          v2 (default: the blueprint's) or onnx
    strategy          blue-green (default)
    golden            [{ event: {field: value}, prediction: {field: value}, tolerance: 0.0001 }], asked before it counts
    digest            sha256:… of the file, with onnx
    origin            where the model comes from (run, data set, metrics, owner, commit): recorded, not read

What becomes of it are events of type `streamlets.model.status`, subject = model, key `model@version`. Their data:

    step              received, rejected, validated, applied
    update            the id of the update's event
    model, version, epoch, servers, origin
    code, reason      of a rejection
    topic, partition, offset   of `applied`: the first delivery that was scored so
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import orjson

from blueprints.units import Duration, UnitError
from streamlets.errors import Rejected
from streamlets.event import Event
from streamlets.ports import Emit

UPDATE_TYPE = "streamlets.model.update"
STATUS_TYPE = "streamlets.model.status"
STRATEGIES = ("blue-green",)
STRATEGIES_NOT_YET = ("canary", "pinned", "shadow", "ab", "bandit")
MAX_SERVERS = 100
MAX_GOLDEN = 100


class UpdateServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server as an update names it. It has no headers: credentials do not belong into events."""

    url: str
    path: str = ""
    timeout: str | None = None
    weight: float = 1.0


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event and what the model has to say of it, within `tolerance` for numbers."""

    event: dict[str, Any]
    prediction: dict[str, Any]
    tolerance: float = 1e-4


class Update(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An update's data."""

    model: str
    version: str
    servers: list[str | UpdateServer]
    epoch: int
    protocol: str | None = None
    strategy: str = "blue-green"
    share: Any = None
    guard: Any = None
    golden: list[Golden] = []
    digest: str | None = None
    origin: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """The key of its event in the topic."""
        return f"{self.model}@{self.version}"

    def places(self) -> tuple[UpdateServer, ...]:
        """Return its servers, all as objects."""
        return tuple(UpdateServer(s) if isinstance(s, str) else s for s in self.servers)

    def urls(self) -> list[str]:
        """Return its servers' URLs as they may be shown."""
        return [shown(place.url) for place in self.places()]


def shown(url: str) -> str:
    """Return a URL without what may be a secret in it: an update may say anything, also what is then refused."""
    head, hides, _ = url.partition("?")
    return _USER.sub("//***@", head) + ("?***" if hides else "")


_USER = re.compile(r"//[^/@]*@")

_DECODER = msgspec.json.Decoder(Update)


class _Names(msgspec.Struct):
    model: str | None = None
    version: str | None = None
    epoch: int | None = None


def model_of(event: Event) -> str | None:
    """Return the model that an update is about, or None where it does not say."""
    if event.subject is not None:
        return event.subject
    try:
        return msgspec.json.decode(event.data or b"", type=_Names).model
    except msgspec.DecodeError:
        return None


def read_update(event: Event) -> Update:
    """Return the update of an event. Raises: Rejected (`bad-update`, `not-built-yet`), naming the field."""
    if event.type != UPDATE_TYPE:
        raise Rejected(f"an event of type {event.type[:80]!r} is no update", code="bad-update")
    try:
        update = _DECODER.decode(event.data or b"")
    except msgspec.ValidationError as exc:
        raise Rejected(str(exc), code="bad-update") from exc
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise Rejected("the update's data is no JSON", code="bad-update") from exc
    if update.strategy not in STRATEGIES:
        is_known = update.strategy in STRATEGIES_NOT_YET
        raise Rejected(
            f"strategy {update.strategy[:40]!r} is " + ("not built yet" if is_known else "not known"),
            code="not-built-yet" if is_known else "bad-update",
            hint="use blue-green",
        )
    for name in ("share", "guard"):
        if getattr(update, name) is not None:
            raise Rejected(f"'{name}' is not built yet: a blue-green update takes all", code="not-built-yet")
    if not update.model or not update.version or update.epoch < 1:
        raise Rejected("model and version need a name, and epoch is at least 1", code="bad-update")
    if not 0 < len(update.servers) <= MAX_SERVERS or len(update.golden) > MAX_GOLDEN:
        raise Rejected(
            f"an update names 1 to {MAX_SERVERS} servers and at most {MAX_GOLDEN} golden events",
            code="bad-update",
        )
    for place in update.places():
        seconds(place.timeout)
        if not 0 < place.weight <= 1000:
            raise Rejected("a server's weight is above 0 and at most 1000", code="bad-update")
    return update


def seconds(timeout: str | None) -> float | None:
    """Return a timeout in seconds. Raises: Rejected (`bad-update`)."""
    if timeout is None:
        return None
    try:
        found = float(Duration(timeout))
    except UnitError as exc:
        raise Rejected(f"a server's timeout: {exc}", code="bad-update") from exc
    if not 0.0 < found <= 600.0:
        raise Rejected("a server's timeout is above 0s and at most 10m", code="bad-update")
    return found


def update_event(update: Update, source: str, event_id: str, time: str) -> Event:
    """Return the event that carries an update."""
    return Event(
        id=event_id,
        source=source,
        type=UPDATE_TYPE,
        subject=update.model,
        time=time,
        datacontenttype="application/json",
        data=orjson.dumps(msgspec.to_builtins(update)),
        key=update.key.encode(),
    )


class Status(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of an update: the data of a status event."""

    step: str
    update: str
    model: str
    version: str | None = None
    epoch: int | None = None
    servers: list[str] = []
    code: str | None = None
    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    origin: dict[str, Any] = {}


def status_emit(
    status: Status, streamlet: str, scope: str, *, parent: int = -1, time: str | None = None
) -> Emit:
    """Return the emit of a status event.

    Its id is derived from update, step, streamlet and `scope`, which says whose step it is.
    """
    text = f"{status.update}\0{status.step}\0{streamlet}\0{scope}"
    return Emit(
        port="status",
        data=msgspec.json.encode(status),
        parent=parent,
        id=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        type=STATUS_TYPE,
        subject=status.model,
        time=time,
        key=f"{status.model}@{status.version}".encode(),
    )
