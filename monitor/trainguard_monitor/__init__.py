"""The monitor process: everything that touches the world.

``telemetry -> engine -> journal -> control``, in that direction only. The daemon finds runs, folds the
telemetry of each through an engine of its own, writes down what followed from it, then tells the trainer.
HTTP and metrics read a view of all that and change nothing. Embed it as `Daemon`; `cli` is a thin shell.

This package knows no torch.
"""

from trainguard_wire import __version__

__all__ = ["__version__"]
