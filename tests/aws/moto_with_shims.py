# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's server, with what AWS does and moto 5.2.5 does not: each gap is a shim with a name, and none of them is anywhere but in the tests."""

from __future__ import annotations

import functools
import json
import sys
import threading
import uuid
from datetime import timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.rds.exceptions import DBInstanceAlreadyExists, DBParameterGroupNotFoundError
from moto.rds.models import DBInstance, DBInstanceAutomatedBackup, RDSBackend
from moto.rds.responses import RDSResponse
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


def of_many_first_writes_one_is_first() -> None:
    """S3 decides between writes with a condition; moto looks, then writes, and another thread may come between."""
    put, alone = S3Response.put_object, threading.Lock()

    def put_alone(self: S3Response) -> Any:
        with alone:
            return put(self)

    S3Response.put_object = put_alone


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


def instance_has_an_id_of_its_own() -> None:
    """AWS gives each instance an id that stays when it is renamed; moto gives all of them the same."""
    begin = DBInstance.__init__

    def init(self: DBInstance, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        self.dbi_resource_id = f"db-{uuid.uuid4().hex[:26].upper()}"

    DBInstance.__init__ = init


def restored_instance_gets_defaults() -> None:
    """AWS gives a restored instance defaults for what is not asked for, and no managed password; moto copies the old one."""
    from_snapshot, to_time = (
        RDSBackend.restore_db_instance_from_db_snapshot,
        RDSBackend.restore_db_instance_to_point_in_time,
    )
    defaults = {
        "multi_az": False, "publicly_accessible": False, "deletion_protection": False, "db_parameter_group_name": None,
        "copy_tags_to_snapshot": False, "ca_certificate_identifier": "rds-ca-default", "backup_retention_period": 1,
    }  # fmt: skip

    def bare(made: DBInstance, asked: dict[str, Any]) -> DBInstance:
        for name, value in defaults.items():
            setattr(made, name, asked.get(name, value))
        made.enabled_cloudwatch_logs_exports = list(asked.get("enable_cloudwatch_logs_exports", []))
        if "vpc_security_group_ids" not in asked:
            made.vpc_security_group_ids = ["sg-default"]
        made.manage_master_user_password = False
        made.__dict__.pop("master_user_secret", None)
        made.status, made.looks = "creating", 1
        return made

    def snapshot(self: RDSBackend, name: str, asked: dict[str, Any]) -> DBInstance:
        return bare(from_snapshot(self, name, asked), asked)

    def time(self: RDSBackend, source: str, target: str, asked: dict[str, Any]) -> DBInstance:
        if target in self.databases:
            raise DBInstanceAlreadyExists
        return bare(to_time(self, source, target, asked), asked)

    RDSBackend.restore_db_instance_from_db_snapshot = snapshot
    RDSBackend.restore_db_instance_to_point_in_time = time


def rename_refuses_a_name_that_is_taken_and_takes_its_time() -> None:
    """AWS shows the old name for a while, and refuses one that is taken; moto renames at once, over whatever is there."""
    modify = RDSBackend.modify_db_instance

    def later(self: RDSBackend, name: str, asked: dict[str, Any]) -> DBInstance:
        wanted = asked.get("new_db_instance_identifier")
        if not wanted:
            return modify(self, name, asked)
        if wanted in self.databases:
            raise DBInstanceAlreadyExists
        one = self.describe_db_instances(name)[0]
        one.status, one.looks = "renaming", 1
        one.then = lambda: modify(self, name, {"new_db_instance_identifier": wanted})
        return one

    RDSBackend.modify_db_instance = later


def what_is_being_made_is_not_there_yet() -> None:
    """On AWS snapshots, restores and renames take minutes; moto has all at once. Here each is done when it was looked at once."""
    instances, snapshots = RDSResponse.describe_db_instances, RDSResponse.describe_db_snapshots
    make = RDSBackend.create_db_snapshot

    def moved_on(found: Any) -> None:
        for one in found:
            looks = getattr(one, "looks", 0)
            if looks == 1:
                one.looks = 2
            elif looks == 2:
                one.looks, one.status = 0, "available"
                getattr(one, "then", lambda: None)()
                one.then = lambda: None

    def described(self: RDSResponse) -> Any:
        moved_on(list(self.backend.databases.values()))
        return instances(self)

    def snapshots_described(self: RDSResponse) -> Any:
        moved_on(list(self.backend.database_snapshots.values()))
        return snapshots(self)

    def made(self: RDSBackend, *given: Any, **more: Any) -> Any:
        one = make(self, *given, **more)
        if one.snapshot_type == "manual":
            one.status, one.looks = "creating", 1
        return one

    RDSResponse.describe_db_instances = described
    RDSResponse.describe_db_snapshots = snapshots_described
    RDSBackend.create_db_snapshot = made


def backups_reach_from_a_week_ago_to_five_minutes_ago() -> None:
    """AWS tells whose automated backups are and how far they reach; moto tells no owner, no beginning, and now as the end."""
    DBInstance.latest_restorable_time = property(lambda _self: utcnow() - timedelta(minutes=5))
    DBInstanceAutomatedBackup.dbi_resource_id = property(
        lambda self: self.backend.databases[self.db_instance_identifier].dbi_resource_id
    )
    DBInstanceAutomatedBackup.restore_window = property(
        lambda _self: {"EarliestTime": utcnow() - timedelta(days=7), "LatestTime": utcnow() - timedelta(minutes=5)}
    )


SHIMS = (
    backups_reach_from_a_week_ago_to_five_minutes_ago,
    bucket_of_another_account_is_refused,
    bucket_policy_knows_how_a_request_came,
    instance_has_an_id_of_its_own,
    instance_has_its_interfaces_groups,
    of_many_first_writes_one_is_first,
    rename_refuses_a_name_that_is_taken_and_takes_its_time,
    restored_instance_gets_defaults,
    security_group_that_another_names_stays,
    unknown_parameter_group_is_an_error,
    web_acl_lists_its_resources,
    resource_has_one_web_acl,
    what_is_being_made_is_not_there_yet,
)


@functools.lru_cache(maxsize=None)
def install() -> None:
    for shim in SHIMS:
        shim()


if __name__ == "__main__":
    install()
    main(sys.argv[1:])
