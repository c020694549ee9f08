"""Rules in mode `approve`: a person's answer is an input of the fold, on record like all else."""

import pytest

from tests.monitor.helpers import RULES, interventions_of, journal_of, openings_of
from trainguard_monitor.following.driver import Driver
from trainguard_rules import load_rules
from trainguard_wire import Approval, Decision

APPROVING = RULES.replace("cooldown: 5 steps", "mode: approve\n        expires: 20 steps")


@pytest.mark.parametrize("killed", ["before the answer", "after the answer", "later"])
def test_an_approval_is_taken_in_once_and_at_the_same_place(tmp_path, trainer, killed):
    """It is an input of the fold, on record: a monitor that starts again decides what the first one did."""
    path = tmp_path / "approving.yaml"
    path.write_text(APPROVING)
    book = load_rules([str(path)])
    trainer.sample(loss=1.0, grad_norm=99.0)
    driver = Driver(trainer.run, book)
    driver.drain(0.0)
    approval = Approval(intervention="GradientExplosion.0.1", approved=True, by="ada")
    assert interventions_of(trainer.run) == []
    if killed == "before the answer":
        driver.close()
        driver = Driver(trainer.run, book)
        assert driver.take_in(approval).how == "behind"
        driver.open()
        assert driver.take_in(approval).how == "behind", "not before it is in the picture"
        driver.drain(0.0)
    assert driver.take_in(approval).how == "taken"
    assert driver.take_in(approval).how == "known"
    [intervention] = interventions_of(trainer.run)
    if killed == "after the answer":
        driver.close()
        driver = Driver(trainer.run, book)
        driver.drain(0.0)
    trainer.apply(intervention)
    trainer.samples(3)
    driver.drain(0.0)
    if killed == "later":
        driver.close()
        driver = Driver(trainer.run, book)
        driver.drain(0.0)
    driver.close()
    assert interventions_of(trainer.run) == [intervention]
    decisions = [(r.verdict, r.reason) for r in journal_of(trainer.run) if isinstance(r, Decision)]
    assert decisions == [
        ("await_approval", "mode is approve: waiting for a person"),
        ("act", "approved by ada"),
    ]
    assert len({r.from_record for r in openings_of(trainer.run)}) == 1, "the chain goes on"
