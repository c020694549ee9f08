"""Laying what was derived beside what the journal holds."""

from tests.monitor.helpers import ScriptedTrainer
from trainguard_wire import Approval, Opened, Transition, encode
from trainguard_wire.chain import Chain, Numbered, last_chain, resume


def _transition(step: int) -> Transition:
    return Transition(step=step, generation=0, time=1.0, rule="A", before="inactive", after="firing")


def _opened(sha256: str, from_record: int = 0) -> Opened:
    return Opened(time=1.0, pid=1, host="h", version="0", rules="r", rules_sha256=sha256, from_record=from_record)


DERIVED = [Numbered(step + 1, _transition(step)) for step in (1, 2, 3, 4)]
LINES = [encode(record)[:-1] for _, record in DERIVED]


def test_the_last_chain_goes_on_over_restarts(trainer: ScriptedTrainer) -> None:
    """Openings that say the same continue a chain; other rules, or another beginning, start one."""
    assert last_chain(trainer.run) is None
    writer = trainer.run.write_journal()
    one, two, three = (_transition(step) for step in (1, 2, 3))
    approval = Approval(intervention="A.0.1", approved=True, by="ada", time=1.0, after_record=2)
    for record in (_opened("old"), one, approval, _opened("new", 3), two, _opened("new", 3), approval, three):
        writer.append(record)
    assert last_chain(trainer.run) == Chain("new", 3, [two, approval, three], LINES[1:3], [one, approval])
    writer.append(_opened("new", 4))
    assert last_chain(trainer.run) == Chain("new", 4, [], [], [one, approval, two, approval, three])
    writer.close()


def test_torn_and_doubled_lines_do_not_count(trainer: ScriptedTrainer) -> None:
    """A full disk leaves half a line, or a line without its newline, and then the record once more."""
    writer = trainer.run.write_journal()
    writer.append(_opened("new"))
    for lines in (LINES[0][:20] + b"\n", LINES[0] + b"\n", LINES[0] + b"\n", LINES[1] + b"\n", LINES[2]):
        writer.append_lines(lines)
    writer.close()
    chain = last_chain(trainer.run)
    assert chain is not None
    assert (chain.lines, len(chain.records)) == (LINES[:2], 2)


def test_an_empty_journal_wants_everything() -> None:
    """Whoever never had a monitor has all of the past journalled."""
    plan = resume(None, DERIVED, 9)
    assert (plan.from_record, len(plan.missing), plan.broken) == (0, 4, False)


def test_a_prefix_is_not_written_again() -> None:
    """What the chain holds is skipped; the rest is missing."""
    plan = resume(_chain(2, LINES[1:2]), DERIVED, 9)
    assert plan.from_record == 2
    assert [record.step for record in plan.records] == [2, 3, 4]
    assert [record.step for record in plan.missing] == [3, 4]
    assert not plan.broken


def test_a_chain_that_is_no_prefix_is_broken() -> None:
    """Another line, a line too many, or a beginning beyond the telemetry's end: a new chain from the end on."""
    for chain in (_chain(0, LINES[1:2]), _chain(0, [*LINES, b"{}"]), _chain(10, [])):
        plan = resume(chain, DERIVED, 9)
        assert (plan.from_record, plan.missing, plan.broken) == (9, [], True)


def _chain(from_record: int, lines: list[bytes]) -> Chain:
    return Chain("new", from_record, [], lines, [])
