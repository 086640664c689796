"""What the exporter itself makes of configurations that we refuse: mostly nothing, without a word."""

from __future__ import annotations

import copy

import pytest
from cloudwatch import DATABASE, EDGE_REGION, HOME_REGION, REPLICA, Fed
from cloudwatch_jar import exporter

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_rules import configuration_faults

CPU = {
    "aws_namespace": "AWS/RDS",
    "aws_metric_name": "CPUUtilization",
    "aws_dimensions": ["DBInstanceIdentifier"],
    "aws_dimension_select": {"DBInstanceIdentifier": [DATABASE]},
    "aws_statistics": ["Average"],
}
SPACE = {**CPU, "aws_metric_name": "FreeStorageSpace"}
LATENCY = {**CPU, "aws_metric_name": "ReadLatency"}
SHOWN = {
    "CPUUtilization": "aws_rds_cpuutilization_average",
    "FreeStorageSpace": "aws_rds_free_storage_space_average",
    "ReadLatency": "aws_rds_read_latency_average",
}


def configured(*rules, **more):
    return {"region": HOME_REGION, "metrics": [copy.deepcopy(rule) for rule in rules], **more}


def without(rule, *keys):
    return {key: value for key, value in rule.items() if key not in keys}


def test_without_a_fault_all_three_are_shown(jar, aws, tmp_path):
    config = configured(CPU, SPACE, LATENCY)
    assert configuration_faults(config) == []
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    assert shown.error == 0
    assert shown.families == list(SHOWN.values())


# The middle one of three rules is spoilt.
SILENT = {
    "a key that is misspelt": {**without(SPACE, "aws_dimensions"), "aws_dimension": ["DBInstanceIdentifier"]},
    "a metric that does not exist": {**SPACE, "aws_metric_name": "FreeStoragespace"},
    "a dimension that does not exist": {
        **SPACE,
        "aws_dimensions": ["DBInstanceId"],
        "aws_dimension_select": {"DBInstanceId": [DATABASE]},
    },
    "a dimension too many": {
        **without(SPACE, "aws_dimension_select"),
        "aws_dimensions": ["DBInstanceIdentifier", "EngineName"],
    },
    "a namespace in lower case": {**SPACE, "aws_namespace": "aws/rds"},
    "a time beyond 32 bits": {**SPACE, "delay_seconds": 2147484, "set_timestamp": False},
}
DROPS_THE_REST = {
    "a statistic in lower case": {**SPACE, "aws_statistics": ["average"]},
    "a percentile among the statistics": {**SPACE, "aws_statistics": ["p95"]},
    "a percentile that does not exist": {**without(SPACE, "aws_statistics"), "aws_extended_statistics": ["p101"]},
    "statistics and percentiles together": {**SPACE, "aws_extended_statistics": ["p95"]},
    "no statistic at all": {**SPACE, "aws_statistics": []},
    "a period of no whole minutes": {**SPACE, "period_seconds": 90},
    "more periods than CloudWatch gives": {**SPACE, "range_seconds": 90000},
    "a value that is no text": {**SPACE, "aws_dimension_select": {"DBInstanceIdentifier": [7]}},
    "a regular expression that is none": {
        **without(SPACE, "aws_dimension_select"),
        "aws_dimension_select_regex": {"DBInstanceIdentifier": ["(a"]},
    },
}
REFUSED = {
    "both ways to select": configured({**SPACE, "aws_dimension_select_regex": {"DBInstanceIdentifier": [".*"]}}),
    "no metric named": configured(without(SPACE, "aws_metric_name")),
    "no metrics at all": {"region": HOME_REGION},
    "a number that is a text": configured(SPACE, period_seconds="60"),
    "a role without a region": {"role_arn": "arn:aws:iam::123456789012:role/reader", "metrics": [SPACE]},
}


@pytest.mark.parametrize("name", SILENT)
def test_it_says_nothing(jar, aws, tmp_path, name):
    config = configured(CPU, SILENT[name], LATENCY)
    assert configuration_faults(config)
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    assert shown.error == 0
    assert SHOWN["FreeStorageSpace"] not in shown.families
    assert {SHOWN["CPUUtilization"], SHOWN["ReadLatency"]} <= set(shown.families)


@pytest.mark.parametrize("name", DROPS_THE_REST)
def test_it_starts_and_drops_the_rule_and_all_after_it_at_every_scrape(jar, aws, tmp_path, name):
    config = configured(CPU, DROPS_THE_REST[name], LATENCY)
    assert configuration_faults(config)
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
        assert running.get("/-/healthy") == "ok"
    assert shown.error == 1
    assert shown.families == [SHOWN["CPUUtilization"]]
    assert "CloudWatch scrape failed" in running.said


@pytest.mark.parametrize("name", REFUSED)
def test_it_does_not_start(jar, aws, tmp_path, name):
    assert configuration_faults(REFUSED[name])
    with exporter(jar, tmp_path, REFUSED[name], aws, ready=False) as running:
        assert running.process.wait(timeout=60) == 1
    assert "Exception" in running.said


def test_a_selection_of_another_dimension_selects_nothing_so_all_are_read_and_paid_for(jar, aws, tmp_path):
    config = configured({**SPACE, "aws_dimension_select": {"DBInstance": [DATABASE]}})
    assert "'DBInstance' is not among aws_dimensions" in configuration_faults(config)[0]
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    names = {one.label("dbinstance_identifier") for one in shown.of(SHOWN["FreeStorageSpace"])}
    assert names == {DATABASE, REPLICA}


def test_the_same_rule_twice_prints_the_same_series_twice(jar, aws, tmp_path):
    config = configured(CPU, CPU)
    assert "is already exported by metrics[0]" in configuration_faults(config)[0]
    with exporter(jar, tmp_path, config, aws) as running:
        shown = running.scrape()
    assert shown.error == 0
    [first, second] = shown.of(SHOWN["CPUUtilization"])
    assert (first.labels, first.timestamp) == (second.labels, second.timestamp)


def test_a_dimension_named_instance_prints_a_label_twice(jar, aws, tmp_path):
    own = {
        "aws_namespace": "Shop",
        "aws_metric_name": "Orders",
        "aws_dimensions": ["Instance"],
        "aws_statistics": ["Sum"],
    }
    assert "becomes the label instance" in configuration_faults(configured(own))[0]
    aws.feed([Fed(HOME_REGION, "Shop", "Orders", (("Instance", "a"),), (1.0,))])
    with exporter(jar, tmp_path, configured(own), aws) as running:
        shown = running.scrape()
    [order] = shown.of("shop_orders_sum")
    assert [value for name, value in order.labels if name == "instance"] == ["", "a"]


def test_metrics_of_another_region_are_silence(jar, aws, tmp_path):
    front = {
        "aws_namespace": "AWS/CloudFront",
        "aws_metric_name": "Requests",
        "aws_dimensions": ["DistributionId", "Region"],
        "aws_statistics": ["Sum"],
    }
    assert configuration_faults({**configured(front), "region": EDGE_REGION}) == []
    assert "in us-east-1 only" in configuration_faults(configured(front))[0]
    with exporter(jar, tmp_path, configured(front), aws) as running:
        shown = running.scrape()
    assert (shown.error, shown.families) == (0, [])
