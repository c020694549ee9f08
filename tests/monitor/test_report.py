"""The parts of a report: incidents out of a journal, axes, curves."""

import math

import pytest

from tests.monitor.conftest import NewTrainer
from trainguard_monitor.report import words
from trainguard_monitor.report.axes import Axis, vertical
from trainguard_monitor.report.chart import LEFT, RIGHT, draw
from trainguard_monitor.report.incidents import GAP, KEPT, MOST_ENTRIES, Band, Incidents
from trainguard_monitor.report.material import read
from trainguard_wire import Action, Decision, Opened, Outcome, Promoted, Transition, Verification


def transition(step: int, before: str, after: str, rule: str = "A", generation: int = 0) -> Transition:
    return Transition(
        step=step, generation=generation, time=float(step), rule=rule, before=before, after=after, reason="r"
    )


def opened(rules: str) -> Opened:
    return Opened(time=0.0, pid=1, host="", version="", rules=rules, rules_sha256=rules, from_record=0)


def decision(step: int, verdict: str = "act", rule: str = "A", identity: str | None = "A.0.1") -> Decision:
    actions = (Action(id=f"{identity}.0", kind="stop"),) if identity else ()
    return Decision(
        step=step,
        generation=0,
        time=float(step),
        rule=rule,
        verdict=verdict,
        reason="r",
        intervention=identity,
        actions=actions,
    )


def outcome(step: int, identity: str = "A.0.1") -> Outcome:
    return Outcome(
        step=step,
        generation=0,
        time=float(step),
        rule="A",
        intervention=identity,
        action=f"{identity}.0",
        kind="stop",
        status="applied",
    )


def told(*records: object) -> Incidents:
    incidents = Incidents()
    for record in records:
        incidents.note(record)
    return incidents


def spans(incidents: Incidents) -> list[tuple[int, int, list[str]]]:
    return [(incident.first, incident.last, list(incident.rules)) for incident in incidents.kept]


# -- incidents ---------------------------------------------------------------------------------------------


def test_from_the_onset_to_the_end() -> None:
    """Pending counts, if it came to firing; what was only pending is no incident."""
    incidents = told(
        transition(3, "inactive", "pending", "B"),
        transition(5, "pending", "inactive", "B"),
        transition(10, "inactive", "pending"),
        transition(12, "pending", "firing"),
        transition(20, "firing", "inactive"),
    )
    assert spans(incidents) == [(10, 20, ["A"])]
    assert [entry.step for entry in incidents.kept[0].entries] == [12, 20]
    assert list(incidents.bands()) == [
        Band("B", "pending", 3, 5),
        Band("A", "pending", 10, 12),
        Band("A", "firing", 12, 20),
    ]


def test_what_lies_close_together_is_one_incident() -> None:
    """Rules that fire together, and again soon after; further on it is another one."""
    near = [transition(20 + GAP, "inactive", "firing"), transition(45, "firing", "inactive")]
    incidents = told(
        transition(10, "inactive", "firing"),
        transition(15, "inactive", "firing", "B"),
        transition(17, "firing", "inactive"),
        transition(20, "firing", "inactive", "B"),
        *near,
        transition(46 + GAP, "inactive", "firing"),
    )
    assert spans(incidents) == [(10, 45, ["A", "B"]), (46 + GAP, 46 + GAP, ["A"])]
    assert incidents.kept[1].firing == {"A"}
    assert [band.last for band in incidents.bands()][-1] is None


def test_a_rule_pending_since_before_the_end_belongs_to_it() -> None:
    """Though it fires after."""
    incidents = told(
        transition(10, "inactive", "firing"),
        transition(15, "inactive", "pending", "B"),
        transition(20, "firing", "inactive"),
        transition(25, "pending", "firing", "B"),
    )
    assert spans(incidents) == [(10, 25, ["A", "B"])]


def test_a_process_that_went_back_begins_anew() -> None:
    """Steps that come again are not close to what was."""
    incidents = told(
        transition(100, "inactive", "firing"),
        transition(110, "firing", "inactive"),
        transition(50, "inactive", "firing", generation=1),
    )
    assert spans(incidents) == [(100, 110, ["A"]), (50, 50, ["A"])]


def test_what_was_active_under_other_rules_is_over() -> None:
    """Those that took over have not all of them; what they have goes on, and so does what only began then."""
    incidents = told(
        opened("before"),
        transition(10, "inactive", "firing"),
        transition(10, "inactive", "firing", "B"),
        transition(14, "inactive", "pending", "C"),
        opened("before"),
        transition(15, "pending", "firing", "C"),
        opened("after"),
        transition(30, "firing", "inactive", "C"),
        transition(31, "inactive", "firing", "C"),
        opened("after"),
    )
    incidents.end_others({"B"})
    assert [(band.rule, band.last) for band in incidents.bands()] == [
        ("C", 15),
        ("C", 30),
        ("A", 15),
        ("B", None),
        ("C", None),
    ]
    assert incidents.kept[-1].firing == {"B", "C"}


def test_what_comes_of_an_intervention_belongs_to_where_it_was_decided() -> None:
    """However late, and into however many incidents later it falls."""
    incidents = told(
        transition(10, "inactive", "firing"),
        decision(10),
        transition(11, "firing", "inactive"),
        transition(500, "inactive", "firing", "B"),
        outcome(501),
        Verification(step=510, generation=0, time=0.0, rule="A", intervention="A.0.1", helped=True),
    )
    first, second = incidents.kept
    assert [entry.chapter for entry in first.entries] == ["detected", "decided", "over", "done", "verified"]
    assert [entry.chapter for entry in second.entries] == ["detected"]
    assert list(first.interventions) == ["A.0.1"]


def test_an_order_by_hand_is_an_incident_without_rules() -> None:
    """Unless something fires; then it belongs to that."""
    alone = told(decision(7, rule="manual", identity="manual.x"), outcome(8, "manual.x"))
    assert spans(alone) == [(7, 7, [])]
    beside = told(transition(5, "inactive", "firing"), decision(7, rule="manual", identity="manual.x"))
    assert spans(beside) == [(5, 7, ["A"])]


def test_what_was_asked_for_and_then_approved_is_one_intervention() -> None:
    """And what two chains tell alike is told once."""
    incidents = told(
        transition(10, "inactive", "firing"),
        decision(10, "await_approval"),
        decision(10, "await_approval"),
        decision(14),
        outcome(15),
    )
    [incident] = incidents.kept
    assert [entry.step for entry in incident.entries] == [10, 10, 14, 15]


def test_checkpoints_of_one_step_in_two_generations(new_trainer: NewTrainer) -> None:
    """Only the one that was found good is good; one found good after a restore to it is of the generation before."""
    trainer = new_trainer("a")
    journal = trainer.run.write_journal()
    for generation in (0, 1):
        trainer.step, trainer.generation = 500, generation
        trainer.hello()
        trainer.checkpoint()
    trainer.step = 600
    trainer.checkpoint()
    for generation, checkpoint in ((0, 500), (2, 600), (2, 700)):
        journal.append(Promoted(step=630, generation=generation, time=1.0, checkpoint=checkpoint))
    journal.close()
    found = [(c.step, c.generation, c.good_at) for c in read(trainer.run).checkpoints.values()]
    assert found == [(500, 0, 630), (500, 1, None), (600, 1, 630)]


def test_however_many_there_are() -> None:
    """The newest are kept under their numbers; of one that never ends so many lines."""
    records = [
        transition(step, before, after)
        for step in range(0, 100 * KEPT, 100)
        for before, after in (("inactive", "firing"), ("firing", "inactive"))
    ]
    incidents = told(*records, *records[:2])
    assert (incidents.total, len(incidents.kept), incidents.kept[0].number) == (KEPT + 1, KEPT, 2)
    long = told(transition(1, "inactive", "firing"), *(decision(i, "observe", identity=None) for i in range(200)))
    assert (len(long.kept[0].entries), long.kept[0].omitted) == (MOST_ENTRIES, 201 - MOST_ENTRIES)


# -- axes and curves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [5.0],
        [-3.0, -3.0],
        [1.0, 2.0],
        [1e-12, 1e12],
        [0.0, 1e300],
        [-1e-300, 1e-300],
        [1.0] * 20 + [1e9],
        [1e308, -1e308],
    ],
)
def test_axes(values: list[float]) -> None:
    """Every value lies on it, the least below the greatest, and a few round values are marked within."""
    axis = vertical(values, 10.0, 110.0)
    places = [axis.at(value) for value in values]
    assert all(math.isfinite(place) and 10.0 <= place <= 110.0 for place in places)
    assert axis.at(max(values)) <= axis.at(min(values))
    ticks = axis.ticks()
    assert len(ticks) <= 8
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_a_logarithm_where_values_are_far_apart() -> None:
    """And only where all are positive."""
    assert vertical([1.0] * 20 + [100.0], 0.0, 100.0).log
    assert not vertical([0.0, 1.0, 1.0, 100.0], 0.0, 100.0).log
    assert not vertical([1.0, 2.0, 3.0], 0.0, 100.0).log
    decades = Axis(0.01, 10.0, 0.0, 3.0, log=True)
    assert [decades.at(value) for value in (0.01, 0.1, 1.0, 10.0, 0.0)] == pytest.approx([0.0, 1.0, 2.0, 3.0, 0.0])
    assert decades.ticks() == pytest.approx([0.01, 0.1, 1.0, 10.0])


def column(steps: list[int], values: list[float], odd: list[tuple[int, str]] | None = None) -> dict:
    return {"step": steps, "value": values, "samples_per_point": 1, "nonfinite": odd or []}


def test_a_curve_breaks_where_a_value_was_not_finite() -> None:
    """And that is told in words, with the least and the greatest."""
    chart = draw(
        "loss", column([1, 2, 4, 5, 7], [3.0, 2.0, 1.0, 4.0, 2.0], [(3, "NaN"), (6, "Infinity")]), (0, 10), [], [], []
    )
    assert [line.count("L") for line in chart.lines] == [1, 1, 0]
    assert chart.lines[2].endswith("h.1")
    assert [cross.label for cross in chart.crosses] == ["NaN at step 3", "Infinity at step 6"]
    assert chart.said == (
        "3 at first, 2 at last; least 1 (step 4), greatest 4 (step 5); not finite 2 times, first at step 3"
    )


def test_a_signal_that_was_never_finite() -> None:
    """No curve, and no failure."""
    chart = draw("loss", column([], [], [(1, "NaN")]), (0, 1), [], [], [])
    assert (chart.lines, chart.said) == (["M"], "NaN at step 1") or (chart.lines, chart.said) == ([], "NaN at step 1")


def test_bands_that_touch_in_the_picture_are_one() -> None:
    """However many there are; one that has no end goes on to the end."""
    many = [Band("A", "firing", 10 * i, 10 * i + 9) for i in range(1000)]
    chart = draw("loss", column([1], [1.0]), (0, 100_000), [*many, Band("B", "pending", 90_000, None)], [], [])
    pending, firing = chart.stripes
    assert (pending.state, firing.state) == ("pending", "firing")
    assert pending.x + pending.width == RIGHT
    assert (firing.x, firing.width) == (LEFT, pytest.approx((RIGHT - LEFT) / 10, rel=0.03))
    assert firing.title.startswith("A firing, steps 0 to 9; A firing, steps 10 to 19")
    assert len(firing.title) <= 300


# -- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.84, "0.84 s"),
        (59.9, "1 min"),
        (185.0, "3 min 5 s"),
        (7800.0, "2 h 10 min"),
        (266400.0, "3 d 2 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_other_words() -> None:
    """Times that are none are told as they are."""
    assert words.moment(0.0) == "1970-01-01 00:00:00 UTC"
    assert words.moment(1e300) == "1e+300"
    assert [words.size(number) for number in (0, 999, 358927, 10**12)] == ["0 B", "999 B", "359 kB", "1 TB"]
    assert [words.amount(value) for value in (None, "NaN", 0.123456)] == ["-", "NaN", "0.1235"]
