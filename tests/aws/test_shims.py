# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where moto was mended, it answers as AWS documents it."""

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError
from moto_server import Moto

BALANCERS = [
    f"arn:aws:elasticloadbalancing:sa-east-1:123456789012:loadbalancer/app/{name}/50dc6c495c0c9188" for name in "ab"
]
SEEN = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}


def test_an_unknown_parameter_group_is_refused(aws: Moto) -> None:
    rds = boto3.client("rds")
    with pytest.raises(ClientError, match="DBParameterGroupNotFound"):
        rds.describe_db_parameter_groups(DBParameterGroupName="none")
    assert rds.describe_db_parameter_groups()["DBParameterGroups"] == []
    rds.create_db_parameter_group(DBParameterGroupName="one", DBParameterGroupFamily="postgres17", Description="d")
    assert len(rds.describe_db_parameter_groups(DBParameterGroupName="one")["DBParameterGroups"]) == 1


def test_a_resource_has_one_web_acl_and_the_acl_says_so(aws: Moto) -> None:
    waf = boto3.client("wafv2")
    first, second = (
        waf.create_web_acl(Name=name, Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=SEEN)["Summary"][
            "ARN"
        ]
        for name in ("one", "two")
    )
    for arn in (first, first, second):
        waf.associate_web_acl(WebACLArn=arn, ResourceArn=BALANCERS[0])
    waf.associate_web_acl(WebACLArn=first, ResourceArn=BALANCERS[1])
    assert waf.list_resources_for_web_acl(WebACLArn=first)["ResourceArns"] == [BALANCERS[1]]
    assert waf.list_resources_for_web_acl(WebACLArn=second)["ResourceArns"] == [BALANCERS[0]]
    with pytest.raises(ClientError, match="WAFNonexistentItem"):
        waf.list_resources_for_web_acl(WebACLArn=first + "x")
