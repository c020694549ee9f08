"""A run that judged itself is a run like any other to whoever comes later."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.records import everything
from tests.trainer.embedded import RULES as RULES  # of the fixture `rules`
from tests.trainer.embedded import derived, embedded, fold, openings, train
from tests.trainer.support import Monitor, Run
from trainguard_monitor.cli import main
from trainguard_monitor.following.driver import Driver
from trainguard_rules import load_rules
from trainguard_wire import Intervention, LeaseHeld, Outcome, RunDirectory


def test_a_daemon_takes_it_up_where_it_was_left(tmp_path: Path, rules: Path) -> None:
    """Held while it runs, driven after it: nothing is journalled again, nothing told again, and the fold goes on."""
    path = tmp_path / "run"
    driver = Driver(RunDirectory(path), load_rules([rules]))
    run = Run()
    with embedded(run, path, rules) as guard:
        train(run, guard, 40, bad=[30])
        with pytest.raises(LeaseHeld, match="already has a monitor"):
            driver.poll(0.0)
        assert driver.view().state == "held"
    before = sorted((file, file.read_bytes()) for file in path.glob("[cj]o*/*"))
    driver.drain(0.0)
    view = driver.view()
    driver.close()
    assert sorted((file, file.read_bytes()) for file in path.glob("[cj]o*/*")) == before
    assert (view.state, view.decisions["Explosion", "act"]) == ("ended", 1)
    assert view.actions["scale_lr", "applied"] == 1

    run = Run()
    with embedded(run, path, rules) as guard:  # and a later process goes on where the daemon stood
        train(run, guard, 40, bad=[30])
        assert guard.errors == {}
    assert derived(path) == fold(Monitor(path), rules)
    assert {opened.from_record for opened in openings(path)} == {0}


def test_a_daemon_completes_what_it_could_not_write(tmp_path: Path, rules: Path) -> None:
    """kill -9 in mid-run: the journal is completed, and what the dead trainer should have been told is told."""
    path, run = tmp_path / "run", Run()
    with embedded(run, path, rules) as guard:
        train(run, guard, 40, bad=[30])
    whole = derived(path)
    for folder, kept in (("journal", 4), ("control", 2)):
        segment = path / folder / "000001.jsonl"
        segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:kept]) + b'{"type"')
    driver = Driver(RunDirectory(path), load_rules([rules]))
    driver.drain(0.0)
    driver.close()
    assert derived(path) == whole


def test_replay_and_the_same_rules_agree(tmp_path: Path, rules: Path) -> None:
    """`trainguard replay` of an embedded run: the same rules decide the same, at the same steps."""
    path, run = tmp_path / "run", Run()
    with embedded(run, path, rules) as guard:
        train(run, guard, 60, bad=[30, 45])
    result = CliRunner().invoke(main, ["replay", str(path), "--rules", str(rules), "--mode", "act", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["same_rules"]
    assert [row["step"] for row in report["decisions"]] == [30, 45]
    assert all(row["replayed"] == row["recorded"] for row in report["decisions"])
    assert sum(isinstance(message, Intervention) for message in everything(RunDirectory(path).read_control())) == 2


def test_what_it_cannot_send_is_said_and_not_sent_later(tmp_path: Path) -> None:
    """A notification is refused in the journal at once; a daemon that comes later has nothing to send."""
    rules = tmp_path / "notify.yaml"
    action = "{guard: Tells, expr: grad_norm > 100, actions: [{scale_lr: {factor: 0.5}}, {notify: {to: oncall}}]}"
    rules.write_text(f"groups: [{{name: g, rules: [{action}]}}]")
    path, run = tmp_path / "run", Run()
    with embedded(run, path, rules) as guard:
        train(run, guard, 10, bad=[5])
        assert guard.errors == {}
    outcomes = [(r.kind, r.status, r.reason) for r in derived(path) if isinstance(r, Outcome)]
    assert outcomes == [("notify", "refused", "an embedded monitor has no webhooks"), ("scale_lr", "applied", "")]
    whole, sent = derived(path), []
    driver = Driver(RunDirectory(path), load_rules([rules]), notify=sent.append)
    driver.drain(0.0)
    driver.close()
    assert (derived(path), sent) == (whole, [])
