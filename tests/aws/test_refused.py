# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads when AWS refuses, through the playbooks themselves, and that the next run goes on from there.

Each refusal's words are tested beside its code; here are those that a whole command meets. What snapshots and restores are refused is in
test_instances.py.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from balanced_fleet import BalancedFleet
from controller import BUCKET, ROOT, play
from moto_server import REGION, Moto
from provisioning import IMAGE
from refusing import Refusals, way_to

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def refusals(aws: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusals]:
    """AWS, which refuses what a test tells it to."""
    with way_to(aws.url) as (address, found):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield found


@pytest.fixture
def provision(refusals: Refusals, tmp_path: Path) -> Command:
    shutil.copytree(ROOT / "inventories" / "dev", tmp_path / "dev")

    def run(**variables: Any) -> tuple[int, str]:
        given = json.dumps({"aws_image": IMAGE, **variables})
        code, said = play(tmp_path, "-i", tmp_path / "dev", "-e", given, playbook="plano.delivery.provision")
        return code, " ".join(said.split())

    return run


@pytest.fixture
def publish(refusals: Refusals, tmp_path: Path) -> Command:
    with tarfile.open(tmp_path / "backend-1.0.0.tar.gz", "w:gz") as archive:
        archive.add(Path(__file__), "app.py")

    def run(**variables: Any) -> tuple[int, str]:
        given = {"component": "backend", "version": "1.0.0", "path": "backend-1.0.0.tar.gz", "bucket": BUCKET}
        code, said = play(tmp_path, "-e", json.dumps({**given, **variables}), playbook="plano.delivery.publish")
        return code, " ".join(said.split())

    return run


def vpcs() -> int:
    mine = [{"Name": "tag:plano:environment", "Values": ["dev"]}]
    return len(boto3.client("ec2").describe_vpcs(Filters=mine)["Vpcs"])


def test_expired_credentials_are_told_and_nothing_is_made(refusals: Refusals, provision: Command) -> None:
    refusals.refuse("GetCallerIdentity", "ExpiredToken")
    code, said = provision()
    assert code == 2 and "AWS's credentials have expired (ExpiredToken): sign in again, then run again" in said, said
    assert vpcs() == 0


def test_credentials_that_expire_on_the_way_leave_what_the_next_run_goes_on_with(
    refusals: Refusals, provision: Command
) -> None:
    refusals.refuse("RunInstances", "ExpiredToken")
    code, said = provision()
    assert code == 2 and "what was made is found by its tags" in said, said
    refusals.wanted.clear()
    code, said = provision()
    assert code == 0 and "+ instance dev-app" in said and "+ VPC" not in said, said
    assert vpcs() == 1


def test_a_quota_is_told_and_the_next_run_goes_on(refusals: Refusals, provision: Command) -> None:
    refusals.refuse("RunInstances", "VcpuLimitExceeded")
    code, said = provision()
    assert code == 2, said
    assert f"A quota of the account is reached in {REGION} (ec2:RunInstances: VcpuLimitExceeded)" in said
    assert "Ask for more in Service Quotas" in said
    refusals.wanted.clear()
    code, said = provision()
    assert code == 0 and "+ instance dev-app" in said and "+ VPC" not in said, said
    assert vpcs() == 1


def test_a_throttled_call_is_made_again(refusals: Refusals, provision: Command) -> None:
    refusals.refuse("DescribeVpcs", "RequestLimitExceeded", times=2)
    code, said = provision()
    assert code == 0 and "+ VPC plano-dev" in said, said
    assert refusals.wanted["DescribeVpcs"] == ("RequestLimitExceeded", 0)


def test_a_bucket_of_that_name_in_another_account_is_told(refusals: Refusals, provision: Command) -> None:
    theirs = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::210987654321:role/r", RoleSessionName="theirs")[
        "Credentials"
    ]
    boto3.client(
        "s3",
        aws_access_key_id=theirs["AccessKeyId"],
        aws_secret_access_key=theirs["SecretAccessKey"],
        aws_session_token=theirs["SessionToken"],
    ).create_bucket(Bucket="example-artifacts-dev", CreateBucketConfiguration={"LocationConstraint": REGION})
    code, said = provision()
    assert code == 2 and f"The name is taken already in {REGION} (s3:CreateBucket: BucketAlready" in said, said
    assert "Choose another" in said
    code, said = provision(aws_bucket={"name": "example-artifacts-other"})
    assert code == 0 and "+ bucket example-artifacts-other" in said and "+ VPC" not in said, said


def test_publishing_says_what_is_refused_and_publishes_nothing(
    refusals: Refusals, bucket: Any, publish: Command
) -> None:
    for code, words in {
        "ExpiredToken": "the AWS credentials of this controller have expired (ExpiredToken): get new ones, then run the same",
        "AccessDenied": "s3:ListBucket is not allowed to arn:aws:",
    }.items():
        refusals.refuse("GET", code)
        failed, said = publish()
        assert failed == 2 and words in said, said
    assert "the policy 'deploy' grants it, on arn:aws:s3:::example-artifacts" in said
    assert "or bucket example-artifacts belongs to another account" in said
    refusals.wanted.clear()
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)
    refusals.refuse("GET", "SlowDown", times=2)
    failed, said = publish()
    assert failed == 0 and "changed=1" in said, said


def test_a_load_balancer_that_is_not_there_or_does_not_let_in_is_told(
    aws: Moto, refusals: Refusals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = BalancedFleet(tmp_path, aws)
    fleet.register("app-1", "app-2")
    fleet.environment["AWS_ENDPOINT_URL"] = boto3.client("elbv2").meta.endpoint_url
    asked: dict[str, Any] = {"backend_target_group": "backend"}
    for code, words in {
        "ExpiredToken": "target group backend: the AWS credentials of this controller have expired (ExpiredToken)",
        "AccessDenied": "elasticloadbalancing:DescribeTargetHealth is not allowed to arn:aws:",
    }.items():
        refusals.refuse("DescribeTargetHealth", code)
        done = fleet.play("drain", 2, "--limit", "app-1", **asked)
        assert done.code != 0 and words in done.words, done.said
    assert "the policy 'deploy' grants it" in done.words
    refusals.wanted.clear()
    assert fleet.standing() == ["app-1", "app-2"]
    refusals.refuse("DescribeTargetHealth", "Throttling", times=2)
    assert fleet.play("drain", 2, "--limit", "app-1", **asked).code == 0
    # The wrong region: there is nothing of that name.
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        fleet.environment[name] = "us-east-1"
    done = fleet.play("undrain", 2, **asked)
    assert done.code != 0
    assert "target group backend: it does not exist in region us-east-1" in done.words, done.said
    assert "AWS_REGION" in done.words
