"""Model updates: checked before they count, applied in the order of each partition, and decided once for all."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from streamlets.builtin.updates import Status
from streamlets.event import Event
from tests.builtin.scoring.driving import Driven, Topic, driven, of, predictions, rows
from tests.builtin.scoring.stub import Stub, stub_server
from tests.onnx_files import linear
from tests.servers.running import Exchange, free_port

ALLOW = {"updates": {"allow": ["http://127.0.0.1:*"], "ready_within": "300ms"}}


def models(outcome: Any) -> list[tuple[str, str | None]]:
    """Return (version, update) of each prediction."""
    found = [orjson.loads(e.data or b"")["model"] for e in of(outcome, "out")]
    return [(model["version"], model["update"]) for model in found]


async def decided(driver: Driven, update: str) -> Status:
    """Return the verdict on an update, once it is there."""
    await driver.until(
        lambda: any(s["update"] == update and s["step"] in ("validated", "rejected") for s in driver.told)
    )
    found = next(s for s in driver.told if s["update"] == update and s["step"] in ("validated", "rejected"))
    return msgspec.convert(found, Status)


def test_an_update_is_validated_and_each_partition_switches_at_its_next_batch_and_says_at_which_offset() -> (
    None
):
    async def main() -> None:
        old, new = Stub("1"), Stub("2", bias=100.0)
        async with (
            stub_server(old) as first,
            stub_server(new) as second,
            driven({"servers": [first], **ALLOW}) as driver,
        ):
            before = await driver.give(rows(5))
            assert models(before) == [("1", None)] * 5
            update = driver.topic.update(version="2", servers=[second], epoch=1, origin={"commit": "abc"})
            status = await decided(driver, update)
            assert (status.step, status.version, status.epoch, status.servers) == (
                "validated",
                "2",
                1,
                [second],
            )
            assert status.origin == {"commit": "abc"}
            assert driver.steps() == ["received", "validated"]
            for partition in (0, 1):
                outcome = await driver.give(rows(5, 10, partition), partition)
                assert models(outcome) == [("2", update)] * 5
                assert predictions(outcome) == [i + 102.0 for i in range(10, 15)]
                (emit,) = of(outcome, "status")
                applied = orjson.loads(emit.data or b"")
                assert applied["step"] == "applied"
                assert (applied["topic"], applied["partition"], applied["offset"]) == (
                    "app.in",
                    partition,
                    10,
                )
                assert emit.parent == 0
                assert of(await driver.give(rows(5, 20, partition), partition), "status") == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"servers": ["http://10.0.0.1:80"]}, "not-allowed", "not on the allow list"),
        ({"servers": ["http://169.254.169.254/latest"]}, "not-allowed", "allow list"),
        ({"servers": ["http://2130706433:9101"]}, "bad-url", "unusual form"),
        ({"servers": ["http://127.0.0.1:1@evil.org/"]}, "bad-url", "credentials"),
        ({"servers": [{"url": "http://127.0.0.1:1", "path": "/a?b"}]}, "bad-option", "query"),
        ({"servers": ["file:///etc/passwd"]}, "bad-url", "scheme"),
        ({"servers": [f"http://127.0.0.1:{free_port()}"]}, "not-ready", "connection refused"),
        ({"strategy": "canary"}, "not-built-yet", "canary"),
        ({"strategy": "sideways"}, "bad-update", "not known"),
        ({"share": "10%"}, "not-built-yet", "share"),
        ({"protocol": "tensorflow"}, "bad-option", "tensorflow"),
        ({"protocol": "onnx"}, "not-allowed", "allowed folder"),
        ({"version": "3"}, "model-missing", "serves version 2, not 3"),
        ({"digest": "sha256:00"}, "not-built-yet", "digest"),
        (
            {"golden": [{"event": {"a": 1, "b": 1}, "prediction": {"y": 3.0}}]},
            "golden-mismatch",
            "golden event 1",
        ),
        ({"golden": [{"event": {"a": 1}, "prediction": {}}]}, "bad-update", "field 'b' is missing"),
    ],
)
def test_a_bad_update_is_rejected_with_its_reason_and_changes_nothing(
    change: dict[str, Any], code: str, words: str
) -> None:
    async def main() -> None:
        async with (
            stub_server(Stub("1")) as first,
            stub_server(Stub("2", bias=100.0)) as second,
            driven({"servers": [first], **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            update = driver.topic.update(**{"version": "2", "servers": [second], "epoch": 1, **change})
            status = await decided(driver, update)
            assert (status.step, status.code) == ("rejected", code)
            assert words in (status.reason or "")
            outcome = await driver.give(rows(5))
            assert models(outcome) == [("1", None)] * 5
            assert of(outcome, "status") == []

    asyncio.run(main())


def test_without_outputs_an_update_keeps_every_field_of_the_predictions() -> None:
    async def main() -> None:
        other, more = Stub("2"), Stub("3")
        other.outputs, more.outputs = ["z"], ["y", "z"]
        async with (
            stub_server(Stub("1")) as first,
            stub_server(other) as second,
            stub_server(more) as third,
            driven({"servers": [first], "outputs": {}, **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            status = await decided(driver, driver.topic.update(version="2", servers=[second], epoch=1))
            assert (status.step, status.code) == ("rejected", "tensor-mismatch")
            assert "no 'y', which predictions have now; they have z" in (status.reason or "")
            status = await decided(driver, driver.topic.update(version="3", servers=[third], epoch=2))
            assert status.step == "validated"
            outcome = await driver.give(rows(2))
            assert models(outcome)[0][0] == "3"
            made = [orjson.loads(emit.data or b"")["prediction"] for emit in of(outcome, "out")]
            assert [sorted(one) for one in made] == [["y", "z"]] * 2

    asyncio.run(main())


def test_without_outputs_servers_that_answer_with_other_tensors_are_told() -> None:
    async def main() -> None:
        other = Stub("1")
        other.outputs = ["z"]
        async with (
            stub_server(Stub("1")) as first,
            stub_server(other) as second,
            driven({"servers": [first], "outputs": {}, **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            update = driver.topic.update(version="1", servers=[first, second], epoch=1)
            status = await decided(driver, update)
            assert (status.step, status.code) == ("rejected", "not-ready")
            assert "differ from those of the other servers" in (status.reason or "")

    asyncio.run(main())


def test_wrong_tensors_are_rejected_and_what_cannot_be_read_too() -> None:
    async def main() -> None:
        wide = Stub("2")
        wide.columns = 3
        async with (
            stub_server(Stub("1")) as first,
            stub_server(wide) as second,
            driven({"servers": [first], **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            status = await decided(driver, driver.topic.update(version="2", servers=[second], epoch=1))
            assert status.code == "tensor-mismatch"
            assert "FP32 [-1, 3], but 2 fields are mapped to it" in (status.reason or "")
            for i, data in enumerate((b"{", b'{"model": "delay"}', b'{"model": "delay", "typo": 1}', b"")):
                driver.topic.put(
                    Event(
                        id=f"bad-{i}",
                        source="/x",
                        type="streamlets.model.update",
                        subject="delay",
                        data=data,
                        key=f"delay@{i}".encode(),
                    )
                )
                assert (await decided(driver, f"bad-{i}")).code == "bad-update"

    asyncio.run(main())


def test_an_update_of_another_model_is_none_of_our_business() -> None:
    async def main() -> None:
        async with stub_server(Stub("1")) as first, driven({"servers": [first], **ALLOW}) as driver:
            await driver.give(rows(1))
            driver.topic.update(model="other", version="2", servers=["http://10.0.0.1:1"], epoch=1)
            ours = driver.topic.update(version="2", servers=["http://10.0.0.1:1"], epoch=2)
            await decided(driver, ours)
            assert {status["model"] for status in driver.told} == {"delay"}

    asyncio.run(main())


def test_an_old_epoch_is_stale_and_of_several_the_newest_good_one_counts() -> None:
    async def main() -> None:
        async with (
            stub_server(Stub("1")) as first,
            stub_server(Stub("2")) as second,
            stub_server(Stub("3")) as third,
            driven({"servers": [first], **ALLOW}) as driver,
        ):
            # all three wait when the streamlet learns what its partitions know: the newest is bad
            low = driver.topic.update(version="2", servers=[second], epoch=3)
            good = driver.topic.update(version="3", servers=[third], epoch=5)
            bad = driver.topic.update(version="4", servers=["http://10.0.0.1:1"], epoch=9)
            await driver.give(rows(1))
            assert (await decided(driver, bad)).code == "not-allowed"
            assert (await decided(driver, good)).step == "validated"
            assert (await decided(driver, low)).code == "stale-epoch"
            assert models(await driver.give(rows(2))) == [("3", good)] * 2
            again = driver.topic.update(version="5", servers=[second], epoch=5)
            assert (await decided(driver, again)).code == "stale-epoch"
            back = driver.topic.update(version="2", servers=[second], epoch=6)
            assert (await decided(driver, back)).step == "validated"
            assert models(await driver.give(rows(2))) == [("2", back)] * 2

    asyncio.run(main())


def test_a_newer_update_does_not_wait_for_an_older_one_whose_servers_are_not_ready() -> None:
    async def main() -> None:
        patient = {"updates": {"allow": ["http://127.0.0.1:*"], "ready_within": "60s"}}
        async with (
            stub_server(Stub("1")) as first,
            stub_server(Stub("3")) as third,
            driven({"servers": [first], **patient}) as driver,
        ):
            await driver.give(rows(1))
            slow = driver.topic.update(version="2", servers=[f"http://127.0.0.1:{free_port()}"], epoch=1)
            await driver.until(lambda: driver.steps() == ["received"])
            quick = driver.topic.update(version="3", servers=[third], epoch=2)
            assert (await decided(driver, quick)).step == "validated"
            assert (await decided(driver, slow)).code == "stale-epoch"

    asyncio.run(main())


def test_a_partition_stays_with_its_model_after_a_restart_and_a_compaction_without_asking_again() -> None:
    async def main() -> None:
        topic = Topic()
        async with stub_server(Stub("1")) as first, stub_server(Stub("2")) as second:
            async with driven({"servers": [first], **ALLOW}, topic=topic) as driver:
                await driver.give(rows(1))
                update = driver.topic.update(version="2", servers=[second], epoch=1)
                await decided(driver, update)
                await driver.give(rows(5))
                await driver.give(rows(5, 0, 1), 1)
            topic.events.clear()  # compacted away: the state alone knows
            async with driven({"servers": [first], **ALLOW}, topic=topic, states=driver.states) as again:
                outcome = await again.give(rows(5, 10, 1), 1)
                assert models(outcome) == [("2", update)] * 5
                assert of(outcome, "status") == []
                # a partition that had seen nothing yet goes with the others
                other = await again.give(rows(5, 10, 3), 3)
                assert models(other) == [("2", update)] * 5
                assert again.told == []

    asyncio.run(main())


def test_a_rejected_update_stays_rejected_after_a_restart_though_its_server_is_ready_now() -> None:
    async def main() -> None:
        port = free_port()
        async with stub_server(Stub("1")) as first:
            async with driven({"servers": [first], **ALLOW}) as driver:
                await driver.give(rows(1))
                update = driver.topic.update(version="2", servers=[f"http://127.0.0.1:{port}"], epoch=1)
                assert (await decided(driver, update)).code == "not-ready"
                await driver.give(rows(1, 1))
            async with (
                stub_server(Stub("2"), port),
                driven({"servers": [first], **ALLOW}, topic=driver.topic, states=driver.states) as again,
            ):
                for i in range(5):
                    assert models(await again.give(rows(3, 10 * i))) == [("1", None)] * 3
                    await asyncio.sleep(0.02)
                assert again.told == []
                # the same again under a higher epoch is another update
                fresh = again.topic.update(version="2", servers=[f"http://127.0.0.1:{port}"], epoch=2)
                assert (await decided(again, fresh)).step == "validated"
                assert models(await again.give(rows(3))) == [("2", fresh)] * 3

    asyncio.run(main())


def test_calls_in_flight_finish_where_they_began_and_go_to_the_new_server_when_the_old_one_is_gone() -> None:
    async def main() -> None:
        port = free_port()
        old = Stub("1")
        gate = asyncio.Event()

        async def slow(exchange: Exchange, rows: list[list[float]]) -> bool:
            await gate.wait()
            return False

        async with (
            stub_server(Stub("2")) as second,
            driven({"servers": [f"http://127.0.0.1:{port}"], **ALLOW}) as driver,
        ):
            async with stub_server(old, port):
                await driver.give(rows(1))
                old.fault = slow
                flying = asyncio.create_task(driver.give(rows(10)))
                await driver.until(lambda: len(old.calls) == 2)
                update = driver.topic.update(version="2", servers=[second], epoch=1)
                await decided(driver, update)
                after = await driver.give(rows(10, 10))
                assert models(after) == [("2", update)] * 10
                assert not flying.done()
                gate.set()
                assert models(await flying) == [("1", None)] * 10
                gate.clear()
                # partition 1 is still with the old server, which is about to go away
                stuck = asyncio.create_task(driver.score.process(_planned(driver, 0)))
            assert models(await asyncio.wait_for(stuck, 10)) == [("2", update)] * 10
            assert driver.waiting[-1:] in ([], [None])

    asyncio.run(main())


def _planned(driver: Driven, epoch: int) -> Any:
    """Return a batch that was admitted while an older serving was in force."""
    from streamlets.builtin.score import Plan

    batch = driver.batch(rows(10, 0, 1), 1)
    target = driver.score._target(driver.score._places.initial())
    batch.plan = Plan(target)
    return batch


def test_a_dead_blueprint_server_is_replaced_by_an_update() -> None:
    async def main() -> None:
        dead = f"http://127.0.0.1:{free_port()}"
        async with stub_server(Stub("2")) as second, driven({"servers": [dead], **ALLOW}) as driver:
            waiting = asyncio.create_task(driver.give(rows(10)))
            await driver.until(lambda: bool(driver.waiting) and driver.waiting[-1] is not None)
            update = driver.topic.update(version="2", servers=[second], epoch=1)
            assert models(await asyncio.wait_for(waiting, 10)) == [("2", update)] * 10
            await driver.until(lambda: driver.waiting[-1] is None)

    asyncio.run(main())


def test_the_blueprints_credentials_go_to_the_blueprints_servers_only() -> None:
    async def main() -> None:
        heads: list[tuple[str, bytes]] = []

        class Watched(Stub):
            async def script(self, exchange: Exchange) -> None:
                heads.append((self.version, exchange.head))
                await super().script(exchange)

        secret = {"Authorization": "Bearer CANARY"}
        async with (
            stub_server(Watched("1")) as first,
            stub_server(Watched("2")) as second,
            driven({"servers": [{"url": first, "headers": secret}], **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            await decided(driver, driver.topic.update(version="2", servers=[second], epoch=1))
            await driver.give(rows(1))
            assert {version for version, head in heads if b"CANARY" in head} == {"1"}
            assert {version for version, _ in heads} == {"1", "2"}
            assert "CANARY" not in orjson.dumps([s.entries for s in driver.states.values()]).decode()

    asyncio.run(main())


def test_an_onnx_file_in_an_allowed_folder_replaces_another_and_its_digest_is_compared(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    linear(tmp_path / "models" / "one.onnx", [1.0, 2.0], version="1")
    two = linear(tmp_path / "models" / "two.onnx", [1.0, 2.0], 100.0, version="2")
    linear(tmp_path / "elsewhere.onnx", [1.0, 2.0], version="3")
    (tmp_path / "models" / "link.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    digest = "sha256:" + hashlib.sha256(two.read_bytes()).hexdigest()

    async def main() -> None:
        options = {"servers": ["models/one.onnx"], "protocol": "onnx", "updates": {"allow": ["file:models"]}}
        async with driven(options, base_dir=tmp_path) as driver:
            await driver.give(rows(1))
            for epoch, path in enumerate(
                ("elsewhere.onnx", "models/../elsewhere.onnx", "models/link.onnx", "/etc/x"), 1
            ):
                update = driver.topic.update(version="3", servers=[path], epoch=epoch)
                assert (await decided(driver, update)).code == "not-allowed"
            wrong = driver.topic.update(
                version="2", servers=["models/two.onnx"], epoch=10, digest="sha256:ab"
            )
            assert (await decided(driver, wrong)).code == "digest-differs"
            right = driver.topic.update(version="2", servers=["models/two.onnx"], epoch=11, digest=digest)
            assert (await decided(driver, right)).step == "validated"
            assert predictions(await driver.give(rows(2))) == [102.0, 103.0]

    asyncio.run(main())


def test_golden_events_that_are_answered_as_expected_let_the_update_through() -> None:
    async def main() -> None:
        golden = [{"event": {"a": 1, "b": 1}, "prediction": {"y": 103.0}, "tolerance": 0.01}]
        async with (
            stub_server(Stub("1")) as first,
            stub_server(Stub("2", bias=100.0)) as second,
            driven({"servers": [first], **ALLOW}) as driver,
        ):
            await driver.give(rows(1))
            update = driver.topic.update(version="2", servers=[second], epoch=1, golden=golden)
            assert (await decided(driver, update)).step == "validated"

    asyncio.run(main())


def test_a_serving_whose_server_is_no_longer_allowed_is_waited_with_and_said_so() -> None:
    async def main() -> None:
        async with stub_server(Stub("1")) as first, stub_server(Stub("2")) as second:
            async with driven({"servers": [first], **ALLOW}) as driver:
                await driver.give(rows(1))
                await decided(driver, driver.topic.update(version="2", servers=[second], epoch=1))
                await driver.give(rows(1))
            closed = {"updates": {"allow": ["http://127.0.0.1:1"]}}
            async with driven(
                {"servers": [first], **closed}, topic=driver.topic, states=driver.states
            ) as again:
                waiting = asyncio.create_task(again.give(rows(5)))
                await again.until(lambda: any("allow list" in (reason or "") for reason in again.waiting))
                assert not waiting.done()
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(main())
