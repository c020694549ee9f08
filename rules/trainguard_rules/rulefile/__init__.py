"""Rule files: YAML in, a `RuleBook` or every problem with its ``file:line:column`` out."""

from trainguard_rules.rulefile.load import load_rules, load_text, shipped_packs
from trainguard_rules.rulefile.problems import Problem, RuleFileError

__all__ = ["Problem", "RuleFileError", "load_rules", "load_text", "shipped_packs"]
