"""The demo's picture can be read, wherever its faults and interventions fall."""

from itertools import combinations

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib import pyplot as plt

from trainguard_monitor.demo.picture import _name
from trainguard_monitor.demo.trainings import Fault, Result
from trainguard_wire import Outcome

KINDS = ("restore_checkpoint", "skip_steps", "scale_lr")


def applied(step, kind):
    return Outcome(
        step=step, generation=0, time=0.0, rule="R", intervention="R.0.1", action="R.0.1.0", kind=kind, status="applied"
    )


@pytest.mark.parametrize(
    "steps", [(545, 546, 546), (545,) * 6, (545, 546, 546, 600, 601, 601), (545, 600, 700, 800), (1790, 1791, 1791)]
)
def test_no_name_is_printed_over_another(steps):
    """Nor over that of a fault, and none changes where the axes end."""
    faults = [Fault(540, "12 bad batches: noise"), Fault(600, "a parameter tensor corrupted: bias")]
    outcomes = [applied(step, KINDS[i % 3]) for i, step in enumerate(steps)]
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    try:
        axes.set_xlim(0, 1800)
        figure.draw_without_rendering()
        before = axes.get_position().bounds
        _name(axes, Result([], 0.0, 45, faults), outcomes)
        figure.draw_without_rendering()
        assert len(axes.texts) == len(faults) + len(steps)
        assert axes.get_position().bounds == pytest.approx(before)
        for one, other in combinations([text.get_window_extent() for text in axes.texts], 2):
            assert not one.overlaps(other)
    finally:
        plt.close(figure)
