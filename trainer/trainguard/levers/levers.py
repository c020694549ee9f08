"""What actions change about a run, in one hand: put on for a step, taken off after it, saved and resumed together."""

from collections.abc import Callable, Mapping
from typing import Any

from trainguard.faults import Faults
from trainguard.levers.knobs import Knobs
from trainguard.levers.learning_rate import LearningRate
from trainguard.levers.weight_decay import WeightDecay
from trainguard.progress import Progress
from trainguard.settings import Settings
from trainguard.updating.gate import Gate
from trainguard.updating.skipping import Skipping


class Levers:
    """Of one run; each is an attribute, for the actuators that pull it and the signals that show it."""

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._faults = faults
        self.learning_rate = LearningRate(settings.optimizers)
        self.weight_decay = WeightDecay(settings.optimizers)
        self.knobs = Knobs(settings.knobs, faults)
        self.gate = Gate()
        self.skipping = Skipping()

    def put_on(self, at: Progress) -> None:
        """Begin the step after ``at``."""
        try:  # a context would cost more than what it guards
            self.learning_rate.put_on(at.step, at.epoch)
        except Exception as error:
            self._faults.note("lr", error)
        try:
            self.weight_decay.put_on()
        except Exception as error:
            self._faults.note("weight_decay", error)

    def take_off(self) -> None:
        """End the step, whatever became of it. May be called at any time."""
        try:
            if self.learning_rate.overlay.is_on:
                self.learning_rate.overlay.take_off()
        except Exception as error:
            self._faults.note("lr", error)
        try:
            if self.weight_decay.overlay.is_on:
                self.weight_decay.overlay.take_off()
        except Exception as error:
            self._faults.note("weight_decay", error)

    def close(self) -> None:
        """Take off, for good."""
        self.take_off()
        self.learning_rate.overlay.close()
        self.weight_decay.overlay.close()

    def keep(self) -> Callable[[], None]:
        """What takes back all that is changed from now on. It raises what a knob's own ``set`` raises."""
        state, turn_back = self.state_dict(), self.knobs.keep()

        def take_back() -> None:
            self._put_back(state)
            turn_back()

        return take_back

    def state_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "lr": self.learning_rate.state_dict(),
            "weight_decay": self.weight_decay.state_dict(),
            "knobs": self.knobs.state_dict(),
            "gate": self.gate.state_dict(),
            "skipping": self.skipping.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError, AttributeError and ValueError for what is no state, and changes nothing then."""
        before = self.state_dict()
        try:
            self._load(state)
        except Exception:
            self._put_back(before)  # no knob is turned by then
            raise

    def _put_back(self, state: Mapping[str, Any]) -> None:
        """All but the knobs, to a state that this has been in."""
        self._load({**state, "knobs": {}})

    def _load(self, state: Mapping[str, Any]) -> None:
        self.learning_rate.load_state_dict(state["lr"])
        self.weight_decay.load_state_dict(state["weight_decay"])
        self.gate.load_state_dict(state.get("gate", {}))
        self.skipping.load_state_dict(state.get("skipping", {"until": 0}))
        self.knobs.load_state_dict(state.get("knobs", {}))
