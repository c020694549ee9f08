"""The signals a trainer can emit: their names, units and meaning, in one place for all rooms.

Rules are checked against these names, the monitor exports them, the documentation lists them. A run may
carry more: whatever the user hands to ``guard.observe(name=value)``, declared in the rule file that uses it.
"""

from typing import NamedTuple


class SignalSpec(NamedTuple):
    """``unit`` is ``1`` for a pure number, ``ratio`` for a share between 0 and 1."""

    unit: str
    meaning: str


SIGNALS: dict[str, SignalSpec] = {
    "loss": SignalSpec("1", "training loss of the step, as handed to guard.step"),
    "grad_norm": SignalSpec("1", "L2 norm of all gradients together, before clipping"),
    "lr": SignalSpec("1", "learning rate in effect in the step, first param group, trainguard's factor included"),
    "lr_scale": SignalSpec("ratio", "the factor trainguard applies to the learning rate; 1 when it does not interfere"),
    "weight_decay": SignalSpec("1", "largest weight decay of the param groups in effect in the step"),
    "activation_sparsity": SignalSpec("ratio", "share of activations with |a| < 0.1, as the seed defines it"),
    "confidence": SignalSpec("ratio", "mean over the batch of the largest softmax probability"),
    "prediction_entropy": SignalSpec(
        "ratio", "entropy of the predicted classes of the batch over log K; 0 is collapse"
    ),
    "dead_units": SignalSpec("ratio", "share of activation units that are zero on the whole batch"),
    "step_seconds": SignalSpec("seconds", "time from the end of the last guarded step to the end of this one"),
}
