# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each policy lets do and what it does not: asked of moto, which knows actions, and of a judge that knows names and tags too."""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from controller import documented
from moto_server import Moto
from provisioning import account

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import refusals

DOCS = Path(__file__).resolve().parents[2] / "docs" / "iam"
SCOPE = policies.EXAMPLE
OURS = {"aws:ResourceTag/plano:environment": "prod", "aws:ResourceTag/plano:managed": "true"}
MADE = {"aws:RequestTag/plano:environment": "prod", "aws:RequestTag/plano:managed": "true"}
HERE = {"aws:RequestedRegion": "sa-east-1"}
# What RDS makes for its master, and how it marks it.
MASTER = "arn:aws:secretsmanager:sa-east-1:123456789012:secret:rds!db-01234567-89ab-cdef-0123-456789abcdef-AbCdEf"


def rds(rest: str) -> str:
    return f"arn:aws:rds:sa-east-1:123456789012:{rest}"


def elb(rest: str) -> str:
    return f"arn:aws:elasticloadbalancing:sa-east-1:123456789012:{rest}"


def ec2(rest: str) -> str:
    return f"arn:aws:ec2:sa-east-1:123456789012:{rest}"


def of(instance: str) -> dict[str, str]:
    return {"aws:ResourceTag/aws:rds:primaryDBInstanceArn": rds(f"db:{instance}")}


def judge(document: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    """Say what IAM says: some statement names the action and the resource, and all its conditions hold."""

    def holds(condition: dict[str, Any]) -> bool:
        for operator, wanted in condition.items():
            assert operator in ("StringEquals", "StringLike"), operator
            for key, values in wanted.items():
                given = context.get(key)
                listed = values if isinstance(values, list) else [values]
                if given is None or not any(
                    given == one if operator == "StringEquals" else fnmatch.fnmatchcase(given, one) for one in listed
                ):
                    return False
        return True

    def names(statement: dict[str, Any]) -> bool:
        resources = statement["Resource"]
        listed = resources if isinstance(resources, list) else [resources]
        return any(fnmatch.fnmatchcase(resource, one) for one in listed)

    return any(
        any(fnmatch.fnmatchcase(action, one) for one in statement["Action"])
        and names(statement)
        and holds(statement.get("Condition", {}))
        for statement in document["Statement"]
    )


@pytest.mark.parametrize(
    "policy, action, resource, context, allowed",
    [
        ("deploy", "s3:PutObject", "arn:aws:s3:::example-artifacts/backend/1.0.0", {}, True),
        ("deploy", "s3:PutObject", "arn:aws:s3:::other/backend/1.0.0", {}, False),
        ("deploy", "s3:DeleteObject", "arn:aws:s3:::example-artifacts/backend/1.0.0", {}, False),
        ("deploy", "elasticloadbalancing:DeregisterTargets", elb("targetgroup/plano-prod-backend/1"), OURS, True),
        ("deploy", "elasticloadbalancing:DeregisterTargets", elb("targetgroup/plano-prod-backend/1"), {}, False),
        ("deploy", "elasticloadbalancing:DeregisterTargets", elb("targetgroup/plano-dev-backend/1"), OURS, False),
        ("deploy", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/x-A", {}, True),
        ("deploy", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/dev/x-A", {}, False),
        ("deploy", "secretsmanager:GetSecretValue", MASTER, of("plano-prod"), True),
        ("deploy", "secretsmanager:GetSecretValue", MASTER, of("plano-dev"), False),
        ("deploy", "secretsmanager:GetSecretValue", MASTER, {}, False),
        ("deploy", "rds:DescribeDBInstances", "*", HERE, True),
        ("deploy", "rds:ModifyDBInstance", rds("db:plano-prod"), OURS, False),
        ("data", "secretsmanager:GetSecretValue", MASTER, of("plano-prod-restored"), True),
        ("data", "secretsmanager:GetSecretValue", MASTER, of("plano-dev"), False),
        ("audit", "secretsmanager:GetSecretValue", MASTER, of("plano-prod"), False),
        ("data", "rds:CreateDBSnapshot", rds("db:plano-prod"), OURS, True),
        ("data", "rds:CreateDBSnapshot", rds("db:plano-prod"), {**OURS, "aws:ResourceTag/plano:environment": "dev"}, False),
        ("data", "rds:RestoreDBInstanceToPointInTime", rds("db:plano-prod-restored"), {}, True),
        ("data", "rds:ModifyDBInstance", rds("db:plano-dev"), OURS, False),
        ("data", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/database-AbCdEf", {}, True),
        ("data", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/edge-AbCdEf", {}, False),
        ("edge", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/edge-AbCdEf", {}, True),
        ("data", "rds:DeleteDBInstance", rds("db:plano-prod"), OURS, False),
        ("edge", "cloudfront:CreateInvalidation", "arn:aws:cloudfront::123456789012:distribution/E1", OURS, True),
        ("edge", "cloudfront:CreateInvalidation", "arn:aws:cloudfront::123456789012:distribution/E2", {}, False),
        ("edge", "wafv2:UpdateWebACL", "arn:aws:wafv2:us-east-1:123456789012:global/webacl/plano-prod-edge/1", OURS, True),
        ("edge", "wafv2:UpdateWebACL", "arn:aws:wafv2:us-east-1:123456789012:global/webacl/other/1", OURS, False),
        ("monitor", "cloudwatch:GetMetricStatistics", "*", HERE, True),
        ("monitor", "cloudwatch:GetMetricStatistics", "*", {"aws:RequestedRegion": "us-east-1"}, True),
        ("monitor", "cloudwatch:GetMetricStatistics", "*", {"aws:RequestedRegion": "eu-west-1"}, False),
        ("monitor", "s3:GetObject", "arn:aws:s3:::example-artifacts/backend/1.0.0", {}, False),
        ("audit", "rds:DescribeDBInstances", "*", HERE, True),
        ("audit", "s3:GetObject", "arn:aws:s3:::example-artifacts/backend/1.0.0", {}, False),
        ("audit", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/x-A", {}, False),
        ("provision_hosts", "ec2:CreateVpc", ec2("vpc/*"), MADE, True),
        ("provision_hosts", "ec2:CreateVpc", ec2("vpc/*"), {}, False),
        ("provision_hosts", "ec2:TerminateInstances", ec2("instance/i-1"), OURS, True),
        ("provision_hosts", "ec2:TerminateInstances", ec2("instance/i-2"), {**OURS, "aws:ResourceTag/plano:environment": "dev"}, False),
        ("provision_hosts", "ec2:RunInstances", ec2("subnet/subnet-1"), {}, False),
        ("provision_hosts", "ec2:CreateTags", ec2("vpc/vpc-1"), {}, False),
        ("provision_hosts", "iam:CreateRole", "arn:aws:iam::123456789012:role/plano/prod/plano-prod-monitoring", {}, True),
        ("provision_hosts", "iam:CreateRole", "arn:aws:iam::123456789012:role/admin", {}, False),
        ("provision_services", "rds:DeleteDBInstance", rds("db:plano-prod"), {}, False),
        ("provision_services", "s3:PutBucketPolicy", "arn:aws:s3:::other", {}, False),
    ],
)  # fmt: skip
def test_each_right_ends_at_the_environment(
    policy: str, action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    assert judge(policies.POLICIES[policy](SCOPE), action, resource, context) is allowed


@contextmanager
def only(aws: Moto, policy: str) -> Iterator[Callable[[str], Any]]:
    """Return clients of a user who has this policy alone, judged by moto."""
    iam = boto3.client("iam")
    iam.create_user(UserName=policy)
    # moto knows actions, not resources or tags: those are the judge's.
    statements = [{**one, "Resource": "*"} for one in policies.POLICIES[policy](SCOPE)["Statement"]]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=policy, PolicyName=policy, PolicyDocument=document)
    key = iam.create_access_key(UserName=policy)["AccessKey"]
    aws.enforce_policies()
    try:
        yield lambda service: boto3.client(
            service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
        )
    finally:
        aws.enforce_policies(10**9)


CALLS: dict[str, tuple[tuple[str, str, dict[str, Any]], tuple[str, str, dict[str, Any]]]] = {
    "audit": (("rds", "describe_db_instances", {}), ("rds", "delete_db_instance", {"DBInstanceIdentifier": "plano-prod"})),
    "data": (
        ("rds", "create_db_snapshot", {"DBInstanceIdentifier": "plano-prod", "DBSnapshotIdentifier": "plano-prod-1"}),
        ("rds", "delete_db_instance", {"DBInstanceIdentifier": "plano-prod"}),
    ),
    "deploy": (("elbv2", "describe_target_groups", {}), ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]})),
    "edge": (("wafv2", "list_web_acls", {"Scope": "REGIONAL"}), ("elbv2", "delete_load_balancer", {"LoadBalancerArn": elb("x")})),
    "monitor": (("ec2", "describe_instances", {}), ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]})),
    "provision_hosts": (("ec2", "describe_vpcs", {}), ("iam", "create_user", {"UserName": "x"})),
    "provision_services": (("s3", "list_buckets", {}), ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]})),
}  # fmt: skip


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_of_each_policy_one_call_passes_and_one_is_denied(aws: Moto, policy: str) -> None:
    boto3.client("rds").create_db_instance(
        DBInstanceIdentifier="plano-prod", Engine="postgres", DBInstanceClass="db.t4g.micro", MasterUsername="a"
    )
    passes, denied = CALLS[policy]
    with only(aws, policy) as client:
        getattr(client(passes[0]), passes[1])(**passes[2])
        with pytest.raises(ClientError) as refused:
            getattr(client(denied[0]), denied[1])(**denied[2])
    assert refusals.code_of(refused.value) in refusals.DENIED


def test_provisioning_needs_all_that_its_policies_grant_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of a whole life, made, changed and removed, has its right; every right of the two policies is one of somebody's."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with account(monkeypatch.setenv) as mine:
        mine.calls.clear()
        mine.prod["balancer"]["deletion_protection"] = mine.prod["database"]["deletion_protection"] = False
        mine.apply()
        mine.apply_edge()
        mine.remove(edge=True)
        mine.remove()
        asked = {refusals.action_of(*call) for call in mine.calls}

    def granted(*names: str) -> set[str]:
        return {a for name in names for one in policies.POLICIES[name](SCOPE)["Statement"] for a in one["Action"]}

    assert asked - {"acm:RequestCertificate"} <= granted("provision_hosts", "provision_services", "edge")
    root = Path(__file__).resolve().parents[2] / "plugins"
    files = [*(root / "module_utils" / "aws" / "provision").glob("*.py"), root / "plugin_utils" / "_provision.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files).replace("_", "")
    # What AWS demands beside the calls themselves, by its manuals; nothing in the code is called so.
    beside = {
        "acm:DescribeCertificate", "acm:ListCertificates", "ec2:CreateTags", "elasticloadbalancing:SetWebAcl", "iam:CreateServiceLinkedRole",
        "iam:PassRole", "kms:DescribeKey", "rds:CreateDBSnapshot", "rds:DescribeDBSnapshots", "s3:DeleteObject", "s3:DeleteObjectVersion",
        "secretsmanager:CreateSecret", "secretsmanager:TagResource",
        # What the playbook reads for the origin's secret, by its inventory.
        "secretsmanager:GetSecretValue", "ssm:GetParameter", "ssm:GetParameters",
        # The invalidation of role edge.
        "cloudfront:CreateInvalidation", "cloudfront:GetDistribution", "cloudfront:GetInvalidation", "cloudfront:ListInvalidations",
    }  # fmt: skip
    calls = {refusals.ACTIONS.get(action, action): action for action in asked}
    unused = {
        action
        for action in granted("provision_hosts", "provision_services", "edge") - asked - beside - set(calls)
        if action.partition(":")[2].lower() not in source.lower()
    }
    assert unused == set()


def test_a_missing_right_is_told_with_the_policy_that_grants_it() -> None:
    assert policies.granting("rds:CreateDBSnapshot") == ["data", "provision_services"]
    assert policies.granting("cloudfront:CreateInvalidation") == ["edge"]
    assert policies.granting("iam:CreateUser") == []


@pytest.mark.parametrize("purpose", ["publish", "deploy", "the hosts", "secrets"])
def test_what_an_operator_needs_by_the_manual_is_in_the_policy_that_the_message_names(purpose: str) -> None:
    granted = {action for one in policies.deploy(SCOPE)["Statement"] for action in one["Action"]}
    assert {action for one in documented(purpose) for action in one["Action"]} <= granted


def test_the_trust_names_one_environment_of_one_repository() -> None:
    (statement,) = policies.github_trust("123456789012", "example/backend", "prod")["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": "repo:example/backend:environment:prod",
        }
    }


def test_no_right_reaches_further_than_it_must() -> None:
    """A right that changes something holds for named resources; what holds for all only reads."""
    for name, make in policies.POLICIES.items():
        document = make(SCOPE)
        # All that IAM takes of a managed policy.
        assert len(json.dumps(document, separators=(",", ":"))) <= 6144, name
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(sids) == len(set(sids))
        for statement in document["Statement"]:
            assert not any("*" in action for action in statement["Action"]), statement["Sid"]
            if statement["Resource"] == "*":
                verbs = {action.partition(":")[2] for action in statement["Action"]}
                assert all(verb.startswith(("Describe", "Get", "List", "Lookup")) for verb in verbs), statement["Sid"]


def test_the_documents_in_the_manual_are_what_the_code_makes() -> None:
    """PLANO_WRITE=1 writes them anew."""
    wanted = {name: make(SCOPE) for name, make in policies.POLICIES.items()}
    wanted["github_trust"] = policies.github_trust(SCOPE.account, "example/backend", SCOPE.environment)
    for name, document in wanted.items():
        path, text = DOCS / f"{name}.json", json.dumps(document, indent=2) + "\n"
        if os.environ.get("PLANO_WRITE"):
            DOCS.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path} is old: PLANO_WRITE=1 pytest {__file__}"
    assert {path.stem for path in DOCS.glob("*.json")} == set(wanted)
