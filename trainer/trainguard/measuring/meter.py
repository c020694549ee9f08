"""The meter: measures what is due in a step, and survives every sensor.

A step is measured in two phases, before and after the optimizer moves the parameters, and read out once at the
end. Which signals are due is settled at the end of the step before, because some need hooks in the forward pass.
What that means is worked out once for each set of cadences that meet in a step, in a `Plan`; then steps follow it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import torch

from trainguard.clock import Clock
from trainguard.faults import Faults
from trainguard.measuring.overhead import Cost
from trainguard.signals.base import Measured, Sensor, StepView, Value

Look = Callable[[StepView, AbstractSet[str]], Mapping[str, Value]]


class Duty:
    """Signals of one sensor that are measured in the same steps: each ``every``, ``wanted`` if the budget allows.

    ``cost`` is that of measuring them once.
    """

    def __init__(self, sensor: Sensor, names: frozenset[str], wanted: int) -> None:
        self.sensor, self.names = sensor, names
        self.wanted = self.every = wanted
        self.cost = Cost()


class Turn:
    """What one sensor does in a step: the signals that are due, for these duties, the most frequent first."""

    def __init__(self, sensor: Sensor, names: frozenset[str], duties: tuple[Duty, ...]) -> None:
        self.sensor, self.names, self.duties = sensor, names, duties
        self.what = f"signal.{sensor.name}"
        self.seconds = 0.0

    def settle(self, times: int) -> None:
        """Tell the least frequent duty what it costs beside the others, and begin anew."""
        if self.duties and times:
            *others, last = self.duties
            last.cost.learn(max(0.0, self.seconds / times - sum(duty.cost.seconds for duty in others)))
        self.seconds = 0.0


class Plan:
    """The turns of a step, and who has something to do in which phase. Followed so many ``times``."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns, self.times = turns, 0
        self.hooked = tuple(turn for turn in turns if _has(turn.sensor, "arm") or _has(turn.sensor, "disarm"))
        self.before = tuple((turn, turn.sensor.before_step) for turn in turns if _has(turn.sensor, "before_step"))
        self.after = tuple((turn, turn.sensor.after_step) for turn in turns if _has(turn.sensor, "after_step"))
        self.computes = any(turn.sensor.computes for turn in turns)


class Meter:
    """Holds the sensors and, during a step, what they measured. ``saw_logits``: the last step handed some.

    ``cadences`` are those that differ from the sensors' own.
    """

    def __init__(
        self,
        sensors: Iterable[Sensor],
        cadences: Mapping[str, int | None],
        *,
        clock: Clock,
        faults: Faults,
    ) -> None:
        self._sensors = tuple(sensors)
        self._ticks, self._faults = clock.ticks, faults
        every = {name: every for sensor in self._sensors for name, every in sensor.signals.items()} | dict(cadences)
        self.names = tuple(every)
        self.duties = _duties(self._sensors, every)
        self._cadences: tuple[int, ...] = ()
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._plan = Plan(())
        self._requested: set[str] = set()
        self._values: dict[str, Measured] = {}
        self.saw_logits = False
        self.rearrange([duty.wanted for duty in self.duties])

    def request(self, *names: str) -> None:
        """Have these signals measured in the next step, whatever their cadence."""
        self._requested.update(name for name in names if name in self.names)

    def rearrange(self, cadences: Iterable[int]) -> None:
        """Give each duty another cadence, in their order. From the next step that is armed for."""
        for duty, every in zip(self.duties, cadences, strict=True):
            duty.every = every
        self._cadences = tuple(sorted({duty.every for duty in self.duties}))
        self._plans = {}

    def settle(self) -> float:
        """Tell the duties what they cost since the last call; returns the seconds that all took together."""
        turns = [(turn, plan.times) for plan in self._plans.values() for turn in plan.turns]
        total = sum(turn.seconds for turn, _ in turns)
        for turn, times in sorted(turns, key=lambda each: len(each[0].duties)):
            turn.settle(times)
        for plan in self._plans.values():
            plan.times = 0
        return total

    def arm(self, step: int) -> None:
        """Settle what is due in ``step``, the one about to begin."""
        if self._plan.hooked:
            self.disarm()
        meeting = tuple([every for every in self._cadences if not step % every])
        plan = self._plans.get(meeting)
        if plan is None:
            plan = self._plans[meeting] = self._plan_for(meeting)
        if self._requested:
            plan = self._plan_for(meeting, self._requested)
            self._requested.clear()
        self._plan = plan
        plan.times += 1
        for turn in plan.hooked:
            self._handle(turn, lambda sensor, names: sensor.arm(names))

    def disarm(self) -> None:
        for turn in self._plan.hooked:
            self._handle(turn, lambda sensor, _: sensor.disarm())

    def begin(self, view: StepView) -> float:
        """Measure what is to be seen before the optimizer's step; returns the seconds that hooks took before.

        Forgets a step that was never finished.
        """
        self.saw_logits = view.logits is not None
        self._values = {}
        plan = self._plan
        self._measure(plan.before, view, plan.computes)
        return sum([self._ask_hooks(turn) for turn in plan.hooked]) if plan.hooked else 0.0

    def finish(self, view: StepView) -> dict[str, Measured] | None:
        """Measure what is to be seen after the optimizer's step; returns all values. None where nothing was due."""
        plan = self._plan
        self._measure(plan.after, view, plan.computes)
        return self._values if plan.turns else None

    def _measure(self, looks: Iterable[tuple[Turn, Look]], view: StepView, computes: bool) -> None:
        """Have each sensor look, time it, and swallow what goes wrong."""
        if computes and torch.is_grad_enabled():
            with torch.no_grad():
                return self._measure(looks, view, computes)
        ticks, values = self._ticks, self._values
        began = ticks()
        for turn, look in looks:
            try:
                for name, value in look(view, turn.names).items():
                    if value is not None and name in turn.names:
                        values[name] = value
            except Exception as error:
                self._faults.note(turn.what, view.misfit() or error)
            now = ticks()
            turn.seconds += now - began
            began = now
        return None

    def _handle(self, turn: Turn, do: Callable[[Sensor, frozenset[str]], None]) -> None:
        began = self._ticks()
        with self._faults.around(turn.what):
            do(turn.sensor, turn.names)
        turn.seconds += self._ticks() - began

    @staticmethod
    def _ask_hooks(turn: Turn) -> float:
        seconds = turn.sensor.take_hook_seconds()
        turn.seconds += seconds
        return seconds

    def _plan_for(self, meeting: tuple[int, ...], requested: AbstractSet[str] = frozenset()) -> Plan:
        turns = []
        for sensor in self._sensors:
            duties = tuple(duty for duty in self.duties if duty.sensor is sensor and duty.every in meeting)
            names = frozenset().union(*(duty.names for duty in duties)) | (requested & sensor.signals.keys())
            if names:
                turns.append(Turn(sensor, names, duties))
        return Plan(turns)


def _duties(sensors: Iterable[Sensor], every: Mapping[str, int | None]) -> list[Duty]:
    """One for each cadence of each sensor, in their order, the most frequent first."""
    duties = []
    for sensor in sensors:
        by_cadence: dict[int, set[str]] = {}
        for name in sensor.signals:
            if cadence := every[name]:
                by_cadence.setdefault(cadence, set()).add(name)
        duties += [Duty(sensor, frozenset(names), cadence) for cadence, names in sorted(by_cadence.items())]
    return duties


def _has(sensor: Sensor, method: str) -> bool:
    return getattr(type(sensor), method) is not getattr(Sensor, method)
