"""Train the digits classifier, with or without faults, with or without trainguard.

Prints one JSON line an epoch, and at the end writes what came of it: the losses, the accuracy, the faults,
and a digest of the final weights.
"""

import argparse
import hashlib
import json
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from trainguard import Guard
from trainguard.demo.digits import Digits, accuracy, classifier, recipe
from trainguard.demo.faults import Faults

CHECKPOINT_EVERY = 50


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    data, shuffle = Digits.load(), torch.Generator().manual_seed(options.seed)
    model = classifier()
    parts = recipe(options.epochs)
    optimizer, criterion, max_norm = parts.optimizer(model.parameters()), parts.criterion(), parts.config.gradient_clip
    scheduler = parts.scheduler(optimizer)
    steps_per_epoch = sum(1 for _ in data.batches(torch.Generator()))
    faults = Faults(options.epochs * steps_per_epoch, options.seed) if options.faults else None
    losses: list[float] = []
    with ExitStack() as stack:
        guard = None
        if options.run_dir:
            guard = stack.enter_context(
                Guard(
                    model,
                    optimizer,
                    scheduler=scheduler,
                    run_dir=options.run_dir,
                    checkpoint_every=CHECKPOINT_EVERY,
                    monitor=options.monitor,
                    lockstep=options.lockstep,
                )
            )
        for epoch in range(options.epochs):
            for x, y in data.batches(shuffle):
                if faults:
                    x, y = faults.strike(len(losses) + 1, model, x, y)
                optimizer.zero_grad()
                logits = model(x)
                loss = criterion(logits, y)
                loss.backward()
                if guard:
                    guard.clip_(max_norm)
                    guard.step(loss, logits=logits, targets=y, epoch=epoch)
                else:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
                    optimizer.step()
                losses.append(loss.item())
                time.sleep(options.pace)
            scheduler.step()
            reached = accuracy(model, data)
            if guard:
                guard.observe(val_accuracy=reached)
            print(json.dumps({"epoch": epoch + 1, "epochs": options.epochs, "accuracy": reached}), flush=True)
            if guard and guard.stopped:
                break
    if options.result:
        result = {
            "losses": losses,
            "accuracy": accuracy(model, data),
            "steps_per_epoch": steps_per_epoch,
            "faults": faults.described() if faults else [],
            "weights_sha256": _digest(model),
        }
        options.result.write_text(json.dumps(result))


def _digest(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainguard.demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--faults", action="store_true", help="inject the two faults")
    parser.add_argument("--run-dir", type=Path, help="guard the run, in this run directory")
    parser.add_argument("--monitor", choices=("process", "embedded"), default="process", help="who judges it")
    parser.add_argument("--lockstep", type=float, help="wait so many seconds for the verdict on each step")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds to wait after each step, to be watched")
    parser.add_argument("--result", type=Path, help="write what came of it here, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
