"""The dashboard *Monitor*: the daemon itself."""

from collections.abc import Iterator

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.panels import GREEN, JOB, RED, Panel, board, lines, number, query

WITHIN = (
    "histogram_quantile({q}, sum by (le) (rate(trainguard_action_latency_{unit}_bucket{{{job}}}[$__rate_interval])))"
)


def build() -> Dashboard:
    made = board(
        "trainguard-monitor", "Trainguard / Monitor", "The monitors themselves: do they see, keep up and get through?"
    )
    for panel in (*_now(), *_load(), *_reach(), *_alerts()):
        made = made.with_panel(panel)
    return made.build()


def _now() -> Iterator[Panel]:
    yield number(
        "Monitors up", "That answer Prometheus.", "none", query(f"sum(up{{{JOB}}})"), [(None, RED), (1.0, GREEN)]
    )
    yield number(
        "Rules loaded",
        "1 while the last reload of the rule files succeeded, everywhere.",
        "none",
        query(f"min(trainguard_config_last_reload_successful{{{JOB}}})"),
        [(None, RED), (1.0, GREEN)],
    )
    yield number("Runs", "Followed, held, ended or failed.", "none", query(f"sum(trainguard_runs{{{JOB}}})"))
    yield number(
        "Largest memory",
        "Resident, of the largest monitor.",
        "bytes",
        query(f"max(process_resident_memory_bytes{{{JOB}}})"),
    )
    lost = query(
        f"sum(trainguard_trainer_records_lost_total{{{JOB}}}) + sum(trainguard_records_corrupt_total{{{JOB}}})"
    )
    yield number(
        "Records lost", "That trainers could not write, or that were torn.", "none", lost, [(None, GREEN), (1.0, RED)]
    )
    failed = query(f"sum(trainguard_monitor_write_failures_total{{{JOB}}})")
    yield number("Writes failed", "Of journal and control.", "none", failed, [(None, GREEN), (1.0, RED)])


def _load() -> Iterator[Panel]:
    yield lines(
        "Records read",
        "A second, by type.",
        "cps",
        query(f"sum by (type) (rate(trainguard_records_received_total{{{JOB}}}[$__rate_interval]))", "{{type}}"),
    )
    yield lines(
        "Evaluations",
        "Of all rules, a second; and those that came to no result.",
        "cps",
        query(f"sum(rate(trainguard_rule_evaluations_total{{{JOB}}}[$__rate_interval]))", "evaluations"),
        query(f"sum(rate(trainguard_rule_unknown_total{{{JOB}}}[$__rate_interval]))", "without a result"),
    )
    yield lines(
        "CPU",
        "Share of one core.",
        "percentunit",
        query(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),
    )
    yield lines("Memory", "Resident.", "bytes", query(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}"))


def _reach() -> Iterator[Panel]:
    yield lines(
        "From decision to applied, in seconds",
        "Median and 99th percentile, by the trainer's clock.",
        "s",
        query(WITHIN.format(q=0.5, unit="seconds", job=JOB), "median"),
        query(WITHIN.format(q=0.99, unit="seconds", job=JOB), "99th percentile"),
    )
    yield lines(
        "From decision to applied, in steps",
        "Median and 99th percentile.",
        "none",
        query(WITHIN.format(q=0.5, unit="steps", job=JOB), "median"),
        query(WITHIN.format(q=0.99, unit="steps", job=JOB), "99th percentile"),
    )
    yield lines(
        "What was lost or late",
        "In each minute: records that trainers could not write, lines that were torn, samples of older generations.",
        "none",
        query(f"sum(60 * rate(trainguard_trainer_records_lost_total{{{JOB}}}[$__rate_interval]))", "lost"),
        query(f"sum(60 * rate(trainguard_records_corrupt_total{{{JOB}}}[$__rate_interval]))", "torn"),
        query(f"sum(60 * rate(trainguard_records_late_total{{{JOB}}}[$__rate_interval]))", "late"),
    )
    yield lines(
        "Actions by what became of them",
        "In each minute, over all runs.",
        "none",
        query(f"sum by (status) (60 * rate(trainguard_actions_total{{{JOB}}}[$__rate_interval]))", "{{status}}"),
    )


def _alerts() -> Iterator[Panel]:
    told, failed, dropped = (
        f"60 * rate(trainguard_notifications{what}_total{{{JOB}}}[$__rate_interval])"
        for what in ("", "_failed", "_dropped")
    )
    yield lines(
        "Alerts told to Alertmanager",
        "In each minute: those it took, those in requests that failed, and those the queue had no room for. Nothing "
        "where a monitor tells no Alertmanager.",
        "none",
        query(f"sum by (alertmanager) ({told})", "{{alertmanager}}"),
        query(f"sum by (reason) ({failed})", "failed: {{reason}}"),
        query(f"sum({dropped})", "dropped"),
    )
    yield lines(
        "Alerts that wait",
        "In the queue for each Alertmanager.",
        "none",
        query(f"sum by (alertmanager) (trainguard_notifications_queue_length{{{JOB}}})", "{{alertmanager}}"),
    )
