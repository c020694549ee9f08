"""Forward hooks that look at tensors on their way, and harm nothing.

Even a hook that does nothing costs 1.5 % of a small model's step, so hooks exist only from the end of one step to
the end of the next, where a signal is due. They run inside the user's forward pass: they swallow what goes wrong in
them, look only while the module is in training, and draw nothing from any random generator.

Inside a module that ``torch.compile`` has compiled no hook runs, and one that is there while it compiles would
become part of the compiled code. So none is put there, and one that gets there all the same does nothing.

A loop may pickle its model, or copy it for an average of the weights, while hooks are on it: see `_Hook`.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainguard.clock import Clock
from trainguard.faults import Faults

Look = Callable[[nn.Module, Tensor], None]


class Hooks:
    """The hooks of one sensor. ``what`` names it in the faults."""

    def __init__(self, what: str, faults: Faults) -> None:
        self._what, self._faults = what, faults
        self._ticks = Clock().ticks
        self._seconds = 0.0
        self._handles: list[RemovableHandle] = []

    def on_output(self, module: nn.Module, look: Look) -> None:
        """Show each output of the module, detached. One that is no tensor is noted as a fault."""
        hook = _Hook(lambda module, _, output: self._output(look, module, output))
        self._handles.append(module.register_forward_hook(hook))

    def on_input(self, module: nn.Module, look: Look) -> None:
        """Show the first input of each call of the module that is a tensor, detached."""
        hook = _Hook(lambda module, inputs: self._show(look, module, *inputs[:1]))
        self._handles.append(module.register_forward_pre_hook(hook))

    def on_call(self, module: nn.Module, run: Callable[[], None]) -> None:
        """Run something before each call of the module."""
        self._handles.append(module.register_forward_pre_hook(_Hook(lambda *_: run())))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take_seconds(self) -> float:
        """How long the hooks took since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _output(self, look: Look, module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            self._show(look, module, output)
        elif not torch.compiler.is_compiling():
            met = f"the output of a {type(module).__name__} is a {type(output).__name__}"
            self._faults.note(self._what, f"{met}, wanted a tensor: it can't be watched")

    def _show(self, look: Look, module: nn.Module, value: Any = None) -> None:
        if torch.compiler.is_compiling() or not module.training or not isinstance(value, Tensor):
            return
        began = self._ticks()
        with self._faults.around(self._what), torch.no_grad():
            look(module, value.detach())
        self._seconds += self._ticks() - began


class _Hook:
    """What is registered. It looks at its own module only: a copy of the module, or what is unpickled, has a function
    in its place that does nothing, and is Python's own, so that the file can be read where trainguard is not.
    """

    def __init__(self, run: Callable[..., object]) -> None:
        self._run = run

    def __call__(self, *of_module: Any) -> None:
        self._run(*of_module)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")


def outside_compiled(model: nn.Module, modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Those of the modules that lie inside no compiled part of the model."""
    compiled = {inner for module in model.modules() for inner in _compiled_by(module)}
    return [module for module in modules if module not in compiled]


def _compiled_by(module: nn.Module) -> Iterable[nn.Module]:
    """What ``torch.compile(module)``, or in place ``module.compile()``, has compiled: not the wrapper it gives back."""
    if "_orig_mod" in module._modules:
        return module._modules["_orig_mod"].modules()  # type: ignore[union-attr]
    return () if module._compiled_call_impl is None else module.modules()
