"""`trainguard demo`, as a newcomer runs it."""

import json
import subprocess
import sys

from trainguard_wire import RunDirectory


def test_the_demo_breaks_a_run_and_saves_it(tmp_path):
    """The run alone ends broken, the guarded one within two points of the one without faults; there is a picture."""
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "trainguard_monitor", "demo", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for word in ("bad batches", "corrupted", "LossFarAboveBaseline fires", "back to the state after", "scale_lr"):
        assert word in done.stdout
    assert "broken" in done.stdout
    assert "saved" in done.stdout
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    accuracy = {p.stem: json.loads(p.read_text())["accuracy"] for p in out.glob("*.json")}
    assert accuracy["faults-alone"] < 0.5
    assert accuracy["faults-guarded"] > accuracy["no-fault"] - 0.02
    assert RunDirectory(out / "runs" / "guarded").exists()


def test_a_second_demo_leaves_the_first_alone(tmp_path):
    """Nothing of a user's is overwritten: the next free directory is taken."""
    from trainguard_monitor.cli.demo import _fresh

    assert _fresh(tmp_path / "demo") == tmp_path / "demo"
    assert _fresh(tmp_path / "demo") == tmp_path / "demo-2"
    assert _fresh(tmp_path / "demo") == tmp_path / "demo-3"
