"""The form of rule files as JSON Schema (draft 2020-12), for editors.

Made from the models that files are checked with, so that it can't fall behind them. Durations and limits are
written as text, and actions stand under one key: that much the models do not say of themselves.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaValue

from trainguard_rules.actions import ACTIONS
from trainguard_rules.durations import Duration, Limit
from trainguard_rules.rulefile.schema import FileModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_STEPS = r"\d+\s*steps?"
_ANY = r"(?:\d+\s*(?:step|epoch)s?|(?=\d)(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?)"
_DEFS: dict[str, JsonSchemaValue] = {
    "Duration": {
        "title": "Duration",
        "description": "A stretch of training time: '5 steps', '2 epochs', or seconds as '30s', '5m', '1h30m'.",
        "type": "string",
        "pattern": rf"^\s*{_ANY}\s*$",
        "examples": ["5 steps", "2 epochs", "30s", "1h30m"],
    },
    "Steps": {
        "title": "Steps",
        "description": "A number of steps: '50 steps'.",
        "type": "string",
        "pattern": rf"^\s*{_STEPS}\s*$",
        "examples": ["1 step", "50 steps"],
    },
    "Limit": {
        "title": "Limit",
        "description": "How often at most: '4 per 1000 steps', '2 per 1h'; a bare number: in all of a trainer process.",
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": rf"^\s*0*[1-9]\d*(?:\s+per\s+{_ANY})?\s*$"},
        ],
        "examples": ["4 per 1000 steps", 3],
    },
}
_KEYS = {
    "FileModel": {
        "params": "Numbers with names, to be used in expressions.",
        "signals": "Signals of your own, as handed to guard.observe(name=...), to be used in expressions.",
        "mode": "For all rules: act; approve, where a person is asked first; observe, which says what it would do.",
        "settle": "So long after an action took effect, no rule acts.",
        "checkpoints": "When a checkpoint is trusted.",
        "groups": "The rules, in groups.",
    },
    "CheckpointsModel": {"good_after": "A checkpoint is good once the run was healthy for so many steps after it."},
    "GroupModel": {"name": "What the rules have in common.", "rules": "Guards and expectations."},
    "GuardModel": {
        "guard": "The name of the rule, as it appears in the journal and in metrics.",
        "expr": "The condition, e.g. 'loss > 2 * prev(loss)'. Either this or 'alert'.",
        "alert": "Labels that an alert from Alertmanager must have, all of them, to fire the rule.",
        "for": "How long the condition has to be true before the rule fires.",
        "keep_firing_for": "How long the condition has to be false before a firing rule lets go.",
        "resolve_expr": "A firing rule lets go only when this is true.",
        "baseline": "Whether the windows stand still during an incident (frozen) or learn on (rolling).",
        "actions": "What is done when the rule fires, in this order.",
        "cooldown": "How long after it acted the rule may not act again.",
        "limit": "How often the rule may act at most.",
        "unless": "While this is true the rule fires, but does not act.",
        "verify": "Whether the actions helped.",
        "escalate": "What is done when they did not, or when the limit is reached; once in an incident.",
        "mode": "For this rule: act, approve or observe.",
        "expires": "What the trainer has not begun within so many steps, and a second, is not done any more.",
        "labels": "Words to sort by. severity: critical means that a checkpoint taken while this fires is in doubt.",
        "annotations": "Texts for people, with {value}, {step}, {epoch}, {rule} and {signals}.",
    },
    "VerifyModel": {
        "expr": "What becomes true if the actions helped.",
        "within": "How long after they took effect.",
        "otherwise": "What follows if it does not: escalate, or revert what was changed.",
    },
    "ExpectModel": {
        "expect": "The name of the expectation, as it appears in the journal and in metrics.",
        "expr": "What a good run reaches.",
        "within": "How long after the first sample.",
        "labels": "Words to sort by.",
        "annotations": "Texts for people, with {value}, {step}, {epoch}, {rule} and {signals}.",
    },
}
_ONE_OF = ("expr", "alert")
_COUNTED_IN_STEPS = (("GuardModel", "expires"), ("CheckpointsModel", "good_after"))


def rule_file_schema() -> dict[str, Any]:
    """The schema, as plain data ready for JSON."""
    schema = _schema_of(FileModel)
    defs = schema.setdefault("$defs", {})
    defs.update(_DEFS)
    for model, keys in _KEYS.items():
        properties = (schema if model == "FileModel" else defs[model])["properties"]
        for key, meaning in keys.items():
            if key in properties:
                properties[key] = {"description": meaning, **properties[key]}
    for model, key in _COUNTED_IN_STEPS:
        field = defs[model]["properties"][key]
        field["$ref"] = _ref("Steps")
    for key in _ONE_OF:
        properties = defs["GuardModel"]["properties"]
        properties[key] = {"description": properties[key]["description"], **properties[key]["anyOf"][0]}
    defs["GuardModel"]["oneOf"] = [{"required": [key]} for key in _ONE_OF]
    for key in ("actions", "escalate"):
        defs["GuardModel"]["properties"][key]["items"] = {"$ref": _ref("Action")}
    defs["Action"] = _action(defs)
    for definition in defs.values():
        definition["title"] = definition["title"].removesuffix("Model")
        definition["description"] = definition["description"].replace("``", "'")
    return {"$schema": DIALECT, **schema, "title": "trainguard rule file"}


def _action(defs: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly one key. Adds the parameters of each action to ``defs``."""
    properties = {}
    for kind, model in ACTIONS.items():
        defs[model.__name__] = parameters = _parameters(model, defs)
        reference = {"$ref": _ref(model.__name__)}
        # Nothing after the colon stands for no parameters.
        value = reference if parameters.get("required") else {"anyOf": [reference, {"type": "null"}]}
        properties[kind] = {"description": parameters.get("description", ""), **value}
    return {
        "title": "Action",
        "description": "What to do: one action, with its parameters.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _parameters(model: type[BaseModel], defs: dict[str, Any]) -> dict[str, Any]:
    schema = _schema_of(model)
    defs.update(schema.pop("$defs", {}))
    return schema


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=_Generator)


def _ref(name: str) -> str:
    return DEFAULT_REF_TEMPLATE.format(model=name)


class _Generator(GenerateJsonSchema):
    """Durations and limits by reference, their defaults as they are written; no titles made of the keys."""

    def call_schema(self, schema: Any) -> JsonSchemaValue:
        kind = schema["function"]
        if kind is Duration or kind is Limit:
            return {"$ref": _ref(kind.__name__)}
        return super().call_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Duration | Limit) else super().encode_default(dft)
