"""What all dashboards are made of: the variables, the panels of our few kinds, and queries with our selectors."""

from string import ascii_uppercase

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
JOB = 'job="$job"'
RUN = 'job="$job", run="$run"'
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"

Steps = list[tuple[float | None, str]]
Panel = Builder[models.Panel]


def board(uid: str, title: str, text: str, refresh: str = "10s") -> dashboard.Dashboard:
    """An empty dashboard with the variables ``datasource`` and ``job``."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["trainguard"])
        .readonly()
        .refresh(refresh)
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data Source").type("prometheus"))
        .with_variable(variable("job", "Job", "label_values(trainguard_build_info, job)"))
    )


def variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable whose values come from Prometheus, asked again when the time range changes."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def query(expr: str, legend: str = "") -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(SOURCE).expr(expr).legend_format(legend or "__auto").range().ref_id("A")


def thresholds(steps: Steps) -> Builder[models.ThresholdsConfig]:
    """From the lowest up; the first has no lower bound."""
    made = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def lines(title: str, text: str, unit: str, *queries: prometheus.Dataquery, width: int = 12) -> timeseries.Panel:
    """Curves over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .line_width(1)
        .fill_opacity(6)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(True).placement(common_models.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    for letter, each in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(each.ref_id(letter))
    return panel


def steps_of(title: str, text: str, *queries: prometheus.Dataquery, width: int = 12) -> timeseries.Panel:
    """Things that hold for a while, as bars of full height one over the other."""
    panel = lines(title, text, "short", *queries, width=width)
    stacked = common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A")
    stepped = panel.line_interpolation(common_models.LineInterpolation.STEP_AFTER).stacking(stacked)
    return stepped.fill_opacity(70).line_width(0).min(0).decimals(0)


def number(
    title: str, text: str, unit: str, asked: prometheus.Dataquery, steps: Steps | None = None, *, width: int = 4
) -> stat.Panel:
    """One value now, large."""
    return (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(width)
        .thresholds(thresholds(steps or [(None, BLUE)]))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(asked)
    )


def bars(title: str, text: str, unit: str, asked: prometheus.Dataquery, *, width: int = 12) -> bargauge.Panel:
    """One bar for each series, now."""
    return (
        bargauge.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .min(0)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.GRADIENT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(asked)
    )


def rows(title: str, text: str, columns: dict[str, str], *, width: int = 24) -> table.Panel:
    """A table with one row for each run: by column, the query that gives its value."""
    panel = table.Panel().title(title).description(text).datasource(SOURCE).height(9).span(width).unit("short")
    names: dict[str, str] = {}
    for letter, (column, expr) in zip(ascii_uppercase, columns.items(), strict=False):
        asked = prometheus.Dataquery().datasource(SOURCE).expr(expr).instant().ref_id(letter)
        panel = panel.with_target(asked.format(prometheus_models.PromQueryFormat.TABLE))
        names[f"Value #{letter}"] = column
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    organized = {"excludeByName": {"Time": True}, "renameByName": names}
    return panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organized))
