"""What follows where an intervention did not help: when it is decided, how often, and when it is not any more."""

from tests.support.telemetry import ALL_ACTIONS, ScriptedTrainer
from trainguard_rules import load_text
from trainguard_wire import Decision, Outcome, Verification

LADDER = "expr: loss > 10\nactions: [{scale_lr: {factor: 0.5}}]\n"
REVERTS = LADDER + "cooldown: 1000 steps\nverify: {expr: loss < 1, within: 5 steps, otherwise: revert}\n"
ESCALATES = LADDER + "cooldown: 1000 steps\nverify: {expr: loss < 1, within: 5 steps}\nescalate: [{stop: {}}]\n"


def book(body, top="settle: 0 steps"):
    keys = "".join(f"        {line}\n" for line in body.strip().splitlines())
    return load_text(f"{top}\ngroups:\n  - name: g\n    rules:\n      - guard: G\n{keys}")


class Deaf(ScriptedTrainer):
    """A trainer that hears nothing from a step on, until another."""

    deaf = range(0)

    def take(self, output):
        super().take(output)
        if self.step in self.deaf:
            self._due.clear()


def decided(trainer):
    """What was decided to do: by id."""
    return [i.id for i in trainer.interventions]


# -- what never reached the trainer --------------------------------------------------------------------------


def test_an_escalation_that_got_lost_is_not_spent():
    """At the limit it is decided again."""
    trainer = Deaf(book(LADDER + "limit: 1\nescalate: [{stop: {}}]\nexpires: 5 steps"))
    trainer.deaf = range(2, 8)
    trainer.run("loss", [12.0] * 30)
    assert decided(trainer) == ["G.0.1", "G.0.2.escalate", "G.0.8.escalate"]
    assert trainer.outcomes()[1:] == [("G.0.2.escalate.0", "lost"), ("G.0.8.escalate.0", "applied")]


def test_what_follows_a_failed_trial_is_not_spent_when_it_gets_lost():
    """Neither the escalation nor the reversal; also where the incident is over."""
    for body, name in ((ESCALATES, "escalate"), (REVERTS, "revert")):
        for after in (12.0, 5.0):
            trainer = Deaf(book(body + "expires: 5 steps"), changes={"scale_lr": (0.2, 0.1)})
            trainer.deaf = range(2, 10)
            trainer.run("loss", [12.0] + [after] * 40)
            assert decided(trainer) == ["G.0.1", f"G.0.6.{name}", f"G.0.12.{name}"]
            assert [status for _, status in trainer.outcomes()] == ["applied", "lost", "applied"]


def test_an_escalation_whose_formula_is_not_known_yet_waits_for_it():
    """That is on record once, and the escalation follows as soon as there is a number."""
    body = LADDER + 'limit: 1\nescalate: [{set_lr: {lr: "median(mine, 4) / 10"}}]'
    trainer = ScriptedTrainer(book(body, top="settle: 0 steps\nsignals: [mine]"))
    trainer.run("loss", [12.0] * 5)
    assert trainer.verdicts() == [(1, "act"), (2, "hold_unsupported"), (2, "hold_limit")]
    assert list(trainer.of(Decision))[1].reason.startswith("escalation: set_lr: lr is median(mine, 4) / 10, and that")
    for _ in range(8):
        trainer.sample({"loss": 12.0, "mine": 1.0})
    assert decided(trainer) == ["G.0.1", "G.0.12.escalate"], "four samples pass by a frozen window of four"
    assert trainer.interventions[1].actions[0].params["lr"] == 0.1


def test_a_request_that_nobody_answered_is_made_again():
    """For the escalation as for the actions of the rule; what was denied is not, in this incident."""
    body = LADDER + "limit: 1\nescalate: [{stop: {}}]\nmode: approve\nexpires: 4 steps"
    trainer = ScriptedTrainer(book(body)).run("loss", [12.0])
    trainer.answer("G.0.1", approved=True)
    trainer.run("loss", [12.0] * 7)
    assert [request.id for request in trainer.engine.requests] == ["G.0.8.escalate"]
    trainer.answer("G.0.8.escalate", approved=False)
    trainer.run("loss", [12.0] * 20)
    assert trainer.engine.requests == []


# -- what the trainer can't do -------------------------------------------------------------------------------


def test_an_escalation_that_the_trainer_cannot_do_is_said_to_be_so():
    """Once in an incident, whatever leads to it."""
    actions = [action for action in ALL_ACTIONS if action != "stop"]
    for body in (ESCALATES, LADDER + "limit: 1\nescalate: [{stop: {}}]"):
        trainer = ScriptedTrainer(book(body), actions=actions).run("loss", [12.0] * 30)
        objections = [d for d in trainer.of(Decision) if d.verdict == "hold_unsupported"]
        assert [d.reason for d in objections] == ["escalation: this trainer does not offer stop"]
        assert [action.kind for action in objections[0].actions] == ["stop"]
        trainer.run("loss", [5.0] * 5 + [12.0] * 5)
        assert sum(d.verdict == "hold_unsupported" for d in trainer.of(Decision)) == 2


# -- what has become needless --------------------------------------------------------------------------------


def test_a_remedy_that_had_to_wait_is_dropped_when_the_run_recovered():
    """Nothing stops a healthy run because of what was long ago."""
    body = ESCALATES + "unless: step >= 3 and step < 100"
    trainer = ScriptedTrainer(book(body)).run("loss", [12.0] * 3 + [5.0] * 30 + [0.5] + [5.0] * 100)
    assert [(v.step, v.helped, v.reason) for v in trainer.of(Verification)] == [
        (6, False, "not within 5 steps: loss < 1"),
        (34, True, "after all: loss < 1"),
    ]
    assert decided(trainer) == ["G.0.1"]
    waited = ScriptedTrainer(book(body)).run("loss", [12.0] * 3 + [5.0] * 130)
    assert decided(waited) == ["G.0.1", "G.0.100.escalate"], "where it did not recover"


def test_what_the_trainer_was_told_is_not_said_to_be_needless():
    """It will be done, whatever the run looks like until then."""
    trainer = ScriptedTrainer(book(ESCALATES), delay=3).run("loss", [12.0] + [5.0] * 8 + [0.5] * 9)
    assert decided(trainer) == ["G.0.1", "G.0.9.escalate"]
    assert [v.helped for v in trainer.of(Verification)] == [False]


def test_a_request_is_withdrawn_when_the_run_recovered():
    """Before a person has answered."""
    trainer = ScriptedTrainer(book(REVERTS + "mode: approve"), changes={"scale_lr": (0.2, 0.1)})
    trainer.run("loss", [12.0])
    trainer.answer("G.0.1", approved=True)
    trainer.run("loss", [5.0] * 8 + [0.5])
    [_, outcome] = trainer.of(Outcome)
    assert (outcome.action, outcome.status, outcome.reason) == ("G.0.7.revert.0", "withdrawn", "it helped after all")
    assert trainer.engine.requests == []


# -- mode approve --------------------------------------------------------------------------------------------


def test_a_person_can_approve_a_reversal_after_the_incident():
    """It is about what was done, not about the incident; it expires as any request does."""
    trainer = ScriptedTrainer(book(REVERTS + "mode: approve\nexpires: 30 steps"), changes={"scale_lr": (0.2, 0.1)})
    trainer.run("loss", [12.0])
    trainer.answer("G.0.1", approved=True)
    trainer.run("loss", [5.0] * 20)
    [request] = trainer.engine.requests
    assert request.id.endswith(".revert")
    trainer.answer(request.id, approved=True)
    assert [[a.kind for a in i.actions] for i in trainer.interventions] == [["scale_lr"], ["scale_lr"]]
    assert trainer.interventions[1].actions[0].params == {"factor": 2.0}


def test_a_reversal_that_nobody_approves_is_asked_for_once_after_the_incident():
    """Nobody is asked for ever about a run that is calm."""
    trainer = ScriptedTrainer(book(REVERTS + "mode: approve\nexpires: 5 steps"), changes={"scale_lr": (0.2, 0.1)})
    trainer.run("loss", [12.0])
    trainer.answer("G.0.1", approved=True)
    trainer.run("loss", [5.0] * 60)
    assert [verdict for _, verdict in trainer.verdicts()] == ["await_approval", "act", "await_approval"]
    assert trainer.outcomes()[-1][1] == "withdrawn"


# -- whose onset ---------------------------------------------------------------------------------------------


def test_verify_compares_with_the_onset_of_its_own_incident():
    """Where the second began while the first was still on trial."""
    body = (
        LADDER + "verify: {expr: loss < 0.5 * at_onset(loss), within: 30 steps, otherwise: revert}\ncooldown: 9 steps"
    )
    trainer = ScriptedTrainer(book(body), changes={"scale_lr": (0.2, 0.1)})
    trainer.run("loss", [12.0] + [8.0] * 10 + [40.0] + [19.0])
    assert decided(trainer) == ["G.0.1", "G.0.12"]
    assert [(v.intervention, v.step, v.helped) for v in trainer.of(Verification)] == [("G.0.12", 13, True)]
