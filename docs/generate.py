"""Writes `docs/reference/` anew from what the code says of itself: the fields of the language, the options of the
built-in streamlets, the codes of the linter, the commands.

`python -m docs.generate` writes; `--check` writes nothing and fails when a page is stale.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from blueprints.case_fields import CASE, EVENTS, EXPECTED, FILE, GIVEN, RULE, STEP, ByName, ListOf
from blueprints.catalog import NotFound, Port, StreamletType
from blueprints.fields import Level, Named
from blueprints.lint.explain import Page
from blueprints.lint.explain import pages as code_pages
from blueprints.model import LEVELS
from blueprints.options import expand
from blueprints.units import Duration, Rate, Share, Size
from streamlets.catalog import BUILTIN, Streamlets
from streamlets.cli.main import COMMANDS

FOLDER: Final = Path(__file__).parent / "reference"
_QUANTITIES: Final = {
    kind.examples: f"{kind.what}, `{kind.examples[0]}`" for kind in (Duration, Size, Rate, Share)
}
_NUMBERS: Final = {"integer": "a whole number", "number": "a number"}
NOTE: Final = "<!-- Written by `make docs` from the code. Change it there. -->\n"


def pages() -> dict[str, str]:
    """Return the text of every page by its name in `docs/reference/`."""
    kinds = {name: _found(name) for name in sorted(BUILTIN)}
    by_family: dict[str, list[Page]] = {}
    for page in code_pages().values():
        by_family.setdefault(page.family, []).append(page)
    written = {"blueprint.md": _language(), "tests.md": _tests()}
    written |= {f"streamlets/{name}.md": _streamlet(kind) for name, kind in kinds.items()}
    written |= {f"codes/{family}.md": _codes(family, found) for family, found in by_family.items()}
    written["commands.md"] = _commands()
    written["README.md"] = _index(kinds, by_family)
    return {name: text.rstrip() + "\n" for name, text in written.items()}


def _found(name: str) -> StreamletType:
    found = Streamlets().find(name, Path())
    assert not isinstance(found, NotFound), found
    return found


# --- the language


def _language() -> str:
    lines = ["# The fields of a blueprint", NOTE, *_levels(LEVELS)]
    lines += [
        "Durations (`5ms`, `7d`), sizes (`1MiB`), rates (`100/s`) and shares (`10%`) are written with their units. "
        "Any single value may be `${NAME}` or `${NAME:-default}`, taken from the environment.",
    ]
    return "\n".join(lines)


def _tests() -> str:
    intro = "`NAME_test.yaml` beside `NAME.yaml`; `streamlets test NAME.yaml` runs it. [Testing](../guides/testing.md)."
    lines = ["# The fields of blueprint tests", NOTE, intro, ""]
    return "\n".join(lines + _levels((FILE, CASE, STEP, GIVEN, EVENTS, EXPECTED, RULE)))


def _levels(levels: Sequence[Level]) -> list[str]:
    lines = []
    for level in levels:
        lines += [f"## {level.name[:1].upper()}{level.name[1:]}", ""]
        rows = []
        for field in level.fields:
            if field.unsupported:
                continue
            kind = field.kind
            if isinstance(kind, Named):
                what = f"{kind.noun}s by name: [{kind.level.name}](#{_anchor(kind.level.name)})"
            elif isinstance(kind, Level):
                what = f"[{kind.name}](#{_anchor(kind.name)})"
            elif isinstance(kind, ListOf | ByName):
                what = f"{'a list of ' if isinstance(kind, ListOf) else ''}{kind.noun}s"
                what += " by name" if isinstance(kind, ByName) else ""
            else:
                what = _kind(kind.schema(), {})
            must = "required" if field.is_required else _default(field.default)
            rows.append((f"`{field.name}`", what, must, field.description))
        lines += [*_table(("field", "value", "default", "meaning"), rows), ""]
        refused = [field for field in level.fields if field.unsupported]
        for field in refused:
            lines.append(f"`{field.name}` is reserved and refused by this version: {field.unsupported}.")
        lines += [""] if refused else []
    return lines


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


# --- streamlets


def _streamlet(kind: StreamletType) -> str:
    schema = kind.options_schema()
    lines = [f"# {kind.name}", NOTE, kind.description, ""]
    ports: Sequence[Port] = kind.ports({})
    for direction, noun in (("in", "inlet"), ("out", "outlet")):
        side = [port for port in ports if port.direction == direction]
        if side:
            lines += [f"## {noun.capitalize()}s", ""]
            rows = [(f"`{p.name}`", _port_kind(p), p.description) for p in side]
            lines += [*_table((noun, "", "events"), rows), ""]
    lines += ["## Options", ""]
    options = list(_options(schema, schema, ""))
    lines += _table(("option", "value", "default", "meaning"), options) if options else ["None."]
    return "\n".join(lines)


def _port_kind(port: Port) -> str:
    return ", ".join(
        [*([port.kind] if port.direction == "in" else []), *(["must be connected"] if port.required else [])]
    )


def _options(
    root: Mapping[str, Any], schema: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a table of options; those of options within options below their own, with a dotted name."""
    required = schema.get("required", ())
    for name, option in schema.get("properties", {}).items():
        inner = [found for found in expand(root, _inner(option)) if found.get("properties")]
        default = "required" if name in required else _default(option.get("default"))
        if inner and isinstance(option.get("default"), Mapping):
            default = ""
        path = f"{prefix}{name}"
        yield f"`{path}`", _kind(option, root), default, _said(option, root)
        is_list = "items" in option
        for one in inner:
            yield from _options(root, one, f"{path}{'[]' if is_list else ''}.")


def _inner(option: Mapping[str, Any]) -> list[Any]:
    return [option, option["items"]] if "items" in option else [option]


def _said(option: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return the option's own description, else that of what it refers to."""
    found = [one["description"] for one in expand(root, [option]) if one.get("description")]
    return str(option.get("description") or next(iter(found), ""))


def _kind(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return a schema in words, as `a whole number, 1 to 100`."""
    parts: dict[str, None] = {}
    for one in expand(root, [schema]):
        if word := _one_kind(one, root):
            parts[word] = None
    return " or ".join(parts)


def _one_kind(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    pattern = str(schema.get("pattern", ""))
    if pattern.startswith(r"\$\{"):
        return ""  # ${NAME}: said once for all fields
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    kind = schema.get("type")
    if schema.get("writeOnly"):
        return "a secret"
    if kind == "string" and schema.get("examples") and "\\d" in pattern:
        return _QUANTITIES.get(tuple(schema["examples"]), f"such as `{schema['examples'][0]}`")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    if kind == "array":
        return f"a list of {_kind(schema.get('items', {}), root) or 'values'}"
    if kind == "object" and "properties" not in schema:
        more = schema.get("additionalProperties")
        inside = _kind(more, root) if isinstance(more, Mapping) else ""
        return f"names to {inside}" if inside else "a mapping"
    plain = {"string": "text", "boolean": "`true` or `false`", "object": "a mapping", "null": ""}
    kinds = [kind] if isinstance(kind, str) else list(kind or ())
    return " or ".join(
        dict.fromkeys(word for one in kinds if (word := plain.get(one, _NUMBERS.get(one, ""))))
    )


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    told = [f"above {above:,}"] if above is not None else []
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    told += [f"from {low:,}"] if low is not None else []
    told += [f"up to {high:,}"] if high is not None else []
    told += [f"below {below:,}"] if below is not None else []
    return f", {' and '.join(told)}" if told else ""


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ([], {}, "") else ""


# --- codes


def _codes(family: str, found: Sequence[Page]) -> str:
    lines = [f"# Codes: {family}", NOTE]
    for page in found:
        lines += [f"## {page.code}", page.cause.strip(), ""]
        lines += [
            "Bad:",
            "```yaml",
            page.bad.rstrip(),
            "```",
            "Good:",
            "```yaml",
            page.good.rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


# --- commands


def _commands() -> str:
    lines = ["# Commands", NOTE]
    lines += [
        "Exit codes: 0 done, 1 problems found or work refused, 64 wrong usage, 70 a bug of Streamlets, 128 and more: "
        "trying again may help. `--debug` shows the traceback of an error. `NO_COLOR` is honoured.",
        "",
    ]
    for name in COMMANDS:
        module = importlib.import_module(f"streamlets.cli.{name.replace('-', '_')}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        lines += _command(f"streamlets {name}", command, 2)
    return "\n".join(lines)


def _command(path: str, command: click.Command, depth: int) -> list[str]:
    ctx = click.Context(command, info_name=path)
    usage = " ".join([path, *(p for p in command.collect_usage_pieces(ctx) if p != "[OPTIONS]")])
    lines = [f"{'#' * depth} {path}", "", "```", usage, "```", _prose(command.help or ""), ""]
    rows = []
    for param in command.params:
        if not isinstance(param, click.Option) or param.hidden or param.name in ("help", "debug"):
            continue
        shown = ", ".join(f"`{text}`" for text in param.opts)
        if not param.is_flag:
            shown += f" {_metavar(param, ctx)}"
        rows.append((shown, _option_default(param), param.help or ""))
    if rows:
        lines += [*_table(("option", "default", ""), rows), ""]
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            lines += _command(f"{path} {name}", child, depth + 1)
    return lines


def _metavar(param: click.Option, ctx: click.Context) -> str:
    if isinstance(param.type, click.Choice):
        return " or ".join(f"`{word}`" for word in param.type.choices)
    return f"`{param.metavar or param.make_metavar(ctx).split()[0]}`"


def _option_default(param: click.Option) -> str:
    if param.required:
        return "required"
    value = param.to_info_dict().get("default")
    is_told = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return f"`{value}`" if is_told else ""


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in inspect.cleandoc(text).replace("\b", "").splitlines()).strip()


# --- the index


def _index(kinds: Mapping[str, StreamletType], by_family: Mapping[str, Sequence[Page]]) -> str:
    lines = [
        "# Reference",
        NOTE,
        "- [The fields of a blueprint](blueprint.md)",
        "- [Commands](commands.md)",
        "",
    ]
    lines += ["## Streamlets", ""]
    rows = [
        (f"[{n}](streamlets/{n}.md)", k.description.split(". ")[0].splitlines()[0]) for n, k in kinds.items()
    ]
    lines += [*_table(("streamlet", ""), rows), "", "## Codes", ""]
    lines.append("`streamlets verify` reports them, `streamlets explain CODE` prints the same page.")
    lines.append("")
    rows = [
        (f"[{page.code}](codes/{family}.md#{page.code})", page.cause.strip().split(". ")[0].rstrip("."))
        for family, found in by_family.items()
        for page in found
    ]
    return "\n".join([*lines, *_table(("code", ""), rows)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of the pages that are not as the code says, or that nothing says any more."""
    wanted = pages()
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.md")}
    wrong = {
        name for name, text in wanted.items() if name not in there or (folder / name).read_text() != text
    }
    return sorted(wrong | (there - wanted.keys()))


def main() -> int:
    """Write the pages, or check them. Return the exit code."""
    if "--check" in sys.argv[1:]:
        wrong = stale()
        for name in wrong:
            print(f"docs/reference/{name} is stale; next: make docs")
        return 1 if wrong else 0
    wanted = pages()
    for path in FOLDER.rglob("*.md"):
        if str(path.relative_to(FOLDER)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
