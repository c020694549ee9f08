"""The law: rule files, the engine that judges telemetry by them, and the packs that come with trainguard.

Everything here is pure: no clock, no thread, no socket, and no file but the loader's.
"""

from trainguard_rules.catchup import CatchUp
from trainguard_rules.engine import Engine
from trainguard_rules.output import Output
from trainguard_rules.rulebook import Expectation, Rule, RuleBook
from trainguard_rules.rulefile import Problem, RuleFileError, load_rules, load_text, shipped_packs
from trainguard_rules.watching.watch import RuleDetail, RuleStatus

__all__ = [
    "CatchUp",
    "Engine",
    "Expectation",
    "Output",
    "Problem",
    "Rule",
    "RuleBook",
    "RuleDetail",
    "RuleFileError",
    "RuleStatus",
    "load_rules",
    "load_text",
    "shipped_packs",
]
