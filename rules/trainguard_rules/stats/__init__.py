"""Streaming statistics, one to a file: ``update(x)`` with a finite float, read ``value``.

``value`` is NaN while there is too little to say. Nothing here looks at NaN: the engine keeps non-finite
samples out. Each can be written down as plain data (`snapshot`) and come back exactly (`restore`).
"""

from trainguard_rules.stats.age import Age
from trainguard_rules.stats.base import Reference, Snapshot, Tracker
from trainguard_rules.stats.best import Best
from trainguard_rules.stats.changed import Changed
from trainguard_rules.stats.count import Count
from trainguard_rules.stats.cusum import Cusum
from trainguard_rules.stats.ewma import Ewma
from trainguard_rules.stats.extreme import Max, Min
from trainguard_rules.stats.initial import Initial
from trainguard_rules.stats.mad import Mad
from trainguard_rules.stats.mean import Mean
from trainguard_rules.stats.median import Median
from trainguard_rules.stats.nonfinite import NonFinite
from trainguard_rules.stats.prev import Prev
from trainguard_rules.stats.quantile import Quantile
from trainguard_rules.stats.share import Share
from trainguard_rules.stats.since_best import SinceBest
from trainguard_rules.stats.slope import Slope
from trainguard_rules.stats.std import Std

__all__ = [
    "Age",
    "Best",
    "Changed",
    "Count",
    "Cusum",
    "Ewma",
    "Initial",
    "Mad",
    "Max",
    "Mean",
    "Median",
    "Min",
    "NonFinite",
    "Prev",
    "Quantile",
    "Reference",
    "Share",
    "SinceBest",
    "Slope",
    "Snapshot",
    "Std",
    "Tracker",
]
