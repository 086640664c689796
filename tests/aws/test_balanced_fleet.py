# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts behind a load balancer: who stands in the target group while a batch is released, and that all stand in it afterwards.

moto drains at once and finds everybody healthy; what takes time is in tests/unit/plugins/module_utils/aws/test_targets.py.
"""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from balanced_fleet import BalancedFleet
from botocore.config import Config
from moto_server import Moto

from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError
from ansible_collections.plano.delivery.plugins.module_utils.aws.targets import Group
from ansible_collections.plano.delivery.plugins.plugin_utils._aws import explained

ALL = ["app-1", "app-2", "app-3", "app-4", "app-5", "app-6", "app-7", "app-8"]


@pytest.fixture
def fleet(aws: Moto, tmp_path: Path) -> BalancedFleet:
    return BalancedFleet(tmp_path, aws)


def test_a_quarter_is_away_at_a_time_and_all_come_back(fleet: BalancedFleet) -> None:
    fleet.register(*ALL)
    done = fleet.play("deploy", 8, backend_target_group=fleet.group, backend_target_drain_seconds=1)
    assert done.code == 0, done.said
    assert [line for line in done.log if not line.endswith(" absent")] == []
    assert sorted(line.split()[0] for line in done.log) == ALL
    # Included once for each turn: one, a quarter, and the rest a quarter at a time.
    turns = [line for line in done.said.splitlines() if line.startswith("included: ") and "release_turn.yml" in line]
    found = [sorted(line.split(" for ")[1].split(" => ")[0].split(", ")) for line in turns]
    assert found[:2] == [["app-1"], ["app-2", "app-3"]]
    # ansible-core takes the turns of the rest in the order in which their hosts ask for them.
    assert sorted(found[2:]) == [["app-4", "app-5"], ["app-6", "app-7"], ["app-8"]]
    assert fleet.standing() == ALL


def test_without_a_drain_they_stay_and_only_the_health_is_asked(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2")
    done = fleet.play("deploy", 3, backend_target_group=fleet.group)
    assert done.code == 0, done.said
    # The third is new.
    assert done.log == ["app-1 healthy", "app-2 healthy", "app-3 absent"]
    assert fleet.standing() == ["app-1", "app-2", "app-3"]


def test_a_release_that_fails_leaves_all_in_the_load_balancer_and_reaches_nobody_else(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2", "app-3", "app-4")
    done = fleet.play("deploy", 4, backend_target_group=fleet.group, backend_target_drain_seconds=1, broken=["app-3"])
    assert done.code != 0
    assert "Break: the release does not answer" in done.words
    # The fourth is of the same batch, but its turn does not come, unless Ansible heard of it first and it came before.
    failed = done.log.index("app-3 absent")
    assert set(done.log[:failed]) - {"app-4 absent"} == {"app-1 absent", "app-2 absent"}
    assert done.log[failed + 1] == "app-3 back"
    assert sorted(done.log[failed + 2 :]) == ["app-1 back", "app-2 back", "app-4 back"]
    assert fleet.standing() == ["app-1", "app-2", "app-3", "app-4"]


def test_the_only_host_of_a_run_is_put_back_when_its_release_fails(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2")
    asked = {"backend_target_group": fleet.group, "backend_target_drain_seconds": 1}
    done = fleet.play("deploy", 2, "--limit", "app-2", **asked, broken=["app-2"])
    assert done.code != 0
    assert done.log == ["app-2 absent", "app-2 back"]
    assert fleet.standing() == ["app-1", "app-2"]


def test_a_host_that_falls_silent_while_it_is_out_is_put_back(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2", "app-3")
    done = fleet.play("deploy", 3, backend_target_group=fleet.group, backend_target_drain_seconds=1, silent=["app-2"])
    assert done.code != 0
    assert "Not good on app-2" in done.words
    assert done.log[:2] == ["app-1 absent", "app-2 absent"]
    assert sorted(done.log[2:]) == ["app-1 back", "app-3 back"]
    assert fleet.standing() == ["app-1", "app-2", "app-3"]


def test_the_only_host_of_a_run_that_falls_silent_is_brought_back_by_hand(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2")
    asked = {"backend_target_group": fleet.group, "backend_target_drain_seconds": 1}
    assert fleet.play("deploy", 2, "--limit", "app-2", **asked, silent=["app-2"]).code != 0
    # Ansible ends the playbook with the last host of a play.
    assert fleet.standing() == ["app-1"]
    done = fleet.play("undrain", 2, **asked)
    assert done.code == 0, done.said
    assert "changed=1" in done.said
    assert fleet.standing() == ["app-1", "app-2"]


def test_a_host_that_cannot_be_drained_in_time_is_not_touched(aws: Moto, tmp_path: Path) -> None:
    fleet = BalancedFleet(tmp_path, aws, delay=300)
    fleet.register("app-1", "app-2")
    done = fleet.play("deploy", 2, backend_target_group=fleet.group, backend_target_drain_seconds=90)
    assert done.code != 0
    assert "192.0.2.1 stays in the load balancer" in done.words
    assert "300 s (deregistration_delay.timeout_seconds)" in done.words
    assert {"app-1 back", "app-2 back"} >= set(done.log)
    assert fleet.standing() == ["app-1", "app-2"]


def test_a_host_is_taken_out_for_maintenance_and_brought_back(fleet: BalancedFleet) -> None:
    fleet.register("app-1", "app-2")
    asked = {"backend_target_group": fleet.group}
    planned = fleet.play("drain", 2, "--limit", "app-1", "--check", "--diff", **asked)
    assert (planned.code, fleet.standing()) == (0, ["app-1", "app-2"]), planned.said
    # With no time given there is enough for a group that waits as long as AWS lets it by default.
    assert fleet.play("drain", 2, "--limit", "app-1", **asked).code == 0
    assert fleet.standing() == ["app-2"]
    assert "no other healthy target would be left" in fleet.play("drain", 2, **asked).words
    assert fleet.standing() == ["app-2"]


def test_a_group_that_is_not_there_and_an_aws_that_does_not_answer_are_told(aws: Moto) -> None:
    with pytest.raises(
        AwsError, match=r"target group nobody: it does not exist in region sa-east-1; is it in another region"
    ):
        Group(boto3.client("elbv2"), "nobody", explained)
    away = boto3.client("elbv2", endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(AwsError, match=r"target group arn:.*: AWS does not answer"):
        Group(away, "arn:aws:elasticloadbalancing:sa-east-1:123456789012:targetgroup/backend/0", explained).healths()


def test_an_account_that_may_not_is_told_which_action_it_lacks(fleet: BalancedFleet, aws: Moto) -> None:
    user = boto3.client("iam")
    user.create_user(UserName="u")
    key = user.create_access_key(UserName="u")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    aws.enforce_policies()
    try:
        with pytest.raises(
            AwsError, match=r"elasticloadbalancing:DescribeTargetHealth is not allowed.*policy 'deploy'"
        ):
            Group(boto3.client("elbv2", **keys), fleet.group, explained).healths()
    finally:
        aws.enforce_policies(10**9)


def test_without_a_target_group_a_deploy_has_the_tasks_it_always_had(fleet: BalancedFleet) -> None:
    # For each host three batches, of which one is its own, the role's four and its message, and the end of the play.
    assert fleet.tasks(2) == 2 * 8
