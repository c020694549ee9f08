"""The demo's monitor: for as long as the guarded training lasts, or, when served, until somebody has seen enough."""

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trainguard_monitor.client import Client, ClientError
from trainguard_monitor.sidecar import Sidecar

READ_SECONDS = 10.0
LOOK_SECONDS = 0.5


class Watching:
    """A monitor over ``runs``. Served, it has an address that is told, and a token."""

    def __init__(self, sidecar: Sidecar, token_file: Path | None) -> None:
        self._sidecar = sidecar
        self.token_file = token_file

    @classmethod
    def begin(cls, runs: Path, rules: Sequence[str], listen: str | None) -> "Watching":
        """With ``listen`` it is served there. Raises `SidecarError`."""
        if listen is None:
            return cls(Sidecar.start(runs, rules=rules, listen="127.0.0.1:0"), None)
        token_file = runs.parent / "token"
        _write_token(token_file)
        return cls(Sidecar.start(runs, rules=rules, listen=listen, token_file=token_file), token_file)

    @property
    def url(self) -> str:
        return f"http://{self._sidecar.address}"

    def read_to_the_end(self, run: str) -> None:
        """Wait until the monitor has read a run that is over, so that its journal is complete."""
        if self.token_file is None:
            self._sidecar.stop()
            return
        client, deadline = Client(self.url), time.monotonic() + READ_SECONDS
        while time.monotonic() < deadline:
            with suppress(ClientError):
                if any(view["run"] == run and view["state"] == "ended" for view in client.get("/api/v1/runs")):
                    return
            time.sleep(0.05)

    def stay(self) -> None:
        """Until Ctrl-C, or the monitor's own end."""
        with suppress(KeyboardInterrupt):
            while self._sidecar.is_alive():
                time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        self._sidecar.stop()


def _write_token(path: Path) -> None:
    """A new token that only we may read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
