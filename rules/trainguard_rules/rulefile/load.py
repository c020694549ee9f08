"""Rule files to a `RuleBook`. Every problem of every file is found before anything is refused."""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from trainguard_rules.actions import ACTIONS
from trainguard_rules.expr import Node, Scope, parse
from trainguard_rules.rulebook import PlannedAction, Rule, RuleBook
from trainguard_rules.rulefile.problems import Problem, RuleFileError, did_you_mean
from trainguard_rules.rulefile.schema import CheckpointsModel, FileModel, GroupModel, RuleModel
from trainguard_rules.rulefile.source import Document, read_document
from trainguard_rules.rulefile.source import Path as DocumentPath
from trainguard_rules.template import check_template
from trainguard_wire.signals import SIGNALS


def shipped_packs() -> dict[str, str]:
    """The texts of the packs that come with trainguard, by bare name."""
    packs = resources.files("trainguard_rules") / "packs"
    found = (entry for entry in packs.iterdir() if entry.name.endswith(".yaml"))
    return {entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8") for entry in found}


def load_rules(sources: Iterable[str | Path]) -> RuleBook:
    """The rules of shipped packs (by bare name, ``stability``) and files (by path), together.

    Raises `RuleFileError` with every problem of all of them.
    """
    texts, problems = {}, []
    for source in map(str, sources):
        try:
            texts[source] = _read(source)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(source, 1, 1, f"can't be read: {getattr(error, 'strerror', None) or error}"))
        except LookupError as error:
            problems.append(Problem(source, 1, 1, str(error.args[0])))
    return _load(texts, problems)


def load_text(text: str, file: str = "<text>") -> RuleBook:
    """The rules of one text. Raises `RuleFileError`."""
    return _load({file: text}, [])


def _read(source: str) -> str:
    packs = shipped_packs()
    if source in packs:
        return packs[source]
    path = Path(source)
    if not path.suffix and not path.exists():
        hint = did_you_mean(source, packs)
        raise LookupError(
            f"no such file, and no shipped pack of this name (there are {', '.join(sorted(packs))}){hint}"
        )
    return path.read_text(encoding="utf-8")


def _load(texts: Mapping[str, str], problems: list[Problem]) -> RuleBook:
    files = [_File(read_document(text, name)) for name, text in texts.items()]
    names: dict[str, str] = {}
    for file in files:
        file.check(names)
        problems += file.document.problems
    if problems:
        raise RuleFileError(problems)
    digest = hashlib.sha256()
    for text in texts.values():
        digest.update(f"{len(text)}:{text}".encode())
    return RuleBook(
        rules=tuple(rule for file in files for rule in file.rules()),
        sources=tuple(texts),
        sha256=digest.hexdigest(),
        good_after=max((file.model.checkpoints.good_after.amount for file in files), default=50),
    )


class _File:
    """One file on its way from a document to rules."""

    model: FileModel

    def __init__(self, document: Document) -> None:
        self.document = document
        self.expressions: dict[DocumentPath, Node] = {}
        self.actions: dict[DocumentPath, PlannedAction] = {}

    def check(self, names: dict[str, str]) -> None:
        """Find every problem. ``names`` are the rules already taken, by the file they stand in."""
        if self.document.problems and self.document.data is None:
            return
        self._check_form()
        scope = self._scope()
        for path, rule in self._raw_rules():
            self._check_name(path, rule, names)
            self._check_expressions(path, rule, scope)
            self._check_annotations(path, rule, scope)
            self._check_steps((*path, "expires"), rule.get("expires"))
            actions = rule.get("actions")
            for i, action in enumerate(actions if isinstance(actions, list) else ()):
                self._check_action((*path, "actions", i), action)

    def rules(self) -> list[Rule]:
        """The rules, once nothing is wrong."""
        return [
            self._rule(("groups", g, "rules", r), group.name, rule)
            for g, group in enumerate(self.model.groups)
            for r, rule in enumerate(group.rules)
        ]

    def _check_form(self) -> None:
        try:
            self.model = FileModel.model_validate(self.document.data)
        except ValidationError as error:
            for detail in error.errors():
                path = tuple(part for part in detail["loc"] if part != "[key]")
                at_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
                self.document.problem(path, _form_message(path, detail), at_key=at_key)
        checkpoints = _child(self.document.data, "checkpoints")
        self._check_steps(("checkpoints", "good_after"), _child(checkpoints, "good_after"))

    def _scope(self) -> Scope:
        params = {
            name: value
            for name, value in (_child(self.document.data, "params") or {}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        own = [name for name in _child(self.document.data, "signals") or [] if isinstance(name, str)]
        for name in params:
            if name in SIGNALS or name in own:
                self.document.problem(("params", name), f"param {name!r} has the name of a signal", at_key=True)
        return Scope(signals=[*SIGNALS, *own], params=params)

    def _raw_rules(self) -> Iterable[tuple[DocumentPath, dict[str, Any]]]:
        groups = _child(self.document.data, "groups")
        for g, group in enumerate(groups if isinstance(groups, list) else ()):
            rules = _child(group, "rules")
            for r, rule in enumerate(rules if isinstance(rules, list) else ()):
                if isinstance(rule, dict):
                    yield ("groups", g, "rules", r), rule

    def _check_name(self, path: DocumentPath, rule: dict[str, Any], names: dict[str, str]) -> None:
        name = rule.get("guard")
        if not isinstance(name, str):
            return
        if name in names:
            self.document.problem((*path, "guard"), f"there is already a guard of this name in {names[name]}")
        names[name] = self.document.file

    def _check_expressions(self, path: DocumentPath, rule: dict[str, Any], scope: Scope) -> None:
        for key in ("expr", "unless"):
            text = rule.get(key)
            if not isinstance(text, str):
                continue
            node, problems = parse(text, scope)
            at = (*path, key)
            for problem in problems:
                # A block scalar begins on the line after its '|', at a depth that YAML does not tell.
                block = at in self.document.block_scalars
                offset = (problem.line + 1, 1) if block else (problem.line, problem.column)
                self.document.problem(at, f"{key}: {problem.message}", offset=offset)
            if node is not None:
                self.expressions[at] = node

    def _check_annotations(self, path: DocumentPath, rule: dict[str, Any], scope: Scope) -> None:
        annotations = rule.get("annotations")
        for key, text in annotations.items() if isinstance(annotations, dict) else ():
            if isinstance(text, str) and (message := check_template(text, scope.signals)):
                self.document.problem((*path, "annotations", key), message)

    def _check_steps(self, path: DocumentPath, value: Any) -> None:
        if isinstance(value, str) and not value.strip().endswith(("step", "steps")):
            self.document.problem(path, f"{path[-1]} is counted in steps: write e.g. '50 steps', not {value!r}")

    def _check_action(self, path: DocumentPath, raw: Any) -> None:
        if not isinstance(raw, dict) or len(raw) != 1:
            self.document.problem(path, "an action is one key with its parameters, e.g. 'scale_lr: {factor: 0.5}'")
            return
        [(kind, params)] = raw.items()
        if kind not in ACTIONS:
            hint = did_you_mean(kind, ACTIONS) or f" (there are {', '.join(ACTIONS)})"
            self.document.problem((*path, kind), f"unknown action {kind!r}{hint}", at_key=True)
            return
        try:
            self.actions[path] = PlannedAction(kind, ACTIONS[kind].model_validate({} if params is None else params))
        except ValidationError as error:
            for detail in error.errors():
                where = (*path, kind, *detail["loc"])
                message = _message(detail, ACTIONS[kind])
                self.document.problem(where, f"{kind}: {message}", at_key=detail["type"] == "extra_forbidden")

    def _rule(self, path: DocumentPath, group: str, model: RuleModel) -> Rule:
        return Rule(
            group=group,
            name=model.guard,
            source=" ".join(model.expr.split()),
            expr=self.expressions[*path, "expr"],
            for_=model.for_,
            actions=tuple(self.actions[*path, "actions", i] for i in range(len(model.actions))),
            cooldown=model.cooldown,
            limit=model.limit,
            unless=self.expressions.get((*path, "unless")),
            unless_source=" ".join((model.unless or "").split()),
            mode=model.mode or self.model.mode,
            expires=model.expires.amount,
            labels=model.labels,
            annotations=model.annotations,
        )


def _child(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _form_message(path: DocumentPath, detail: Any) -> str:
    if not path:
        return "a rule file is a mapping with the key 'groups'"
    return _message(detail, _model_at(path))


def _model_at(path: DocumentPath) -> type[BaseModel]:
    if path[0] == "checkpoints":
        return CheckpointsModel
    if len(path) <= 2:
        return FileModel
    return GroupModel if len(path) <= 4 else RuleModel


def _message(detail: Any, model: type[BaseModel]) -> str:
    last = detail["loc"][-1] if detail["loc"] else ""
    key = f"entry {last + 1}" if isinstance(last, int) else str(last)
    match detail["type"]:
        case "extra_forbidden":
            known = [field.alias or name for name, field in model.model_fields.items()]
            hint = did_you_mean(key, known) or f" (there are {', '.join(known)})"
            return f"unknown key {key!r}{hint}"
        case "missing":
            return f"missing key {key!r}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "string_pattern_mismatch":
            return f"{detail['input']!r} is not a name: letters, digits and '_', not beginning with a digit"
        case "model_type" | "dict_type":
            wanted = "be a mapping"
        case _:
            wanted = detail["msg"].removeprefix("Input ").removeprefix("should ")
    met = repr(detail["input"])
    return f"{key!r} should {wanted}, not {met if len(met) <= 60 else met[:57] + '...'}"
