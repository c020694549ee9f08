"""Knobs: the user's own numbers, turned within bounds, read back, saved and turned again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.support import Monitor, Run
from trainguard import Guard, Knob
from trainguard_wire import KnobInfo, RunDirectory


def dropout(run: Run, **bounds: float) -> Knob:
    return Knob.dropout(run.model, **{"min": 0.1, "max": 0.5, **bounds})


def test_knobs_are_announced_and_seen(run_dir: Path, monitor: Monitor) -> None:
    """In run.json and in the hello, with their bounds; as a signal; and the actions are offered."""
    run = Run()
    knobs = {"dropout": dropout(run), "clip_norm": Knob.number(1, min=0.1, max=10)}
    options: dict[str, Any] = {"checkpoint_every": None, "every": {"knob_clip_norm": 2}}
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, **options) as guard:
        run.train(guard, 2)
        hello, info = monitor.hello(), RunDirectory(run_dir).read_info()
    wanted = {"dropout": KnobInfo(value=0.2, min=0.1, max=0.5), "clip_norm": KnobInfo(value=1.0, min=0.1, max=10.0)}
    assert hello.knobs == info.knobs == wanted
    assert {"knob_dropout", "knob_clip_norm"} <= set(hello.signals)
    assert {"set_knob", "scale_knob"} <= set(hello.actions)
    assert monitor.series("knob_dropout") == [0.2, 0.2]
    assert monitor.series("knob_clip_norm") == [1.0]


@pytest.mark.parametrize(
    ("kind", "params", "after"),
    [
        ("set_knob", {"value": 0.35}, 0.35),
        ("set_knob", {"value": 0.5}, 0.5),
        ("scale_knob", {"factor": 2.0}, 0.4),
        ("scale_knob", {"factor": 2.0, "max": 0.3}, 0.3),
        ("scale_knob", {"factor": 9.0, "max": 0.9}, 0.5),
        ("scale_knob", {"factor": 0.01, "min": 0.0}, 0.1),
    ],
)
def test_a_knob_is_turned(kind: str, params: dict[str, Any], after: float, run_dir: Path, monitor: Monitor) -> None:
    """The module has the value in the next forward pass, and the ack what was read in the steps."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs={"dropout": dropout(run)}) as guard:
        monitor.ask((kind, {"name": "dropout", **params}))
        run.train(guard, 2)
    assert run.model.layers[3].p == pytest.approx(after)
    ack = monitor.last_ack()
    assert (ack.status, ack.step, ack.before, ack.after) == ("applied", 2, 0.2, pytest.approx(after))
    assert monitor.series("knob_dropout") == [0.2, pytest.approx(after)]


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("set_knob", {"name": "droput", "value": 0.3}, "there is no knob 'droput'; there are dropout, slope, ls"),
        ("set_knob", {"name": "dropout", "value": 0.7}, "value is 0.7, and knob 'dropout' goes from 0.1 to 0.5"),
        ("set_knob", {"name": "dropout", "value": 0.05}, "value is 0.05, and knob 'dropout' goes from 0.1 to 0.5"),
        ("set_knob", {"name": "dropout", "value": "0.3"}, "value is '0.3', wanted a finite number"),
        ("set_knob", {"name": 3, "value": 0.3}, "name is 3, wanted text"),
        ("set_knob", {"name": "dropout", "value": 0.3, "max": 1}, "unknown parameter max"),
        ("scale_knob", {"name": "dropout", "factor": 0.5, "min": 0.4}, "knob 'dropout' is 0.2 and the action's bound"),
        ("scale_knob", {"name": "ls", "factor": 9}, "knob 'ls' is 0.1, and it goes from 0 to 0.1"),
        ("scale_knob", {"name": "ls", "factor": 9, "max": 0.05}, "knob 'ls' is 0.1 and the action's bound is max 0.05"),
        ("scale_knob", {"name": "dropout", "factor": 0}, "factor is 0, wanted a number above 0"),
        ("scale_knob", {"name": "slope", "factor": 2}, "knob 'slope' is -1: only what is above 0 can be scaled"),
    ],
)
def test_what_is_not_registered_or_out_of_bounds_is_refused(
    kind: str, params: dict[str, Any], reason: str, run_dir: Path, monitor: Monitor
) -> None:
    """With the value and the bound, and nothing is turned."""
    run = Run()
    knobs = {"dropout": dropout(run), "slope": Knob.number(-1, min=-5, max=5), "ls": Knob.number(0.1, min=0, max=0.1)}
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, checkpoint_every=None) as guard:
        monitor.ask((kind, params))
        run.train(guard, 2)
    assert monitor.last_ack().status == "refused"
    assert reason in monitor.last_ack().reason
    assert run.model.layers[3].p == 0.2
    assert guard.errors == {}


def test_without_knobs_their_actions_are_not_offered(run_dir: Path, monitor: Monitor) -> None:
    """A rule that wants one gets its verdict before anything is tried."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir):
        assert not {"set_knob", "scale_knob"} & set(monitor.hello().actions)


def test_a_knob_that_raises_fails_the_action_and_not_the_loop(run_dir: Path, monitor: Monitor) -> None:
    """On turning and on reading."""
    state = {"value": 1.0, "readable": True}

    def get() -> float:
        if not state["readable"]:
            raise OSError("unplugged")
        return state["value"]

    def turn(value: float) -> None:
        raise RuntimeError(f"stuck at {state['value']}")

    run, knobs = Run(), {"k": Knob(get, turn, 0.0, 2.0)}
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, checkpoint_every=None) as guard:
        monitor.ask(("set_knob", {"name": "k", "value": 1.5}))
        run.train(guard)
        state["readable"] = False
        monitor.ask(("scale_knob", {"name": "k", "factor": 0.5}))
        run.train(guard)
        assert guard.errors == {"action.set_knob": 1, "action.scale_knob": 1, "signal.knob_k": 1}
        assert guard.state_dict()["knobs"] == {}
    assert [(ack.status, ack.reason) for ack in monitor.acks()] == [
        ("failed", "RuntimeError: stuck at 1.0"),
        ("failed", "OSError: unplugged"),
    ]


def test_the_ack_says_what_was_read_not_what_was_asked_for(run_dir: Path, monitor: Monitor) -> None:
    """A knob may round; one that something else turns as well is reported as failed."""
    held = [4]
    whole = Knob(lambda: held[0], lambda value: held.__setitem__(0, round(value)), 1, 9)
    run, fought = Run(), Knob.number(1.0, min=0, max=2)
    knobs = {"whole": whole, "fought": fought}
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, checkpoint_every=None) as guard:
        monitor.ask(("scale_knob", {"name": "whole", "factor": 0.6}), ("set_knob", {"name": "fought", "value": 0.5}))
        run.train(guard)
        fought.turn(1.0)
        run.train(guard)
    rounded, failed = monitor.acks()
    assert (rounded.status, rounded.before, rounded.after) == ("applied", 4.0, 2.0)
    assert (failed.status, failed.reason) == (
        "failed",
        "it was turned to 0.5, but the step saw 1: something else turns knob 'fought'",
    )


def test_what_was_turned_is_saved_and_turned_again(run_dir: Path, monitor: Monitor) -> None:
    """What nobody turned is the new code's; what the new code does not allow is left, and said."""

    def registered() -> tuple[Run, dict[str, Knob]]:
        run = Run()
        others = {name: Knob.number(1.0, min=0, max=2) for name in ("untouched", "narrowed", "gone")}
        return run, {"dropout": dropout(run), **others}

    run, knobs = registered()
    turns = [("set_knob", {"name": name, "value": 0.4}) for name in ("dropout", "narrowed", "gone")]
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, checkpoint_every=None) as guard:
        monitor.ask(*turns)
        run.train(guard, 2)
        state = json.loads(json.dumps(guard.state_dict()))
    run, knobs = registered()
    del knobs["gone"]
    knobs["untouched"], knobs["narrowed"] = Knob.number(0.7, min=0, max=2), Knob.number(1.0, min=0.9, max=1.1)
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs, checkpoint_every=None) as guard:
        guard.load_state_dict(state)
        run.train(guard)
        assert guard.errors == {"knob.narrowed": 1, "knob.gone": 1}
        assert guard.state_dict()["knobs"] == {"dropout": 0.4}
    values = monitor.samples()[-1].values
    assert run.model.layers[3].p == 0.4
    assert [values[f"knob_{name}"] for name in knobs] == [0.4, 0.7, 1.0]


def test_a_restore_leaves_knobs_where_they_are(run_dir: Path, monitor: Monitor) -> None:
    """The weights go back, the regularization that was raised stays."""
    run = Run()
    with Guard(run.model, run.optimizer, run_dir=run_dir, knobs={"dropout": dropout(run)}) as guard:
        run.train(guard)
        monitor.promote(0)
        monitor.ask(("set_knob", {"name": "dropout", "value": 0.5}), ("restore_checkpoint", {}))
        run.train(guard, 2)
    assert [ack.status for ack in monitor.acks()] == ["applied", "applied"]
    assert run.model.layers[3].p == 0.5


class Blocks(nn.Module):
    """Dropout in all its places, and one layer that has none."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=p, batch_first=True)
        self.recurrent = nn.LSTM(8, 8, num_layers=2, dropout=p)
        self.none = nn.Dropout(0.0)


def test_dropout_turns_all_there_is(run_dir: Path) -> None:
    """Layers, attention and recurrent blocks; what has none stays without."""
    model = Blocks()
    knob = Knob.dropout(model)
    assert (knob.value, knob.min, knob.max) == (0.1, 0.0, 0.5)
    knob.turn(0.3)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.3, 0.0}
    assert (model.encoder.self_attn.dropout, model.recurrent.dropout, model.none.p) == (0.3, 0.3, 0.0)
    assert Knob.dropout(nn.Sequential(nn.Dropout(0.0), nn.Dropout2d(0.0))).value == 0.0


def test_an_attribute_and_a_number_of_its_own() -> None:
    """Label smoothing, and the norm to clip to."""
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    knob = Knob.of(criterion, "label_smoothing", min=0, max=0.2)
    x, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    before = criterion(x, y)
    knob.turn(0.2)
    assert (criterion.label_smoothing, knob.value) == (0.2, 0.2)
    assert criterion(x, y) == nn.functional.cross_entropy(x, y, label_smoothing=0.2) != before
    clip_norm = Knob.number(1, min=0.1, max=10)
    clip_norm.turn(0.5)
    assert clip_norm.value == 0.5
    tensor = torch.tensor(1.0)
    assert Knob(lambda: tensor, tensor.fill_, 0, 2).value == 1.0
    with pytest.raises(ValueError, match=r"11 is not between 0.1 and 10"):
        clip_norm.turn(11)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Knob(1, print, 0, 1), "get is 1, wanted a function"),  # type: ignore[arg-type]
        (lambda: Knob(lambda: 1, None, 0, 1), "set is None, wanted a function"),  # type: ignore[arg-type]
        (lambda: Knob(lambda: 1, print, "0", 1), "min is '0', wanted a number"),  # type: ignore[arg-type]
        (lambda: Knob(lambda: 1, print, 0, float("inf")), "max is inf, wanted a finite number"),
        (lambda: Knob(lambda: 1, print, 2, 1), "min is 2 and max is 1"),
        (lambda: Knob.of(nn.Linear(1, 1), "p", min=0, max=1), "p of a Linear is None, wanted a number"),
        (lambda: Knob.of([], "p", min=0, max=1), "there are no objects, wanted at least one"),
        (
            lambda: Knob.of([nn.Dropout(0.1), nn.Dropout(0.3), nn.Dropout(0.1)], "p", min=0, max=1),
            "the values are 0.1 and 0.3, and a knob is one number: make a knob for each",
        ),
        (lambda: Knob.dropout(nn.Linear(1, 1)), "Linear has no dropout layers"),
    ],
)
def test_what_is_no_knob_is_refused(make: Any, complaint: str) -> None:
    """The thing, the value met, the value wanted."""
    with pytest.raises((TypeError, ValueError), match=complaint):
        make()


def broken() -> float:
    raise KeyError("p")


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"drop-out": Knob.number(1, min=0, max=1)}, "a key of knobs is 'drop-out', wanted letters, digits and '_'"),
        ({"dropout": 0.1}, r"knobs\['dropout'\] is 0.1 \(float\), wanted a trainguard.Knob"),
        ({"dropout": Knob.number(0.7, min=0, max=0.5)}, r"knobs\['dropout'\] is at 0.7, wanted between 0 and 0.5"),
        ({"dropout": Knob(broken, print, 0, 1)}, r"knobs\['dropout'\] cannot be read: KeyError: 'p'"),
        ([Knob.number(1, min=0, max=1)], "knobs is .*, wanted a mapping from names to knobs"),
    ],
)
def test_wrong_knobs_are_named(knobs: Any, complaint: str, run_dir: Path) -> None:
    """Before training, and before a run directory is made."""
    run = Run()
    with pytest.raises((TypeError, ValueError), match=complaint):
        Guard(run.model, run.optimizer, run_dir=run_dir, knobs=knobs)
    assert not run_dir.exists()
