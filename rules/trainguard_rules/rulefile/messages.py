"""What pydantic found wrong, in our words."""

from typing import Any

from pydantic import BaseModel

from trainguard_rules.rulefile.schema import (
    CheckpointsModel,
    ExpectModel,
    FileModel,
    GroupModel,
    GuardModel,
    VerifyModel,
)
from trainguard_rules.rulefile.source import Path
from trainguard_rules.spelling import did_you_mean

_RULES: dict[str, type[BaseModel]] = {"guard": GuardModel, "expect": ExpectModel}


def form_message(path: Path, detail: Any, kind: str) -> str:
    """The message for a problem of form at ``path``; ``kind`` tells which kind of rule it is in, if in any."""
    if not path:
        return "a rule file is a mapping with the key 'groups'"
    return message_of(detail, _model_at(path, kind), path[-1])


def _model_at(path: Path, kind: str) -> type[BaseModel]:
    if path[0] == "checkpoints":
        return CheckpointsModel
    if len(path) <= 2:
        return FileModel
    if len(path) <= 4:
        return GroupModel
    if path[4] == "verify" and len(path) > 5:
        return VerifyModel
    return _RULES[kind]


def message_of(detail: Any, model: type[BaseModel], last: str | int | None = None) -> str:
    """One sentence: the key, the value met, the value wanted."""
    if last is None:
        last = detail["loc"][-1] if detail["loc"] else ""
    key = f"entry {last + 1}" if isinstance(last, int) else str(last)
    match detail["type"]:
        case "extra_forbidden" if key == "<<":
            return "merge keys ('<<') are no part of YAML 1.2: write the keys out, or use an alias for a whole value"
        case "extra_forbidden":
            known = [field.alias or name for name, field in model.model_fields.items()]
            hint = did_you_mean(key, known) or f" (there are {', '.join(known) or 'none'})"
            return f"unknown key {key!r}{hint}"
        case "missing":
            return f"missing key {key!r}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "string_pattern_mismatch":
            return f"{detail['input']!r} is not a name: letters, digits and '_', not beginning with a digit"
        case "too_short":
            return f"{key!r} is empty: there is nothing to guard"
        case "model_type" | "dict_type":
            wanted = "be a mapping"
        case _:
            wanted = detail["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("should ")
    met = repr(detail["input"])
    return f"{f'{key!r} ' if key else ''}should {wanted}, not {met if len(met) <= 60 else met[:57] + '...'}"
