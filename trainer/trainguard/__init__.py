"""trainguard, inside the training process: measure each step, say what was seen, do what is asked.

The trainer obeys, it does not judge. `Guard` is the public face, and `Knob` a number of yours that may be turned.
"""

try:
    from trainguard.guard import Guard
    from trainguard.levers.knobs import Knob
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "trainguard's side of the training needs PyTorch: pip install 'trainguard[torch]'", name="torch"
    ) from None

__all__ = ["Guard", "Knob"]
