"""The checkpoints of a run on disk: a ring of folders, each whole or not there.

::

    checkpoints/step-00000500/
      state.pt          the training state, readable with torch.load(weights_only=True)
      manifest.json     step, generation, status, size and SHA-256 of each file

A checkpoint is written into ``step-00000500.tmp``, the manifest last, and appears by a rename; it disappears by
one, too. What is left of a process that was killed in between is cleaned by the next. A checkpoint is a
*candidate* until the monitor promotes it to *good*. The ring keeps the newest few, and the newest good one
whatever its age; while there is none, the first candidate, for a monitor that comes late. Newer means a later
generation, then a later step: a process that starts over at step 0 in the same directory is newer than all
that was there. Without fsync a power cut may damage one; the checksum tells.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from trainguard_wire import __version__

STATE, MANIFEST = "state.pt", "manifest.json"
_PENDING, _REPLACED = ".tmp", ".old"


class Damaged(Exception):
    """A checkpoint that is not what its manifest says."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``files`` maps a file name to its ``sha256`` and ``bytes``; ``created`` is Unix seconds."""

    step: int
    generation: int
    status: Literal["candidate", "good"]
    files: dict[str, dict[str, Any]]
    trainguard: str
    torch: str
    created: float

    @property
    def age_key(self) -> tuple[int, int]:
        return self.generation, self.step


class DiskRing:
    """The ring in ``folder``. Not for two processes, which the trainer's lease sees to, and not for two threads."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self._keep = keep

    def clean(self) -> None:
        """Remove what a process that died while saving left behind. Raises `OSError`."""
        for leftover in self.folder.glob(f"step-*{_PENDING}"):
            shutil.rmtree(leftover)
        for leftover in self.folder.glob(f"step-*/*{_PENDING}"):
            leftover.unlink()
        for replaced in self.folder.glob(f"step-*{_REPLACED}"):
            if replaced.with_suffix("").exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(replaced.with_suffix(""))

    def save(self, state: dict[str, Any], *, step: int, generation: int, created: float) -> None:
        """Write a candidate and prune the ring. Raises what the disk raises, and leaves nothing half done."""
        pending = self._place(step).with_suffix(_PENDING)
        try:
            shutil.rmtree(pending, ignore_errors=True)
            pending.mkdir()
            _write_state(state, pending / STATE)
            manifest = Manifest(
                step=step,
                generation=generation,
                status="candidate",
                files={STATE: _fingerprint(pending / STATE)},
                trainguard=__version__,
                torch=torch.__version__,
                created=created,
            )
            _write_manifest(pending, manifest)
            self._publish(pending)
        finally:
            shutil.rmtree(pending, ignore_errors=True)
        self._prune()

    def promote(self, *, step: int, generation: int) -> bool:
        """Mark the checkpoint of ``step`` good; False where it is gone, or is younger than ``generation``."""
        place = self._place(step)
        manifest = self._read(place)
        if manifest is None or manifest.generation > generation:
            return False
        if manifest.status != "good":
            _write_manifest(place, replace(manifest, status="good"))
            self._prune()
        return True

    def good(self, *, before_step: int | None = None) -> list[Manifest]:
        """The good checkpoints older than ``before_step``, newest first."""
        found = [m for m in self.all() if m.status == "good" and (before_step is None or m.step < before_step)]
        return sorted(found, key=lambda manifest: manifest.age_key, reverse=True)

    def illegible(self, *, before_step: int | None = None) -> list[Path]:
        """The folders of checkpoints older than ``before_step`` that have no manifest which can be read."""
        places = [p for p in sorted(self.folder.glob("step-*")) if not p.suffix and self._read(p) is None]
        return [p for p in places if before_step is None or p < self._place(before_step)]

    def all(self) -> Iterator[Manifest]:
        for place in sorted(self.folder.glob("step-*")):
            manifest = self._read(place) if not place.suffix else None
            if manifest is not None and place == self._place(manifest.step):
                yield manifest

    def load(self, manifest: Manifest) -> dict[str, Any]:
        """The stored state, on the CPU. Raises `Damaged`."""
        file = self._place(manifest.step) / STATE
        try:
            if _fingerprint(file) != manifest.files.get(STATE):
                raise Damaged(f"{file} is not the file that was saved: its size or checksum differs")
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except OSError as error:
            raise Damaged(f"{file}: {error.strerror or error}") from error
        return state

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _publish(self, pending: Path) -> None:
        place, replaced = pending.with_suffix(""), pending.with_suffix(_REPLACED)
        if place.exists():
            place.rename(replaced)
        try:
            pending.rename(place)
        except OSError:
            if replaced.exists():
                replaced.rename(place)
            raise
        shutil.rmtree(replaced, ignore_errors=True)

    def _remove(self, place: Path) -> None:
        """All at once: what is half removed must not look like a checkpoint. One that can't be removed stays."""
        with suppress(OSError):
            shutil.rmtree(place.rename(place.with_suffix(_PENDING)))

    def _prune(self) -> None:
        newest = sorted(self.all(), key=lambda manifest: manifest.age_key, reverse=True)
        first = min((m for m in newest if m.generation == newest[0].generation), key=lambda m: m.step)
        good = [manifest for manifest in newest if manifest.status == "good"]
        kept = [*newest[: self._keep], *(good[:1] or [first])]
        for manifest in newest:
            if manifest not in kept:
                self._remove(self._place(manifest.step))

    @staticmethod
    def _read(place: Path) -> Manifest | None:
        """None where there is no manifest, or none that can be read: such a directory is not a checkpoint."""
        try:
            return Manifest(**json.loads((place / MANIFEST).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


def _write_state(state: dict[str, Any], file: Path) -> None:
    """torch.save, but a disk that fails is heard with its own words: `OSError`."""
    try:
        torch.save(state, file)
    except RuntimeError:  # torch's own writer only says that positions differ; through a file of Python's it comes out
        try:
            with file.open("wb") as stream:
                torch.save(state, stream)
        except RuntimeError as error:
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def _fingerprint(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": os.fstat(stream.fileno()).st_size}


def _write_manifest(place: Path, manifest: Manifest) -> None:
    pending = place / (MANIFEST + _PENDING)
    try:
        pending.write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
        os.replace(pending, place / MANIFEST)
    except OSError:
        pending.unlink(missing_ok=True)
        raise
