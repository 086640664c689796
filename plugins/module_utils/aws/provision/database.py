# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL on RDS. The password of its master is made and kept by AWS, in Secrets Manager; nothing here ever sees it."""

from __future__ import annotations

import time
from typing import Any, Mapping, Sequence

from .. import instances
from ..tags import tag_list, tags_in
from .plan import Cloud, Found, Item, Kind

# What of an instance can be wanted, by RDS's own names.
NAMES = {
    "class": "DBInstanceClass",
    "storage": "AllocatedStorage",
    "storage_limit": "MaxAllocatedStorage",
    "multi_az": "MultiAZ",
    "deletion_protection": "DeletionProtection",
    "backup_days": "BackupRetentionPeriod",
    "ca": "CACertificateIdentifier",
    "copy_tags": "CopyTagsToSnapshot",
    "minor_upgrades": "AutoMinorVersionUpgrade",
}


class RdsKind(Kind):
    def tag(self, cloud: Cloud, found: Found, tags: Mapping[str, str]) -> None:
        cloud.client("rds").add_tags_to_resource(ResourceName=found.tells["arn"], Tags=tag_list(tags))


class DatabaseSubnets(RdsKind):
    title = "database subnet group"

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("rds")
        groups = [
            group
            for page in client.get_paginator("describe_db_subnet_groups").paginate()
            for group in page["DBSubnetGroups"]
            if group["DBSubnetGroupName"].startswith(cloud.prefix)
        ]
        return [
            Found(
                group["DBSubnetGroupName"],
                group["DBSubnetGroupName"],
                _tags(client, group["DBSubnetGroupArn"]),
                {"subnets": frozenset(subnet["SubnetIdentifier"] for subnet in group["Subnets"])},
                {"arn": group["DBSubnetGroupArn"]},
            )
            for group in groups
        ]

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        cloud.client("rds").create_db_subnet_group(
            DBSubnetGroupName=item.name,
            DBSubnetGroupDescription=item.summary,
            SubnetIds=sorted(wanted["subnets"]),
            Tags=tag_list(tags),
        )
        return Found(item.name, item.name, tags, wanted)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        cloud.client("rds").modify_db_subnet_group(DBSubnetGroupName=item.name, SubnetIds=sorted(wanted["subnets"]))

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("rds").delete_db_subnet_group(DBSubnetGroupName=found.name)


class Parameters(RdsKind):
    title = "database parameter group"
    fixed = {
        "family": "a parameter group stays with its version of PostgreSQL; the new version's group has another name"
    }

    def observe(self, cloud: Cloud) -> list[Found]:
        client = cloud.client("rds")
        groups = [
            group
            for page in client.get_paginator("describe_db_parameter_groups").paginate()
            for group in page["DBParameterGroups"]
            if group["DBParameterGroupName"].startswith(cloud.prefix)
        ]
        return [self._seen(client, group) for group in groups]

    def _seen(self, client: Any, group: Any) -> Found:
        name, arn = group["DBParameterGroupName"], group["DBParameterGroupArn"]
        pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=name, Source="user")
        values = {one["ParameterName"]: one.get("ParameterValue") for page in pages for one in page["Parameters"]}
        has = {"family": group["DBParameterGroupFamily"], "parameters": values}
        return Found(name, name, _tags(client, arn), has, {"arn": arn})

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("rds").create_db_parameter_group(
            DBParameterGroupName=item.name,
            DBParameterGroupFamily=wanted["family"],
            Description=item.summary,
            Tags=tag_list(tags),
        )
        tells = {"arn": made["DBParameterGroup"]["DBParameterGroupArn"]}
        return Found(item.name, item.name, tags, {"family": wanted["family"], "parameters": {}}, tells)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        client = cloud.client("rds")
        differing = {
            name: value for name, value in wanted["parameters"].items() if found.has["parameters"].get(name) != value
        }
        pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=item.name)
        types = {
            one["ParameterName"]: one.get("ApplyType", "static")
            for page in pages
            for one in page["Parameters"]
            if one["ParameterName"] in differing
        }
        # AWS refuses to apply a static parameter at once, and more than 20 in one call.
        changes = [
            {
                "ParameterName": name,
                "ParameterValue": value,
                "ApplyMethod": "immediate" if types.get(name) == "dynamic" else "pending-reboot",
            }
            for name, value in sorted(differing.items())
        ]
        for first in range(0, len(changes), 20):
            client.modify_db_parameter_group(DBParameterGroupName=item.name, Parameters=changes[first : first + 20])

    def remove(self, cloud: Cloud, found: Found) -> None:
        cloud.client("rds").delete_db_parameter_group(DBParameterGroupName=found.name)


class Database(RdsKind):
    title = "database"
    fixed = {
        "version": "another major version is no provisioning: take a checkpoint, upgrade as AWS's manual for RDS says, then set it here",
        "encrypted": "what is not encrypted stays so; restore a snapshot that was copied with a key",
        "subnet_group": "a database stays in its network; restore a snapshot into the other",
    }

    def missing(self, item: Item, seen: Sequence[Found]) -> list[str]:
        return instances.away_faults(item.name, [(one.name, one.tags) for one in seen])

    def observe(self, cloud: Cloud) -> list[Found]:
        pages = cloud.client("rds").get_paginator("describe_db_instances").paginate()
        return [
            self._seen(one)
            for page in pages
            for one in page["DBInstances"]
            if one["DBInstanceIdentifier"].startswith(cloud.prefix)
        ]

    def _seen(self, one: Any) -> Found:
        name, status = one["DBInstanceIdentifier"], one["DBInstanceStatus"]
        # What was asked for before, and waits for its time, is not asked for again.
        now = {
            **one,
            **{key: value for key, value in (one.get("PendingModifiedValues") or {}).items() if value is not None},
        }
        return Found(
            name,
            name,
            tags_in(one.get("TagList")),
            has={
                **{ours: now.get(theirs) for ours, theirs in NAMES.items()},
                "version": str(one.get("EngineVersion", "")),
                "encrypted": one.get("StorageEncrypted"),
                "public": one.get("PubliclyAccessible"),
                "subnet_group": (one.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
                "parameter_group": next(
                    (group["DBParameterGroupName"] for group in one.get("DBParameterGroups", [])), ""
                ),
                "groups": frozenset(group["VpcSecurityGroupId"] for group in one.get("VpcSecurityGroups", [])),
                "logs": frozenset(one.get("EnabledCloudwatchLogsExports") or []),
            },
            tells={
                "arn": one.get("DBInstanceArn", ""),
                "endpoint": (one.get("Endpoint") or {}).get("Address", ""),
                "port": (one.get("Endpoint") or {}).get("Port", 0),
                "master_user": one.get("MasterUsername", ""),
                "master_secret": (one.get("MasterUserSecret") or {}).get("SecretArn", ""),
            },
            busy="" if status in (*instances.READY, "stopped") else status,
            kept="it is protected from deletion; set aws_database.deletion_protection: false and provision first"
            if one.get("DeletionProtection")
            else "",
        )

    def make(self, cloud: Cloud, item: Item, wanted: Mapping[str, Any], tags: Mapping[str, str]) -> Found:
        made = cloud.client("rds").create_db_instance(
            DBInstanceIdentifier=item.name,
            Engine="postgres",
            EngineVersion=wanted["version"],
            StorageType="gp3",
            StorageEncrypted=wanted["encrypted"],
            PubliclyAccessible=wanted["public"],
            MasterUsername=item.making["master_user"],
            ManageMasterUserPassword=True,
            DBSubnetGroupName=wanted["subnet_group"],
            DBParameterGroupName=wanted["parameter_group"],
            VpcSecurityGroupIds=sorted(wanted["groups"]),
            EnableCloudwatchLogsExports=sorted(wanted["logs"]),
            Tags=tag_list(tags),
            **{theirs: wanted[ours] for ours, theirs in NAMES.items() if ours in wanted},
        )
        return Found(item.name, item.name, tags, wanted, {"arn": made["DBInstance"]["DBInstanceArn"]}, busy="creating")

    def same(self, name: str, wanted: Any, has: Any) -> bool:
        if name == "version":
            return str(has) == wanted or str(has).startswith(f"{wanted}.")
        # It grows by itself up to its limit.
        return bool((has or 0) >= wanted) if name == "storage" else bool(wanted == has)

    def change(self, cloud: Cloud, item: Item, found: Found, wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        asked: dict[str, Any] = {NAMES[name]: wanted[name] for name in names if name in NAMES}
        if "public" in names:
            asked["PubliclyAccessible"] = wanted["public"]
        if "parameter_group" in names:
            asked["DBParameterGroupName"] = wanted["parameter_group"]
        if "groups" in names:
            asked["VpcSecurityGroupIds"] = sorted(wanted["groups"])
        if "logs" in names:
            asked["CloudwatchLogsExportConfiguration"] = {
                "EnableLogTypes": sorted(wanted["logs"] - found.has["logs"]),
                "DisableLogTypes": sorted(found.has["logs"] - wanted["logs"]),
            }
        cloud.client("rds").modify_db_instance(
            DBInstanceIdentifier=item.name, ApplyImmediately=item.making["apply_immediately"], **asked
        )

    def remove(self, cloud: Cloud, found: Found) -> None:
        # The snapshot carries the tags, and stays.
        cloud.client("rds").delete_db_instance(
            DBInstanceIdentifier=found.name,
            SkipFinalSnapshot=False,
            FinalDBSnapshotIdentifier=f"{found.name}-final-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}",
        )


def _tags(client: Any, arn: str) -> dict[str, str]:
    return tags_in(client.list_tags_for_resource(ResourceName=arn)["TagList"])
