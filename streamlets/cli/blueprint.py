"""A blueprint as an argument of commands, and the folder that it lies in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from blueprints.catalog import Catalog
    from blueprints.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])

OURS = ("blueprints", "deploy", "detectors", "streamlets")
"""Our packages: a user's of the same name, in the folder where the command works, cannot be imported beside them."""


def blueprint_argument(command: F) -> F:
    """Add the argument `blueprint` and the option `--overlay` to a command."""
    file = click.Path(path_type=Path)
    option = click.option(
        "--overlay",
        "overlays",
        type=file,
        multiple=True,
        metavar="FILE",
        help="A second blueprint laid over the first: mappings are merged, lists and values replaced, null removes. "
        "Paths in it begin at the first one's folder. May be repeated; the last one wins.",
    )
    return click.argument("blueprint", type=file)(option(command))


def catalog() -> Catalog:
    """Return every streamlet that a blueprint can name."""
    from streamlets.catalog import Streamlets

    return Streamlets()


def load_plan(blueprint: Path, overlays: Sequence[Path] = ()) -> Plan:
    """Return the plan of a blueprint, its folder open for import. Raises: BlueprintError."""
    from blueprints.load import load
    from streamlets.cli.tracebacks import draw_veil

    open_folder(blueprint.parent)
    plan = load(blueprint, catalog(), os.environ, overlays)
    draw_veil(plan.secrets)
    return plan


def open_folder(folder: Path) -> None:
    """Let modules beside a blueprint, and in the working folder, be imported; report those that ours hide.

    The folders go to the end of the path: a user's `json.py` must not take the standard library's place.
    """
    for place in dict.fromkeys((str(folder.resolve()), os.getcwd())):
        if place not in sys.path:
            sys.path.append(place)
        for name in _hidden_in(Path(place)):
            click.echo(
                f"warning: the package '{name}' in {place} cannot be imported beside that of Streamlets; "
                "rename it, or move it into a package of your own",
                err=True,
            )


def _hidden_in(folder: Path) -> list[str]:
    hidden = []
    for name in OURS:
        ours = getattr(sys.modules.get(name), "__file__", None)
        package, module = folder / name / "__init__.py", folder / f"{name}.py"
        if ours is not None and package.exists() and os.path.samefile(package, ours):
            continue  # the working folder is our own source
        if package.exists() or module.exists():
            hidden.append(name)
    return hidden
