# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, arguments and refusals of snapshots and restores, without AWS. tests/aws/test_instances.py runs them on moto."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.plano.delivery.plugins.module_utils.aws import instances
from ansible_collections.plano.delivery.plugins.module_utils.aws.instances import Instance, Order, Seen, Snapshot
from ansible_collections.plano.delivery.plugins.module_utils.aws.tags import tag_list, tags_in

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=timezone.utc)
TAGS = {"plano:environment": "prod", "plano:managed": "true", "Name": "plano-prod", "aws:cloudformation:stack": "x"}
CHECKPOINTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)


def one(name="plano-prod", tags=None, **more):
    return Instance(
        {
            "DBInstanceIdentifier": name,
            "DBInstanceStatus": "available",
            "DbiResourceId": "db-1",
            "DBInstanceArn": f"arn:aws:rds:sa-east-1:123456789012:db:{name}",
            "Engine": "postgres",
            "EngineVersion": "17.4",
            "StorageType": "gp3",
            "AllocatedStorage": 50,
            "MaxAllocatedStorage": 200,
            "MultiAZ": True,
            "BackupRetentionPeriod": 14,
            "LatestRestorableTime": datetime(2026, 11, 27, 11, 55, tzinfo=timezone.utc),
            "Endpoint": {"Address": f"{name}.example", "Port": 5432},
            "DBParameterGroups": [{"DBParameterGroupName": "plano-prod-17", "ParameterApplyStatus": "in-sync"}],
            "DBSubnetGroup": {"DBSubnetGroupName": "plano-prod"},
            "OptionGroupMemberships": [{"OptionGroupName": "default:postgres-17", "Status": "in-sync"}],
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}],
            "EnabledCloudwatchLogsExports": ["postgresql"],
            "MasterUserSecret": {"SecretArn": "arn:aws:secretsmanager:x", "KmsKeyId": "arn:aws:kms:x"},
            "TagList": tag_list(TAGS if tags is None else tags),
            **more,
        }
    )


def taken(checkpoint="before", live=None, **more):
    tags = instances.snapshot_tags(live or one(), checkpoint, "d1", "1.0")
    return Snapshot(
        {
            "DBSnapshotIdentifier": "x",
            "Status": "available",
            "EngineVersion": "17.2",
            "TagList": tag_list(tags),
            **more,
        }
    )


@settings(deadline=None)
@given(CHECKPOINTS)
def test_every_checkpoint_has_a_name_that_rds_takes(checkpoint):
    name = instances.snapshot_name("plano-prod", checkpoint)
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) and len(name) <= 255


@settings(deadline=None)
@given(st.lists(CHECKPOINTS, min_size=2, max_size=2, unique=True))
def test_two_checkpoints_have_two_names(two):
    first, second = (instances.snapshot_name("plano-prod", name) for name in two)
    assert first != second


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("before-c1", "p-before-c1"),
        ("manual-20261127T100000Z", "p-manual-20261127t100000z-ef55ad"),
        ("a.b", "p-a-b-2e7336"),
        ("a--b", "p-a-b-90827a"),
        ("a-", "p-a-9baf44"),
    ],
)
def test_what_rds_does_not_know_is_told_apart_by_a_digest(checkpoint, name):
    assert instances.snapshot_name("p", checkpoint) == name


def test_a_name_that_two_checkpoints_would_share_is_refused_with_words():
    (fault,) = instances.snapshot_faults("plano-prod-a-b", taken("a-b"), one(), "other", "d1")
    assert (
        fault
        == "snapshot plano-prod-a-b is that of checkpoint a-b, whose name RDS takes for the same: give this checkpoint another name"
    )
    (fault,) = instances.snapshot_faults("x", taken("before", Status="failed"), one(), "before", "d1")
    assert fault.startswith("snapshot x is failed: remove it")
    assert instances.snapshot_faults("y" * 256, None, one(), "before", "")[0].startswith("snapshot yyy")


def test_tags_hold_what_rds_takes():
    assert instances.snapshot_tags(one(), "before", "d1", "")  # RDS takes no empty value
    assert "plano:version" not in instances.snapshot_tags(one(), "before", "d1", "")
    assert instances.snapshot_tags(one(), "before", "d1", "1.0~rc1")["plano:version"] == "1.0_rc1"


def test_a_restored_instance_is_asked_for_as_the_live_one_is():
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    plan = instances.plan_restore(order, Seen([one()], NOW, taken()))
    action, arguments = plan.call
    assert (plan.refused, action) == ([], "RestoreDBInstanceFromDBSnapshot")
    assert {name: value for name, value in arguments.items() if name != "Tags"} == {
        "AllocatedStorage": 50,
        "BackupRetentionPeriod": 14,
        "DBInstanceIdentifier": plan.restored,
        "DBParameterGroupName": "plano-prod-17",
        "DBSnapshotIdentifier": "plano-prod-before",
        "DBSubnetGroupName": "plano-prod",
        "EnableCloudwatchLogsExports": ["postgresql"],
        "MultiAZ": True,
        "Port": 5432,
        "StorageType": "gp3",
        "VpcSecurityGroupIds": ["sg-1"],
    }
    assert tags_in(arguments["Tags"]) == {
        "Name": "plano-prod",
        "plano:environment": "prod",
        "plano:managed": "true",
        "plano:replaces": "plano-prod",
        "plano:restores": "before",
        "plano:stamp": plan.stamp,
    }
    assert re.fullmatch(r"plano-prod-restored-[0-9a-f]{8}", plan.restored)


def test_what_a_restore_cannot_ask_for_is_put_right_afterwards():
    made = one(
        "new",
        MasterUserSecret=None,
        MaxAllocatedStorage=None,
        MultiAZ=False,
        EnabledCloudwatchLogsExports=["upgrade"],
        Endpoint={"Port": 1},
    )
    assert instances.corrections(one(), made) == {
        "CloudwatchLogsExportConfiguration": {"DisableLogTypes": ["upgrade"], "EnableLogTypes": ["postgresql"]},
        "DBPortNumber": 5432,
        "ManageMasterUserPassword": True,
        "MasterUserSecretKmsKeyId": "arn:aws:kms:x",
        "MaxAllocatedStorage": 200,
        "MultiAZ": True,
    }
    assert instances.corrections(one(), one("new")) == {}


def test_what_cannot_be_put_right_is_told():
    made = one(
        "new",
        DBSubnetGroup={"DBSubnetGroupName": "default"},
        VpcSecurityGroups=[{"VpcSecurityGroupId": "sg-1", "Status": "adding"}],
    )
    assert instances.likeness_faults(one(), made) == [
        "DBSubnetGroupName is 'default' instead of 'plano-prod'",
        "security group sg-1 is adding",
    ]
    assert instances.corrections(one(), made) == {}


@pytest.mark.parametrize(
    ("storage", "size", "asked"),
    [("gp3", 50, {}), ("gp3", 400, {"Iops": 12000, "StorageThroughput": 500}), ("io2", 100, {"Iops": 12000})],
)
def test_speed_is_asked_for_where_rds_takes_it(storage, size, asked):
    live = one(StorageType=storage, AllocatedStorage=size, Iops=12000, StorageThroughput=500)
    assert {
        name: value for name, value in instances.wanted(live).items() if name in ("Iops", "StorageThroughput")
    } == asked


def test_a_restored_instance_has_room_for_what_both_have():
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    for live, snapshot, size in ((500, 50, 500), (50, 80, 80)):
        said = one(AllocatedStorage=live, Iops=12000, StorageThroughput=500, EngineLifecycleSupport="open-source-rds-x")
        _action, arguments = instances.plan_restore(order, Seen([said], NOW, taken(AllocatedStorage=snapshot))).call
        assert (arguments["AllocatedStorage"], arguments["EngineLifecycleSupport"]) == (size, "open-source-rds-x")


def test_the_maintenance_window_is_asked_for_afterwards():
    live, made = (
        one(PreferredMaintenanceWindow="sun:05:00-sun:05:30"),
        one("new", PreferredMaintenanceWindow="mon:01:00-mon:01:30"),
    )
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    assert "PreferredMaintenanceWindow" not in instances.plan_restore(order, Seen([live], NOW, taken())).call[1]
    assert instances.corrections(live, made) == {"PreferredMaintenanceWindow": "sun:05:00-sun:05:30"}


@pytest.mark.parametrize(
    ("target", "state", "command"),
    [
        ("before", "restoring", "-e checkpoint=before -e confirm=before"),
        (
            "2026-11-27T10:30:00Z",
            "taking-back",
            "-e time=2026-11-27T10:30:00Z -e confirm=2026-11-27T10:30:00Z -e swap_back=true",
        ),
    ],
)
def test_the_way_back_is_one_command(target, state, command):
    half = one("new", {"plano:restores": target, "plano:swap": state})
    assert instances.way_back(half) == f"ansible-playbook plano.delivery.restore -e instance=true {command}"


def test_what_another_restore_is_making_is_waited_for():
    tags = {**TAGS, "plano:restores": "other", "plano:replaces": "plano-prod", "plano:stamp": "1"}
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    for status, refused in (("creating", True), ("available", False), ("failed", False)):
        half = one("plano-prod-restored-1", tags, DBInstanceStatus=status, DbiResourceId="db-2")
        found = instances.plan_restore(order, Seen([one(), half], NOW, taken())).refused
        assert (
            any("a restore of other is under way (plano-prod-restored-1 is creating)" in text for text in found)
            is refused
        )


def test_a_name_that_somebody_else_took_meanwhile_is_told():
    tags = {
        **TAGS,
        "plano:restores": "before",
        "plano:replaces": "plano-prod",
        "plano:stamp": "1",
        "plano:swap": "restoring",
    }
    half = one("plano-prod-restored-1", tags, DbiResourceId="db-2")
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    seen = Seen([one(DbiResourceId="db-3"), one("plano-prod-before-1"), half], NOW, taken())
    (fault,) = instances.plan_restore(order, seen).refused
    assert fault.startswith(
        "plano-prod is another instance (db-3), which is neither plano-prod-restored-1 nor plano-prod-before-1"
    )


def test_another_major_version_does_not_fit():
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    (fault,) = instances.plan_restore(order, Seen([one(EngineVersion="18.1")], NOW, taken())).refused
    assert fault.startswith(
        "snapshot plano-prod-before is of PostgreSQL 17 and plano-prod runs 18, whose parameter group does not fit"
    )


@pytest.mark.parametrize(
    ("live", "text"),
    [
        (None, "there is no RDS instance plano-prod"),
        (one(Engine="aurora-postgresql", DBClusterIdentifier="c"), "only PostgreSQL on RDS, not Aurora"),
        (one(tags={}), "has not the tags plano:environment and plano:managed=true"),
        (one(DBInstanceStatus="storage-full"), "plano-prod is storage-full: see what RDS says"),
        (one(DBInstanceStatus="upgrade-failed"), "plano-prod is upgrade-failed: see what RDS says"),
        (one(DBInstanceStatus="inaccessible-encryption-credentials-recoverable"), "recoverable: see what RDS says"),
        (one(DBInstanceStatus="backing-up"), "plano-prod is backing-up: wait until it is available"),
    ],
)
def test_an_instance_that_cannot_be_restored_is_told_why(live, text):
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    refused = instances.plan_restore(order, Seen([live] if live else [], NOW, taken())).refused
    assert any(text in fault for fault in refused)


def test_a_name_that_grows_too_long_is_refused():
    name = "p" * 46
    order = Order(name, "before", "", "before", f"{name}.example")
    live = one(name)
    assert any(
        "RDS takes 63 characters" in fault
        for fault in instances.plan_restore(order, Seen([live], NOW, taken())).refused
    )


def test_times_before_a_restore_are_in_the_backups_of_what_was_put_aside():
    order = Order("plano-prod", "", "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", "plano-prod.example")
    seen = Seen(
        [one(), one("plano-prod-before-12345678")], NOW, None, datetime(2026, 11, 27, 9, 0, tzinfo=timezone.utc)
    )
    (fault,) = instances.plan_restore(order, seen).refused
    assert fault == (
        "to_time 2026-11-20T00:00:00Z is before the oldest automated backup of plano-prod (2026-11-27T09:00:00Z); earlier times are in the"
        " backups of what was put aside: plano-prod-before-12345678"
    )


def test_a_time_before_the_checkpoint_cannot_be_compared_with_it():
    order = Order("plano-prod", "before", "2026-11-27T07:00:00Z", "2026-11-27T07:00:00Z", "plano-prod.example")
    seen = Seen([one()], NOW, None, datetime(2026, 11, 20, tzinfo=timezone.utc), {"at": "2026-11-27T07:23:15.937980Z"})
    (fault,) = instances.plan_restore(order, seen).refused
    assert "is before checkpoint before (2026-11-27T07:23:15.937980Z)" in fault


def test_without_backups_there_is_no_time_to_go_back_to():
    order = Order("plano-prod", "", "2026-11-27T07:00:00Z", "2026-11-27T07:00:00Z", "plano-prod.example")
    (fault,) = instances.plan_restore(order, Seen([one(BackupRetentionPeriod=0)], NOW)).refused
    assert fault.startswith("plano-prod has no automated backups")


def test_what_a_restored_instance_does_not_get_is_told():
    live = one(
        MonitoringInterval=60,
        PerformanceInsightsEnabled=True,
        ReadReplicaDBInstanceIdentifiers=["replica"],
        AssociatedRoles=[{"FeatureName": "s3Import"}],
        DedicatedLogVolume=True,
        ProcessorFeatures=[{"Name": "coreCount", "Value": "2"}],
    )
    assert [text.split(" (")[0] for text in instances.left_out(live)] == [
        "enhanced monitoring",
        "Performance Insights",
        "IAM roles for s3Import",
        "the dedicated log volume",
        "processor features",
        "read replicas",
    ]


def test_a_half_that_is_broken_is_not_gone_on_with():
    tags = {**TAGS, "plano:restores": "before", "plano:replaces": "plano-prod", "plano:stamp": "1"}
    half = one("plano-prod-restored-1", tags, DBInstanceStatus="incompatible-restore", DbiResourceId="db-2")
    order = Order("plano-prod", "before", "", "before", "plano-prod.example")
    plan = instances.plan_restore(order, Seen([one(), half], NOW, taken()))
    assert plan.call is None
    assert "plano-prod-restored-1, which this restore has made, is incompatible-restore" in plan.refused[0]
    assert "delete-db-instance --db-instance-identifier plano-prod-restored-1" in plan.refused[0]
