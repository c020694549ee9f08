"""One alert: that a guard fires in a run, or did."""

from dataclasses import dataclass
from typing import Any

from trainguard_monitor.times import rfc3339
from trainguard_rules import RuleDetail

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Fires since ``since``, by the trainer's clock; ``over`` is None while it does. In Unix seconds.

    ``annotations`` are filled in as things were when it began to fire; ``value`` is among them.
    """

    run: str
    rule: str
    labels: dict[str, str]
    annotations: dict[str, str]
    since: float
    over: float | None = None

    @property
    def key(self) -> Key:
        return self.run, self.rule

    @classmethod
    def of(cls, run: str, detail: RuleDetail) -> "Alert":
        """A rule that fires now."""
        rule, status = detail.rule, detail.status
        value = {} if status.value is None else {"value": f"{status.value:.6g}"}
        return cls(
            run=run,
            rule=rule.name,
            labels=labels_of(run, detail),
            annotations={**detail.annotations, **value},
            since=status.since_time or 0.0,
        )

    def as_json(self, link: str, ends_at: float | None) -> dict[str, Any]:
        """As ``/api/v2/alerts`` takes it. Without an end Alertmanager counts its ``resolve_timeout`` from now."""
        plain: dict[str, Any] = {
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": rfc3339(self.since),
            "generatorURL": link,
        }
        return plain if ends_at is None else plain | {"endsAt": rfc3339(ends_at)}


def labels_of(run: str, detail: RuleDetail) -> dict[str, str]:
    """What tells the alert from others: its rule, its run, and the labels of the rule, which can't change those two."""
    return {**detail.rule.labels, "alertname": detail.rule.name, "run": run}
