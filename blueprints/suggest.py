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
