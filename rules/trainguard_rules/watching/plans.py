"""Plans: one function for all rules that a kind of sample concerns.

Most samples of a run carry the same signals, and on most of them every rule is quiet. So for each set of
signals one function is written, once: it evaluates rule after rule, and where a rule is quiet (inactive, and
the condition does not hold) feeds its statistics at once. What is not quiet it hands back, for the engine to
deal with at leisure. Whether a condition is plainly false can be told with less code than which of true, false
and unknown it is, so that is asked first.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from trainguard_rules.expr.compile import Learn, Values, make_function
from trainguard_rules.watching.watch import Watch

MOST_PLANS = 256

Run = Callable[[Values, int, float, float, list[Watch]], None]


class Plan:
    """What to do with a sample of these ``fresh`` signals, once all of ``known`` have been seen.

    ``is_complete`` says that there is no other signal to remember the last value of. `run` appends the watches
    that are not quiet to the list it is given; ``run_quiet`` may be called where all are quiet as yet, and need not
    ask. ``judged`` are the rules whose own expression is to be evaluated; the others only learn, for the sake of
    their other expressions.
    """

    def __init__(
        self, watches: Iterable[Watch], signals: tuple[str, ...], known: frozenset[str], *, finite: bool
    ) -> None:
        self.runs = 0
        self._finite = finite
        self.signals = list(signals)
        fresh = frozenset(signals)
        self.is_complete = known <= fresh
        self._fresh, self._known = fresh, known
        self._concerned = concerned = [
            w for w in watches if w.when.needed <= known and (w.signals & fresh or w.wants_every_sample)
        ]
        self.judged = {w for w in concerned if w.when.signals & fresh or w.when.wants_every_sample}
        self._learners: dict[tuple[Watch, bool], Learn] = {}
        self.run_quiet = self._compile(ask=False)

    @cached_property
    def run(self) -> Run:
        return self._compile(ask=True)

    def feed(self, watch: Watch, values: Values, step: int, epoch: float, time: float, *, frozen: bool) -> None:
        """Feed a sample to the statistics of one rule."""
        learn = self._learners.get((watch, frozen))
        if learn is None:
            body, names = self._learning(watch, frozen=frozen, on_trial=True)
            learn = self._learners[watch, frozen] = make_function([*body, "return"], watch.signals & self._known, names)
        learn(values, step, epoch, time)

    def _learning(self, watch: Watch, *, frozen: bool, on_trial: bool) -> tuple[list[str], dict[str, Any]]:
        """The rule's own expression is frozen or not; `verify` is only at work while an intervention is on trial."""
        body, names = [], {}
        for program in watch.programs:
            body += program.learning(
                self._fresh,
                self._known,
                frozen=frozen and program in watch.freezing,
                for_onset=program is watch.verify and not on_trial,
                finite=self._finite,
            )
            names.update(program.names)
        return body, names

    def _compile(self, *, ask: bool) -> Run:
        """``ask`` each watch whether it is quiet, and do not feed those that are not."""
        body: list[str] = []
        names: dict[str, Any] = {"unmet": _unmet}
        signals: set[str] = set()
        for watch in self._concerned:
            body += [line for program in watch.programs for line in program.noting(self._fresh)]
        finite = self._fresh if self._finite else frozenset[str]()
        for watch in self._concerned:
            me = f"r{watch.index}"
            learning, used = self._learning(watch, frozen=False, on_trial=False)
            names.update(used, **{me: watch})
            signals |= watch.signals & self._known
            quiet = [f"{me}.quiet"] if ask else []
            if watch in self.judged:
                quiet.append(f"({watch.when.certain(False, finite)} or unmet({me}, {watch.when.condition}))")
            body.append(f"if {' and '.join(quiet) or 'True'}:")
            body += [f" {line}" for line in learning or ["pass"]]
            body.append(f"else: loud.append({me})")
        order = self.signals if self.is_complete else ()
        run: Run = make_function([*body, "return"], signals, names, ", loud", order)
        return run


def _unmet(watch: Watch, condition: bool | None) -> bool:
    """Whether a condition that isn't plainly false does not hold all the same, and is counted as unknown."""
    if condition is None:
        watch.unknown += 1
    return not condition


class Plans:
    """The plans of an engine, made when first needed. ``last`` is the one last asked for, for finite samples."""

    def __init__(self, watches: list[Watch]) -> None:
        self._watches = watches
        self.last: Plan | None = None
        self._plans: dict[tuple[tuple[str, ...], bool], Plan] = {}

    def of(self, signals: tuple[str, ...], known: Iterable[str], *, finite: bool) -> Plan:
        """The plan for samples of these signals; ``finite`` for those that hold finite values only."""
        plan = self._plans.get((signals, finite))
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self.clear()
            plan = Plan(self._watches, signals, frozenset(known), finite=finite)
            self._plans[signals, finite] = plan
        self.last = plan if finite else None
        return plan

    def evaluations(self, watch: Watch) -> int:
        return watch.evaluations + sum(plan.runs for plan in self._plans.values() if watch in plan.judged)

    def clear(self) -> None:
        """Other signals are known now: all plans have to be made anew."""
        for plan in self._plans.values():
            for watch in plan.judged:
                watch.evaluations += plan.runs
        self._plans.clear()
        self.last = None
