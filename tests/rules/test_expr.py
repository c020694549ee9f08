"""The rule language: what it means, what it refuses, and that nothing gets through or hangs."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard_rules.expr import Scope, compile_program, parse
from trainguard_rules.expr.functions import divide, modulo, power

SCOPE = Scope(signals=("loss", "grad_norm", "val_loss"), params={"k": 2.0, "window": 4})
NAN = math.nan


def program(text, **scope):
    node, problems = parse(text, SCOPE)
    assert not problems, problems
    return compile_program(node)


def evaluate(text, step=10, epoch=NAN, time=0.0, **values):
    return program(text).evaluate(values, step, epoch, time)


@pytest.mark.parametrize(
    ("text", "values", "wanted"),
    [
        ("loss > 1", {"loss": 2.0}, True),
        ("loss > 1", {"loss": 1.0}, False),
        ("loss > k", {"loss": 3.0}, True),
        ("loss > 1", {"loss": NAN}, None),
        ("loss <= 1", {"loss": NAN}, None),
        ("loss == 1", {"loss": NAN}, None),
        ("loss != 1", {"loss": NAN}, None),
        ("loss != 1", {"loss": 2.0}, True),
        ("loss != 1", {"loss": 1.0}, False),
        ("loss > 1e9", {"loss": math.inf}, True),
        ("not loss > 1", {"loss": NAN}, None),
        ("not loss > 1", {"loss": 2.0}, False),
        ("1 < loss <= 3", {"loss": 3.0}, True),
        ("1 < loss <= 3", {"loss": 4.0}, False),
        ("1 < loss <= 3 < grad_norm", {"loss": 2.0, "grad_norm": NAN}, None),
        ("loss > 1 and grad_norm > 1", {"loss": NAN, "grad_norm": 0.0}, False),
        ("loss > 1 and grad_norm > 1", {"loss": NAN, "grad_norm": 2.0}, None),
        ("loss > 1 or grad_norm > 1", {"loss": NAN, "grad_norm": 2.0}, True),
        ("loss > 1 or grad_norm > 1", {"loss": NAN, "grad_norm": 0.0}, None),
        ("isfinite(loss)", {"loss": math.inf}, False),
        ("isnan(loss) or not isfinite(grad_norm)", {"loss": 1.0, "grad_norm": NAN}, True),
        ("loss - 2 * 3 + -grad_norm > 0", {"loss": 8.0, "grad_norm": 1.0}, True),
        ("abs(loss) >= 3", {"loss": -3.0}, True),
        ("loss / grad_norm > 1", {"loss": 1.0, "grad_norm": 0.0}, True),
        ("loss / grad_norm > 1", {"loss": 0.0, "grad_norm": 0.0}, None),
        ("log(loss) < 0", {"loss": -1.0}, None),
        ("exp(loss) > 1", {"loss": 1e6}, True),
        ("sqrt(loss) == 3", {"loss": 9.0}, True),
        ("loss ** 0.5 > 1", {"loss": -4.0}, None),
        ("loss % 2 == 1", {"loss": 7.0}, True),
        ("step >= 10 and loss > 0", {"loss": 1.0}, True),
        ("epoch < 5", {}, None),
    ],
)
def test_truth(text, values, wanted):
    """Comparisons have three values, and the logic over them is Kleene's."""
    assert evaluate(text, **values) is wanted


def feed(text, stream, frozen=()):
    """Evaluate and learn sample by sample; the frozen ones are held."""
    p = program(text)
    fresh = frozenset({"loss"})
    learn, hold = (p.learner(fresh, fresh, frozen=f) for f in (False, True))
    results = []
    for i, x in enumerate(stream):
        results.append(p.evaluate({"loss": x}, i, NAN, 0.0))
        (hold if i in frozen else learn)({"loss": x}, i, NAN, 0.0)
    return results


def test_windows_exclude_the_current_sample():
    """A spike is compared with what was before it, not with itself."""
    assert feed("loss > 3 * mean(loss, 2)", [1.0, 1.0, 4.0, 4.0]) == [None, False, True, False]


def test_non_finite_samples_never_enter_a_statistic():
    """One NaN makes one unknown; it leaves nothing in the window."""
    assert feed("loss > 3 * mean(loss, 2)", [1.0, 1.0, NAN, math.inf, 4.0]) == [None, False, None, True, True]


def test_prev_steps_over_non_finite_samples():
    """`prev` is the last finite sample."""
    assert feed("loss > 2 * prev(loss)", [1.0, NAN, 3.0]) == [None, None, True]


def test_the_beginning_of_a_run_is_kept():
    """`initial` of a window is that of the first samples exactly, from the next one on."""
    rule = "loss > 2 * initial(max(loss, 3), 3)"
    assert feed(rule, [1.0, 3.0, 2.0, 6.0, 6.1, 20.0, 6.1]) == [None, None, None, False, True, True, True]
    assert feed(rule, [1.0, NAN, 2.0, 4.1]) == [None, None, None, True]


def test_nested_windows_exclude_the_current_sample_too():
    """The deviation that is learned is the one from the median before the sample."""
    p = program("median(abs(loss - median(loss, 2)), 2) > 0")
    fresh = frozenset({"loss"})
    learn = p.learner(fresh, fresh, frozen=False)
    for x in (1.0, 5.0, 5.0):
        learn({"loss": x}, 0, NAN, 0.0)
    # medians before each sample: none, 1, 3; deviations learned: none, 4, 2
    assert p.value({"loss": 0.0}, 0, NAN, 0.0) == 3.0


def test_frozen_references_learn_nothing_while_trackers_go_on():
    """A window is held during an incident; `prev` is not a reference and follows."""
    assert feed("loss > 3 * mean(loss, 2)", [1.0, 1.0, 9.0, 9.0, 9.0], frozen=(2, 3))[2:] == [True, True, True]
    assert feed("loss > 3 * prev(loss)", [1.0, 9.0, 9.0], frozen=(1, 2)) == [None, True, False]


@pytest.mark.parametrize(("middle", "spread"), [("mean", "std"), ("median", "mad")])
def test_a_middle_beside_its_spread_costs_nothing(middle, spread):
    """One window serves both, and gives what two would."""
    together, alone = program(f"{middle}(loss, 6) > {spread}(loss, 6)"), program(f"{middle}(loss, 6) > 0")
    assert len(together.statistics) == 1
    fresh = frozenset({"loss"})
    learners = [p.learner(fresh, fresh, frozen=False) for p in (together, alone)]
    for i in range(40):
        for learn in learners:
            learn({"loss": 1e6 + math.sin(i)}, i, NAN, 0.0)
        means = [p.value({"loss": 0.0}, i, NAN, 0.0) for p in (together, alone)]
        assert means[0] == pytest.approx(means[1], rel=1e-15, nan_ok=True)


def test_a_statistic_used_twice_is_kept_once():
    """Equal calls share one window."""
    assert len(program("loss > median(loss, 9) and loss > 2 * median(loss, 9)").statistics) == 1


@pytest.mark.parametrize(
    ("text", "column", "complaint"),
    [
        ("", 1, "empty expression"),
        ("loss > > 1", 8, "not an expression"),
        ("los > 1", 1, "unknown signal 'los'; did you mean 'loss'?"),
        ("my_metric > 1", 1, "declared under 'signals:'"),
        ("loss > 1 and bogus(loss, 2) > 1", 14, "unknown function 'bogus'"),
        ("medain(loss, 2) > 1", 1, "unknown function 'medain'; did you mean 'median'?"),
        ("loss", 1, "is a number where a comparison is wanted"),
        ("(loss > 1) + 2 > 1", 2, "is a comparison where a number is wanted"),
        ("mean(loss) > 1", 1, "mean takes 2 arguments, not 1: write mean(x, window)"),
        ("mean(loss, 2, 3) > 1", 1, "mean takes 2 arguments, not 3"),
        ("mean(loss, 0) > 1", 12, "whole number from 1 to 100000, not '0'"),
        ("mean(loss, 2.5) > 1", 12, "whole number"),
        ("mean(loss, loss) > 1", 12, "whole number"),
        ("mean(3, 5) > loss", 6, "x must contain a signal"),
        ("mean > 1", 1, "'mean' is a function: write mean(x, window)"),
        ("since_best(loss, steps, 0, 0, 0) > 1", 1, "since_best takes 1 to 4 arguments, not 5"),
        ("since_best(loss, relative_gain=2) > 1", 32, "relative_gain must be a number from 0 to 1, not '2'"),
        ("since_best(loss, weeks) > 1", 18, "one of steps, epochs, seconds"),
        ("loss.real > 1", 1, "an attribute is not part"),
        ("loss[0] > 1", 1, "a subscript is not part"),
        ("loss > 'a'", 8, "not a finite number"),
        ("loss > True", 8, "not a finite number"),
        ("loss > 1e999", 8, "not a finite number"),
        ("loss is 1", 1, "compare numbers with"),
        ("loss | 1 > 2", 1, "only + - * / % **"),
        ("~loss > 2", 1, "write 'not'"),
        ("(lambda: loss)() > 1", 1, "only the functions of the rule language"),
        ("__import__('os').system('x') > 1", 1, "only the functions of the rule language"),
        ("loss if loss > 1 else 2", 1, "'if … else' is not part"),
        ("[x for x in loss] > 1", 1, "a comprehension is not part"),
        ("mean(*loss) > 1", 1, "write mean(x, window)"),
        ("mean(loss, window=5, window=6) > 1", 1, "write mean(x, window)"),
        ("mean(loss, **loss) > 1", 1, "write mean(x, window)"),
        ("slope(loss, 2) > 1", 13, "whole number from 3 to 100000, not '2'"),
        ("std(loss, 1) > 1", 11, "whole number from 2 to 100000, not '1'"),
        ("zscore(loss, 1) > 1", 14, "whole number from 2 to 100000, not '1'"),
        ("  \n   loss > foo", 11, "unknown signal 'foo'"),
        ("größe > 1", 1, "unknown signal 'größe'"),
        ("größe > foo", 1, "unknown signal 'größe'"),
        ("loss > größe + foo", 8, "unknown signal 'größe'"),
        ("loss > 1or loss > 2", 8, "'1or': a word needs a blank before it"),
        ("loss > .5and 1 < loss", 8, "'.5and': a word needs a blank before it"),
        ("'\\d' > loss", 2, "'\\\\': it is not part of the rule language"),
        ("+".join(["delta(delta(delta(delta(loss))))"] * 25) + " > 1", 1, "more than 1000 parts"),
        ("mean(loss, size=3) > 1", 1, "write mean(x, window)"),
        ("1 > 2", 1, "looks at no signal"),
        (" + ".join(["loss"] * 300) + " > 1", 1, "more than"),
        (" + ".join(["loss"] * 60) + " > 1", 1, "deep"),
        ("(" * 500 + "loss" + ")" * 500, 201, "nested parentheses"),
        ("-" * 3999 + "1", 1, "not an expression"),
        ("9" * 5000, 1, "4000 at most"),
        ("loss > 1\x00", 1, "not an expression"),
    ],
)
def test_what_is_refused(text, column, complaint):
    """With the column, from 1, and a suggestion where one is near."""
    node, problems = parse(text, SCOPE)
    assert node is None
    assert [p.column for p in problems][:1] == [column]
    assert complaint in problems[0].message


def test_every_problem_of_an_expression_is_reported():
    """Not the first only."""
    _, problems = parse("los > 1 and mean(loss) > grad_nrm and loss.x > 1", SCOPE)
    assert [p.column for p in problems] == [1, 13, 26, 39]


def test_columns_count_characters():
    """Not bytes; lines that stand before the expression count."""
    _, problems = parse(" \n\n  größe > 1 and foo > 2", SCOPE)
    assert [p[:2] for p in problems] == [(3, 3), (3, 17)]
    _, problems = parse("(größe > 1\r\n and ä > 1 and foo > 2)", SCOPE)
    assert [p[:2] for p in problems] == [(1, 2), (2, 6), (2, 16)]


def test_names_that_begin_or_end_like_a_word():
    """A number is not glued to what is no word, nor a name to its digits."""
    scope = Scope(signals=("x1or", "l2_in"))
    for text in ("x1or > 1e5 or l2_in < 0x10", "not 1<l2_in", "x1or>1 or(x1or<2)"):
        assert parse(text, scope)[1] == []


def test_a_power_that_is_too_large_keeps_its_sign():
    """As IEEE has it."""
    assert power(-1e200, 3.0) == power(-1e-200, -3.0) == -math.inf
    assert power(-1e200, 2.0) == power(1e200, 3.0) == power(-1e200, 1e300) == math.inf


NUMBERS = st.recursive(
    st.sampled_from(["loss", "grad_norm", "1", "2.5", "0", "k", "step"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"abs({t})"),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=6,
)
TRUTHS = st.recursive(
    st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda ts: "(" + " and ".join(ts) + ")"),
        st.lists(inner, min_size=2, max_size=4).map(lambda ts: "(" + " or ".join(ts) + ")"),
        inner.map(lambda t: f"(not {t})"),
    ),
    max_leaves=8,
)
VALUES = st.sampled_from([0.0, 1.0, -2.0, 2.5, 1e308, NAN, math.inf, -math.inf])


def kleene(text, names):
    """An independent evaluation: Python's own tree, walked with three-valued logic."""
    import ast

    def number(node):
        match node:
            case ast.Constant(value=value):
                return float(value)
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(operand=operand):
                return -number(operand)
            case ast.Call(args=[argument]):
                return abs(number(argument))
            case ast.BinOp(left=left, op=op, right=right):
                a, b = number(left), number(right)
                table = {ast.Add: lambda: a + b, ast.Sub: lambda: a - b, ast.Mult: lambda: a * b}
                return table.get(type(op), lambda: divide(a, b))()

    def truth(node):
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = number(left), number(right)
                if math.isnan(a) or math.isnan(b):
                    return None
                return {"Lt": a < b, "LtE": a <= b, "Gt": a > b, "GtE": a >= b, "Eq": a == b, "NotEq": a != b}[
                    type(op).__name__
                ]
            case ast.UnaryOp(operand=operand):
                inner = truth(operand)
                return None if inner is None else not inner
            case ast.BoolOp(op=op, values=values):
                found = [truth(value) for value in values]
                decisive = isinstance(op, ast.Or)
                return decisive if decisive in found else None if None in found else not decisive

    return truth(ast.parse(text, mode="eval").body)


@settings(max_examples=300)
@given(text=TRUTHS, loss=VALUES, grad_norm=VALUES)
def test_generated_code_means_what_the_text_says(text, loss, grad_norm):
    """Random expressions, against a tree walk that shares no code with the compiler."""
    node, problems = parse(text, SCOPE)
    if problems:
        assert all("looks at no signal" in p.message for p in problems)
        return
    values = {"loss": loss, "grad_norm": grad_norm}
    compiled = compile_program(node)
    wanted = kleene(text, {**values, "k": 2.0, "step": 10.0})
    assert compiled.evaluate(values, 10, NAN, 0.0) is wanted
    finite = frozenset(name for name, value in values.items() if math.isfinite(value))
    for certain in (True, False):
        shorter = compiled.function([f"return {compiled.certain(certain, finite)}"])
        assert shorter(values, 10, NAN, 0.0) is (wanted is certain)


@settings(max_examples=300)
@given(st.text(max_size=60) | st.text(alphabet="loss>()+-*/.,[]'\"\n\\ 1e_:=", max_size=60))
def test_no_text_gets_past_or_raises(text):
    """Any text is a tree or a list of problems."""
    node, problems = parse(text, SCOPE)
    assert (node is None) == bool(problems)


@given(st.floats(), st.floats())
def test_arithmetic_never_raises(a, b):
    """What is not defined is NaN or infinite."""
    for function in (divide, modulo, power):
        assert isinstance(function(a, b), float)
