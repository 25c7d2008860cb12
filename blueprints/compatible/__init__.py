"""Whether all that a producer may write is accepted by a consumer, decided from their JSON Schemas."""

from blueprints.compatible.structure import compare, misfits
from blueprints.compatible.verdict import Compatibility, Misfit, Undecided

__all__ = ["Compatibility", "Misfit", "Undecided", "compare", "misfits"]
