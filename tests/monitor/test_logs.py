"""Log lines for machines."""

import json
import logging
import sys

from trainguard_monitor.logs import JsonFormatter


def test_json_lines() -> None:
    """One object a line, with the run where there is one, and the exception where there was one."""
    record = logging.LogRecord("trainguard_monitor.daemon", logging.ERROR, __file__, 1, "%s: gone", ("a",), None)
    record.created = 1_700_000_000.25
    record.run = "a"
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert "ValueError: why" in entry.pop("exception")
    assert entry == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "error",
        "logger": "trainguard_monitor.daemon",
        "message": "a: gone",
        "run": "a",
    }
