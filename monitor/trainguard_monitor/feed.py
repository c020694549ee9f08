"""What happens, as it happens: from the daemon's thread to whoever listens on an event loop.

The daemon hands over records it has anyway and never waits. Each listener has queues of its own, bounded: one that
does not keep up loses what is oldest, and is told how much of it. While nobody listens nothing is done at all.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from trainguard_wire import CheckpointSaved, Derived, Goodbye, Hello, Sample, Telemetry

MOST_SAMPLES = 4096
MOST_NEWS = 1024

News = Derived | Hello | CheckpointSaved | Goodbye


class Word(NamedTuple):
    """What the monitor has to say of a run: ``found``, ``followed``, ``removed``, ``rules``; of none: ``rules``."""

    what: str


class Item(NamedTuple):
    """One thing that happened, and in which run; "" for the monitor itself."""

    run: str
    record: News | Word


class Lost(NamedTuple):
    """How much of what came first was not taken in time."""

    news: int = 0
    samples: int = 0


class Listener:
    """One who listens, to one run or to all, to everything or only to these ``types`` of events.

    Its `Feed` puts in, from the daemon's thread, and its event loop takes out.
    """

    def __init__(
        self, feed: "Feed", loop: asyncio.AbstractEventLoop, run: str | None = None, types: Collection[str] = ()
    ) -> None:
        self.run = run
        self._types = frozenset(types)
        self._lock = threading.Lock()
        self._samples: deque[tuple[str, Sample]] = deque(maxlen=MOST_SAMPLES)
        self._news: deque[Item] = deque(maxlen=MOST_NEWS)
        self._lost = Lost()
        self.closed = False
        self._feed = feed
        self._loop = loop
        self._arrived = asyncio.Event()

    def __enter__(self) -> "Listener":
        self._feed.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.remove(self)

    @property
    def has_samples(self) -> bool:
        return bool(self._samples)

    def take_news(self) -> tuple[Lost, list[Item]]:
        """What came since the last time, the oldest first, and what was lost of it and of samples."""
        with self._lock:
            (lost, self._lost), news = (self._lost, Lost()), list(self._news)
            self._news.clear()
        return lost, news

    def take_samples(self) -> list[tuple[str, Sample]]:
        """Those that came since the last time, each with its run, the oldest first."""
        with self._lock:
            samples = list(self._samples)
            self._samples.clear()
        return samples

    async def wait(self, seconds: float) -> bool:
        """Whether anything came, or the feed was closed, within so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        self._arrived.clear()
        return True

    def put(self, run: str, samples: Sequence[Sample], news: Sequence[News | Word]) -> None:
        """From the daemon's thread."""
        if self._types:
            samples = samples if "samples" in self._types else ()
            news = [record for record in news if _type_of(record) in self._types]
        if not samples and not news:
            return
        with self._lock:
            self._lost = Lost(
                self._lost.news + max(0, len(self._news) + len(news) - MOST_NEWS),
                self._lost.samples + max(0, len(self._samples) + len(samples) - MOST_SAMPLES),
            )
            self._samples.extend((run, sample) for sample in samples)
            self._news.extend(Item(run, record) for record in news)
        self.wake()

    def wake(self) -> None:
        if not self._arrived.is_set():
            try:
                self._loop.call_soon_threadsafe(self._arrived.set)
            except RuntimeError:
                self.closed = True  # its loop is gone

    def close(self) -> None:
        self.closed = True
        self.wake()


class Feed:
    """Hands on what the daemon publishes. `publish` from the daemon's thread, the rest from the listeners' loop."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._closed = False

    @property
    def num_listeners(self) -> int:
        return len(self._listeners)

    def add(self, listener: Listener) -> None:
        self._listeners = (*self._listeners, listener)
        if self._closed:
            listener.close()

    def remove(self, listener: Listener) -> None:
        self._listeners = tuple(other for other in self._listeners if other is not listener)

    def publish(self, run: str, telemetry: Iterable[Telemetry], derived: Iterable[Derived | Word]) -> None:
        """Something happened in a run."""
        if not self._listeners:
            return
        told = list(telemetry)
        samples = [record for record in told if isinstance(record, Sample)]
        news: list[News | Word] = [r for r in told if isinstance(r, Hello | CheckpointSaved | Goodbye)]
        news += derived
        for listener in self._listeners:
            if listener.run in (None, run):
                listener.put(run, samples, news)

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        for listener in self._listeners:
            listener.close()


def _type_of(record: News | Word) -> str:
    """``decision``, ``hello``, ``found`` and so on."""
    return record.what if isinstance(record, Word) else str(type(record).__struct_config__.tag)
