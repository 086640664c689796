# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import boto3
import pytest
from botocore.exceptions import ClientError
from moto_server import Moto


def test_an_account_begins_empty(aws: Moto) -> None:
    client = boto3.client("s3")
    assert client.list_buckets()["Buckets"] == []
    client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "sa-east-1"})
    aws.reset()
    assert client.list_buckets()["Buckets"] == []


def test_policies_are_enforced_when_asked_for(aws: Moto) -> None:
    user = boto3.client("iam")
    user.create_user(UserName="u")
    key = user.create_access_key(UserName="u")["AccessKey"]
    aws.enforce_policies()
    try:
        with pytest.raises(ClientError, match="AccessDenied"):
            boto3.client(
                "s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
            ).list_buckets()
    finally:
        aws.enforce_policies(10**9)
