"""Print the tables of docs/cloudwatch.md: what a month costs, the metrics of the presets, an IAM policy.

make cloudwatch-tables
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import Description, plan
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_metrics import PRESETS
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_rules import families

REGION = "sa-east-1"
INSIDE = (
    {"preset": "rds", "select": {"DBInstanceIdentifier": ["plano-prod"]}},
    {"preset": "ec2", "select": {"InstanceId": ["i-0123456789abcdef0"]}},
)
BALANCED = (
    *INSIDE,
    {
        "preset": "alb",
        "select": {
            "LoadBalancer": ["app/plano-prod/50dc6c495c0c9188"],
            "TargetGroup": ["targetgroup/plano-backend/943f017f100becff"],
        },
    },
)
WHOLE = (
    *BALANCED,
    {"preset": "wafv2", "select": {"WebACL": ["plano-regional"]}},
    {"preset": "wafv2_cloudfront", "select": {"WebACL": ["plano-edge"]}},
    {"preset": "cloudfront", "select": {"DistributionId": ["E2EXAMPLE1PLANO"]}},
)
SEARCHED = tuple(
    {"preset": entry["preset"], "tags": {"Environment": ["prod"]}, "resources": 1}
    for entry in WHOLE
    if not entry["preset"].startswith("wafv2")
) + tuple(entry for entry in WHOLE if entry["preset"].startswith("wafv2"))

DATA = {"use_get_metric_data": True}
ROWS = (
    ("a database and a host", INSIDE, 60, {}),
    ("and a load balancer with one target group", BALANCED, 60, {}),
    ("and WAF twice and CloudFront", WHOLE, 60, {}),
    ("the same", WHOLE, 60, DATA),
    ("the same", WHOLE, 120, {}),
    ("the same", WHOLE, 300, {}),
    ("the same", WHOLE, 300, DATA),
    ("the same, found by tags, lists kept 900 s", SEARCHED, 60, {}),
    ("the same, found by tags, lists not kept", SEARCHED, 60, {"list_metrics_cache_ttl": 0}),
)


def cost_rows() -> Iterator[str]:
    yield "| watched | every | call | series | requests or metrics a month | list price | to pay |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for what, watch, interval, settings in ROWS:
        found = plan(Description(list(watch), regions=[REGION], scrape_interval=interval, settings=settings)).cost
        call = "GetMetricData" if settings.get("use_get_metric_data") else "GetMetricStatistics"
        asked = found.get_metric_data + found.get_metric_statistics
        listed = f" + {found.list_metrics:,} lists" if found.list_metrics else ""
        paid = f"{found.list_price:.2f} | {found.usd:.2f}"
        yield f"| {what} | {interval} s | {call} | {found.series} | {asked:,}{listed} | {paid} |"


def metric_rows() -> Iterator[str]:
    yield "| preset | dimensions | metrics of the exporter |"
    yield "|---|---|---|"
    for name, preset in PRESETS.items():
        for dimensions in dict.fromkeys(wanted.dimensions for wanted in preset.metrics):
            rules = [
                {
                    "aws_namespace": preset.namespace,
                    "aws_metric_name": wanted.name,
                    "aws_statistics": list(wanted.statistics),
                    "aws_extended_statistics": list(wanted.percentiles),
                }
                for wanted in preset.metrics
                if wanted.dimensions == dimensions
            ]
            shown = ", ".join(f"`{family}`" for family in families({"metrics": rules}))
            yield f"| `{name}` | {', '.join(dimensions)} | {shown} |"


def policy() -> str:
    return json.dumps(plan(Description(list(WHOLE), regions=[REGION])).policies["exporter"], indent=2)


def main() -> None:
    print("\n".join(cost_rows()), "\n".join(metric_rows()), policy(), sep="\n\n")


if __name__ == "__main__":
    main()
