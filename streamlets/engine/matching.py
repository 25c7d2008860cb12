"""Which expected event is which event that came: in the order of each lane, in any order, or the nearest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

MOST_STEPS = 200_000  # taken before an order is called undecided: about a second
MOST_LOOKS = (
    2_000_000  # at pairs, many of them the same ones: about ten seconds, and more than a test file holds
)
LARGE = 250_000  # pairs from which on the nearest are not looked for among all: they are taken as they come

Fits = Callable[[int, int], bool]
"""(index of what is expected, index of what came) → whether the one is the other."""


class Undecided(Exception):
    """There are too many ways in which the events could be those expected."""


def fit_in_order(n: int, lanes: Sequence[Hashable], fits: Fits, *, is_whole: bool) -> bool:
    """Return whether each of `n` expected events is one that came, those of one lane in the order of the list.

    `lanes`: that of each event that came, in its order. `is_whole`: no other may have come. Raises: Undecided.
    A search that goes back: what is expected may fit several events, and which lane it is in is not said.
    """
    by_lane: dict[Hashable, list[int]] = {}
    for j, lane in enumerate(lanes):
        by_lane.setdefault(lane, []).append(j)
    queues = list(by_lane.values())
    positions = [0] * len(queues)
    looked = stepped = 0

    def choices(i: int) -> Iterator[tuple[int, int]]:
        nonlocal looked
        for lane, queue in enumerate(queues):
            for at in range(positions[lane], len(queue)):
                looked += 1
                if looked > MOST_LOOKS:
                    raise Undecided
                if fits(i, queue[at]):
                    yield lane, at + 1  # the first that fits leaves most to the others
                    break
                if is_whole:
                    break

    if n == 0 or n > len(lanes) or (is_whole and n < len(lanes)):
        return n == 0 and not (is_whole and lanes)
    open_ = [choices(0)]
    steps: list[tuple[int, int]] = []
    hopeless: set[tuple[int, ...]] = set()
    while open_:
        step = next(open_[-1], None)
        if step is None:
            open_.pop()
            hopeless.add((len(steps), *positions))
            if steps:
                lane, before = steps.pop()
                positions[lane] = before
            continue
        lane, after = step
        stepped += 1
        if stepped > MOST_STEPS:
            raise Undecided
        steps.append((lane, positions[lane]))
        positions[lane] = after
        if len(steps) == n:
            return True
        if (len(steps), *positions) in hopeless:
            lane, before = steps.pop()
            positions[lane] = before
            continue
        open_.append(choices(len(steps)))
    return False


def fit_in_any_order(n: int, n_seen: int, fits: Fits) -> dict[int, int]:
    """Return expected → seen, as many as there can be. Source: augmenting paths (Berge 1957), by breadth."""
    if n * n_seen > LARGE:
        return _as_they_come(n, n_seen, fits)
    taken: dict[int, int] = {}
    for first in range(n):
        came_from: dict[int, int] = {}
        waiting = deque([first])
        free = None
        while waiting and free is None:
            i = waiting.popleft()
            for j in range(n_seen):
                if j in came_from or not fits(i, j):
                    continue
                came_from[j] = i
                if j not in taken:
                    free = j
                    break
                waiting.append(taken[j])
        while free is not None:
            i = came_from[free]
            before = next((j for j, owner in taken.items() if owner == i), None)
            if before is not None:
                del taken[before]
            taken[free] = i
            free = before
    return {i: j for j, i in taken.items()}


def _as_they_come(n: int, n_seen: int, fits: Fits) -> dict[int, int]:
    """Return expected → seen where the next that came fits, or one not far behind it."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    reach = max(1, LARGE // max(1, n))
    for i in range(n):
        for j in range(max(0, i - reach // 2), min(n_seen, i + reach // 2 + 1)):
            if j not in taken and fits(i, j):
                pairs[i] = j
                taken.add(j)
                break
    return pairs


def nearest_pairs(
    left: Sequence[int], extra: Sequence[int], distance: Callable[[int, int], float]
) -> dict[int, int]:
    """Return expected → seen of those that fit nothing, the least different first; of equals the first written."""
    if len(left) * len(extra) > LARGE // 10:
        return dict(zip(left, extra))
    near: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted((distance(i, j), i, j) for i in left for j in extra):
        if i not in near and j not in taken:
            near[i] = j
            taken.add(j)
    return near
