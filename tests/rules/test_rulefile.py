"""Rule files: what is right is loaded, what is wrong is reported, all of it, where it stands."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_rules import RuleFileError, load_rules, load_text, shipped_packs
from trainguard_rules.durations import Duration, Limit, Moment

GOOD = """
params: {big: 1e1}
signals: [val_loss]
mode: observe
checkpoints: {good_after: 20 steps}
groups:
  - name: g
    rules:
      - guard: Everything
        expr: >
          val_loss > big
          and loss > 0
        for: 2 epochs
        actions:
          - restore_checkpoint:
          - scale_lr: {factor: 0.5, min: 1e-5}
          - stop: {}
        cooldown: 1h30m
        limit: 4 per 1000 steps
        unless: epoch < 5
        mode: act
        expires: 7 steps
        labels: {severity: critical, on: "yes"}
        annotations: {summary: "{val_loss:.3g} at {step}"}
      - guard: Plain
        expr: loss > 1
"""

# A file with a mistake on nearly every line. One line below for each message, in order.
BAD = """\
params: {k: much, loss: 3}
grups: []
groups:
  - name: stability
    rules:
      - guard: A
        exprs: loss > 1
        for: 5
      - guard: A
        expr: los > 1 and loss
        actions: [{scale_lr: {factor: -1, mx: 3}}, {halve_lr: {}}, 3]
        limit: 4 per foo
        annotations: {summary: "{value.x} {y}"}
        mode: go
      - guard: 3x
        expr: "mean(loss, 0) > 3"
        unless: |
          loss >
        guard: B
        expires: 30s
"""
COMPLAINTS = """\
bad.yaml:1:13: 'k' should be a valid number, not 'much'
bad.yaml:1:19: param 'loss' has the name of a signal
bad.yaml:2:1: unknown key 'grups'; did you mean 'groups'?
bad.yaml:6:9: group "stability", rule "A": missing key 'expr', or 'alert'
bad.yaml:7:9: group "stability", rule "A": unknown key 'exprs'; did you mean 'expr'?
bad.yaml:8:14: group "stability", rule "A": 5 has no unit: write '5 steps', '5 epochs' or '5s'
bad.yaml:9:16: group "stability", rule "A": there is already a rule of this name in bad.yaml
bad.yaml:10:15: group "stability", rule "A": expr: unknown signal 'los'; did you mean 'loss'?
bad.yaml:10:27: group "stability", rule "A": expr: 'loss' is a number where a comparison is wanted: write e.g. loss > 0
bad.yaml:11:39: group "stability", rule "A": scale_lr: 'factor' should be greater than 0, not -1
bad.yaml:11:43: group "stability", rule "A": scale_lr: unknown key 'mx'; did you mean 'max'?
bad.yaml:11:53: group "stability", rule "A": unknown action 'halve_lr'; did you mean 'scale_lr'?
bad.yaml:11:68: group "stability", rule "A": an action is one key with its parameters, e.g. 'scale_lr: {factor: 0.5}'
bad.yaml:12:16: group "stability", rule "A": 'foo' is not a duration: write '5 steps', '2 epochs' or '30s'
bad.yaml:13:33: group "stability", rule "A": unknown field {value.x} in '{value.x} {y}' \
(there are value, step, epoch, rule and the signals)
bad.yaml:14:15: group "stability", rule "A": 'mode' should be 'act', 'approve' or 'observe', not 'go'
bad.yaml:15:16: group "stability", rule "3x": '3x' is not a name: letters, digits and '_', not beginning with a digit
bad.yaml:16:27: group "stability", rule "3x": expr: mean(x, window): window must be a whole number \
from 1 to 100000, not '0'
bad.yaml:18:11: group "stability", rule "3x": unless: not an expression: invalid syntax
bad.yaml:19:9: group "stability", rule "3x": key 'guard' is given twice
bad.yaml:20:18: group "stability", rule "3x": expires is counted in steps: write e.g. '50 steps', not '30s'"""


def test_a_file_with_everything_in_it():
    """Each key ends where it belongs, in its own unit."""
    book = load_text(GOOD)
    rule, plain = book.rules
    assert rule.source == "val_loss > big and loss > 0"
    assert rule.for_ == Duration(2, "epochs")
    assert rule.cooldown == Duration(5400, "seconds")
    assert rule.limit == Limit(4, Duration(1000, "steps"))
    assert rule.unless.source == "epoch < 5"
    assert [a.kind for a in rule.actions] == ["restore_checkpoint", "scale_lr", "stop"]
    assert rule.actions[1].model.params() == {"factor": 0.5, "min": 1e-5}
    assert (rule.mode, plain.mode) == ("act", "observe")
    assert rule.expires == 7
    assert rule.labels == {"severity": "critical", "on": "yes"}
    assert book.good_after == 20
    assert rule.judges_health
    assert not plain.judges_health


def test_every_problem_at_its_place():
    """A bad file gets all its messages at once, each with line, column, group and rule."""
    with pytest.raises(RuleFileError) as error:
        load_text(BAD, "bad.yaml")
    assert str(error.value).splitlines() == COMPLAINTS.splitlines()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "t:1:1: a rule file is a mapping with the key 'groups'"),
        ("[1, 2]", "t:1:1: a rule file is a mapping"),
        ("{}", "t:1:1: missing key 'groups'"),
        ("groups: 3", "t:1:9: 'groups' should be a valid list, not 3"),
        ("groups: [", "not YAML"),
        ("groups: [{name: g, rules: [3]}]", "t:1:28: group \"g\": 'entry 1' should be a mapping, not 3"),
        ("groups: [{name: g, rules: [{guard: A, expr: yes}]}]\n", "unknown signal 'yes'"),
        ("groups: [{name: g, rules: [{guard: A, expr: true}]}]\n", "'expr' should be a valid string, not True"),
        ("a: &a [1]\nb: *c\n", "not YAML: found undefined alias"),
        ("groups: &a [*a]", "more than 50000 values, or nested too deep"),
        ("groups: []\x00", "not YAML: unacceptable character"),
        ("params: {k: .nan}\ngroups: []", "should be a finite number"),
        ("groups: []", "t:1:9: 'groups' is empty: there is nothing to guard"),
        ("params: {epoch: 1, mean: 2}\nsignals: [step]\ngroups: []", "t:1:10: param 'epoch' has the name of a clock"),
        ("params: {epoch: 1, mean: 2}\nsignals: [step]\ngroups: []", "t:1:20: param 'mean' has the name of a function"),
        ("params: {epoch: 1, mean: 2}\nsignals: [step]\ngroups: []", "t:2:11: signal 'step' has the name of a clock"),
        ("params: {1k: 1}\ngroups: []", "t:1:10: '1k' is not a name"),
        ("x" * 1_000_001, "file of 1000001 characters: 1000000 at most"),
    ],
)
def test_files_that_are_no_rule_files(text, complaint):
    """Whatever the text, there is one clear first message."""
    with pytest.raises(RuleFileError) as error:
        load_text(text, "t")
    assert complaint in str(error.value)


def test_a_small_file_cannot_become_a_large_one():
    """Nested aliases end in an error, not in a full memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(RuleFileError, match="more than 50000 values"):
        load_text("\n".join(lines))


@given(st.text(max_size=200) | st.text(alphabet="groups:-[]{}&*!|>'\" \n#%@?,name", max_size=80))
def test_any_text_is_rules_or_a_rule_file_error(text):
    """No other exception gets out of the loader."""
    with contextlib.suppress(RuleFileError):
        load_text(text)


def test_packs_and_files_together(tmp_path):
    """A pack by its bare name and a file by its path make one rule book; its digest changes with the text."""
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    book = load_rules(["stability", path])
    assert [rule.name for rule in book.rules][-2:] == ["Everything", "Plain"]
    assert book.sources == ("stability", str(path))
    path.write_text(GOOD + "\n")
    assert load_rules(["stability", path]).sha256 != book.sha256
    path.write_text(shipped_packs()["stability"])
    with pytest.raises(RuleFileError, match="already a rule of this name in stability"):
        load_rules(["stability", path])


def test_only_files_that_set_it_say_when_a_checkpoint_is_good(tmp_path):
    """The longest of theirs; the default where none does."""
    plain = "groups: [{name: g, rules: [{guard: %s, expr: loss > 1}]}]\n"
    (tmp_path / "plain.yaml").write_text(plain % "A")
    (tmp_path / "short.yaml").write_text(plain % "B" + "checkpoints: {good_after: 7 steps}\n")
    (tmp_path / "empty.yaml").write_text(plain % "C" + "checkpoints: {}\n")
    (tmp_path / "long.yaml").write_text(plain % "D" + "checkpoints: {good_after: 9 steps}\n")

    def good_after(*names):
        return load_rules([tmp_path / f"{name}.yaml" for name in names]).good_after

    assert good_after("plain") == good_after("plain", "empty") == 50
    assert good_after("plain", "short", "empty") == 7
    assert good_after("short", "long", "plain") == 9


def test_sources_that_are_not_there(tmp_path):
    """Each is named, with what there is."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RuleFileError) as error:
        load_rules(["stabilty", "no/such.yaml", tmp_path / "binary.yaml", tmp_path])
    text = str(error.value)
    assert "did you mean 'stability'?" in text
    assert "no/such.yaml:1:1: can't be read: No such file" in text
    assert "binary.yaml:1:1: can't be read:" in text
    assert f"{tmp_path}:1:1: can't be read: Is a directory" in text


@pytest.mark.parametrize("name", sorted(shipped_packs()))
def test_shipped_packs_load(name):
    """A pack that does not load is of no use."""
    book = load_rules([name])
    assert book.rules or book.expectations
    tests = f"test_{name.partition('/')[0]}.py"
    assert (Path(__file__).parent / "packs" / tests).exists(), "every pack has tests of its own"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5 steps", Duration(5, "steps")),
        ("1 step", Duration(1, "steps")),
        ("2epochs", Duration(2, "epochs")),
        ("30s", Duration(30, "seconds")),
        ("1d2h3m4s", Duration(93784, "seconds")),
    ],
)
def test_durations(text, wanted):
    """Steps, epochs, and Prometheus's way of writing seconds."""
    assert Duration.parse(text) == wanted
    assert Duration.parse(str(wanted)) == wanted


@pytest.mark.parametrize("text", ["", "5", "steps", "-1 steps", "1.5 steps", "5 weeks", "s", "1s1h"])
def test_what_is_no_duration(text):
    """The message says how to write one."""
    with pytest.raises(ValueError, match="is not a duration: write '5 steps'"):
        Duration.parse(text)


def test_an_unknown_epoch_never_passes():
    """A rule in epochs waits for a loop that names them."""
    since, now = Moment(1, None, 0.0), Moment(9, 3, 9.0)
    assert not Duration(1, "epochs").passed(since, now)
    assert Duration(8, "steps").passed(since, now)
    assert not Duration(10, "seconds").passed(since, now)


def test_a_rule_that_an_alert_fires():
    """Its labels stand in the place of an expression."""
    [rule] = load_text("groups: [{name: g, rules: [{guard: Hot, alert: {alertname: TooHot, node: 'n 7'}}]}]").rules
    assert rule.alert == {"alertname": "TooHot", "node": "n 7"}
    assert rule.source == 'alert {alertname="TooHot", node="n 7"}'
    assert load_text("groups: [{name: g, rules: [{guard: A, expr: loss > 1}]}]").rules[0].alert is None


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("guard: A", "t:1:28: group \"g\", rule \"A\": missing key 'expr', or 'alert'"),
        ("guard: A, expr: null", "missing key 'expr', or 'alert'"),
        ("guard: A, expr: loss > 1, alert: {a: b}", "give a rule either 'expr' or 'alert', not both"),
        ("guard: A, alert: {}", "'alert' is empty"),
        ("guard: A, alert: {a: 1}", "'a' should be a valid string, not 1"),
        ("guard: A, alert: {a-b: c}", "'a-b' is not a name"),
        ("guard: A, alert: {a: b}, for: 3 steps", "'for' does not go with 'alert': Alertmanager says when"),
        ("guard: A, alert: {a: b}, baseline: rolling", "'baseline' does not go with 'alert'"),
        ("guard: manual, alert: {a: b}", "the name 'manual' is kept for what a person orders by hand"),
        ("expect: A, within: 3 steps, alert: {a: b}", "unknown key 'alert'"),
    ],
)
def test_what_does_not_go_with_an_alert(rule, complaint):
    """Each with its place and the reason."""
    with pytest.raises(RuleFileError) as error:
        load_text(f"groups: [{{name: g, rules: [{{{rule}}}]}}]", "t")
    assert complaint in str(error.value)
