"""No fault at all: whoever acts on this raises a false alarm."""

from benchmarks.rescue.training import Fault


class NoFault(Fault):
    name = "none"
    healthy = True
