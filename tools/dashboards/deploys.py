"""Every change of every component: is one under way, was one taken back, is it worse than before."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import (
    ANY,
    USERS,
    Column,
    Limits,
    Query,
    Section,
    above,
    board,
    changes,
    figure,
    graph,
    host,
    listing,
    timeline,
    variable,
)

# The version each process reports, as a label for what it measures: one series for each host, whatever is stale.
BY_VERSION = """
    on (environment, host) group_left (version)
    topk by (environment, host) (1, plano:backend_running:info{@host})
"""


def answered(matchers: str = "") -> str:
    """Return how many requests of users each version answered a second."""
    return f"""
        sum by (environment, version) (
          rate(plano_sample_http_requests_total{{@host, {matchers}{USERS}}}[5m]) * {BY_VERSION}
        )
    """


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "deploys",
        "Deploys and rollbacks",
        "Every change of every component: is one under way, was one taken back, is it worse than before.",
        [
            Section(
                "",
                [
                    figure(
                        "Longest change under way",
                        "How long the oldest unfinished change has been running, 0 without one; beyond half an hour it is stuck.",
                        """
                        max(
                          (time() - plano_deploy_started_timestamp_seconds{@change})
                          * (plano_deploy_started_timestamp_seconds{@change} > bool 0)
                        )
                        """,
                        units.Seconds,
                        limits=above(ticket=1800),
                        alerts=("DeployStuck",),
                    ),
                    figure(
                        "Reverted in this time",
                        "Components whose last revert by itself falls into the time shown; each says that a change did not hold.",
                        "sum(time() - plano_deploy_reverted_timestamp_seconds{@change} < bool $__range_s)",
                        units.Short,
                        limits=ANY,
                        alerts=("DeployReverted",),
                    ),
                    figure(
                        "Last change",
                        "How long ago anything was confirmed; when something is wrong and this is short, roll back first.",
                        "min(plano:deploy_age:seconds{@change})",
                        units.Seconds,
                    ),
                    figure(
                        "Not what was confirmed",
                        "Backends whose process says another version than its ledger; anything but 0 for long is a fault.",
                        """
                        count(
                          plano:backend_running:info{@host}
                          unless on (environment, host, version) plano_deploy_info{@change, component="backend"}
                          and on (environment, host) plano_deploy_info{@change, component="backend"}
                        )
                        or 0 * count(plano:backend_running:info{@host})
                        """,
                        units.Short,
                        limits=ANY,
                        alerts=("DeployNotRunning",),
                    ),
                    figure(
                        "Not what is wanted",
                        "Backends at a version the inventory does not ask for: a rollback not committed yet, or a host left out.",
                        """
                        count(
                          max by (environment, host, version) (plano_deploy_info{@change, component="backend"})
                          unless on (environment, host, version) up{@host, job="backend"}
                          and on (environment, host) up{@host, job="backend", version!=""}
                        )
                        or 0 * count(plano_deploy_info{@change, component="backend"})
                        """,
                        units.Short,
                        limits=ANY,
                        alerts=("DeployNotWanted",),
                    ),
                    figure(
                        "Versions at once",
                        "How many versions of one component run at once in an environment; 2 for half an hour is a change half done.",
                        """
                        max(
                          count by (environment, component) (
                            count by (environment, component, version) (
                              plano_deploy_info{@change, component=~"backend|.+_exporter"}
                            )
                          )
                        )
                        """,
                        units.Short,
                        limits=Limits(ticket=2),
                        alerts=("DeployHalfDone",),
                    ),
                ],
            ),
            Section(
                "What runs, what happened",
                [
                    listing(
                        "What runs where",
                        "What was confirmed last on each host, of which release and change, and how long ago, the newest first.",
                        {
                            "component": "component",
                            "host": "host",
                            "version": "version",
                            "release": "release",
                            "change": "change",
                            "environment": "environment",
                        },
                        Column(
                            "since",
                            """
                            plano_deploy_info{@change}
                            * on (environment, host, component) group_left () plano:deploy_age:seconds{@change}
                            """,
                            units.Seconds,
                        ),
                        sort="since",
                        width=16,
                    ),
                    changes(
                        "Changes told to Grafana",
                        "What deploys and rollbacks told Grafana in the time shown, with version and reason; empty when Grafana "
                        "was not reachable then, while the table beside it is always right.",
                    ),
                    timeline(
                        "Confirmed versions over time",
                        "Which version of each component was the confirmed one, and when it changed; two bars at once on one host "
                        "cannot be.",
                        Query(
                            "max by (component, host, version) (plano_deploy_info{@change})",
                            "{{component}} {{version}} {{host}}",
                        ),
                        height=9,
                    ),
                ],
            ),
            Section(
                "Backend: before and after",
                [
                    graph(
                        "Failed requests, now and 30 minutes before",
                        "Share of answers with 5xx, and the same half an hour earlier; after a deploy the first must not leave the second.",
                        [
                            Query("plano:backend_errors:ratio5m{@environment}", "{{environment}} now"),
                            Query("plano:backend_errors:ratio5m{@environment} offset 30m", "{{environment}} before"),
                        ],
                        units.PercentUnit,
                        limits=above(page=0.01),
                        alerts=("DeployRaisedErrors",),
                        dashed="before",
                        width=12,
                    ),
                    graph(
                        "Time to answer, now and 30 minutes before",
                        "95th percentile, and the same half an hour earlier; half as long again after a deploy is an alert.",
                        [
                            Query("plano:backend_latency_p95:seconds{@environment}", "{{environment}} now"),
                            Query(
                                "plano:backend_latency_p95:seconds{@environment} offset 30m", "{{environment}} before"
                            ),
                        ],
                        units.Seconds,
                        alerts=("DeploySlowedRequests",),
                        dashed="before",
                        width=12,
                    ),
                    graph(
                        "Failed requests by version",
                        "Share of 5xx of what each version answered; a new version above the old one is the reason to go back.",
                        Query(
                            f"""
                            (
                              {answered('status=~"5..", ')} or 0 * {answered()}
                            )
                            / ({answered()} > 0)
                            """,
                            "{{version}} {{environment}}",
                        ),
                        units.PercentUnit,
                    ),
                    graph(
                        "Time to answer by version",
                        "95th percentile of what each version answered; compare the lines on both sides of a change.",
                        Query(
                            f"""
                            histogram_quantile(0.95, sum by (environment, version, le) (
                              rate(plano_sample_http_request_duration_seconds_bucket{{@host, {USERS}}}[5m])
                              * {BY_VERSION}
                            )) >= 0
                            """,
                            "{{version}} {{environment}}",
                        ),
                        units.Seconds,
                    ),
                    timeline(
                        "Version the process reports",
                        "What each backend says it runs; it must change with the confirmed version and with nothing else.",
                        Query("plano:backend_running:info{@host}", "{{version}} {{host}}"),
                        width=8,
                        height=8,
                    ),
                ],
            ),
            Section(
                "Backend: does it last",
                [
                    graph(
                        "Starts within 10 minutes",
                        "How often each backend was started; one belongs to a deploy, one more is a process that ended by itself.",
                        Query('changes(process_start_time_seconds{@host, job="backend"}[10m])', "{{host}}"),
                        units.Short,
                        alerts=("DeployRestarts",),
                        width=12,
                    ),
                    graph(
                        "Memory of the process",
                        "Memory each backend holds; a line that only rises since a deploy is a leak.",
                        Query('process_resident_memory_bytes{@host, job="backend"}', "{{host}}"),
                        units.BytesIEC,
                        alerts=("DeployMemoryGrows",),
                        width=12,
                    ),
                ],
            ),
        ],
        variables=[
            host("plano_deploy_info{@environment}"),
            variable(
                "component",
                "label_values(plano_deploy_info{@environment}, component)",
                "Component",
                "Components of the hosts chosen.",
            ),
        ],
        since="now-24h",
        marked=True,
    )
