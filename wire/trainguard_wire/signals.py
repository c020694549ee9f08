"""The signals a trainer can emit: their names, units and meaning, in one place for all rooms.

Rules are checked against these names, the monitor exports them, the documentation lists them. A run may
carry more: whatever the user hands to ``guard.observe(name=value)``, declared in the rule file that uses it.
"""

from typing import Literal, NamedTuple

Reduction = Literal["mean", "sum", "max", "same"]


class SignalSpec(NamedTuple):
    """``unit`` is ``1`` for a pure number, ``ratio`` for one quantity over another of its kind, mostly a share.

    ``over_ranks``: how the values of several ranks become one; ``same`` where they cannot differ.
    """

    unit: str
    meaning: str
    over_ranks: Reduction = "mean"


SIGNALS: dict[str, SignalSpec] = {
    "loss": SignalSpec("1", "training loss of the step, as handed to guard.step"),
    "grad_norm": SignalSpec("1", "L2 norm of all gradients together, before clipping", "max"),
    "nonfinite": SignalSpec("1", "elements of the gradients that are NaN or infinite", "max"),
    "gated": SignalSpec("1", "updates that the gate dropped since it was last measured", "max"),
    "skipped": SignalSpec("1", "1 in a step whose update skip_steps had dropped, else 0", "max"),
    "lr": SignalSpec(
        "1", "learning rate in effect in the step, first param group, trainguard's factor included", "same"
    ),
    "lr_scale": SignalSpec(
        "ratio", "the factor trainguard applies to the learning rate; 1 when it does not interfere", "same"
    ),
    "weight_decay": SignalSpec("1", "largest weight decay of the param groups in effect in the step", "same"),
    "step_seconds": SignalSpec("seconds", "time from the end of the last guarded step to the end of this one", "max"),
    "throughput": SignalSpec("samples/second", "samples of the batch over the step's time", "sum"),
    "memory_bytes": SignalSpec(
        "bytes", "peak memory of the CUDA device, or resident memory of the process without one", "max"
    ),
    "overhead_ratio": SignalSpec("ratio", "share of the step's time that the guard took", "max"),
    # as the seed writes them
    "confidence": SignalSpec("ratio", "mean over the batch of the largest softmax probability"),
    "activation_sparsity": SignalSpec("ratio", "share of activations with |a| < 0.1, as the seed defines it"),
    "class_separation": SignalSpec(
        "1", "sum over classes of |class mean - mean| over the class's variance, as the seed defines it"
    ),
    "feature_utilization": SignalSpec("ratio", "share of features with a standard deviation above 0.1 over the batch"),
    "compressibility": SignalSpec("ratio", "share of parameters with |w| < 0.1, as the seed defines it", "max"),
    "prunable_fraction": SignalSpec("ratio", "share of parameters with |w| < 0.01, which the seed prunes", "max"),
    # scale-free
    "confidence_normalized": SignalSpec("ratio", "(confidence - 1/K) / (1 - 1/K): 0 is chance, whatever the classes K"),
    "prediction_entropy": SignalSpec(
        "ratio", "entropy of the predicted classes of the batch over log K; 0 is collapse"
    ),
    "zero_fraction": SignalSpec("ratio", "share of activations that are exactly zero"),
    "dead_units": SignalSpec("ratio", "share of activation units that are zero on the whole batch"),
    "class_separation_r2": SignalSpec(
        "ratio", "1 - mean cosine distance within classes / between classes, of the features"
    ),
    "effective_rank": SignalSpec(
        "1", "directions that the features of the batch take up, by the entropy of their spectrum"
    ),
    "kappa_compressibility": SignalSpec(
        "ratio", "1 - the share of the weights' L2 norm that is lost when only the largest tenth of them is kept", "max"
    ),
    "pq_index": SignalSpec("ratio", "sparsity of the weights by their L1 and L2 norm; 0 is all equal", "max"),
    "param_norm": SignalSpec("1", "L2 norm of the parameters that train", "max"),
    "update_ratio": SignalSpec("1", "L2 norm of the step's parameter update over that of the parameters", "max"),
    "rms_ratio": SignalSpec(
        "1", "root mean square of gradient over its running second moment, largest tensor; above 2 is a mismatch", "max"
    ),
    "bias_conflict_loss_share": SignalSpec("ratio", "share of the loss that comes from bias-conflicting samples"),
}
