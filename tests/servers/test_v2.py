"""The V2 client and the development model server pass the suite, and each bad answer is what the table says it is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
import uvloop

from streamlets.errors import Broken, Fatal, Rejected, StreamletsError, Unavailable
from streamlets.inference import InferAnswer, InferRequest, ServerSpec, Tensor
from streamlets.servers import http
from streamlets.servers.model_server import ModelFile
from streamlets.servers.v2 import V2Server
from streamlets.suites.model_server import ModelServerSuite, Served
from tests.onnx_files import linear
from tests.servers.running import Exchange, Script, free_port, model_server, scripted

T = TypeVar("T")


class TestV2AgainstTheDevelopmentServer(ModelServerSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def serving(self) -> AbstractAsyncContextManager[Served]:
        @asynccontextmanager
        async def serve() -> AsyncIterator[Served]:
            file = ModelFile("delay", linear(self.folder / "m.onnx", [1.0, 2.0]), "7")
            async with model_server([file]) as url:
                yield Served(
                    protocol="v2",
                    spec=ServerSpec(url=url),
                    absent=ServerSpec(url=f"http://127.0.0.1:{free_port()}"),
                    model="delay",
                    version="7",
                )

        return serve()


class TestV2OnUvloop(TestV2AgainstTheDevelopmentServer):
    def run(self, test: Coroutine[Any, Any, T]) -> T:
        return uvloop.run(test)


REQUEST = InferRequest(id="1", model="m", inputs=[Tensor("x", "FP32", [1, 1], [1.0])])


def answer_of(*values: float) -> bytes:
    return orjson.dumps(
        {
            "model_name": "m",
            "outputs": [{"name": "y", "shape": [len(values)], "datatype": "FP32", "data": values}],
        }
    )


def ask(script: Script, *, calls: int = 1, timeout_s: float = 5.0) -> InferAnswer | StreamletsError:
    """Return what the last of some calls, one after the other on one client, gave."""

    async def main() -> InferAnswer | StreamletsError:
        async with scripted(script) as url, asyncio.timeout(20):
            server = V2Server(ServerSpec(url=url, timeout_s=timeout_s))
            result: InferAnswer | StreamletsError
            for _ in range(calls):
                try:
                    result = await server.infer(REQUEST)
                except StreamletsError as exc:
                    result = exc
            await server.close()
            return result

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Broken),
        (400, Rejected),
        (401, Fatal),
        (403, Fatal),
        (405, Rejected),
        (408, Unavailable),
        (413, Rejected),
        (422, Rejected),
        (429, Unavailable),
        (500, Broken),
        (501, Broken),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (599, Broken),
    ],
)
def test_a_status_is_classified_by_what_to_do_about_it(status: int, kind: type[StreamletsError]) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(
            status, b'{"error": "because"}', "retry-after: 7\r\nlocation: http://127.0.0.1:1/\r\n"
        )

    error = ask(script)
    assert type(error) is kind
    assert "because" in str(error)
    if isinstance(error, Unavailable):
        assert error.retry_after_s == 7.0


def test_a_404_means_waiting_where_the_model_was_served_before_or_is_not_ready_and_else_the_event_is_refused() -> (
    None
):
    async def reload(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.answer(200, answer_of(1.0))
        else:
            exchange.answer(404, b'{"error": "unknown model"}')

    async def ready(exchange: Exchange) -> None:
        exchange.answer(200 if exchange.path.endswith("/ready") else 404)

    async def cold(exchange: Exchange) -> None:
        exchange.answer(404)

    again = ask(reload, calls=2)
    assert isinstance(again, Unavailable)
    assert again.code == "model-missing"
    assert isinstance(ask(cold), Unavailable)
    assert isinstance(ask(ready), Rejected)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no such tensor"}', "no such tensor"),
        (
            b'{"detail": [{"loc": ["body", "inputs"], "msg": "Field required", "input": {"s": "SECRET"}}]}',
            "Field",
        ),
        (b'{"status": {"status": 1, "info": "bad data", "code": -1}}', "bad data"),
        (b"plain words\x00\x1b[31m", "plain words"),
        (b'{"error": {"message": "inner words"}}', "inner words"),
        (b"x" * 100_000, "x…"),
    ],
)
def test_the_servers_own_words_are_in_the_message_cut_short_and_without_the_input(
    body: bytes, text: str
) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(400, body)

    error = ask(script)
    assert isinstance(error, Rejected)
    assert text in str(error)
    assert "SECRET" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 400


def test_a_reset_on_a_kept_connection_is_sent_again_once_on_a_new_one() -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.on_connection == 2:
            exchange.reset()
        else:
            exchange.answer(200, answer_of(float(exchange.number)))

    answer = ask(script, calls=2)
    assert isinstance(answer, InferAnswer)
    assert answer.outputs[0].data == [3.0]


def test_a_reset_on_a_new_connection_is_not_sent_again_by_the_client() -> None:
    seen = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange.number)
        exchange.reset()

    error = ask(script)
    assert isinstance(error, Broken)
    assert error.code == "connection-lost"
    assert seen == [1]


def test_half_an_answer_is_no_answer() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        await exchange.writer.drain()
        exchange.reset()

    error = ask(script)
    assert isinstance(error, Broken)
    assert "in the middle" in str(error)


def test_a_server_that_hangs_or_drips_is_given_up_in_time() -> None:
    async def hang(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async def drip(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            exchange.writer.write(b" ")
            await exchange.writer.drain()
            await asyncio.sleep(0.01)

    for script in (hang, drip):
        error = ask(script, timeout_s=0.2)
        assert isinstance(error, Unavailable)
        assert error.code == "timeout"


def test_an_endless_answer_is_cut_off_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def announced(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n")

    async def chunked(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1600):
            exchange.writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
            await exchange.writer.drain()

    async def headers(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\n")
        for i in range(10_000):
            exchange.writer.write(f"x-{i}: {'y' * 100}\r\n".encode())
            await exchange.writer.drain()

    for script in (announced, chunked, headers):
        error = ask(script)
        assert isinstance(error, Broken)
        assert error.code == "bad-answer"


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{ab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"outputs": [{}]}',
        b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"[" * 20000,
        b"HTTP/1.1 200 OK\r\ncontent-length: 20002\r\n\r\nNaN" + b"[" * 19999,
    ],
)
def test_what_cannot_be_read_as_an_answer_is_broken(raw: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        exchange.writer.write(raw)
        await exchange.writer.drain()
        if b"16\r" in raw or b"-1" in raw:
            exchange.writer.close()

    error = ask(script, timeout_s=2.0)
    assert isinstance(error, Broken)
    assert len(str(error)) < 400


def test_answers_come_chunked_in_small_pieces_after_100_continue_or_until_the_connection_ends() -> None:
    body = answer_of(4.0)

    async def chunked(exchange: Exchange) -> None:
        raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        for i in range(0, len(body), 7):
            piece = body[i : i + 7]
            raw += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        raw += b"0\r\n\r\n"
        for byte in raw:
            exchange.writer.write(bytes([byte]))
            await exchange.writer.drain()

    async def until_the_end(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        await exchange.writer.drain()
        exchange.writer.close()

    for script in (chunked, until_the_end):
        for calls in (1, 3):
            answer = ask(script, calls=calls)
            assert isinstance(answer, InferAnswer)
            assert answer.outputs[0].data == [4.0]


def test_bytes_that_nobody_asked_for_are_never_taken_for_the_next_answer() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(200, answer_of(float(exchange.number)))
        exchange.answer(200, answer_of(-1.0))

    answer = ask(script, calls=3)
    assert isinstance(answer, InferAnswer)
    assert answer.outputs[0].data == [3.0]


def test_bare_nan_in_an_answer_is_read_as_what_it_says() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(200, answer_of(1.0, 2.0).replace(b"2.0", b"NaN"))

    answer = ask(script)
    assert isinstance(answer, InferAnswer)
    assert math.isnan(answer.outputs[0].data[1])


def test_nested_data_and_null_fields_are_read() -> None:
    async def script(exchange: Exchange) -> None:
        exchange.answer(
            200,
            b'{"model_name": "m", "model_version": null, "id": null, "parameters": null, "outputs": [{"name": "y", '
            b'"shape": [2, 2], "datatype": "FP32", "parameters": null, "data": [[1, 2], [3, 4]]}]}',
        )

    answer = ask(script)
    assert isinstance(answer, InferAnswer)
    assert answer.outputs[0].data == [1, 2, 3, 4]
    assert answer.version is None


def test_headers_path_and_version_are_sent_and_the_headers_of_the_client_itself_cannot_be_overwritten() -> (
    None
):
    heads = []

    async def script(exchange: Exchange) -> None:
        heads.append(exchange.head.decode())
        exchange.answer(200, answer_of(1.0))

    async def main() -> None:
        async with scripted(script) as url:
            server = V2Server(ServerSpec(url=url + "/a/", path="/b", headers={"Authorization": "Bearer t"}))
            request = InferRequest(id="1", model="m/n", version="3", inputs=[])
            await server.infer(request)
            await server.close()

    asyncio.run(main())
    assert heads[0].startswith("POST /a/b/v2/models/m%2Fn/versions/3/infer HTTP/1.1\r\n")
    assert "\r\nauthorization: Bearer t\r\n" in heads[0]
    assert "\r\ncontent-type: application/json\r\n" in heads[0]
    for headers in ({"Host": "x"}, {"a b": "c"}, {"a": "b\r\nc: d"}):
        with pytest.raises(Fatal) as caught:
            V2Server(ServerSpec(url="http://127.0.0.1", headers=headers))
        assert "c: d" not in str(caught.value)


def test_a_name_that_leads_to_an_address_which_is_not_allowed_is_not_connected_to() -> None:
    connected = []

    async def script(exchange: Exchange) -> None:
        connected.append(exchange.path)
        exchange.answer(200, answer_of(1.0))

    async def main() -> None:
        async with scripted(script) as url:
            named = url.replace("127.0.0.1", "localhost")
            closed = V2Server(ServerSpec(url=named, reach=()))
            with pytest.raises(Unavailable) as caught:
                await closed.infer(REQUEST)
            assert caught.value.code == "not-allowed"
            assert connected == []
            opened = V2Server(ServerSpec(url=named, reach=("127.0.0.0/8", "::1/128")))
            await opened.infer(REQUEST)
            await opened.close()

    asyncio.run(main())
    assert len(connected) == 1


def test_as_many_connections_are_kept_as_calls_were_in_flight_and_no_more_than_the_bound() -> None:
    most = [0]

    async def script(exchange: Exchange) -> None:
        most[0] = max(most[0], exchange.on_connection)
        await asyncio.sleep(0)
        exchange.answer(200, answer_of(1.0))

    async def main() -> None:
        async with scripted(script) as url:
            server = V2Server(ServerSpec(url=url))
            for _ in range(3):
                await asyncio.gather(*(server.infer(REQUEST) for _ in range(80)))
            assert len(server._http._idle) == http.MAX_IDLE
            await server.close()
            assert not server._http._idle

    asyncio.run(main())
    assert most[0] >= 3
