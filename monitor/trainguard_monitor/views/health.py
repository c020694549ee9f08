"""Is it healthy? The state of a run in a word, and how urgently somebody should look: for whoever shows runs."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["bad", "attention", "warning", "good", "quiet"]
SILENT_SECONDS = 60.0
SLOW_STEPS = 20


class Health(NamedTuple):
    """``rank`` orders runs, the most urgent first."""

    rank: int
    level: Level
    word: str


def health_of(run: Mapping[str, Any], severities: Mapping[str, str], now: float) -> Health:
    """What to say of a run in the form of ``/api/v1/runs``, given the severities of rules by name, and the time."""
    severe = any(severities.get(rule) != "warning" for rule in run["firing"])
    silence = silent_for(run, now)
    match run["state"]:
        case "failed":
            return Health(0, "bad", "can't be followed")
        case "held":
            return Health(9, "quiet", "held by another monitor")
        case "ended":
            return _ended(run, severe)
    if run["waiting"]:
        return Health(1, "attention", "waiting for you")
    if run["paused_since"] is not None and not silence:
        return Health(1, "bad", "paused in trouble") if severe else Health(2, "attention", "paused")
    if severe:
        return Health(1, "bad", "in trouble")
    if silence:
        return Health(3, "attention", f"silent for {duration(silence)}")
    if run["firing"]:
        return Health(4, "warning", "warning")
    if broken := _broken(run):
        return Health(4, "warning", broken)
    if run["last_sample"] is None:
        return Health(5, "quiet", "no sample yet")
    if run["pending"]:
        return Health(5, "warning", "on watch")
    return Health(6, "good", "healthy") if run["rules_sha256"] else Health(5, "warning", "not judged")


def _ended(run: Mapping[str, Any], severe: bool) -> Health:
    """``finished``, ``stopped`` or ``failed`` as the trainer said, and how the rules saw it."""
    outcome = run["goodbye"]["outcome"]
    if outcome == "failed":
        return Health(7, "quiet", "failed with an error")
    if not run["rules_sha256"]:
        return Health(8, "quiet", f"{outcome}, never judged")
    if severe:
        return Health(7, "quiet", f"{outcome} in trouble")
    broken = _broken(run)
    return Health(7, "quiet", f"{outcome}, {broken}") if broken else Health(8, "quiet", outcome)


def _broken(run: Mapping[str, Any]) -> str:
    """What no rule has to say to be so: that the last loss is no number. "" where it is one."""
    loss = run["signals"].get("loss")
    return f"loss is {loss}" if isinstance(loss, str) else ""


def silent_for(run: Mapping[str, Any], now: float) -> float:
    """For how many seconds a run has said nothing, not even that it is alive, where that is long for it; else 0."""
    if run["last_sample"] is None:
        return 0.0
    seconds = now - run["last_record"]
    step = run["signals"].get("step_seconds", 0.0)
    usual = SLOW_STEPS * step if isinstance(step, float) else 0.0
    return float(seconds) if seconds > max(SILENT_SECONDS, usual) else 0.0


def duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
