"""Scripted telemetry: a trainer in a few lines, with the whole of its behaviour under the test's control."""

from collections.abc import Iterable, Iterator, Mapping

from trainguard_rules import Engine, Output, RuleBook
from trainguard_rules.actions import ACTIONS
from trainguard_wire import (
    Ack,
    Approval,
    CheckpointSaved,
    Decision,
    Goodbye,
    Hello,
    Intervention,
    Outcome,
    Sample,
    Telemetry,
    Transition,
    sample_of,
)

ALL_ACTIONS = tuple(ACTIONS)


def hello(step: int = 0, generation: int = 0, actions: Iterable[str] = ALL_ACTIONS) -> Hello:
    return Hello(
        step=step,
        generation=generation,
        time=float(step),
        run="scripted",
        pid=1,
        signals=("loss",),
        actions=tuple(actions),
    )


def sample(step: int, values: Mapping[str, float], generation: int = 0, epoch: int | None = None) -> Sample:
    return sample_of(values, step=step, generation=generation, time=float(step), epoch=epoch)


def saved(step: int, generation: int = 0) -> CheckpointSaved:
    return CheckpointSaved(step=step, generation=generation, time=float(step))


def goodbye(step: int, generation: int = 0) -> Goodbye:
    return Goodbye(step=step, generation=generation, time=float(step), outcome="finished")


class ScriptedTrainer:
    """An engine and a trainer that obeys it: feeds samples, carries out what comes back ``delay`` samples later.

    A restore is answered with the newest checkpoint older than ``before_step``; other actions with "applied", and
    the values before and after that ``changes`` has for their kind.
    Everything fed, approvals among it, is kept in ``telemetry``, everything journalled in ``journal``.
    """

    def __init__(
        self,
        book: RuleBook,
        delay: int = 0,
        actions: Iterable[str] = ALL_ACTIONS,
        changes: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.engine = Engine(book)
        self.delay = delay
        self.changes = changes or {}
        self.generation = 0
        self.step = 0
        self.checkpoints: list[int] = []
        self.telemetry: list[Telemetry | Approval] = []
        self.journal: list[object] = []
        self.interventions: list[Intervention] = []
        self._due: list[tuple[int, Intervention]] = []
        self.feed(hello(actions=actions))

    def feed(self, record: Telemetry) -> None:
        self.telemetry.append(record)
        self.take(self.engine.feed(record))

    def take(self, output: Output) -> None:
        self.journal += output.journal
        for message in output.control:
            if isinstance(message, Intervention):
                self.interventions.append(message)
                self._due.append((self.step + self.delay, message))

    def answer(self, request: str, *, approved: bool) -> None:
        """A person's answer to a rule in mode approve, here and now."""
        approval = Approval(
            intervention=request, approved=approved, by="ada", time=0.0, after_record=self.engine.records
        )
        self.telemetry.append(approval)
        self.take(self.engine.feed(approval))

    def checkpoint(self) -> None:
        self.checkpoints.append(self.step)
        self.feed(saved(self.step, self.generation))

    def run(self, signal: str, values: Iterable[float], epoch: int | None = None) -> "ScriptedTrainer":
        for value in values:
            self.sample({signal: value}, epoch)
        return self

    def sample(self, values: Mapping[str, float], epoch: int | None = None) -> None:
        self.step += 1
        self.feed(sample(self.step, values, self.generation, epoch))
        for message in [m for due, m in self._due if due <= self.step]:
            self._due = [(due, m) for due, m in self._due if m is not message]
            self._obey(message)

    def _obey(self, intervention: Intervention) -> None:
        for action in intervention.actions:
            checkpoint = None
            if action.kind == "restore_checkpoint":
                before = int(action.params["before_step"] or 0)
                checkpoint = max((c for c in self.checkpoints if c < before), default=None)
                self.generation += checkpoint is not None
            before, after = self.changes.get(action.kind, (None, None))
            refused = action.kind == "restore_checkpoint" and checkpoint is None
            self.feed(
                Ack(
                    step=self.step,
                    generation=self.generation,
                    time=float(self.step),
                    action=action.id,
                    kind=action.kind,
                    status="refused" if refused else "applied",
                    before=before,
                    after=after,
                    checkpoint=checkpoint,
                )
            )

    def of(self, kind: type) -> Iterator[object]:
        return (record for record in self.journal if isinstance(record, kind))

    def verdicts(self, rule: str = "") -> list[tuple[int, str]]:
        return [(d.step, d.verdict) for d in self.of(Decision) if rule in ("", d.rule)]  # type: ignore[attr-defined]

    def states(self, rule: str = "") -> list[tuple[int, str]]:
        return [(t.step, t.after) for t in self.of(Transition) if rule in ("", t.rule)]  # type: ignore[attr-defined]

    def kinds(self) -> list[tuple[str, list[str]]]:
        """By whom, and what, of each intervention."""
        return [(i.rule, [action.kind for action in i.actions]) for i in self.interventions]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(o.action, o.status) for o in self.of(Outcome)]  # type: ignore[attr-defined]
