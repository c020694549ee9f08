"""Orders, alerts, approvals and other rules: each enters once, at its place in the telemetry, whoever is killed."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.monitor.helpers import (
    ScriptedTrainer,
    control_of,
    derived_in,
    full_disk,
    interventions_of,
    journal_of,
    openings_of,
)
from tests.monitor.killing import Fuse, Killed, Story, dies, records_of
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.recorded.replay import replay
from trainguard_rules import RuleBook, load_text
from trainguard_wire import (
    Action,
    AlertNotice,
    Approval,
    Decision,
    Input,
    Opened,
    Order,
    RunDirectory,
    SegmentWriter,
    Transition,
)

RULES = """
settle: 2 steps
groups:
  - name: g
    rules:
      - guard: GradientExplosion
        expr: grad_norm > 10
        actions: [{scale_lr: {factor: 0.5}}]
        cooldown: 5 steps
        limit: 6 per 100 steps
        expires: 20 steps
      - guard: LossHigh
        expr: loss > 0.9
        mode: approve
        actions: [{save_checkpoint: {}}]
        expires: 10 steps
      - guard: Hot
        alert: {alertname: GpuOverheating}
        actions: [{stop: {}}]
        cooldown: 10 steps
        expires: 20 steps
"""
OTHER = RULES.replace("loss > 0.9", "loss > 0.8")
BOOK, OTHER_BOOK = load_text(RULES), load_text(OTHER)
BOOKS = {book.sha256: book for book in (BOOK, OTHER_BOOK)}
GENTLE = Action(id="", kind="scale_lr", params={"factor": 0.9})


def order(name: str = "o1", *actions: Action) -> Order:
    return Order(id=name, actions=actions or (GENTLE,), by="ada", reason="it looks hot")


def alert(key: str = "f1", status: str = "firing", name: str = "GpuOverheating") -> AlertNotice:
    labels = {"alertname": name, "instance": "node7"}
    return AlertNotice(fingerprint=key, starts_at=f"at {key}", status=status, labels=labels)


@pytest.fixture
def driver(trainer: ScriptedTrainer):
    trainer.samples(3, loss=0.5, grad_norm=1.0)
    driver = Driver(trainer.run, BOOK, clock=lambda: 7.0)
    driver.drain(0.0)
    yield driver
    driver.close()


def test_an_order_is_carried_out(driver: Driver, trainer: ScriptedTrainer) -> None:
    """Journalled as it came, decided under the name `manual`, told, and its outcome is on record."""
    taken = driver.take_in(order())
    assert taken.how == "taken"
    [decision] = taken.derived
    assert (decision.rule, decision.verdict, decision.reason) == ("manual", "act", "ordered by ada: it looks hot")
    [intervention] = interventions_of(trainer.run)
    assert (intervention.id, intervention.rule, intervention.expires_step) == ("manual.o1", "manual", 103)
    assert [(a.id, a.kind, a.params) for a in intervention.actions] == [("manual.o1.0", "scale_lr", {"factor": 0.9})]
    trainer.apply(intervention)
    driver.drain(0.0)
    assert driver.view().actions["scale_lr", "applied"] == 1
    [placed] = [record for record in journal_of(trainer.run) if isinstance(record, Order)]
    assert (placed.time, placed.after_record) == (7.0, 4)


def test_an_order_is_taken_in_once(driver: Driver, trainer: ScriptedTrainer) -> None:
    """The same id again is known, and answered with what was decided then."""
    first = driver.take_in(order())
    again = driver.take_in(order())
    assert (again.how, list(again.derived)) == ("known", list(first.derived))
    assert len(interventions_of(trainer.run)) == 1


def test_an_order_that_could_not_be_written_is_not_known(
    driver: Driver, trainer: ScriptedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again, it is still unwritten while the disk is full, and known once it is on record."""
    with full_disk(monkeypatch):
        answers = [driver.take_in(order()) for _ in range(3)]
    assert [answer.how for answer in answers] == ["unwritten"] * 3
    assert all(list(answer.derived) == list(answers[0].derived) for answer in answers)
    assert not [record for record in journal_of(trainer.run) if isinstance(record, Order)]
    assert driver.take_in(order()).how == "known"
    assert len([record for record in journal_of(trainer.run) if isinstance(record, Order)]) == 1
    assert len(interventions_of(trainer.run)) == 1


def test_what_stands_in_the_way_of_an_order(driver: Driver, trainer: ScriptedTrainer) -> None:
    """Something under way, and what the trainer can't do; but a person may always stop, and asks no cooldown."""
    assert driver.take_in(order("o1")).derived[0].verdict == "act"
    trainer.sample(loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert driver.take_in(order("o2")).derived[0].verdict == "hold_in_flight"
    assert driver.take_in(order("o3", Action(id="", kind="diagnose"))).derived[0].verdict == "hold_unsupported"
    assert driver.take_in(order("o4", Action(id="", kind="stop"))).derived[0].verdict == "act"
    for intervention in interventions_of(trainer.run):
        trainer.apply(intervention)
    driver.drain(0.0)
    assert driver.take_in(order("o5")).derived[0].verdict == "act", "settling is for rules"


def test_a_restore_by_hand_goes_back_to_before_the_incident(trainer: ScriptedTrainer) -> None:
    """To before what makes the run ill began; with no such thing, to before the present."""
    book = load_text(
        "groups: [{name: g, rules: [{guard: A, expr: loss > 1, for: 9 steps, labels: {severity: critical}}]}]"
    )
    restore = Action(id="", kind="restore_checkpoint", params={"which": "last_good"})
    driver = Driver(trainer.run, book)
    trainer.samples(3, loss=0.5)
    driver.drain(0.0)
    driver.take_in(order("o1", restore))
    trainer.samples(3, loss=2.0)
    trainer.apply(interventions_of(trainer.run)[0])
    driver.drain(0.0)
    driver.take_in(order("o2", restore))
    driver.close()
    assert [i.actions[0].params["before_step"] for i in interventions_of(trainer.run)] == [3, 4]


def test_an_alert_fires_a_rule(driver: Driver, trainer: ScriptedTrainer) -> None:
    """At once, and once: the same alert again is known; when it is over the rule rests, and the next is answered."""
    taken = driver.take_in(alert())
    transition, decision = taken.derived
    assert (transition.rule, transition.before, transition.after) == ("Hot", "inactive", "firing")
    assert (decision.verdict, decision.reason) == ("act", 'alert {alertname="GpuOverheating"} is firing')
    [intervention] = interventions_of(trainer.run)
    trainer.apply(intervention)
    trainer.samples(20, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert driver.take_in(alert()).how == "known"
    assert len(interventions_of(trainer.run)) == 1, "an alert is answered once, however long it fires"
    over = driver.take_in(alert(status="resolved"))
    assert [(r.before, r.after) for r in over.derived] == [("firing", "inactive")]
    assert driver.take_in(alert(status="resolved")).how == "known"
    assert driver.take_in(alert("f2")).derived[-1].verdict == "act"


@pytest.mark.parametrize("notice", [alert(name="DiskFull"), alert(status="resolved")])
def test_no_news(driver: Driver, trainer: ScriptedTrainer, notice: AlertNotice) -> None:
    """An alert that no rule waits for, and the end of one that never began, are not even journalled."""
    assert driver.take_in(notice) == ("known", [])
    assert [record for record in journal_of(trainer.run) if isinstance(record, AlertNotice)] == []


def test_an_alert_that_is_held_back_is_answered_later(driver: Driver, trainer: ScriptedTrainer) -> None:
    """As soon as nothing stands in the way, while it still fires."""
    driver.take_in(order())
    trainer.sample(loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert driver.take_in(alert()).derived[-1].verdict == "hold_in_flight"
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.samples(5, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    verdicts = [r.verdict for r in derived_in(trainer.run) if isinstance(r, Decision) and r.rule == "Hot"]
    assert verdicts == ["hold_in_flight", "hold_settling", "act"]


def test_an_alert_that_is_over_is_not_answered(driver: Driver, trainer: ScriptedTrainer) -> None:
    """What was held back until then stays undone."""
    driver.take_in(order())
    driver.take_in(alert())
    driver.take_in(alert(status="resolved"))
    trainer.apply(interventions_of(trainer.run)[0])
    trainer.samples(9, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert len(interventions_of(trainer.run)) == 1


def test_a_lost_answer_is_given_again(driver: Driver, trainer: ScriptedTrainer) -> None:
    """An intervention that never reached the trainer is no answer; nor does a new trainer know of the old one's."""
    driver.take_in(alert())
    trainer.samples(25, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert [i.step for i in interventions_of(trainer.run)] == [3, 24]
    trainer.generation += 1
    trainer.hello()
    trainer.samples(2, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    assert [i.step for i in interventions_of(trainer.run)] == [3, 24, 29]


def test_an_ended_run_takes_nothing_in(driver: Driver, trainer: ScriptedTrainer) -> None:
    """There is no trainer that could do it."""
    trainer.goodbye()
    driver.drain(0.0)
    assert driver.take_in(order()).how == driver.take_in(alert()).how == "ended"


def test_a_replay_takes_them_in_too(driver: Driver, trainer: ScriptedTrainer) -> None:
    """Each at its place: the same rules decide what was decided then."""
    trainer.sample(loss=0.95, grad_norm=1.0)
    driver.drain(0.0)
    [request] = driver.detail().requests
    driver.take_in(Approval(intervention=request.id, approved=False, by="ada"))
    driver.take_in(order())
    trainer.samples(5, loss=0.5, grad_norm=1.0)
    driver.drain(0.0)
    driver.take_in(alert())
    result = replay(trainer.run, BOOK, "act")
    assert {decision.rule for decision in result.then.decisions} == {"manual", "Hot", "LossHigh"}
    assert result.now.decisions == result.then.decisions


class Outside:
    """People and Alertmanager, who repeat themselves until somebody has taken in what they have to say."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._said = 0
        self._alerts: list[str] = []
        self._waiting: list[Input] = []

    def speak(self, driver: Driver) -> None:
        if self._chance.random() < 0.15:
            self._waiting.append(self._something(driver))
        while self._waiting and driver.take_in(self._waiting[0]).how in ("taken", "known"):
            self._waiting.pop(0)

    def _something(self, driver: Driver) -> Input:
        self._said += 1
        chance = self._chance.random()
        requests = driver.detail().requests
        if requests and chance < 0.5:
            return Approval(intervention=requests[0].id, approved=chance < 0.3, by="bob")
        if chance < 0.6:
            return order(f"o{self._said}")
        if self._alerts and chance < 0.75:
            return alert(self._alerts.pop(), "resolved")
        self._alerts.append(f"f{self._said}")
        return alert(self._alerts[-1])


@pytest.mark.parametrize("seed", range(12))
def test_a_killed_monitor_comes_to_the_same(
    trainer: ScriptedTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever came in, whatever rules took over, and however often the monitor died in between."""
    chance = random.Random(seed)
    fuse = Fuse(chance)
    monkeypatch.setattr(SegmentWriter, "append", lambda writer, record: fuse.append(writer, record))
    story, outside, book, kills = Story(trainer, chance), Outside(chance), BOOK, 0
    driver = Driver(trainer.run, book, clock=lambda: 7.0)
    for _ in range(250):
        story.step()
        if chance.random() < 0.1:
            fuse.writes_left = chance.randrange(3)
        if chance.random() < 0.02:
            book = OTHER_BOOK if book is BOOK else BOOK
        if _is_killed(driver, outside, book) or chance.random() < 0.03:
            driver.close()
            driver, kills = Driver(trainer.run, _in_force(trainer.run), clock=lambda: 7.0), kills + 1
    fuse.writes_left = None
    _settle(driver)
    view = driver.view()
    driver.close()
    story.close()
    monkeypatch.undo()

    undisturbed = _follow(trainer.run, tmp_path / "undisturbed")
    assert kills > 5
    assert derived_in(trainer.run) == derived_in(undisturbed.run)
    assert interventions_of(trainer.run) == interventions_of(undisturbed.run)
    assert sorted(m.id for m in control_of(trainer.run)) == sorted(m.id for m in control_of(undisturbed.run))
    assert view == replace(undisturbed.view(), run="a")
    undisturbed.close()
    _worth_it(trainer.run)


def _in_force(run: RunDirectory) -> RuleBook:
    """Rules that take over from a monitor that was killed in mid-sentence do not finish the sentence: its own do."""
    openings = openings_of(run)
    return BOOKS[openings[-1].rules_sha256] if openings else BOOK


def _is_killed(driver: Driver, outside: Outside, book: RuleBook) -> bool:
    try:
        if dies(driver):
            return True
        driver.replace_rules(book)
        outside.speak(driver)
        driver.drain(0.0)
        if driver.is_changing_rules:
            driver.change_rules()
    except Killed:
        return True
    return False


def _settle(driver: Driver) -> None:
    driver.drain(0.0)
    while driver.is_changing_rules:
        driver.change_rules()


def _follow(run: RunDirectory, path: Path) -> Driver:
    """Follow a copy of the run's telemetry record by record, and take in at each place what the journal has there."""
    copy = RunDirectory(path)
    copy.create()
    copy.write_info(run.read_info())
    place, outside = 0, []
    for record in journal_of(run):
        if isinstance(record, Opened | Input):
            place = record.from_record if isinstance(record, Opened) else record.after_record
            outside.append((place, record))
    driver, writer = Driver(copy, BOOK, clock=lambda: 7.0), copy.write_telemetry()
    for number, record in enumerate(records_of(run), start=1):
        writer.append(record)
        driver.drain(0.0)
        while outside and outside[0][0] <= number:
            _let_in(driver, outside.pop(0)[1])
    writer.close()
    return driver


def _let_in(driver: Driver, record: Opened | Input) -> None:
    if isinstance(record, Opened):
        driver.replace_rules(BOOKS[record.rules_sha256])
        _settle(driver)
    else:
        driver.take_in(record)


def _worth_it(run: RunDirectory) -> None:
    """There was something to lose."""
    records = journal_of(run)
    assert {type(record) for record in records} >= {Order, AlertNotice, Decision, Transition}
    assert len({opened.rules_sha256 for opened in openings_of(run)}) == 2
