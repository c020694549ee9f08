"""What the page makes of actions, numbers and times: its own modules, asked in a browser."""

from typing import Any

import pytest

from tests.support.browser import Browser
from trainguard_rules.actions import ACTIONS

PLANNED = [
    ("scale_lr", {"factor": 0.5, "min": 1e-7}, "halve the learning rate"),
    ("scale_lr", {"factor": 0.1}, "cut the learning rate to a tenth"),
    ("scale_lr", {"factor": 0.7, "recover_over": 50}, "multiply the learning rate by 0.7, coming back over 50 steps"),
    ("set_lr", {"lr": 0.01}, "set the learning rate to 0.01"),
    ("set_lr", {"lr": "lr / 3"}, "set the learning rate to what lr / 3 is then"),
    (
        "rewarm_lr",
        {"start_lr": 0.01, "base_lr": 0.1, "over": 5, "unit": "epochs"},
        "warm the learning rate up again, from 0.01 over 5 epochs",
    ),
    ("scale_weight_decay", {"factor": 2}, "double the weight decay"),
    ("set_weight_decay", {"weight_decay": 0}, "set the weight decay to 0"),
    ("set_knob", {"name": "dropout", "value": 0.2}, "set the knob dropout to 0.2"),
    ("scale_knob", {"name": "dropout", "factor": 3}, "multiply the knob dropout by 3"),
    ("restore_checkpoint", {"which": "last_good"}, "go back to the newest good checkpoint"),
    (
        "restore_checkpoint",
        {"before_step": 7, "rewind": "full"},
        "go back to the newest good checkpoint from before step 7, data and schedule with it",
    ),
    ("save_checkpoint", {}, "save a checkpoint"),
    ("skip_steps", {"count": 10}, "drop the next 10 updates"),
    (
        "set_gate",
        {"nonfinite": True, "factor": 4},
        "drop each update whose gradient norm is not finite or 4 times the usual",
    ),
    ("set_gate", {}, "let every update through again"),
    ("pause", {"at_most": 3600.0}, "pause the training, for 1 h at most"),
    ("resume", {}, "let the training go on"),
    ("stop", {}, "stop the training"),
    ("notify", {"to": "on_call"}, "notify on_call"),
    ("diagnose", {"probe": "collapse"}, "measure what is costly to measure always"),
    ("do_more", {"times": 2}, "do more times 2"),
]
DONE = [
    ({"kind": "scale_lr", "params": {"factor": 0.5}, "before": 0.2, "after": 0.1}, "Learning rate halved: 0.2 → 0.1"),
    ({"kind": "scale_lr", "params": {"factor": 0.5}, "before": 0.2, "after": 0.15}, "Learning rate: 0.2 → 0.15"),
    (
        {"kind": "scale_knob", "params": {"name": "p", "factor": 2}, "before": 0.1, "after": 0.2},
        "Knob p doubled: 0.1 → 0.2",
    ),
    ({"kind": "restore_checkpoint", "checkpoint": 500}, "Went back to the checkpoint of step 500"),
    ({"kind": "resume", "after": 12.0}, "Let the training go on, after a pause of 12 s"),
    ({"kind": "skip_steps", "params": {"count": 10}, "before": 0.0, "after": 10.0}, "Dropped the next 10 updates"),
    ({"kind": "skip_steps", "params": {"count": 1}, "before": 7.0, "after": 7.0}, "Dropped the next 7 updates"),
    ({"kind": "skip_steps", "params": {"count": 1}}, "Dropped the next update"),
    ({"kind": "stop"}, "Told the training to end"),
    ({"kind": "stop", "status": "refused", "reason": "no"}, "Could not stop the training: the trainer refused, no"),
    ({"kind": "notify", "params": {"to": "on_call"}}, "Notified on_call"),
    (
        {"kind": "notify", "params": {"to": "on_call"}, "status": "failed", "reason": "503"},
        "Could not notify on_call: failed, 503",
    ),
    ({"kind": "stop", "status": "waiting"}, "To stop the training: no answer from the trainer yet"),
]
NUMBERS = [
    (0.00015345894304602897, "0.0001535"),
    (6.366e-05, "6.366e\u22125"),
    (26.86, "26.86"),
    (1234567, "1.235e6"),
    (54321.9, "54\u202f322"),
    (-0.5, "\u22120.5"),
    (0, "0"),
    (None, "\u2013"),
    ("NaN", "NaN"),
    ("-Infinity", "\u2212∞"),
]
PERIODS = [(0.25, "250 ms"), (59, "59 s"), (61, "1 min"), (3700, "1 h"), (90000, "25 h"), (200000, "2 days")]


@pytest.fixture
def modules(browser: Browser, url: str) -> Browser:
    browser.open(url)
    return browser


def said(browser: Browser, module: str, function: str, arguments: list[Any]) -> list[str]:
    """What a function of a module makes of each argument."""
    script = """
        const [path, name, arguments_, tell] = arguments;
        import(path).then((module) => tell(arguments_.map((argument) => module[name](argument))));
    """
    path = f"{browser.driver.current_url}page/{module}"
    return list(browser.driver.execute_async_script(script, path, function, arguments))


def test_actions(modules: Browser) -> None:
    """Every action there is has words of its own; one that is not known yet is told as it stands."""
    assert {kind for kind, _, _ in PLANNED} - {"do_more"} == set(ACTIONS)
    actions = [{"kind": kind, "params": params} for kind, params, _ in PLANNED]
    assert said(modules, "deeds.js", "planned", actions) == [words for _, _, words in PLANNED]


def test_outcomes(modules: Browser) -> None:
    """With the value before and after, or why not."""
    blank = {"params": {}, "status": "applied", "before": None, "after": None, "checkpoint": None, "reason": ""}
    actions = [blank | action for action, _ in DONE]
    assert said(modules, "deeds.js", "done", actions) == [words for _, words in DONE]


def test_numbers_and_times(modules: Browser) -> None:
    assert said(modules, "format.js", "number", [value for value, _ in NUMBERS]) == [text for _, text in NUMBERS]
    assert said(modules, "format.js", "duration", [value for value, _ in PERIODS]) == [text for _, text in PERIODS]
