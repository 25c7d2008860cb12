"""Wiring: what a streamlet's type says of its connections, and what it needs of them for the rules that follow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from blueprints.catalog import OptionProblem, StreamletType, Wiring
from blueprints.lint.draft import Draft, StreamletDraft
from blueprints.lint.options import report_problem
from blueprints.needs import Needs, flaw
from blueprints.suggest import did_you_mean


def check(draft: Draft) -> None:
    for streamlet in draft.streamlets.values():
        if streamlet.type is None or not streamlet.is_sound or streamlet.name in draft.misnamed:
            continue
        connected = {
            port: draft.partitions[uses[0][0].name]
            for port in streamlet.ports
            if (uses := draft.uses(streamlet.name, port))
        }
        wiring = Wiring(connected, streamlet.section.get("replicas", 1), draft.base_dir)
        kind, options = streamlet.type, streamlet.options
        problems = draft.ask(streamlet, "wiring", partial(kind.check_wiring, options, wiring))
        for problem in problems:
            report_problem(draft, streamlet, problem)
        _ask_needs(draft, streamlet, kind, wiring)
    _check_files(draft)


def _check_files(draft: Draft) -> None:
    """Report a file that is written by one streamlet and read or written by another, however its path is spelt."""
    users: dict[str, tuple[str, str]] = {}
    for streamlet in draft.streamlets.values():
        for said in streamlet.needs.read_files:
            users.setdefault(os.path.realpath(draft.base_dir / said.text), (streamlet.name, "reads"))
    for streamlet in draft.streamlets.values():
        for said in streamlet.needs.written_files:
            place = os.path.realpath(draft.base_dir / said.text)
            other, does = users.setdefault(place, (streamlet.name, "writes"))
            if other != streamlet.name:
                message = (
                    f"'{other}' {does} the file '{said.text}' too; what is written has a file of its own"
                )
                report_problem(draft, streamlet, OptionProblem(said.option, "bad-option", message))


def _ask_needs(draft: Draft, streamlet: StreamletDraft, kind: StreamletType, wiring: Wiring) -> None:
    """Keep what a streamlet needs, unless a problem was found; the type may be anybody's and may answer anything."""
    if not streamlet.is_sound:
        return
    answer: Sequence[Any] = draft.ask(streamlet, "needs", lambda: (kind.needs(streamlet.options, wiring),))
    for needs in answer:
        if problem := _problem(streamlet, needs):
            draft.error(streamlet.section.at("use"), "not-a-streamlet", f"'{streamlet.use}' {problem}")
        else:
            streamlet.needs = needs


def _problem(streamlet: StreamletDraft, needs: Needs) -> str:
    """Return what is wrong with an answer, or nothing."""
    if wrong := flaw(needs):
        return f"is asked for its needs, and its answer {wrong}; return streamlets.ports.Needs"
    inlets = [port.name for port in streamlet.ports.values() if port.direction == "in"]
    unknown = sorted(needs.inlets() - set(inlets))
    if not unknown:
        return ""
    hint = did_you_mean(unknown[0], inlets) or f"; its inlets are {', '.join(inlets) or 'none'}"
    return f"says what it needs of an inlet '{unknown[0]}' that it does not have{hint}"
