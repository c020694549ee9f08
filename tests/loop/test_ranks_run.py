"""Two ranks and a monitor process: what one rank meets, both are saved from."""

import math
from pathlib import Path
from typing import Any

from tests.loop.support import monitor
from tests.trainer.ranks.support import RankRun, digest, on_ranks
from tests.trainer.support import Monitor
from trainguard import Guard

RULES = """\
checkpoints: {good_after: 3 steps}
groups:
  - name: test
    rules:
      - guard: LossNotFinite
        expr: nonfinite(loss, 1) > 0
        actions: [{restore_checkpoint: {}}, {scale_lr: {factor: 0.5}}]
"""


def trained(rank: int, run_dir: str) -> Any:
    """In lockstep, so that the step of the answer is known. Rank 1's loss is NaN in step 12."""
    run, lrs = RankRun(rank), list[float]()
    with Guard(run.ddp, run.optimizer, run_dir=run_dir, checkpoint_every=4, lockstep=30.0) as guard:
        for step in range(1, 21):
            loss, logits, y = run.backward()
            guard.step(loss.detach() * math.nan if (step, rank) == (12, 1) else loss, logits=logits, targets=y)
            lrs.append(guard.last.get("lr", math.nan))
    return lrs[1:], digest(run.model.parameters()), guard.errors


def test_a_nan_of_one_rank_is_answered_by_both(tmp_path: Path) -> None:
    """Seen in the telemetry of rank 0, judged by the monitor, carried out at the end of step 14."""
    runs, rules = tmp_path / "runs", tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with monitor(runs, str(rules)):
        first, second = on_ranks(trained, str(runs / "run"))
        seen = Monitor(runs / "run")
    assert first == second
    lrs, _, errors = first
    assert errors == {}
    assert lrs == [0.1] * 14 + [0.05] * 5
    assert [sample.step for sample in seen.samples() if sample.nonfinite] == [12]
    assert [(ack.kind, ack.status, ack.step, ack.checkpoint) for ack in seen.acks()] == [
        ("restore_checkpoint", "applied", 14, 8),
        ("scale_lr", "applied", 15, None),
    ]
