"""``trainguard demo``: the product in a minute."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import Fault
from trainguard_monitor.cli.options import listen_option, rules_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from trainguard_monitor.demo.trainings import Result
    from trainguard_monitor.demo.watching import Watching
    from trainguard_wire import RunDirectory

POINTS = 0.02
EPILOG = """\b
Exit codes:
  0  the guarded run ended within 2 points of the run without faults
  1  it did not, or a training failed
  2  something that the demo needs is not installed, or a rule file or --listen is no good
"""


@click.command(epilog=EPILOG)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("trainguard-demo"),
    show_default=True,
    help="Where the run directory, the results and the picture go.",
)
@rules_option
@click.option("--seed", default=0, show_default=True, help="Of the weights, the batches and the faults.")
@click.option(
    "--epochs", default=40, show_default=True, type=click.IntRange(min=20), help="How long each training lasts."
)
@click.option(
    "--serve/--no-serve",
    default=False,
    show_default=True,
    help="Whether the monitor's status page and metrics stay up afterwards, until Ctrl-C.",
)
@listen_option("127.0.0.1:9464")
@click.option(
    "--pace",
    default=0.03,
    show_default=True,
    type=click.FloatRange(min=0.0),
    help="With --serve: seconds to wait after each guarded step, so that you can look on.",
)
@click.pass_context
def demo(
    context: click.Context,
    out: Path,
    rules: tuple[str, ...],
    seed: int,
    epochs: int,
    serve: bool,
    listen: str,
    pace: float,
) -> None:
    """Break a training twice, and watch it being saved.

    A classifier of handwritten digits is trained with a large learning rate: once undisturbed, then
    twice with the same faults (a burst of bad batches, a corrupted parameter tensor), alone and
    with a monitor beside it. You see the rules fire, what was decided and done, and what it was worth.
    With --serve, the guarded one takes its time, you can look on in a browser, and act on the run yourself.

    \b
        trainguard demo
        trainguard demo --serve
    """
    _require("torch", "sklearn", "matplotlib")
    from rich.console import Console

    from trainguard_monitor.demo.trainings import TrainingError
    from trainguard_monitor.demo.watching import Watching
    from trainguard_monitor.sidecar import SidecarError

    console, out = Console(), _fresh(out)
    try:
        watching = Watching.begin(out / "runs", rules, listen if serve else None)
    except SidecarError as error:
        raise Fault(str(error)) from None
    try:
        good = _Demo(console, out, rules, seed, epochs, watching, pace if serve else 0.0).show()
        if serve:
            watching.stay()
    except TrainingError as error:
        raise click.ClickException(str(error)) from None
    finally:
        watching.end()
    context.exit(0 if good else 1)


def _require(*modules: str) -> None:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise Fault(f"the demo needs {', '.join(missing)}: pip install 'trainguard[examples]'")


def _fresh(out: Path) -> Path:
    """A directory for this demo: ``out``, or the first of ``out-2``, ``out-3``… that is not there yet."""
    number, path = 1, out
    while path.exists():
        number += 1
        path = out.with_name(f"{out.name}-{number}")
    path.mkdir(parents=True)
    return path


class _Demo:
    """Three trainings and what there is to say about them."""

    def __init__(
        self,
        console: "Console",
        out: Path,
        rules: tuple[str, ...],
        seed: int,
        epochs: int,
        watching: "Watching",
        pace: float,
    ) -> None:
        self.watching = watching
        self.console = console
        self.out = out
        self.rules = rules
        self.epochs = epochs
        self.pace = pace
        self.arguments = ["--seed", str(seed), "--epochs", str(epochs)]

    def show(self) -> bool:
        """Run it all; whether the guarded run was saved."""
        from trainguard_wire import RunDirectory

        self._invite("Watch it at")
        reference, alone, guarded = self._train()
        self.watching.read_to_the_end("guarded")
        run = RunDirectory(self.out / "runs" / "guarded")
        self._tell(run, guarded)
        self._compare(reference, alone, guarded)
        self._draw(run, reference, alone, guarded)
        self._invite("Until Ctrl-C, it is all at")
        return abs(reference.accuracy - guarded.accuracy) <= POINTS

    def _invite(self, words: str) -> None:
        """Where to look, when served."""
        if (token := self.watching.token_file) is not None:
            url = self.watching.url
            self.console.print(f"{words} {url}/ (metrics: {url}/metrics; token, to act: {token})", soft_wrap=True)

    def _train(self) -> "tuple[Result, Result, Result]":
        """The first two side by side; then, or with them where it is watched, the guarded one."""
        from concurrent.futures import ThreadPoolExecutor, wait

        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
        with (
            Progress(*columns, TextColumn("{task.fields[reached]}"), TimeElapsedColumn(), console=self.console) as bars,
            ThreadPoolExecutor(3 if self.pace else 2) as side_by_side,
        ):
            arguments = ["--faults", "--run-dir", str(self.out / "runs" / "guarded"), "--pace", str(self.pace)]
            first = side_by_side.submit(self._follow, bars, "no fault", [])
            second = side_by_side.submit(self._follow, bars, "faults, alone", ["--faults"])
            if not self.pace:
                wait([first, second])
            third = side_by_side.submit(self._follow, bars, "faults, guarded", arguments)
            return first.result(), second.result(), third.result()

    def _follow(self, bars: "Progress", name: str, arguments: list[str]) -> "Result":
        from trainguard_monitor.demo.trainings import Training

        bar = bars.add_task(name, total=self.epochs, reached="")
        result = self.out / f"{name.replace(', ', '-').replace(' ', '-')}.json"
        training: Training = Training(name, result, [*self.arguments, *arguments])
        try:
            return training.follow(
                lambda epoch, accuracy: bars.update(bar, completed=epoch, reached=f"{accuracy:6.1%} right")
            )
        finally:
            training.end()

    def _tell(self, run: "RunDirectory", guarded: "Result") -> None:
        from rich.table import Table

        from trainguard_monitor.recorded.story import Entry, tell

        faults = [Entry(fault.step, "detected", "fault", fault.what) for fault in guarded.faults]
        story = sorted([*faults, *(e for e in tell(run) if e.chapter != "trusted")], key=lambda entry: entry.step)
        table = Table(title="What happened in the guarded run", title_justify="left", box=None, pad_edge=False)
        for column, style in (("step", "cyan"), ("epoch", "cyan"), ("", "bold"), ("", "")):
            table.add_column(column, style=style, justify="right" if column else "left")
        for entry in story:
            what, colour = _WHAT[entry.chapter] if entry.rule != "fault" else ("fault", "red")
            epoch = (entry.step - 1) // guarded.steps_per_epoch + 1
            table.add_row(str(entry.step), str(epoch), f"[{colour}]{what}[/]", entry.text)
        self.console.print()
        self.console.print(table)

    def _compare(self, reference: "Result", alone: "Result", guarded: "Result") -> None:
        from rich.table import Table

        table = Table(title="What it was worth", title_justify="left", box=None, pad_edge=False)
        for column in ("training", "right on test images", "final loss", ""):
            table.add_column(column, justify="right" if "right" in column or "loss" in column else "left")
        for name, result in (("no fault", reference), ("faults, alone", alone), ("faults, guarded", guarded)):
            final = sorted(result.losses[-9:])[4]
            lost = reference.accuracy - result.accuracy
            verdict = "" if result is reference else "[green]saved" if lost <= POINTS else "[red]broken"
            table.add_row(name, f"{result.accuracy:.1%}", f"{final:.3f}", verdict)
        self.console.print()
        self.console.print(table)

    def _draw(self, run: "RunDirectory", reference: "Result", alone: "Result", guarded: "Result") -> None:
        from trainguard_monitor.demo.picture import draw
        from trainguard_monitor.recorded.story import read_journal
        from trainguard_wire import Outcome

        picture = self.out / "loss.png"
        outcomes = [record for record in read_journal(run) if isinstance(record, Outcome)]
        rates = _learning_rates(run)
        draw(picture, reference=reference, alone=alone, guarded=guarded, outcomes=outcomes, learning_rates=rates)
        self.console.print(f"\nPicture: {picture}   Run directory: {run.path}   Rules: {', '.join(self.rules)}")


_WHAT = {
    "detected": ("detected", "yellow"),
    "decided": ("decided", "magenta"),
    "done": ("done", "green"),
    "verified": ("verified", "blue"),
    "reached": ("reached", "blue"),
    "over": ("over", "green"),
}


def _learning_rates(run: "RunDirectory") -> list[tuple[int, float]]:
    """The learning rate in effect at every step, as the trainer saw it."""
    from trainguard_wire import Sample

    rates, reader = [], run.read_telemetry()
    while records := reader.read():
        rates += [(r.step, r.values["lr"]) for r in records if isinstance(r, Sample) and "lr" in r.values]
    reader.close()
    return rates
