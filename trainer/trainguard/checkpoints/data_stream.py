"""The data loader of a loop, and the way back in it.

A loader's position can be read while the loop iterates over it, and only then: a loader that is asked before may
have to begin an iteration for it, which draws random numbers. So the checkpoint from before the first step has none.

A loader that is put back takes no notice in an iteration under way, only in the next. `DataStream.batches` begins
the next one at once, so that the loop goes on from the batch after the checkpoint. To begin an iteration draws
random numbers; the one at the checkpoint had begun already, so here it must not.
"""

from collections.abc import Iterator
from typing import Any

from trainguard.checkpoints import rng


class DataStream:
    """The ``loader`` that was handed to the guard, or None."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._rewound = False

    def position(self) -> Any:
        """The loader's own ``state_dict``; None without a loader."""
        return None if self.loader is None else self.loader.state_dict()

    def rewind(self, position: Any) -> None:
        """Put the loader back."""
        self.loader.load_state_dict(position)
        self._rewound = True

    def batches(self) -> Iterator[Any]:
        """One pass over the loader, from where it stands; after a rewind in mid-pass, one from there."""
        again = True
        while again:
            again = False
            for batch in self._iterate():
                yield batch
                if self._rewound:
                    again = True
                    break

    def _iterate(self) -> Iterator[Any]:
        rewound, self._rewound = self._rewound, False
        generators = rng.capture() if rewound else None
        iterator: Iterator[Any] = iter(self.loader)
        if generators is not None:
            rng.restore(generators)
        return iterator
