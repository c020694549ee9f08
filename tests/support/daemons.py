"""Real daemons on free ports of the loopback interface: started, waited for, and ended."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import mortal, need

READY_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def daemon(command: Sequence[str], ready: str, log: Path) -> Iterator[None]:
    """Run a program until the end of the block; begins once the URL ``ready`` answers."""
    with log.open("wb") as out:
        process = subprocess.Popen(mortal(command), stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait(process, ready, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def prometheus(config: Path, data: Path) -> Iterator[str]:
    """A Prometheus with this configuration, on this data; gives its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        need("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=20y",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--enable-feature=exemplar-storage",
    ]
    with daemon(command, f"{url}/-/ready", data.parent / "prometheus.log"):
        yield url


@contextmanager
def alertmanager(config: Path, data: Path, port: int) -> Iterator[str]:
    """An Alertmanager with this configuration, on loopback alone; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    command = [
        need("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={url.removeprefix('http://')}",
        f"--web.external-url={url}",
        "--cluster.listen-address=",
    ]
    with daemon(command, f"{url}/-/ready", data.with_suffix(".log")):
        yield url


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.05)
        else:
            return
