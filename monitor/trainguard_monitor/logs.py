"""Logging to standard error, as text for people or JSON lines for machines."""

import json
import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, and ``run`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (run := getattr(record, "run", None)) is not None:
            entry["run"] = run
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Says of each message which run it is about."""

    def __init__(self, logger: logging.Logger, run: str) -> None:
        super().__init__(logger, {"run": run})
        self._run = run

    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        return f"{self._run}: {msg}", {**kwargs, "extra": self.extra}


def configure(log_format: LogFormat, level: str, text: str = "%(asctime)s %(levelname)-7s %(message)s") -> None:
    """Send all logging of this process to standard error; ``text`` is what a line for people looks like."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(text))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("watchdog").setLevel(logging.WARNING)
