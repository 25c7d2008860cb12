"""Importing what a blueprint names as `package.module:name`, with the blueprint's folder on the path.

Ours come first: `streamlets`, `blueprints`, `detectors` and `deploy` are these, whatever the folder holds. Where a name
hides a file of the user, that is said with the cure; nothing is swapped in silence.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from blueprints.suggest import did_you_mean

OURS = ("streamlets", "blueprints", "detectors", "deploy")
_WIDEST = 200  # of an exception's text, in characters


class CannotImport(Exception):
    """What was named could not be had. `is_missing`: the module is there, the name in it is not."""

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


_from_folder: dict[str, Path] = {}
"""Modules that were loaded for a blueprint, with its folder: another blueprint's of the same name is another module."""


def load(target: str, base_dir: Path) -> Any:
    """Return what `package.module:name` names. Raises: CannotImport, with file and line of the user's error."""
    module_name, _, name = target.partition(":")
    parts = module_name.split(".")
    if not name.isidentifier() or not all(part.isidentifier() for part in parts):
        raise CannotImport(f"'{target}' is not written as package.module:name")
    base_dir = base_dir.resolve()
    module = _module(module_name, base_dir)
    try:
        return getattr(module, name)
    except AttributeError:
        known = [other for other in vars(module) if not other.startswith("_")]
        hint = did_you_mean(name, known) or f"; {_place(module, base_dir)} has no such name"
        raise CannotImport(f"module '{module_name}' has no '{name}'{hint}", is_missing=True) from None


def _module(name: str, base_dir: Path) -> ModuleType:
    top = name.partition(".")[0]
    _make_way(top, base_dir)
    _check_ours(top, base_dir)
    before = set(sys.modules)
    if str(base_dir) not in sys.path:
        sys.path.insert(0, str(base_dir))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a module may raise anything, SystemExit included
        raise CannotImport(_why(name, exc, base_dir)) from exc
    finally:
        for loaded in set(sys.modules) - before:
            if _is_below(sys.modules[loaded], base_dir):
                _from_folder[loaded] = base_dir
    _check_hidden(top, base_dir)
    return module


def _make_way(top: str, base_dir: Path) -> None:
    """Forget another blueprint's modules where this one has a module of the same name."""
    folder = _from_folder.get(top)
    if folder is None or folder == base_dir or not _candidates(top, base_dir):
        return
    for name in [name for name, found in _from_folder.items() if found == folder]:
        del _from_folder[name]
        sys.modules.pop(name, None)
    if str(folder) in sys.path:
        sys.path.remove(str(folder))


def _check_ours(top: str, base_dir: Path) -> None:
    if top in OURS:
        importlib.import_module(top)  # before the folder goes on the path
        _check_hidden(top, base_dir)


def _check_hidden(top: str, base_dir: Path) -> None:
    """Raise when the folder has a module of this name and another one was loaded."""
    module = sys.modules.get(top)
    theirs = _candidates(top, base_dir)
    if module is None or not theirs or _is_below(module, base_dir):
        return
    if top in OURS:
        whose = f"the package '{top}' of Streamlets"
    else:
        whose = f"the module '{top}' of {_where(module)}"
    raise CannotImport(f"'{theirs[0].name}' in this folder is hidden by {whose}; give yours another name")


def _candidates(top: str, base_dir: Path) -> list[Path]:
    return [path for path in (base_dir / f"{top}.py", base_dir / top) if path.exists()]


def _paths(module: ModuleType) -> Iterable[str]:
    file = getattr(module, "__file__", None)
    return [file] if file else list(getattr(module, "__path__", ()))


def _is_below(module: ModuleType | None, base_dir: Path) -> bool:
    return module is not None and any(Path(p).resolve().is_relative_to(base_dir) for p in _paths(module))


def _where(module: ModuleType) -> str:
    if module.__name__ in sys.stdlib_module_names:
        return "Python itself"
    return next(iter(_paths(module)), "the interpreter")


def _place(module: ModuleType, base_dir: Path) -> str:
    return _relative(next(iter(_paths(module)), module.__name__), base_dir)


def _relative(file: str, base_dir: Path) -> str:
    path = Path(file)
    return str(path.relative_to(base_dir)) if path.is_relative_to(base_dir) else file


def _why(name: str, exc: BaseException, base_dir: Path) -> str:
    if isinstance(exc, ModuleNotFoundError) and exc.name is not None and _is_part(exc.name, name):
        siblings = [path.stem for path in base_dir.glob("*.py")]
        hint = did_you_mean(name, siblings) or "; it is neither in the blueprint's folder nor installed"
        return f"there is no module '{exc.name}'{hint}"
    said = (str(exc).splitlines() or [""])[0][:_WIDEST]
    reason = f"{type(exc).__name__}: {said}" if said else type(exc).__name__
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"module '{name}' cannot be imported: {type(exc).__name__}: {exc.msg} ({_at(exc, base_dir)})"
    frames = traceback.extract_tb(exc.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(base_dir)]
    foreign = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    for frame in (theirs or foreign)[-1:]:
        return f"module '{name}' cannot be imported: {reason} ({_relative(frame.filename, base_dir)}:{frame.lineno})"
    return f"module '{name}' cannot be imported: {reason}"


def _at(exc: SyntaxError, base_dir: Path) -> str:
    return f"{_relative(str(exc.filename), base_dir)}:{exc.lineno}"


def _is_part(missing: str, wanted: str) -> bool:
    return wanted == missing or wanted.startswith(missing + ".")
