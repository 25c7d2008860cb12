"""The linter: one file for each family of rules, run in order over one draft. All problems are found at once."""

from __future__ import annotations

from blueprints.lint import (
    contracts,
    graph,
    names,
    options,
    ports,
    schemas,
    streamlets,
    syntax,
    topics,
    wiring,
)
from blueprints.lint.draft import Draft

FAMILIES = (streamlets, syntax, names, options, ports, topics, schemas, contracts, graph, wiring)
"""Earlier families find what later ones need: types before options, options before ports, ports before the graph."""


def check(draft: Draft) -> None:
    """Report every problem of a draft to it."""
    for family in FAMILIES:
        family.check(draft)


__all__ = ["FAMILIES", "Draft", "check"]
