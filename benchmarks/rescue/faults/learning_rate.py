"""A learning rate that is thirty times too high: in one step, for good, or little by little."""

from benchmarks.rescue.training import Fault

TOO_HIGH = 30.0
CREEP = 1.01


class LrTimes30Once(Fault):
    """In one step; then somebody mends it."""

    name = "lr_x30_once"

    def before(self, step: int) -> None:
        groups = self.training.optimizer.param_groups
        if step == self.at:
            self.right = [group["lr"] for group in groups]
            for group in groups:
                group["lr"] *= TOO_HIGH
        elif step == self.at + 1:  # most schedulers have written a right rate by now
            for group, right in zip(groups, self.right, strict=True):
                group["lr"] = min(group["lr"], right)


class LrTimes30(Fault):
    """For good: the schedule itself is thirty times too high from now on."""

    name = "lr_x30"
    factor = TOO_HIGH

    def before(self, step: int) -> None:
        if step == self.at:
            self.multiply(self.factor)

    def multiply(self, factor: float) -> None:
        for group in self.training.optimizer.param_groups:
            group["lr"] *= factor
        self.training.scheduler.base_lrs = [rate * factor for rate in self.training.scheduler.base_lrs]


class LrCreeps(LrTimes30):
    """By 1 % a step, to the end of the training: thirty times too high after 340 steps."""

    name = "lr_creeps"
    factor = CREEP

    def before(self, step: int) -> None:
        if step >= self.at:
            self.multiply(self.factor)
