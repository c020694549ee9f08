"""The two kinds of statistic, and what they have in common.

A *reference* is the past that the present is judged against: a window that excludes the current sample and
stops learning while its rule is pending or firing, so that a fault cannot become the norm that hides it.
A *tracker* follows the signal whatever happens, and speaks of the current sample.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from trainguard_rules.durations import Moment

Snapshot = dict[str, Any]
NAN = float("nan")


class Reference(ABC):
    """A statistic of the last ``window`` samples. ``value`` is NaN until half the window is filled.

    `hold` takes the place of `update` while the rule is pending or firing. A level that outlasts the window
    is no longer an incident but how the run now is: after ``window`` held samples the reference learns again.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.warm = -(-window // 2)
        self.value = NAN
        self.held = 0

    @abstractmethod
    def update(self, x: float) -> None:
        """Learn one finite sample."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Everything there is to know, as plain data."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Become exactly what was snapshot."""

    def hold(self, x: float) -> None:
        """Pass over one finite sample, unless the window has been frozen for its own length."""
        if self.held < self.window:
            self.held += 1
        else:
            self.update(x)

    def release(self) -> None:
        """The incident is over."""
        self.held = 0

    def reset(self) -> None:
        """Forget everything."""
        self.__init__(self.window)  # type: ignore[misc]


class Tracker(ABC):
    """A statistic that includes the current sample and is never frozen.

    `at` is also asked about a sample that is not finite and will not be learned: what has no answer is NaN.
    """

    takes_nonfinite: ClassVar[bool] = False
    """Whether `update` is to be called with NaN and the infinities too."""
    looks_back: ClassVar[bool] = False
    """Whether `at` says the same whatever the current sample is; then it is an attribute too, ``value``."""

    @abstractmethod
    def at(self, x: float, step: int, epoch: float, time: float) -> float:
        """The value with the current sample counted in, without learning it."""

    @abstractmethod
    def update(self, x: float, step: int, epoch: float, time: float) -> None:
        """Learn one sample: a finite one, unless the class says that it takes the others too."""

    @abstractmethod
    def snapshot(self) -> Snapshot: ...

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None: ...

    @abstractmethod
    def reset(self) -> None: ...

    def shift(self, gone: Moment) -> None:  # noqa: B027 (most have nothing to shift)
        """After `restore`: what was snapshot is ``gone`` steps, epochs and seconds older than it was.

        What counts from a moment on goes on counting from there. An epoch of None: nobody knows how many.
        """


def between(since: Moment, now: Moment) -> Moment:
    """What has gone by from one moment to a later one, as `later` takes it; no epochs where either has none."""
    epochs = None if since.epoch is None or now.epoch is None else now.epoch - since.epoch
    return Moment(now.step - since.step, epochs, now.time - since.time)


def later(when: Moment, gone: Moment) -> Moment:
    """A moment so much later. Where it is not known how many epochs are gone, it stays in its epoch."""
    epoch = when.epoch if when.epoch is None or gone.epoch is None else when.epoch + gone.epoch
    return Moment(when.step + gone.step, epoch, when.time + gone.time)


def moment(step: int, epoch: float, time: float) -> Moment:
    return Moment(step, None if epoch != epoch else int(epoch), time)
