"""The states of the random generators a training process draws from. Reading them draws nothing."""

import random
import sys
from collections.abc import Mapping
from typing import Any

import torch


def capture() -> dict[str, Any]:
    """torch on the CPU, and on CUDA where it is in use; Python's; numpy's where somebody imported it.

    Plain types and tensors only.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": (version, torch.tensor(words), gauss)}
    if _cuda_in_use():
        state["cuda"] = torch.cuda.get_rng_state_all()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, torch.tensor(keys.tolist()), *rest)
    return state


def restore(state: Mapping[str, Any]) -> None:
    """Those that are there: a process with fewer CUDA devices takes back as many as it has."""
    torch.set_rng_state(state["torch"].clone())  # of a view into a larger tensor, torch reads from where that begins
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    if "cuda" in state and _cuda_in_use():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    numpy = sys.modules.get("numpy")
    if "numpy" in state and numpy is not None:
        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, keys.tolist(), *rest))


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
