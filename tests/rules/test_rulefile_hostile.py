"""Whatever a rule file holds, what comes out are rules that an engine can run, or a `RuleFileError`: nothing else."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard_rules import Engine, RuleFileError, load_text, shipped_packs
from trainguard_rules.actions import ACTIONS
from trainguard_rules.rulefile.source import read_document
from trainguard_rules.ruletest import load_suite
from trainguard_wire import Hello, sample_of
from trainguard_wire.codec import encode
from trainguard_wire.signals import SIGNALS

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    block
    for page in sorted(DOCS.glob("*.md"))
    for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    if "groups:" in block or "tests:" in block
]
EVERYTHING = """
params: {p: 2.0}
signals: [mine]
mode: act
settle: 3 steps
checkpoints: {good_after: 20 steps}
groups:
  - name: g
    rules:
      - guard: A
        expr: loss > p
        for: 2 steps
        keep_firing_for: 1 epoch
        resolve_expr: loss < 1
        baseline: frozen
        actions:
          - set_lr: {lr: "median(lr, 9)", recover_over: 9}
          - notify: {to: x, message: "{step}"}
        cooldown: 30s
        limit: 4 per 10 steps
        unless: step < 9
        verify: {expr: loss < 1, within: 9 steps, otherwise: escalate}
        escalate: [{pause: {at_most: 1h}}]
        mode: approve
        expires: 9 steps
        labels: {severity: critical}
        annotations: {summary: "{value:.3g}"}
      - {guard: B, alert: {a: b}}
      - {expect: E, expr: mine > 1, within: 9 steps, annotations: {summary: text}}
"""
FILES = [EVERYTHING, *shipped_packs().values(), *EXAMPLES]
LEAVES = [None, [], {}, 5, -5, 0, 1.5, "x", "", "\ud800", True, False, float("inf"), float("nan"), 10**400, -(10**400)]
NESTED = [[[]], {"a": {"b": []}}, [{"a": 1}], [None], {"": None}, {"guard": {}}, [["a"]], {"name": [1]}, {"stop": 3}]
NODES = st.sampled_from([*LEAVES, *NESTED]) | st.recursive(
    st.sampled_from(LEAVES) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


HELLO = Hello(step=0, generation=0, time=0.0, run="r", pid=1, signals=tuple(SIGNALS), actions=tuple(ACTIONS))


def load(data):
    """What an engine makes of it, where it is a rule file."""
    with contextlib.suppress(RuleFileError):
        engine = Engine(load_text(json.dumps(data), "f"))
        engine.feed(HELLO)
        for step in (1, 2, 10**15):
            output = engine.feed(sample_of(dict.fromkeys(SIGNALS, 1e300), step=step, generation=0, time=1.0))
            for record in (*output.control, *output.journal):
                encode(record)


def places(data, path=()):
    """Every path in a tree."""
    yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def replaced(data, path, new):
    """The tree with another node there."""
    if not path:
        return new
    copy = data.copy()
    copy[path[0]] = replaced(data[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("new", [None, [], {}, 5, "x", True, [1], [["a"]], [{"a": 1}], {"p": 10**400}], ids=repr)
def test_any_node_of_a_file_replaced(new):
    """Each in turn, in a file that has every key."""
    data = read_document(EVERYTHING, "f").data
    load(data)
    for path in places(data):
        load(replaced(data, path, new))


@settings(max_examples=150)
@given(st.sampled_from(FILES), st.randoms(use_true_random=False), st.lists(NODES, min_size=1, max_size=3))
def test_any_nodes_of_any_file_replaced(text, chance, news):
    """Of packs and examples of the documentation; several at once, so that checks meet what others refused."""
    data = read_document(text, "f").data
    for new in news:
        data = replaced(data, chance.choice(list(places(data))), new)
    load(data)
    with contextlib.suppress(RuleFileError):
        load_suite(json.dumps(data), "f", lambda files: load_text(EVERYTHING))


@pytest.mark.parametrize(
    "text",
    [
        "loss > " + "9" * 300,
        "*".join(["step"] * 20) + " * loss > 1",
        f"{' * '.join(['step ** 9'] * 9)} > loss",
    ],
)
def test_numbers_past_every_float(text):
    """The clock is a whole number, and grows as a float does where it is reckoned with."""
    load({"groups": [{"name": "g", "rules": [{"guard": "A", "expr": text}]}]})


def nested(part, depth):
    text = "loss"
    for _ in range(depth):
        text = part.format(text)
    return text


@pytest.mark.parametrize(
    "part",
    [
        "count(0<0<0<0<0<0<0<0<{},3)",
        "count(0!=0!=0!={}!=0,3)",
        "count(not (0<{} or loss>2 and loss<9),3)",
        "1/(2/{})",
        "abs(-{})",
        "delta({})",
        "zscore({},9)",
        "share(isnan({}),9)",
    ],
)
def test_what_is_let_through_python_can_compile(part):
    """And in no time: what is refused is so for its size, at one of the depths that the language has."""
    refused = []
    for depth in range(1, 40):
        text = f"{nested(part, depth)} > 1"
        try:
            book = load_text(f"groups: [{{name: g, rules: [{{guard: A, expr: '{text}', unless: '{text}'}}]}}]")
        except RuleFileError as error:
            refused.append(str(error.problems[0]))
        else:
            assert not refused, "a shallower one was refused"
            engine = Engine(book)
            engine.feed(HELLO)
            engine.feed(sample_of({"loss": 2.0}, step=1, generation=0, time=1.0))
    assert any(word in refused[0] for word in ("nested", "stands for more than 1000 parts"))
