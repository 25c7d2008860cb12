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
