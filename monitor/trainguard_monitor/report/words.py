"""The words of a report: what there is to say of the run as a whole, and of numbers and times."""

from datetime import UTC, datetime

from trainguard_monitor.numbers import plural
from trainguard_monitor.report.material import Material

OUTCOMES = {"finished": "finished", "stopped": "was stopped", "failed": "failed"}


def story(material: Material) -> str:
    """Three sentences: how far it came, what happened, what was done about it."""
    return f"{_course(material)} {_happened(material)} {_done(material)}".rstrip()


def _course(material: Material) -> str:
    processes, steps = material.processes, material.history.last_step
    text = f"{steps:,} steps"
    if (seconds := span_of(material)) is not None:
        text += f" in {duration(seconds)}"
    if len(processes) > 1:
        text += f", in {len(processes)} training processes"
    goodbye = material.course.goodbye
    if goodbye is None:
        return f"{text}; it goes on, or its training died without a word."
    return f"{text}; the training {OUTCOMES[goodbye.outcome]}" + (f": {goodbye.error}." if goodbye.error else ".")


def _happened(material: Material) -> str:
    fired = sum(material.side.fired.values())
    incidents = material.incidents.total
    if not material.opened:
        return "No monitor judged it."
    if not incidents:
        return "No rule fired."
    return f"A rule fired {counted(fired, 'time')}, in {counted(incidents, 'incident')}."


def _done(material: Material) -> str:
    acted = sum(number for (_, verdict), number in material.side.verdicts.items() if verdict == "act")
    if not acted:
        return "Nothing was done about it." if material.incidents.total else ""
    well = sum(number for (_, helped), number in material.helped.items() if helped)
    tried = sum(material.helped.values())
    text = f"There {'was' if acted == 1 else 'were'} {counted(acted, 'intervention')}"
    return f"{text}." if not tried else f"{text}; of {tried} on trial {well} helped."


def span_of(material: Material) -> float | None:
    """Seconds from the first word of the first process to the last word of the last; None where that is not known."""
    end = material.course.last_record
    if end is None or not material.processes:
        return None
    return max(0.0, end - material.processes[0].hello.time)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {plural(number, noun)}"


def duration(seconds: float) -> str:
    """``0.8 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if whole >= length or parts:
            parts.append(f"{whole // length} {unit}")
            whole %= length
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def moment(time: float) -> str:
    """Unix seconds as a date and time in UTC."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a trainer's clock may say anything
        return f"{time:g}"


def amount(value: float | str | None) -> str:
    """A number as people read it."""
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4g}"


def size(number: int) -> str:
    """Bytes: ``351 kB``."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
