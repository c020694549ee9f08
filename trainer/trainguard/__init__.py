"""trainguard, inside the training process: measure each step, say what was seen, do what is asked.

The trainer obeys, it does not judge. `Guard` is the whole public face; see its docstring.
"""

from trainguard.guard import Guard

__all__ = ["Guard"]
