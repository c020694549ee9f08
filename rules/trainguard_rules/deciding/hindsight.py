"""What was really decided while other rules were in force, as the rules now in force have to know it."""

from trainguard_rules.deciding.interventions import ESCALATE, identity_of
from trainguard_rules.deciding.scene import EXPIRES, Scene
from trainguard_rules.durations import Moment
from trainguard_rules.watching.watch import Watch
from trainguard_wire.control import Intervention
from trainguard_wire.journal import Decision


def in_force(decision: Decision, watch: Watch | None, scene: Scene) -> Intervention:
    """The intervention of a decision on this scene; its rule may be gone."""
    return Intervention(
        id=identity_of(decision.actions),
        rule=decision.rule,
        step=decision.step,
        generation=decision.generation,
        expires_step=scene.expires_step(EXPIRES if watch is None else watch.rule.expires),
        actions=decision.actions,
        reason=decision.reason,
    )


def remember(watch: Watch, decision: Decision, now: Moment, *, first: bool, approved: bool) -> None:
    """What a rule keeps of its own decision. ``first``: these were its own actions, no escalation and no reversal."""
    watch.decided = decision
    if decision.verdict == "observe" and watch.rule.mode != "observe":
        return  # nothing was done, and now the rule may
    identity = identity_of(decision.actions)
    if not first and not approved:
        if decision.verdict == "hold_unsupported":
            watch.objected = True
            return
        if watch.trial is not None and watch.trial.failed:
            watch.trial.remedy = identity
        if identity.endswith(ESCALATE):
            watch.escalation = identity
        return
    if decision.verdict in ("act", "observe"):
        watch.memory.add(watch.rule, now)
    watch.verdict = None if approved else decision.verdict
    if watch.trigger is not None:
        watch.trigger.answered(decision.verdict)
