"""New rules while the monitor runs: saved in whatever way, on request, and never half."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import (
    BAD_RULES,
    OTHER_RULES,
    RULES,
    ScriptedTrainer,
    interventions_of,
    openings_of,
    running,
    until,
)
from trainguard_monitor import reloading
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.following import succession
from trainguard_monitor.reloading import Reloader, RuleWatch
from trainguard_rules import load_rules

NEW = RULES.replace("grad_norm > 10", "grad_norm > 30")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(reloading, "POLLING_SECONDS", 0.05)


@pytest.fixture
def daemon(runs: Path, rules_file: Path) -> Iterator[Daemon]:
    with running(Daemon(runs, load_rules([str(rules_file)]))) as daemon:
        yield daemon


@pytest.fixture
def reloader(daemon: Daemon, rules_file: Path) -> Reloader:
    return Reloader(daemon, [str(rules_file), "published/zclip"])


def expressions(daemon: Daemon) -> list[str]:
    return [rule.source for rule in daemon.rules().book.rules]


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def by_renaming(file: Path, text: str) -> None:
    beside = file.with_suffix(".swp")
    beside.write_text(text)
    os.replace(beside, file)


def bit_by_bit(file: Path, text: str) -> None:
    with file.open("w") as open_file:
        for line in text.splitlines(keepends=True):
            open_file.write(line)
            open_file.flush()
            time.sleep(0.002)


@pytest.mark.parametrize("polling", [False, True])
@pytest.mark.parametrize("save", [in_place, by_renaming, bit_by_bit])
def test_a_saved_file_is_loaded(
    daemon: Daemon, rules_file: Path, save: Callable[[Path, str], None], polling: bool
) -> None:
    """However an editor saves."""
    watch = RuleWatch(Reloader(daemon, [str(rules_file)]), polling=polling)
    watch.start()
    try:
        save(rules_file, NEW)
        until(lambda: expressions(daemon) == ["grad_norm > 30"])
    finally:
        watch.stop()
    assert daemon.rules().last_reload_successful


def test_a_config_map_is_swapped(runs: Path, tmp_path: Path) -> None:
    """Kubernetes replaces a link that the file's link leads over, again and again; and no pattern sees that."""

    def version(name: str, text: str) -> None:
        (tmp_path / "cm" / name).mkdir(parents=True)
        (tmp_path / "cm" / name / "rules.yaml").write_text(text)
        (tmp_path / "cm" / "..data_tmp").symlink_to(name)
        os.replace(tmp_path / "cm" / "..data_tmp", tmp_path / "cm" / "..data")

    version("..1", RULES)
    file = tmp_path / "cm" / "rules.yaml"
    file.symlink_to("..data/rules.yaml")
    with running(Daemon(runs, load_rules([str(file)]))) as daemon:
        watch = RuleWatch(Reloader(daemon, [str(file)]))
        watch.start()
        try:
            for number, text in enumerate((NEW, OTHER_RULES, NEW), start=2):
                version(f"..{number}", text)
                wanted = "grad_norm > 30" if text is NEW else "grad_norm > 20"
                until(lambda wanted=wanted: expressions(daemon) == [wanted])
        finally:
            watch.stop()


def test_what_changes_nothing_loads_nothing(daemon: Daemon, rules_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file touched, or another file in the same place: contents tell. A request is a request."""
    loads: list[object] = []
    monkeypatch.setattr(reloading, "load_rules", lambda sources: loads.append(sources) or load_rules(sources))
    watch = RuleWatch(Reloader(daemon, [str(rules_file)]))
    watch.start()
    try:
        rules_file.write_text(RULES)
        rules_file.with_name("notes.txt").write_text("x")
        threading.Event().wait(0.2)
        assert loads == []
        watch.request()
        until(lambda: loads)
    finally:
        watch.stop()
    assert len(loads) == 1


def test_bad_rules_change_nothing(daemon: Daemon, reloader: Reloader, rules_file: Path) -> None:
    """The old ones stay in force, every problem is told, it shows; and good ones end it."""
    rules_file.write_text(BAD_RULES)
    reason = reloader.reload()
    assert reason is not None
    assert "unknown signal 'grad_nrom'; did you mean 'grad_norm'?" in reason
    assert "unknown key 'fro'" in reason
    assert expressions(daemon) == ["grad_norm > 10"]
    assert not daemon.rules().last_reload_successful
    rules_file.write_text(NEW)
    assert reloader.reload() is None
    assert expressions(daemon)[0] == "grad_norm > 30"
    assert daemon.rules().last_reload_successful


def test_a_defect_while_loading(
    daemon: Daemon, rules_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts as rules that are no good, and what is saved afterwards is loaded."""

    def fail(sources: list[str]) -> None:
        raise ZeroDivisionError("in a rule file")

    watch = RuleWatch(Reloader(daemon, [str(rules_file)]))
    watch.start()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(reloading, "load_rules", fail)
            rules_file.write_text(OTHER_RULES)
            until(lambda: not daemon.rules().last_reload_successful)
        rules_file.write_text(NEW)
        until(lambda: expressions(daemon) == ["grad_norm > 30"])
    finally:
        watch.stop()
    assert "rules not loaded, those in force stay:\na defect of trainguard: ZeroDivisionError" in caplog.text


def test_a_link_that_leads_to_itself(daemon: Daemon, rules_file: Path) -> None:
    """In the place of a rule file, until somebody sees to it."""
    watch = RuleWatch(Reloader(daemon, [str(rules_file)]))
    watch.start()
    try:
        rules_file.unlink()
        rules_file.symlink_to(rules_file)
        until(lambda: not daemon.rules().last_reload_successful)
        rules_file.unlink()
        rules_file.write_text(NEW)
        until(lambda: expressions(daemon) == ["grad_norm > 30"])
    finally:
        watch.stop()


def test_a_file_that_is_gone(daemon: Daemon, reloader: Reloader, rules_file: Path) -> None:
    """Is no good, either."""
    rules_file.unlink()
    assert "No such file" in (reloader.reload() or "")
    assert expressions(daemon) == ["grad_norm > 10"]


def test_runs_are_judged_by_the_new_rules(
    daemon: Daemon, reloader: Reloader, rules_file: Path, new_trainer: NewTrainer
) -> None:
    """Those there are, without a gap and with all they know; those that come; and those that are over."""
    old, ended = new_trainer("old"), new_trainer("ended")
    for trainer in (old, ended):
        trainer.hello()
        trainer.samples(3000, loss=1.0, grad_norm=1.0)
    ended.goodbye()
    until(lambda: openings_of(old.run) and openings_of(ended.run))
    before = daemon.runs()[0].rules_sha256
    rules_file.write_text(NEW)
    assert reloader.reload() is None
    until(lambda: all(view.rules_sha256 != before for view in daemon.runs()))
    young = new_trainer("young")
    young.hello()
    until(lambda: openings_of(young.run))
    for trainer in (old, young):
        trainer.sample(loss=1.0, grad_norm=20.0)
        trainer.sample(loss=1.0, grad_norm=40.0)
        until(lambda trainer=trainer: interventions_of(trainer.run))
        assert [i.step for i in interventions_of(trainer.run)] == [trainer.step]
    assert [opened.from_record for opened in openings_of(old.run)] == [0, 3001]
    assert len(openings_of(ended.run)) == 1, "a run that is over gets no new chapter"
    statuses = {view.run: view.rules[0].evaluations for view in daemon.runs()}
    assert statuses["old"] == 3002


def test_the_old_rules_are_at_work_until_the_new_ones_are(
    daemon: Daemon, reloader: Reloader, rules_file: Path, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the new ones take to catch up; and what the old ones do meanwhile the new ones know."""
    gate = threading.Event()
    advance = succession.Succession.advance
    monkeypatch.setattr(
        succession.Succession, "advance", lambda self, records: gate.is_set() and advance(self, records)
    )
    trainer.samples(10)
    until(lambda: openings_of(trainer.run))
    rules_file.write_text(NEW)
    assert reloader.reload() is None
    trainer.sample(loss=1.0, grad_norm=99.0)
    until(lambda: interventions_of(trainer.run))
    gate.set()
    until(lambda: len(openings_of(trainer.run)) == 2)
    [waiting] = daemon.run_detail("a").in_flight
    assert waiting.id == "GradientExplosion.0.11"
    assert daemon.runs()[0].decisions["GradientExplosion", "act"] == 1


def test_rules_that_are_replaced_again_never_take_over(
    daemon: Daemon, rules_file: Path, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last word counts, and back to what was is back to what was."""
    reloader = Reloader(daemon, [str(rules_file)])
    monkeypatch.setattr(succession.Succession, "advance", lambda self, records: False)
    trainer.samples(10)
    until(lambda: openings_of(trainer.run))
    for text in (NEW, OTHER_RULES, RULES):
        rules_file.write_text(text)
        assert reloader.reload() is None
    monkeypatch.undo()
    trainer.sample(loss=1.0, grad_norm=15.0)
    until(lambda: interventions_of(trainer.run))
    assert len(openings_of(trainer.run)) == 1
