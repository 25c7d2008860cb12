"""A model server that costs next to nothing: it counts the rows of a V2 request and answers that many numbers.

`python -m tests.benchmarks.stub` prints its port. Its CPU is counted apart from whoever is measured.
"""

from __future__ import annotations

import asyncio
import re
import sys

_SHAPE = re.compile(rb'"shape":\[(\d+)')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_METADATA = (
    b'{"name":"delay","versions":["1"],"platform":"stub","inputs":[{"name":"x","datatype":"FP64","shape":[-1,8]}],'
    b'"outputs":[{"name":"y","datatype":"FP64","shape":[-1]}]}'
)
_answers: dict[int, bytes] = {}


def _answer(rows: int) -> bytes:
    found = _answers.get(rows)
    if found is None:
        data = b",".join(b"%d.5" % (i % 50) for i in range(rows))
        body = (
            b'{"model_name":"delay","model_version":"1","outputs":[{"name":"y","datatype":"FP64","shape":[%d],'
            % rows
        )
        found = _answers[rows] = _http(body + b'"data":[%s]}]}' % data)
    return found


def _http(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


class _Stub(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            found = _LENGTH.search(head)
            length = int(found.group(1)) if found else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            if head.startswith(b"POST"):
                shape = _SHAPE.search(body)
                answer = _answer(int(shape.group(1)) if shape else 0)
            else:
                answer = _http(_METADATA)
            self.transport.write(answer)  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(_Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # the end of our starter is ours


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
