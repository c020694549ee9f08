"""What stands in the way of a person's order, and what does not."""

import pytest

from trainguard_rules.actions import ACTIONS
from trainguard_rules.deciding.orders import answer
from trainguard_rules.durations import Moment
from trainguard_wire import Action, Intervention, Order

NOW = Moment(50, None, 0.0)
UNDER_WAY = Intervention(id="A.0.40", rule="A", step=40, generation=0, expires_step=140, actions=())
BESIDE_ALL = {"stop", "pause", "resume", "save_checkpoint", "diagnose", "notify"}


def order(*kinds: str) -> Order:
    return Order(id="o", actions=tuple(Action(id="", kind=kind) for kind in kinds), by="ada", reason="why not")


@pytest.mark.parametrize("kind", ACTIONS)
def test_beside_what_is_under_way(kind: str) -> None:
    """What changes the training waits; a person can always stop, pause, resume, save and look."""
    free = answer(order(kind), ACTIONS, None, NOW)
    assert free == ("act", "ordered by ada: why not")
    wanted = "act" if kind in BESIDE_ALL else "hold_in_flight"
    assert answer(order(kind), ACTIONS, UNDER_WAY, NOW).verdict == wanted
    assert answer(order(kind, "scale_lr"), ACTIONS, UNDER_WAY, NOW).verdict == "hold_in_flight"


def test_decided_at_this_very_step() -> None:
    """A rule was quicker."""
    assert answer(order("scale_lr"), ACTIONS, UNDER_WAY, Moment(40, None, 0.0)).verdict == "hold_outranked"


@pytest.mark.parametrize("kind", ["stop", "scale_lr"])
def test_what_the_trainer_does_not_offer(kind: str) -> None:
    """Nobody can have it done, whatever is under way; nor is there anybody before the first hello."""
    assert answer(order(kind), ["pause"], UNDER_WAY, NOW) == (
        "hold_unsupported",
        f"this trainer does not offer {kind}",
    )
    assert answer(order(kind), None, None, NOW).verdict == "hold_unsupported"
