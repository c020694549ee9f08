"""The face: what it says of itself, in which order, and what it takes."""

import gc
import json
import math
import os
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.support import Monitor, Run, assert_same, weights_of
from trainguard import Guard, Knob
from trainguard.measuring.readout import Readout
from trainguard_wire import Goodbye, Lease, RunDirectory, __version__
from trainguard_wire.signals import SIGNALS


def test_hello_and_run_json_introduce_the_trainer(run_dir: Path, monitor: Monitor) -> None:
    """Every signal has a meaning in the wire's list; actions are what this run can carry out."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir):
        hello, info = monitor.hello(), RunDirectory(run_dir).read_info()
    assert set(hello.signals) <= set(SIGNALS)
    assert {"loss", "grad_norm", "lr", "confidence", "activation_sparsity", "step_seconds"} <= set(hello.signals)
    assert set(hello.actions) == {
        *("scale_lr", "set_lr", "rewarm_lr", "scale_weight_decay", "set_weight_decay"),
        *("restore_checkpoint", "save_checkpoint", "stop", "diagnose", "pause", "resume", "skip_steps", "set_gate"),
    }
    assert (hello.run, hello.pid, hello.generation, hello.step) == ("run", os.getpid(), 0, 0)
    assert (info.signals, info.actions, info.version) == (hello.signals, hello.actions, __version__)


def test_what_cannot_be_done_is_not_offered(run_dir: Path, monitor: Monitor) -> None:
    """No activations to watch, no weight decay, no checkpoints."""
    model = nn.Linear(2, 2)
    with Guard(model, torch.optim.Rprop(model.parameters()), run_dir=run_dir, checkpoint_every=None):
        hello = monitor.hello()
    assert not {"activation_sparsity", "dead_units", "weight_decay"} & set(hello.signals)
    assert set(hello.actions) == {
        *("scale_lr", "set_lr", "rewarm_lr", "stop", "diagnose", "pause", "resume", "skip_steps", "set_gate")
    }


def test_records_come_in_order(run_dir: Path, monitor: Monitor) -> None:
    """Acks of what the step showed, its sample, its checkpoint, acks of what was done at its boundary."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=2, heartbeat_seconds=1e-6) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard)
        monitor.ask(("save_checkpoint", {}))
        run.train(guard)
        guard.observe(val_loss=1.0)
    assert [(type(record).__name__, record.step) for record in monitor.records()] == [
        *(("Hello", 0), ("CheckpointSaved", 0), ("Sample", 1), ("Heartbeat", 1)),
        *(("Ack", 2), ("Sample", 2), ("CheckpointSaved", 2), ("Ack", 2), ("Heartbeat", 2)),
        *(("Sample", 2), ("Goodbye", 2)),
    ]


def test_each_process_opens_a_generation_and_a_segment(run_dir: Path, monitor: Monitor) -> None:
    """Also after a crash that tore the last line."""
    run = Run()
    for generation in range(3):
        with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
            run.train(guard)
            assert monitor.hello().generation == generation
    (run_dir / "telemetry" / "000004.jsonl").write_bytes(b"")
    with (run_dir / "telemetry" / "000003.jsonl").open("ab") as file:
        file.write(b'{"type":"sample","step":9,"gen')
    Guard(run.model, run.optimizer, run_dir=run_dir).close()
    assert b'"generation":3' in (run_dir / "telemetry" / "000005.jsonl").read_bytes()


def test_goodbye_says_how_it_ended(run_dir: Path, monitor: Monitor) -> None:
    """Finished, or failed with the error, which goes on its way. To exit without an error code is no failure."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir):
        pass
    errors = KeyError("mine"), SystemExit(), SystemExit(0), SystemExit(143)
    for error in errors:
        with pytest.raises(type(error)) as raised, Guard(run.model, run.optimizer, run_dir=run_dir):
            raise error
        assert raised.value is error
    assert [(record.outcome, record.error) for record in monitor.records() if isinstance(record, Goodbye)] == [
        ("finished", ""),
        ("failed", "KeyError: 'mine'"),
        ("finished", ""),
        ("finished", ""),
        ("failed", "SystemExit: 143"),
    ]


def test_before_and_after_step_are_the_halves_of_step(run_dir: Path) -> None:
    """For frameworks that call the optimizer themselves."""
    whole, halves = Run(), None
    with Guard(whole.model, whole.optimizer, run_dir=run_dir) as guard:
        whole.train(guard, 3)
    halves = Run()
    with Guard(halves.model, halves.optimizer, run_dir=run_dir.parent / "halves") as guard:
        for _ in range(3):
            loss, logits, y = halves.backward()
            guard.before_step(loss, logits=logits, targets=y)
            halves.optimizer.step()
            guard.after_step()
        assert guard.num_steps == 3
    assert_same(whole.model.state_dict(), halves.model.state_dict())


def test_a_step_that_is_skipped_is_not_counted(run_dir: Path, monitor: Monitor) -> None:
    """A gradient scaler may skip the optimizer's step: before_step twice is one step."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None) as guard:
        guard.load_state_dict({"step": 4, "lr": {"scale": 0.5, "ceiling": None}, "weight_decay": {"scale": 1.0}})
        loss, *_ = run.backward()
        guard.before_step(loss)
        run.train(guard)
        assert guard.num_steps == 5
    assert run.optimizer.param_groups[0]["lr"] == 0.1
    assert [(sample.step, sample.values["lr"]) for sample in monitor.samples()] == [(5, 0.05)]


def test_state_dict_round_trip(run_dir: Path, monitor: Monitor) -> None:
    """A resumed run goes on at its step, with its factors, and checkpoints where it resumed."""
    ramp = {"start_lr": 0.01, "base_lr": 0.1, "over": 5, "unit": "steps"}
    first = Run(lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=0.01))
    with Guard(first.model, first.optimizer, run_dir=run_dir) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}), ("rewarm_lr", ramp), ("scale_weight_decay", {"factor": 2}))
        first.train(guard, 3)
        state = json.loads(json.dumps(guard.state_dict()))
    second = Run(lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=0.01))
    with Guard(second.model, second.optimizer, run_dir=run_dir, every={"weight_decay": 1}) as guard:
        guard.load_state_dict(state)
        guard.load_state_dict(state)
        second.train(guard)
        assert guard.state_dict() == {**state, "step": 4}
    assert monitor.samples()[-1].values["lr"] == pytest.approx(0.046)
    assert monitor.samples()[2].values["lr"] == pytest.approx(0.028)
    assert monitor.samples()[-1].values["weight_decay"] == 0.02
    assert (run_dir / "checkpoints" / "step-00000003").is_dir()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"step": "three"},
        {"step": 1, "lr": {"scale": 1.0, "ceiling": {"up": 1}}, "weight_decay": {"scale": 1.0}},
        {"step": 1, "lr": {"scale": 1.0, "ceiling": None}, "weight_decay": {"scale": "much"}},
    ],
)
def test_a_state_that_is_none_is_refused(state: dict[str, Any], run_dir: Path) -> None:
    """Loading is the user's own call, before training: it raises."""
    run = Run()
    with (
        Guard(run.model, run.optimizer, run_dir=run_dir) as guard,
        pytest.raises(ValueError, match="not the state of a guard"),
    ):
        guard.load_state_dict(state)


def test_a_state_that_is_none_in_part_changes_nothing(run_dir: Path) -> None:
    """Whichever part it is."""
    run, knob = (
        Run(lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=0.01)),
        Knob.number(1, min=0, max=9),
    )
    with Guard(run.model, run.optimizer, run_dir=run_dir, checkpoint_every=None, knobs={"k": knob}) as guard:
        before = json.loads(json.dumps(guard.state_dict()))
        other = {"step": 7, "lr": {"scale": 0.5, "ceiling": None}, "weight_decay": {"scale": 2.0}, "knobs": {"k": 3.0}}
        other |= {"gate": {"nonfinite": True}, "skipping": {"until": 9}}
        for part in other:
            with pytest.raises(ValueError, match="not the state of a guard"):
                guard.load_state_dict({**other, part: {"k": "rubbish"}})
            assert (guard.state_dict(), knob.value) == (before, 1.0)
        guard.load_state_dict(other)
        assert (guard.num_steps, knob.value) == (7, 3.0)


def test_a_lazy_model_is_saved_once_it_has_parameters(run_dir: Path, monitor: Monitor) -> None:
    """Before that there is nothing to save, and nothing to say."""
    model = torch.nn.Sequential(torch.nn.LazyLinear(4), torch.nn.ReLU(), torch.nn.LazyLinear(3))
    with Guard(model, torch.optim.SGD(model.parameters(), lr=0.1), run_dir=run_dir) as guard:
        model(torch.randn(4, 8)).sum().backward()
        weights = weights_of(model)
        guard.step(1.0)
        assert guard.errors == {}
        monitor.promote(0)
        monitor.ask(("restore_checkpoint", {}))
        guard.step(1.0)
        assert_same(model.state_dict(), weights)
    assert monitor.last_ack().checkpoint == 0


def test_what_is_closed_leaves_nothing_behind(run_dir: Path, monitor: Monitor) -> None:
    """No hook on the optimizer, and nobody but the guard holds the model."""
    run = Run(lambda parameters: torch.optim.SGD(parameters, lr=0.1, weight_decay=0.01))
    guard = Guard(run.model, run.optimizer, run_dir=run_dir)
    monitor.ask(("scale_lr", {"factor": 0.5}), ("scale_weight_decay", {"factor": 2}))
    run.train(guard, 3)
    assert run.optimizer._optimizer_step_post_hooks
    guard.close()
    assert not run.optimizer._optimizer_step_post_hooks
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in run.model.modules())
    model = weakref.ref(run.model)
    del run, guard
    gc.collect()
    assert model() is None


def test_default_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$TRAINGUARD_RUNS, then the script's name, the time and the process."""
    monkeypatch.setenv("TRAINGUARD_RUNS", str(tmp_path / "all"))
    monkeypatch.setattr("sys.argv", ["/somewhere/train_it.py"])
    run = Run()
    Guard(run.model, run.optimizer).close()
    (path,) = (tmp_path / "all").iterdir()
    assert re.fullmatch(rf"train_it-\d{{8}}-\d{{6}}-{os.getpid()}", path.name)
    monkeypatch.delenv("TRAINGUARD_RUNS")
    monkeypatch.chdir(tmp_path)
    Guard(run.model, run.optimizer).close()
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, TypeError, "model is 3 (int), wanted a torch.nn.Module"),
        ({"optimizer": nn.Sequential(nn.ReLU())}, TypeError, r"optimizer is Sequential( (0): ReLU() ) (Sequential), w"),
        ({"optimizer": None}, TypeError, "optimizer is None (NoneType), wanted a torch.optim.Optimizer"),
        ({"scheduler": 5}, TypeError, "scheduler is 5 (int)"),
        ({"run_dir": 5}, TypeError, "run_dir is 5 (int), wanted a path or None"),
        ({"run_dir": ""}, ValueError, "run_dir is ''"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every is 0, wanted a whole number of at least 1"),
        ({"checkpoint_every": True}, TypeError, "checkpoint_every is True (bool)"),
        ({"keep": 1.5}, TypeError, "keep is 1.5 (float)"),
        ({"heartbeat_seconds": 0}, ValueError, "heartbeat_seconds is 0"),
        ({"heartbeat_seconds": "10"}, TypeError, "heartbeat_seconds is '10' (str)"),
        ({"every": [("loss", 1)]}, TypeError, "every is [('loss', 1)] (list)"),
        ({"every": {"grad_nrom": 1}}, ValueError, "every has 'grad_nrom', wanted a signal of this run: loss, grad"),
        ({"every": {"loss": -1}}, ValueError, "every['loss'] is -1"),
        ({"activations": 1}, TypeError, "activations is 1 (int), wanted an iterable of modules"),
        ({"activations": ["relu"]}, TypeError, "activations holds 'relu' (str)"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str, run_dir: Path
) -> None:
    """Argument, value met, value wanted; and nothing has been made yet."""
    run = Run()
    given = {"model": run.model, "optimizer": run.optimizer, "run_dir": run_dir, **arguments}
    with pytest.raises(error, match=re.escape(message)):
        Guard(given.pop("model"), given.pop("optimizer"), **given)
    assert not run_dir.exists()


def test_where_ranks_do_not_find_together(run_dir: Path, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 only watches: if it scaled its learning rate alone, it would drift from the others."""
    monkeypatch.setattr("trainguard.wiring.num_ranks", lambda: 2)
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        monitor.ask(("scale_lr", {"factor": 0.5}))
        run.train(guard, 2)
    assert (monitor.hello().actions, monitor.hello().world_size) == ((), 2)
    assert monitor.last_ack().status == "refused"
    monkeypatch.setattr("trainguard.wiring.rank", lambda: 1)
    with Guard(run.model, run.optimizer, run_dir=run_dir.parent / "rank1") as guard:
        run.train(guard)
    assert not (run_dir.parent / "rank1").exists()
    assert (guard.errors, guard.lost) == ({"ranks": 1}, 0)


def test_several_optimizers_step_together(run_dir: Path) -> None:
    """As two plain calls would, bit for bit."""
    run = Run()
    with Guard(run.model, _two_optimizers(run), run_dir=run_dir) as guard:
        run.train(guard, 5)
    plain = Run()
    optimizers = _two_optimizers(plain)
    for _ in range(5):
        plain.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert_same(run.model.state_dict(), plain.model.state_dict())


def _two_optimizers(run: Run) -> list[torch.optim.Optimizer]:
    body, head = run.model.layers[:4], run.model.layers[4:]
    return [torch.optim.SGD(body.parameters(), lr=0.1), torch.optim.AdamW(head.parameters(), lr=0.01)]


@pytest.mark.parametrize(
    ("argument", "value", "complaint"),
    [
        ("optimizer", [], "optimizer is an empty list"),
        ("keep_in_memory", -1, "keep_in_memory is -1, wanted a whole number of at least 0"),
        ("state", {"ema": 3}, r"state\['ema'\] is 3 \(int\), wanted an object with state_dict"),
        ("loader", [], "loader is"),
        ("budget", 1.5, "budget is 1.5, wanted a share"),
        ("monitor", "thread", "monitor is 'thread', wanted 'process' or 'embedded'"),
        ("rules", "stability", "a monitor process is started with its own rules"),
        ("mode", "observe", "mode is 'observe', wanted None: a monitor process is started with its own"),
        ("lockstep", 0, "lockstep is 0, wanted a number of seconds above 0"),
        ("features", "head", "features is 'head'"),
    ],
)
def test_wrong_values_are_named(run_dir: Path, argument: str, value: Any, complaint: str) -> None:
    """The thing, the value met, the value wanted."""
    run = Run()
    with pytest.raises((TypeError, ValueError), match=complaint):
        Guard(run.model, **{"optimizer": run.optimizer, "run_dir": run_dir, argument: value})


def test_last_is_the_newest_of_everything_measured(run_dir: Path) -> None:
    """Of any step, of the user's own too, NaN included; nothing before the first step, and a copy."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, every={"confidence": 2}) as guard:
        assert guard.last == {}
        run.train(guard, 2)
        confidence = guard.last["confidence"]
        loss, _, _ = run.backward()
        guard.step(loss)
        guard.observe(val_loss=float("nan"))
        guard.last["loss"] = 7.0
        last = guard.last
    assert last["confidence"] == confidence
    assert last["loss"] == loss.item()
    assert math.isnan(last["val_loss"])
    assert "activation_sparsity" not in last


def test_an_end_that_fails_in_part_is_an_end(run_dir: Path, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be told any more is noted; the goodbye is said, and the run directory is free."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir) as guard:
        run.train(guard)
        monkeypatch.setattr(Readout, "flush", lambda self: 1 / 0)
    assert guard.errors == {"close": 1}
    assert [type(record) for record in monitor.records()][-1] is Goodbye
    Lease.take(RunDirectory(run_dir).trainer_lock).release()
