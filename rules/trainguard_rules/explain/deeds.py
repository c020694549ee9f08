"""Actions in words: what each does, and how far it can go."""

from collections.abc import Iterable, Iterator

from trainguard_rules.actions import (
    ACTIONS,
    ActionModel,
    Notify,
    Pause,
    RestoreCheckpoint,
    RewarmLr,
    ScaleKnob,
    ScaleLr,
    ScaleWeightDecay,
    SetGate,
    SetKnob,
    SetLr,
    SetWeightDecay,
    SkipSteps,
)
from trainguard_rules.durations import Duration
from trainguard_rules.rulebook import PlannedAction, Rule

_SAID = {
    "save_checkpoint": "saves a checkpoint, as a candidate",
    "stop": "saves a checkpoint and ends the training",
    "resume": "lets a paused training go on",
    "diagnose": "measures once what is costly to measure always, and reports it as signals",
}


def told(action: PlannedAction) -> str:
    """What one action does, as a clause without a subject."""
    match action.model:
        case ScaleLr() | ScaleWeightDecay() | ScaleKnob() as model:
            return f"multiplies the {model.changes} by {model.factor:g}{_bound(model)}{_back(model)}"
        case SetLr() as model:
            return f"sets the learning rate to {_amount(model.lr)}" + (
                ", and keeps it there whatever the schedule says"
                if model.hold
                else f"; the schedule goes on{_back(model)}"
            )
        case SetWeightDecay() as model:
            return f"sets the weight decay to {_amount(model.weight_decay)}"
        case SetKnob() as model:
            return f"sets the {model.changes} to {_amount(model.value)}"
        case RewarmLr() as model:
            return (
                f"holds the learning rate under a ceiling that rises from {model.start_lr:g} to {model.base_lr:g} "
                f"over {model.over} {model.unit}"
            )
        case SkipSteps() as model:
            return f"drops the next {model.count} updates" if model.count > 1 else "drops the next update"
        case SetGate() as model:
            return _gate(model)
        case Pause() as model:
            return f"pauses the training until somebody ends that, for {Duration(model.at_most, 'seconds')} at most"
        case Notify() as model:
            return f"has the monitor tell the webhook {model.to!r}" + (f": {model.message}" if model.message else "")
        case RestoreCheckpoint() as model:
            rest = "schedule and data go back with it" if model.rewind == "full" else "the data goes on"
            return f"goes back to the newest good checkpoint from before the incident; {rest}"
        case _:
            return _SAID.get(action.kind) or _as_documented(action)


def farthest(actions: Iterable[PlannedAction]) -> Iterator[str]:
    """How far the actions that scale can take what they scale, whatever happens."""
    for action in actions:
        model = action.model
        if isinstance(model, ScaleKnob | SetKnob):
            yield f"it never turns the {model.changes} beyond the bounds that it was registered with"
        if not isinstance(model, ScaleLr | ScaleWeightDecay):
            continue
        what = model.changes
        if model.factor < 1:
            known = f"it never scales the {what} below {model.min:g}"
            yield known if model.min else f"there is no floor under the {what}: the action has no 'min'"
        elif model.factor > 1:
            known = f"it never scales the {what} above {model.max}"
            yield known if model.max is not None else f"there is no ceiling over the {what}: the action has no 'max'"


def _amount(value: float | str) -> str:
    """A number, or the formula that gives one."""
    return f"what {value} is then" if isinstance(value, str) else f"{value:g}"


def checkpoints_trusted(rule: Rule, good_after: int) -> str:
    """When a checkpoint is good, for rules that restore; else nothing."""
    if not any(action.kind == "restore_checkpoint" for action in (*rule.actions, *rule.escalate)):
        return ""
    return (
        f"A checkpoint is good once the run was healthy for {good_after} steps on end after it. "
        "Without one the restore is refused, and so are the actions after it."
    )


def _back(model: ActionModel) -> str:
    over = getattr(model, "recover_over", None)
    return f", coming back to what it was over {over} steps" if over else ""


def _gate(model: SetGate) -> str:
    bounds = ["NaN or infinite"] if model.nonfinite else []
    bounds += [f"above {model.factor:g} times the usual"] if model.factor is not None else []
    bounds += [f"above {model.max_norm:g}"] if model.max_norm is not None else []
    if not bounds:
        return "switches the gate off, which drops updates"
    return f"has the gate drop each update whose gradient norm is {', or '.join(bounds)}"


def _bound(model: ScaleLr | ScaleWeightDecay | ScaleKnob) -> str:
    if model.factor < 1 and model.min:
        return f", but not below {model.min:g}"
    if model.factor > 1 and model.max is not None:
        return f", but not above {model.max:g}"
    return ""


def _as_documented(action: PlannedAction) -> str:
    """For kinds without words of their own: what the action's model says of itself."""
    meaning = (ACTIONS[action.kind].__doc__ or "").strip().partition("\n")[0].replace("``", "'").rstrip(".")
    params = ", ".join(f"{name} {value}" for name, value in action.model.params().items())
    return f"asks for {action.kind}" + (f" ({params})" if params else "") + (f": {meaning}" if meaning else "")
