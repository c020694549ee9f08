"""The monitor as a process beside a training: start it, wait until it is ready, and stop it.

It lives in a session of its own, so that a Ctrl-C meant for the training does not reach it: it has to see the
training's last records. It ends with us however we die, since it stops when its standard input closes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from trainguard_wire.journal import Mode

READY_SECONDS = 10.0
STOP_SECONDS = 30.0


class SidecarError(RuntimeError):
    """The monitor did not come up. Why is on standard error already, if it could tell."""


class Sidecar:
    """A ``trainguard monitor`` process."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]") -> None:
        self._process = process
        self._folder = folder
        self._ready_file = Path(folder.name) / "address"

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        rules: Sequence[str],
        mode: Mode = "act",
        listen: str,
        token_file: Path | None = None,
        alertmanagers: Sequence[str] = (),
        external_url: str | None = None,
        webhook_file: Path | None = None,
        log_format: str = "text",
    ) -> "Sidecar":
        """Start it and wait until it follows the runs in ``directory``. Raises `SidecarError`."""
        folder = tempfile.TemporaryDirectory(prefix="trainguard-")
        command = [sys.executable, "-m", "trainguard_monitor", "monitor", os.fspath(directory)]
        command += [f"--rules={name}" for name in rules]
        command += [f"--mode={mode}", f"--listen={listen}", f"--ready-file={folder.name}/address"]
        command += [] if token_file is None else [f"--token-file={token_file}"]
        command += [f"--alertmanager={url}" for url in alertmanagers]
        command += [] if external_url is None else [f"--external-url={external_url}"]
        command += [] if webhook_file is None else [f"--webhook-file={webhook_file}"]
        command += [f"--log-format={log_format}", "--log-level=warning", "--stop-with-stdin"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=_undisturbed())
        sidecar = cls(process, folder)
        try:
            sidecar._wait_until_ready()
        except BaseException:
            sidecar.stop()
            raise
        return sidecar

    @property
    def address(self) -> str:
        """``host:port`` of its HTTP surface."""
        return self._ready_file.read_text().strip()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Let it read every run to its end, and end."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._folder.cleanup()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready_file.exists():
            if not self.is_alive():
                raise SidecarError("the monitor could not be started, so the training was not")
            if time.monotonic() > deadline:
                raise SidecarError(f"the monitor was not ready after {READY_SECONDS:.0f} s, training not started")
            time.sleep(0.01)


def _undisturbed() -> dict[str, str]:
    """Our environment without what options of ``trainguard monitor`` are set there, or in a file: it gets its own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRAINGUARD_MONITOR_")}
    return ours | {"TRAINGUARD_CONFIG": os.devnull}
