"""`did you mean`: the nearest of the names that would have been right."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a misspelt word most likely stood for, or None."""
    import difflib  # 10 ms that a blueprint without a mistake does not pay

    choices = list(names)
    folded = {name.lower().replace("_", "-"): name for name in choices}
    word = word[:80].lower().replace("_", "-")  # the comparison is quadratic in the length
    found = difflib.get_close_matches(word, list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'threshold'?`, or nothing."""
    name = nearest(word, names)
    return f"; did you mean '{name}'?" if name is not None else ""


def is_slip(word: str, name: str) -> bool:
    """Return whether a word is a name with one letter wrong, missing, too many, or two that changed places."""
    if word == name or abs(len(word) - len(name)) > 1:
        return False
    at = next(
        (i for i, (a, b) in enumerate(zip(word, name, strict=False)) if a != b), min(len(word), len(name))
    )
    rest, wanted = word[at:], name[at:]
    return (
        rest[1:] == wanted[1:]
        or rest[1:] == wanted
        or rest == wanted[1:]
        or (rest[:2] == wanted[1::-1] and rest[2:] == wanted[2:])
    )


def certain(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a misspelt word can only have stood for, or None: nothing else comes near it.

    Near is one slip of the typing hand, or two in a long word: a letter too many, missing, wrong, or two swapped.
    Every other name must be two slips further away.
    """
    choices = list(dict.fromkeys(names))
    folded = [name for name in choices if _folded(name) == _folded(word)]
    if folded:
        return folded[0] if len(folded) == 1 else None
    if not 2 <= len(word) <= 80:
        return None
    slips = sorted((_slips(word.lower(), name.lower()), name) for name in choices)
    if not slips or slips[0][0] > (1 if min(len(word), len(slips[0][1])) < 6 else 2):
        return None
    return slips[0][1] if len(slips) == 1 or slips[1][0] >= slips[0][0] + 2 else None


def _folded(word: str) -> str:
    return word.strip().lower().replace("_", "").replace("-", "")


def _slips(one: str, other: str) -> int:
    """Return the slips between two words. Source: optimal string alignment distance (Damerau 1964)."""
    before, last = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        here = [i]
        for j, b in enumerate(other, 1):
            slips = min(last[j] + 1, here[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                slips = min(slips, before[j - 2] + 1)
            here.append(slips)
        before, last = last, here
    return last[-1]
