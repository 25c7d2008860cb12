"""Whether all that a producer may write is accepted by a consumer, decided from their JSON Schemas (2020-12; older
dialects are read as that).

`compare(writer, reader)` gives what does not fit, field by field, each with an event that shows it, and what cannot be
decided; the rest fits. A writer's schema says what is written: what an object does not list is not written, unless the
schema says so. Formats are demands, as contracts check them.
"""

from blueprints.compatible.verdict import Compatibility, Misfit, Undecided
from blueprints.compatible.walk import compare, misfits

__all__ = ["Compatibility", "Misfit", "Undecided", "compare", "misfits"]
