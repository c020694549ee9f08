"""What takes an action back, and what in a rule file would make that impossible."""

import pytest

from trainguard_rules import RuleFileError, load_text
from trainguard_rules.watching.verification import Trial, inverse
from trainguard_wire import Ack, Action, Intervention


def ack(kind, before, after, factor=None):
    values = {"before": before, "after": after, "factor": factor}
    return Ack(step=5, generation=0, time=5.0, action="G.0.3.0", kind=kind, status="applied", **values)


@pytest.mark.parametrize(
    ("kind", "params", "observed", "undoing"),
    [
        # The schedule took a fifth of it in the same step: that is not trainguard's to take back.
        ("scale_lr", {"factor": 0.5}, (0.1, 0.04, 0.5), ("scale_lr", {"factor": 2.0})),
        ("scale_lr", {"factor": 0.5}, (0.1, 0.025, None), ("scale_lr", {"factor": 4.0})),
        ("scale_lr", {"factor": 0.5}, (0.0, 0.01, 0.5), ("scale_lr", {"factor": 2.0})),
        ("scale_lr", {"factor": 0.5, "recover_over": 9}, (0.1, 0.05, 0.5), None),
        ("scale_lr", {"factor": 0.5}, (0.0, 0.0, None), None),
        ("set_lr", {"lr": 0.05}, (0.1, 0.05, 0.25), ("scale_lr", {"factor": 4.0})),
        ("set_lr", {"lr": 0.05, "hold": True}, (0.1, 0.05, None), ("set_lr", {"lr": 0.1})),
        ("set_lr", {"lr": 0.05, "recover_over": 9}, (0.1, 0.05, 0.25), None),
        ("scale_weight_decay", {"factor": 2.0}, (0.1, 0.2, 2.0), ("scale_weight_decay", {"factor": 0.5})),
        ("set_weight_decay", {"weight_decay": 0.0}, (0.1, 0.0, 0.0), ("set_weight_decay", {"weight_decay": 0.1})),
        ("set_weight_decay", {"weight_decay": 0.2}, (0.0, 0.2, None), ("set_weight_decay", {"weight_decay": 0.0})),
        (
            "scale_knob",
            {"name": "dropout", "factor": 2.0},
            (0.1, 0.2, None),
            ("set_knob", {"name": "dropout", "value": 0.1}),
        ),
        ("set_knob", {"name": "slope", "value": 1.0}, (0.0, 1.0, None), ("set_knob", {"name": "slope", "value": 0.0})),
        ("rewarm_lr", {"start_lr": 0.01, "base_lr": 0.1, "over": 3}, (0.1, 0.01, None), None),
        ("stop", {}, (None, None, None), None),
    ],
)
def test_inverse(kind, params, observed, undoing):
    """By the factor of the action alone where there is one, else by the value that was."""
    assert inverse(Action(id="G.0.3.0", kind=kind, params=params), ack(kind, *observed)) == undoing


def test_a_trial_takes_back_in_reverse_order():
    """Each action once, and nothing for those that cannot be."""
    actions = tuple(Action(id=f"G.0.3.{i}", kind=kind) for i, kind in enumerate(("scale_lr", "stop", "set_lr")))
    intervention = Intervention(id="G.0.3", rule="G", step=3, generation=0, expires_step=9, actions=actions)
    trial = Trial(intervention)
    for action in actions:
        trial.note(action, ack(action.kind, 0.1, 0.02, 0.5 if action.kind == "scale_lr" else None))
    assert trial.undoing("G.0.9.revert") == (
        Action(id="G.0.9.revert.0", kind="set_lr", params={"lr": 0.1}),
        Action(id="G.0.9.revert.1", kind="scale_lr", params={"factor": 2.0}),
    )


FILE = "groups: [{name: g, rules: [{guard: G, expr: loss > 1, actions: [ACTIONS]}]}]"


@pytest.mark.parametrize(
    ("actions", "complaint"),
    [
        ("{set_lr: {lr: 0.1}}, {scale_lr: {factor: 0.5}}", "set_lr: scale_lr changes the learning rate as well"),
        ("{set_lr: {lr: 0.1}}, {set_lr: {lr: 0.2}}", "set_lr: set_lr changes the learning rate as well"),
        (
            "{scale_weight_decay: {factor: 2}}, {set_weight_decay: {weight_decay: 1}}",
            "set_weight_decay: scale_weight_decay changes the weight decay as well, and it can have one value only",
        ),
        (
            "{scale_knob: {name: a, factor: 2}}, {set_knob: {name: a, value: 1}}",
            "set_knob: scale_knob changes the knob a as well",
        ),
    ],
)
def test_a_number_with_a_value_has_one_owner(actions, complaint):
    """Of two values one would be a lie, and neither could be taken back."""
    with pytest.raises(RuleFileError, match=complaint):
        load_text(FILE.replace("ACTIONS", actions))


@pytest.mark.parametrize(
    "actions",
    [
        "{scale_lr: {factor: 0.5}}, {scale_lr: {factor: 0.5, recover_over: 100}}",
        "{set_lr: {lr: 0.1}}, {set_weight_decay: {weight_decay: 0.1}}",
        "{set_knob: {name: a, value: 1}}, {set_knob: {name: b, value: 1}}, {scale_knob: {name: c, factor: 2}}",
        "{set_lr: {lr: 0.1}}, {rewarm_lr: {start_lr: 0.01, base_lr: 0.1, over: 3}}",
    ],
)
def test_factors_go_together(actions):
    """They multiply, in any number; and values of different things are no concern of each other."""
    assert load_text(FILE.replace("ACTIONS", actions)).rules[0].actions
