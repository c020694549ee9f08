"""Unit tests of rules: the notation, the loading of test files, the simulated trainer, what a failure says."""

import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tools import need
from trainguard_rules import RuleFileError, load_rules, load_text
from trainguard_rules.ruletest import SeriesError, expand, load_suite, run_scenario
from trainguard_rules.ruletest.machine import Machine, Refused
from trainguard_rules.ruletest.scenario import Scenario
from trainguard_rules.ruletest.trainer import SimulatedTrainer
from trainguard_wire import Ack

DATA = Path(__file__).parent / "data"

RULES = """
settle: 0 steps
checkpoints: {good_after: 5 steps}
groups:
  - name: g
    rules:
      - guard: LossSpike
        expr: loss > 2 * mean(loss, 4)
        for: 1 step
        actions: [{restore_checkpoint: {}}, {scale_lr: {factor: 0.5}}]
        cooldown: 20 steps
      - guard: LrLow
        expr: grad_norm > 10
        actions: [{scale_lr: {factor: 0.5, min: 0.02}}]
      - expect: LossDown
        expr: loss < 0.5
        within: 10 steps
"""
BOOK = load_text(RULES, "rules.yaml")


def suite(tests, rules=RULES):
    return load_suite(f"rule_files: [rules.yaml]\ntests:\n{tests}", "t.yaml", lambda _: load_text(rules, "rules.yaml"))


def failures(tests, rules=RULES):
    loaded = suite(tests, rules)
    return [failure for scenario in loaded.scenarios for failure in run_scenario(scenario, loaded.book)]


def report(tests, rules=RULES):
    return "\n".join(line for failure in failures(tests, rules) for line in failure.lines("t.yaml"))


def problems(text, load=lambda _: BOOK):
    with pytest.raises(RuleFileError) as caught:
        load_suite(text, "t.yaml", load)
    return str(caught.value).splitlines()


# -- the notation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("1x3", [1, 1, 1, 1]),
        ("1+2x3", [1, 3, 5, 7]),
        ("5-1x3", [5, 4, 3, 2]),
        ("-2+4x3", [-2, 2, 6, 10]),
        ("1-2x4", [1, -1, -3, -5, -7]),
        ("_", [None]),
        ("_x3", [None, None, None]),
        ("1 _x2 2", [1, None, None, 2]),
        ("0x2", [0, 0, 0]),
        ("0x10", [0] * 11),
        ("1x0", [1]),
        ("1e-3x1 .5", [0.001, 0.001, 0.5]),
        ("1+1e2x1", [1, 101]),
        ("inf -inf", [math.inf, -math.inf]),
        ("-INFx1 Inf", [-math.inf, -math.inf, math.inf]),
        ("  1 \n 2\t3 ", [1, 2, 3]),
    ],
)
def test_series(text, samples):
    """Each form of item, as promtool's documentation has it."""
    assert expand(text) == samples


def test_nan_in_a_series():
    """NaN is a sample, not a missing one."""
    values = expand("nan NaNx1 1")
    assert len(values) == 4
    assert all(math.isnan(value) for value in values[:3])


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("1 1+2", "'1+2' is no item of a series", 2),
        ("1x", "'1x' is no item", 0),
        ("1 x 3", "there is no blank before the 'x'", 2),
        ("stale", "a step without a sample is '_'", 0),
        ("1+-2x3", "no item", 0),
        ("1_000", "no item", 0),
        ("0x0A", "no item", 0),
        ("infinity", "no item", 0),
        ("nan+1", "no item", 0),
        ("1x999999999", "1000000 samples at most", 0),
        ("1x999999 1", "1000000 samples at most", 9),
        ("  ", "the series is empty", 0),
        ("_x0", "the series is empty", 0),
        ("1" * 200_000 + "!", "is no item", 0),  # in no time: it takes hours to try each way of reading the digits
    ],
)
def test_what_is_no_series(text, message, offset):
    """The message names the item, and where it begins."""
    with pytest.raises(SeriesError, match=message.replace("+", "\\+")) as caught:
        expand(text)
    assert caught.value.offset == offset


NUMBERS = st.floats(0, 1e6).map(lambda x: round(x, 3))
TIMES = st.integers(0, 9)
ITEMS = st.one_of(
    st.just(("_", [None])),
    st.builds(lambda n: (f"_x{n + 1}", [None] * (n + 1)), TIMES),
    st.builds(lambda a, n: (f"{a}x{n}", [a] * (n + 1)), NUMBERS, TIMES),
    st.builds(lambda a: (f"-{a}", [-a]), NUMBERS),
    st.builds(lambda a, b, n: (f"{a}+{b}x{n}", [a + b * i for i in range(n + 1)]), NUMBERS, NUMBERS, TIMES),
    st.builds(lambda a, b, n: (f"-{a}-{b}x{n}", [-a - b * i for i in range(n + 1)]), NUMBERS, NUMBERS, TIMES),
    st.sampled_from([("inf", [math.inf]), ("-infx2", [-math.inf] * 3)]),
)


@given(st.lists(ITEMS, min_size=1, max_size=20))
def test_series_are_the_sum_of_their_items(items):
    """Against a straightforward expansion."""
    assert expand(" ".join(text for text, _ in items)) == [value for _, values in items for value in values]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=50))
def test_any_samples_can_be_written(samples):
    """Written out one by one, they come back as they were."""
    assert expand(" ".join("_" if x is None else repr(x) for x in samples)) == samples


def test_promtool_agrees(tmp_path):
    """The real promtool expands what both know to the same samples, one a second from 0 on."""
    promtool = need("promtool")
    text = "1x3 1+2x3 5-1x3 _ _x3 inf -inf -2+4x1 0x10 1e-3x2 .5x1 1x0 1-.5x2 +3x1 -1x2 1E2x2"
    cases = []
    for second, value in enumerate(expand(text)):
        samples = "[]" if value is None else f"[{{labels: '{{}}', value: {_yaml(value)}}}]"
        cases.append(f"      - {{expr: 'sum_over_time(a[500ms])', eval_time: {second}s, exp_samples: {samples}}}")
    (tmp_path / "t.yaml").write_text(
        "rule_files: []\nevaluation_interval: 1s\ntests:\n  - interval: 1s\n    input_series:\n"
        f"      - {{series: a, values: '{text}'}}\n    promql_expr_test:\n" + "\n".join(cases)
    )
    done = subprocess.run([promtool, "test", "rules", tmp_path / "t.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _yaml(value):
    return f"{'-' if value < 0 else ''}.inf" if math.isinf(value) else repr(value)


# -- loading -----------------------------------------------------------------------------------------------


def test_every_problem_at_once_and_in_its_place():
    """Form, series, words, numbers: each with line and column, the test's name, and a suggestion."""
    text = """\
rule_files: [rules.yaml]
tests:
  - name: a
    intervall: 1s
    input_series: {loss: "1x3 1+2", grad_norm: 0x10}
    acks: soon
    checkpoints: [-1]
    actions_offered: [scale_rl]
    expect:
      - step: 0
        states: {LossSpike: fireing}
        verdicts: {LossSpike: acts}
        actions: {LossSpike: [{scale_lr: {facter: 1}}]}
        outcomes: {LossSpike: done}
  - input_series: {}
    expect: []
"""
    assert problems(text) == [
        "t.yaml:4:5: test \"a\": unknown key 'intervall'; did you mean 'interval'?",
        "t.yaml:5:31: test \"a\": '1+2' is no item of a series: write a, axn, a+bxn, a-bxn, _ or _xn, where a may be "
        "nan, inf or -inf",
        't.yaml:5:48: test "a": a series is text, not the number 16: put it in quotes, "1x20", or YAML reads it',
        "t.yaml:6:11: test \"a\": 'soon' is neither a number of steps nor 'never'",
        "t.yaml:7:19: test \"a\": 'entry 1' should be greater than or equal to 0, not -1",
        "t.yaml:8:23: test \"a\": unknown action 'scale_rl'; did you mean 'scale_lr'?",
        "t.yaml:10:15: test \"a\": 0 is neither a step (from 1) nor 'end'",
        "t.yaml:11:29: test \"a\": 'LossSpike' should be 'inactive', 'pending' or 'firing', not 'fireing'",
        "t.yaml:12:31: test \"a\": 'acts' is not one of act, observe, await_approval, hold_cooldown, hold_limit, "
        "hold_inhibited, hold_settling, hold_in_flight, hold_outranked, hold_unsupported, none; did you mean 'act'?",
        "t.yaml:13:30: test \"a\": scale_lr has no parameter 'facter'; did you mean 'factor'?",
        "t.yaml:14:31: test \"a\": 'done' is not one of applied, refused, expired, failed, lost, withdrawn, waiting, "
        "none; did you mean 'none'?",
        "t.yaml:15:5: test 2: missing key 'name'",
        "t.yaml:15:19: test 2: give at least one series",
        "t.yaml:16:13: test 2: give at least one step",
    ]


def test_names_and_steps_are_checked_against_the_rules():
    """A misspelt rule can't make a test pass."""
    text = """\
rule_files: [rules.yaml]
tests:
  - name: a
    input_series: {los: "1x3"}
    checkpoints: [9]
    expect:
      - {step: 5, states: {LossSpik: firing}}
      - {step: 1}
      - {step: 1, states: {LossDown: firing}, reached: {LossSpike: met, Sparse: met}}
"""
    assert problems(text) == [
        "t.yaml:4:20: test \"a\": no rule looks at 'los'; did you mean 'loss'?",
        't.yaml:5:19: test "a": step 9 is past the end: the longest series has 4 steps',
        't.yaml:7:16: test "a": step 5 is past the end: the longest series has 4 steps',
        "t.yaml:7:28: test \"a\": unknown guard 'LossSpik'; did you mean 'LossSpike'?",
        't.yaml:8:9: test "a": nothing is expected: give states, verdicts, actions, outcomes, reached or interventions',
        "t.yaml:9:28: test \"a\": 'LossDown' is an expectation: use reached",
        "t.yaml:9:57: test \"a\": 'LossSpike' is a guard: use states",
        "t.yaml:9:73: test \"a\": unknown expectation 'Sparse' (there are LossDown)",
    ]


def test_a_signal_that_only_a_formula_uses_is_looked_at():
    """By an action's, whether of the rule or of its escalation."""
    rules = """
signals: [mine, other]
groups:
  - name: g
    rules:
      - guard: A
        expr: loss > 1
        actions: [{set_lr: {lr: "median(mine, 10)"}}]
        limit: 1
        escalate: [{set_weight_decay: {weight_decay: "prev(other)"}}]
"""
    test = "  - {name: a, input_series: {%s: '1x9'}, expect: [{step: 3, interventions: 0}]}"
    assert suite(test % "mine", rules).scenarios
    assert suite(test % "other", rules).scenarios
    with pytest.raises(RuleFileError, match="no rule looks at 'ours'"):
        suite(test % "ours", rules)


def test_a_place_in_a_series_of_several_lines():
    """As YAML folds it, an item is found where it stands."""
    text = """rule_files: [rules.yaml]
tests:
  - name: a
    input_series:
      loss: >
        1 2 3
        4 five 6
    expect: [{step: 1, interventions: 0}]
"""
    [problem] = problems(text)
    assert problem.startswith("t.yaml:7:11: test \"a\": 'five' is no item")


def test_problems_of_the_rule_files_stand_beside_those_of_the_tests():
    """Both are told in one go."""

    def load(_):
        return load_text("groups: 1", "rules.yaml")

    found = problems("rule_files: [rules.yaml]\ntests: 1\n", load)
    assert [line.partition(": ")[0] for line in found] == ["rules.yaml:1:9", "t.yaml:2:8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.yaml:1:1: a test file is a mapping with the keys 'rule_files' and 'tests'"),
        ("[1]", "t.yaml:1:1: a test file is a mapping with the keys 'rule_files' and 'tests'"),
        ("a: [", "t.yaml:1:5: not YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_what_is_no_test_file(text, message):
    """Whatever the text: one clear line."""
    assert problems(text) == [message]


# -- scenarios ---------------------------------------------------------------------------------------------

SPIKE = """
  - name: spike
    input_series: {loss: "1x19 10x2 1x9"}
    checkpoints: [0, 10]
    expect:
"""


def test_the_tests_of_the_pack_stability_pass():
    """The example that is shipped with these tests."""
    loaded = load_suite((DATA / "stability.test.yaml").read_text(), "stability.test.yaml", load_rules)
    assert [failure for scenario in loaded.scenarios for failure in run_scenario(scenario, loaded.book)] == []


def test_a_spike_from_onset_to_recovery():
    """State, verdict, actions, outcomes and count, each at its step; a restored run is in another generation."""
    expected = """
      - {step: 20, states: {LossSpike: inactive}, verdicts: {LossSpike: none}, outcomes: {LossSpike: none}}
      - {step: 21, states: {LossSpike: pending}, actions: {LossSpike: none}, interventions: 0}
      - step: 22
        states: {LossSpike: firing}
        verdicts: {LossSpike: act}
        actions: {LossSpike: [{restore_checkpoint: {before_step: 21}}, {scale_lr: {factor: 0.5}}]}
        outcomes: {LossSpike: waiting}
      - {step: 23, states: {LossSpike: inactive}, outcomes: {LossSpike: [applied, waiting]}}
      - {step: 24, outcomes: {LossSpike: applied}, interventions: 1}
      - {step: end, interventions: 1}
"""
    assert report(SPIKE + expected) == ""
    [scenario] = suite(SPIKE + expected).scenarios
    trainer = SimulatedTrainer(BOOK, scenario)
    list(trainer.run())
    assert trainer.machine.generation == trainer.engine.generation == 1
    assert trainer.machine.learning_rate == 0.05


def test_a_failure_says_what_and_why():
    """Golden text: place, test, step, rule, expected, got, value, history."""
    expected = """
      - step: 22
        states: {LossSpike: pending}
        verdicts: {LossSpike: hold_cooldown}
        actions: {LossSpike: [{scale_lr: {factor: 0.25}}]}
        outcomes: {LossSpike: [applied, refused]}
        interventions: 2
        reached: {LossDown: met}
      - {step: end, verdicts: {LossSpike: act}, outcomes: {LossSpike: lost}}
"""
    assert report(SPIKE + expected) == (
        """\
t.yaml:10:18: test "spike", step 22: LossSpike: state
    expected:  pending
    got:       firing
    value:     10
    history:   step 21 inactive -> pending; step 22 pending -> firing
t.yaml:11:20: test "spike", step 22: LossSpike: verdict
    expected:  hold_cooldown
    got:       act (loss > 2 * mean(loss, 4) held for 1 step)
    value:     10
    history:   step 21 inactive -> pending; step 22 pending -> firing
t.yaml:12:19: test "spike", step 22: LossSpike: actions
    expected:  scale_lr(factor=0.25)
    got:       restore_checkpoint(which=last_good, rewind=none, before_step=21), scale_lr(factor=0.5, min=0)
    value:     10
    history:   step 21 inactive -> pending; step 22 pending -> firing
t.yaml:13:20: test "spike", step 22: LossSpike: outcomes
    expected:  applied, refused
    got:       restore_checkpoint waiting, scale_lr waiting
    value:     10
    history:   step 21 inactive -> pending; step 22 pending -> firing
t.yaml:15:19: test "spike", step 22: LossDown: reached
    expected:  met
    got:       missed at step 11 (not within 10 steps)
t.yaml:14:9: test "spike", step 22: interventions
    expected:  2
    got:       1
t.yaml:16:32: test "spike", at the end: LossSpike: verdict
    expected:  act
    got:       none
    value:     1
    history:   step 21 inactive -> pending; step 22 pending -> firing; step 23 firing -> inactive
t.yaml:16:60: test "spike", at the end: LossSpike: outcomes
    expected:  lost
    got:       restore_checkpoint applied, scale_lr applied
    value:     1
    history:   step 21 inactive -> pending; step 22 pending -> firing; step 23 firing -> inactive"""
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("checkpoints: [20]", "{step: 23, outcomes: {LossSpike: refused}}"),
        ("checkpoints: []", "{step: 23, outcomes: {LossSpike: refused}, states: {LossSpike: firing}}"),
        ("acks: never", "{step: end, outcomes: {LossSpike: lost}}"),
        ("acks: 0", "{step: 22, outcomes: {LossSpike: [applied, waiting]}}"),
        ("acks: 3", "{step: 24, outcomes: {LossSpike: waiting}}"),
        ("actions_offered: [scale_lr]", "{step: 22, verdicts: {LossSpike: hold_unsupported}, interventions: 0}"),
        ("actions_offered: []", "{step: 22, actions: {LossSpike: none}}"),
    ],
)
def test_how_the_trainer_behaves(settings, expected):
    """No good checkpoint to go back to, a deaf trainer, a prompt one, a slow one, one that can't."""
    test = SPIKE.replace("checkpoints: [0, 10]", settings) + f"      - {expected}\n"
    assert report(test) == ""


def test_steps_without_a_sample_and_the_epoch():
    """Holes leave samples out; a step belongs to the epoch its number says; time is step times interval."""
    rules = """
groups:
  - name: g
    rules:
      - {guard: Epoch, expr: epoch >= 2 and isfinite(loss)}
      - {guard: Time, expr: time >= 30 and isfinite(loss)}
      - {guard: Absent, expr: "absent(loss, 3) and isfinite(grad_norm)"}
"""
    tests = """
  - name: clocks
    interval: 10s
    steps_per_epoch: 2
    input_series: {loss: "1 _x3 1x3", grad_norm: "1x7"}
    expect:
      - {step: 2, states: {Time: inactive}}
      - {step: 3, states: {Absent: inactive, Time: inactive}}
      - {step: 4, states: {Absent: firing, Epoch: inactive}}
      - {step: 5, states: {Absent: inactive, Epoch: firing, Time: firing}}
"""
    assert report(tests, rules) == ""


def test_bounds_and_refusals_of_the_simulated_learning_rate():
    """0.1 is halved to 0.05, 0.025, and last to the bound of 0.02; then the action is refused."""
    tests = """
  - name: halved
    input_series: {grad_norm: "1x3 20 1x3 20 1x3 20 1x3 20 1x3"}
    expect:
      - {step: 7, outcomes: {LrLow: applied}}
      - {step: 12, outcomes: {LrLow: applied}}
      - {step: 17, outcomes: {LrLow: applied}}
      - {step: end, outcomes: {LrLow: refused}, interventions: 4}
"""
    assert report(tests) == ""
    [scenario] = suite(tests).scenarios
    trainer = SimulatedTrainer(BOOK, scenario)
    acks = []
    feed = trainer.engine.feed
    trainer.engine.feed = lambda record: (acks.append(record), feed(record))[1]
    list(trainer.run())
    seen = [(a.before, a.after, a.status) for a in acks if isinstance(a, Ack)]
    assert [status for *_, status in seen] == ["applied"] * 3 + ["refused"]
    assert [after for _, after, _ in seen] == pytest.approx([0.05, 0.025, 0.02, None])
    assert [before for before, _, _ in seen] == pytest.approx([0.1, 0.05, 0.025, None])


def test_a_stop_ends_the_run():
    """What comes after it in the series never happens, and a failure there says so."""
    rules = """
groups: [{name: g, rules: [{guard: Stop, expr: loss > 5, actions: [{stop: {}}]}]}]
"""
    tests = """
  - name: stopped
    input_series: {loss: "1x4 10x9"}
    expect:
      - {step: 12, interventions: 2}
      - {step: end, outcomes: {Stop: applied}}
"""
    assert report(tests, rules).splitlines()[-1] == "    note:      the run was stopped at step 7"
    assert len(failures(tests, rules)) == 1


def test_alerts():
    """An alert fires a rule, once; over and anew, it is another one."""
    rules = """
groups:
  - name: g
    rules:
      - guard: Hot
        alert: {alertname: TooHot}
        actions: [{save_checkpoint: {}}]
"""
    test = """
rule_files: [r.yaml]
tests:
  - name: heat
    input_series: {loss: "1x30"}
    alerts:
      - {step: 5, labels: {alertname: TooHot, node: n7}}
      - {step: 6, labels: {alertname: TooHot, node: n7}}
      - {step: 7, labels: {alertname: TooCold}}
      - {step: 10, labels: {alertname: TooHot, node: n7}, status: resolved}
      - {step: 20, labels: {alertname: TooHot, node: n7}}
    expect:
      - {step: 5, states: {Hot: firing}, verdicts: {Hot: act}, actions: {Hot: [save_checkpoint]}}
      - {step: 6, verdicts: {Hot: none}, outcomes: {Hot: applied}}
      - {step: 10, states: {Hot: inactive}, interventions: 1}
      - {step: 20, states: {Hot: firing}, interventions: 2}
"""
    suite = load_suite(test, "t.yaml", lambda _: load_text(rules))
    assert [run_scenario(scenario, suite.book) for scenario in suite.scenarios] == [[]]
    with pytest.raises(RuleFileError, match="step 99 is past the end"):
        load_suite(test.replace("step: 7", "step: 99"), "t.yaml", lambda _: load_text(rules))
    with pytest.raises(RuleFileError, match="unknown key 'label'; did you mean 'labels'"):
        load_suite(test.replace("{step: 7, labels", "{step: 7, label"), "t.yaml", lambda _: load_text(rules))


def test_approvals():
    """In mode approve a person says yes so many steps later, or nobody ever does."""
    rules = RULES.replace("groups:", "mode: approve\ngroups:")
    asked = SPIKE.replace("10x2", "10x8") + "      - {step: 22, verdicts: {LossSpike: await_approval}}\n"
    assert report(asked + "      - {step: 26, interventions: 0}\n", rules) == ""
    answered = asked.replace("    expect:", "    approvals: 2\n    expect:")
    assert report(answered + "      - {step: 24, interventions: 1, verdicts: {LossSpike: act}}\n", rules) == ""


def test_expectations():
    """Waiting, then met or missed; what the run never came to is missed at its end."""
    tests = """
  - name: met
    input_series: {loss: "1x4 0.1x2"}
    expect: [{step: 5, reached: {LossDown: waiting}}, {step: 6, reached: {LossDown: met}}]
  - name: missed
    input_series: {loss: "1x4"}
    expect: [{step: 5, reached: {LossDown: waiting}}, {step: end, reached: {LossDown: missed}}]
"""
    assert report(tests) == ""


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=60), st.integers(0, 5))
def test_any_run_ends_with_every_action_answered(values, acks):
    """The trainer leaves nothing open, whatever the rules ask of it."""
    scenario = Scenario(name="any", series={"loss": values}, checks=(), acks=acks, checkpoints=frozenset({0, 10}))
    trainer = SimulatedTrainer(BOOK, scenario)
    assert list(trainer.run()) == [*range(1, len(values) + 1), -1]
    assert not trainer.engine.busy or all(s.state != "inactive" for s in trainer.engine.status() if s.since_step)
    assert all(status != "waiting" for _, status, _ in trainer.ledger.outcomes("LossSpike"))


def test_the_machine_refuses_as_the_trainer_does():
    """In the same words."""
    machine = Machine()
    with pytest.raises(Refused, match="there is no good and undamaged checkpoint older than step 5"):
        machine.act("restore_checkpoint", {"before_step": 5})
    with pytest.raises(Refused, match=r"weight decay is 0.01 and the action's bound is max 0.01"):
        machine.act("scale_weight_decay", {"factor": 2.0, "min": 0.0, "max": 0.01})
    with pytest.raises(Refused, match="this loop hands no epoch="):
        machine.act("rewarm_lr", {"start_lr": 0.01, "base_lr": 0.1, "over": 5, "unit": "epochs"})


def test_a_factor_that_recovers():
    """As the trainer's: all of it in the next step, by equal ratios back to what was."""
    machine = Machine(step=10)
    later = machine.act("scale_lr", {"factor": 0.25, "min": 0.0, "recover_over": 2})
    rates = []
    for machine.step in range(11, 15):
        rates.append(later.after())
    assert rates == pytest.approx([0.025, 0.05, 0.1, 0.1])


def test_values_that_are_set():
    """As the trainer's: in effect in the next step, in place of all factors; and a factor from zero is refused."""
    machine = Machine(step=10)
    machine.act("scale_lr", {"factor": 0.5})
    machine.act("scale_lr", {"factor": 0.5, "recover_over": 50})
    machine.step += 1
    later = machine.act("set_lr", {"lr": 0.02, "hold": False})
    machine.step += 1
    assert (later.before, later.after(), later.factor) == pytest.approx((0.025, 0.02, 0.8))
    assert machine.act("set_lr", {"lr": 0.02, "hold": True}).factor is None
    later = machine.act("set_weight_decay", {"weight_decay": 0.0})
    assert (later.before, later.after(), later.factor) == (0.01, 0.0, 0.0)
    with pytest.raises(Refused, match="weight decay was set to 0"):
        machine.act("scale_weight_decay", {"factor": 2.0, "min": 0.0})


KNOBS = """
groups:
  - name: g
    rules:
      - guard: Turns
        expr: loss > 10
        actions: [{ACTION}]
"""


@pytest.mark.parametrize(
    ("action", "knobs", "verdict", "outcome"),
    [
        ("set_knob: {name: dropout, value: 0.3}", "{dropout: {value: 0.1, min: 0, max: 0.5}}", "act", "applied"),
        ("set_knob: {name: dropout, value: 0.7}", "{dropout: {value: 0.1, min: 0, max: 0.5}}", "act", "refused"),
        ("scale_knob: {name: dropout, factor: 9}", "{dropout: {value: 0.5, min: 0, max: 0.5}}", "act", "refused"),
        ("scale_knob: {name: dropout, factor: 9}", "{dropout: {value: 0, min: 0, max: 0.5}}", "act", "refused"),
        ("set_knob: {name: dropout, value: 0.3}", "{}", "hold_unsupported", "none"),
        ("set_knob: {name: dropout, value: 0.3}", "{drop: {value: 0.1, min: 0, max: 1}}", "hold_unsupported", "none"),
    ],
)
def test_knobs_of_a_test(action, knobs, verdict, outcome):
    """As the training script would have registered them; a rule that wants another is held back."""
    tests = f"""
  - name: knobs
    input_series: {{loss: "1 20 1 1"}}
    knobs: {knobs}
    expect:
      - {{step: 2, verdicts: {{Turns: {verdict}}}}}
      - {{step: 4, outcomes: {{Turns: {outcome}}}}}
"""
    assert report(tests, KNOBS.replace("ACTION", action)) == ""


def test_a_ceiling_rises_and_goes():
    """As the trainer's warm-up: from start_lr in the next step to base_lr, then it is gone."""
    machine = Machine(step=10)
    later = machine.act("rewarm_lr", {"start_lr": 0.02, "base_lr": 0.06, "over": 4, "unit": "steps"})
    rates = []
    for machine.step in range(11, 17):
        rates.append(later.after())
    assert rates == pytest.approx([0.02, 0.03, 0.04, 0.05, 0.1, 0.1])
