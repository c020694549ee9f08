"""The life of a rule, as Prometheus has it: inactive → pending → firing, in one table.

A condition that is *unknown* (a NaN, a window not yet filled) changes nothing: it neither confirms an
incident nor ends one. A pending rule whose condition lapses is simply inactive again; a firing one
first waits out its ``keep_firing_for``.
"""

from trainguard_wire.journal import AlertState

# (state, condition, held: true for the rule's `for`, lapsed: false for its `keep_firing_for`) -> state
TRANSITIONS: dict[tuple[AlertState, bool | None, bool, bool], AlertState] = {
    ("inactive", True, False, False): "pending",
    ("inactive", True, True, False): "firing",
    ("inactive", False, False, False): "inactive",
    ("inactive", False, False, True): "inactive",
    ("inactive", None, False, False): "inactive",
    ("pending", True, False, False): "pending",
    ("pending", True, True, False): "firing",
    ("pending", False, False, False): "inactive",
    ("pending", False, False, True): "inactive",
    ("pending", None, False, False): "pending",
    ("firing", True, False, False): "firing",
    ("firing", True, True, False): "firing",
    ("firing", False, False, False): "firing",
    ("firing", False, False, True): "inactive",
    ("firing", None, False, False): "firing",
}


def advance(state: AlertState, condition: bool | None, *, held: bool, lapsed: bool) -> AlertState:
    """The next state. ``held`` and ``lapsed`` count only beside a condition that is true, or false."""
    return TRANSITIONS[state, condition, held and condition is True, lapsed and condition is False]
