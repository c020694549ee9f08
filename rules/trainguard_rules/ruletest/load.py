"""Test files to a `Suite`. Every problem of the file, and of the rule files it names, is found at once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from trainguard_rules.expr.nodes import signals_of
from trainguard_rules.rulebook import RuleBook
from trainguard_rules.rulefile.messages import message_of
from trainguard_rules.rulefile.places import Place
from trainguard_rules.rulefile.problems import Problem, RuleFileError
from trainguard_rules.rulefile.source import Document, Path, read_document
from trainguard_rules.ruletest.scenario import Alert, Check, Scenario, Subject, Suite
from trainguard_rules.ruletest.schema import AlertModel, ExpectModel, KnobModel, TestFileModel, TestModel
from trainguard_rules.ruletest.series import SeriesError
from trainguard_rules.spelling import did_you_mean
from trainguard_wire.signals import SIGNALS
from trainguard_wire.telemetry import KnobInfo

LoadRules = Callable[[Sequence[str]], RuleBook]

_SUBJECTS: tuple[tuple[str, Subject], ...] = (
    ("states", "state"),
    ("verdicts", "verdict"),
    ("actions", "actions"),
    ("outcomes", "outcomes"),
    ("reached", "reached"),
)


def load_suite(text: str, file: str, load: LoadRules) -> Suite:
    """The tests of one file. ``load`` is given its ``rule_files`` as they are written.

    Raises `RuleFileError`; so may ``load``, whose problems then stand beside those of the file.
    """
    return _TestFile(read_document(text, file)).suite(load)


class _TestFile:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def suite(self, load: LoadRules) -> Suite:
        model = self._form()
        book = self._rules(load)
        if model is not None and book is not None:
            for i, test in enumerate(model.tests):
                self._check_test(("tests", i), test, book)
        self.problems += self.document.problems
        if self.problems or model is None or book is None:
            raise RuleFileError(self.problems)
        scenarios = tuple(self._scenario(("tests", i), test) for i, test in enumerate(model.tests))
        return Suite(self.document.file, book, scenarios)

    def _form(self) -> TestFileModel | None:
        if self.document.data is None and self.document.problems:
            return None
        try:
            return TestFileModel.model_validate(self.document.data)
        except ValidationError as error:
            for detail in error.errors():
                self._form_problem(detail)
        return None

    def _form_problem(self, detail: Any) -> None:
        path = tuple(part for part in detail["loc"] if part != "[key]")
        if not path:
            self.document.problem((), "a test file is a mapping with the keys 'rule_files' and 'tests'")
            return
        cause = detail.get("ctx", {}).get("error")
        offset = (1, 1 + cause.offset) if isinstance(cause, SeriesError) else None
        message = message_of(detail, _model_at(path), path[-1])
        self._problem(path, message, at_key=detail["type"] == "extra_forbidden", offset=offset)

    def _rules(self, load: LoadRules) -> RuleBook | None:
        """The rules under test, as far as the file names any."""
        data = self.document.data
        files = data.get("rule_files") if isinstance(data, dict) else None
        if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
            return None
        try:
            return load(files)
        except RuleFileError as error:
            self.problems += error.problems
            return None

    def _check_test(self, path: Path, test: TestModel, book: RuleBook) -> None:
        watched = _signals_of(book)
        for name in test.input_series:
            if name not in SIGNALS and name not in watched:
                hint = did_you_mean(name, [*watched, *SIGNALS])
                self._problem((*path, "input_series", name), f"no rule looks at {name!r}{hint}", at_key=True)
        length = max(map(len, test.input_series.values()))
        for i, step in enumerate(test.checkpoints):
            if step > length:
                self._problem((*path, "checkpoints", i), _past_the_end(step, length))
        for i, alert in enumerate(test.alerts):
            if alert.step > length:
                self._problem((*path, "alerts", i, "step"), _past_the_end(alert.step, length))
        for i, expect in enumerate(test.expect):
            self._check_expect((*path, "expect", i), expect, length, book)

    def _check_expect(self, path: Path, expect: ExpectModel, length: int, book: RuleBook) -> None:
        if expect.step > length:
            self._problem((*path, "step"), _past_the_end(expect.step, length))
        if not any(True for _ in _expected(expect)):
            self._problem(path, f"nothing is expected: give {', '.join(key for key, _ in _SUBJECTS)} or interventions")
        guards = [rule.name for rule in book.rules]
        expectations = [expectation.name for expectation in book.expectations]
        for key, _, name, _ in _expected(expect):
            known, other = (expectations, guards) if key == "reached" else (guards, expectations)
            if name and name not in known:
                hint = _unknown(name, known, other, key)
                self._problem((*path, key, name), hint, at_key=True)

    def _scenario(self, path: Path, test: TestModel) -> Scenario:
        return Scenario(
            name=test.name,
            series=test.input_series,
            checks=tuple(check for i, e in enumerate(test.expect) for check in self._checks((*path, "expect", i), e)),
            interval=test.interval,
            steps_per_epoch=test.steps_per_epoch,
            checkpoints=frozenset(test.checkpoints),
            acks=test.acks,
            approvals=test.approvals,
            alerts=tuple(Alert(alert.step, alert.labels, alert.status == "firing") for alert in test.alerts),
            actions_offered=None if test.actions_offered is None else tuple(test.actions_offered),
            knobs={name: KnobInfo(value=k.value, min=k.min, max=k.max) for name, k in test.knobs.items()},
        )

    def _checks(self, path: Path, expect: ExpectModel) -> Iterator[Check]:
        for key, subject, name, wanted in _expected(expect):
            place = self.document.keys.get((*path, key, name) if name else (*path, key), Place(1, 1))
            yield Check(place.line, place.column, expect.step, subject, name, wanted)

    def _problem(
        self, path: Path, message: str, *, at_key: bool = False, offset: tuple[int, int] | None = None
    ) -> None:
        self.document.problem(path, f"{_test_of(self.document.data, path)}{message}", at_key=at_key, offset=offset)


def _expected(expect: ExpectModel) -> Iterator[tuple[str, Subject, str, Any]]:
    """Key, subject, rule (none for ``interventions``) and what is wanted."""
    for key, subject in _SUBJECTS:
        for name, wanted in getattr(expect, key).items():
            yield key, subject, name, wanted
    if expect.interventions is not None:
        yield "interventions", "interventions", "", expect.interventions


def _unknown(name: str, known: Collection[str], other: Collection[str], key: str) -> str:
    kind = "expectation" if key == "reached" else "guard"
    if name in other:
        return f"{name!r} is a guard: use states" if key == "reached" else f"{name!r} is an expectation: use reached"
    there_are = f" (there are {', '.join(known)})" if known else f" (the rule files have no {kind}s)"
    return f"unknown {kind} {name!r}{did_you_mean(name, known) or there_are}"


def _signals_of(book: RuleBook) -> set[str]:
    """Every signal any rule looks at."""
    clauses = [expectation.when for expectation in book.expectations]
    clauses += [clause for rule in book.rules for clause in rule.clauses]
    return {signal for clause in clauses for signal in signals_of(clause.node)}


def _past_the_end(step: int, length: int) -> str:
    return f"step {step} is past the end: the longest series has {length} steps"


def _model_at(path: Path) -> type[BaseModel]:
    if path[0] != "tests" or len(path) <= 2:
        return TestFileModel
    models: dict[str, type[BaseModel]] = {"knobs": KnobModel, "alerts": AlertModel, "expect": ExpectModel}
    return models.get(str(path[2]), TestModel) if len(path) > 4 else TestModel


def _test_of(data: Any, path: Path) -> str:
    """``test "name": `` where the path leads into a test."""
    if len(path) < 2 or path[0] != "tests" or not isinstance(path[1], int):
        return ""
    test = data["tests"][path[1]]
    name = test.get("name") if isinstance(test, dict) else None
    return f'test "{name}": ' if isinstance(name, str) and name else f"test {path[1] + 1}: "
