"""``rewind: full``: schedules and data go back as well, and the run repeats itself to the bit."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from tests.trainer.support import BATCH, NUM_CLASSES, NUM_FEATURES, Monitor, Net, Run, assert_same
from trainguard import Guard

# torchdata 0.11 calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")

RESTORE = ("restore_checkpoint", {"rewind": "full"})


class Loop:
    """A training with everything that steers it: shuffled data, a schedule, an epoch counter of its own."""

    def __init__(self, num_workers: int = 0) -> None:
        torch.manual_seed(0)
        random.seed(0)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(5 * BATCH, NUM_FEATURES, generator=generator)
        y = torch.randint(NUM_CLASSES, (5 * BATCH,), generator=generator)
        self.model = Net()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.schedule = schedulers.OneCycleLR(self.optimizer, 0.1, total_steps=100)  # cycles beta1 too
        self.loader = StatefulDataLoader(TensorDataset(x, y), BATCH, shuffle=True, num_workers=num_workers)
        self.epoch = 0
        self.seen: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]

    def guard(self, run_dir: Path, **options: Any) -> Guard:
        return Guard(
            self.model,
            self.optimizer,
            scheduler=self.schedule,
            loader=self.loader,
            state={"loop": self},
            run_dir=run_dir,
            **options,
        )

    def train(self, guard: Guard) -> Iterator[int]:
        """Step by step, three epochs of five; yields the optimizer steps done, and after the last of each epoch."""
        while self.epoch < 3:
            for x, y in guard.batches():
                self.optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(self.model(x), y)
                loss.backward()
                guard.step(loss, epoch=self.epoch)
                self.schedule.step()
                self.seen.append(float(x.sum()) + random.random())
                yield guard.num_steps
            self.epoch += 1


@pytest.mark.parametrize(
    ("num_workers", "keep_in_memory"), [(0, 2), (0, 0), (2, 2)], ids=["memory", "disk", "with workers"]
)
@pytest.mark.parametrize(
    ("saved", "at"),
    [(6, 8), (6, 10), (6, 12), (5, 8)],
    ids=["in one epoch", "at its end", "back an epoch", "to an end"],
)
def test_a_rewound_run_repeats_itself(
    saved: int, at: int, keep_in_memory: int, num_workers: int, run_dir: Path, monitor: Monitor
) -> None:
    """From the checkpoint on: same batches, dropout, learning rates, weights; only the step goes on."""
    straight = Loop(num_workers)
    with straight.guard(run_dir.with_name("straight"), checkpoint_every=saved) as guard:
        for _ in straight.train(guard):
            pass
        assert guard.num_steps == 15

    loop = Loop(num_workers)
    with loop.guard(run_dir, checkpoint_every=saved, keep_in_memory=keep_in_memory) as guard:
        for step in loop.train(guard):
            if step == saved:
                monitor.promote(saved)
            if step == at - 1:
                monitor.ask(("restore_checkpoint", {"rewind": "full", "before_step": saved + 1}))
        assert guard.num_steps == 15 + at - saved
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.checkpoint) == ("applied", at, saved)
    assert loop.seen[:saved] + loop.seen[at:] == straight.seen
    assert_same(loop.model.state_dict(), straight.model.state_dict())
    assert loop.optimizer.state_dict()["param_groups"] == straight.optimizer.state_dict()["param_groups"]
    assert loop.schedule.state_dict() == straight.schedule.state_dict()
    assert loop.epoch == straight.epoch == 3
    steps = [sample.step for sample in monitor.samples()]
    assert steps == list(range(1, 16 + at - saved)), "the step never runs backwards"
    assert guard.errors.keys() <= {"checkpoint.skipped"}


def test_nobody_notices_a_loader_while_nothing_is_restored(run_dir: Path) -> None:
    """Bit for bit as without a guard: a loader that is asked for its position before the loop draws its seed then."""
    plain = Loop()
    torch.rand(1)
    for _ in range(3):
        for x, y in plain.loader:
            plain.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain.model(x), y).backward()
            plain.optimizer.step()
            plain.schedule.step()
            plain.seen.append(float(x.sum()) + random.random())
    loop = Loop()
    with loop.guard(run_dir, checkpoint_every=1) as guard:
        torch.rand(1)
        for _ in loop.train(guard):
            pass
    assert loop.seen == plain.seen
    assert_same(loop.model.state_dict(), plain.model.state_dict())


def test_trainguards_own_factors_stay_in_force(run_dir: Path, monitor: Monitor) -> None:
    """The groups' own values go back; what actions made of them since lies over them again."""
    loop = Loop()
    with loop.guard(run_dir, checkpoint_every=6, every={"weight_decay": 1}) as guard:
        for step in loop.train(guard):
            if step == 6:
                monitor.promote(6)
                monitor.ask(("scale_weight_decay", {"factor": 4.0}), ("scale_lr", {"factor": 0.5}))
            if step == 8:
                monitor.ask(RESTORE)
    assert monitor.series("weight_decay")[6:11] == pytest.approx([0.01, 0.04, 0.04, 0.04, 0.04])
    lr, scale = monitor.series("lr"), monitor.series("lr_scale")
    assert scale[6:9] == [1.0, 0.5, 0.5]
    assert lr[9:11] == pytest.approx([0.5 * lr[6], lr[7]]), "the schedule's learning rates of steps 7 and 8, halved"


def test_what_rewind_needs(run_dir: Path, monitor: Monitor) -> None:
    """A loader whose position can go back, schedulers that can, and a checkpoint from within the loop."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.promote(0)
        monitor.ask(RESTORE)
        run.train(guard)
        monitor.ask(("restore_checkpoint", {"rewind": "half"}))
        run.train(guard)
        with pytest.raises(TypeError, match="given no loader="):
            guard.batches()
    assert [ack.reason for ack in monitor.acks()] == [
        "rewind is 'full', but the guard was given no loader= whose position could go back",
        "rewind is 'half', wanted 'none' or 'full'",
    ]


def test_the_first_checkpoint_has_no_position(run_dir: Path, monitor: Monitor, said: pytest.LogCaptureFixture) -> None:
    """It was saved before the loop; a plain restore may go back to it, a rewind may not."""
    loop = Loop()
    with loop.guard(run_dir) as guard:
        steps = loop.train(guard)
        next(steps)
        monitor.promote(0)
        monitor.ask(RESTORE)
        next(steps)
        monitor.ask(("restore_checkpoint", {"rewind": "none"}))
        next(steps)
    refused, applied = monitor.acks()
    assert refused.reason == "there is no good and undamaged checkpoint, with a position in the data"
    assert applied.status == "applied"
    assert said.messages == [
        "restore: Misfit: the checkpoint was saved outside the loop: it has no position in the data; "
        "training goes on, and this is said once"
    ]


class StateOnly:
    """A scheduler that can be saved and not put back."""

    def state_dict(self) -> dict[str, Any]:
        return {}


def test_a_scheduler_that_cannot_go_back(run_dir: Path, monitor: Monitor) -> None:
    """Is named in the refusal."""
    loop = Loop()
    with Guard(loop.model, loop.optimizer, scheduler=StateOnly(), loader=loop.loader, run_dir=run_dir) as guard:
        monitor.ask(RESTORE)
        guard.step()
    assert monitor.last_ack().reason == "rewind is 'full', but the scheduler, a StateOnly, has no load_state_dict"


@pytest.mark.parametrize("keep_in_memory", [2, 0], ids=["memory", "disk"])
def test_a_schedule_with_milestones_goes_on_after_a_rewind(
    keep_in_memory: int, run_dir: Path, monitor: Monitor
) -> None:
    """Its state holds a Counter, and its next step looks for one. Alone and inside another one."""
    loop, straight = Loop(), Loop()
    for each in (loop, straight):
        steps = schedulers.MultiStepLR(each.optimizer, [3, 6])
        each.schedule = schedulers.SequentialLR(each.optimizer, [schedulers.ConstantLR(each.optimizer), steps], [2])
    guard = loop.guard(run_dir, checkpoint_every=2, keep_in_memory=keep_in_memory)
    with guard:
        for step in loop.train(guard):
            if step == 4:
                monitor.promote(4)
            elif step == 7:
                monitor.ask(RESTORE)
            elif step == 9:  # asked at 7, done after 8
                break
    assert monitor.last_ack().checkpoint == 4
    for _ in range(5):
        straight.optimizer.step()
        straight.schedule.step()
    assert loop.schedule.get_last_lr() == straight.schedule.get_last_lr()
