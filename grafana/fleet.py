"""The dashboard *Fleet*: all runs, worst first."""

from collections.abc import Iterator

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.panels import AMBER, GREEN, JOB, RED, Panel, bars, board, lines, number, query, rows

BADNESS = (  # a sum of what there is: a run whose rules have no actions has no decisions
    f'sum by (run) (10 * trainguard_rule_state{{{JOB}, state="firing"}} '
    f'or 3 * trainguard_rule_state{{{JOB}, state="pending"}} '
    f'or increase(trainguard_decisions_total{{{JOB}, verdict="act"}}[1h]))'
)

SILENT = f"time() - max by (run) (trainguard_run_last_sample_timestamp_seconds{{{JOB}}})"


def build() -> Dashboard:
    made = board("trainguard-fleet", "Trainguard / Fleet", "All runs that the monitors follow, worst first.")
    for panel in (*_now(), *_worst(), *_all()):
        made = made.with_panel(panel)
    return made.build()


def _now() -> Iterator[Panel]:
    for state, text, color in (
        ("driven", "Followed by these monitors.", GREEN),
        ("ended", "Over, in order.", GREEN),
        ("held", "Followed by another monitor.", AMBER),
        ("failed", "Cannot be followed; the monitor's log says why.", RED),
    ):
        asked = query(f'sum(trainguard_runs{{{JOB}, state="{state}"}})')
        yield number(f"Runs {state}", text, "none", asked, [(None, GREEN), (1.0, color)])
    firing = query(f'count(sum by (run) (trainguard_rule_state{{{JOB}, state="firing"}}) > 0) or vector(0)')
    yield number("Runs with a rule firing", "Now.", "none", firing, [(None, GREEN), (1.0, RED)])
    acted = query(f'round(sum(increase(trainguard_decisions_total{{{JOB}, verdict="act"}}[1h])))')
    yield number("Interventions in the last hour", "Over all runs.", "none", acted, [(None, GREEN), (1.0, AMBER)])


def _worst() -> Iterator[Panel]:
    yield bars(
        "Worst first",
        "Ten points for a rule that fires, three for one that is pending, one for each intervention of the last hour.",
        "none",
        query(f"topk(15, {BADNESS})", "{{run}}"),
    )
    yield bars(
        "Silent for longest",
        "Since the last sign of life of runs that have not ended.",
        "s",
        query(
            f"topk(15, (time() - trainguard_run_last_record_timestamp_seconds{{{JOB}}}) "
            f'and on (run, instance) trainguard_run_state{{{JOB}, state="driven"}} == 1)',
            "{{run}}",
        ),
    )


def _all() -> Iterator[Panel]:
    yield rows(
        "Runs",
        "What each run is at.",
        {
            "rules firing": f'sum by (run) (trainguard_rule_state{{{JOB}, state="firing"}})',
            "interventions": f'sum by (run) (trainguard_decisions_total{{{JOB}, verdict="act"}})',
            "step": f"max by (run) (trainguard_run_step{{{JOB}}})",
            "generation": f"max by (run) (trainguard_run_generation{{{JOB}}})",
            "loss": f'max by (run) (trainguard_run_signal{{{JOB}, signal="loss"}})',
            "seconds since the last sample": SILENT,
        },
    )
    yield lines(
        "Loss",
        "Of every run that is followed.",
        "short",
        query(f'trainguard_run_signal{{{JOB}, signal="loss"}}', "{{run}}"),
    )
    yield lines(
        "Interventions",
        "Of every run, in each hour.",
        "none",
        query(f'sum by (run) (increase(trainguard_decisions_total{{{JOB}, verdict="act"}}[1h]))', "{{run}}"),
    )
