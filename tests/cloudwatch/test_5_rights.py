"""The exporter with the rights that our policies give it, and with one fewer."""

from __future__ import annotations

import copy
import json

import pytest
from cloudwatch import HOME_REGION
from cloudwatch_jar import exporter
from cloudwatch_watch import described

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import plan

# All that a policy can be made of: named and listed, by both calls, by tags.
RDS = described().watch[0]
TAGGED = {"preset": "ec2", "tags": {"Environment": ["prod"]}, "resources": 1}
BY_DATA = {**described().watch[2], "use_get_metric_data": True}
PLAN = plan(described(RDS, TAGGED, BY_DATA))
[NEEDED] = [statement["Action"] for statement in PLAN.policies["exporter"]["Statement"]]


@pytest.fixture
def identity(aws):
    """Make a user with a policy, whose rights moto then checks at every request."""
    iam = aws.client("iam", "us-east-1")
    iam.create_user(UserName="exporter")
    key = iam.create_access_key(UserName="exporter")["AccessKey"]

    def having(policy):
        aws.check_rights(False)
        iam.put_user_policy(UserName="exporter", PolicyName="read", PolicyDocument=json.dumps(policy))
        aws.check_rights(True)
        return {
            **aws.credentials,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    yield having
    aws.check_rights(False)
    iam.delete_access_key(UserName="exporter", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="exporter", PolicyName="read")
    iam.delete_user(UserName="exporter")


def test_the_policy_is_enough(jar, aws, tmp_path, identity):
    config = PLAN.configurations[HOME_REGION]
    with exporter(jar, tmp_path, config, aws, environment=identity(PLAN.policies["exporter"])) as running:
        with aws.asked() as calls:
            shown = running.scrape()
        assert shown.error == 0, running.said
    assert {call.action for call in calls} == {action.partition(":")[2] for action in NEEDED}
    assert {name.split("_")[1] for name in shown.families} >= {"rds", "applicationelb"}


@pytest.mark.parametrize("action", NEEDED)
def test_nothing_of_it_can_be_left_out(jar, aws, tmp_path, identity, action):
    policy = copy.deepcopy(PLAN.policies["exporter"])
    policy["Statement"][0]["Action"].remove(action)
    config = PLAN.configurations[HOME_REGION]
    with exporter(jar, tmp_path, config, aws, environment=identity(policy)) as running, aws.asked() as calls:
        shown = running.scrape()
    assert shown.error == 1
    refused = {call.action for call in calls if call.status == 403}
    assert refused == {action.partition(":")[2]}


def test_these_are_all_rights_there_are():
    assert NEEDED == [
        "cloudwatch:GetMetricData",
        "cloudwatch:GetMetricStatistics",
        "cloudwatch:ListMetrics",
        "tag:GetResources",
    ]
