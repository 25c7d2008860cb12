"""The distribution of the Kolmogorov–Smirnov statistic for a finite sample, without scipy.

Importing `scipy.stats` takes two seconds and 60 MB; a detector needs one function of it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from detectors.detector import Floats

Integers = npt.NDArray[np.int64]

# Where each formula is used: the choice of Simard & L'Ecuyer (2011), which is also scipy's.
_SMALL_N = 140
_EXACT_BELOW_N = 100_000
_NEARLY_ONE = 1.0 - 1e-9
_TERMS_AT_ONCE = 500_000  # 4 MB an array, of which a few live at once


def survival(n: npt.ArrayLike, d: npt.ArrayLike) -> Floats:
    """Return P(D_n >= d) of the two-sided one-sample statistic, elementwise.

    n: int (k,), sizes of at least 1; d: float (k,). For two samples of n1 and n2 values take
    n = round(n1 * n2 / (n1 + n2)).

    Exact for n <= 140 and in both tails; between them the expansion of Pelz and Good. Agrees with
    `scipy.stats.kstwo.sf` to 1e-12 in test_kolmogorov.py.

    >>> survival([476, 476], [0.03, 0.09]).round(6).tolist()
    [0.773243, 0.000835]

    Source: Simard and L'Ecuyer, "Computing the two-sided Kolmogorov–Smirnov distribution", Journal of Statistical
    Software 39 (2011); Marsaglia, Tsang and Wang, same journal 8 (2003); Pelz and Good, JRSS B 38 (1976).
    """
    return np.where(np.asarray(d) >= 1.0, 0.0, np.exp(log_survival(n, d)))


def log_survival(n: npt.ArrayLike, d: npt.ArrayLike) -> Floats:
    """Return log P(D_n >= d) as `survival` does, finite also where the probability itself is below every float.

    At d = 1, where it would be log 0, it is that of a distance so little below that nothing lies between.
    """
    sizes, distances = np.broadcast_arrays(np.asarray(n, np.int64), np.asarray(d, np.float64))
    distances = np.minimum(distances, _NEARLY_ONE)
    result = np.zeros(sizes.shape)
    t = sizes * distances
    squared = t * distances
    live = t > 0.5

    tail = live & np.where(
        sizes <= _SMALL_N, (squared > 4.0) | (distances >= 0.5) | (t >= sizes - 1), squared >= 2.2
    )
    if tail.any():
        result[tail] = math.log(2.0) + _log_one_sided(sizes[tail], distances[tail])

    body = live & ~tail
    exact = body & (
        (sizes <= _SMALL_N) | ((sizes <= _EXACT_BELOW_N) & (sizes * distances * np.sqrt(distances) <= 1.4))
    )
    for index in np.nonzero(exact.ravel())[0]:
        result.flat[index] = math.log1p(-_durbin_cdf(int(sizes.flat[index]), float(distances.flat[index])))
    expanded = body & ~exact
    if expanded.any():
        result[expanded] = np.log1p(-_pelz_good_cdf(sizes[expanded], distances[expanded]))
    return np.minimum(result, 0.0)


def _log_one_sided(n: Integers, x: Floats) -> Floats:
    """Return log P(D+_n >= x): the sum of Birnbaum and Tingey, n terms, each by its logarithm.

    The binomial coefficients are taken by Stirling's errors, so that no large logarithms cancel:
    the terms keep 13 digits for any n (Loader, "Fast and accurate computation of binomial probabilities", 2000).
    """
    result = np.empty(n.shape)
    for size in np.unique(n):
        chosen = np.nonzero(n == size)[0]
        at_once = max(1, _TERMS_AT_ONCE // int(size))
        for start in range(0, len(chosen), at_once):
            part = chosen[start : start + at_once]
            result[part] = _log_one_sided_of(int(size), x[part])
    return result


def _log_one_sided_of(n: int, x: Floats) -> Floats:
    x = x[:, None]
    v = np.arange(1, n, dtype=np.float64)[None, :]
    u = n - v
    inside = u > n * x
    # log of C(n, v) (v/n)^v (u/n)^u
    errors = _stirling_errors(n)
    binomial = 0.5 * np.log(n / (2.0 * math.pi * v * u)) + (
        errors[n] - errors[1:n][None, :] - errors[n - 1 : 0 : -1][None, :]
    )
    # times ((x + v/n) / (v/n))^v ((u/n - x) / (u/n))^u, times x over x + v/n
    rise = np.log1p(n * x / v)
    fall = np.log1p(np.where(inside, -n * x / u, 0.0))
    terms = (binomial + np.log(n / v)) + np.log(x) + (v - 1.0) * rise + u * fall
    first = n * np.log1p(-x)  # the term of v = 0
    terms = np.concatenate((first, np.where(inside, terms, -np.inf)), axis=1)
    highest = terms.max(axis=1)
    return np.asarray(highest + np.log(np.exp(terms - highest[:, None]).sum(axis=1)))


_SERIES_FROM = 16


def _stirling_errors(n: int) -> Floats:
    """Return log(k!) - log(sqrt(2 pi k) (k/e)^k) for k = 0 … n; the entry of 0 is not used."""
    k = np.arange(n + 1, dtype=np.float64)
    k[0] = 1.0
    square = k * k
    errors = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / k
    for small in range(1, min(_SERIES_FROM, n + 1)):
        errors[small] = math.lgamma(small + 1) - (
            0.5 * math.log(2 * math.pi * small) + small * math.log(small) - small
        )
    return np.asarray(errors)


def _durbin_cdf(n: int, d: float) -> float:
    """Return P(D_n < d), exact: an entry of the n-th power of a matrix of size 2k - 1 where k = ceil(n d)."""
    k = math.ceil(n * d)
    h = k - n * d
    m = 2 * k - 1
    if m == 1:
        return math.exp(math.lgamma(n + 1) - n * math.log(n) + n * math.log(2 * n * d - 1))
    inverse_factorials = 1.0 / np.cumprod(np.arange(1.0, m + 1.0))
    matrix = np.zeros((m, m))
    for column in range(1, m):
        matrix[column - 1 :, column] = np.concatenate(([1.0], inverse_factorials))[: m - column + 1]
    edge = (1.0 - h ** np.arange(1.0, m + 1.0)) * inverse_factorials
    edge[-1] = (1.0 - 2.0 * h**m + max(2.0 * h - 1.0, 0.0) ** m) * inverse_factorials[-1]
    matrix[:, 0] = edge
    matrix[-1, :] = edge[::-1]

    power, exponent = np.eye(m), 0
    square, square_exponent = matrix, 0
    rest = n
    while rest:
        if rest & 1:
            power, exponent = _scaled(power @ square, exponent + square_exponent)
        square, square_exponent = _scaled(square @ square, 2 * square_exponent)
        rest >>= 1
    logarithm = math.log(power[k - 1, k - 1]) + exponent * math.log(2.0)
    return min(1.0, math.exp(logarithm + _log_factorial_over_power(n)))


def _scaled(matrix: Floats, exponent: int) -> tuple[Floats, int]:
    """Return the matrix with its largest entry near 1, and the power of two taken out: powers would overflow."""
    shift = int(np.frexp(matrix.max())[1])
    return np.ldexp(matrix, -shift), exponent + shift


def _log_factorial_over_power(n: int) -> float:
    """Return log(n! / n^n), by Stirling with its error: lgamma less n log n would lose digits as n grows."""
    return 0.5 * math.log(2.0 * math.pi * n) - n + float(_stirling_errors(n)[n])


def _pelz_good_cdf(n: Integers, d: Floats) -> Floats:
    """Return P(D_n < d) by the asymptotic expansion in powers of 1/sqrt(n), four terms."""
    z = np.sqrt(n) * d
    z2, z4, z6 = z**2, z**4, z**6
    pi2, pi4, pi6 = math.pi**2, math.pi**4, math.pi**6
    k0, k1, k2, k3 = (np.zeros(z.shape) for _ in range(4))
    terms = max(1, math.ceil(16.0 * float(z.max()) / math.pi))
    for k in range(terms, 0, -1):  # smallest first, so that nothing is lost in the sum
        odd = 2 * k - 1
        m2 = float(odd * odd)
        m4, m6 = m2 * m2, m2 * m2 * m2
        weight = np.exp(-m2 * pi2 / (8.0 * z2))
        k0 += weight
        k1 += weight * (pi2 / 4 * m2 - z2)
        k2 += weight * (6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * pi2 / 4 * m2 + (1 - 2 * z2) * pi4 / 16 * m4)
        k3 += weight * (
            -30 * z6
            - 90 * z4 * z4
            + (135 * z4 - 96 * z6) * pi2 / 4 * m2
            + (212 * z4 - 60 * z2) * pi4 / 16 * m4
            + (5 - 30 * z2) * pi6 / 64 * m6
        )
    second, third = np.zeros(z.shape), np.zeros(z.shape)
    for k in range(terms, 0, -1):
        square = float(k * k)
        weight = square * np.exp(-square * pi2 / (2.0 * z2))
        second += weight
        third += weight * (3.0 * z2 - pi2 * square)
    root = math.sqrt(2.0 * math.pi)
    k0 *= root / z
    k1 *= root / (6.0 * z4)
    k2 = k2 * root / (72.0 * z6 * z) - second * pi2 * root / (36.0 * z2 * z)
    k3 = k3 * root / (6480.0 * z6 * z4) + third * pi2 * root / (216.0 * z6)
    return np.asarray(k0 + k1 / np.sqrt(n) + k2 / n + k3 / n**1.5)
