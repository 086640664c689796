"""Application Load Balancers by CloudWatch: 10 to 15 minutes late, counted over the last 20 minutes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import ANY, Query, Section, above, below, board, figure, graph, variable


def counted(name: str) -> str:
    """Return how many of something there were in 20 minutes, 0 where there were requests and none of it."""
    return f"""
        sum by (environment, load_balancer) (sum_over_time({name}{{@balancer}}[20m]))
        or 0 * plano:alb_requests:increase20m{{@balancer}}
    """


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "alb",
        "Load balancer",
        "Application Load Balancers as CloudWatch sees them, 10 to 15 minutes late, counted over 20 minutes.",
        [
            Section(
                "",
                [
                    figure(
                        "Fewest healthy targets",
                        "The fewest healthy targets of any target group; 0 is a page, since nobody takes the requests.",
                        "min(plano:alb_healthy_targets:count{@balancer})",
                        units.Short,
                        limits=below(page=1),
                        alerts=("AlbNoHealthyTarget",),
                    ),
                    figure(
                        "Unhealthy targets",
                        "The most unhealthy targets of any target group; the others carry their load.",
                        "max(plano:alb_unhealthy_targets:count{@balancer})",
                        units.Short,
                        limits=ANY,
                        alerts=("AlbTargetUnhealthy",),
                    ),
                    figure(
                        "Requests now",
                        "Requests a second of all load balancers, over the last 20 minutes of which some are still to come.",
                        "sum(plano:alb_requests:increase20m{@balancer}) / 1200",
                        units.RequestsPerSecond,
                    ),
                    figure(
                        "Failed by the balancer",
                        "The highest share of requests a load balancer failed itself: no target took them, or none answered in time.",
                        "max(plano:alb_errors:ratio20m{@balancer})",
                        units.PercentUnit,
                        limits=above(page=0.05),
                        alerts=("AlbErrors",),
                    ),
                    figure(
                        "Failed by the targets",
                        "The highest share of requests that the backend behind it failed.",
                        "max(plano:alb_target_errors:ratio20m{@balancer})",
                        units.PercentUnit,
                        limits=above(ticket=0.02),
                        alerts=("AlbTargetErrors",),
                    ),
                    figure(
                        "95th percentile",
                        "One of twenty requests takes its target longer than this.",
                        "max(plano:alb_latency_p95:seconds{@balancer})",
                        units.Seconds,
                        limits=above(ticket=1),
                        alerts=("AlbSlow",),
                    ),
                ],
            ),
            Section(
                "Traffic",
                [
                    graph(
                        "Requests",
                        "Requests a second over 20 minutes; a sudden fall is DNS, a certificate or something in front.",
                        Query("plano:alb_requests:increase20m{@balancer} / 1200", "{{load_balancer}}"),
                        units.RequestsPerSecond,
                    ),
                    graph(
                        "Failed requests",
                        "Share failed by the load balancer itself and by its targets; the first is a page from 5 %, the second a ticket from 2 %.",
                        [
                            Query("plano:alb_errors:ratio20m{@balancer}", "{{load_balancer}} itself"),
                            Query("plano:alb_target_errors:ratio20m{@balancer}", "{{load_balancer}} targets"),
                        ],
                        units.PercentUnit,
                        limits=above(ticket=0.02, page=0.05),
                        alerts=("AlbErrors", "AlbTargetErrors"),
                    ),
                    graph(
                        "Time a target takes",
                        "95th and 99th percentile; the 95th above the line for 15 minutes is a ticket.",
                        [
                            Query("plano:alb_latency_p95:seconds{@balancer}", "{{load_balancer}} 95 %"),
                            Query(
                                """
                                max by (load_balancer) (
                                  last_over_time(aws_applicationelb_target_response_time_p99{@balancer}[20m])
                                )
                                """,
                                "{{load_balancer}} 99 %",
                            ),
                        ],
                        units.Seconds,
                        limits=above(ticket=1),
                        alerts=("AlbSlow",),
                    ),
                ],
            ),
            Section(
                "Targets and connections",
                [
                    graph(
                        "Targets",
                        "Healthy targets, the fewest, and unhealthy ones, the most, of each target group; a deploy must not take the last one.",
                        [
                            Query("plano:alb_healthy_targets:count{@balancer}", "{{target_group}} healthy"),
                            Query("plano:alb_unhealthy_targets:count{@balancer}", "{{target_group}} unhealthy"),
                        ],
                        units.Short,
                        alerts=("AlbNoHealthyTarget", "AlbTargetUnhealthy"),
                    ),
                    graph(
                        "Connections refused, within 20 minutes",
                        "By the load balancer at its limit, of which one is too many, and by a target, of which more than ten are a ticket.",
                        [
                            Query(
                                counted("aws_applicationelb_rejected_connection_count_sum"),
                                "{{load_balancer}} at its limit",
                            ),
                            Query(
                                counted("aws_applicationelb_target_connection_error_count_sum"),
                                "{{load_balancer}} by a target",
                            ),
                        ],
                        units.Short,
                        limits=above(ticket=10),
                        alerts=("AlbConnectionsRefused",),
                    ),
                    graph(
                        "Answers with 4xx, within 20 minutes",
                        "Answers of the targets that blame the client; a jump after a release is a link or an address that broke.",
                        Query(counted("aws_applicationelb_httpcode_target_4_xx_count_sum"), "{{load_balancer}}"),
                        units.Short,
                    ),
                ],
            ),
        ],
        variables=[
            variable(
                "load_balancer",
                "label_values(aws_applicationelb_request_count_sum{@environment}, load_balancer)",
                "Load balancer",
                "Load balancers of the environments chosen.",
            )
        ],
        since="now-12h",
    )
