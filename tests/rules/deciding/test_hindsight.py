"""Rules that take over from others: what was really decided before is what they go by.

The strongest thing to say about it is that nothing is lost: rules that take over from rules that say the same decide
from then on what those would have decided, whatever was pending, in the air, on trial or before a person.
"""

import random

import pytest

from tests.rules.deciding.story import RULES, Came, story, take_over
from trainguard_rules import CatchUp, Engine, load_text
from trainguard_wire import (
    Decision,
    Derived,
    Input,
)
from trainguard_wire.chain import Chain

SAME = RULES.replace("groups:", "# word for word the same\ngroups:", 1)


def suffixes(decision: Decision) -> set[str]:
    return {suffix for suffix in ("escalate", "revert") if decision.actions and f".{suffix}." in decision.actions[0].id}


@pytest.mark.parametrize("seed", range(30))
def test_the_same_rules_go_on_as_if_nothing_had_happened(seed: int) -> None:
    """From any point of the run on, byte for byte."""
    came, made = story(seed)
    for at in random.Random(seed).sample(range(1, len(came)), 6):
        engine, _ = take_over(load_text(SAME), came, made, at)
        for record, wanted in zip(came[at:], made[at:], strict=True):
            assert engine.feed(record).journal == wanted


def test_the_story_has_everything_in_it() -> None:
    """What is compared above is worth comparing."""
    seen: set[tuple[str, str]] = set()
    for seed in range(30):
        for derived in story(seed)[1]:
            seen |= {(r.rule, r.verdict) for r in derived if isinstance(r, Decision)}
            seen |= {(r.rule, suffix) for r in derived if isinstance(r, Decision) for suffix in suffixes(r)}
    assert {
        ("Spike", "act"),
        ("Spike", "hold_limit"),
        ("Spike", "escalate"),
        ("Reverts", "revert"),
        ("Reverts", "hold_inhibited"),
        ("Asks", "await_approval"),
        ("Asks", "act"),
        ("Asks", "escalate"),
        ("Watches", "observe"),
        ("Sets", "act"),
        ("AsksBack", "act"),
        ("AsksBack", "revert"),
        ("Cannot", "escalate"),
        ("Cannot", "hold_unsupported"),
        ("TellsOnce", "hold_cooldown"),
        ("Hot", "act"),
        ("Hot", "hold_cooldown"),
        ("Hot", "hold_in_flight"),
        ("Tells", "act"),
        ("manual", "act"),
        ("manual", "hold_in_flight"),
        ("manual", "hold_unsupported"),
    } <= seen


@pytest.mark.parametrize("seed", range(8))
def test_other_rules_decide_nothing_in_hindsight(seed: int) -> None:
    """Whatever changed, what they know of the past is what was really decided: nothing was decided twice."""
    came, made = story(seed)
    changed = RULES.replace("grad > 3", "grad > 0").replace("2 * mean", "1.1 * mean").replace("guard: Asks", "guard: B")
    at = len(came) * 2 // 3
    engine, _ = take_over(load_text(changed), came, made, at)
    old = Engine(load_text(RULES))
    for record in came[:at]:
        old.feed(record)
    assert {i.id for i in engine.in_flight} == {i.id for i in old.in_flight}
    left = {d.rule.name: (d.limit_left, d.decided) for d in old.details()}
    assert {
        d.rule.name: (d.limit_left, d.decided) for d in engine.details() if d.rule.name in ("Spike", "Reverts")
    } == {name: left[name] for name in ("Spike", "Reverts")}


def test_what_was_decided_while_the_others_catch_up() -> None:
    """The old rules go on meanwhile; what they decide, and what comes in, is learned from them."""
    came, made = story(3)
    begun, at = 60, 140
    engine = Engine(load_text(SAME))
    catchup = CatchUp(engine, "new", _chain(came, made, begun))
    telemetry = [record for record in came[:at] if not isinstance(record, Input)]
    for i, record in enumerate(telemetry):
        if i == 20:
            for late in _chain(came[begun:], made[begun:], at - begun).records:
                catchup.learn(late)
        catchup.feed(record)
    catchup.finish()
    for record, wanted in zip(came[at:], made[at:], strict=True):
        assert engine.feed(record).journal == wanted


def _chain(came: list[Came], made: list[list[Derived]], at: int) -> Chain:
    records: list[Input | Derived] = []
    for record, derived in zip(came[:at], made[:at], strict=True):
        records += [record] if isinstance(record, Input) else []
        records += derived
    return Chain("old", 0, records, [], [])
