"""One rule file on its way from a document to rules: what is checked beyond its form, and how rules are made."""

import keyword
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from trainguard_rules.actions import ACTIONS, REVERTIBLE, Notify
from trainguard_rules.expr import Node, Scope, parse
from trainguard_rules.expr.functions import FUNCTIONS
from trainguard_rules.expr.nodes import Alert, compared_bare, signals_of
from trainguard_rules.expr.parse import CLOCKS
from trainguard_rules.rulebook import MANUAL, Clause, Expectation, PlannedAction, Rule, Verify
from trainguard_rules.rulefile.messages import form_message
from trainguard_rules.rulefile.planning import read_action, rivals
from trainguard_rules.rulefile.schema import ExpectModel, FileModel, GuardModel
from trainguard_rules.rulefile.source import Document, Path
from trainguard_rules.watching.alerting import braces
from trainguard_rules.watching.template import check_template
from trainguard_wire.signals import SIGNALS

_EXPRESSIONS: tuple[tuple[str, ...], ...] = (("expr",), ("unless",), ("resolve_expr",), ("verify", "expr"))
_RESERVED = dict.fromkeys(FUNCTIONS, "a function") | dict.fromkeys(CLOCKS, "a clock")
_OF_EXPRESSIONS = ("for", "keep_firing_for", "resolve_expr", "baseline")


class RuleFile:
    """Call `check`; if the document has no problems then, take the `rules` and `expectations`."""

    model: FileModel

    def __init__(self, document: Document) -> None:
        self.document = document
        self._expressions: dict[Path, Node] = {}
        self._actions: dict[Path, PlannedAction] = {}

    def check(self, names: dict[str, str]) -> None:
        """Find every problem. ``names`` are the rules already taken, by the file they stand in."""
        if self.document.problems and self.document.data is None:
            return
        self._check_form()
        scope = self._scope()
        for path, rule in self._raw_rules():
            self._check_name(path, rule, names)
            self._check_condition(path, rule)
            for keys in _EXPRESSIONS:
                self._check_expression((*path, *keys), _at(rule, keys), scope)
            self._check_annotations(path, rule, scope)
            self._check_steps((*path, "expires"), rule.get("expires"))
            for key in ("actions", "escalate"):
                for i, action in enumerate(_list(rule.get(key))):
                    self._check_action((*path, key, i), action, scope)
                self._check_owners((*path, key))
            self._check_consequences(path, rule)

    @property
    def rules(self) -> list[Rule]:
        return [self._rule(p, g, m) for p, g, m in self._models() if isinstance(m, GuardModel)]

    @property
    def expectations(self) -> list[Expectation]:
        return [self._expectation(p, g, m) for p, g, m in self._models() if isinstance(m, ExpectModel)]

    @property
    def good_after(self) -> int | None:
        """In steps; None where the file does not say."""
        checkpoints = self.model.checkpoints
        return checkpoints.good_after.amount if "good_after" in checkpoints.model_fields_set else None

    def _models(self) -> Iterator[tuple[Path, str, GuardModel | ExpectModel]]:
        for g, group in enumerate(self.model.groups):
            for r, rule in enumerate(group.rules):
                yield ("groups", g, "rules", r), group.name, rule

    # -- checks --------------------------------------------------------------------------------------------

    def _check_form(self) -> None:
        try:
            self.model = FileModel.model_validate(self.document.data)
        except ValidationError as error:
            for detail in error.errors():
                path, kind = _untagged(tuple(part for part in detail["loc"] if part != "[key]"))
                at_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
                self.document.problem(path, form_message(path, detail, kind), at_key=at_key)
        self._check_steps(("checkpoints", "good_after"), _at(self.document.data, ("checkpoints", "good_after")))

    def _scope(self) -> Scope:
        """What the expressions of the file may name. Its form may be wrong: what has none is passed over."""
        params = {
            name: float(value)
            for name, value in _dict(_at(self.document.data, ("params",))).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        own = {i: n for i, n in enumerate(_list(_at(self.document.data, ("signals",)))) if isinstance(n, str)}
        for name in params:
            if name in SIGNALS or name in own.values():
                self.document.problem(("params", name), f"param {name!r} has the name of a signal", at_key=True)
            elif taken := _taken(name):
                self.document.problem(("params", name), f"param {name!r} has the name of {taken}", at_key=True)
        for i, name in own.items():
            if taken := _taken(name):
                self.document.problem(("signals", i), f"signal {name!r} has the name of {taken}")
        return Scope(signals=[*SIGNALS, *own.values()], params=params)

    def _raw_rules(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for g, group in enumerate(_list(_at(self.document.data, ("groups",)))):
            for r, rule in enumerate(_list(_at(group, ("rules",)))):
                if isinstance(rule, dict):
                    yield ("groups", g, "rules", r), rule

    def _check_name(self, path: Path, rule: Mapping[str, Any], names: dict[str, str]) -> None:
        key = "guard" if "guard" in rule else "expect"
        name = rule.get(key)
        if not isinstance(name, str):
            return
        if name == MANUAL:
            self.document.problem((*path, key), f"the name {MANUAL!r} is kept for what a person orders by hand")
        if name in names:
            self.document.problem((*path, key), f"there is already a rule of this name in {names[name]}")
        names[name] = self.document.file

    def _check_condition(self, path: Path, rule: Mapping[str, Any]) -> None:
        """A guard waits for an expression or for an alert, and not all keys go with an alert."""
        if "expect" in rule and "guard" not in rule:
            return
        if rule.get("alert") is None:
            if rule.get("expr") is None:
                self.document.problem(path, "missing key 'expr', or 'alert'")
            return
        if "expr" in rule:
            self.document.problem((*path, "alert"), "give a rule either 'expr' or 'alert', not both", at_key=True)
        for key in _OF_EXPRESSIONS:
            if key in rule:
                message = f"{key!r} does not go with 'alert': Alertmanager says when an alert fires and when it is over"
                self.document.problem((*path, key), message, at_key=True)

    def _check_expression(self, path: Path, text: Any, scope: Scope, *, wants_truth: bool = True) -> None:
        if not isinstance(text, str):
            return
        node, problems = parse(text, scope, wants_truth=wants_truth)
        for line, column, message in problems:
            self.document.problem(path, f"{'.'.join(map(str, path[4:]))}: {message}", offset=(line, column))
        if node is not None:
            self._expressions[path] = node

    def _check_annotations(self, path: Path, rule: Mapping[str, Any], scope: Scope) -> None:
        if "expect" in rule:  # nobody fills in those of an expectation
            return
        for key, text in _dict(rule.get("annotations")).items():
            if isinstance(text, str) and (message := check_template(text, scope.signals)):
                self.document.problem((*path, "annotations", key), message)

    def _check_steps(self, path: Path, value: Any) -> None:
        if isinstance(value, str) and not value.strip().endswith(("step", "steps")):
            self.document.problem(path, f"{path[-1]} is counted in steps: write e.g. '50 steps', not {value!r}")

    def _check_action(self, path: Path, raw: Any, scope: Scope) -> None:
        result = read_action(raw)
        if isinstance(result, PlannedAction):
            self._actions[path] = result
            formula = (*path, result.kind, result.model.computed)
            self._check_expression(formula, result.model.formula, scope, wants_truth=False)
            if isinstance(result.model, Notify) and (message := check_template(result.model.message, scope.signals)):
                self.document.problem((*path, result.kind, "message"), message)
            return
        for problem in result:
            self.document.problem((*path, *problem.path), problem.message, at_key=problem.at_key)

    def _check_owners(self, path: Path) -> None:
        """A number that one action gives a value has no other owner in the same intervention."""
        planned = [(at, action) for at, action in self._actions.items() if at[:-1] == path]
        for i, message in rivals([action for _, action in planned]):
            at, action = planned[i]
            self.document.problem((*at, action.kind), message, at_key=True)

    def _check_consequences(self, path: Path, rule: Mapping[str, Any]) -> None:
        """What a rule promises to do next must be something it can do."""
        otherwise = _at(rule, ("verify", "otherwise")) or "escalate"
        kinds = [next(iter(a), "") for a in _list(rule.get("actions")) if isinstance(a, dict)]
        kinds = [kind for kind in kinds if kind not in ACTIONS or not ACTIONS[kind].by_monitor]
        verify = (*path, "verify")
        if rule.get("escalate") and not rule.get("verify") and not rule.get("limit"):
            self.document.problem(
                (*path, "escalate"), "never reached: give the rule a 'verify' or a 'limit'", at_key=True
            )
        if not rule.get("verify"):
            return
        if not kinds:
            self.document.problem(
                verify, "there is nothing to verify: the rule does nothing to the training", at_key=True
            )
        elif otherwise == "escalate" and not rule.get("escalate"):
            self.document.problem(verify, "otherwise: escalate, but the rule has no 'escalate'", at_key=True)
        elif otherwise == "revert" and not set(kinds) & set(REVERTIBLE):
            message = f"otherwise: revert, but none of its actions can be reverted (only {', '.join(REVERTIBLE)})"
            self.document.problem(verify, message, at_key=True)

    # -- rules ---------------------------------------------------------------------------------------------

    def _rule(self, path: Path, group: str, model: GuardModel) -> Rule:
        when = self._condition(path, model)
        verify = None
        if model.verify is not None:
            clause = cast("Clause", self._clause(path, ("verify", "expr"), model.verify.expr))
            verify = Verify(clause, model.verify.within, model.verify.otherwise)
        windows_only = bool(signals_of(when.node)) and not compared_bare(when.node)
        return Rule(
            group=group,
            name=model.guard,
            file=self.document.file,
            when=when,
            for_=model.for_,
            keep_firing_for=model.keep_firing_for,
            resolve=self._clause(path, ("resolve_expr",), model.resolve_expr),
            actions=self._planned((*path, "actions"), len(model.actions)),
            cooldown=model.cooldown,
            limit=model.limit,
            settle=self.model.settle,
            unless=self._clause(path, ("unless",), model.unless),
            verify=verify,
            escalate=self._planned((*path, "escalate"), len(model.escalate)),
            mode=model.mode or self.model.mode,
            rolling=windows_only if model.baseline is None else model.baseline == "rolling",
            expires=model.expires.amount,
            labels=model.labels,
            annotations=model.annotations,
        )

    def _condition(self, path: Path, model: GuardModel) -> Clause:
        if model.alert is not None:
            return Clause(Alert(tuple(model.alert.items())), f"alert {braces(model.alert)}")
        return cast("Clause", self._clause(path, ("expr",), model.expr))

    def _expectation(self, path: Path, group: str, model: ExpectModel) -> Expectation:
        when = self._clause(path, ("expr",), model.expr)
        assert when is not None
        return Expectation(
            group=group,
            name=model.expect,
            file=self.document.file,
            when=when,
            within=model.within,
            labels=model.labels,
            annotations=model.annotations,
        )

    def _clause(self, path: Path, keys: tuple[str, ...], text: str | None) -> Clause | None:
        return None if text is None else Clause(self._expressions[*path, *keys], " ".join(text.split()))

    def _planned(self, path: Path, number: int) -> tuple[PlannedAction, ...]:
        return tuple(self._with_formula((*path, i), self._actions[*path, i]) for i in range(number))

    def _with_formula(self, path: Path, action: PlannedAction) -> PlannedAction:
        formula = self._clause(path, (action.kind, action.model.computed), action.model.formula)
        return action._replace(formula=formula)


def _at(data: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []


def _dict(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _taken(name: str) -> str | None:
    """What else has the name, so that no expression could mean this."""
    return "a word of the language" if keyword.iskeyword(name) else _RESERVED.get(name)


def _untagged(path: Path) -> tuple[Path, str]:
    """A path without the tag that tells which kind of rule it leads into, and that kind."""
    if len(path) > 4 and path[0] == "groups" and path[2] == "rules" and path[4] in ("guard", "expect"):
        return (*path[:4], *path[5:]), str(path[4])
    return path, "guard"
