"""The child process: it answers, dies, hangs, and never outlives its parent or takes its place."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest

from streamlets.engine.apart import ChildProcess, InProcess
from streamlets.errors import Broken, Unavailable

HERE = "tests.engine.apart_functions"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())


def with_child(test: Callable[[ChildProcess], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        child = ChildProcess("drift", **settings)
        try:
            return await test(child)
        finally:
            await child.close()

    return asyncio.run(run())


@pytest.mark.parametrize("make", [ChildProcess, InProcess])
def test_it_answers_alike_apart_and_in_process(make: Callable[[], Any]) -> None:
    async def run() -> None:
        apart = make()
        try:
            assert await apart.call(f"{HERE}:echo", 1, "ü", b"\x00\xff", [1.5, None], {"a": True}, (1, 2)) == [
                1, "ü", b"\x00\xff", [1.5, None], {"a": True}, [1, 2],
            ]  # fmt: skip
            with pytest.raises(Broken, match=r"ValueError: at .*apart_functions\.py:17"):
                await apart.call(f"{HERE}:fail", "no such luck")
            with pytest.raises(Broken, match="ModuleNotFoundError"):
                await apart.call("no.such:function")
            with pytest.raises(Broken, match="TypeError"):
                await apart.call(f"{HERE}:unpackable")
            assert await apart.call(f"{HERE}:echo", 2) == [2]
        finally:
            await apart.close()

    asyncio.run(run())


def test_megabytes_pass_both_ways() -> None:
    async def test(child: ChildProcess) -> None:
        block = os.urandom(8 << 20)
        assert await child.call(f"{HERE}:echo", block) == [block]

    with_child(test)


def test_a_child_that_dies_is_an_outage_and_the_next_call_has_a_new_one() -> None:
    async def test(child: ChildProcess) -> None:
        first = (await child.call(f"{HERE}:about"))["pid"]
        with pytest.raises(Unavailable, match="died \\(SIGKILL\\)") as caught:
            await child.call(f"{HERE}:die")
        assert caught.value.code == "child-died"
        assert (await child.call(f"{HERE}:about"))["pid"] != first

    with_child(test)


def test_a_child_killed_while_idle_is_replaced_without_an_error_or_with_an_outage() -> None:
    async def test(child: ChildProcess) -> None:
        pid = (await child.call(f"{HERE}:about"))["pid"]
        os.kill(pid, signal.SIGKILL)
        try:
            found = await child.call(f"{HERE}:about")
        except Unavailable:
            found = await child.call(f"{HERE}:about")
        assert found["pid"] != pid

    with_child(test)


def test_a_call_that_hangs_is_killed_and_is_an_outage() -> None:
    async def test(child: ChildProcess) -> None:
        with pytest.raises(Unavailable, match=r"more than 0\.5 s") as caught:
            await child.call(f"{HERE}:sleep", 60)
        assert caught.value.code == "child-timeout"
        assert child.pid is None

    with_child(test, timeout_s=0.5)


def test_a_cancelled_call_does_not_answer_the_next_one() -> None:
    async def test(child: ChildProcess) -> None:
        await child.call(f"{HERE}:echo", 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await child.call(f"{HERE}:sleep", 60)
        assert await child.call(f"{HERE}:echo", 2) == [2]

    with_child(test)


def test_calls_take_turns() -> None:
    async def test(child: ChildProcess) -> None:
        answers = await asyncio.gather(*(child.call(f"{HERE}:echo", n) for n in range(20)))
        assert answers == [[n] for n in range(20)]

    with_child(test)


def test_what_it_prints_goes_to_the_log_and_not_between_the_frames(caplog: pytest.LogCaptureFixture) -> None:
    async def test(child: ChildProcess) -> None:
        assert await child.call(f"{HERE}:chatter", 500) == 500
        assert await child.call(f"{HERE}:echo", 1) == [1]

    with caplog.at_level(logging.WARNING, "streamlets.engine"):
        with_child(test)
    lines = [record.getMessage() for record in caplog.records if "apart.stderr" in record.getMessage()]
    assert len(lines) == 20
    assert "streamlet=drift" in lines[0]


def test_it_is_nice_has_one_thread_for_algebra_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SERVER_TOKEN", "canary")

    async def test(child: ChildProcess) -> None:
        about = await child.call(f"{HERE}:about")
        assert about["niceness"] >= min(19, os.nice(0) + 10)
        assert about["environment"]["OPENBLAS_NUM_THREADS"] == "1"
        assert "canary" not in about["environment"].values()
        assert "" not in about["path"]

    with_child(test)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is the kernel's")
def test_what_allocates_too_much_fails_alone() -> None:
    async def test(child: ChildProcess) -> None:
        with pytest.raises(Broken, match="MemoryError"):
            await child.call(f"{HERE}:allocate", 1 << 30)
        assert await child.call(f"{HERE}:allocate", 1 << 20) == 1 << 20

    with_child(test, memory_bytes=256 << 20)


def test_close_ends_the_child() -> None:
    async def run() -> int:
        child = ChildProcess()
        await child.call(f"{HERE}:echo")
        pid = child.pid
        assert pid is not None
        await child.close()
        await child.close()
        return pid

    assert not psutil.pid_exists(asyncio.run(run()))


PARENT = f"""
import asyncio
from streamlets.engine.apart import ChildProcess

async def main():
    child = ChildProcess()
    print((await child.call("{HERE}:about"))["pid"], flush=True)
    await child.call("{HERE}:sleep", 600)

asyncio.run(main())
"""


def test_a_busy_child_does_not_outlive_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.01)
