"""A lean HTTP/1.1 client for model calls: asyncio's transports, httptools' parser, kept connections, and bounds.

A call costs tens of microseconds instead of hundreds, which at a hundred rows a call is a good part of what a scored
event costs. It does what model calls need and no more: no redirects, no cookies, no proxies from the environment, no
compression, no pipelining.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import cast

import httptools
import msgspec

from blueprints.veil import Veil
from streamlets.errors import Broken, Fatal, Rejected, Unavailable
from streamlets.servers.addresses import Origin, check_address, header_problem

MAX_BODY_BYTES = (
    32 * 1024 * 1024
)  # answers: 128 rows of 1,000 doubles as text are 2.5 MB; more is a mistake or malice
MAX_HEADER_BYTES = 64 * 1024  # as most servers limit what they take themselves
MAX_IDLE = 64  # kept connections of one client; more than any sensible number of calls in flight
CONNECT_TIMEOUT_S = 3.0  # a SYN that is lost is sent again after 1 s; who has not answered by 3 s is away


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, the whole body, and the wait that the server asked for, if it did."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class Lost(Exception):
    """The connection broke before the answer was whole. `received`: whether anything of it had come."""

    def __init__(self, received: bool) -> None:
        super().__init__("connection lost")
        self.received = received


class _Connection(asyncio.Protocol):
    """One connection; one exchange at a time. Reusable only where the answer ended as HTTP says it must."""

    def __init__(self, max_body_bytes: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parts: list[bytes] = []
        self._body_bytes = 0
        self._header_bytes = 0
        self._received = False
        self._is_framed = False  # whether the answer says where it ends; else the end of the connection does
        self._in_body = False
        self._retry_after: bytes | None = None
        self._problem: Broken | None = None

    async def exchange(self, request: bytes) -> Answer:
        """Return the answer to the request.

        A cancelled exchange closes the connection: what comes later belongs to nobody.
        Raises: Lost; Broken for an answer that is not HTTP or beyond the bounds.
        """
        transport = self.transport
        if transport is None or not self.is_open:
            raise Lost(received=False)
        self._begin()
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            answer: Answer = await waiter
            return answer
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # nobody asked: an answer out of turn would be taken for the next one
            return
        self._received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(Broken("the server wants to change the protocol", code="bad-answer"))
        except httptools.HttpParserError:
            self._fail(self._problem or Broken("the answer is not HTTP", code="bad-answer"))
        else:
            if not self._in_body:
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES:
                    self._fail(Broken("the answer's headers do not end", code="bad-answer"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if exc is None and self._in_body and not self._is_framed:
            self._finish(waiter)
        else:
            waiter.set_exception(Lost(self._received))

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self._is_framed = True
            if int(value) > self._max_body_bytes:
                self._refuse(f"the answer is {int(value)} bytes long, the limit is {self._max_body_bytes}")
        elif name == b"transfer-encoding":
            self._is_framed = True
        elif name == b"retry-after":
            self._retry_after = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            self._refuse("the answer is compressed, which was not asked for")

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._max_body_bytes:
            self._refuse(f"the answer is longer than the limit of {self._max_body_bytes} bytes")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # 100 and 103 only announce the answer
            self._begin()
            self._received = True
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if not self._parser.should_keep_alive():
                self.close()
            self._finish(waiter)

    def _finish(self, waiter: asyncio.Future[Answer]) -> None:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        waiter.set_result(Answer(self._parser.get_status_code(), body, _seconds(self._retry_after)))

    def _refuse(self, message: str) -> None:
        self._problem = Broken(message, code="bad-answer")
        raise self._problem

    def _fail(self, error: Broken) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()


def _seconds(retry_after: bytes | None) -> float | None:
    """Return a Retry-After in seconds; a date counts from now on, one that cannot be read not at all."""
    if retry_after is None:
        return None
    text = retry_after.decode("latin-1").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    # the server's words are about the real time of day
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class HttpClient:
    """Requests to one server, over connections that are kept. Any number of requests may be under way."""

    def __init__(
        self,
        origin: Origin,
        *,
        headers: Mapping[str, str],
        reach: tuple[str, ...] | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """`headers` go with every request. `reach`: as in `ServerSpec`.

        Raises: Fatal for a header that HTTP cannot carry (its value is not shown).
        """
        self.where = (
            f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
        )
        self._origin = origin
        self._reach = reach
        self._max_body_bytes = max_body_bytes
        self._idle: list[_Connection] = []
        self._is_closed = False
        host = (
            self.where
            if origin.port != {"http": 80, "https": 443}[origin.scheme]
            else self.where.rpartition(":")[0]
        )
        fixed = {"host": host, "accept": "application/json", "user-agent": "streamlets"}
        for name, value in headers.items():
            if problem := header_problem(name, value):
                raise Fatal(f"{self.where}: {problem}", code="bad-option")
            fixed[name.lower()] = value
        self._veil = Veil(headers.values())
        self._head = "".join(f"{name}: {value}\r\n" for name, value in fixed.items()).encode()

    def head(self, method: str, path: str) -> bytes:
        """Return the beginning of a request, to be made once and used for many calls."""
        start = f"{method} {self._origin.path}{path} HTTP/1.1\r\n".encode() + self._head
        return start + (
            b"content-type: application/json\r\ncontent-length: " if method == "POST" else b"\r\n"
        )

    async def send(self, head: bytes, body: bytes | None, timeout_s: float, what: str) -> Answer:
        """Return the answer, whatever its status. `head` is from `head`; `body` None for one without a body.
        `what` says in messages who was asked.

        `timeout_s` bounds the whole, connecting included. A request that met a kept connection which the server was
        just closing, and of which nothing came back, is sent once more on a new one.
        Raises: Unavailable (no connection, no answer in time), Broken (cut off, not HTTP, beyond the bounds).
        """
        request = head if body is None else b"%b%d\r\n\r\n%b" % (head, len(body), body)
        try:
            async with asyncio.timeout(timeout_s):
                while self._idle:
                    connection = self._idle.pop()
                    if not connection.is_open:
                        continue
                    try:
                        return await self._exchange(connection, request)
                    except Lost as exc:
                        if exc.received:
                            raise
                        self._drop_idle()  # they are of the same age: the server went away under all of them
                return await self._exchange(await self._connect(), request)
        except TimeoutError as exc:
            raise Unavailable(f"{what}: no answer within {timeout_s:g} s", code="timeout") from exc
        except Lost as exc:
            raise Broken(
                f"{what}: the connection broke "
                + ("in the middle of the answer" if exc.received else "before an answer"),
                code="connection-lost",
            ) from exc
        except (Broken, Unavailable) as exc:
            raise type(exc)(f"{what}: {exc.message}", code=exc.code, hint=exc.hint) from exc

    async def close(self) -> None:
        """Close the kept connections; calls in flight finish and theirs are closed then."""
        self._is_closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _exchange(self, connection: _Connection, request: bytes) -> Answer:
        answer = await connection.exchange(request)
        if answer.status != 200:
            # Some servers repeat what they refuse, and what they say goes into messages.
            answer = msgspec.structs.replace(answer, body=self._veil.over_bytes(answer.body))
        if connection.is_open:
            if self._is_closed or len(self._idle) >= MAX_IDLE:
                connection.close()
            else:
                self._idle.append(connection)
        return answer

    async def _connect(self) -> _Connection:
        origin = self._origin
        loop = asyncio.get_running_loop()
        is_tls = origin.scheme == "https"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                host = origin.host if self._reach is None else await self._checked_address(loop)
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._max_body_bytes),
                    host,
                    origin.port,
                    ssl=_tls() if is_tls else None,
                    server_hostname=origin.host if is_tls else None,
                )
                return connection
        except TimeoutError as exc:
            raise Unavailable("no connection", code="timeout") from exc
        except ssl.SSLCertVerificationError as exc:
            raise Unavailable(f"certificate: {exc.verify_message}", code="certificate") from exc
        except socket.gaierror as exc:
            raise Unavailable("the name is not known", code="unknown-host") from exc
        except ConnectionRefusedError as exc:
            raise Unavailable("connection refused", code="connection-refused") from exc
        except OSError as exc:
            # several addresses failing give one error with all of them in its text; the kind of each is enough
            reason = (
                "connection refused" if "refused" in str(exc).lower() else exc.strerror or type(exc).__name__
            )
            raise Unavailable(f"{reason}", code="no-connection") from exc

    async def _checked_address(self, loop: asyncio.AbstractEventLoop) -> str:
        """Return an address of the host, all of which are allowed: a name with one bad address is not trusted."""
        found = await loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        try:
            for address in addresses:
                check_address(address, self._reach or ())
        except Rejected as exc:
            raise Unavailable(f"{exc.message}", code=exc.code, hint=exc.hint) from exc
        return addresses[0]
