"""Knobs: numbers of the user's own that rules may turn, within bounds that the user has set.

Nothing in here knows what a knob is for. trainguard reads it, turns it, reads it again, and says what it read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from torch import nn

from trainguard.faults import Faults
from trainguard_wire import KnobInfo

Pair = tuple[Any, str]  # an object and the name of its attribute

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class Knob:
    """A number that is read with ``get()`` and turned with ``set(value)``, never beyond ``min`` and ``max``.

    ``get`` returns a number, or a tensor of one element. Both are called at step boundaries, in the training thread;
    ``get`` also in each step in which the signal ``knob_<name>`` is due. What ``set`` raises fails the action, and
    never reaches the training loop. Raises TypeError and ValueError for wrong arguments.
    """

    def __init__(self, get: Callable[[], Any], set: Callable[[float], object], min: float, max: float) -> None:
        for name, function in (("get", get), ("set", set)):
            if not callable(function):
                raise TypeError(f"{name} is {function!r:.60}, wanted a function")
        for name, bound in (("min", min), ("max", max)):
            if not isinstance(bound, int | float) or isinstance(bound, bool):
                raise TypeError(f"{name} is {bound!r:.60}, wanted a number")
            if not isfinite(bound):
                raise ValueError(f"{name} is {bound}, wanted a finite number")
        if min > max:
            raise ValueError(f"min is {min} and max is {max}, wanted no more than that")
        self.get, self._set = get, set
        self.min, self.max = float(min), float(max)

    @property
    def value(self) -> float:
        """What it is now. Raises what ``get`` raises."""
        return float(self.get())

    def turn(self, value: float) -> None:
        """Raises what ``set`` raises, and ValueError for a value out of bounds."""
        if not self.min <= value <= self.max:
            raise ValueError(f"{value:g} is not between {self.min:g} and {self.max:g}")
        self._set(value)

    @classmethod
    def of(cls, objects: Any, attribute: str, *, min: float, max: float) -> "Knob":
        """An attribute of an object, or of several that have the same number there.

        ::

            Knob.of(criterion, "label_smoothing", min=0.0, max=0.2)

        Raises ValueError where an object has no such number, or another one than the first.
        """
        several = isinstance(objects, Iterable) and not isinstance(objects, nn.Module)
        return _of_pairs([(each, attribute) for each in (objects if several else (objects,))], min, max)

    @classmethod
    def dropout(cls, model: nn.Module, *, min: float = 0.0, max: float = 0.5) -> "Knob":
        """The dropout of a model: of its dropout layers, attention blocks and recurrent layers together.

        Those without any (at 0) stay without, unless none has any. Under ``torch.compile`` a turn recompiles. Raises
        ValueError where there are none, or where their numbers differ: a knob for each, by `of`, is the way then.
        """
        pairs: list[Pair] = []
        for module in model.modules():
            if isinstance(module, _DROPOUTS):
                pairs.append((module, "p"))
            elif isinstance(module, nn.MultiheadAttention | nn.RNNBase):
                pairs.append((module, "dropout"))
        if not pairs:
            raise ValueError(f"{type(model).__name__} has no dropout layers, wanted at least one")
        return _of_pairs([pair for pair in pairs if getattr(*pair)] or pairs, min, max)

    @classmethod
    def number(cls, value: float, *, min: float, max: float) -> "Knob":
        """A number that lives in the knob, for your loop to read there.

        ::

            clip_norm = Knob.number(1.0, min=0.1, max=10.0)
            ...
            guard.clip_(clip_norm.value)
        """
        held = [float(value)]
        return cls(lambda: held[0], lambda wanted: held.__setitem__(0, wanted), min, max)


class Knobs(Mapping[str, Knob]):
    """The knobs of a run, by name. What trainguard has turned is saved, and turned again in a resumed run."""

    def __init__(self, knobs: Mapping[str, Knob], faults: Faults) -> None:
        self._knobs, self._faults = dict(knobs), faults
        self._turned: dict[str, float] = {}

    def __getitem__(self, name: str) -> Knob:
        return self._knobs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._knobs)

    def __len__(self) -> int:
        return len(self._knobs)

    def turn(self, name: str, value: float) -> None:
        """Raises what the knob's own ``set`` raises."""
        self._knobs[name].turn(value)
        self._turned[name] = value

    def keep(self) -> Callable[[], None]:
        """What turns all knobs back to where they are now. It raises what a knob's own ``set`` raises."""
        values, turned = {name: knob.value for name, knob in self._knobs.items()}, dict(self._turned)

        def turn_back() -> None:
            self._turned = turned
            for name, value in values.items():
                if self._knobs[name].value != value:
                    self._knobs[name].turn(value)

        return turn_back

    def info(self) -> dict[str, KnobInfo]:
        """As `RunInfo` and hello announce them."""
        return {name: KnobInfo(value=k.value, min=k.min, max=k.max) for name, k in self._knobs.items()}

    def state_dict(self) -> dict[str, float]:
        return dict(self._turned)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Turn the knobs to the values of a `state_dict`.

        A knob that is gone, has other bounds now or does not let itself be turned is left as it is, which is noted:
        the code of a resumed run has the last word.
        """
        for name, value in {str(name): float(value) for name, value in state.items()}.items():
            if name not in self._knobs:
                self._faults.note(f"knob.{name}", f"it was {value:g} when the state was saved, and is not there now")
                continue
            with self._faults.around(f"knob.{name}"):
                self.turn(name, value)


def _of_pairs(pairs: list[Pair], min: float, max: float) -> Knob:
    values = []
    for owner, attribute in pairs:
        value = getattr(owner, attribute, None)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{attribute} of a {type(owner).__name__} is {value!r:.60}, wanted a number")
        values.append(value)
    if not values:
        raise ValueError("there are no objects, wanted at least one")
    if len(distinct := sorted({float(value) for value in values})) > 1:
        shown = " and ".join(f"{value:g}" for value in distinct)
        raise ValueError(f"the values are {shown}, and a knob is one number: make a knob for each")

    def turn(value: float) -> None:
        for owner, attribute in pairs:
            setattr(owner, attribute, value)

    return Knob(lambda: getattr(*pairs[0]), turn, min, max)
