"""The servers of one model: who gets the next call, who is left alone for a while, and when they are asked again.

Two measures, which must not be confused. A *circuit* opens when a server is away (Unavailable) and closes when its
readiness and its metadata say so: nothing is sent to it meanwhile. An *ejection* takes a server out that answers worse
than its neighbours, for a time: at most half of them, never the last. Every repeat of a call is paid from the server's
retry budget, so that an outage is not answered with a storm.

Source: Envoy, outlier detection; Finagle, retry budgets.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from streamlets.errors import Broken, Fatal, StreamletsError, Unavailable
from streamlets.inference import ModelServer, ServerSpec
from streamlets.ports import Clock

log = logging.getLogger("streamlets.score")

PROBE_FIRST_S = 0.1  # a server that was away is asked again within this time …
PROBE_CAP_S = 2.0  # … and at last every 2 s: what comes back is found within that
BUDGET_SHARE = 0.2  # repeats that each first call pays for
BUDGET_RATE = 10.0  # repeats a second that a server gets for nothing
BUDGET_CAP = 20.0  # repeats that can be saved up: two seconds' worth
EJECT_S = (5.0, 60.0)  # the first ejection and the longest
SLOW_FACTOR = 5.0  # slower than the quickest by this much is an outlier …
SLOW_LEAST_S = 0.02  # … unless it is quick enough for anybody
BAD_SHARE = (
    0.2  # failing this share of its calls is an outlier, where a neighbour fails less than a quarter of that
)
SMOOTHING = 0.1  # weight of the newest call in a server's averages: about the last twenty calls count
MIN_CALLS = 5  # before that a server's averages say nothing


class Replica:
    """One server and what is known of it."""

    def __init__(self, spec: ServerSpec, server: ModelServer, label: str) -> None:
        """`label` names it in messages and predictions: no secret in it."""
        self.spec = spec
        self.server = server
        self.label = label
        self.is_open = True  # its circuit: nothing is sent before it was found ready
        self.reason = "not asked yet"
        self.was_ready = False
        self.asked = 0  # times that it was asked whether it is ready
        self.outstanding = 0
        self.calls = 0
        self.latency_s = 0.0  # of calls answered, smoothed
        self.failing = 0.0  # share of calls that broke, smoothed
        self.ejected_until_s = float("-inf")
        self.ejections = 0
        self.turn = 0.0  # smooth weighted round-robin
        self.budget = BUDGET_CAP
        self.budget_at_s = 0.0

    def __repr__(self) -> str:
        return f"<Replica {self.label} {'open' if self.is_open else 'closed'} {self.outstanding}>"


class Replicas:
    """Chooses among the servers of one model."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        balance: str,
        clock: Clock,
        random: random.Random,
        check: Callable[[Replica], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        """`check` returns when a server can be called, else raises. `changed` is called when a circuit moves.

        A Fatal of the check, before any server was ready, is kept in `failure`: the caller's to raise.
        """
        self.all = list(replicas)
        self.failure: Fatal | None = None
        self._balance = balance
        self._clock = clock
        self._random = random
        self._check = check
        self._changed = changed
        self._waiting: set[asyncio.Future[None]] = set()
        self._probes: dict[Replica, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to ask the servers whether they are ready."""
        for replica in self.all:
            self._start_probe(replica, 0.0)

    def close(self) -> None:
        """Ask no more."""
        for probe in self._probes.values():
            probe.cancel()
        self._probes.clear()

    @property
    def is_any_closed(self) -> bool:
        """Whether some server can be called."""
        return any(not replica.is_open for replica in self.all)

    @property
    def reason(self) -> str | None:
        """Why nobody can be called; None while somebody can."""
        if self.is_any_closed or not self.all:
            return None
        more = len(self.all) - 1
        return self.all[0].reason + (f" (and {more} more)" if more else "")

    def wait_moved(self) -> asyncio.Future[None]:
        """Return what is done when a circuit has opened or closed, or `wake` was called, from this very call on.

        A future, not a coroutine: a task begins later, and what moves before it has begun would be missed.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        waiter.add_done_callback(self._waiting.discard)
        return waiter

    def wake(self) -> None:
        """Let everybody who waits look again."""
        for waiter in list(self._waiting):
            if not waiter.done():
                waiter.set_result(None)
        self._changed()

    # --- calls

    async def take(
        self, *, is_repeat: bool, avoid: Replica | None, only: Replica | None = None
    ) -> Replica | None:
        """Return a server for a call, counted as outstanding until `put_back`; None when nobody can be called.

        A repeat waits until the budget pays for it. `avoid`: the server that just failed, taken only if it is the one.
        `only`: no other will do.
        """
        while True:
            now_s = self._clock.monotonic_s()
            closed = [r for r in self.all if not r.is_open and only in (None, r)]
            if not closed:
                return None
            candidates = [r for r in closed if r.ejected_until_s <= now_s] or closed
            if avoid is not None and len(candidates) > 1:
                candidates = [r for r in candidates if r is not avoid]
            replica = self._choose(candidates)
            if self._pay(replica, is_repeat, now_s):
                replica.outstanding += 1
                return replica
            # never less: fractions of a repeat would be waited for in ever smaller steps
            await self._clock.sleep(max(0.01, (1.0 - replica.budget) / BUDGET_RATE))

    def _choose(self, candidates: Sequence[Replica]) -> Replica:
        if len(candidates) == 1:
            return candidates[0]
        if self._balance == "least-outstanding":
            least = min(r.outstanding / r.spec.weight for r in candidates)
            candidates = [r for r in candidates if r.outstanding / r.spec.weight == least]
        for replica in candidates:
            replica.turn += replica.spec.weight
        chosen = max(candidates, key=lambda r: r.turn)
        chosen.turn -= sum(r.spec.weight for r in candidates)
        return chosen

    def _pay(self, replica: Replica, is_repeat: bool, now_s: float) -> bool:
        earned = (now_s - replica.budget_at_s) * BUDGET_RATE
        replica.budget = min(BUDGET_CAP, replica.budget + earned)
        replica.budget_at_s = now_s
        if not is_repeat:
            replica.budget = min(BUDGET_CAP, replica.budget + BUDGET_SHARE)
            return True
        if replica.budget < 1.0:
            return False
        replica.budget -= 1.0
        return True

    def put_back(self, replica: Replica, error: BaseException | None, took_s: float) -> None:
        """Note how a call went: `error` None for one that was answered well; errors of the rows' own count as well."""
        replica.outstanding -= 1
        if isinstance(error, Unavailable):
            self._open(replica, error)
            if error.code != "timeout":
                return
        elif error is not None and not isinstance(error, StreamletsError):
            return  # cancelled: it says nothing of the server
        replica.calls += 1
        is_bad = isinstance(error, Broken | Unavailable)
        replica.failing += SMOOTHING * (is_bad - replica.failing)
        if error is None:
            weight = SMOOTHING if replica.latency_s else 1.0
            replica.latency_s += weight * (took_s - replica.latency_s)
        if len(self.all) > 1 and replica.calls >= MIN_CALLS:
            self._judge(replica)

    def _judge(self, replica: Replica) -> None:
        """Eject the server if it does worse than its neighbours, and if enough of them remain."""
        now_s = self._clock.monotonic_s()
        at_work = [r for r in self.all if not r.is_open and r.ejected_until_s <= now_s]
        others = [r for r in at_work if r is not replica and r.calls >= MIN_CALLS]
        n_out = len(self.all) - len(at_work)
        if not others or replica not in at_work or n_out + 1 > len(self.all) // 2:
            return
        quickest_s = min(r.latency_s for r in others)
        is_slow = replica.latency_s > max(SLOW_LEAST_S, SLOW_FACTOR * quickest_s)
        is_bad = replica.failing > BAD_SHARE and min(r.failing for r in others) < BAD_SHARE / 4
        if is_slow or is_bad:
            replica.ejected_until_s = now_s + min(EJECT_S[0] * 2**replica.ejections, EJECT_S[1])
            replica.ejections = min(replica.ejections + 1, 10)
            # it comes back without a past, and is judged again by what it does then
            replica.calls, replica.latency_s, replica.failing = 0, 0.0, 0.0

    # --- circuits

    def _open(self, replica: Replica, error: Unavailable) -> None:
        replica.reason = str(error)
        if replica.is_open:
            return
        replica.is_open = True
        self._start_probe(replica, error.retry_after_s or self._random.uniform(0.0, PROBE_FIRST_S))
        self.wake()

    def _start_probe(self, replica: Replica, first_s: float) -> None:
        probe = asyncio.create_task(self._probe(replica, first_s), name=f"probe {replica.label}")
        self._probes[replica] = probe
        probe.add_done_callback(
            lambda _: self._probes.pop(replica, None) if self._probes.get(replica) is probe else None
        )

    async def _probe(self, replica: Replica, first_s: float) -> None:
        wait_s = PROBE_FIRST_S
        if first_s > 0.0:
            await self._clock.sleep(min(first_s, 60.0))
        while True:
            reason = replica.reason
            try:
                await self._check(replica)
            except Fatal as exc:
                replica.reason = str(exc)
                if not any(r.was_ready for r in self.all):
                    self.failure = exc
            except StreamletsError as exc:
                replica.reason = str(exc)
            else:
                replica.is_open = False
            replica.asked += 1
            if not replica.is_open:
                replica.was_ready = True
                log.info("server.ready server=%s", replica.label)
                self.wake()
                return
            if replica.reason != reason:
                log.warning("server.away server=%s reason=%s", replica.label, replica.reason)
            self.wake()
            await self._clock.sleep(self._random.uniform(wait_s / 2, wait_s))
            wait_s = min(wait_s * 2, PROBE_CAP_S)
