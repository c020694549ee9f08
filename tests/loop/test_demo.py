"""`trainguard demo`, as a newcomer runs it."""

import json
import re
import signal
import subprocess
import sys

import httpx

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


def test_served_it_stays_until_it_is_interrupted(tmp_path):
    """The URL is told before the trainings; afterwards page and metrics are there, and the token is our own."""
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "trainguard_monitor", "demo", "--serve", "--listen=127.0.0.1:0", "--epochs=20"]
    command.append("--pace=0.001")
    process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = ""
        while "Until Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        [early, late] = re.findall(r"(http://127\.0\.0\.1:\d+)/ \(", said)
        assert early == late
        assert said.index("Watch it at") < said.index("What happened in the guarded run")
        assert "<title>" in httpx.get(f"{late}/").text
        assert 'trainguard_run_state{run="guarded",state="ended"} 1.0' in httpx.get(f"{late}/metrics").text
        assert (out / "token").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 1)  # a training this short need not have recovered
    finally:
        process.kill()
        process.communicate()


def test_an_address_that_is_no_good_is_told_before_any_training(tmp_path):
    """Nothing is trained for a monitor that can't be served."""
    command = [sys.executable, "-m", "trainguard_monitor", "demo", "--serve", "--listen=nowhere"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "demo")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "want HOST:PORT" in done.stderr


def test_a_second_demo_leaves_the_first_alone(tmp_path):
    """Nothing of a user's is overwritten: the next free directory is taken."""
    from trainguard_monitor.cli.demo import _fresh

    assert _fresh(tmp_path / "demo") == tmp_path / "demo"
    assert _fresh(tmp_path / "demo") == tmp_path / "demo-2"
    assert _fresh(tmp_path / "demo") == tmp_path / "demo-3"
