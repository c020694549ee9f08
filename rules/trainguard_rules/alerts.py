"""The life of a rule, as Prometheus has it: inactive → pending → firing, in one table.

A condition that is *unknown* (a NaN, a window not yet filled) changes nothing: it neither confirms an
incident nor ends one. A pending rule whose condition lapses is inactive again without a trace.
"""

from typing import NamedTuple

from trainguard_wire.journal import AlertState

# (state, condition, whether the condition has held for the rule's `for`) -> state
TRANSITIONS: dict[tuple[AlertState, bool | None, bool], AlertState] = {
    ("inactive", True, False): "pending",
    ("inactive", True, True): "firing",
    ("inactive", False, False): "inactive",
    ("inactive", None, False): "inactive",
    ("pending", True, False): "pending",
    ("pending", True, True): "firing",
    ("pending", False, False): "inactive",
    ("pending", None, False): "pending",
    ("firing", True, False): "firing",
    ("firing", True, True): "firing",
    ("firing", False, False): "inactive",
    ("firing", None, False): "firing",
}


class Alert(NamedTuple):
    """``onset`` is the step at which the condition turned true, None while inactive."""

    state: AlertState = "inactive"
    onset: int | None = None


def advance(state: AlertState, condition: bool | None, *, held: bool) -> AlertState:
    """The next state. ``held`` says that the condition, if true, has been true for the rule's ``for``."""
    return TRANSITIONS[state, condition, held and condition is True]
