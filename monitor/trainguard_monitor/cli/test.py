"""``trainguard test``: unit tests of rules."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard_monitor.cli.faults import Fault
from trainguard_monitor.numbers import plural

if TYPE_CHECKING:
    from trainguard_rules import RuleBook
    from trainguard_rules.ruletest import Suite

EPILOG = """\b
Exit codes:
  0  every test passed
  1  a test failed: what was expected, what came instead and why is on standard output
  2  a test file, or a rule file it names, is no good; no test was run
"""


@click.command(epilog=EPILOG)
@click.argument(
    "files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.pass_context
def test(context: click.Context, files: Sequence[Path]) -> None:
    """Run unit tests of rules.

    Does the right rule fire, at the right step, and do the right thing?

    \b
        trainguard test my_rules.test.yaml

    A test gives the values that a training would report, step by step, in promtool's notation
    ("1x20" is 1 and 20 more of it), and says what is expected of the rules. A simulated trainer
    obeys them as a real one would. No training, no GPU, a moment's work:

    \b
        rule_files: [my_rules.yaml]         # relative to this file; or shipped packs by name
        tests:
          - name: a spike halves the learning rate
            input_series: {loss: "1x20 30x5 1x10"}
            expect:
              - step: 22
                states: {LossSpike: firing}
                actions: {LossSpike: [{scale_lr: {factor: 0.5}}]}
    """
    suites = _load(files)
    failed = sum(_run(suite) for suite in suites)
    tests = sum(len(suite.scenarios) for suite in suites)
    click.echo(f"{tests} {plural(tests, 'test')}, {failed} failed")
    context.exit(1 if failed else 0)


def _load(files: Sequence[Path]) -> "list[Suite]":
    from trainguard_rules import RuleFileError
    from trainguard_rules.ruletest import load_suite

    suites, problems = [], []
    for file in files:
        try:
            suites.append(load_suite(_read(file), str(file), partial(_rules, file)))
        except RuleFileError as error:
            problems.append(str(error))
    if problems:
        raise Fault("\n".join(problems))
    return suites


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{file}: can't be read: {error}") from None


def _rules(file: Path, names: Sequence[str]) -> "RuleBook":
    """The rules a test file names: shipped packs, and files relative to it."""
    from trainguard_rules import load_rules, shipped_packs

    packs = shipped_packs()
    beside = {name: file.parent / name for name in names if name not in packs}
    # A bare word that is no file is a pack misspelt: the loader knows what to say of it.
    return load_rules([beside[n] if n in beside and (beside[n].suffix or beside[n].exists()) else n for n in names])


def _run(suite: "Suite") -> int:
    """Run the tests of one file, tell what failed; how many did."""
    from trainguard_rules.ruletest import run_scenario

    failed = 0
    for scenario in suite.scenarios:
        failures = run_scenario(scenario, suite.book)
        failed += bool(failures)
        for failure in failures:
            click.echo("\n".join(failure.lines(suite.file)))
    return failed
