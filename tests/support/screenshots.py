"""Pictures of the status page for the documentation: ``python -m tests.support.screenshots``.

Real trainings of the demo's classifier beside a real monitor, photographed in Chromium while they run: one that was
saved twice, one without faults, and one that keeps no checkpoints and so can't be helped.
"""

import argparse
import base64
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image

from tests.support.browser import Browser, chromium
from trainguard import Guard
from trainguard.demo.digits import Digits, classifier, recipe
from trainguard.demo.faults import Faults

IMAGES = Path(__file__).parents[2] / "docs" / "images"
EPOCHS = 40
PACE = 0.025  # seconds for each step, so that an incident can be photographed
SIZE, SCALE = (1280, 900), 1.5


def train(run: Path, *, faults: bool, checkpoints: bool) -> None:
    """One training, at a pace at which it can be watched."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, shuffle, model, parts = Digits.load(), torch.Generator().manual_seed(0), classifier(), recipe(EPOCHS)
    optimizer, criterion = parts.optimizer(model.parameters()), parts.criterion()
    scheduler, struck = parts.scheduler(optimizer), Faults(45 * EPOCHS, seed=0)
    with Guard(
        model, optimizer, scheduler=scheduler, run_dir=run, checkpoint_every=50 if checkpoints else None
    ) as guard:
        step = 0
        for epoch in range(EPOCHS):
            for x, y in data.batches(shuffle):
                step += 1
                if faults:
                    x, y = struck.strike(step, model, x, y)
                optimizer.zero_grad()
                logits = model(x)
                loss = criterion(logits, y)
                loss.backward()
                guard.clip_(parts.config.gradient_clip)
                guard.step(loss, logits=logits, targets=y, epoch=epoch)
                time.sleep(PACE)
            scheduler.step()


@contextmanager
def process(*arguments: str) -> Iterator[None]:
    running = subprocess.Popen([sys.executable, "-m", *arguments])
    try:
        yield
    finally:
        running.terminate()
        running.wait()


def photograph(browser: Browser, path: Path) -> None:
    shot = base64.b64decode(browser.cdp("Page.captureScreenshot")["data"])
    picture = Image.open(BytesIO(shot)).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


def past_both_faults(browser: Browser) -> bool:
    """Whether the guarded run has been saved for the second time."""
    row = next((row.text for row in browser.all("#runs tbody tr") if "digits-guarded" in row.text), "")
    return "Healthy" in row and " 2 " in row


def take(images: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs, ready = Path(folder) / "runs", Path(folder) / "ready"
        me = "tests.support.screenshots"
        monitor = ["trainguard_monitor", "monitor", str(runs), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        token = Path(folder) / "token"
        token.write_text("a-token-of-many-characters")
        token.chmod(0o600)
        with (
            process(*monitor, "--token-file", str(token), "--log-level", "warning"),
            process(me, "--train", str(runs / "digits-guarded"), "--faults", "--checkpoints"),
            process(me, "--train", str(runs / "digits-calm"), "--checkpoints"),
            process(me, "--train", str(runs / "digits-no-checkpoints"), "--faults"),
            chromium(Path(folder) / "profile") as browser,
        ):
            while not ready.exists():
                time.sleep(0.1)
            url = f"http://{ready.read_text().strip()}"
            browser.screen(SIZE[0], 420, scale=SCALE)
            browser.open(url)
            trouble = "digits-no-checkpoints In trouble"
            browser.until(
                lambda: browser.text("#runs").replace("\t", " ").count(trouble) and past_both_faults(browser), 180
            )
            photograph(browser, images / "page-runs.png")
            browser.screen(*SIZE, scale=SCALE)
            browser.open(f"{url}/?run=digits-guarded")
            browser.until(lambda: "Both helped" in browser.text("#story"), 60)
            time.sleep(8)
            photograph(browser, images / "page-run.png")
            browser.scheme("dark")
            time.sleep(0.5)
            photograph(browser, images / "page-run-dark.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.screenshots", description=__doc__)
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--faults", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--checkpoints", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, faults=options.faults, checkpoints=options.checkpoints)
    else:
        take(options.images)


if __name__ == "__main__":
    main()
