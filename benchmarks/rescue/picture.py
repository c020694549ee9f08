"""The scores of one half as a picture: what share of broken runs was rescued, and of healthy ones disturbed."""

from pathlib import Path

from benchmarks.rescue.catalogue import all_guards
from benchmarks.rescue.report import OURS, Half
from benchmarks.rescue.scores import Share

GREEN, GREY, RED, INK, FAINT = "#1b7f5c", "#9aa4b2", "#c8553d", "#1f2733", "#e9ecf0"


def draw(half: Half, file: Path) -> None:
    """The best guard on top; a whisker is the 95 % interval."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    scores = list(reversed(half.scores))
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(10, 0.42 * len(scores) + 1.3), width_ratios=(3, 2))
    for y, each in enumerate(scores):
        ours = each.guard == OURS
        _bar(left, y, each.rescued, GREEN if ours else GREY, whisker=True, bold=ours)
        _bar(right, y, each.disturbed, RED, whisker=False, bold=ours)
    left.set_yticks(range(len(scores)), [_label(each.guard) for each in scores])
    for label, each in zip(left.get_yticklabels(), scores, strict=True):
        label.set_fontweight("bold" if each.guard == OURS else "normal")
    left.set_title(f"Broken runs rescued (of {scores[0].rescued.of})", loc="left", color=INK, fontsize=12)
    right.set_title(f"Healthy runs disturbed (of {scores[0].disturbed.of})", loc="left", color=INK, fontsize=12)
    for axes in (left, right):
        axes.set(xlim=(0, 100), xticks=())
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
    figure.tight_layout(w_pad=4)
    figure.savefig(file, dpi=130)


def _label(guard: str) -> str:
    words = guard.replace("_", " ")
    return f"{words} (only stops)" if all_guards()[guard].only_stops else words


def _bar(axes, y, share: Share, colour: str, *, whisker: bool, bold: bool) -> None:  # type: ignore[no-untyped-def]
    percent, (low, high) = 100 * share.value, share.interval
    axes.barh(y, 100, color=FAINT, height=0.66)
    axes.barh(y, percent, color=colour, height=0.66)
    if whisker:
        axes.plot((100 * low, 100 * high), (y, y), color=INK, lw=1)
    edge = 100 * high if whisker else percent
    inside = edge > 85
    axes.text(
        *(percent / 2 if inside else edge + 1.5, y, f"{percent:.0f} %"),
        va="center",
        ha="center" if inside else "left",
        color="white" if inside else INK,
        fontweight="bold" if bold else "normal",
    )
