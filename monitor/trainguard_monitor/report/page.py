"""The report as a page: what the template is given. Everything is escaped by Jinja, wherever it came from."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from trainguard_monitor.recorded.story import planned
from trainguard_monitor.report import words
from trainguard_monitor.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Mark, draw
from trainguard_monitor.report.incidents import Incident
from trainguard_monitor.report.material import Material
from trainguard_monitor.report.rules import Rules
from trainguard_wire import __version__
from trainguard_wire.signals import SIGNALS

FIRST = ("loss", "grad_norm", "lr", "activation_sparsity", "confidence")
POINTS, FEWER_POINTS = 1200, 300
MOST_CHARTS = 60
MOST_CHECKPOINTS = 100


def render(material: Material, rules: Rules, now: float) -> str:
    """One HTML document, without anything outside of it. ``now`` is when it is made, in Unix seconds."""
    environment = Environment(
        loader=PackageLoader("trainguard_monitor", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    filters = (words.duration, words.moment, words.amount, words.size, words.counted)
    environment.filters |= {function.__name__: function for function in filters}
    environment.filters["planned"] = lambda action: planned(action["kind"], action["params"])
    checkpoints = list(material.checkpoints.values())
    charts = _charts(material, rules)
    return environment.get_template("report.html").render(
        css=_css(),
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
        story=words.story(material),
        material=material,
        info=msgspec.to_builtins(material.info),
        incidents=[(incident, _interventions(material, incident)) for incident in material.incidents.kept],
        earlier=material.incidents.total - len(material.incidents.kept),
        rules=rules,
        charts=[chart for chart in charts if chart.signal in FIRST],
        more_charts=[chart for chart in charts if chart.signal not in FIRST],
        checkpoints=checkpoints[-MOST_CHECKPOINTS:],
        checkpoints_before=max(0, len(checkpoints) - MOST_CHECKPOINTS),
        version=__version__,
        now=now,
    )


def _css() -> str:
    """The colours of the status page, and the rest."""
    package = resources.files("trainguard_monitor")
    texts = [(package / place).read_text(encoding="utf-8") for place in ("page/colours.css", "report/report.css")]
    return "\n".join(texts)


def _interventions(material: Material, incident: Incident) -> list[dict[str, Any]]:
    """What was decided in an incident, with what came of it; of what was approved, as it was done.

    Of requests that nobody answered and that were made again, the newest.
    """
    decided = [d for d in material.decisions if d["id"] in incident.interventions and not d["asked_again"]]
    return list({decision["id"]: decision for decision in decided}.values())


def _charts(material: Material, rules: Rules) -> list[Chart]:
    history = material.history
    begin = min((process.hello.step for process in material.processes), default=0)
    bands = list(material.incidents.bands())
    marks = [*_marks(material), *_restarts(material)]
    charts = []
    for signal in _in_order(history.signals)[:MOST_CHARTS]:
        points = POINTS if signal in FIRST else FEWER_POINTS
        column = history.read([signal], 0, history.last_step, points)[signal]
        looking = rules.look_at(signal)
        looked_at = [band for band in bands if band.rule in looking]
        others = [band for band in bands if band.rule not in looking] if signal in FIRST else []
        spec = SIGNALS.get(signal)
        unit, meaning = ("", "") if spec is None else (spec.unit, spec.meaning)
        span = (begin, history.last_step)
        charts.append(draw(signal, column, span, looked_at, others, marks, unit=unit, meaning=meaning))
    return charts


def _in_order(signals: Sequence[str]) -> list[str]:
    return [*(signal for signal in FIRST if signal in signals), *(s for s in signals if s not in FIRST)]


def _marks(material: Material) -> list[Mark]:
    """Each intervention, at the step where it took effect, under the number of its incident."""
    marks = []
    for incident in material.incidents.kept:
        for decision in _interventions(material, incident):
            if decision["verdict"] != "act":
                continue
            actions = decision["actions"]
            step = next((a["step"] for a in actions if a["status"] == "applied"), decision["step"])
            helped = decision["verification"]
            bad = any(a["status"] not in ("applied", "waiting") for a in actions) or (helped and not helped["helped"])
            said = "; ".join(a.get("text") or planned(a["kind"], a["params"]) for a in actions)
            title = f"incident {incident.number}, {decision['rule']}: {said}"
            marks.append(Mark(step, str(incident.number), title, "bad" if bad else "act"))
    return marks


def _restarts(material: Material) -> list[Mark]:
    """Training processes after the first."""
    hellos = [process.hello for process in material.processes[1:]]
    return [Mark(hello.step, "", f"a new training process, generation {hello.generation}", "quiet") for hello in hellos]
