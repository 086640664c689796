"""The backend as its users meet it (rate, errors, duration), and what keeps it from answering."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import ANY, STATE_PAGES, USERS, Query, Section, above, below, board, figure, graph, host, words

DAY = 86400


def quantile(rank: float, labels: str = "environment") -> str:
    """Return how long all but a share of the users' requests take at most."""
    return f"""
        histogram_quantile({rank}, sum by ({labels}, le) (
          rate(plano_sample_http_request_duration_seconds_bucket{{@host, {USERS}}}[5m])
        )) >= 0
    """


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "backend",
        "Backend",
        "The backend as its users meet it (rate, errors, duration), and what keeps it from answering.",
        [
            Section(
                "",
                [
                    figure(
                        "Answers",
                        "Whether every probe of the health page succeeds; down for a minute is a page.",
                        'min(probe_success{@host, probe="backend"})',
                        units.Short,
                        limits=STATE_PAGES,
                        mappings=words(_1="up", _0="down"),
                        alerts=("BackendDown", "BackendNotProbed"),
                    ),
                    figure(
                        "Requests now",
                        "Requests of all over the last 5 minutes, monitoring's own (about 0.15 a second) too.",
                        "sum(plano:backend_requests:rate5m{@environment})",
                        units.RequestsPerSecond,
                    ),
                    figure(
                        "Failed now",
                        "The highest share of 5xx among the environments, over 5 minutes; above 5 % somebody is paged.",
                        "max(plano:backend_errors:ratio5m{@environment})",
                        units.PercentUnit,
                        limits=above(ticket=0.01, page=0.05),
                        alerts=("BackendErrors", "BackendErrorsLasting"),
                    ),
                    figure(
                        "95th percentile",
                        "One of twenty requests takes longer than this; a second or more for 10 minutes is a page.",
                        "max(plano:backend_latency_p95:seconds{@environment})",
                        units.Seconds,
                        limits=above(page=1),
                        alerts=("BackendSlow",),
                    ),
                    figure(
                        "Waiting for a connection",
                        "Requests that wait for a database connection now; more than 0 for two minutes means the pool is too small.",
                        'sum(plano_sample_database_pool{@host, state="waiting"})',
                        units.Short,
                        limits=ANY,
                        alerts=("BackendPoolExhausted",),
                    ),
                    figure(
                        "Certificate ends in",
                        "Time left to the first certificate of any chain that ends; renewal is late below 21 days.",
                        "min(probe_ssl_earliest_cert_expiry{@host} - time())",
                        units.Seconds,
                        limits=below(ticket=21 * DAY, page=7 * DAY),
                        alerts=("CertificateExpiresSoon", "CertificateExpires"),
                    ),
                ],
            ),
            Section(
                "Rate, errors, duration",
                [
                    graph(
                        "Requests",
                        "All requests as HAProxy counts them, and those of users as the backend does; worry about sudden falls too.",
                        [
                            Query("plano:backend_requests:rate5m{@environment}", "{{environment}} all"),
                            Query("plano:backend_user_requests:rate5m{@environment}", "{{environment}} users"),
                        ],
                        units.RequestsPerSecond,
                        alerts=("BackendTrafficDropped",),
                    ),
                    graph(
                        "Failed requests",
                        "Share of answers with 5xx over 5 minutes and over an hour, also of those HAProxy gives when no process does.",
                        [
                            Query("plano:backend_errors:ratio5m{@environment}", "{{environment}} 5 minutes"),
                            Query("plano:backend_errors:ratio1h{@environment}", "{{environment}} 1 hour"),
                        ],
                        units.PercentUnit,
                        limits=above(ticket=0.01, page=0.05),
                        alerts=("BackendErrors", "BackendErrorsLasting"),
                    ),
                    graph(
                        "Time to answer",
                        "Median, 95th and 99th percentile of what users ask; the 95th above the line for 10 minutes is a page.",
                        [
                            Query(quantile(0.5), "{{environment}} 50 %"),
                            Query("plano:backend_latency_p95:seconds{@environment}", "{{environment}} 95 %"),
                            Query(quantile(0.99), "{{environment}} 99 %"),
                        ],
                        units.Seconds,
                        limits=above(page=1),
                        alerts=("BackendSlow",),
                    ),
                ],
            ),
            Section(
                "By route",
                [
                    graph(
                        "Requests by route",
                        "What users ask for; a route that appears, vanishes or grows tells who causes a change.",
                        Query(
                            f"""
                            sum by (route) (
                              rate(plano_sample_http_requests_total{{@host, {USERS}}}[$__rate_interval])
                            )
                            """,
                            "{{route}}",
                        ),
                        units.RequestsPerSecond,
                    ),
                    graph(
                        "Answers that are errors, by route",
                        "Answers with 4xx and 5xx by route and status; 5xx on one route alone points to its code or its data.",
                        Query(
                            """
                            sum by (route, status) (
                              rate(plano_sample_http_requests_total{@host, status=~"4..|5.."}[$__rate_interval])
                            )
                            """,
                            "{{status}} {{route}}",
                        ),
                        units.RequestsPerSecond,
                    ),
                    graph(
                        "95th percentile by route",
                        "How long one of twenty requests of each route takes; one slow route is a query, all of them are the machine.",
                        Query(quantile(0.95, "route"), "{{route}}"),
                        units.Seconds,
                        limits=above(page=1),
                        alerts=("BackendSlow",),
                    ),
                ],
            ),
            Section(
                "What keeps it from answering",
                [
                    graph(
                        "Database connections of the pool",
                        "Connections open and idle, and requests that wait for one; waiting above 0 and nothing idle is a full pool.",
                        Query("sum by (host, state) (plano_sample_database_pool{@host})", "{{host}} {{state}}"),
                        units.Short,
                        alerts=("BackendPoolExhausted",),
                    ),
                    graph(
                        "Sessions of HAProxy",
                        "Share of the connections HAProxy may hold; above the line new clients soon wait in the kernel.",
                        Query(
                            """
                            haproxy_frontend_current_sessions{@host, proxy="backend"}
                            / haproxy_frontend_limit_sessions{@host, proxy="backend"}
                            """,
                            "{{host}}",
                        ),
                        units.PercentUnit,
                        limits=above(ticket=0.8),
                        alerts=("BackendProxyFull",),
                    ),
                    graph(
                        "Answers by class",
                        "HAProxy's answers by class of status; much 4xx is a client or a release that asks for what is not there.",
                        Query(
                            """
                            sum by (code) (
                              rate(haproxy_frontend_http_responses_total{@host, proxy="backend"}[$__rate_interval])
                            )
                            """,
                            "{{code}}",
                        ),
                        units.RequestsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Requests in progress",
                        "Requests each process works on at this moment; a number that only grows is a backend that hangs.",
                        Query("plano_sample_http_requests_in_progress{@host}", "{{host}}"),
                        units.Short,
                        width=6,
                    ),
                    graph(
                        "CPU of the process",
                        "CPUs each process uses; Python serves with one, so near 1 it is the limit.",
                        Query('rate(process_cpu_seconds_total{@host, job="backend"}[$__rate_interval])', "{{host}}"),
                        units.Short,
                        width=6,
                    ),
                    graph(
                        "Memory of the process",
                        "Memory each process holds; a line that only rises ends with the kernel.",
                        Query('process_resident_memory_bytes{@host, job="backend"}', "{{host}}"),
                        units.BytesIEC,
                        alerts=("DeployMemoryGrows",),
                        width=6,
                    ),
                    graph(
                        "Starts within 15 minutes",
                        "How often each process was started; a deploy and its rollback are one each, more than two is an alert.",
                        Query('changes(process_start_time_seconds{@host, job="backend"}[15m])', "{{host}}"),
                        units.Short,
                        limits=above(ticket=2),
                        alerts=("BackendRestarting",),
                        width=6,
                    ),
                ],
            ),
        ],
        variables=[host('up{@environment, job="backend"}')],
        since="now-3h",
    )
