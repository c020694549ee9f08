"""From what the signals measured to plain floats: the one place where the host waits for a device.

Values on an accelerator are stacked and read with one copy per device. A value on the CPU needs no copy, and
reading it directly is four times cheaper than stacking it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainguard.faults import Faults


def readout(values: Mapping[str, float | Tensor], faults: Faults) -> dict[str, float]:
    """Every value as a float, NaN and infinities included. One that is no scalar is left out and noted."""
    numbers: dict[str, float] = {}
    remote: dict[torch.device, dict[str, Tensor]] = {}
    for name, value in values.items():
        if isinstance(value, Tensor) and value.device.type != "cpu":
            remote.setdefault(value.device, {})[name] = value
            continue
        try:
            numbers[name] = float(value.detach() if isinstance(value, Tensor) else value)
        except (TypeError, ValueError, RuntimeError) as error:
            faults.note(f"signal.{name}", error)
    for tensors in remote.values():
        numbers.update(read_stacked(tensors, faults))
    return numbers


def read_stacked(tensors: Mapping[str, Tensor], faults: Faults) -> dict[str, float]:
    """Scalars of one device, read with a single copy to the host."""
    scalars: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.numel() == 1:
            scalars[name] = tensor.detach().reshape(())
        else:
            faults.note(f"signal.{name}", f"a tensor of shape {tuple(tensor.shape)} is not a scalar")
    if not scalars:
        return {}
    return dict(zip(scalars, torch.stack(tuple(scalars.values())).tolist(), strict=True))
