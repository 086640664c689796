# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refuses is told with what to do next."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import refusals


def refused(code: str, service: str, operation: str, message: str = "So it is") -> str:
    exc = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    return str(refusals.told(exc, service, operation, "sa-east-1", policies.granting))


@pytest.mark.parametrize(
    "code, service, operation, told",
    [
        ("UnauthorizedOperation", "ec2", "CreateVpc", "AWS denies ec2:CreateVpc in sa-east-1: attach the policy docs/iam/provision_hosts.json; "),
        ("AccessDenied", "s3", "GetBucketEncryption", "s3:GetEncryptionConfiguration in sa-east-1: attach the policy docs/iam/audit.json or docs/iam/"),
        ("AccessDenied", "s3", "CreateBucket", "or the bucket belongs to another account may deny it too"),
        ("AccessDenied", "elbv2", "CreateLoadBalancer", "AWS denies elasticloadbalancing:CreateLoadBalancer"),
        ("AccessDenied", "iam", "CreateUser", "no policy of this collection grants it"),
        ("ExpiredToken", "rds", "DescribeDBInstances", "AWS's credentials have expired (ExpiredToken): sign in again"),
        ("AuthFailure", "ec2", "DescribeVpcs", "AWS does not accept the credentials in sa-east-1 (AuthFailure)"),
        ("ThrottlingException", "wafv2", "ListWebACLs", "AWS throttles wafv2:ListWebACLs in sa-east-1 also after retries with backoff"),
        ("RequestLimitExceeded", "ec2", "DescribeVpcs", "AWS throttles ec2:DescribeVpcs"),
        ("VpcLimitExceeded", "ec2", "CreateVpc", "A quota of the account is reached in sa-east-1 (ec2:CreateVpc: VpcLimitExceeded)"),
        ("VcpuLimitExceeded", "ec2", "RunInstances", "A quota of the account is reached"),
        ("InstanceQuotaExceeded", "rds", "CreateDBInstance", "A quota of the account is reached"),
        ("TooManyLoadBalancers", "elbv2", "CreateLoadBalancer", "A quota of the account is reached"),
        ("TooManyDistributions", "cloudfront", "CreateDistribution", "A quota of the account is reached"),
        ("WAFLimitsExceededException", "wafv2", "CreateWebACL", "A quota of the account is reached"),
        ("LimitExceeded", "iam", "CreateRole", "A quota of the account is reached"),
        ("DBInstanceAlreadyExists", "rds", "CreateDBInstance", "The name is taken already in sa-east-1"),
        ("BucketAlreadyExists", "s3", "CreateBucket", "The name is taken already"),
        ("DuplicateTargetGroupName", "elbv2", "CreateTargetGroup", "The name is taken already"),
        ("InvalidGroup.Duplicate", "ec2", "CreateSecurityGroup", "The name is taken already"),
        ("InvalidKeyPair.Duplicate", "ec2", "ImportKeyPair", "The name is taken already"),
        ("IllegalLocationConstraintException", "s3", "CreateBucket", "The bucket is in another region than sa-east-1"),
        ("InvalidDBInstanceState", "rds", "ModifyDBInstance", "The database is busy with something else"),
        ("InvalidParameterValue", "ec2", "CreateVpc", "AWS refuses ec2:CreateVpc in sa-east-1 (InvalidParameterValue): So it is."),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_where_and_what_next(code: str, service: str, operation: str, told: str) -> None:
    assert told in refused(code, service, operation)


def test_who_cannot_be_reached_or_is_nobody_is_told_so() -> None:
    away = EndpointConnectionError(endpoint_url="https://ec2.sa-east-9.amazonaws.com")
    said = str(refusals.told(away, "ec2", "DescribeVpcs", "sa-east-9", policies.granting))
    assert said.startswith("AWS's ec2 does not answer in sa-east-9") and "is the region's name right" in said
    said = str(refusals.told(NoCredentialsError(), "ec2", "DescribeVpcs", "sa-east-1", policies.granting))
    assert said.startswith("There are no credentials for AWS") and "AWS_PROFILE" in said


def test_an_encoded_message_is_left_out() -> None:
    text = "You are not authorized. Encoded authorization failure message: abcDEF123"
    assert "abcDEF123" not in refused("UnauthorizedOperation", "ec2", "CreateVpc", text)


GONE = ("InvalidVpcID.NotFound", "DBInstanceNotFound", "NoSuchEntity", "NoSuchBucket", "DBSubnetGroupNotFoundFault")


@pytest.mark.parametrize("code", [*GONE, "WAFNonexistentItemException", "NoSuchDistribution"])
def test_what_is_gone_is_known_as_gone(code: str) -> None:
    assert refusals.is_gone(ClientError({"Error": {"Code": code}}, "Delete"))


@pytest.mark.parametrize("code", ["AccessDenied", "DependencyViolation", "InvalidParameterValue"])
def test_nothing_else_is(code: str) -> None:
    assert not refusals.is_gone(ClientError({"Error": {"Code": code}}, "Delete"))
