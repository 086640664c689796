# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.aws import cloudwatch_metrics as known
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_rules import (
    configuration_faults,
    families,
    label,
    lists_metrics,
    rule_faults,
)

HOME = "sa-east-1"
RULE = {
    "aws_namespace": "AWS/RDS",
    "aws_metric_name": "CPUUtilization",
    "aws_dimensions": ["DBInstanceIdentifier"],
    "aws_statistics": ["Average"],
}
OWN = {"aws_namespace": "Shop", "aws_metric_name": "Orders", "aws_statistics": ["Sum"]}
TAGS = {"resource_type_selection": "rds:db", "resource_id_dimension": "DBInstanceIdentifier"}


def faults(rule, **settings):
    return list(rule_faults(rule, {"region": HOME, **settings}))


@pytest.mark.parametrize("rule", [RULE, OWN, {**RULE, "aws_tag_select": TAGS}, {**RULE, "help": "How busy"}])
def test_a_sound_rule_has_no_faults(rule):
    assert faults(rule) == []
    assert configuration_faults({"region": HOME, "metrics": [rule]}) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "the configuration must be a mapping, is None"),
        ({"metrics": [RULE]}, "region is missing: name it"),
        ({"region": "sao-paulo", "metrics": [RULE]}, "region: 'sao-paulo' is not a region"),
        ({"region": HOME}, "metrics must be a list of rules, with at least one"),
        ({"region": HOME, "metrics": []}, "metrics must be a list of rules, with at least one"),
        ({"region": HOME, "metrics": [7]}, "metrics[0]: a rule must be a mapping, is 7"),
        ({"region": HOME, "metrics": [RULE], "regoin": HOME}, "unknown key 'regoin'; did you mean region?"),
        ({"region": HOME, "metrics": [RULE], "period": 60}, "unknown key 'period'; did you mean period_seconds?"),
        ({"region": HOME, "metrics": [RULE], "role_arn": "x"}, "role_arn: 'x' is not the ARN of a role"),
        ({"region": HOME, "metrics": [RULE], "range_seconds": "600"}, "range_seconds must be a whole number"),
        (
            {"region": HOME, "metrics": [RULE, RULE]},
            "metrics[1] (AWS/RDS CPUUtilization): aws_rds_cpuutilization_average by [dbinstance_identifier] is already "
            "exported by metrics[0] (AWS/RDS CPUUtilization)",
        ),
    ],
)
def test_each_fault_of_a_configuration_is_named_once(config, said):
    [found] = configuration_faults(config)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"aws_metric": "x"}, "unknown key 'aws_metric'; did you mean aws_metric_name?"),
        ({"aws_namespace": ""}, "aws_namespace must be a name, is ''"),
        ({"aws_namespace": "aws/rds"}, "aws_namespace: there is no aws/rds; did you mean AWS/RDS?"),
        ({"aws_metric_name": None}, "aws_metric_name must be a name, is None"),
        ({"aws_metric_name": "CPUUtilisation"}, "aws_metric_name: AWS/RDS has no CPUUtilisation; did you mean CPUUtilization?"),
        ({"help": "two\nlines"}, "help must be one line of text"),
        # dimensions
        ({"aws_dimensions": "DBInstanceIdentifier"}, "aws_dimensions must be a list of names"),
        ({"aws_dimensions": ["DBInstance"]}, "aws_dimensions: AWS/RDS has no dimension DBInstance; did you mean DBInstanceIdentifier?"),
        ({"aws_dimensions": ["EngineName", "DatabaseClass"]}, "aws_dimensions: there is no CPUUtilization by [DatabaseClass, EngineName]; it must be exactly"),
        ({"aws_dimension_select": {"Instance": ["a"]}}, "aws_dimension_select: 'Instance' is not among aws_dimensions"),
        ({"aws_dimension_select": {"DBInstanceIdentifier": []}}, "aws_dimension_select: DBInstanceIdentifier must have a list"),
        ({"aws_dimension_select": {"DBInstanceIdentifier": [1]}}, "aws_dimension_select: DBInstanceIdentifier must have a list"),
        ({"aws_dimension_select": {"DBInstanceIdentifier": ["a", "a"]}}, "aws_dimension_select: DBInstanceIdentifier: 'a' stands there twice"),
        ({"aws_dimension_select": []}, "aws_dimension_select: it must be a mapping"),
        ({"aws_dimension_select_regex": {"DBInstanceIdentifier": ["(a"]}}, "aws_dimension_select_regex: DBInstanceIdentifier: '(a' is no regular expression"),
        # tags
        ({"aws_tag_select": 7}, "aws_tag_select: it must be a mapping, is 7"),
        ({"aws_tag_select": {**TAGS, "tags": {}}}, "aws_tag_select: unknown key 'tags'"),
        ({"aws_tag_select": {"resource_id_dimension": "DBInstanceIdentifier"}}, "aws_tag_select: resource_type_selection is missing"),
        ({"aws_tag_select": {**TAGS, "resource_type_selection": "db"}}, "aws_tag_select: resource_type_selection must be SERVICE:TYPE"),
        ({"aws_tag_select": {"resource_type_selection": "rds:db"}}, "aws_tag_select: resource_id_dimension is missing"),
        ({"aws_tag_select": {**TAGS, "resource_id_dimension": "DBInstance"}}, "aws_tag_select: resource_id_dimension: 'DBInstance' is not among"),
        ({"aws_tag_select": {**TAGS, "tag_selections": {"a": "b"}}}, "aws_tag_select: tag_selections: a must have a list"),
        ({"aws_tag_select": {**TAGS, "arn_resource_id_regexp": "db/.*"}}, "aws_tag_select: arn_resource_id_regexp: it needs a group"),
        # statistics
        ({"aws_statistics": "Average"}, "aws_statistics must be a list of some of Sum, SampleCount"),
        ({"aws_statistics": []}, "aws_statistics must be a list of some of Sum, SampleCount"),
        ({"aws_statistics": ["average"]}, "aws_statistics: there is no average; did you mean Average?"),
        ({"aws_statistics": ["p95"]}, "aws_statistics: there is no p95: that goes into aws_extended_statistics"),
        ({"aws_statistics": ["Sum", "Sum"]}, "aws_statistics: Sum stands there twice"),
        # times
        ({"period_seconds": 30}, "period_seconds must be a multiple of 60, is 30"),
        ({"period_seconds": 0}, "period_seconds must be a multiple of 60, is 0"),
        ({"period_seconds": -60}, "period_seconds must not be negative, is -60"),
        ({"period_seconds": True}, "period_seconds must be a whole number of seconds, is True"),
        ({"period_seconds": 1.5}, "period_seconds must be a whole number of seconds, is 1.5"),
        ({"range_seconds": 30}, "range_seconds 30 is shorter than period_seconds 60"),
        ({"range_seconds": 86460}, "range_seconds 86460 holds more than 1440 periods of 60 seconds"),
        ({"delay_seconds": 30}, "delay_seconds 30 is shorter than period_seconds 60: the newest period is not over"),
        ({"delay_seconds": 1296000, "set_timestamp": False}, "period_seconds 60: CloudWatch keeps such points for 360 hours, but delay and range go back 360"),
        ({"delay_seconds": 3600}, "delay_seconds 3600 and period_seconds 60: samples are more than 3600 seconds old"),
        ({"use_get_metric_data": "yes"}, "use_get_metric_data must be true or false, is 'yes'"),
        ({"list_metrics_cache_ttl": -1}, "list_metrics_cache_ttl must not be negative, is -1"),
    ],
)  # fmt: skip
def test_each_fault_of_a_rule_is_named_once(changed, said):
    [found] = faults({**RULE, **changed})
    assert found.startswith(said)


@pytest.mark.parametrize("key", ["aws_namespace", "aws_metric_name"])
def test_what_is_missing_is_named(key):
    assert faults({name: value for name, value in RULE.items() if name != key}) == [f"{key} is missing"]


@pytest.mark.parametrize(
    ("extended", "said"),
    [
        ("p95", "aws_extended_statistics must be a list of percentiles"),
        ([], "aws_extended_statistics must be a list of percentiles"),
        (["95"], "aws_extended_statistics: there is no 95: a percentile is p0 to p100"),
        (["p101"], "aws_extended_statistics: there is no p101: a percentile is p0 to p100"),
        (["tm99"], "aws_extended_statistics: there is no tm99: a percentile is p0 to p100"),
        (["Average"], "aws_extended_statistics: there is no Average: that goes into aws_statistics"),
        (["p95", "p95"], "aws_extended_statistics: p95 stands there twice"),
        (
            [f"p{number}" for number in range(80, 91)],
            "aws_extended_statistics: CloudWatch gives 10 at most, these are 11",
        ),
    ],
)
def test_each_fault_of_percentiles_is_named(extended, said):
    [found] = faults({**{key: RULE[key] for key in list(RULE)[:3]}, "aws_extended_statistics": extended})
    assert found.startswith(said)


@pytest.mark.parametrize("extended", [["p0"], ["p50", "p99.9"], ["p100"], ["p99.99"]])
def test_percentiles_that_cloudwatch_has(extended):
    assert faults({**{key: RULE[key] for key in list(RULE)[:3]}, "aws_extended_statistics": extended}) == []


def test_statistics_and_percentiles_go_together_with_one_call_only():
    both = {**RULE, "aws_extended_statistics": ["p95"]}
    assert "GetMetricStatistics refuses the request" in faults(both)[0]
    assert faults(both, use_get_metric_data=True) == faults({**both, "use_get_metric_data": True}) == []


def test_a_rule_has_its_own_settings_before_those_of_all():
    assert "range_seconds 120 is shorter" in faults({**RULE, "period_seconds": 300}, range_seconds=120)[0]
    assert faults({**RULE, "period_seconds": 300}, period_seconds=7200) == []


def test_a_period_that_is_written_once_a_day_needs_no_delay_of_a_day():
    daily = {**OWN, "period_seconds": 86400, "range_seconds": 172800, "set_timestamp": False}
    assert faults(daily) == []


def test_high_resolution_is_for_metrics_of_ones_own():
    assert faults({**OWN, "period_seconds": 10, "range_seconds": 60}) == []
    assert "may have 1, 5, 10, 20, 30" in faults({**OWN, "period_seconds": 15})[0]


def test_a_time_that_java_cannot_reckon_with_is_a_fault():
    far = {**OWN, "period_seconds": 86400, "delay_seconds": 2_000_000, "range_seconds": 172_800, "set_timestamp": False}
    assert faults(far) == [
        "delay_seconds and range_seconds are 2172800 together: the exporter cannot reckon with more than 2147483"
    ]


def test_a_dimension_must_not_take_a_label_of_prometheus():
    assert "becomes the label instance" in faults({**OWN, "aws_dimensions": ["Instance"]})[0]


def test_no_dimensions_are_said_by_leaving_them_out():
    assert "aws_dimensions is empty" in faults({**OWN, "aws_dimensions": []})[0]


@pytest.mark.parametrize("pattern", [r"\p{Alpha}+", r"[a-z&&[^b]]", r"a*+", r"\Qa.b\E", r"(?<name>a)"])
def test_what_only_java_knows_is_left_to_java(pattern):
    assert faults({**RULE, "aws_dimension_select_regex": {"DBInstanceIdentifier": [pattern]}}) == []


# What the exporter's own examples ask for, and AWS does not publish.
@pytest.mark.parametrize(
    ("namespace", "metric", "dimensions", "statistic", "said"),
    [
        (known.WAF, "AllowedRequests", ["Region", "Rule", "RuleGroup", "WebACL"], "Sum", "there is no AllowedRequests by"),
        (known.CLOUDFRONT, "4xxErrorRate", ["DistributionId", "Region"], "Sum", "Sum of 4xxErrorRate says nothing; ask for Average"),
        (known.ALB, "RequestCount", ["LoadBalancer"], "Average", "Average of RequestCount says nothing; ask for Sum"),
        (known.ALB, "RequestCountPerTarget", ["LoadBalancer"], "Sum", "there is no RequestCountPerTarget by [LoadBalancer]"),
        (known.ALB, "UnHealthyHostCount", ["LoadBalancer"], "Maximum", "there is no UnHealthyHostCount by [LoadBalancer]"),
        (known.CLOUDFRONT, "OriginLatency", ["DistributionId", "Region"], "Average", "ask for percentiles (aws_extended_statistics)"),
    ],
)  # fmt: skip
def test_what_is_never_published_is_a_fault(namespace, metric, dimensions, statistic, said):
    rule = {
        "aws_namespace": namespace,
        "aws_metric_name": metric,
        "aws_dimensions": dimensions,
        "aws_statistics": [statistic],
    }
    [found] = rule_faults(rule, {"region": known.GLOBAL_REGION})
    assert said in found


def test_all_statistics_are_asked_for_when_none_is_named():
    rule = {"aws_namespace": known.ALB, "aws_metric_name": "RequestCount", "aws_dimensions": ["LoadBalancer"]}
    assert "aws_statistics: Minimum, Maximum, Average of RequestCount says nothing" in faults(rule)[0]


def test_percentiles_of_what_has_none_are_a_fault():
    rule = {"aws_namespace": known.ALB, "aws_metric_name": "RequestCount", "aws_dimensions": ["LoadBalancer"]}
    assert faults({**rule, "aws_extended_statistics": ["p95"]}) == [
        "aws_extended_statistics: there are no percentiles of RequestCount"
    ]


def test_metrics_that_are_elsewhere_are_a_fault():
    edge = {"aws_namespace": known.WAF, "aws_metric_name": "AllowedRequests", "aws_dimensions": ["Rule", "WebACL"]}
    assert (
        "(scope CLOUDFRONT) are in us-east-1 only, not in sa-east-1" in faults({**edge, "aws_statistics": ["Sum"]})[0]
    )
    front = {
        "aws_namespace": known.CLOUDFRONT,
        "aws_metric_name": "Requests",
        "aws_dimensions": ["DistributionId", "Region"],
        "aws_dimension_select": {"Region": ["us-east-1"]},
        "aws_statistics": ["Sum"],
    }
    assert faults(front) == [
        "the metrics of CloudFront are in us-east-1 only, not in sa-east-1",
        "aws_dimension_select: Region must be [Global] there, is [us-east-1]",
    ]


def test_new_dimensions_of_waf_are_taken_on_trust():
    labelled = {
        "aws_namespace": known.WAF,
        "aws_metric_name": "BlockedRequests",
        "aws_dimensions": ["Region", "WebACL", "LabelNamespace", "Label"],
        "aws_statistics": ["Sum"],
    }
    assert faults(labelled) == []


# The names are those of a recorded exposition of the real exporter: tests/rules/expositions.
@pytest.mark.parametrize(
    ("namespace", "metric", "statistics", "name"),
    [
        ("AWS/RDS", "CPUUtilization", ["Average"], "aws_rds_cpuutilization_average"),
        ("AWS/RDS", "MaximumUsedTransactionIDs", ["Average"], "aws_rds_maximum_used_transaction_ids_average"),
        ("AWS/ApplicationELB", "UnHealthyHostCount", ["Average"], "aws_applicationelb_un_healthy_host_count_average"),
        (
            "AWS/ApplicationELB",
            "HTTPCode_Target_5XX_Count",
            ["Sum"],
            "aws_applicationelb_httpcode_target_5_xx_count_sum",
        ),
        ("AWS/CloudFront", "5xxErrorRate", ["Average"], "aws_cloudfront_5xx_error_rate_average"),
        ("AWS/EC2", "StatusCheckFailed_Instance", ["SampleCount"], "aws_ec2_status_check_failed_instance_sample_count"),
        ("My App/x", "EBSIOBalance%", ["Sum"], "my_app_x_ebsiobalance__sum"),
    ],
)
def test_names_are_those_of_the_exporter(namespace, metric, statistics, name):
    rule = {"aws_namespace": namespace, "aws_metric_name": metric, "aws_statistics": statistics}
    assert families({"metrics": [rule]}) == [name]


def test_percentiles_are_named_too():
    rule = {**{key: RULE[key] for key in list(RULE)[:3]}, "aws_extended_statistics": ["p99.9"]}
    assert families({"metrics": [rule]}) == ["aws_rds_cpuutilization_p99_9"]


def test_labels_are_those_of_the_exporter():
    assert [label(name) for name in ("DBInstanceIdentifier", "LoadBalancer", "WebACL")] == [
        "dbinstance_identifier",
        "load_balancer",
        "web_acl",
    ]


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        ({}, True),
        ({"aws_dimension_select": {"DBInstanceIdentifier": ["a"]}}, False),
        ({"aws_dimension_select": {"DBInstanceIdentifier": ["a"]}, "aws_tag_select": TAGS}, True),
        ({"aws_dimension_select_regex": {"DBInstanceIdentifier": ["a"]}}, True),
    ],
)
def test_only_what_is_named_whole_is_not_listed(changed, listed):
    assert lists_metrics({**RULE, **changed}) is listed
    assert not lists_metrics(OWN)


def test_every_metric_of_every_preset_is_in_the_catalog():
    for preset in known.PRESETS.values():
        for wanted in preset.metrics:
            rule = {
                "aws_namespace": preset.namespace,
                "aws_metric_name": wanted.name,
                "aws_dimensions": list(wanted.dimensions),
                **({"aws_statistics": list(wanted.statistics)} if wanted.statistics else {}),
                **({"aws_extended_statistics": list(wanted.percentiles)} if wanted.percentiles else {}),
            }
            assert list(rule_faults(rule, {"region": preset.region or HOME})) == []
            assert set(preset.tagged) & set(wanted.dimensions)
