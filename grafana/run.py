"""The dashboard *Run*: the story of one run."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardLinkType

from grafana.panels import AMBER, GREEN, RED, RUN, SOURCE, Panel, board, lines, number, query, steps_of, variable


def build() -> Dashboard:
    made = board("trainguard-run", "Trainguard / Run", "The story of one training run.", refresh="5s")
    made = made.with_variable(variable("run", "Run", 'label_values(trainguard_run_state{job="$job"}, run)'))
    made = made.annotation(_marks("Interventions", "act", "orange")).annotation(_marks("Held back", "hold_.*", "blue"))
    made = made.link(_link_to_fleet())
    for panel in (*_now(), *_signals(), *_rules()):
        made = made.with_panel(panel)
    return made.build()


def _now() -> Iterator[Panel]:
    yield number("Step", "Optimizer step of the last record.", "none", query(f"trainguard_run_step{{{RUN}}}"))
    yield number(
        "Last sample",
        "How long ago the last sample was measured. A training that validates or loads data is silent as well.",
        "s",
        query(f"time() - trainguard_run_last_sample_timestamp_seconds{{{RUN}}}"),
        [(None, GREEN), (60.0, AMBER), (600.0, RED)],
    )
    yield number("Loss now", "Training loss of the last step.", "short", query(_signal("loss")))
    yield number("Learning rate now", "In effect, trainguard's factor included.", "sci", query(_signal("lr")))
    yield number(
        "Rules firing",
        "Rules whose condition has held long enough.",
        "none",
        query(f'sum(trainguard_rule_state{{{RUN}, state="firing"}})'),
        [(None, GREEN), (1.0, RED)],
    )
    yield number(
        "Interventions",
        "Decisions to act since the run began.",
        "none",
        query(f'sum(trainguard_decisions_total{{{RUN}, verdict="act"}})'),
        [(None, GREEN), (1.0, AMBER), (10.0, RED)],
    )


def _signals() -> Iterator[Panel]:
    yield lines(
        "Loss",
        "Training loss, and what the loop observed besides.",
        "short",
        query(_signals_like(".*loss"), "{{signal}}"),
    )
    yield lines(
        "Gradient norm", "L2 norm of all gradients, before clipping.", "short", query(_signal("grad_norm"), "grad_norm")
    )
    yield lines(
        "Learning rate", "In effect in the step, trainguard's factor included.", "sci", query(_signal("lr"), "lr")
    )
    yield lines(
        "Factor on the learning rate",
        "1 while trainguard does not interfere.",
        "percentunit",
        query(_signal("lr_scale"), "lr_scale"),
    )
    yield lines(
        "Confidence and collapse",
        "Mean of the largest class probability, and the entropy of the predicted classes: 0 is collapse.",
        "percentunit",
        query(_signals_like("confidence|confidence_normalized|prediction_entropy"), "{{signal}}"),
    )
    yield lines(
        "Sparsity",
        "Shares of activations near zero, of activations at zero, and of units that never fire.",
        "percentunit",
        query(_signals_like("activation_sparsity|zero_fraction|dead_units"), "{{signal}}"),
    )


def _rules() -> Iterator[Panel]:
    yield steps_of(
        "Rules pending and firing",
        "Each rule that is not inactive: 1 while pending, 2 while firing.",
        query(
            f'sum by (rule) (trainguard_rule_state{{{RUN}, state="pending"}}) '
            f'+ 2 * sum by (rule) (trainguard_rule_state{{{RUN}, state="firing"}})',
            "{{rule}}",
        ),
    )
    yield lines(
        "Verdicts",
        "Answers of policy to firing rules, in each minute.",
        "none",
        query(f"sum by (verdict) (60 * rate(trainguard_decisions_total{{{RUN}}}[$__rate_interval]))", "{{verdict}}"),
    )
    yield lines(
        "Actions by what became of them",
        "In each minute.",
        "none",
        query(
            f"sum by (kind, status) (60 * rate(trainguard_actions_total{{{RUN}}}[$__rate_interval])) > 0",
            "{{kind}} {{status}}",
        ),
    )
    yield lines(
        "Values that were not finite",
        "In each minute, by signal.",
        "none",
        query(
            f"sum by (signal) (60 * rate(trainguard_run_nonfinite_values_total{{{RUN}}}[$__rate_interval]))",
            "{{signal}}",
        ),
    )


def _signal(name: str) -> str:
    return f'trainguard_run_signal{{{RUN}, signal="{name}"}}'


def _signals_like(pattern: str) -> str:
    return f'trainguard_run_signal{{{RUN}, signal=~"{pattern}"}}'


def _marks(name: str, verdicts: str, color: str) -> dashboard.AnnotationQuery:
    """A mark on every panel wherever a rule was answered like this."""
    asked = f'changes(trainguard_decisions_total{{{RUN}, verdict=~"{verdicts}"}}[$__interval]) > 0'
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(asked)


def _link_to_fleet() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("All runs").type(DashboardLinkType.LINK).url("/d/trainguard-fleet")
    return link.keep_time(True)
