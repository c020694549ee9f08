"""What is sent to a webhook: what Alertmanager sends to its own (version 4), so that whatever takes that takes this.

One alert, whose ``fingerprint`` is the id of the action. It is the same if the notification is sent again.
"""

from typing import Any

from trainguard_monitor.times import NEVER, rfc3339
from trainguard_rules.deciding.notifications import Notification


def payload(run: str, notification: Notification) -> dict[str, Any]:
    """As Alertmanager would send it, ready for JSON."""
    labels = {**notification.labels, "alertname": notification.rule, "run": run}
    annotations = {"summary": notification.message, "reason": notification.reason, "step": str(notification.step)}
    return {
        "version": "4",
        "groupKey": f"{{}}:{{run={run!r}}}",
        "status": "firing",
        "receiver": notification.to,
        "groupLabels": {"run": run},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": rfc3339(notification.time),
                "endsAt": NEVER,
                "generatorURL": "",
                "fingerprint": notification.id,
            }
        ],
    }
