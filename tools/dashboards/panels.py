"""What all dashboards share: variables, links, colours, and panels that say what they show and when to worry.

Expressions are PromQL with one short form: `{@host}` stands for the matchers of the variables that choose a host, and so
on for the other keys of SCOPES. Whoever writes a selector thus writes which variables it obeys.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    annotationslist,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

RUNBOOKS = "https://github.com/plano/delivery/blob/main/docs/runbooks"
DATASOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Multi-value variables are regular expressions to Prometheus, and All is `.*`.
_ENVIRONMENT = 'environment=~"$environment"'
SCOPES = {
    "@environment": _ENVIRONMENT,
    # An alert on something that is missing has no environment: it concerns all of them.
    "@alert": 'environment=~"$environment|"',
    "@host": f'{_ENVIRONMENT}, host=~"$host"',
    "@change": f'{_ENVIRONMENT}, host=~"$host", component=~"$component"',
    "@database": f'{_ENVIRONMENT}, database=~"$database"',
    # What postgres_exporter says of a database carries the host label of its target.
    "@server": f'{_ENVIRONMENT}, host=~"$database"',
    "@instance": f'{_ENVIRONMENT}, dbinstance_identifier=~"$database"',
    "@balancer": f'{_ENVIRONMENT}, load_balancer=~"$load_balancer"',
    "@acl": f'{_ENVIRONMENT}, web_acl=~"$web_acl"',
    "@distribution": f'{_ENVIRONMENT}, distribution_id=~"$distribution"',
}

GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "#8e8e8e"
REFRESH = "30s"
# Without what monitoring asks, which is fast and frequent.
USERS = 'route!~"/health|/metrics|/version"'
# Of Grafana 10.4 and 11. Nothing newer is used, and newer servers convert it as they load it.
SCHEMA = 39
COLUMNS = 24


# -- queries -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """An expression in short form and how each of its series is called."""

    expression: str
    legend: str = ""

    @property
    def promql(self) -> str:
        """The expression with its short forms written out, on one line."""
        text = " ".join(self.expression.split())
        for short in sorted(SCOPES, key=len, reverse=True):
            text = text.replace(short, SCOPES[short])
        return text


def _targets(queries: Sequence[Query], instant: bool, form: PromQueryFormat) -> list[Any]:
    found = []
    for query, name in zip(queries, string.ascii_uppercase):
        target = prometheus.Dataquery().datasource(DATASOURCE).ref_id(name).expr(query.promql).format(form)
        target = target.legend_format(query.legend) if query.legend else target
        found.append(target.instant() if instant else target.range())
    return found


# -- colours -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """From where on a value is a ticket (orange) or a page (red): the numbers of the alerts."""

    ticket: float | None = None
    page: float | None = None
    below: bool = False

    @property
    def steps(self) -> list[models.Threshold]:
        """The colours from the lowest value upwards."""
        known = [(self.ticket, ORANGE), (self.page, RED)]
        given = [(value, colour) for value, colour in known if value is not None]
        if not self.below:
            return [models.Threshold(None, GREEN), *(models.Threshold(value, colour) for value, colour in given)]
        colours = [colour for _value, colour in reversed(given)] + [GREEN]
        values = [None, *(value for value, _colour in reversed(given))]
        return [models.Threshold(value, colour) for value, colour in zip(values, colours)]

    @property
    def lines(self) -> list[models.Threshold]:
        """The lines of a graph: a line has the colour of what lies beyond it, on whichever side that is."""
        given = [(self.ticket, ORANGE), (self.page, RED)]
        found = sorted((value, colour) for value, colour in given if value is not None)
        return [models.Threshold(None, GREEN), *(models.Threshold(value, colour) for value, colour in found)]


NO_LIMITS = Limits()
# One is one too many.
ANY = Limits(ticket=1)
ANY_PAGES = Limits(page=1)
# 1 is well and 0 is not.
STATE = Limits(ticket=1, below=True)
STATE_PAGES = Limits(page=1, below=True)


def above(ticket: float | None = None, page: float | None = None) -> Limits:
    """High is bad."""
    return Limits(ticket, page)


def below(ticket: float | None = None, page: float | None = None) -> Limits:
    """Low is bad."""
    return Limits(ticket, page, below=True)


def _thresholds(steps: list[models.Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def words(**texts: str) -> list[models.ValueMapping]:
    """Say a number by a word: words(_1="up", _0="down")."""
    options = {number[1:]: models.ValueMappingResult(text=text) for number, text in texts.items()}
    return [models.ValueMap(options)]


def _no_data() -> models.ValueMapping:
    """Nothing known is neither good nor bad, and must not look like one of them."""
    result = models.ValueMappingResult(text="no data", color=GREY)
    return models.SpecialValueMap(
        models.DashboardSpecialValueMapOptions(match=models.SpecialValueMatch.NULL_AND_NAN, result=result)
    )


# -- panels --------------------------------------------------------------------------------------------

Panel: TypeAlias = "stat.Panel | timeseries.Panel | table.Panel | statetimeline.Panel | annotationslist.Panel"
Drawn = TypeVar("Drawn", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel)


def runbook(alert: str) -> str:
    """Return where the page of an alert is."""
    return f"${{runbooks:raw}}/{alert}.md"


def _described(panel: Drawn, title: str, says: str, unit: str, alerts: Iterable[str], width: int, height: int) -> Drawn:
    links: list[Any] = [dashboard.DashboardLink(alert).url(runbook(alert)).target_blank(True) for alert in alerts]
    panel.title(title).description(says).unit(unit).datasource(DATASOURCE).span(width).height(height)
    return panel.links(links) if links else panel


def _queries(queries: str | Query | Sequence[Query]) -> list[Query]:
    if isinstance(queries, str):
        return [Query(queries)]
    return [queries] if isinstance(queries, Query) else list(queries)


def figure(
    title: str,
    says: str,
    queries: str | Query | Sequence[Query],
    unit: str,
    *,
    limits: Limits = NO_LIMITS,
    alerts: Iterable[str] = (),
    mappings: Sequence[models.ValueMapping] = (),
    decimals: int | None = None,
    width: int = 4,
    height: int = 4,
) -> stat.Panel:
    """One number, large, on the colour of its limits."""
    panel = _described(stat.Panel(), title, says, unit, alerts, width, height)
    panel.targets(_targets(_queries(queries), True, PromQueryFormat.TIME_SERIES))
    panel.thresholds(_thresholds(limits.steps)).mappings([*mappings, _no_data()]).no_value("no data")
    panel.color_mode(
        common_models.BigValueColorMode.NONE if limits == NO_LIMITS else common_models.BigValueColorMode.BACKGROUND
    )
    panel.graph_mode(common_models.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel if decimals is None else panel.decimals(decimals)


def graph(
    title: str,
    says: str,
    queries: str | Query | Sequence[Query],
    unit: str,
    *,
    limits: Limits = NO_LIMITS,
    alerts: Iterable[str] = (),
    low: float | None = 0,
    high: float | None = None,
    stacked: bool = False,
    dashed: str = "",
    width: int = 8,
    height: int = 8,
) -> timeseries.Panel:
    """Lines over time and a line at each limit; a series whose name ends with *dashed* is there to compare with."""
    panel = _described(timeseries.Panel(), title, says, unit, alerts, width, height)
    panel.targets(_targets(_queries(queries), False, PromQueryFormat.TIME_SERIES))
    panel.thresholds(_thresholds(limits.lines)).line_width(1).fill_opacity(30 if stacked else 5)
    panel.show_points(common_models.VisibilityMode.NEVER)
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    panel.legend(
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI).sort(common_models.SortOrder.DESCENDING)
    )
    if limits != NO_LIMITS:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if dashed:
        line = {"fill": "dash", "dash": [6, 6]}
        panel.override_by_regexp(f"/{dashed}$/", [models.DynamicConfigValue("custom.lineStyle", line)])
    if low is not None:
        panel.min(low)
    return panel if high is None else panel.max(high)


def timeline(
    title: str,
    says: str,
    queries: str | Query | Sequence[Query],
    *,
    limits: Limits = NO_LIMITS,
    alerts: Iterable[str] = (),
    mappings: Sequence[models.ValueMapping] = (),
    width: int = 24,
    height: int = 6,
) -> statetimeline.Panel:
    """When something was so, as a bar for each series."""
    panel = _described(statetimeline.Panel(), title, says, "none", alerts, width, height)
    panel.targets(_targets(_queries(queries), False, PromQueryFormat.TIME_SERIES))
    panel.thresholds(_thresholds(limits.steps)).mappings(list(mappings))
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    panel.show_value(common_models.VisibilityMode.NEVER).row_height(0.8).merge_values(True)
    return panel.legend(common.VizLegendOptions().show_legend(False))


@dataclass(frozen=True)
class Column:
    """A column of a table that holds the value of a query."""

    header: str
    expression: str
    unit: str
    limits: Limits = NO_LIMITS
    mappings: Sequence[models.ValueMapping] = field(default_factory=tuple)


def listing(
    title: str,
    says: str,
    labels: Mapping[str, str],
    values: Column | Sequence[Column],
    *,
    sort: str,
    descending: bool = False,
    alerts: Iterable[str] = (),
    urgent: bool = False,
    width: int = 12,
    height: int = 9,
) -> table.Panel:
    """A row for each set of labels, these under their headers, then the value of each column; *urgent*: of alerts."""
    columns = [values] if isinstance(values, Column) else list(values)
    panel = _described(table.Panel(), title, says, columns[0].unit, alerts, width, height)
    # Rows of several queries become one only when all their labels are the same, and their names are labels too.
    rows = [Query(f"max by ({', '.join(labels)}) ({Query(column.expression).promql})") for column in columns]
    panel.targets(_targets(rows, True, PromQueryFormat.TABLE))
    names = ["Value"] if len(columns) == 1 else [f"Value #{name}" for name in string.ascii_uppercase[: len(columns)]]
    headers = {**labels, **{name: column.header for name, column in zip(names, columns)}}
    if len(columns) > 1:
        panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(
            "organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(headers)},
                "renameByName": headers,
            },
        )
    )
    for column in columns:
        panel.override_by_name(column.header, _properties(column))
    if urgent:
        link = {"title": "Runbook", "url": "${runbooks:raw}/${__value.raw}.md", "targetBlank": True}
        panel.override_by_name(labels["alertname"], [models.DynamicConfigValue("links", [link])])
        colours = {name: models.ValueMappingResult(color=colour) for name, colour in SEVERITIES.items()}
        panel.override_by_name(
            labels["severity"], [models.DynamicConfigValue("mappings", [models.ValueMap(colours)]), COLOURED]
        )
    panel.cell_height(common_models.TableCellHeight.SM).no_value("none")
    return panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])


SEVERITIES = {"page": RED, "ticket": ORANGE, "info": BLUE}
COLOURED = models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})


def _properties(column: Column) -> list[models.DynamicConfigValue]:
    properties = [models.DynamicConfigValue("unit", column.unit)]
    if column.mappings:
        properties.append(models.DynamicConfigValue("mappings", list(column.mappings)))
    if column.limits != NO_LIMITS:
        properties += [
            models.DynamicConfigValue("thresholds", _thresholds(column.limits.steps).build()),
            COLOURED,
        ]
    return properties


def changes(title: str, says: str, *, width: int = 8, height: int = 9) -> annotationslist.Panel:
    """What the changes told Grafana, newest first."""
    panel = annotationslist.Panel().title(title).description(says).span(width).height(height)
    return panel.tags(["plano"]).limit(20).only_from_this_dashboard(False).only_in_time_range(True)


# -- dashboards ----------------------------------------------------------------------------------------


def variable(name: str, query: str, label: str, description: str, *, multi: bool = True) -> dashboard.QueryVariable:
    """A choice among the values of a label, all of them to begin with."""
    found = Query(query).promql
    everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query({"query": found, "refId": name})
        .definition(found)
        .current(everything)
        .multi(multi)
        .include_all(True)
        .all_value(".*")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def host(expression: str = 'up{@environment, job="node"}') -> dashboard.QueryVariable:
    """The hosts of which an expression's metric speaks."""
    return variable("host", f"label_values({expression}, host)", "Host", "Hosts of the environments chosen.")


def _shared_variables() -> list[Any]:
    runbooks = (
        dashboard.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("Where docs/runbooks is kept: links to NAME.md begin with it.")
        .default_value(RUNBOOKS)
        .current(models.VariableOption(text=RUNBOOKS, value=RUNBOOKS))
        .hide(models.VariableHide.HIDE_VARIABLE)
    )
    datasource = (
        dashboard.DatasourceVariable("datasource")
        .label("Prometheus")
        .description("Which Prometheus is asked.")
        .type("prometheus")
    )
    environment = variable(
        "environment", "label_values(up, environment)", "Environment", "Environments this Prometheus watches."
    )
    return [datasource, environment, runbooks]


def _annotations(marked: bool) -> list[Any]:
    told = (
        dashboard.AnnotationQuery()
        .name("Changes")
        .datasource(common_models.DataSourceRef("grafana", "-- Grafana --"))
        .target(
            dashboard.AnnotationTarget().limit(100).match_any(False).tags(["plano"]).type("tags")  # type: ignore[arg-type]
        )
        .enable(True)
        .placement("")
        .icon_color(BLUE)
    )
    confirmed = (
        dashboard.AnnotationQuery()
        .name("Confirmed by the hosts")
        .datasource(DATASOURCE)
        .expr(
            Query("1000 * max by (environment, host, component) (plano_deploy_timestamp_seconds{@environment})").promql
        )
        .title_format("{{component}} on {{host}} confirmed")
        .use_value_for_time(True)
        .step("60s")
        .enable(marked)
        .placement("")
        .icon_color(GREEN)
    )
    return [told, confirmed]


@dataclass(frozen=True)
class Section:
    """Panels below a heading; the first section of a dashboard has none, and answers whether all is well."""

    heading: str
    panels: Sequence[Panel]


def board(
    slug: str,
    title: str,
    description: str,
    sections: Sequence[Section],
    *,
    variables: Sequence[dashboard.QueryVariable] = (),
    since: str = "now-6h",
    marked: bool = False,
) -> models.Dashboard:
    """Put a dashboard together; panels fill the grid from left to right, and their order gives them their ids."""
    built = (
        dashboard.Dashboard(f"Plano / {title}")
        .uid(f"plano-{slug}")
        .description(description)
        .tags(["plano"])
        .timezone("browser")
        .time(since, "now")
        .refresh(REFRESH)
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables([*_shared_variables(), *variables])
        .annotations(_annotations(marked))
        .link(
            dashboard.DashboardLink("Plano")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["plano"])
            .as_dropdown(True)
            .placement("")
            .include_vars(True)
            .keep_time(True)
        )
    )
    for section in sections:
        if section.heading:
            built.with_row(dashboard.Row(section.heading))
        for panel in section.panels:
            built.with_panel(panel)
    made = built.build()
    made.schema_version = SCHEMA
    for number, placed in enumerate(made.panels or [], start=1):
        placed.id_val = number
    return made
