"""Streaming statistics, one to a file: ``update(x)`` with a finite float, read ``value``.

``value`` is NaN while there is too little to say. Nothing here looks at NaN: the engine keeps non-finite
samples out. Each can be written down as plain data (`snapshot`) and come back exactly (`restore`).
"""

from trainguard_rules.stats.base import Reference, Snapshot, Tracker
from trainguard_rules.stats.mean import Mean
from trainguard_rules.stats.median import Median
from trainguard_rules.stats.prev import Prev
from trainguard_rules.stats.since_best import SinceBest

__all__ = ["Mean", "Median", "Prev", "Reference", "SinceBest", "Snapshot", "Tracker"]
