"""Where a problem is said to be, there it is; and what it says is of use."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_rules import RuleFileError, load_text

HEAD = "groups:\n- name: g\n  rules:\n  - guard: A\n    expr: "


def problems(text):
    with pytest.raises(RuleFileError) as error:
        load_text(text, "f")
    return error.value.problems


def place_of(text, word):
    before = text[: text.index(word)].split("\n")
    return len(before), len(before[-1]) + 1


@pytest.mark.parametrize(
    "expression",
    [
        "loss > foo",
        "größe > 1 and loss > foo",
        '"   loss > foo"',
        "'loss > foo'",
        "&e loss > foo",
        '&e "loss > foo"',
        "!!str loss > foo",
        '!!str &e   "loss > foo"',
        "|\n      loss > foo\n",
        "|\n      (loss > 1\n       and loss > foo)\n",
        "|-\n\n\n        (loss > 1\n\n          and loss > foo)\n",
        ">\n      loss > 1\n      and loss > foo\n",
        ">+\n      loss > 1\n      and loss > foo\n\n",
        "loss > 1\n      and loss > foo",
        "loss > 1\n          and loss\n     > foo",
        "'loss > 1\n      and loss > foo'",
        '"loss > 1\n      and loss > foo"',
        "foo  # loss > foo",
    ],
)
def test_a_word_of_an_expression_is_found(expression):
    """However YAML lets it be written."""
    text = HEAD + expression + "\n"
    assert place_of(text, "foo") in [problem[1:3] for problem in problems(text)]


@pytest.mark.parametrize(
    ("expression", "begins"),
    [
        ('"loss \\u003e 1 and loss > foo"', "loss"),
        ('"loss > 1 \\\n      and loss > foo"', "loss"),
        ("'loss > 1\n\n      and loss > foo'", "loss"),
        (">\n      (loss > 1\n\n      and loss > foo)\n", ">"),
        ("|2\n        loss > foo\n", "|"),
    ],
)
def test_where_it_cannot_be_told_it_is_the_beginning(expression, begins):
    """Of the value, and never a place that is not in the file."""
    text = HEAD + expression + "\n"
    found = [problem[1:3] for problem in problems(text)]
    line, column = place_of(HEAD + "#", "#")
    assert found == [(line, column + expression.index(begins))]


SCALARS = st.sampled_from(["|", ">", "|-", ">2", "'", '"', "", "&a ", "!!str "])
WORDS = st.lists(st.sampled_from(["loss", ">", "1", "foo", "and", "\n", "\n\n", " ", "\\", "'", "ü"]), max_size=9)


@given(SCALARS, WORDS, st.integers(0, 9))
def test_every_place_is_in_the_file(mark, words, indent):
    """Of any scalar."""
    body = " ".join(words).replace("\n", "\n" + " " * indent)
    block = mark[:1] in "|>" and mark
    text = HEAD + mark + (f"\n{' ' * indent}{body}\n" if block else body + (mark if mark in ("'", '"') else "") + "\n")
    try:
        load_text(text, "f")
    except RuleFileError as error:
        lines = text.split("\n")
        for _, line, column, _ in error.problems:
            assert 1 <= line <= len(lines)
            assert 1 <= column <= len(lines[line - 1]) + 1


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: \x01\n", (2, 4), "not YAML: unacceptable character 0x0001"),
        ("x: 1\n" * 3000 + "# \x00", (3001, 3), "not YAML: unacceptable character 0x0000"),
        ('groups: "\\ud800"', (1, 10), "a surrogate, half a character: write the whole one"),
        ('"\\udfff": 1', (1, 2), "a surrogate, half a character: write the whole one"),
        ("groups: !foo 3", (1, 9), "tag '!foo' means nothing here"),
        ("groups: !foo [a]", (1, 9), "tag '!foo' means nothing here"),
        ("%YAML 1.1\n---\ngroups: yes", (3, 9), "'yes' is neither true nor false"),
        ("groups: !!bool maybe", (1, 9), "'maybe' is neither true nor false"),
        ("groups: !!int abc", (1, 9), "'abc' is not a number"),
        ("params: {k: 010}", (1, 13), "'010' begins with a 0: write it without"),
        ("params: {k: 1" + "0" * 400 + "}", (1, 13), f"'1{'0' * 56}...' is too large"),
        ("params: 5", (1, 9), "'params' should be a mapping, not 5"),
        ("signals: [lambda]", (1, 11), "signal 'lambda' has the name of a word of the language"),
        ("params: {not: 1}", (1, 10), "param 'not' has the name of a word of the language"),
        ("signals: [[a]]", (1, 11), "'entry 1' should be a valid string, not ['a']"),
    ],
)
def test_what_a_file_cannot_hold(text, place, message):
    """One problem for each, where it stands."""
    found = [problem for problem in problems(text) if "missing key" not in problem.message]
    assert [(problem[1:3], problem.message) for problem in found if problem.message == message] == [(place, message)]


LONG = "0" * 400
DURATION = "is not a duration: write '5 steps', '2 epochs' or '30s'"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("for:", f"'' {DURATION}"),
        ("for: true", f"'True' {DURATION}"),
        ("for: -5", f"'-5' {DURATION}"),
        ("for: [5 steps]", f"\"['5 steps']\" {DURATION}"),
        ("for: 1.5", f"'1.5' {DURATION}"),
        ("for: 5", "5 has no unit: write '5 steps', '5 epochs' or '5s'"),
        ("for: 2000000000 steps", "'2000000000 steps' is too much: 1000000000 at most"),
        ("for: 99999d", "'99999d' is too much: 1000000000 at most"),
        (f"cooldown: 1{LONG}s", f"'1{'0' * 59}...' is too long for a duration or a limit"),
        (f"limit: 1{LONG}", f"'1{'0' * 56}...' is too large"),
        ("limit: 2000000000", "'2000000000' is too much: 1000000000 at most"),
        ("limit: true", "'True' is not a limit: write '4 per 1000 steps', or '3' for all of a trainer process"),
        ("actions: [{scale_lr: [1]}]", "scale_lr: should be a mapping, not [1]"),
        ("actions: [{scale_lr: {factor: 1, recover_over: 9999999999}}]", "'recover_over' should be less than or equal"),
        ("<<: {for: 1 step}", "merge keys ('<<') are no part of YAML 1.2: write the keys out"),
        ("annotations: {s: '{step:c}'}", "field {step:c} in '{step:c}': write a format such as :.3g"),
        ("annotations: {s: '{step:.3}'}", "field {step:.3} in '{step:.3}': Precision not allowed"),
        ("annotations: {s: '{value:d}'}", "field {value:d} in '{value:d}': Unknown format code 'd'"),
        ("annotations: {s: '{value:>20000000}'}", "with at most two digits of width and of precision"),
        ("annotations: {s: '{value:.20000000f}'}", "with at most two digits of width and of precision"),
    ],
)
def test_what_a_rule_cannot_have(key, message):
    """The key is named by its place; the value met and the value wanted are in the message."""
    text = f"{HEAD}loss > 1\n    {key}\n"
    [problem] = problems(text)
    assert problem.line == 6
    assert re.sub(r'^group "g", rule "A": ', "", problem.message).startswith(message) or message in problem.message


@pytest.mark.parametrize(
    "spec", ["", ":.3g", ":>10", ":*^12,.2f", ":+.1%", ":08.3f", ":e", ":_", ":=+9.0f", ":#.3g", ":99.99f"]
)
def test_formats_of_numbers(spec):
    """Whatever makes a short text of any number."""
    load_text(f"{HEAD}loss > 1\n    annotations: {{s: '{{value{spec}}} {{loss{spec}}}'}}\n")


def test_an_expectation_is_named_with_its_problem():
    """As a guard is."""
    [problem] = problems("groups: [{name: g, rules: [{expect: E, expr: foo > 1, within: 5 steps}]}]")
    assert problem.message.startswith('group "g", rule "E": expr: unknown signal')
