"""The linter: one file for each family of rules, run in order over one draft. All problems are found at once."""

from __future__ import annotations

import contextlib

from blueprints.lint import (
    contracts,
    dead_letters,
    expressions,
    graph,
    keys,
    names,
    options,
    physics,
    ports,
    producers,
    safety,
    schemas,
    secrets,
    streamlets,
    syntax,
    topics,
    wiring,
)
from blueprints.lint.draft import Draft, Enough

FAMILIES = (
    streamlets,
    syntax,
    names,
    options,
    secrets,
    ports,
    topics,
    schemas,
    contracts,
    producers,
    expressions,
    wiring,
    keys,
    graph,
    dead_letters,
    physics,
    safety,
)
"""Earlier families find what later ones need: types before options, options before ports, ports before the wiring, by
which types say what they need, and that before the rules which hold it against the rest."""


def check(draft: Draft) -> None:
    """Report every problem of a draft to it, up to as many errors as are shown."""
    if draft.is_full:
        return
    with contextlib.suppress(Enough):
        for family in FAMILIES:
            family.check(draft)


__all__ = ["FAMILIES", "Draft", "check"]
