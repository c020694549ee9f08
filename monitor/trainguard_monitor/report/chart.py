"""A chart of one signal, worked out: the curve, what is marked on the axes, bands of rules and marks of interventions.

Everything here is numbers and short texts; the template makes SVG of them. A curve is what the history keeps of the
signal, the least and the greatest of every stretch, so that no spike is lost. It breaks where a value was not finite.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from trainguard_monitor.report.axes import Axis, vertical
from trainguard_monitor.report.incidents import Band

WIDTH, HEIGHT = 900.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 890.0, 18.0, 206.0
NARROWEST = 2.0
MOST_CROSSES = 100
LONGEST_TITLE = 300


class Tick(NamedTuple):
    """A mark on an axis, and what stands beside it."""

    at: float
    label: str


class Stripe(NamedTuple):
    """Bands in the picture that touch; ``title`` says which."""

    x: float
    width: float
    state: str
    title: str


class Mark(NamedTuple):
    """Something that happened at a step: an incident's number, and what was done."""

    step: int
    label: str
    title: str
    level: str  # act, bad, quiet


@dataclass(frozen=True)
class Chart:
    """``lines`` are SVG paths; ``marks`` and ``crosses`` come with their places. ``said`` is the picture in words."""

    signal: str
    unit: str
    meaning: str
    said: str
    log: bool
    lines: list[str]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    stripes: list[Stripe]
    edge: list[Stripe]
    marks: list[tuple[float, Mark]]
    crosses: list[Tick]


def draw(
    signal: str,
    column: dict[str, Any],
    span: tuple[int, int],
    looked_at: Sequence[Band],
    others: Sequence[Band],
    marks: Sequence[Mark],
    *,
    unit: str = "",
    meaning: str = "",
) -> Chart:
    """``column`` is that of the history. Bands of rules that look at the signal fill the picture, others edge it."""
    steps, values, odd = column["step"], column["value"], column["nonfinite"]
    x = Axis(span[0], max(span[1], span[0] + 1), LEFT, RIGHT)
    y = vertical(values or [0.0], TOP, BOTTOM)
    return Chart(
        signal=signal,
        unit=unit,
        meaning=meaning,
        said=_said(steps, values, odd),
        log=y.log,
        lines=[_path(x, y, part) for part in _parts(steps, values, odd)],
        x_ticks=[Tick(x.at(step), f"{step:,.0f}") for step in x.ticks() if step == int(step)],
        y_ticks=[Tick(y.at(value), f"{value:.4g}") for value in y.ticks()],
        stripes=list(_stripes(looked_at, x)),
        edge=list(_stripes(others, x)),
        marks=[(x.at(mark.step), mark) for mark in marks if span[0] <= mark.step <= span[1]],
        crosses=[Tick(x.at(step), f"{value} at step {step}") for step, value in odd[:: len(odd) // MOST_CROSSES + 1]],
    )


def _said(steps: Sequence[int], values: Sequence[float], odd: Sequence[Any]) -> str:
    some = f"not finite {len(odd)} times, first at step {odd[0][0]}" if len(odd) > 1 else ""
    some = some or (f"{odd[0][1]} at step {odd[0][0]}" if odd else "")
    if not values:
        return some or "never measured"
    least, most = min(values), max(values)
    said = f"{values[0]:.4g} at first, {values[-1]:.4g} at last"
    if most > least:
        at_least, at_most = steps[values.index(least)], steps[values.index(most)]
        said += f"; least {least:.4g} (step {at_least}), greatest {most:.4g} (step {at_most})"
    return f"{said}; {some}" if some else said


def _parts(steps: Sequence[int], values: Sequence[float], odd: Sequence[Any]) -> Iterator[list[tuple[int, float]]]:
    """The curve in one piece, or in pieces around what was not finite."""
    cuts = sorted({bisect_right(steps, step) for step, _ in odd})
    for begin, end in pairwise([0, *(cut for cut in cuts if 0 < cut < len(steps)), len(steps)]):
        yield list(zip(steps[begin:end], values[begin:end], strict=True))


def _path(x: Axis, y: Axis, points: Sequence[tuple[int, float]]) -> str:
    places = [f"{x.at(step):.1f} {y.at(value):.1f}" for step, value in points]
    if len(places) == 1:
        return f"M{places[0]}h.1"  # a point, as long as the pen is thick
    return "M" + "L".join(places)


def _stripes(bands: Sequence[Band], x: Axis) -> Iterator[Stripe]:
    """In the picture; what can't be told apart there is one. Firing comes last, so that it is seen."""
    for state in ("pending", "firing"):
        under_way: Stripe | None = None
        for band in sorted((band for band in bands if band.state == state), key=lambda band: band.first):
            stripe = _stripe(band, x)
            if under_way is None:
                under_way = stripe
            elif stripe.x <= under_way.x + under_way.width:
                end = max(under_way.x + under_way.width, stripe.x + stripe.width)
                title = f"{under_way.title}; {stripe.title}"[:LONGEST_TITLE]
                under_way = Stripe(under_way.x, end - under_way.x, state, title)
            else:
                yield under_way
                under_way = stripe
        if under_way is not None:
            yield under_way


def _stripe(band: Band, x: Axis) -> Stripe:
    begin = x.at(band.first)
    end = x.end if band.last is None else x.at(band.last)
    until = "until the end" if band.last is None else f"to {band.last}"
    return Stripe(
        begin, max(NARROWEST, end - begin), band.state, f"{band.rule} {band.state}, steps {band.first} {until}"
    )
