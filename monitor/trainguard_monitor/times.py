"""Times as other programs write them."""

from datetime import UTC, datetime

NEVER = "0001-01-01T00:00:00Z"


def rfc3339(time: float) -> str:
    """Unix seconds as Prometheus writes a time; `NEVER` for what is no time."""
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a trainer's clock may say anything
        return NEVER
