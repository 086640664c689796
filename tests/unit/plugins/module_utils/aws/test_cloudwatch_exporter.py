# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import (
    Description,
    change,
    changes,
    client,
    description_faults,
    plan,
    ports,
)
from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_rules import configuration_faults
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError

HOME, EDGE = "sa-east-1", "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/reader"
RDS = {"preset": "rds", "select": {"DBInstanceIdentifier": ["prod", "replica"]}}
WHOLE = (
    RDS,
    {"preset": "ec2", "select": {"InstanceId": ["i-0123456789abcdef0"]}},
    {"preset": "alb", "select": {"LoadBalancer": ["app/prod/50dc6c495c0c9188"]}, "resources": 1},
    {"preset": "wafv2", "select": {"WebACL": ["regional"]}},
    {"preset": "wafv2_cloudfront", "select": {"WebACL": ["edge"]}},
    {"preset": "cloudfront", "select": {"DistributionId": ["E2EXAMPLE"]}},
)
QUEUE = {
    "aws_namespace": "AWS/SQS",
    "aws_metric_name": "ApproximateAgeOfOldestMessage",
    "aws_dimensions": ["QueueName"],
    "aws_dimension_select": {"QueueName": ["jobs"]},
    "aws_statistics": ["Maximum"],
}


def described(*watch, **more):
    return Description(watch=list(watch), **{"regions": [HOME], **more})


def faults(*watch, **more):
    return description_faults(described(*watch, **more))


def rules(config):
    return {rule["aws_metric_name"]: rule for rule in config["metrics"]}


# -- configurations ------------------------------------------------------------------------------------------------


def test_every_region_has_a_configuration_of_its_own():
    found = plan(described(*WHOLE)).configurations
    assert list(found) == [HOME, EDGE]
    assert {rule["aws_namespace"] for rule in found[HOME]["metrics"]} == {
        "AWS/RDS",
        "AWS/EC2",
        "AWS/ApplicationELB",
        "AWS/WAFV2",
    }
    assert {rule["aws_namespace"] for rule in found[EDGE]["metrics"]} == {"AWS/WAFV2", "AWS/CloudFront"}
    assert all(configuration_faults(config) == [] for config in found.values())


def test_a_preset_asks_for_exactly_the_dimensions_that_are_published():
    found = plan(described(*WHOLE)).configurations
    assert rules(found[HOME])["AllowedRequests"] == {
        "aws_namespace": "AWS/WAFV2",
        "aws_metric_name": "AllowedRequests",
        "aws_dimensions": ["Region", "Rule", "WebACL"],
        "aws_dimension_select": {"Region": [HOME], "Rule": ["ALL"], "WebACL": ["regional"]},
        "aws_statistics": ["Sum"],
    }
    assert rules(found[EDGE])["AllowedRequests"]["aws_dimension_select"] == {"Rule": ["ALL"], "WebACL": ["edge"]}
    assert rules(found[EDGE])["4xxErrorRate"]["aws_dimension_select"] == {
        "DistributionId": ["E2EXAMPLE"],
        "Region": ["Global"],
    }
    assert rules(found[HOME])["HealthyHostCount"]["aws_dimensions"] == ["TargetGroup", "LoadBalancer"]


def test_two_regions_of_one_entry_differ_only_in_the_region():
    entry = {"preset": "wafv2", "select": {"WebACL": ["regional"]}, "regions": [HOME, "eu-west-1"]}
    found = plan(described(entry)).configurations
    there = [config["metrics"][0]["aws_dimension_select"].pop("Region") for config in found.values()]
    assert there == [[HOME], ["eu-west-1"]]
    assert found[HOME]["metrics"][0] == found["eu-west-1"]["metrics"][0]


def test_a_rule_of_ones_own_is_handed_on_as_it_is():
    assert plan(described(QUEUE)).configurations[HOME]["metrics"] == [QUEUE]


def test_what_is_in_one_region_only_is_asked_there_without_being_told():
    own = {
        "aws_namespace": "AWS/CloudFront",
        "aws_metric_name": "TotalErrorRate",
        "aws_dimensions": ["DistributionId", "Region"],
        "aws_dimension_select": {"DistributionId": ["E2EXAMPLE"], "Region": ["Global"]},
        "aws_statistics": ["Average"],
    }
    assert list(plan(described(own)).configurations) == [EDGE]


def test_tags_find_the_resources_of_each_dimension():
    entry = {"preset": "alb", "tags": {"Environment": ["prod"]}, "resources": 2}
    found = rules(plan(described(entry)).configurations[HOME])
    assert found["RequestCount"]["aws_tag_select"] == {
        "resource_type_selection": "elasticloadbalancing:loadbalancer",
        "resource_id_dimension": "LoadBalancer",
        "tag_selections": {"Environment": ["prod"]},
    }
    assert found["HealthyHostCount"]["aws_tag_select"]["resource_type_selection"] == "elasticloadbalancing:targetgroup"
    assert found["HealthyHostCount"]["aws_tag_select"]["arn_resource_id_regexp"] == "(targetgroup/.*)$"


def test_a_preset_can_be_narrowed_and_its_settings_changed():
    entry = {**RDS, "metrics": ["CPUUtilization"], "period_seconds": 300}
    assert plan(described(entry)).configurations[HOME]["metrics"] == [
        {
            "aws_namespace": "AWS/RDS",
            "aws_metric_name": "CPUUtilization",
            "aws_dimensions": ["DBInstanceIdentifier"],
            "aws_dimension_select": {"DBInstanceIdentifier": ["prod", "replica"]},
            "aws_statistics": ["Average"],
            "period_seconds": 300,
        }
    ]


def test_settings_and_role_hold_for_all_regions():
    found = plan(described(*WHOLE, role_arn=ROLE, settings={"delay_seconds": 300})).configurations
    assert [(config["role_arn"], config["delay_seconds"]) for config in found.values()] == [(ROLE, 300)] * 2


def test_each_region_has_a_port_of_its_own():
    cloudfront = {"preset": "cloudfront", "select": {"DistributionId": ["E1"]}}
    assert plan(described(RDS, cloudfront)).ports == {HOME: 9106, EDGE: 9107}
    assert plan(described(cloudfront, RDS)).ports == {EDGE: 9106, HOME: 9107}
    assert plan(described(RDS, cloudfront, ports={EDGE: 9106})).ports == {HOME: 9107, EDGE: 9106}


def test_ports_are_known_while_the_description_has_faults():
    assert ports(described({**RDS, "select": {"DBInstance": ["plano-prod"]}}, budget=-1)) == {}
    assert ports(described({**RDS, "resources": 1}, {"preset": "rdz"}, 5, budget=-1)) == {HOME: 9106}
    assert ports(described(RDS, regions=["mars", HOME], ports=[9106])) == {HOME: 9106}
    assert ports(Description(None, regions=None)) == {}


@pytest.mark.parametrize(
    "given, said",
    [
        ([9106], ["ports: it must be a mapping of regions to ports, such as {sa-east-1: 9106}"]),
        ({HOME: 80}, ["ports: sa-east-1: 80 is not a port between 1024 and 65535"]),
        ({HOME: "http"}, ["ports: sa-east-1: 'http' is not a port between 1024 and 65535"]),
        (
            {"sa-eats-1": 9106},
            ["ports: nothing is watched in 'sa-eats-1', so it needs no port; did you mean sa-east-1?"],
        ),
        ({HOME: 9106, "eu-west-1": 9106}, ["ports: 9106 stands there twice; one process listens on one port"]),
    ],
)
def test_a_port_that_cannot_be_is_a_fault(given, said):
    assert faults(RDS, regions=[HOME, "eu-west-1"], ports=given) == said


def test_no_two_rules_share_a_list():
    found = plan(described({**RDS, "tags": {"Environment": ["prod"]}, "resources": 2})).configurations[HOME]
    lists = [id(rule["aws_dimension_select"]["DBInstanceIdentifier"]) for rule in found["metrics"]]
    assert len(set(lists)) == len(lists) == 14


# -- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"preset": "rdz"}, "watch[0] (preset rdz): there is no such preset; did you mean rds?"),
        ({"preset": ["rds"]}, "there is no such preset"),
        ("rds", "watch[0]: it must be a mapping with 'preset' or 'aws_namespace', is 'rds'"),
        ({**RDS, "selct": {}}, "unknown key 'selct'; did you mean select?"),
        ({"preset": "rds"}, "how many there are is not known, so neither is the cost"),
        ({**RDS, "resources": 2}, "resources is of no use, all are named; remove it"),
        ({**RDS, "resources": "2"}, "resources must be a whole number of 1 or more, is '2'"),
        ({**RDS, "metrics": ["CPUUtilisation"]}, "metrics: the preset has no 'CPUUtilisation'"),
        ({**RDS, "metrics": []}, "metrics must be a list of some of CPUUtilization"),
        ({**RDS, "select": ["prod"]}, "select must be a mapping of DBInstanceIdentifier to lists of values"),
        ({**RDS, "select": {"DBInstance": ["prod"]}}, "select: the preset has no dimension 'DBInstance'"),
        (
            {**RDS, "select": {"DBInstanceIdentifier": "prod"}},
            "select: DBInstanceIdentifier must have a list of values",
        ),
        ({**RDS, "select": {"DBInstanceIdentifier": [7]}}, "all of them text in quotes, is [7]"),
        ({**RDS, "tags": {}, "resources": 1}, "tags must be a mapping of tag keys to lists of values"),
        ({**RDS, "tags": {"Environment": "prod"}, "resources": 1}, "tags: Environment must have a list of values"),
        ({**RDS, "period_seconds": 90}, "period_seconds must be a multiple of 60, is 90"),
        ({**RDS, "regions": "sa-east-1"}, "regions: it must be a list of regions such as [sa-east-1]"),
        ({**RDS, "regions": ["sa-east"]}, "regions: 'sa-east' is not a region such as sa-east-1"),
        ({**RDS, "regions": [HOME, HOME]}, f"regions: {HOME} stands there twice"),
        ({"preset": "cloudfront", "regions": [HOME]}, "these metrics are in us-east-1 only: remove 'regions'"),
        ({**QUEUE, "aws_dimension": []}, "unknown key 'aws_dimension'; did you mean aws_dimensions?"),
        ({**QUEUE, "aws_dimensions": None}, "aws_dimensions must be a list of names, is None"),
        ({**QUEUE, "unlisted": "yes"}, "unlisted must be true or false, is 'yes'"),
        (
            {**QUEUE, "aws_dimension_select_regex": {"QueueName": ["j.*"]}},
            "aws_dimension_select and aws_dimension_select_regex exclude each other: keep one",
        ),
    ],
)
def test_each_fault_of_an_entry_is_named(entry, said):
    found = faults(entry)
    assert any(said in fault for fault in found), found
    assert all(fault.startswith("watch[0]") for fault in found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"regions": []}, "watch[0] (preset rds): no region is named, neither here (regions) nor for all"),
        ({"regions": HOME}, "regions: it must be a list of regions such as [sa-east-1]"),
        ({"regions": [7]}, "regions: 7 is not a region such as sa-east-1"),
        ({"role_arn": "reader"}, "role_arn: 'reader' is not the ARN of a role"),
        ({"settings": []}, "settings: it must be a mapping"),
        ({"settings": {"delay": 60}}, "settings: unknown key 'delay'; did you mean delay_seconds?"),
        ({"settings": {"set_timestamp": "no"}}, "settings: set_timestamp must be true or false, is 'no'"),
        ({"scrape_interval": 600}, "scrape_interval: 600 is not between 10 and 300 seconds"),
        ({"scrapers": 0}, "scrapers: 0 must be the number of Prometheus servers that scrape"),
        ({"free_requests": -1}, "free_requests: -1 must be a number of requests a month"),
        ({"budget": "10"}, "budget: '10' must be a number of US dollars a month"),
        ({"budget": float("nan")}, "budget: nan must be a number of US dollars a month"),
    ],
)
def test_each_fault_of_the_frame_is_named(more, said):
    found = faults(RDS, **more)
    assert any(said in fault for fault in found), found


@pytest.mark.parametrize("watch", [None, [], "rds", {"preset": "rds"}])
def test_nothing_to_watch_is_a_fault(watch):
    assert description_faults(Description(watch, regions=[HOME])) == [
        "watch: it must be a list of what is to be watched, with at least one entry"
    ]


def test_all_faults_are_listed_at_once():
    found = faults(
        {"preset": "rdz"},
        {**RDS, "select": {"DBInstanceIdentifier": "prod"}},
        {**QUEUE, "aws_statistics": ["maximum"]},
        {"preset": "ec2"},
        role_arn="reader",
    )
    starts = ("role_arn", "watch[0]", "watch[3]", "watch[1]", "watch[2]")
    assert [fault.split(" ")[0].rstrip(":") for fault in found] == list(starts)


def test_a_plan_is_refused_with_all_faults():
    with pytest.raises(InputError) as refused:
        plan(described({"preset": "rdz"}, {"preset": "ec2"}))
    assert len(refused.value.faults) == 2


def test_the_same_series_from_two_entries_is_a_fault_that_names_both():
    [found] = faults(RDS, {**RDS, "metrics": ["CPUUtilization"]})
    assert found == (
        "watch[1] (preset rds): aws_rds_cpuutilization_average by [dbinstance_identifier] is already exported by "
        "watch[0] (preset rds); make it one rule"
    )
    assert faults(RDS, {**RDS, "metrics": ["CPUUtilization"], "regions": ["eu-west-1"]}) == []


def test_web_acls_of_both_scopes_can_be_watched_in_one_region():
    regional = {"preset": "wafv2", "select": {"WebACL": ["regional"]}}
    found = plan(described(regional, {"preset": "wafv2_cloudfront", "select": {"WebACL": ["edge"]}}, regions=[EDGE]))
    assert len(found.configurations[EDGE]["metrics"]) == 6


def test_what_aws_has_added_since_can_be_watched_when_it_is_said():
    new = {**QUEUE, "aws_namespace": "AWS/RDS", "aws_metric_name": "Joy", "aws_dimensions": ["QueueName"]}
    assert "AWS/RDS has no Joy" in faults(new)[0]
    assert faults({**new, "unlisted": True}) == []
    assert "unlisted" not in plan(described({**new, "unlisted": True})).configurations[HOME]["metrics"][0]


# -- cost ----------------------------------------------------------------------------------------------------------


def one(count, **more):
    """A rule for *count* queues."""
    return {**QUEUE, "aws_dimension_select": {"QueueName": [f"q{number}" for number in range(count)]}, **more}


@pytest.mark.parametrize(
    ("count", "more", "usd", "list_price"),
    [
        # The figures of AWS's price list, 0.01 USD for 1000, for a month of 30 days.
        (20, {}, 0.0, 8.64),
        (20, {"free_requests": 0}, 8.64, 8.64),
        (40, {"settings": {"use_get_metric_data": True}}, 17.28, 17.28),
        (40, {"settings": {"use_get_metric_data": True}, "scrape_interval": 300}, 3.46, 3.46),
        (40, {"settings": {"use_get_metric_data": True}, "scrapers": 2}, 34.56, 34.56),
    ],
)
def test_what_a_month_costs(count, more, usd, list_price):
    found = plan(described(one(count), **more)).cost
    assert (found.usd, found.list_price) == (usd, list_price)


def test_statistics_cost_with_one_call_and_not_with_the_other():
    entry = one(1, aws_statistics=["Minimum", "Average", "Maximum"])
    stat = plan(described(entry)).cost
    data = plan(described(entry, settings={"use_get_metric_data": True})).cost
    assert (stat.series, stat.get_metric_statistics, stat.get_metric_data) == (3, 43200, 0)
    assert (data.series, data.get_metric_statistics, data.get_metric_data) == (3, 0, 3 * 43200)


@pytest.mark.parametrize(
    ("ttl", "interval", "calls"), [(0, 60, 43200), (900, 60, 2880), (60, 60, 43200), (100, 60, 21600), (900, 300, 2880)]
)
def test_a_list_is_read_again_at_the_first_scrape_after_its_time(ttl, interval, calls):
    entry = {key: value for key, value in QUEUE.items() if key != "aws_dimension_select"}
    more = {"settings": {"list_metrics_cache_ttl": ttl}, "scrape_interval": interval}
    assert plan(described({**entry, "resources": 2}, **more)).cost.list_metrics == calls


def test_a_long_list_has_pages():
    entry = {key: value for key, value in QUEUE.items() if key != "aws_dimension_select"}
    many = {**entry, "resources": 501, "use_get_metric_data": True}
    assert plan(described(many, settings={"list_metrics_cache_ttl": 0})).cost.list_metrics == 2 * 43200


def test_what_is_named_whole_is_not_listed():
    assert plan(described(RDS)).cost.list_metrics == 0


def test_a_budget_that_does_not_hold_names_what_is_dearest():
    [found] = faults(RDS, one(40), budget=5)
    assert found.startswith(
        "budget: about 19.38 USD a month (68 series: 2937600 GetMetricStatistics), more than the 5.00"
    )
    assert "Most of it: watch[1] (AWS/SQS ApproximateAgeOfOldestMessage) 17.28, watch[0] (preset rds) 12.10" in found
    assert faults(RDS, one(40), budget=19.38) == []


def test_a_scrape_that_cannot_end_in_time_is_a_fault():
    [found] = faults(one(300))
    assert found.startswith(
        f"{HOME}: a scrape needs 300 requests one after another, about 75 s, but there is a scrape every 60 s"
    )
    assert faults(one(300), scrape_interval=120) == []
    assert faults(one(300), settings={"use_get_metric_data": True}) == []


def test_the_summary_says_where_and_how_much():
    assert plan(described(*WHOLE)).summary == (
        "sa-east-1, us-east-1: about 11.66 USD a month (55 series: 2160000 GetMetricStatistics, 5760 ListMetrics; "
        "21.66 without what is free)"
    )


# -- rights --------------------------------------------------------------------------------------------------------


def statements(policy):
    return {
        tuple(item["Action"]): item.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
        for item in policy["Statement"]
    }


def test_the_policy_allows_what_each_region_needs_and_no_more():
    found = plan(described(*WHOLE)).policies
    assert statements(found["exporter"]) == {
        ("cloudwatch:GetMetricStatistics",): [EDGE],
        ("cloudwatch:GetMetricStatistics", "cloudwatch:ListMetrics"): [HOME],
    }
    assert found["assumed_role"] is None


def test_the_policy_follows_the_way_of_reading():
    tagged = {**RDS, "tags": {"Environment": ["prod"]}, "resources": 2, "use_get_metric_data": True}
    found = plan(described(tagged)).policies["exporter"]
    assert statements(found) == {("cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "tag:GetResources"): [HOME]}


def test_with_a_role_the_host_may_only_assume_it():
    found = plan(described(*WHOLE, role_arn=ROLE)).policies
    assert found["exporter"]["Statement"] == [
        {"Sid": "AssumeReader", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": [ROLE]}
    ]
    assert found["assumed_role"] == plan(described(*WHOLE)).policies["exporter"]


# -- change --------------------------------------------------------------------------------------------------------


def test_only_what_a_reload_does_not_take_up_needs_a_restart():
    old = plan(described(RDS)).configurations[HOME]
    assert change(old, old) == "none"
    assert change(old, plan(described(RDS, QUEUE)).configurations[HOME]) == "reload"
    assert change(old, {**old, "delay_seconds": 300}) == "reload"
    assert change(old, {**old, "region": EDGE}) == "restart"
    assert change(old, {**old, "role_arn": ROLE}) == "restart"
    assert change({**old, "role_arn": ROLE}, old) == "restart"
    assert (change(None, old), change(old, None), change(None, None)) == ("start", "stop", "none")


def test_a_region_that_comes_or_goes_starts_or_stops_its_exporter():
    old, new = plan(described(RDS)).configurations, plan(described(WHOLE[-1])).configurations
    assert changes(old, new) == {HOME: "stop", EDGE: "start"}


def test_a_client_is_named_by_region_and_role():
    assert client({"region": HOME, "metrics": []}) == "region=sa-east-1\nrole_arn=\n"
    assert client({"region": HOME, "role_arn": ROLE}) == f"region=sa-east-1\nrole_arn={ROLE}\n"
