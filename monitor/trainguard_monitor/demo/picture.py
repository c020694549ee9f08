"""The demo's picture: both loss curves, the faults and the interventions, and the learning rate below."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.transforms import BboxBase

from trainguard_monitor.demo.trainings import Result
from trainguard_wire import Outcome

ALONE, GUARDED, CALM, FAULT = "#c0392b", "#1f6fb2", "#9aa5b1", "#e59866"
SMOOTH = 9
HIGHEST, ROW = 0.97, 0.05  # of names, in heights of the axes


def draw(
    path: Path,
    *,
    reference: Result,
    alone: Result,
    guarded: Result,
    outcomes: Sequence[Outcome],
    learning_rates: Sequence[tuple[int, float]],
) -> None:
    """Write the picture to ``path``, in the format of its suffix."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(10, 6.2), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    _losses(top, reference, alone, guarded)
    applied = [outcome for outcome in outcomes if outcome.status == "applied"]
    for axes in (top, bottom):
        _mark(axes, alone, applied)
    bottom.plot(*zip(*learning_rates, strict=True), color=GUARDED, linewidth=1.4)
    bottom.set(ylabel="learning rate", xlabel="step", ylim=(0, None))
    top.set(yscale="log", ylabel=f"training loss (median of {SMOOTH} steps)")
    top.legend(loc="upper center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.12))
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    figure.draw_without_rendering()  # only then is it known how wide a name is beside the steps
    _name(top, alone, applied)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _losses(axes: Axes, reference: Result, alone: Result, guarded: Result) -> None:
    curves = (("no fault", reference, CALM, 1.0), ("alone", alone, ALONE, 1.4), ("guarded", guarded, GUARDED, 1.4))
    for name, result, colour, width in curves:
        steps = range(1, len(result.losses) + 1)
        label = f"{name}: {result.accuracy:.1%} right"
        axes.plot(steps, _smooth(result.losses), color=colour, linewidth=width, label=label)


def _mark(axes: Axes, alone: Result, applied: Sequence[Outcome]) -> None:
    for fault in alone.faults:
        axes.axvline(fault.step, color=FAULT, linewidth=5, alpha=0.35)
    for outcome in applied:
        axes.axvline(outcome.step, color=GUARDED, linewidth=0.9, linestyle=":")


def _name(axes: Axes, alone: Result, applied: Sequence[Outcome]) -> None:
    """What each line is: as high as there is room, and never over another name."""
    names = [(fault.step, fault.what.partition(":")[0], FAULT) for fault in alone.faults]
    names += [(outcome.step, outcome.kind, GUARDED) for outcome in applied]
    height = axes.get_xaxis_transform()
    taken: list[BboxBase] = []
    for step, name, colour in names:
        text = axes.text(step, HIGHEST, f"  {name}", transform=height, color=colour, fontsize=9, va="top")
        text.set_in_layout(False)  # one that begins near the right edge leaves the axes as they are
        while text.get_window_extent().count_overlaps(taken):
            text.set_y(text.get_position()[1] - ROW)
        taken.append(text.get_window_extent())


def _smooth(losses: Sequence[float]) -> list[float]:
    half = SMOOTH // 2
    return [
        sorted(part)[len(part) // 2] for i in range(len(losses)) if (part := losses[max(0, i - half) : i + half + 1])
    ]
