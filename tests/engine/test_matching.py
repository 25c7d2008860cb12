"""Pairing what is expected with what came."""

import itertools
import random

import pytest

from streamlets.engine.matching import Undecided, fit_in_any_order, fit_in_order, nearest_pairs


def by_hand(n, lanes, fits, is_whole):
    """Try every assignment: what the search must agree with."""
    for chosen in itertools.permutations(range(len(lanes)), n):
        if is_whole and n != len(lanes):
            return False
        in_order = all(a < b for (a, b) in itertools.combinations(chosen, 2) if lanes[a] == lanes[b])
        if in_order and all(fits(i, j) for i, j in enumerate(chosen)):
            return True
    return n == 0 and not (is_whole and lanes)


@pytest.mark.parametrize("seed", range(150))
def test_the_search_agrees_with_trying_everything(seed):
    rng = random.Random(seed)
    n_seen = rng.randint(0, 6)
    n = rng.choice([n_seen, rng.randint(0, n_seen)])
    lanes = [rng.randint(0, 2) for _ in range(n_seen)]
    table = {(i, j): rng.random() < 0.5 for i in range(n) for j in range(n_seen)}
    for is_whole in (True, False):
        found = fit_in_order(n, lanes, lambda i, j: table[i, j], is_whole=is_whole)
        assert found == by_hand(n, lanes, lambda i, j: table[i, j], is_whole)
    pairs = fit_in_any_order(n, n_seen, lambda i, j: table[i, j])
    assert len(set(pairs.values())) == len(pairs)
    assert all(table[pair] for pair in pairs.items())
    most = max(
        sum(table[i, j] for i, j in enumerate(chosen)) for chosen in itertools.permutations(range(n_seen), n)
    )
    assert len(pairs) == most


def test_ten_thousand_events_in_order_are_paired_at_once():
    assert fit_in_order(10_000, [0] * 10_000, lambda i, j: i == j, is_whole=True)


def test_a_thousand_keys_in_another_order_are_no_search():
    assert fit_in_order(1_000, list(range(1_000)), lambda i, j: i + j == 999, is_whole=True)


def test_a_search_without_end_is_called_undecided():
    lanes = [n % 40 for n in range(400)]
    with pytest.raises(Undecided):
        fit_in_order(400, lanes, lambda i, j: i < 399, is_whole=True)


def test_the_least_different_are_paired_first():
    distance = {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.5, (1, 1): 0.2}
    assert nearest_pairs([0, 1], [0, 1], lambda i, j: distance[i, j]) == {0: 1, 1: 0}
