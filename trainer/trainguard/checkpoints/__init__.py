"""Checkpoints: what is saved of a training run, where it is kept, and how it comes back."""

from trainguard.checkpoints.checkpointer import Checkpointer

__all__ = ["Checkpointer"]
