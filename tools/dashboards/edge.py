"""What stands before the load balancer: CloudFront and WAF, by CloudWatch, 10 to 15 minutes late."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from .panels import Query, Section, above, board, figure, graph, variable


def build() -> Dashboard:
    """Return the dashboard."""
    return board(
        "edge",
        "Edge: CloudFront and WAF",
        "What stands before the load balancer, as CloudWatch sees it, 10 to 15 minutes late, counted over 20 minutes.",
        [
            Section(
                "",
                [
                    figure(
                        "CloudFront requests",
                        "Requests a second of all distributions; none at all where there were some a week ago is a page.",
                        "sum(plano:cloudfront_requests:increase20m{@distribution}) / 1200",
                        units.RequestsPerSecond,
                        alerts=("CloudFrontTrafficGone",),
                    ),
                    figure(
                        "Failed at the edge",
                        "The highest share of answers with 5xx of any distribution, from the origin or because it was not reached.",
                        "max(plano:cloudfront_errors:ratio20m{@distribution})",
                        units.PercentUnit,
                        limits=above(page=0.05),
                        alerts=("CloudFrontErrors",),
                    ),
                    figure(
                        "Answered with 4xx",
                        "The highest share of answers with 4xx; a jump is a broken link or release, a WAF rule, or somebody who tries.",
                        "max(plano:cloudfront_client_errors:ratio20m{@distribution})",
                        units.PercentUnit,
                        limits=above(ticket=0.1),
                        alerts=("CloudFrontClientErrorsJump",),
                    ),
                    figure(
                        "Let through by WAF",
                        "Requests a second that the web ACLs let through.",
                        'sum(plano:waf_requests:increase20m{@acl, action="allow"}) / 1200',
                        units.RequestsPerSecond,
                    ),
                    figure(
                        "Blocked by WAF",
                        "The most requests any web ACL blocked within 20 minutes; many more than a week ago is an attack, or a rule that stops customers.",
                        'max(plano:waf_requests:increase20m{@acl, action="block"})',
                        units.Short,
                        limits=above(ticket=500),
                        alerts=("WafBlocksJump",),
                    ),
                    figure(
                        "Blocked within a day",
                        "The fewest requests any web ACL blocked in a day; 0 where there were some is more often a broken rule than peace.",
                        'min(sum by (environment, web_acl) (sum_over_time(aws_wafv2_blocked_requests_sum{@acl, rule="ALL"}[1d])))',
                        units.Short,
                        alerts=("WafBlocksNothing",),
                    ),
                ],
            ),
            Section(
                "CloudFront",
                [
                    graph(
                        "Requests, now and a week ago",
                        "Requests a second of each distribution and the same a week ago; the two should look alike.",
                        [
                            Query(
                                "plano:cloudfront_requests:increase20m{@distribution} / 1200", "{{distribution_id}} now"
                            ),
                            Query(
                                "plano:cloudfront_requests:increase20m{@distribution} offset 1w / 1200",
                                "{{distribution_id}} a week ago",
                            ),
                        ],
                        units.RequestsPerSecond,
                        alerts=("CloudFrontTrafficGone",),
                        dashed="a week ago",
                    ),
                    graph(
                        "Failed requests",
                        "Share of answers with 5xx; users see each of them.",
                        Query("plano:cloudfront_errors:ratio20m{@distribution}", "{{distribution_id}}"),
                        units.PercentUnit,
                        limits=above(page=0.05),
                        alerts=("CloudFrontErrors",),
                    ),
                    graph(
                        "Answers with 4xx, now and a week ago",
                        "Share of answers with 4xx; above the line and three times last week's is a ticket.",
                        [
                            Query("plano:cloudfront_client_errors:ratio20m{@distribution}", "{{distribution_id}} now"),
                            Query(
                                "plano:cloudfront_client_errors:ratio20m{@distribution} offset 1w",
                                "{{distribution_id}} a week ago",
                            ),
                        ],
                        units.PercentUnit,
                        limits=above(ticket=0.1),
                        alerts=("CloudFrontClientErrorsJump",),
                        dashed="a week ago",
                    ),
                    graph(
                        "Bytes delivered",
                        "Bytes a second to clients, which is most of CloudFront's bill; a jump without more requests is a new large file.",
                        Query(
                            """
                            sum by (distribution_id) (
                              sum_over_time(aws_cloudfront_bytes_downloaded_sum{@distribution}[20m])
                            ) / 1200
                            """,
                            "{{distribution_id}}",
                        ),
                        units.BytesPerSecondSI,
                        width=24,
                        height=6,
                    ),
                ],
            ),
            Section(
                "WAF",
                [
                    graph(
                        "Blocked, now and a week ago",
                        "Requests blocked within 20 minutes; above the line and five times last week's is a ticket.",
                        [
                            Query('plano:waf_requests:increase20m{@acl, action="block"}', "{{web_acl}} now"),
                            Query(
                                'plano:waf_requests:increase20m{@acl, action="block"} offset 1w',
                                "{{web_acl}} a week ago",
                            ),
                        ],
                        units.Short,
                        limits=above(ticket=500),
                        alerts=("WafBlocksJump", "WafBlocksNothing"),
                        dashed="a week ago",
                    ),
                    graph(
                        "Share blocked",
                        "Share of all requests that is blocked; a step after a rule change is that rule.",
                        Query(
                            """
                            sum by (environment, web_acl) (plano:waf_requests:increase20m{@acl, action="block"})
                            / (sum by (environment, web_acl) (plano:waf_requests:increase20m{@acl}) > 0)
                            """,
                            "{{web_acl}}",
                        ),
                        units.PercentUnit,
                        high=1,
                    ),
                    graph(
                        "Counted only, within 20 minutes",
                        "Requests that match rules which count and do not block; look here before such a rule is set to block.",
                        Query(
                            """
                            sum by (environment, web_acl) (
                              sum_over_time(aws_wafv2_counted_requests_sum{@acl, rule="ALL"}[20m])
                            )
                            """,
                            "{{web_acl}}",
                        ),
                        units.Short,
                    ),
                ],
            ),
        ],
        variables=[
            variable(
                "distribution",
                "label_values(aws_cloudfront_requests_sum{@environment}, distribution_id)",
                "Distribution",
                "CloudFront distributions of the environments chosen.",
            ),
            variable(
                "web_acl",
                "label_values(aws_wafv2_allowed_requests_sum{@environment}, web_acl)",
                "Web ACL",
                "Web ACLs of the environments chosen.",
            ),
        ],
        since="now-24h",
    )
