"""A small training that diverges at step 100, and goes on until it is stopped. Run with the run directory."""

import sys
import time

import torch

from trainguard import Guard

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x = torch.randn(32, 4)
y = x.sum(1, keepdim=True)

with Guard(model, optimizer, run_dir=sys.argv[1], checkpoint_every=None) as guard:
    step = 0
    while not guard.stopped:
        step += 1
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        if step >= 100:
            loss = loss + 1e6
        loss.backward()
        guard.step(loss)
        time.sleep(0.005)
