"""The story of a run in words."""

from typing import Any

import pytest

from trainguard_monitor.recorded.story import told
from trainguard_wire import Outcome


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"kind": "scale_lr", "before": 0.2, "after": 0.1}, "scale_lr: 0.2 is now 0.1"),
        ({"kind": "skip_steps", "before": 0.0, "after": 10.0}, "skip_steps: 10 updates dropped"),
        ({"kind": "skip_steps", "before": 0.0, "after": 1.0}, "skip_steps: 1 update dropped"),
        ({"kind": "diagnose", "after": 0.97}, "diagnose: prediction entropy is 0.97"),
        ({"kind": "diagnose"}, "diagnose applied"),
        ({"kind": "resume", "after": 2.5}, "resume: after a pause of 2.5 s"),
        ({"kind": "save_checkpoint"}, "save_checkpoint applied"),
        ({"kind": "pause", "status": "refused", "reason": "no"}, "pause refused: no"),
    ],
)
def test_what_became_of_an_action(seen: dict[str, Any], words: str) -> None:
    """In the unit of the action, and with what was observed."""
    outcome = Outcome(
        **{
            "step": 7,
            "generation": 0,
            "time": 0.0,
            "rule": "R",
            "intervention": "R.0.5",
            "action": "R.0.5.0",
            "status": "applied",
            **seen,
        }
    )
    assert told(outcome) == words
