"""The table of detectors: what a blueprint may name by `detector`. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.detector import Detector, Floats

_CLASSES = {
    "ks": "detectors.ks:KS",
}


def names() -> tuple[str, ...]:
    """Return the names that a blueprint may use."""
    return tuple(_CLASSES)


def build(name: str, reference: Floats, feature_names: Sequence[str], **options: Any) -> Detector:
    """Return the detector fitted on a reference. Only its own module is imported."""
    module, _, attribute = _CLASSES[name].partition(":")
    detector: Detector = getattr(import_module(module), attribute)(reference, feature_names, **options)
    return detector
