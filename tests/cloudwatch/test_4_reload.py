"""What a reload takes up, what it does not, and what becomes of one that fails: the ground of change()."""

from __future__ import annotations

import pytest
from cloudwatch import EDGE_REGION, HOME_REGION
from cloudwatch_jar import eventually, exporter
from cloudwatch_watch import described

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import change, plan

PLAN = plan(described())
HOME, EDGE = PLAN.configurations[HOME_REGION], PLAN.configurations[EDGE_REGION]


def narrowed(config, *names):
    return {**config, "metrics": [rule for rule in config["metrics"] if rule["aws_metric_name"] in names]}


OLD, NEW = narrowed(HOME, "CPUUtilization"), narrowed(HOME, "FreeStorageSpace", "ReplicaLag")
OLD_FAMILIES, NEW_FAMILIES = (
    ["aws_rds_cpuutilization_average"],
    ["aws_rds_free_storage_space_average", "aws_rds_replica_lag_average"],
)


@pytest.mark.parametrize("way", ["http", "signal"])
def test_rules_are_read_again(jar, aws, tmp_path, way):
    assert change(OLD, NEW) == "reload"
    with exporter(jar, tmp_path, OLD, aws) as running:
        assert running.scrape().families == OLD_FAMILIES
        running.write(NEW)
        assert running.scrape().families == OLD_FAMILIES
        if way == "http":
            assert running.reload() == 200
        else:
            running.hang_up()
        # By signal there is no answer that says that it is done.
        eventually(lambda: sorted(running.scrape().families) == NEW_FAMILIES, seconds=0 if way == "http" else 60)


def test_a_region_is_not_read_again_though_the_reload_says_that_it_is_well(jar, aws, tmp_path):
    moved = narrowed(EDGE, "5xxErrorRate")
    assert change(OLD, moved) == "restart"
    with exporter(jar, tmp_path, OLD, aws) as running:
        running.write(moved)
        assert running.reload() == 200
        with aws.asked() as calls:
            shown = running.scrape()
        # The new rules, asked for in the old region, where there is nothing: silence instead of an error.
        assert [(call.action, call.region) for call in calls] == [("GetMetricStatistics", HOME_REGION)]
        assert (shown.error, shown.families) == (0, [])
    with exporter(jar, tmp_path, moved, aws) as running:
        assert running.scrape().families == ["aws_cloudfront_5xx_error_rate_average"]


def test_a_role_is_not_read_again_either(jar, aws, tmp_path):
    assumed = {**NEW, "role_arn": "arn:aws:iam::123456789012:role/reader"}
    assert change(OLD, assumed) == "restart"
    with exporter(jar, tmp_path, OLD, aws) as running:
        running.write(assumed)
        assert running.reload() == 200
        with aws.asked() as calls:
            assert sorted(running.scrape().families) == NEW_FAMILIES
        assert "AssumeRole" not in {call.action for call in calls}
    with exporter(jar, tmp_path, assumed, aws) as running, aws.asked() as calls:
        assert sorted(running.scrape().families) == NEW_FAMILIES
    assert calls[0].action == "AssumeRole"


@pytest.mark.parametrize("broken", ["metrics: [", "region: sa-east-1\n", "metrics: [{aws_namespace: AWS/RDS}]\n"])
def test_a_reload_that_fails_keeps_the_old_rules(jar, aws, tmp_path, broken):
    with exporter(jar, tmp_path, OLD, aws) as running:
        running.write(broken)
        assert running.reload() == 500
        assert running.scrape().families == OLD_FAMILIES
        running.hang_up()
        # By signal only the log tells.
        eventually(lambda: "Configuration reload failed" in running.said)
        assert running.scrape().families == OLD_FAMILIES


def test_an_exporter_that_fails_to_read_still_calls_itself_healthy(jar, aws, tmp_path):
    with exporter(jar, tmp_path, {**OLD, "region": "mars-east-1"}, aws) as running, aws.asked() as calls:
        assert running.scrape().error == 1
        assert [running.get(path) for path in ("/-/ready", "/-/healthy")] == ["ok", "ok"]
    assert calls == []
