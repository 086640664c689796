# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's server, with what AWS does and moto 5.2.5 does not: each gap is a shim with a name, and none of them is anywhere but in the tests."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.rds.exceptions import DBParameterGroupNotFoundError
from moto.rds.models import RDSBackend
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.server import main
from moto.wafv2.models import WAFV2Backend
from moto.wafv2.responses import WAFV2Response


def unknown_parameter_group_is_an_error() -> None:
    """AWS refuses a name that it does not know; moto answers with an empty list, on which rds_instance_param_group falls."""
    ask = RDSBackend.describe_db_parameter_groups

    def describe(self: RDSBackend, wanted: dict[str, Any]) -> Any:
        found = ask(self, wanted)
        name = wanted.get("db_parameter_group_name") or wanted.get("DBParameterGroupName")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    RDSBackend.describe_db_parameter_groups = describe


def web_acl_lists_its_resources() -> None:
    """moto has no ListResourcesForWebACL, without which wafv2_resources does nothing."""

    def listed(self: WAFV2Response) -> tuple[int, dict[str, str], str]:
        acl = self.wafv2_backend.get_web_acl(json.loads(self.body)["WebACLArn"], None, None)
        return 200, {"Content-Type": "application/json"}, json.dumps({"ResourceArns": acl.associated_resources})

    WAFV2Response.list_resources_for_web_acl = listed


def resource_has_one_web_acl() -> None:
    """AWS puts the new web ACL in the old one's place; moto keeps both, and the same one twice."""
    associate = WAFV2Backend.associate_web_acl

    def replace(self: WAFV2Backend, web_acl_arn: str, resource_arn: str) -> None:
        if web_acl_arn in self.wacls:
            for acl in self.wacls.values():
                acl.associated_resources[:] = [arn for arn in acl.associated_resources if arn != resource_arn]
        associate(self, web_acl_arn, resource_arn)

    WAFV2Backend.associate_web_acl = replace


def security_group_that_another_names_stays() -> None:
    """AWS refuses to delete it; moto deletes it, and the other's rule can then not be revoked any more."""
    delete = SecurityGroupBackend.delete_security_group

    def refuse(self: Any, name: str | None = None, group_id: str | None = None) -> None:
        for group in self.describe_security_groups():
            named = {(rule.source_group or {}).get("GroupId") for rule in group.ingress_rules}
            if group.id != group_id and group_id in named:
                raise DependencyViolationError(f"resource {group_id} has a dependent object")
        delete(self, name, group_id)

    SecurityGroupBackend.delete_security_group = refuse


def bucket_policy_knows_how_a_request_came() -> None:
    """AWS denies what a policy denies without TLS to such requests only; moto to all. What comes here counts as come by TLS."""
    ask = FakeBucket.get_permission

    def permission(self: Any, action: str, resource: str) -> Any:
        kept = self.policy
        if kept is not None:
            document = json.loads(kept)
            document["Statement"] = [
                statement
                for statement in document["Statement"]
                if statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") != "false"
            ]
            self.policy = json.dumps(document).encode() if document["Statement"] else None
        try:
            return ask(self, action, resource)
        finally:
            self.policy = kept

    FakeBucket.get_permission = permission


def instance_has_its_interfaces_groups() -> None:
    """AWS tells the security groups of the first interface as the instance's; moto tells none."""
    prepare = Instance.prep_nics

    def prep_nics(self: Any, *given: Any, **more: Any) -> None:
        prepare(self, *given, **more)
        if not self.security_groups:
            self.security_groups = list(self.nics[0]._group_set)

    Instance.prep_nics = prep_nics


def bucket_of_another_account_is_refused() -> None:
    """AWS refuses a bucket that does not belong to the account that x-amz-expected-bucket-owner names; moto does not look at it."""
    authorize = S3Response._authenticate_and_authorize_s3_action

    def judge(self: S3Response, *arguments: Any, **named: Any) -> None:
        authorize(self, *arguments, **named)
        wanted = self.headers.get("x-amz-expected-bucket-owner")
        if wanted and self.backend.get_bucket(self.bucket_name).account_id != wanted:
            raise S3AccessDeniedError

    S3Response._authenticate_and_authorize_s3_action = judge


SHIMS = (
    bucket_of_another_account_is_refused,
    bucket_policy_knows_how_a_request_came,
    instance_has_its_interfaces_groups,
    security_group_that_another_names_stays,
    unknown_parameter_group_is_an_error,
    web_acl_lists_its_resources,
    resource_has_one_web_acl,
)


@functools.lru_cache(maxsize=None)
def install() -> None:
    for shim in SHIMS:
        shim()


if __name__ == "__main__":
    install()
    main(sys.argv[1:])
