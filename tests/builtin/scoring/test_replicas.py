"""Who gets the next call: the least busy, the next in turn, never one that is away, and repeats only as paid for."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from streamlets.builtin.scoring.replicas import BUDGET_CAP, BUDGET_RATE, Replica, Replicas
from streamlets.engine.virtual import VirtualClock, virtual_run
from streamlets.errors import Broken, Fatal, Unavailable
from streamlets.inference import InferAnswer, InferRequest, ModelMetadata, ServerSpec


class Nobody:
    """A server that these tests never call: they are about the choice."""

    async def is_ready(self, model: str, version: str | None) -> bool:
        return True

    async def metadata(self, model: str, version: str | None) -> ModelMetadata | None:
        return None

    async def infer(self, request: InferRequest) -> InferAnswer:
        raise AssertionError("no call is made here")

    async def close(self) -> None:
        pass


class Cluster:
    """Some replicas, and which of them are away."""

    def __init__(
        self, n: int, balance: str = "least-outstanding", weights: list[float] | None = None
    ) -> None:
        self.away: set[int] = set()
        self.failure: Exception | None = None
        self.clock = VirtualClock()
        self.asked: list[float] = []
        weights = weights or [1.0] * n
        replicas = [
            Replica(ServerSpec(url=f"http://s{i}", weight=weights[i]), Nobody(), f"s{i}") for i in range(n)
        ]
        self.replicas = Replicas(
            replicas,
            balance=balance,
            clock=self.clock,
            random=random.Random(1),
            check=self._check,
            changed=lambda: None,
        )

    async def _check(self, replica: Replica) -> None:
        self.asked.append(self.clock.monotonic_s())
        if self.failure is not None:
            raise self.failure
        if int(replica.label[1:]) in self.away:
            raise Unavailable(f"{replica.label}: connection refused")

    async def start(self) -> None:
        self.replicas.start()
        await self.clock.sleep(0.001)

    async def take(self, *, is_repeat: bool = False, avoid: Replica | None = None) -> Replica:
        found = await self.replicas.take(is_repeat=is_repeat, avoid=avoid)
        assert found is not None
        return found


def test_calls_go_to_the_least_busy_and_among_equals_in_turn_by_weight() -> None:
    async def main() -> None:
        cluster = Cluster(3, weights=[1.0, 2.0, 1.0])
        await cluster.start()
        assert Counter([(await cluster.take()).label for _ in range(40)]) == {"s0": 10, "s1": 20, "s2": 10}
        turns = Cluster(3, "round-robin", weights=[1.0, 2.0, 1.0])
        await turns.start()
        labels = [(await turns.take()).label for _ in range(8)]
        assert Counter(labels) == {"s0": 2, "s1": 4, "s2": 2}
        assert labels[:4] == labels[4:]

    virtual_run(main())


def test_nothing_is_sent_to_a_server_that_is_away_until_it_says_that_it_is_ready() -> None:
    async def main() -> None:
        cluster = Cluster(2)
        await cluster.start()
        replica = await cluster.take()
        cluster.away = {0, 1}
        cluster.replicas.put_back(replica, Unavailable(f"{replica.label}: connection refused"), 0.0)
        for _ in range(10):
            other = await cluster.take()
            assert other is not replica
        cluster.replicas.put_back(other, Unavailable("gone"), 0.0)
        assert await cluster.replicas.take(is_repeat=False, avoid=None) is None
        assert cluster.replicas.reason == "s0: connection refused (and 1 more)"
        await cluster.clock.sleep(60)
        assert len(cluster.asked) < 2 * 60 + 20  # probes back off
        cluster.away = set()
        await cluster.clock.sleep(2.1)
        assert cluster.replicas.is_any_closed
        assert cluster.replicas.reason is None
        cluster.replicas.close()

    virtual_run(main())


def test_retry_after_delays_the_question_whether_a_server_is_ready() -> None:
    async def main() -> None:
        cluster = Cluster(1)
        await cluster.start()
        replica = await cluster.take()
        cluster.asked.clear()
        started = cluster.clock.monotonic_s()
        cluster.replicas.put_back(replica, Unavailable("503", retry_after_s=7.0), 0.0)
        await cluster.clock.sleep(20)
        assert cluster.asked[0] - started >= 7.0

    virtual_run(main())


def test_repeats_are_bounded_by_a_fifth_of_the_calls_and_ten_a_second() -> None:
    async def main() -> None:
        cluster = Cluster(1)
        await cluster.start()
        started = cluster.clock.monotonic_s()
        for _ in range(600):
            await cluster.take(is_repeat=True)
        took = cluster.clock.monotonic_s() - started
        assert took >= (600 - BUDGET_CAP) / BUDGET_RATE - 0.5
        for _ in range(100):
            await cluster.take()
        started = cluster.clock.monotonic_s()
        for _ in range(19):
            await cluster.take(is_repeat=True)
        assert cluster.clock.monotonic_s() - started < 0.2

    virtual_run(main())


def test_at_most_half_of_the_servers_are_ejected_and_never_the_last_and_they_come_back() -> None:
    async def main() -> None:
        for n, most in ((1, 0), (2, 1), (3, 1), (4, 2)):
            cluster = Cluster(n, "round-robin")
            await cluster.start()
            seen: Counter[str] = Counter()
            for i in range(400):
                replica = await cluster.take()
                seen[replica.label] += i >= 200
                bad = int(replica.label[1:]) > 0  # all but the first fail everything
                cluster.replicas.put_back(replica, Broken("500") if bad else None, 0.001)
            assert sum(1 for count in seen.values() if not count) + n - len(seen) == most
            await cluster.clock.sleep(6)
            again = {(await cluster.take()).label for _ in range(4 * n)}
            assert len(again) == n

    virtual_run(main())


def test_a_call_that_failed_goes_elsewhere_if_there_is_an_elsewhere() -> None:
    async def main() -> None:
        cluster = Cluster(2)
        await cluster.start()
        failed = await cluster.take()
        for _ in range(5):
            assert await cluster.take(is_repeat=True, avoid=failed) is not failed
        lonely = Cluster(1)
        await lonely.start()
        only = await lonely.take()
        assert await lonely.take(is_repeat=True, avoid=only) is only

    virtual_run(main())


@pytest.mark.parametrize("is_late", [False, True])
def test_a_model_that_does_not_fit_is_fatal_at_the_start_and_waited_with_later(is_late: bool) -> None:
    async def main() -> None:
        cluster = Cluster(1)
        wrong = Fatal("input 'x' is missing", code="tensor-mismatch")
        if not is_late:
            cluster.failure = wrong
        await cluster.start()
        if is_late:
            replica = await cluster.take()
            cluster.failure = wrong
            cluster.replicas.put_back(replica, Unavailable("restarting"), 0.0)
            await cluster.clock.sleep(1)
        assert (cluster.replicas.failure is wrong) is not is_late
        assert "input 'x'" in (cluster.replicas.reason or "")
        cluster.replicas.close()

    virtual_run(main())
