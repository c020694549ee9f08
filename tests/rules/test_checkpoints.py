"""The book of checkpoints: whose windows are kept, and for how long."""

from itertools import pairwise

from trainguard_rules.checkpoints import KEPT, MOST_CANDIDATES, CheckpointBook, Snapshot
from trainguard_rules.durations import Moment


def saving(every, good_after, steps, healthy=lambda step: True):
    """A run that saves often; the book, and the checkpoints that were found good."""
    book, good = CheckpointBook(good_after), []
    for step in range(1, steps + 1):
        good += [p.checkpoint for p in book.judge(step, 0, healthy=healthy(step))]
        if step % every == 0:
            book.saved(Snapshot(Moment(step, None, 0.0), f"windows of {step}"), healthy=healthy(step))
    return book, good


def test_windows_are_kept_until_a_checkpoint_can_be_restored_and_after():
    """Of every candidate and of the newest good one, however often the trainer saves."""
    book, good = saving(every=10, good_after=200, steps=1000)
    assert good[-1] == 800
    for step in (good[-1], *book.candidates):
        assert book.restored(1000) is not None
        assert book._snapshots[step].windows == f"windows of {step}"
    assert book.candidates == list(range(810, 1001, 10))


def test_candidates_are_passed_over_where_there_are_too_many():
    """Evenly, so that some still become good."""
    book, good = saving(every=1, good_after=300, steps=2000)
    assert len(book.candidates) <= MOST_CANDIDATES
    assert len(good) > 200
    assert 1690 < good[-1] <= 1700
    assert max(later - sooner for sooner, later in pairwise(good)) < 25
    assert len(book._snapshots) <= MOST_CANDIDATES + KEPT


def test_a_run_that_is_never_healthy_for_long_does_not_fill_the_memory():
    """Nothing becomes good, and what is kept is bounded."""
    book, good = saving(every=2, good_after=50, steps=20_000, healthy=lambda step: step % 40 > 0)
    assert good == []
    assert len(book.candidates) <= MOST_CANDIDATES
    assert len(book._snapshots) <= MOST_CANDIDATES + KEPT
