"""`LargeLRConfig`: the settings of the recipe, from keywords, a file or the environment, checked alike.

Every problem is reported at once, under the name by which the value came in.
"""

import json
import operator
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from trainguard.recipes.fields import FIELDS, PREFIX, Kind

DecayType = Literal["cosine", "step", "exponential", "constant"]


class ConfigError(ValueError):
    """What is wrong with the settings, one line a problem in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        many = [f"{len(problems)} problems with the large-learning-rate settings:", *problems]
        super().__init__(problems[0] if len(problems) == 1 else "\n  ".join(many))


@dataclass(frozen=True, kw_only=True)
class LargeLRConfig:
    """The settings; the defaults are those of the document that trainguard grew out of.

    They suit small classifiers trained with SGD; no paper prescribes them. Raises `ConfigError` with every problem.

    Args:
        enabled: the master switch; without it `LargeLRScheduler` leaves the optimizer's learning rates alone.
        base_lr: the learning rate at the end of the warm-up.
        min_lr: where the cosine ends, and the floor of the other decays.
        warmup_epochs: length of the linear warm-up from ``warmup_start_lr``; 0 for none.
        decay_type: what follows the warm-up.
        decay_epochs: for "step": at these epochs, counted from 0, the learning rate is multiplied by ``decay_factor``.
        decay_factor: for "step" that; for "exponential" what is left of ``base_lr`` at the end.
        total_epochs: where the schedule ends.
        lr_grid: learning rates to compare, for `lr_grid_search`.
        weight_decay: for the optimizer.
        gradient_clip: the largest gradient norm, for ``guard.clip_``.
        sparsity_threshold: an activation below it, by magnitude, counts as sparse in `robustness_indicators`.
        confidence_threshold: a prediction above it counts as confident there.
        track_sparsity: whether the guard measures ``activation_sparsity``, see `cadences`.
        track_confidence: whether the guard measures ``confidence``.
    """

    enabled: bool = True
    base_lr: float = 0.3
    min_lr: float = 1e-5
    warmup_epochs: int = 5
    warmup_start_lr: float = 0.01
    decay_type: DecayType = "cosine"
    decay_epochs: Sequence[int] = (30, 60, 90)
    decay_factor: float = 0.1
    total_epochs: int = 100
    lr_grid: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 1.0)
    weight_decay: float = 5e-4
    gradient_clip: float = 1.0
    sparsity_threshold: float = 0.1
    confidence_threshold: float = 0.9
    track_sparsity: bool = True
    track_confidence: bool = True

    def __post_init__(self) -> None:
        accepted, problems = _examine({field.name: getattr(self, field.name) for field in FIELDS}, lambda name: name)
        if problems:
            raise ConfigError(problems)
        for name, value in accepted.items():
            object.__setattr__(self, name, value)

    @property
    def cadences(self) -> dict[str, int | None]:
        """``Guard(..., every=config.cadences)``: what is not to be tracked is not measured."""
        tracked = {"activation_sparsity": self.track_sparsity, "confidence": self.track_confidence}
        return {signal: None for signal, track in tracked.items() if not track}

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """From a flat table in a ``.toml`` or ``.json`` file; keys are the fields' names, or the document's flags.

        Raises OSError where the file cannot be read, and `ConfigError`.
        """
        path = Path(path)
        spellings = {spelling: f.name for f in FIELDS for spelling in (f.name, f.flag) if spelling}
        values: dict[str, Any] = {}
        given: dict[str, str] = {}
        problems: list[str] = []
        for key, value in _table(path).items():
            if key not in spellings:
                problems.append(f"{path}: {key} is no setting{_suggestion(key, spellings)}")
            elif (name := spellings[key]) in given:
                problems.append(f"{path}: {key} and {given[name]} are one setting, wanted one of them")
            else:
                values[name], given[name] = value, key
        return cls()._with(values, lambda name: f"{path}: {given[name]}" if name in given else name, problems)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, *, over: Self | None = None) -> Self:
        """From the variables ``LARGE_LR_...`` of the process, or of ``environment``; the others as ``over`` has them.

        Raises `ConfigError`, also for a variable of that prefix that is no setting.
        """
        variables = {field.variable: field for field in FIELDS}
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        given: dict[str, str] = {}
        problems: list[str] = []
        for variable in sorted(name for name in environment if name.startswith(PREFIX)):
            if variable not in variables:
                problems.append(f"{variable} is no setting{_suggestion(variable, variables)}")
                continue
            field, text = variables[variable], environment[variable]
            given[field.name] = variable
            try:
                values[field.name] = field.kind.read(text)
            except (ValueError, KeyError):
                values[field.name] = text  # which is no value of any such setting, and is reported as one
        return (over or cls())._with(values, lambda name: given.get(name, name), problems)

    def _with(self, changes: Mapping[str, Any], called: Callable[[str], str], problems: list[str]) -> Self:
        _, more = _examine({**asdict(self), **changes}, called)
        if problems or more:
            raise ConfigError([*problems, *more])
        return replace(self, **changes)


def checked(name: str, value: Any, kind: Kind) -> Any:
    """``value`` in its plain type. Raises `ConfigError` naming ``name``."""
    try:
        return kind.accept(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError([f"{name} is {value!r:.80}, wanted {kind.wanted}"]) from None


def _examine(values: Mapping[str, Any], called: Callable[[str], str]) -> tuple[dict[str, Any], list[str]]:
    """The values in their plain types, and what is wrong with them; ``called`` says how the user spelled a field."""
    accepted: dict[str, Any] = {}
    problems: list[str] = []
    for field in FIELDS:
        try:
            accepted[field.name] = checked(called(field.name), values[field.name], field.kind)
        except ConfigError as error:
            problems += error.problems
    return accepted, [*problems, *_clashes(accepted, called)]


def _clashes(values: Mapping[str, Any], called: Callable[[str], str]) -> list[str]:
    """Values that do not go together. One that is no value by itself has been reported already."""
    bounds: list[tuple[str, Callable[[Any, Any], bool], str, str]] = [
        ("min_lr", operator.le, "at most", "base_lr"),
        ("total_epochs", operator.gt, "more than", "warmup_epochs"),
    ]
    if values.get("warmup_epochs"):
        bounds.append(("warmup_start_lr", operator.le, "at most", "base_lr"))
    if values.get("decay_type") == "step":
        bounds.append(("decay_epochs", lambda epochs, warmup: epochs[0] > warmup, "only epochs after", "warmup_epochs"))
    return [
        f"{called(name)} is {values[name]}, wanted {relation} {called(bound)}, which is {values[bound]}"
        for name, holds, relation, bound in bounds
        if name in values and bound in values and not holds(values[name], values[bound])
    ]


def _table(path: Path) -> Mapping[str, Any]:
    readers = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix not in readers:
        raise ConfigError([f"{path} is a {path.suffix or 'nameless'} file, wanted .toml or .json"])
    try:
        table = readers[path.suffix](path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error
    if not isinstance(table, dict):
        raise ConfigError([f"{path} holds a {type(table).__name__}, wanted a table of settings"])
    return table


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f", wanted one of {', '.join(sorted(known))}"
