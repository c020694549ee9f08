"""The dashboards are what the code makes, lose nothing on the way through Grafana's types, and keep to conventions.

The conventions are those of Grafana's own dashboard linter, as far as they can be told from the JSON. Where we differ:
there is no variable ``instance``, and queries do not select one: a run has one monitor, so ``run`` is the selector.
"""

import json
import re
from typing import Any

import pytest

from tests.grafana.boards import BOARDS, FOLDER, panels_of, queries
from tests.support.tools import need_module

need_module("grafana_foundation_sdk")

from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: E402
from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: E402

from grafana.__main__ import DASHBOARDS, encoded  # noqa: E402

register_default_plugins()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_committed_json_is_what_the_code_makes(name: str):
    assert (FOLDER / f"{name}.json").read_text() == encoded(DASHBOARDS[name]())


@pytest.mark.parametrize("name", BOARDS)
def test_nothing_is_lost_in_grafanas_types(name: str):
    """A misspelt key would be."""
    again = json.loads(encoded(Dashboard.from_json(BOARDS[name])))
    assert _paths(BOARDS[name]) - _paths(again) == set()


def _paths(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {found for key, item in value.items() for found in _paths(item, f"{path}.{key}")}
    if isinstance(value, list):
        return {found for index, item in enumerate(value) for found in _paths(item, f"{path}[{index}]")}
    return {f"{path} = {value!r}"}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_variables(board: dict[str, Any]):
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert [(v["name"], v["label"]) for v in variables.values() if v["type"] == "datasource"] == [
        ("datasource", "Data Source")
    ]
    assert variables["job"]["datasource"]["uid"] == "${datasource}"
    for each in variables.values():
        if each["type"] == "query":
            assert each["refresh"] == 2  # when the time range changes
            assert each["query"].startswith("label_values(trainguard_")


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_queries_of_a_panel_are_told_apart(board: dict[str, Any]):
    """Grafana keeps answers by ``refId``: of two with the same, one would be lost."""
    for panel in panels_of(board):
        named = [target["refId"] for target in panel.get("targets", ())]
        assert all(named), panel["title"]
        assert len(set(named)) == len(named), panel["title"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels(board: dict[str, Any]):
    assert board["editable"] is False
    assert board["uid"].startswith("trainguard-")
    titles = [panel["title"] for panel in panels_of(board)]
    assert len(titles) == len(set(titles))
    for panel in panels_of(board):
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.board}-{query.panel}")
def test_queries(query):
    """Every metric is selected by job; a rate looks at what a scrape interval needs."""
    selectors = re.findall(r"\b(?:trainguard|process)_\w+(\{[^}]*\})?|\bup(\{[^}]*\})", query.expr)
    assert all('job="$job"' in found for found in map("".join, selectors))
    for function, window in re.findall(r"\b(rate|irate)\([^[]*\[([^\]]+)\]", query.expr):
        assert (function, window) == ("rate", "$__rate_interval")
