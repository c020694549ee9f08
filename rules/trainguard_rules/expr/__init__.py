"""Rule expressions: Python's expression syntax, read by `parse`, never evaluated as Python.

The text becomes a small typed tree (`nodes`), the tree becomes a `Program` (`compile`): functions generated
from the tree alone, over incremental statistics. Truth has three values: a comparison with NaN is *unknown*.
"""

from trainguard_rules.expr.compile import Program, compile_program
from trainguard_rules.expr.nodes import Node
from trainguard_rules.expr.parse import Scope, parse
from trainguard_rules.expr.syntax import ExprProblem

__all__ = ["ExprProblem", "Node", "Program", "Scope", "compile_program", "parse"]
