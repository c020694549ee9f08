"""The update of a step: its gradients unscaled, clipped and judged, and then made or dropped.

Under a gradient scaler the gradients are unscaled before anybody looks at them, by the scaler itself and once: a loop
that has called ``unscale_`` is left alone, and ``scaler.step`` finds it done. The arithmetic is the scaler's own.
"""

from contextlib import suppress

from torch import Tensor

from trainguard.faults import Faults
from trainguard.parameters import Parameters
from trainguard.ranks.replicas import whole
from trainguard.settings import Settings
from trainguard.signals.base import StepView
from trainguard.signals.norms import GradNorms, grad_norms, grads_of
from trainguard.updating.clipping import clip_grads_
from trainguard.updating.dropping import Dropping
from trainguard.updating.gate import Gate
from trainguard.updating.skipping import Skipping


class Update:
    """Made by `make`, unless the gate or somebody else had it dropped."""

    def __init__(self, settings: Settings, gate: Gate, skipping: Skipping, faults: Faults) -> None:
        self._optimizers, self._scaler = settings.optimizers, settings.scaler
        self._parameters = Parameters(settings.model)
        self._gate, self._skipping, self._faults = gate, skipping, faults
        self._dropping = Dropping(self._optimizers, self._scaler)
        self._norms: GradNorms | None = None
        self._unscaled = False
        self._is_sharded = settings.sharding is not None

    def clip_(self, max_norm: float) -> Tensor:
        """Clip all gradients of the model; returns their norm before. Raises what torch raises."""
        if self._scaler is not None:
            self._unscale()
        norm, norms = clip_grads_(self._parameters.now(), max_norm)
        self._norms = norms._replace(total=whole(norms.total)) if self._is_sharded else norms
        return norm

    def prepare(self, view: StepView) -> None:
        """Once the gradients are what they will be: judge them."""
        view.norms, self._norms = self._norms, None
        if self._scaler is not None:
            with self._faults.around("scaler"):
                self._unscale()
        if self._skipping.until and self._skipping.drops(view.step):
            self._dropping.drop()
        elif self._gate.is_on:
            with self._faults.around("gate"):
                self._judge(view)

    def make(self) -> None:
        """The optimizers' own step, unless it is known to be dropped. Their exceptions come out."""
        if not self._dropping.known:
            for optimizer in self._optimizers:
                if self._scaler is None:
                    optimizer.step()
                else:
                    self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()

    def leave_to_others(self) -> None:
        """The step will be made by somebody else, who knows nothing of dropping."""
        if self._dropping.known:
            self._dropping.clear()

    def settle(self) -> None:
        """After the step, or once it will not be made."""
        self._unscaled = False
        if self._dropping.is_prepared:
            with self._faults.around("gate"):
                self._dropping.after()

    def _unscale(self) -> None:
        if not self._unscaled:
            self._unscaled = True
            for optimizer in self._optimizers:
                with suppress(RuntimeError):  # the loop has done so itself
                    self._scaler.unscale_(optimizer)

    def _judge(self, view: StepView) -> None:
        if view.norms is None:
            if self._is_sharded:
                raise RuntimeError("parameters are spread over ranks, where the gate needs the norm that clip_ finds")
            grads = grads_of(self._parameters.now())
            if not grads:
                return
            view.norms = grad_norms(grads)
        self._dropping.before(self._gate.decide(view.norms.total))
