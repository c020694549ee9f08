"""Real processes that need not import again what is slow to import: they are forked from one that has done so.

That one begins with the first of them, and nothing of a test ever runs in it.
"""

import multiprocessing

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(
    ["tests.trainer.ranks.support", "torch.distributed.tensor", "trainguard.demo.__main__", "sklearn.datasets"]
)
