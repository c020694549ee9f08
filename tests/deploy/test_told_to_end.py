"""What docs/deploying.md says of SIGTERM, in real trainings: how the process ends, and what the run says of it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.trainer.support import Monitor
from trainguard_wire import Goodbye

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
BEGINNING = """
import pathlib, torch
from trainguard import Guard

def endless():
    for step in range(1_000_000):
        if step == 3:
            pathlib.Path("begun").touch()
        yield torch.ones(4, 3), torch.zeros(4, 1)

model, criterion, batches, path = torch.nn.Linear(3, 1), torch.nn.MSELoss(), endless(), "saved.pt"
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
"""


def shown() -> str:
    """The training that the page recommends."""
    [text] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return text


def told_to_end(script: str, folder: Path) -> tuple[int, list[Goodbye]]:
    """The exit code of a training that gets a SIGTERM in its midst, and its goodbye if it says one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRAINGUARD_RUNS": str(folder / "runs")}
    training = subprocess.Popen([sys.executable, "-c", BEGINNING + script], cwd=folder, env=environment)
    try:
        while not (folder / "begun").exists():
            assert training.poll() is None
            time.sleep(0.02)
        training.send_signal(signal.SIGTERM)
        code = training.wait(60)
    finally:
        training.kill()
    [run] = (folder / "runs").iterdir()
    return code, [record for record in Monitor(run).records() if isinstance(record, Goodbye)]


def test_the_training_that_is_shown_saves_and_finishes(tmp_path: Path):
    code, [goodbye] = told_to_end(shown(), tmp_path)
    assert (code, goodbye.outcome, goodbye.error) == (143, "finished", "")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    assert saved["guard"]["step"] == goodbye.step


@pytest.mark.parametrize(
    ("handling", "code", "goodbyes"),
    [
        ("", -signal.SIGTERM, []),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n", 143, [("failed", "SystemExit: 143")]),
    ],
    ids=("nothing", "exits"),
)
def test_other_ways(handling: str, code: int, goodbyes: list[tuple[str, str]], tmp_path: Path):
    """The same training, with something else in place of the flag that is set."""
    script = re.sub(r"^signal\.signal\(.*\n", handling, shown(), flags=re.MULTILINE)
    assert script != shown()
    ended, said = told_to_end(script, tmp_path)
    assert (ended, [(goodbye.outcome, goodbye.error) for goodbye in said]) == (code, goodbyes)
    assert not (tmp_path / "saved.pt").exists()
