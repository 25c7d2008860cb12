"""What `detect` computes, in a child process: a detector and its policy, made once from a reference, then windows.

A call gets all that it needs and returns all that is to be kept: a child that died has taken nothing along.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from detectors import policy, reference, table
from detectors.detector import QUANTILES, FeatureVerdict
from streamlets.builtin.detecting.rows import Rows

LEAST_ROWS = 20  # fewer say nothing of a distribution: a window closed early is reported, not judged
_MOST_UNREADABLE = 5  # named in a result; the rest are a number


def prepare(spec: str) -> dict[str, Any]:
    """Return what the monitor of a specification is made of, or {"problem": code, "message": text}."""
    try:
        return _monitor(spec).about
    except reference.BadReference as exc:
        return {"problem": exc.code, "message": str(exc)}
    except ValueError as exc:
        return {"problem": "bad-reference", "message": str(exc)}


def judge(
    spec: str, config: str, state: dict[str, Any] | None, events: list[bytes | list[Any]]
) -> dict[str, Any]:
    """Return the verdict on a window, as JSON values. `events`: what was taken of each (`Taken.parts`), in order.

    `config`: what `prepare` said. {"problem", "message"} when that is not so any more: the file was replaced.

    Result: `rows`; `unreadable`, [index, reason] of events left out; `n_unreadable`; and where there are rows enough
    `score`, `drift`, `features`, and what the policy made of it in `state` (to be given with the next window),
    `transition`, `firing`, `value`, `limit`, `breach`, `top` (the features that an alert is about).
    """
    try:
        monitor = _monitor(spec)
    except ValueError as exc:
        return {"problem": "reference-changed", "message": f"the reference cannot be used any more: {exc}"}
    if monitor.about["detector"]["config"] != config:
        return {"problem": "reference-changed", "message": "the reference was replaced while it was in use"}
    blocks, unreadable = [], []
    for index, parts in enumerate(events):
        try:
            blocks.append(monitor.rows.read(parts))
        except ValueError as exc:
            unreadable.append((index, str(exc)))
    rows = sum(map(len, blocks))
    result: dict[str, Any] = {
        "rows": rows,
        "n_unreadable": len(unreadable),
        "unreadable": unreadable[:_MOST_UNREADABLE],
    }
    if rows < LEAST_ROWS:
        return result
    verdict = monitor.detector.judge(np.concatenate(blocks))
    scores = [feature.score for feature in verdict.features]
    step = monitor.policy.step(state, scores, verdict.is_drift)
    return result | {
        "score": verdict.score,
        "drift": verdict.is_drift,
        "features": [_feature(feature) for feature in verdict.features],
        "state": step.state,
        "transition": step.transition,
        "firing": step.is_firing,
        "value": step.value,
        "limit": step.limit,
        "breach": step.windows_in_breach,
        "top": [verdict.features[i].name for i in step.features],
    }


class _Monitor:
    """A detector fitted, adapted and with its policy."""

    def __init__(self, spec: str) -> None:
        wanted = json.loads(spec)
        found = reference.load(Path(wanted["reference"]))
        if wanted["features"]:
            found = found.select(wanted["features"])
        plain = table.build(wanted["detector"], found.rows, found.features, **wanted["options"])
        self.detector, scores = plain.adapted(policy.cut(found.calibration, wanted["window"]))
        chosen = dict(wanted["policy"])
        baselines = policy.baselines(scores)
        self.policy: policy.Policy
        if chosen.pop("use") == "ewma":
            self.policy = policy.Ewma(baselines, **chosen)
        else:
            self.policy = policy.Votes(**chosen)
        self.rows = Rows(found.features, wanted["on"])
        about = found.description
        shown = {**wanted, "reference": about.digest, "version": plain.version}
        self.about: dict[str, Any] = {
            "detector": {"name": plain.name, "version": plain.version, "config": _hash(shown)},
            "reference": {"id": about.id, "digest": about.digest, "rows": about.rows},
            "features": list(found.features),
        }


@lru_cache(maxsize=2)  # the present one, and the one before while a change is on its way
def _monitor(spec: str) -> _Monitor:
    return _Monitor(spec)


def _hash(shown: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:12]


def _feature(found: FeatureVerdict) -> dict[str, Any]:
    return {
        "name": found.name,
        "score": found.score,
        "statistic": found.statistic,
        "p": found.p_value,
        "threshold": found.threshold,
        "drift": found.is_drift,
        "direction": found.direction,
        "missing": found.missing,
        "missing_reference": found.missing_reference,
        "missing_p": found.missing_p_value,
        "quantiles": _quantiles(found.window_quantiles),
        "quantiles_reference": _quantiles(found.reference_quantiles),
    }


def _quantiles(values: tuple[float, ...]) -> dict[str, float | str]:
    """Return quantiles by their share; an infinity by its name, since JSON has none."""
    return {
        f"{share:g}": value if math.isfinite(value) else str(value) for share, value in zip(QUANTILES, values)
    }
