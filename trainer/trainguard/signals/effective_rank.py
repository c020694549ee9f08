"""How many directions the features take up: falling, it tells of a collapse that no single logit shows.

Unlike the other signals of the features it needs a decomposition, for which the host waits: it is made on request.
"""

import torch
from torch import Tensor

MOST_ROWS = 1024


def effective_rank(rows: Tensor) -> Tensor:
    """exp(-sum p_i log p_i) with p_i = s_i / sum s, of the singular values s of n rows of d (Roy and Vetterli 2007).

    Of at most 1024 rows, regularly spaced. NaN where one is NaN or infinite, or all are 0. By the eigenvalues of the
    smaller of both products of the rows with themselves: the squares of s.
    """
    z = rows[:: -(-len(rows) // MOST_ROWS)].double()
    products = z @ z.T if z.shape[0] < z.shape[1] else z.T @ z
    if not bool(products.isfinite().all()):
        return products.new_tensor(torch.nan)
    s = torch.linalg.eigvalsh(products).clamp(min=0).sqrt()
    p = s / s.sum()
    return torch.exp(-torch.xlogy(p, p).sum())
