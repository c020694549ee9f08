"""The runs as ``trainguard status`` draws them: a line of numbers for each, and below it what there is to say."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from trainguard_monitor.numbers import plural
from trainguard_monitor.views.health import duration

if TYPE_CHECKING:
    from trainguard_monitor.cli.status import Roster

WIDTH_OF_FILES = 160
SHORTEST_NAME = 12
GAP = "  "
COLUMNS = ("run", "state", "step", "epoch", "loss", "lr", "last sample")
LEFT = ("run", "state")
STYLES = {"bad": "bold red", "attention": "bold yellow", "warning": "yellow", "good": "green", "quiet": "dim"}


def console() -> Console:
    """Standard output; wider than the usual 80 columns where that is no terminal."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES)


def drawn(roster: "Roster", width: int, trouble: str = "") -> Group:
    """The runs, under what there is to say of them all. ``trouble``: why there is no newer news."""
    lines: list[Text | Padding] = [Text(_head(roster), style="bold")]
    if roster.note:
        lines.append(Text(roster.note, style="yellow"))
    if trouble:
        lines.append(Text(trouble, style="bold red"))
    return Group(*lines, *(_table(roster, width) if roster.runs else ()))


def _head(roster: "Roster") -> str:
    runs = roster.runs
    counts = [f"{len(runs)} {plural(len(runs), 'run')}" if runs else "no run yet"]
    for level, what in (("bad", "in trouble"), ("attention", "wanting attention"), ("warning", "with a warning")):
        if number := sum(run["health"]["level"] == level for run in runs):
            counts.append(f"{number} {what}")
    return f"{roster.source}: {', '.join(counts)}"


def _table(roster: "Roster", width: int) -> Iterator[Text | Padding]:
    rows = [_numbers(run, roster.time) for run in roster.runs]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*rows, map(Text, COLUMNS), strict=True)]
    others = sum(widths[1:]) + len(GAP) * len(widths[1:])
    widths[0] = min(widths[0], max(SHORTEST_NAME, width - others))
    yield Text("")
    yield _line([Text(column, style="dim") for column in COLUMNS], widths)
    for run, cells in zip(roster.runs, rows, strict=True):
        yield _line(cells, widths)
        for text in _words(run, roster.time):
            yield Padding(text, (0, 0, 0, 4), expand=False)


def _line(cells: list[Text], widths: list[int]) -> Text:
    for cell, column, width in zip(cells, COLUMNS, widths, strict=True):
        cell.truncate(width, overflow="ellipsis")
        cell.align("left" if column in LEFT else "right", width)
    line = Text(GAP, no_wrap=True, overflow="ellipsis").join(cells)
    line.rstrip()
    return line


def _numbers(run: Mapping[str, Any], now: float) -> list[Text]:
    last, epoch, signals = run["last_sample"], run["epoch"], run["signals"]
    return [
        Text(run["run"], style="bold"),
        Text(run["health"]["word"], style=STYLES[run["health"]["level"]]),
        Text(str(run["step"])),
        Text("-" if epoch is None else str(epoch)),
        _value(signals.get("loss")),
        _value(signals.get("lr")),
        Text("-" if last is None else f"{duration(now - last)} ago"),
    ]


def _value(value: float | str | None) -> Text:
    if isinstance(value, str):  # a NaN or an infinity
        return Text(value, style=STYLES["bad"])
    return Text("-" if value is None else f"{value:.4g}")


def _words(run: Mapping[str, Any], now: float) -> Iterator[Text]:
    """What ended it or holds it up, what fires, what was done, what waits; nothing for a run that was left alone."""
    if "error" in run:
        yield Text(run["error"], style="red")
    if run["goodbye"] is not None and run["goodbye"]["error"]:
        yield Text(run["goodbye"]["error"], style="red")
    if run["paused_since"] is not None:
        yield Text(f"paused for {duration(now - run['paused_since'])}", style="yellow")
    if run["firing"]:
        yield Text(f"firing: {', '.join(run['firing'])}", style="red")
    if run["pending"]:
        yield Text(f"pending: {', '.join(run['pending'])}", style="yellow")
    if acted := run["decisions"].get("act", 0):
        yield _interventions(acted, run["actions"])
    for request in run["waiting"]:
        yield Text(f"{request} waits for approval", style="bold yellow")
    if (asked := run["decisions"].get("await_approval", 0)) > len(run["waiting"]):
        yield Text(f"a person was asked {asked} {plural(asked, 'time')}", style="dim")
    if observed := run["decisions"].get("observe", 0):
        yield Text(f"rules that only observe would have acted {observed} {plural(observed, 'time')}", style="yellow")
    if (decision := run["last_decision"]) is not None:
        yield Text(f"last decision, step {decision['step']}: {decision['text']}")


def _interventions(acted: int, actions: Mapping[str, int]) -> Text:
    text = Text(f"{acted} {plural(acted, 'intervention')}: ")
    told = {status: count for status, count in actions.items() if count and status != "withdrawn"}
    counts = [f"{count} {plural(count, 'action')} {status}" for status, count in told.items()]
    vain = any(status != "applied" for status in told)
    return text.append(", ".join(counts) or "no answer yet", style="red" if vain else "")
