"""Two ranks under DDP, as one trainer: what one of them measures is seen, and what is asked for is done by both."""

import logging
import math
from pathlib import Path
from typing import Any

import torch

from tests.trainer.ranks.support import RankRun, digest, on_ranks
from tests.trainer.slow import Slow, slow_readout
from tests.trainer.support import Monitor, far
from trainguard import Guard, Knob, wiring

HALVE = ("scale_lr", {"factor": 0.5})
QUIET: dict[str, Any] = {"checkpoint_every": None, "heartbeat_seconds": 1e9}


def halved(rank: int, path: str) -> dict[str, Any]:
    run, lrs = RankRun(rank), list[float]()
    run.optimizer.register_step_pre_hook(lambda optimizer, *_: lrs.append(optimizer.param_groups[0]["lr"]))
    with Guard(run.ddp, run.optimizer, run_dir=path, **QUIET) as guard:
        for step in range(1, 13):
            if step == 5 and rank == 0:
                Monitor(Path(path)).ask(HALVE)
            loss, logits, y = run.backward()
            guard.step(loss.detach() * math.nan if (step, rank) == (3, 1) else loss, logits=logits, targets=y)
            if step == 8:
                guard.observe(score=float(rank))
        guard.observe(late=torch.tensor(4.0 * rank))
    return {
        "lrs": lrs,
        "last": guard.last,
        "errors": guard.errors,
        "lost": guard.lost,
        "weights": digest(run.model.parameters()),
    }


def test_signals_are_of_all_ranks_and_actions_of_the_same_step(run_dir: Path, monitor: Monitor) -> None:
    """What rank 1 alone has is in rank 0's telemetry; the learning rate changes on both at once."""
    first, second = on_ranks(halved, str(run_dir))
    assert first == second
    assert (first["errors"], first["lost"]) == ({}, 0)
    assert first["lrs"] == [0.1] * 6 + [0.05] * 6
    hello = monitor.hello()
    assert hello.world_size == 2
    assert {"scale_lr", "stop", "skip_steps", "set_gate", "pause", "resume", "diagnose"} <= set(hello.actions)
    assert [sample.step for sample in monitor.samples()] == [*range(1, 13), 12]
    assert [sample.step for sample in monitor.samples() if sample.nonfinite] == [3]
    assert monitor.samples()[2].nonfinite == {"loss": "NaN"}
    assert monitor.series("throughput")[-1] > 1.5 * 16 / monitor.series("step_seconds")[-1]
    assert (monitor.series("score"), monitor.series("late")) == ([0.5], [2.0])
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", 7, 0.1, 0.05)


def unlike(rank: int, path: str) -> dict[str, Any]:
    """Rank 1 has a knob with other bounds, and one that cannot be turned."""
    run = RankRun(rank)

    def stuck(value: float) -> None:
        raise OSError("no hand on it")

    plain = Knob.number(1.0, min=0.0, max=2.0)
    knobs = {
        "narrow": Knob.number(1.0, min=0.0, max=2.0 if rank == 0 else 1.5),
        "stuck": plain if rank == 0 else Knob(lambda: 1.0, stuck, 0.0, 2.0),
        "own": Knob.number(1.0, min=0.0, max=2.0),
    }
    monitor = Monitor(Path(path))
    with Guard(run.ddp, run.optimizer, run_dir=path, knobs=knobs, **QUIET) as guard:
        if rank == 0:
            monitor.ask(HALVE, ("set_knob", {"name": "narrow", "value": 1.8}), HALVE)
            monitor.ask(("set_knob", {"name": "stuck", "value": 0.5}))
            monitor.ask(("set_knob", {"name": "own", "value": 0.5}))
            monitor.ask(("set_knob", {"name": "own", "value": 5}))
        for _ in range(5):
            run.step(guard)
    return {"knobs": {name: knob.value for name, knob in knobs.items()}, "state": guard.state_dict()}


def test_what_one_rank_refuses_is_done_by_none(run_dir: Path, monitor: Monitor) -> None:
    """Refused or failed with that rank and its reason; what the other did is taken back, what came before holds."""
    first, second = on_ranks(unlike, str(run_dir))
    assert first == second
    assert first["knobs"] == {"narrow": 1.0, "stuck": 1.0, "own": 0.5}
    assert first["state"]["knobs"] == {"own": 0.5}
    assert first["state"]["lr"]["scale"] == 0.5
    acks = {ack.action: (ack.status, ack.reason) for ack in monitor.acks()}
    assert acks == {
        "i1.0": ("applied", ""),
        "i1.1": ("refused", "rank 1: value is 1.8, and knob 'narrow' goes from 0 to 1.5"),
        "i1.2": ("refused", "an earlier action of this intervention failed"),
        "i2.0": ("failed", "RuntimeError: on rank 1: OSError: no hand on it"),
        "i3.0": ("applied", ""),
        "i4.0": ("refused", "value is 5, and knob 'own' goes from 0 to 2"),
    }


def illegible(rank: int, path: str) -> Any:
    """Rank 1 has a knob that cannot be read."""
    run, monitor = RankRun(rank), Monitor(Path(path))
    numbers = [1.0]
    knob = Knob(lambda: numbers[0], lambda value: None, 0.0, 2.0)
    with Guard(run.ddp, run.optimizer, run_dir=path, knobs={"k": knob}, every={"knob_k": None}, **QUIET) as guard:
        if rank == 1:
            numbers.clear()
        if rank == 0:
            monitor.ask(HALVE)
        for _ in range(5):
            run.step(guard)
    return guard.errors.get("ranks", 0), guard.state_dict()["lr"]["scale"]


def test_what_cannot_be_taken_back_is_done_by_none(run_dir: Path, monitor: Monitor) -> None:
    """The ranks stay together: all of them hear of it."""
    assert on_ranks(illegible, str(run_dir)) == [(0, 1.0), (0, 1.0)]
    ack = monitor.last_ack()
    assert (ack.status, ack.reason) == ("failed", "RuntimeError: on rank 1: IndexError: list index out of range")


def paused(rank: int, path: str) -> dict[str, Any]:
    """Paused three times: until the time is up, until told to go on, until stopped."""
    run, stops = RankRun(rank), list[bool]()
    monitor = Monitor(Path(path))
    with Guard(run.ddp, run.optimizer, run_dir=path, **QUIET) as guard:
        for step in range(1, 40):
            if rank == 0 and step == 2:
                monitor.ask(("pause", {"at_most": 0.1}))
            if rank == 0 and step == 6:
                monitor.ask(("pause", {}), ("skip_steps", {"count": 2}))
                monitor.ask(("resume", {}))
            if rank == 0 and step == 12:
                monitor.ask(("pause", {}))
                monitor.ask(("stop", {}))
            run.step(guard)
            stops.append(guard.stopped)
            if guard.stopped:
                break
    return {"stops": stops, "errors": guard.errors, "weights": digest(run.model.parameters())}


def test_pause_resume_and_stop(run_dir: Path, monitor: Monitor) -> None:
    """Both ranks wait, go on and end after the same steps."""
    first, second = on_ranks(paused, str(run_dir))
    assert first == second
    assert first["stops"] == [False] * 12 + [True]
    assert first["errors"] == {"pause": 1}
    applied = [(ack.kind, ack.status) for ack in monitor.acks()]
    kinds = ["pause", "pause", "resume", "skip_steps", "pause", "stop"]
    assert applied == [(kind, "applied") for kind in kinds]
    assert monitor.series("skipped")[:3] == [1.0, 1.0, 0.0]


def gated(rank: int, path: str) -> dict[str, Any]:
    """The bad batch is rank 1's alone; its gradients come to all."""
    run, monitor = RankRun(rank), Monitor(Path(path))
    weights = []
    with Guard(run.ddp, run.optimizer, run_dir=path, **QUIET) as guard:
        if rank == 0:
            monitor.ask(("set_gate", {"nonfinite": True}))
        for step in range(1, 9):
            run.step(guard, math.nan if (step, rank) == (6, 1) else 1.0)
            weights.append(digest(run.model.parameters()))
    return {"weights": weights, "gated": guard.last["gated"]}


def test_the_gate_has_one_verdict(run_dir: Path, monitor: Monitor) -> None:
    first, second = on_ranks(gated, str(run_dir))
    assert first == second
    assert first["weights"][5] == first["weights"][4]
    assert [sample.step for sample in monitor.samples() if sample.values.get("gated")] == [6]


def untouched(rank: int, path: str) -> list[Any]:
    ends = list[Any]()
    for with_guard in (False, True):
        run = RankRun(rank)
        guard = (
            Guard(run.ddp, run.optimizer, run_dir=path, every={"param_norm": 1, "layers": 3}) if with_guard else None
        )
        for _ in range(10):
            loss, logits, y = run.backward()
            run.optimizer.step() if guard is None else guard.step(loss, logits=logits, targets=y)
        if guard is not None:
            guard.close()
            assert guard.errors == {}
        ends += [digest(run.model.state_dict().values()), torch.rand(()).item()]
    return ends


def test_a_run_nobody_acts_upon_is_what_it_would_be(run_dir: Path) -> None:
    """Bit for bit, the random numbers of each rank included."""
    first, second = on_ranks(untouched, str(run_dir))
    assert first[:2] == first[2:]
    assert second[:2] == second[2:]
    assert first[0] != second[0]  # the statistics of batch norm, until the next forward pass
    assert first[1] != second[1]


def under_budget(rank: int, path: str) -> Any:
    logging.disable()
    run, cadences = RankRun(rank), []
    with Guard(run.ddp, run.optimizer, run_dir=path, budget=1e-4, **QUIET) as guard:
        for _ in range(40):
            run.step(guard)
            cadences.append([duty.every for duty in guard._meter.duties])
    return cadences


def test_under_a_budget_all_ranks_measure_the_same(run_dir: Path) -> None:
    first, second = on_ranks(under_budget, str(run_dir))
    assert first == second
    assert first[-1] != first[0]


def far_away(rank: int, path: str) -> Any:
    """The loss is on a device; on rank 1 its copies are slow."""
    copies = list[Slow]()
    wiring.Readout = lambda faults, exact: slow_readout(copies, exact=exact)  # type: ignore[assignment,misc]
    run, known = RankRun(rank), []
    with Guard(run.ddp, run.optimizer, run_dir=path, **QUIET) as guard:
        for step in range(1, 7):
            run.backward()
            guard.step(far(step + float(rank)))
            if rank == 0:
                copies[-1].here = True
            known.append(guard.last.get("loss"))
    return known, guard.errors


def test_values_on_a_device_are_of_one_step_on_all_ranks(run_dir: Path, monitor: Monitor) -> None:
    """They come out two steps late, on the rank whose copies arrived at once as well."""
    first, second = on_ranks(far_away, str(run_dir))
    assert first == second == ([None, None, 1.5, 2.5, 3.5, 4.5], {})
    assert [(sample.step, sample.values["loss"]) for sample in monitor.samples()] == [(n, n + 0.5) for n in range(1, 7)]


RULES = """\
groups:
  - name: test
    rules:
      - guard: NotFinite
        expr: nonfinite(loss, 1) > 0
        actions: [{scale_lr: {factor: 0.5}}, {skip_steps: {count: 2}}]
"""


def judged(rank: int, path: str, rules: str) -> Any:
    """Rank 1's loss is NaN in step 6, its gradients are not."""
    ends = []
    for name in ("a", "b"):
        run = RankRun(rank)
        with Guard(run.ddp, run.optimizer, run_dir=f"{path}/{name}", monitor="embedded", rules=rules, **QUIET) as guard:
            for step in range(1, 16):
                loss, logits, y = run.backward()
                guard.step(loss.detach() * math.nan if (step, rank) == (6, 1) else loss, logits=logits, targets=y)
        ends.append((digest(run.model.parameters()), guard.last["lr"], guard.errors))
    return ends


def test_with_an_embedded_monitor_a_run_is_the_same_each_time(run_dir: Path, tmp_path: Path) -> None:
    """A NaN of rank 1 in step 6 is judged at the end of step 7, and answered by both ranks at the end of step 8."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    first, second = on_ranks(judged, str(run_dir), str(rules))
    assert first == second
    assert first[0] == first[1]
    assert first[0][1:] == (0.05, {})
    acks = Monitor(run_dir / "a").acks()
    assert [(ack.kind, ack.status, ack.step) for ack in acks] == [
        ("scale_lr", "applied", 9),
        ("skip_steps", "applied", 9),
    ]
