"""Points to draw: few of them, and no spike among the samples that does not show."""

from hypothesis import given
from hypothesis import strategies as st

from trainguard_monitor.recorded.columns import Column

MODERATE = st.lists(st.floats(-1e200, 1e200), min_size=1, max_size=300)
VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=300)
CHUNKS = st.lists(st.integers(1, 50), min_size=1, max_size=300)


def column_of(values: list[float], chunks: list[int], kept: int) -> Column:
    """Steps from 1 on, taken in a chunk at a time."""
    column, done = Column(kept), 0
    for i in range(len(values)):
        size = chunks[i % len(chunks)]
        column.extend(range(done + 1, done + 1 + len(values[done : done + size])), values[done : done + size])
        done += size
    return column


@given(VALUES, CHUNKS, st.integers(2, 40), st.integers(1, 60))
def test_extremes_survive(values, chunks, kept, half):
    """Whatever is asked for, and however little is kept: bounded, in order, true samples, exact least and greatest."""
    column = column_of(values, chunks, kept)
    points = column.points(0, len(values), 2 * half)
    assert len(points.steps) == len(points.values) <= 2 * half
    assert points.steps == sorted(set(points.steps))
    assert all(values[step - 1] == value for step, value in zip(points.steps, points.values, strict=True))
    assert min(points.values) == min(values)
    assert max(points.values) == max(values)


@given(VALUES, CHUNKS, st.integers(2, 40))
def test_memory_is_bounded(values, chunks, kept):
    """Points and what waits to become some stay within a bound set by what is kept, not by the run."""
    column = column_of(values, chunks, kept)
    points = column.points(0, len(values), 10**9)
    assert len(points.steps) < 2 * kept + 2 * points.per_point
    assert len(values) <= max(1, points.per_point) * len(points.steps) + 2 * points.per_point


def test_every_sample_while_there_is_room():
    """As long as they fit, points are samples, and a range is exactly that."""
    column = column_of([float(i) for i in range(1, 101)], [7], 64)
    assert column.points(10, 20, 1000) == (list(range(10, 21)), [float(i) for i in range(10, 21)], 1)
    assert column.points(200, 300, 1000).steps == []


@given(MODERATE, st.integers(2, 20), st.integers(1, 300))
def test_what_is_cut_is_gone(values, kept, step):
    """After a cut only what was before it is there, and the run goes on from it."""
    column = column_of(values, [9], kept)
    column.note_nonfinite(step + 1, "NaN")
    column.cut(step)
    assert all(s < step for s in column.points(0, 10**6, 10**6).steps)
    assert column.nonfinite == []
    column.extend([step, step + 1, step + 2], [1e300, -1e300, 0.0])
    assert {(step, 1e300), (step + 1, -1e300)} <= set(zip(*column.points(0, 10**6, 10**6)[:2], strict=True))


def test_what_is_not_finite_is_kept_apart_and_bounded():
    """By step and name; of too many every other one is dropped, the first never."""
    column = Column(64)
    for step in range(1000):
        column.note_nonfinite(step, "NaN")
    assert len(column.nonfinite) <= 32
    assert column.nonfinite[0] == (0, "NaN")
