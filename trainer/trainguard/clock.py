"""The one place that reads clocks."""

from collections.abc import Callable
from time import perf_counter
from time import time as unix_time
from typing import NamedTuple


class Clock(NamedTuple):
    """``time`` is Unix seconds, for records; ``ticks`` is a monotonic counter in seconds, for durations."""

    time: Callable[[], float] = unix_time
    ticks: Callable[[], float] = perf_counter
