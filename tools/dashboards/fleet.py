"""All environments at a glance: does anybody have to get up, what runs where, how it goes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import (
    ANY,
    ANY_PAGES,
    STATE_PAGES,
    Column,
    Query,
    Section,
    above,
    below,
    board,
    figure,
    graph,
    listing,
    words,
)


def firing(severity: str) -> str:
    """Count what fires. Without any it is 0 only while Watchdog shows that alerts are evaluated at all."""
    return f"""
        count(ALERTS{{@alert, alertstate="firing", severity="{severity}"}})
        or 0 * count(ALERTS{{@alert, alertstate="firing", alertname="Watchdog"}})
    """


ALERTS = listing(
    "Firing alerts",
    "Every alert that fires, the newest first; a click on its name opens its runbook. Watchdog always stands here: "
    "when it is missing, alerts are not evaluated, and an empty list means nothing.",
    {
        "alertname": "alert",
        "severity": "severity",
        "environment": "environment",
        "host": "host",
        "database": "database",
        "component": "component",
    },
    Column(
        "for",
        'time() - ALERTS_FOR_STATE{@alert} and ignoring (alertstate) ALERTS{@alert, alertstate="firing"}',
        units.Seconds,
    ),
    sort="for",
    urgent=True,
    alerts=("Watchdog",),
    width=14,
)

VERSIONS = listing(
    "Versions deployed",
    "What was confirmed last on each host and how long ago; look for a component with two versions, or a change you do not know.",
    {"component": "component", "version": "version", "host": "host", "environment": "environment"},
    Column(
        "since",
        """
        plano_deploy_info{@environment}
        * on (environment, host, component) group_left () plano:deploy_age:seconds{@environment}
        """,
        units.Seconds,
    ),
    sort="since",
    alerts=("DeployHalfDone",),
    width=10,
)


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "fleet",
        "Fleet overview",
        "All environments at a glance: does anybody have to get up, what runs where, how it goes.",
        [
            Section(
                "",
                [
                    figure(
                        "Pages",
                        "Alerts that fire and wake somebody; anything but 0 is being felt by users, or will be within the hour.",
                        firing("page"),
                        units.Short,
                        limits=ANY_PAGES,
                    ),
                    figure(
                        "Tickets",
                        "Alerts that fire and are for the next working hour; worry when they become more from day to day.",
                        firing("ticket"),
                        units.Short,
                        limits=ANY,
                    ),
                    figure(
                        "Backend",
                        "Whether every probe of the backend's health page succeeds; down means that users are turned away.",
                        'min(probe_success{@environment, probe="backend"})',
                        units.Short,
                        limits=STATE_PAGES,
                        mappings=words(_1="up", _0="down"),
                        alerts=("BackendDown",),
                    ),
                    figure(
                        "Databases down",
                        "Databases that refuse connections; one is a page. RDS is never counted here: CloudWatch cannot say it.",
                        "sum(1 - plano:database_up{@environment})",
                        units.Short,
                        limits=ANY_PAGES,
                        alerts=("PostgresqlDown",),
                    ),
                    figure(
                        "Hosts down",
                        "Hosts of which no exporter answers; one is a page.",
                        "sum(1 - plano:host_up{@environment})",
                        units.Short,
                        limits=ANY_PAGES,
                        alerts=("HostDown",),
                    ),
                    figure(
                        "Targets down",
                        "Exporters and services that do not answer Prometheus; what they tell is missing elsewhere too.",
                        "sum(1 - up{@environment})",
                        units.Short,
                        limits=ANY,
                        alerts=("TargetDown",),
                    ),
                ],
            ),
            Section("What is wrong, what runs", [ALERTS, VERSIONS]),
            Section(
                "Users",
                [
                    graph(
                        "Requests",
                        "Requests to each environment's backend; worry about a sudden fall as much as about a jump.",
                        Query("plano:backend_requests:rate5m{@environment}", "{{environment}}"),
                        units.RequestsPerSecond,
                        alerts=("BackendTrafficDropped",),
                    ),
                    graph(
                        "Failed requests",
                        "Share of answers with 5xx over 5 minutes; above the line somebody is paged.",
                        Query("plano:backend_errors:ratio5m{@environment}", "{{environment}}"),
                        units.PercentUnit,
                        limits=above(page=0.05),
                        alerts=("BackendErrors",),
                    ),
                    graph(
                        "Time to answer, 95th percentile",
                        "One of twenty requests takes longer than this; above the line for 10 minutes somebody is paged.",
                        Query("plano:backend_latency_p95:seconds{@environment}", "{{environment}}"),
                        units.Seconds,
                        limits=above(page=1),
                        alerts=("BackendSlow",),
                    ),
                ],
            ),
            Section(
                "Machines and databases",
                [
                    listing(
                        "Hosts",
                        "CPU in use, memory and the fullest file system of each host; what is coloured has an alert.",
                        {"host": "host", "environment": "environment"},
                        [
                            Column("CPU in use", "plano:host_cpu:ratio{@environment}", units.PercentUnit),
                            Column(
                                "memory left",
                                "plano:host_memory_available:ratio{@environment}",
                                units.PercentUnit,
                                below(ticket=0.1),
                            ),
                            Column(
                                "disk left",
                                "min by (environment, host) (plano:host_filesystem_free:ratio{@environment})",
                                units.PercentUnit,
                                below(ticket=0.1, page=0.03),
                            ),
                        ],
                        sort="host",
                        alerts=("HostMemoryLow", "HostFilesystemAlmostFull", "HostFilesystemFull"),
                    ),
                    listing(
                        "Databases",
                        "CPU, connections and free disk of each database, PostgreSQL or RDS; what is coloured has an alert.",
                        {"database": "database", "environment": "environment"},
                        [
                            Column(
                                "CPU in use",
                                "plano:database_cpu:ratio{@environment}",
                                units.PercentUnit,
                                above(ticket=0.9),
                            ),
                            Column(
                                "connections used",
                                "plano:database_connections:ratio{@environment}",
                                units.PercentUnit,
                                above(ticket=0.8, page=0.95),
                            ),
                            Column(
                                "disk left",
                                "plano:database_disk_free:bytes{@environment}",
                                units.BytesIEC,
                                below(ticket=5 * 1024**3, page=1024**3),
                            ),
                        ],
                        sort="database",
                        alerts=(
                            "DatabaseCpuHigh",
                            "DatabaseConnectionsHigh",
                            "DatabaseConnectionsExhausted",
                            "DatabaseDiskLow",
                            "DatabaseDiskFull",
                        ),
                    ),
                ],
            ),
        ],
    )
