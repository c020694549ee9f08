"""The closed set of actions: what each takes, what travels of it, and what no rule file may ask for."""

import jsonschema
import pytest

from trainguard_rules import RuleFileError, load_text
from trainguard_rules.actions import ACTIONS, REVERTIBLE
from trainguard_rules.rulefile.schema_export import rule_file_schema
from trainguard_rules.ruletest.machine import Machine, Refused

FILE = """
groups:
  - name: g
    rules:
      - guard: G
        expr: loss > 1
        actions:
          - {action}
"""


def loaded(action):
    [rule] = load_text(FILE.format(action=action), "f.yaml").rules
    [planned] = rule.actions
    return planned


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("set_lr: {lr: 1e-4}", {"lr": 1e-4, "hold": False}),
        ("set_lr: {lr: 1, hold: true}", {"lr": 1.0, "hold": True}),
        ("set_weight_decay: {weight_decay: 0}", {"weight_decay": 0.0}),
        ("set_knob: {name: temperature, value: -2}", {"name": "temperature", "value": -2.0}),
        (
            "scale_knob: {name: dropout, factor: 2, max: 0.5}",
            {"name": "dropout", "factor": 2.0, "min": 0.0, "max": 0.5},
        ),
        ("skip_steps: {count: 200}", {"count": 200}),
        ("set_gate: {nonfinite: true, factor: 5}", {"nonfinite": True, "factor": 5.0}),
        ("set_gate:", {"nonfinite": False}),
        ("pause:", {"at_most": 3600}),
        ("pause: {at_most: 1h30m}", {"at_most": 5400}),
        ("resume:", {}),
    ],
)
def test_what_travels(action, params):
    """Plain numbers, and nothing that was left out but its default."""
    assert loaded(action).model.params() == params
    validator().validate({"groups": [{"name": "g", "rules": [raw(action)]}]})


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ("set_lr: {lr: 0}", "set_lr: 'lr' should be greater than 0, not 0"),
        ("set_lr: {lr: .nan}", "set_lr: 'lr' should be"),
        ("set_lr: {lr: 1, hold: yes please}", "set_lr: 'hold' should be a valid boolean, not 'yes please'"),
        ("set_lr: {lr: 1, min: 0.1}", "set_lr: unknown key 'min'"),
        (
            "set_weight_decay: {weight_decay: -1}",
            "set_weight_decay: 'weight_decay' should be greater than or equal to 0",
        ),
        ("set_knob: {name: drop-out, value: 1}", "set_knob: 'drop-out' is not a name: letters, digits and '_'"),
        ("set_knob: {name: dropout, value: .inf}", "set_knob: 'value' should be a finite number, not inf"),
        ("scale_knob: {name: dropout, factor: 0}", "scale_knob: 'factor' should be greater than 0, not 0"),
        ("stop: {now: 1}", r"stop: unknown key 'now' \(there are none\)"),
        ("skip_steps: {count: 0}", "skip_steps: 'count' should be greater than or equal to 1, not 0"),
        ("skip_steps: {count: 2.5}", "skip_steps: 'count' should be a valid integer, not 2.5"),
        ("set_gate: {factor: 1}", "set_gate: 'factor' should be greater than 1, not 1"),
        ("set_gate: {max_norm: 0}", "set_gate: 'max_norm' should be greater than 0, not 0"),
        ("pause: {at_most: 30}", "pause: 30 has no unit: write '30s' or '1h30m'"),
        ("pause: {at_most: 5 steps}", "pause: '5 steps' is not a time from 1s to 7d: write '30m' or '1h'"),
        ("pause: {for: 5s}", "pause: unknown key 'for'"),
        ("resume: {at: 3}", "resume: unknown key 'at'"),
    ],
)
def test_what_is_refused(action, complaint):
    """With the key, the value met and the value wanted; by the schema for editors as well, as far as JSON goes."""
    with pytest.raises(RuleFileError, match=complaint):
        loaded(action)
    has_json = ".nan" not in action and ".inf" not in action
    assert bool(list(validator().iter_errors({"groups": [{"name": "g", "rules": [raw(action)]}]}))) == has_json


def raw(action):
    """The rule as an editor sees it: plain data, before anything of ours has looked at it."""
    from ruamel.yaml import YAML

    data = YAML(typ="safe", pure=True).load(FILE.format(action=action))
    return data["groups"][0]["rules"][0]


def validator():
    return jsonschema.Draft202012Validator(rule_file_schema())


def test_what_can_be_reverted():
    """Whatever changes a number for good."""
    assert set(REVERTIBLE) == {
        *("scale_lr", "set_lr", "scale_weight_decay", "set_weight_decay", "set_knob", "scale_knob")
    }
    assert {kind for kind, model in ACTIONS.items() if model.sets} == {kind for kind in REVERTIBLE if "set_" in kind}


def test_the_machine_pauses_and_skips_as_the_trainer_does():
    """In the same words, and with the same numbers."""
    machine = Machine(step=10)
    with pytest.raises(Refused, match="the run is not paused"):
        machine.act("resume", {})
    machine.act("pause", {"at_most": 60})
    machine.act("resume", {})
    assert not machine.paused
    first = machine.act("skip_steps", {"count": 5})
    machine.step += 1
    second = machine.act("skip_steps", {"count": 7})
    assert [(later.before, later.after()) for later in (first, second)] == [(0, 5), (4, 7)]
