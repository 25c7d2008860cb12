"""The linter: one file for each family of rules, run in order over one draft. All problems are found at once."""

from __future__ import annotations

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
from blueprints.lint.draft import Draft

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
    """Report every problem of a draft to it."""
    for family in FAMILIES:
        family.check(draft)


__all__ = ["FAMILIES", "Draft", "check"]
