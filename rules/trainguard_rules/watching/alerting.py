"""Rules that an alert of Alertmanager's fires, instead of an expression.

An alert rule is firing while any alert that has all its labels is. Each alert wants one answer: acting, asking a person
or saying what would have been done is one, holding back is not, so policy is asked again on each sample until there is
one or the alert is over.
"""

from collections.abc import Mapping

from trainguard_wire.journal import AlertNotice, Verdict

_ANSWERS: tuple[Verdict, ...] = ("act", "observe", "await_approval")


class Trigger:
    """What fires one alert rule. ``waiting`` says that an alert has had no answer yet."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.waiting = False
        self.newest: AlertNotice | None = None
        self._labels = labels
        self._firing: dict[str, str] = {}  # fingerprint: when it began

    def __bool__(self) -> bool:
        """Whether an alert is firing."""
        return bool(self._firing)

    def matches(self, notice: AlertNotice) -> bool:
        return all(notice.labels.get(label) == value for label, value in self._labels.items())

    def take(self, notice: AlertNotice) -> None:
        """A new alert, or the end of one."""
        if notice.status == "firing":
            self._firing[notice.fingerprint] = notice.starts_at
            self.newest, self.waiting = notice, True
        elif self._firing.get(notice.fingerprint) == notice.starts_at:
            del self._firing[notice.fingerprint]
            self.waiting = self.waiting and bool(self._firing)

    def answered(self, verdict: Verdict) -> None:
        if verdict in _ANSWERS:
            self.waiting = False

    def ask_again(self) -> None:
        """The answer came to nothing: it never reached the trainer, or no person gave it in time."""
        self.waiting = bool(self._firing)

    @property
    def reason(self) -> str:
        """What fired last, in words."""
        said = "" if self.newest is None else self.newest.annotations.get("summary", "")
        return f"alert {braces(self._labels)} is firing" + (f": {said}" if said else "")


def braces(labels: Mapping[str, str]) -> str:
    """Labels as Prometheus writes them: ``{alertname="GpuOverheating"}``."""
    pairs = (f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return "{" + ", ".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
