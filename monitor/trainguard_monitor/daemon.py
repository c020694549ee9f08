"""The daemon: one loop that looks at every run when it is due.

Everything that happens to the daemon from outside arrives in its inbox and wakes the loop: that something changed
in the directory of runs, what a person or an alert has to say to a run, other rules, or that it should stop. The
loop never sleeps for one run at the cost of another: it waits for the inbox until the next run is due (`cadence`).
Runs that are being caught up, and rules that are about to take over, take turns behind the runs that are followed
live. What goes wrong with one run is that run's misfortune, and the others go on (`attending`).

HTTP and metrics see the daemon as a `table.Monitor`: what that has answers from any thread.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal, NamedTuple

from trainguard_monitor.feed import Feed, Word
from trainguard_monitor.following.attending import Attendant
from trainguard_monitor.following.discovery import Discovery
from trainguard_monitor.following.driver import Driver
from trainguard_monitor.following.rota import Post, Rota
from trainguard_monitor.notifier.firing import Sink
from trainguard_monitor.views.table import RulesView, RunDetail, RunView, Taken
from trainguard_monitor.webhooks.sender import Webhooks
from trainguard_rules import RuleBook
from trainguard_wire import Input, RunDirectory

log = logging.getLogger(__name__)

SCAN_EVERY = 3.0
SCAN_GAP = 0.02
SCAN_REST = 10.0  # at least so many times as long as a scan takes: a thousand runs may all be made at once
NOTIFY_SECONDS = 5.0


class _Errand(NamedTuple):
    """Something from outside for one run."""

    run: str
    record: Input
    reply: "Future[Taken | None]"


class _Rules(NamedTuple):
    """Other rules, for all runs."""

    book: RuleBook
    reply: "Future[None]"


_Message = Literal["changed", "stop"] | _Errand | _Rules


@dataclass(frozen=True)
class Clock:
    """Where the daemon reads time: ``wall`` for what is written down, ``monotonic`` for waiting."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Daemon:
    """Follows the runs in a directory, or the one run that the directory is, under one rule book."""

    def __init__(
        self,
        directory: Path,
        book: RuleBook,
        *,
        polling: bool = False,
        clock: Clock | None = None,
        sink: Sink | None = None,
        webhooks: Mapping[str, str] | None = None,
    ) -> None:
        """``sink`` is told of each guard that fires; ``webhooks`` are those that rules may notify: address by name."""
        self.directory = directory
        self.book = book
        self.feed = Feed()
        self._sink = sink
        self._clock = clock or Clock()
        self._loaded_at = self._clock.wall()
        self._inbox: SimpleQueue[_Message] = SimpleQueue()  # its put() may be called from a signal handler
        self._webhooks = Webhooks(webhooks or {}, self.take_in, clock=self._clock.wall)
        self._discovery = Discovery(directory, lambda: self._inbox.put("changed"), polling=polling)
        self._posts: dict[str, Post] = {}  # by the name of the run
        self._rota = Rota()
        self._attendant = Attendant(self._clock.monotonic)
        self._changing: list[Post] = []
        self._scan_at = 0.0
        self._scan_seconds = 0.0
        self._blind = False
        self._reloaded = True
        self._stopping = False
        self._ready = False

    @property
    def ready(self) -> bool:
        return self._ready

    def rules(self) -> RulesView:
        return RulesView(book=self.book, loaded_at=self._loaded_at, last_reload_successful=self._reloaded)

    def runs(self) -> list[RunView]:
        views = [post.driver.view() for post in list(self._posts.values())]
        return sorted(views, key=lambda view: view.run)

    def run_detail(self, name: str) -> RunDetail | None:
        post = self._posts.get(name)
        return None if post is None else post.driver.detail()

    def directory_of(self, name: str) -> RunDirectory | None:
        post = self._posts.get(name)
        return None if post is None else post.driver.run

    def take_in(self, run: str, record: Input) -> "Future[Taken | None]":
        errand = _Errand(run, record, Future())
        self._inbox.put(errand)
        return errand.reply

    def replace_rules(self, book: RuleBook) -> "Future[None]":
        """Have all runs judged by other rules from now on. From any thread; done once the loop has heard of it."""
        message = _Rules(book, Future())
        self._inbox.put(message)
        return message.reply

    def note_failed_reload(self) -> None:
        """The rules in force are not those on disk, which are no good. From any thread."""
        self._reloaded = False

    def stop(self) -> None:
        """Ask `run` to end. From any thread, and from a signal handler."""
        self._inbox.put("stop")

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Follow the runs until `stop`, then read each to its end and let go of it.

        Calls ``on_ready`` once, when the runs there are have been found. Raises `OSError` when the directory can't be
        made or read; when it is itself a run, `LeaseHeld` where another monitor drives it, and `RunDirectoryError`
        where this version doesn't read it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._discovery.start()
        try:
            self._scan()
            self._take_only_run()
            self._ready = True
            on_ready()
            while not self._stopping:
                self._look()
                self._wait()
            self._ready = False
            self._drain()
            self._finish_notifications()
        finally:
            self._ready = False
            self.feed.close()
            self._discovery.stop()
            for post in self._posts.values():
                post.driver.close()

    def _take_only_run(self) -> None:
        for post in self._posts.values():
            if post.driver.run.path == self.directory:
                post.driver.open()

    def _wait(self) -> None:
        due = min(self._rota.next_due, self._scan_at)
        wait = 0.0 if self._next_change() is not None else max(0.0, due - self._clock.monotonic())
        with suppress(Empty):
            self._receive(self._inbox.get(timeout=wait))
        self._receive_all()

    def _receive_all(self) -> None:
        with suppress(Empty):
            while True:
                self._receive(self._inbox.get_nowait())

    def _receive(self, message: _Message) -> None:
        match message:
            case "stop":
                self._stopping = True
            case "changed":
                gap = max(SCAN_GAP, SCAN_REST * self._scan_seconds)
                self._scan_at = min(self._scan_at, self._clock.monotonic() + gap)
            case _Errand():
                self._run_errand(message)
            case _Rules():
                self._replace_rules(message)

    def _run_errand(self, errand: _Errand) -> None:
        if not errand.reply.set_running_or_notify_cancel():
            return  # whoever asked was told to try again
        post = self._posts.get(errand.run)
        try:
            errand.reply.set_result(None if post is None else post.driver.take_in(errand.record))
        except Exception as error:
            log.exception("%s: a defect of trainguard", errand.run, extra={"run": errand.run})
            errand.reply.set_exception(error)

    def _replace_rules(self, message: _Rules) -> None:
        self.book, self._loaded_at, self._reloaded = message.book, self._clock.wall(), True
        for post in list(self._posts.values()):
            if post.cadence.is_given_up:  # given up under the rules there were
                self._dismiss(post)
                self._admit(post.driver.run)
            else:
                self._attendant.attempt(post, partial(post.driver.replace_rules, message.book))
        self._changing = list(self._posts.values())
        self.feed.publish("", [], [Word("rules")])
        message.reply.set_result(None)

    def _next_change(self) -> Post | None:
        """A run whose rules are being changed, and can be now."""
        if self._changing:
            self._changing = [post for post in self._changing if post.driver.is_changing_rules]
        return next((post for post in self._changing if post.driver.may_change_rules), None)

    def _look(self) -> None:
        """Everything that is due: the regular scan, runs followed live, and one run being caught up."""
        now = self._clock.monotonic()
        if now >= self._scan_at:
            self._look_for_runs()
        for post in self._rota.take(now):
            self._attendant.look(post, post.driver.poll, len(self._posts))
            self._rota.put(post)
        changing = self._next_change()
        if changing is not None:
            self._attendant.attempt(changing, changing.driver.change_rules)

    def _look_for_runs(self) -> None:
        """Where that can't be done just now, the runs that were found before go on."""
        try:
            self._scan()
        except Exception as error:
            if not self._blind:
                trace = None if isinstance(error, OSError) else error
                log.error("can't look for runs, will go on trying: %s", error, exc_info=trace)
            self._blind = True
        else:
            self._blind = False
        self._scan_at = self._clock.monotonic() + SCAN_EVERY

    def _scan(self) -> None:
        began = self._clock.monotonic()
        found = {run.name: run for run in self._discovery.scan()}
        for name, post in list(self._posts.items()):
            if name not in found or post.driver.is_gone():
                log.info("%s: removed", name, extra={"run": name})
                post.driver.close(gone=True)
                self._dismiss(post)
        for name, run in found.items():
            if name not in self._posts:
                self._admit(run)
        self._scan_seconds = self._clock.monotonic() - began

    def _dismiss(self, post: Post) -> None:
        post.gone = True
        del self._posts[post.driver.run.name]
        self.feed.publish(post.driver.run.name, [], [Word("removed")])

    def _admit(self, run: RunDirectory) -> None:
        log.info("%s: found", run.name, extra={"run": run.name})
        notify = partial(self._webhooks.send, run.name)
        driver = Driver(run, self.book, clock=self._clock.wall, feed=self.feed, sink=self._sink, notify=notify)
        now = self._clock.monotonic()
        self._posts[run.name] = post = Post(driver, now, ahead=now - self._clock.wall())
        self._rota.put(post)
        self.feed.publish(run.name, [], [Word("found")])

    def _drain(self) -> None:
        """To the end: what is followed, and what was written to lately and has not had its turn yet."""
        for post in self._posts.values():
            if post.driver.is_driven or post.is_lively:
                self._attendant.look(post, post.driver.drain, len(self._posts))

    def _finish_notifications(self) -> None:
        """What came of them goes on record; what nothing came of is for the next monitor."""
        self._webhooks.close(NOTIFY_SECONDS)
        self._receive_all()
