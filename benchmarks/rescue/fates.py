"""What became of trainguard's interventions, read from the run's journal.

An intervention is a rule's own actions, or what follows where those did not help: the *reversal* takes back what can
be taken back, the *escalation* does what the rule has for that case. Each has its actions' outcomes; a rule's own has
a verdict as well, where the rule verifies and the run went on long enough to tell.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainguard_rules.deciding.interventions import ESCALATE, REVERT
from trainguard_wire import Decision, Outcome, RunDirectory, Verification
from trainguard_wire.journal import OutcomeStatus

Kind = Literal["action", "reversal", "escalation"]


@dataclass(frozen=True, kw_only=True)
class Fate:
    """One intervention: decided on the sample of ``step``, with how many of its actions came to what end.

    ``effect_at`` is the step after which the first of them took effect; None where none did. ``helped`` is the verdict
    of its rule's ``verify``; None where there was none. ``wasted`` are the steps that a restore went back over.
    """

    rule: str
    step: int
    kind: Kind
    outcomes: dict[OutcomeStatus, int]
    effect_at: int | None = None
    helped: bool | None = None
    wasted: int = 0

    @property
    def lag(self) -> int | None:
        """Steps from the sample to the effect."""
        return None if self.effect_at is None else self.effect_at - self.step


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Many fates, counted. ``refused`` actions failed or were refused; ``lost`` ones came too late or nowhere.

    ``no_verdict``: the rule does not verify, or acted again, or the run ended, before it could be told.
    """

    interventions: int
    applied: int
    refused: int
    lost: int
    helped: int
    not_helped: int
    no_verdict: int
    reverted: int
    escalated: int


def tally(fates: Sequence[Fate]) -> Tally:
    ends = sum((Counter(fate.outcomes) for fate in fates), Counter[OutcomeStatus]())
    kinds = Counter(fate.kind for fate in fates)
    verdicts = Counter(fate.helped for fate in fates if fate.kind == "action")
    return Tally(
        interventions=kinds["action"],
        applied=ends["applied"],
        refused=ends["refused"] + ends["failed"],
        lost=ends["lost"] + ends["expired"],
        helped=verdicts[True],
        not_helped=verdicts[False],
        no_verdict=verdicts[None],
        reverted=kinds["reversal"],
        escalated=kinds["escalation"],
    )


def fates_of(run: RunDirectory) -> list[Fate]:
    """Every intervention that the rules of a run decided on, in that order."""
    records = _derived(run)
    return [_fate(record, records) for record in records if isinstance(record, Decision) and record.verdict == "act"]


def _derived(run: RunDirectory) -> list[Decision | Outcome | Verification]:
    reader = run.read_journal()
    found: list[Decision | Outcome | Verification] = []
    while records := reader.read():
        found += [record for record in records if isinstance(record, Decision | Outcome | Verification)]
    reader.close()
    return found


def _fate(decision: Decision, records: list[Decision | Outcome | Verification]) -> Fate:
    identity = decision.intervention or ""
    own = [record for record in records if record.intervention == identity]
    outcomes = [record for record in own if isinstance(record, Outcome)]
    return Fate(
        rule=decision.rule,
        step=decision.step,
        kind="escalation" if identity.endswith(ESCALATE) else "reversal" if identity.endswith(REVERT) else "action",
        outcomes=dict(Counter(outcome.status for outcome in outcomes)),
        effect_at=next((outcome.step for outcome in outcomes if outcome.status == "applied"), None),
        helped=next((record.helped for record in own if isinstance(record, Verification)), None),
        wasted=sum(map(_gone_back_over, outcomes)),
    )


def _gone_back_over(outcome: Outcome) -> int:
    if outcome.status != "applied" or outcome.checkpoint is None:
        return 0
    return outcome.step - outcome.checkpoint
