"""The committed dashboards, as the tests look at them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


class Query(NamedTuple):
    board: str
    panel: str
    expr: str


def panels_of(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> list[Query]:
    """Those of all panels and annotations."""
    found = []
    for name, board in BOARDS.items():
        for panel in panels_of(board):
            found += [Query(name, panel["title"], target["expr"]) for target in panel.get("targets", ())]
        for mark in board["annotations"].get("list", ()):
            if "expr" in mark:
                found.append(Query(name, mark["name"], mark["expr"]))
    return found


def filled_in(expr: str) -> str:
    """With a value for each variable."""
    for variable, value in (("$job", "trainguard"), ("$run", "a"), ("$__rate_interval", "1m"), ("$__interval", "30s")):
        expr = expr.replace(variable, value)
    return expr
