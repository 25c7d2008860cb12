"""Options: what stands under `with`, against the schema and the checks of the streamlet's type; and secrets."""

from __future__ import annotations

from collections.abc import Sequence

from blueprints import moves, respell
from blueprints.catalog import OptionProblem
from blueprints.diagnostics import Edit, Fix, Mark
from blueprints.lint.draft import Draft, StreamletDraft
from blueprints.model import STREAMLET
from blueprints.options import (
    OptionPath,
    OptionReader,
    Schema,
    candidates_at,
    description,
    locate,
    named_path,
    node_at,
    property_names,
    sifted,
)
from blueprints.source import MappingNode, ScalarNode, scalars
from blueprints.suggest import did_you_mean


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        if streamlet.type is not None:
            _check_options(draft, streamlet)


def _check_options(draft: Draft, streamlet: StreamletDraft) -> None:
    assert streamlet.type is not None
    section = streamlet.section
    if section.has("with") and section.get("with") is None:
        streamlet.is_sound = False
        return
    kind = streamlet.type
    # The schema says which values are secrets and what those from the environment are; it takes milliseconds to make.
    is_needed = bool(streamlet.given.entries) and (
        kind.may_hold_secrets() or any(scalar.variables for scalar in scalars(streamlet.given))
    )
    schema = streamlet.schema if is_needed else {}
    reader = OptionReader(schema, draft.base_dir, draft.error, draft.hide)
    streamlet.options = reader.read(streamlet.given)
    if reader.spoiled:
        streamlet.is_sound = False
    draft.secrets |= reader.secrets
    draft.known |= reader.known
    options = streamlet.options
    problems = draft.ask(streamlet, "options", lambda: kind.check_options(options, draft.base_dir))
    for problem in sifted(streamlet.given, problems):
        report_problem(draft, streamlet, problem, reader)
    streamlet.ports = {port.name: port for port in draft.ask(streamlet, "ports", lambda: kind.ports(options))}


def report_problem(
    draft: Draft,
    streamlet: StreamletDraft,
    problem: OptionProblem,
    reader: OptionReader | None = None,
    related: tuple[tuple[Mark, str], ...] = (),
) -> None:
    """Report what is said of a streamlet's option, at the option's place, unless that was reported already."""
    node = streamlet.given
    path, name = named_path(node, problem), streamlet.name
    if reader is not None and any(
        path[: len(p)] == p or (path and p[: len(path)] == path) for p in reader.spoiled
    ):
        return  # what could not be filled in or is no secret has been said
    if problem.severity == "error":
        streamlet.is_sound = False
    mark, variables = locate(
        node, problem.path, at_key=problem.code in ("unknown-option", "deprecated-option")
    )
    if mark is None:
        section = streamlet.section
        mark = section.key("with") if section.has("with") else section.mark
    message, code = problem.message, problem.code
    if code == "unknown-option" and path:
        known = property_names(candidates_at(streamlet.schema, path[:-1]))
        hint = did_you_mean(str(path[-1]), known)
        if len(path) == 1 and path[0] in STREAMLET.names() and not hint:
            text = f"'{path[0]}' is no option of {name}; it goes beside 'use'"
            fix = moves.up(draft.text_of(mark), streamlet.section.node, "with", str(path[0]))
            draft.error(mark, "misplaced-field", text, fix=fix)
            return
        owner = name if len(path) == 1 else f"'{dotted(path[:-1])}' of {name}"
        if not hint:
            hint = f"; its options are {', '.join(known)}" if known else "; it has none"
        message = f"{owner} has no option '{path[-1]}'{hint}"
    elif code == "missing-option" and path:
        owner = name if len(path) == 1 else f"'{dotted(path[:-1])}' of {name}"
        meaning = description(candidates_at(streamlet.schema, path))
        message = f"{owner} needs the option '{path[-1]}'" + (f": {meaning}" if meaning else "")
    elif code == "bad-option" and path:
        message = f"'{dotted(path)}' of {name}: {message}"
    elif not message.startswith(f"{name} "):
        message = f"{name}: {message}"
    if variables:
        named = [f"${{{name}}}" for name in dict.fromkeys(variables)]
        message += f" (from {', '.join(named[:3])}{' …' if len(named) > 3 else ''})"
    fix = None if variables else _fix(streamlet, code, path, mark)
    draft.report(mark, code, message, problem.severity, related, fix)


def _fix(streamlet: StreamletDraft, code: str, path: OptionPath, mark: Mark) -> Fix | None:
    """Return what would mend an option beyond doubt: its name, its value, or the option that took its place."""
    if not path or (found := node_at(streamlet.given, path)) is None:
        return None
    candidates = candidates_at(streamlet.schema, path)
    if code == "bad-option":
        return respell.as_option(found, candidates)
    beside = node_at(streamlet.given, path[:-1])
    if not isinstance(beside, MappingNode):
        return None
    if code == "unknown-option":
        known = property_names(candidates_at(streamlet.schema, path[:-1]))
        free = [one for one in known if one not in beside.entries]
        return respell.name(mark, str(path[-1]), free, is_key=True)
    if code == "deprecated-option":
        return _succeeded(beside, str(path[-1]), candidates, mark)
    return None


def _succeeded(beside: MappingNode, old: str, candidates: Sequence[Schema], mark: Mark) -> Fix | None:
    """Return the fix that writes a deprecated option by its successor's name, which its schema gives."""
    successor = next((str(schema["x-successor"]) for schema in candidates if "x-successor" in schema), "")
    first, _, rest = successor.partition(".")
    if not first or first in beside.entries or "." in rest:
        return None
    renamed = respell.respelling(mark, first, f"write '{successor}'", is_key=True)
    if renamed is None or not rest:
        return renamed
    value, (_, end) = beside.entries[old].value, beside.spans[old]
    if not isinstance(value, ScalarNode) or value.mark.start < 0:
        return None
    begin = value.mark.start - (0 if value.plain else 1)
    braces = (Edit(mark.file, begin, begin, f"{{ {rest}: "), Edit(mark.file, end, end, " }"))
    return Fix(renamed.title, (*renamed.edits, *braces))


def dotted(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
