"""What every model-server protocol has to pass. A test module subclasses `ModelServerSuite` and says what is served.

    class TestMine(ModelServerSuite):
        def serving(self):
            return my_server_in_a_context_manager()      # enters as `Served`

pytest collects the tests from the subclass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import msgspec
import pytest

from streamlets.errors import Rejected, StreamletsError, Unavailable
from streamlets.inference import InferRequest, ModelServer, ServerSpec, Tensor
from streamlets.servers.protocols import open_server

T = TypeVar("T")
DEADLINE_S = 30.0  # for one test against a real server on a busy machine


class Served(msgspec.Struct, kw_only=True):
    """A server at work: it serves `model` with the one input tensor `x` (n, 2) and the output `y` (n, 1) = x₀ + 2·x₁.

    `version`: what its answers name, or None. `absent`: where nobody answers.
    """

    protocol: str
    spec: ServerSpec
    absent: ServerSpec
    model: str
    datatype: str = "FP32"
    version: str | None = None
    knows_names: bool = True


class ModelServerSuite:
    """The tests. Each opens its own client."""

    def serving(self) -> AbstractAsyncContextManager[Served]:
        """Return what starts the server and stops it."""
        raise TypeError("a suite's subclass says what is served")

    def run(self, test: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(DEADLINE_S):
                return await test

        return asyncio.run(bounded())

    def test_a_model_that_is_there_is_ready(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                assert await server.is_ready(served.model, None)
                await server.close()

        self.run(test())

    def test_a_model_that_is_not_there_is_not_ready_and_a_call_to_it_is_waited_with(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                if not served.knows_names:
                    return
                server = open_server(served.protocol, served.spec)
                assert not await server.is_ready("nowhere", None)
                with pytest.raises(Unavailable) as caught:
                    await server.infer(_request(served, [[1.0, 2.0]], model="nowhere"))
                assert caught.value.code == "model-missing"
                await server.close()

        self.run(test())

    def test_metadata_names_the_tensors_with_type_and_shape(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                found = await server.metadata(served.model, None)
                if found is not None:
                    assert [(t.name, t.datatype, t.shape) for t in found.inputs] == [
                        ("x", served.datatype, [-1, 2])
                    ]
                    assert [(t.name, t.datatype) for t in found.outputs] == [("y", served.datatype)]
                await server.close()

        self.run(test())

    def test_rows_are_answered_by_position_one_row_or_many(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                for n in (1, 2, 128, 1000):
                    rows = [[float(i), float(n)] for i in range(n)]
                    assert await _ask(server, served, rows) == [i + 2.0 * n for i in range(n)]
                await server.close()

        self.run(test())

    def test_many_calls_at_once_each_get_their_own_answer(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                answers = await asyncio.gather(
                    *(_ask(server, served, [[float(i), 1.0]] * (i + 1)) for i in range(40))
                )
                assert answers == [[i + 2.0] * (i + 1) for i in range(40)]
                await server.close()

        self.run(test())

    def test_the_version_is_the_one_that_the_answer_names(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                answer = await server.infer(_request(served, [[1.0, 2.0]]))
                assert answer.version == served.version
                await server.close()

        self.run(test())

    def test_rows_of_the_wrong_width_are_rejected_and_the_next_call_is_answered(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                with pytest.raises(Rejected):
                    await server.infer(_request(served, [[1.0, 2.0, 3.0]]))
                assert await _ask(server, served, [[1.0, 2.0]]) == [5.0]
                await server.close()

        self.run(test())

    def test_a_cancelled_call_leaves_the_client_usable_and_its_answer_to_nobody(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.spec)
                for rounds in range(20):
                    call = asyncio.create_task(_ask(server, served, [[1.0, 1.0]] * 100))
                    for _ in range(rounds):
                        await asyncio.sleep(0)
                    call.cancel()
                    await asyncio.gather(call, return_exceptions=True)
                    assert await _ask(server, served, [[2.0, 2.0]]) == [6.0]
                await server.close()

        self.run(test())

    def test_a_server_that_is_away_is_not_ready_and_a_call_to_it_is_a_typed_error(self) -> None:
        async def test() -> None:
            async with self.serving() as served:
                server = open_server(served.protocol, served.absent)
                assert not await server.is_ready(served.model, None)
                with pytest.raises(StreamletsError) as caught:
                    await server.infer(_request(served, [[1.0, 2.0]]))
                assert not isinstance(caught.value, Rejected)
                await server.close()

        self.run(test())


def _request(served: Served, rows: list[list[float]], model: str | None = None) -> InferRequest:
    data = [value for row in rows for value in row]
    tensor = Tensor("x", served.datatype, [len(rows), len(rows[0])], data)
    return InferRequest(id="suite", model=model or served.model, inputs=[tensor], outputs=["y"])


async def _ask(server: ModelServer, served: Served, rows: list[list[float]]) -> list[float]:
    answer = await server.infer(_request(served, rows))
    (tensor,) = answer.outputs
    assert tensor.name == "y"
    assert tensor.shape[0] == len(rows)
    return tensor.data
