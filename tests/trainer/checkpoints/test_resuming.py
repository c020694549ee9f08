"""Checkpoints of a run that goes on from one of the loop's own."""

from pathlib import Path

import pytest

from tests.trainer.support import Monitor, Run, assert_same
from trainguard import Guard

RESTORE = ("restore_checkpoint", {"which": "last_good", "before_step": 100})


@pytest.mark.parametrize("step", [0, 6])
def test_what_was_saved_before_the_loop_loaded_its_own_is_no_way_back(
    step: int, run_dir: Path, monitor: Monitor
) -> None:
    """A loop may load its checkpoint after the guard has begun: the weights of before never become good."""
    run, loaded = Run(), Run()
    loaded.train(Guard(loaded.model, loaded.optimizer, run_dir=run_dir.parent / "earlier", checkpoint_every=None), 6)
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=50) as guard:
        run.model.load_state_dict(loaded.model.state_dict())
        guard.load_state_dict({**guard.state_dict(), "step": step})
        monitor.promote(0)
        run.train(guard, 2, settled=True)
        if step:
            monitor.ask(RESTORE)
            run.train(guard)
            assert monitor.last_ack().status == "refused"
            monitor.promote(step)
            run.train(guard, settled=True)
        monitor.ask(RESTORE)
        run.train(guard)
        assert (monitor.last_ack().status, monitor.last_ack().checkpoint) == ("applied", step)
        assert_same(dict(run.model.named_parameters()), dict(loaded.model.named_parameters()))
        assert guard.errors == {}
