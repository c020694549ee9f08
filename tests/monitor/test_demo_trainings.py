"""The demo's trainings as processes, whatever they have to say."""

import os
from pathlib import Path

import pytest

from trainguard_monitor.demo import trainings
from trainguard_monitor.demo.trainings import Training, TrainingError

SCRIPT = """\
import json, signal, sys
signal.alarm(10)
for _ in range(20_000):
    print("UserWarning: of a library", file=sys.stderr)
print(json.dumps({"epoch": 1, "accuracy": 0.5}), flush=True)
if "--broken" in sys.argv:
    sys.exit("no such device")
with open(sys.argv[2], "w") as result:
    json.dump({"losses": [1.0], "accuracy": 0.5, "steps_per_epoch": 1, "faults": []}, result)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a training may leave its result; it is a script that complains a lot."""
    (tmp_path / "complaining.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(trainings, "TRAINING", "complaining")
    return tmp_path / "result.json"


def test_one_that_complains_a_lot_is_followed_to_its_end(place: Path) -> None:
    """More than a pipe holds."""
    training = Training("noisy", place, [])
    seen: list[tuple[int, float]] = []
    assert training.follow(lambda *progress: seen.append(progress)).losses == [1.0]
    training.end()
    assert seen == [(1, 0.5)]


def test_one_that_breaks(place: Path) -> None:
    """How it ended, and its own words."""
    training = Training("noisy", place, ["--broken"])
    with pytest.raises(TrainingError, match=r"'noisy' ended with exit code 1:\n(.*\n)*no such device"):
        training.follow(lambda *_: None)
    training.end()
