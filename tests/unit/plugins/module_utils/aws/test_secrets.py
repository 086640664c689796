# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.aws import secrets
from ansible_collections.plano.delivery.plugins.module_utils.aws.secrets import Reference, SecretError

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:plano/prod/database-AbCdEf"
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/plano/one"


@pytest.mark.parametrize(
    ("source", "key", "where", "field"),
    [
        ("vault", "vault_x", "vault_x", ""),
        ("vault", "vault_x:a", "vault_x", "a"),
        ("secretsmanager", "plano/prod/x:a:b", "plano/prod/x", "a:b"),
        ("secretsmanager", ARN, ARN, ""),
        ("secretsmanager", f"{ARN}:a", ARN, "a"),
        ("ssm", "/plano/x:a", "/plano/x", "a"),
        ("ssm", PARAMETER, PARAMETER, ""),
        ("ssm", f"{PARAMETER}:a", PARAMETER, "a"),
        ("rds", "plano-prod", "plano-prod", "password"),
        ("rds", "plano-prod:username", "plano-prod", "username"),
    ],
)
def test_a_key_is_a_name_and_perhaps_a_field(source, key, where, field):
    place = secrets.reference({"x": {"source": source, "key": key}}, "x")
    assert (place.id, place.field) == (where, field)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (None, "plano_secrets is missing, or no dictionary"),
        ({"y": {}}, "secret 'x' is not in plano_secrets; there are: y"),
        ({}, "there are: none"),
        ({"x": "text"}, "plano_secrets.x must read {source: vault|ssm|secretsmanager|rds, key: NAME or NAME:FIELD}"),
        ({"x": {"source": "vault"}}, "must read"),
        ({"x": {"source": "vault", "key": "a", "kay": "b"}}, "must read"),
        ({"x": {"source": "env", "key": "a"}}, "source 'env' must be one of vault, ssm, secretsmanager, rds"),
    ],
)
def test_each_wrong_place_is_named(places, message):
    with pytest.raises(SecretError) as refused:
        secrets.reference(places, "x")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("field", "content", "message"),
    [
        ("", "", "is empty: fill it in"),
        ("", None, "is empty"),
        ("", {"a": "S3CRET"}, "has fields: a; name one as x:FIELD"),
        ("a", '{"a": ""}', "is empty in its field a"),
        ("a", '{"b": "S3CRET"}', "has no field 'a'; it has: b"),
        ("a", "S3CRET", "is no JSON object, so that it has no field 'a'"),
        ("a", '["S3CRET"]', "is no JSON object"),
    ],
)
def test_what_is_no_secret_is_told_without_its_value(field, content, message):
    with pytest.raises(SecretError) as refused:
        Reference("n", "secretsmanager", "x", field).value(content)
    assert message in str(refused.value) and "S3CRET" not in str(refused.value)


def test_a_field_becomes_a_text():
    assert Reference("n", "ssm", "x", "a").value('{"a": 7}') == "7"
    assert Reference("n", "vault", "x", "a").value({"a": "b"}) == "b"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Failed to find secret x (ResourceNotFound)",
            "it does not exist in region eu-west-1; is it in another region?",
        ),
        (
            "Failed to find secret x (marked for deletion)",
            "was deleted, and is kept only until its recovery window ends",
        ),
        (
            "Failed to access secret x (AccessDenied)",
            "secretsmanager:GetSecretValue is not allowed to ME: the policy 'deploy' grants it, "
            "on arn:aws:secretsmanager:eu-west-1:*:secret:x-*",
        ),
        (
            "An error occurred (ExpiredTokenException) when calling",
            "have expired (ExpiredTokenException): get new ones",
        ),
        ("An error occurred (ThrottlingException) when calling", "asks for fewer calls (ThrottlingException)"),
        (
            "An error occurred (InternalServiceError) when calling",
            "secretsmanager:GetSecretValue failed in region eu-west-1",
        ),
        ("Unable to locate credentials", "this controller has no AWS credentials"),
        ('Could not connect to the endpoint URL: "http://127.0.0.1:9/"', "AWS does not answer"),
        ("the plugin requires a region and none was found", "which region is meant is said nowhere"),
    ],
)
def test_each_refusal_says_what_to_do(said, message):
    told = secrets.refusal(Reference("n", "secretsmanager", "x"), said, "eu-west-1", "ME")
    assert told.startswith("secret 'n' (secretsmanager x)") and message in told


@pytest.mark.parametrize(
    ("source", "key", "resource"),
    [
        ("ssm", "/plano/x:a", "arn:aws:ssm:eu-west-1:*:parameter/plano/x"),
        ("ssm", "x", "arn:aws:ssm:eu-west-1:*:parameter/x"),
        ("ssm", PARAMETER, PARAMETER),
        ("secretsmanager", f"{ARN}:a", ARN),
        ("secretsmanager", "x", "arn:aws:secretsmanager:eu-west-1:*:secret:x-*"),
        ("rds", "plano-prod", "arn:aws:rds:eu-west-1:*:db:plano-prod"),
    ],
)
def test_what_a_policy_must_grant(source, key, resource):
    assert secrets.reference({"x": {"source": source, "key": key}}, "x").call("eu-west-1").resource == resource


MASTERS = Reference("n", "rds", "plano-prod", "username", "eu-west-1")


def test_where_the_masters_password_is_kept_is_what_rds_says():
    kept = MASTERS.masters({"MasterUserSecret": {"SecretArn": ARN, "SecretStatus": "active"}})
    assert kept == Reference("n", "secretsmanager", ARN, "username", "eu-west-1")


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"DBInstanceStatus": "creating"}, "is still being made: wait until it is available"),
        ({"DBInstanceStatus": "available"}, "--db-instance-identifier plano-prod --manage-master-user-password"),
        ({"DBInstanceStatus": "available", "MasterUserSecret": None}, "AWS does not manage the password"),
    ],
)
def test_an_instance_whose_masters_password_aws_does_not_keep_is_told(instance, message):
    with pytest.raises(SecretError) as refused:
        MASTERS.masters(instance)
    assert str(refused.value).startswith("secret 'n' (rds plano-prod)") and message in str(refused.value)
