"""What an actuator is: one kind of action, carried out at a step boundary.

An action is *done* at once, or *pending*: its effect can only be observed in the next step, and it is
acknowledged then with the value that was really seen. What cannot or must not be done is `Refused` with a
reason that names the value; any other exception is a failure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Protocol, TypeGuard

from trainguard.progress import Progress
from trainguard_wire.control import Parameter


class Refused(Exception):
    """The reason is the message."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What is acknowledged. ``factor`` is what the action alone multiplied; ``new_generation``: it went back."""

    before: float | None = None
    after: float | None = None
    factor: float | None = None
    checkpoint: int | None = None
    reason: str = ""
    new_generation: bool = False


@dataclass(frozen=True)
class Pending:
    """``settle`` is called with the values of the next step, after it; it raises where the effect is not there.

    ``needs_values``: it looks at them. On an accelerator they come a step later, and so does the acknowledgement.
    """

    settle: Callable[[Mapping[str, float]], Done]
    needs_values: bool = False


class Actuator(Protocol):
    """Carries out one kind of action. Checks all of ``params`` before it changes anything."""

    kind: str

    def act(self, params: "Params", at: Progress) -> Done | Pending: ...


class Params:
    """The parameters of one action, taken one by one; `end` refuses what nobody took."""

    def __init__(self, values: Mapping[str, Parameter]) -> None:
        self._values = dict(values)

    def number(self, name: str, default: float | None = None, *, above: float = -1.0) -> float:
        """A finite number of at least 0, or greater than ``above``."""
        value = self._values.pop(name, default)
        wanted = f"a number above {above:g}" if above >= 0 else "a number of at least 0"
        if not _is_number(value) or not isfinite(value) or value < 0 or value <= above:
            raise Refused(f"{name} is {value!r}, wanted {wanted}")
        return float(value)

    def finite(self, name: str) -> float:
        """A finite number, negative ones included."""
        value = self._values.pop(name, None)
        if not _is_number(value) or not isfinite(value):
            raise Refused(f"{name} is {value!r}, wanted a finite number")
        return float(value)

    def text(self, name: str) -> str:
        value = self._values.pop(name, None)
        if not isinstance(value, str):
            raise Refused(f"{name} is {value!r}, wanted text")
        return value

    def number_or_none(self, name: str, *, above: float = -1.0) -> float | None:
        """Like `number`, or None where it is absent or null."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        return self.number(name, above=above)

    def whole_or_none(self, name: str, *, at_least: int) -> int | None:
        """Like `whole`, or None where it is absent or null."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        return self.whole(name, at_least=at_least)

    def whole(self, name: str, *, at_least: int, at_most: int | None = None) -> int:
        """A whole number; JSON may have made it a float."""
        value = self._values.pop(name, None)
        if not _is_number(value) or not isfinite(value) or value != int(value) or value < at_least:
            raise Refused(f"{name} is {value!r}, wanted a whole number of at least {at_least}")
        if at_most is not None and value > at_most:
            raise Refused(f"{name} is {value!r}, wanted a whole number of at most {at_most}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.pop(name, default)
        if not isinstance(value, bool):
            raise Refused(f"{name} is {value!r}, wanted true or false")
        return value

    def choice(self, name: str, *choices: str, default: str | None = None) -> str:
        value = self._values.pop(name, default)
        if value not in choices:
            raise Refused(f"{name} is {value!r}, wanted {' or '.join(map(repr, choices))}")
        return str(value)

    def end(self) -> None:
        """Refuse what is left over: a parameter not understood may be the one that mattered."""
        if self._values:
            raise Refused(f"unknown parameter {', '.join(sorted(self._values))}")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
