"""Whether all that a producer may write is accepted by a consumer, decided from their JSON Schemas."""

from blueprints.compatible.verdict import Compatibility, Misfit, Undecided
from blueprints.compatible.walk import compare, misfits

__all__ = ["Compatibility", "Misfit", "Undecided", "compare", "misfits"]
