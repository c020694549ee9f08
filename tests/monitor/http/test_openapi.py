"""The description of the API is true: it names every route, and what it promises holds for whatever is thrown at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from tests.monitor.helpers import ScriptedTrainer, interventions_of, journal_of, openings_of, running, serving
from tests.support.waiting import until
from trainguard_monitor.daemon import Daemon
from trainguard_monitor.http.app import build_app
from trainguard_monitor.http.openapi import description
from trainguard_monitor.http.security import Door
from trainguard_rules import load_rules
from trainguard_wire import Input

TOKEN = "a-token-of-many-characters"
RULES = """\
groups:
  - name: g
    rules:
      - guard: High
        expr: loss > 5
        actions: [{scale_lr: {factor: 0.5}}]
        limit: 3
      - guard: Asks
        expr: loss > 7
        mode: approve
        actions: [{save_checkpoint: {}}]
      - guard: Hot
        alert: {alertname: GpuOverheating}
        actions: [{stop: {}}]
      - expect: Low
        expr: loss < 0.1
        within: 1000 steps
"""
DESCRIBED = description()
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED)
STREAMS = ("events", "run_events")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
QUICKLY = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations() -> dict[str, Any]:
    """By operationId."""
    found = (result.ok() for result in SCHEMA.get_all_operations())
    return {operation.definition.raw["operationId"]: operation for operation in found}


OPERATIONS = operations()
CHANGING = [name for name, operation in OPERATIONS.items() if operation.definition.raw.get("security")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScriptedTrainer, str]]:
    """A run called "a" with something of everything, and a monitor over it, with a door that is never too busy."""
    folder = tmp_path_factory.mktemp("world")
    rules, runs = folder / "rules.yaml", folder / "runs"
    rules.write_text(RULES)
    trainer = ScriptedTrainer(runs / "a")
    trainer.hello()
    trainer.samples(50, loss=1.0, grad_norm=float("nan"))
    ticks = iter(range(0, 10**9, 100))
    with running(Daemon(runs, load_rules([str(rules)]))) as daemon:
        until(lambda: openings_of(trainer.run))
        trainer.sample(loss=9.0)
        until(lambda: interventions_of(trainer.run))
        trainer.apply(interventions_of(trainer.run)[0])
        trainer.sample(loss=9.0)
        until(lambda: daemon.runs()[0].step == 52)
        door = Door(TOKEN, clock=lambda: float(next(ticks)))
        with serving(build_app(daemon, door=door, reload=lambda: None, loopback="127.0.0.1")) as url:
            yield trainer, url
    trainer.close()


def test_every_route_is_described(world: Any) -> None:
    """But for the page. And nothing else is; by the same methods."""
    daemon = Daemon(Path("nowhere"), load_rules(["stability"]))
    routes = {
        (r.path, m)
        for r in build_app(daemon).routes
        if isinstance(r, Route) and r.include_in_schema
        for m in r.methods or ()
        if m != "HEAD"
    }
    methods = {"get", "post", "put", "delete"}
    assert routes == {(path, m.upper()) for path, item in DESCRIBED["paths"].items() for m in item if m in methods}


def test_what_changes_anything_is_behind_the_door(world: Any) -> None:
    """Every POST, and every POST says so."""
    posts = [name for name, operation in OPERATIONS.items() if operation.method == "post"]
    assert sorted(CHANGING) == sorted(posts)
    assert len(CHANGING) == 4


def test_it_is_served(world: tuple[ScriptedTrainer, str]) -> None:
    """Under its own path, and it is OpenAPI 3.1."""
    _, url = world
    served = httpx.get(f"{url}/api/v1/openapi.json").json()
    assert served == DESCRIBED
    SCHEMA.validate()
    jsonschema.Draft202012Validator.check_schema({"$defs": served["components"]["schemas"]})


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(CHANGING) - set(STREAMS)))
def test_answers_are_as_described(world: tuple[ScriptedTrainer, str], name: str) -> None:
    """For the run that there is, with something of everything in it, field for field."""
    _, url = world
    operation = OPERATIONS[name]
    answer = httpx.get(f"{url}{operation.path.replace('{run}', 'a')}")
    assert answer.status_code == 200
    content = operation.definition.raw["responses"]["200"]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in content
    if kind == "application/json":
        schema = content[kind]["schema"] | {"components": DESCRIBED["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def throws() -> Iterator[tuple[str, GenerationMode]]:
    """Every operation as it is described, and every one that can be asked wrongly also otherwise."""
    for name in sorted(set(OPERATIONS) - set(STREAMS)):
        yield name, GenerationMode.POSITIVE
        raw = OPERATIONS[name].definition.raw
        if "parameters" in raw or "requestBody" in raw:
            yield name, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("name", "mode"), list(throws()))
def test_whatever_is_thrown_at_it(world: tuple[ScriptedTrainer, str], name: str, mode: GenerationMode) -> None:
    """No 500, and no answer that is not described: neither its status nor its form."""
    _, url = world
    operation = OPERATIONS[name]
    ours = {"run": "a"} if operation.path_parameters and mode is GenerationMode.POSITIVE else None

    @QUICKLY
    @given(case=operation.as_strategy(mode, path_parameters=ours))
    def throw(case: Any) -> None:
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    throw()


@pytest.mark.parametrize("name", CHANGING)
def test_nothing_changes_without_the_token(world: tuple[ScriptedTrainer, str], name: str) -> None:
    """However well-formed a request is."""
    trainer, url = world
    operation = OPERATIONS[name]
    before = [record for record in journal_of(trainer.run) if isinstance(record, Input)]

    ours = {"run": "a"} if operation.path_parameters else None

    @QUICKLY
    @given(case=operation.as_strategy(GenerationMode.POSITIVE, path_parameters=ours))
    def knock(case: Any) -> None:
        case.headers.pop("Authorization", None)
        assert case.call(base_url=url, timeout=20).status_code == 401

    knock()
    assert [record for record in journal_of(trainer.run) if isinstance(record, Input)] == before
