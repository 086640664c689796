# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS instances and their snapshots: names, what a restored one must be like, and whatever forbids a restore. restores.py asks AWS.

Tags on the restored instance say what it is and how far its restore has come, so that a run that was cut is gone on with:

    plano:swap  (none) ──> restoring ──> restored ──> taking-back ──> taken-back
                          │    ^            ^               │
                          v    │            └───────────────┘   (nothing was changed: the name was given back)
                          aside
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Mapping, Sequence

from .tags import ENVIRONMENT, MANAGED, tag_list, tags_in

CHECKPOINT, DIGEST, VERSION = "plano:checkpoint", "plano:digest", "plano:version"
RESTORES, REPLACES, STAMP, SWAP = "plano:restores", "plano:replaces", "plano:stamp", "plano:swap"
FRESH, RESTORING, RESTORED, TAKING_BACK, TAKEN_BACK = "", "restoring", "restored", "taking-back", "taken-back"
# It was compared, and did not get the name, or gave it back: it blocks nobody, and is compared again before it is gone on with.
ASIDE = "aside"
OWN = (RESTORES, REPLACES, STAMP, SWAP, DIGEST)
# RDS's own limits; a restored instance is called INSTANCE-restored-STAMP.
LONGEST, LONGEST_SNAPSHOT = 63, 255
LONGEST_INSTANCE = LONGEST - len("-restored-") - 8
# How much younger than the moment of its dump, and than the time the dump took, a checkpoint's snapshot may be.
CLOSE = timedelta(hours=1)
# It can be read and snapshotted in these; in all others RDS is at work on it, or it is broken.
READY = ("available", "storage-config-upgrade", "storage-initialization", "storage-optimization")
BROKEN = (
    "failed", "incompatible-create", "incompatible-network", "incompatible-option-group", "incompatible-parameters", "incompatible-restore",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "insufficient-capacity", "restore-error",
    "storage-full", "stopped", "deleting", "upgrade-failed",
)  # fmt: skip
# What a restored instance gets from the live one, by the name that asks for it, which for these is the name that tells it.
COPIED = (
    "AutoMinorVersionUpgrade", "BackupRetentionPeriod", "CACertificateIdentifier", "CopyTagsToSnapshot", "DBInstanceClass", "DeletionProtection",
    "MultiAZ", "NetworkType", "PreferredBackupWindow", "PreferredMaintenanceWindow", "PubliclyAccessible", "StorageType",
)  # fmt: skip
# Only ModifyDBInstance can ask for it: RDS takes ManageMasterUserPassword at a restore for Oracle alone.
AFTERWARDS = (
    "ManageMasterUserPassword", "MasterUserSecretKmsKeyId", "MaxAllocatedStorage", "PreferredMaintenanceWindow",
)  # fmt: skip
# What is not changed any more once it is there.
FIXED = ("DBSubnetGroupName", "NetworkType")
MODIFIED_AS = {"Port": "DBPortNumber"}


@dataclass(frozen=True)
class Instance:
    """What DescribeDBInstances says of one."""

    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["DBInstanceIdentifier"])

    @property
    def status(self) -> str:
        return str(self.said.get("DBInstanceStatus", ""))

    @property
    def id(self) -> str:
        """What stays the same when it is renamed."""
        return str(self.said["DbiResourceId"])

    @property
    def arn(self) -> str:
        return str(self.said["DBInstanceArn"])

    @property
    def tags(self) -> dict[str, str]:
        return tags_in(self.said.get("TagList"))

    @property
    def address(self) -> str:
        return str((self.said.get("Endpoint") or {}).get("Address", ""))

    @property
    def major(self) -> str:
        return major_of(self.said.get("EngineVersion"))

    @property
    def becomes(self) -> str:
        """The name that it is going to have, while RDS has not begun to rename it."""
        return str((self.said.get("PendingModifiedValues") or {}).get("DBInstanceIdentifier") or "")

    @property
    def ready(self) -> bool:
        return self.status in READY

    @property
    def broken(self) -> bool:
        return self.status in BROKEN


@dataclass(frozen=True)
class Snapshot:
    """What DescribeDBSnapshots says of one."""

    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["DBSnapshotIdentifier"])

    @property
    def status(self) -> str:
        return str(self.said.get("Status", ""))

    @property
    def tags(self) -> dict[str, str]:
        return tags_in(self.said.get("TagList"))

    def told(self) -> dict[str, Any]:
        at = self.said.get("SnapshotCreateTime")
        return {
            "id": self.name,
            "arn": str(self.said.get("DBSnapshotArn", "")),
            "at": shown(at) if at else "",
            "state": self.status,
        }


@dataclass(frozen=True)
class Order:
    """What is asked for. With *time* it is the time that counts, and *checkpoint* is what to compare with."""

    instance: str
    checkpoint: str = ""
    time: str = ""
    confirm: str = ""
    login_host: str = ""
    allow_difference: bool = False

    @property
    def target(self) -> str:
        return self.time or self.checkpoint


@dataclass(frozen=True)
class Seen:
    """What AWS says at one moment. *manifest* is what the data host says of the checkpoint."""

    instances: Sequence[Instance]
    now: datetime
    snapshot: Snapshot | None = None
    earliest: datetime | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> Instance | None:
        return next((one for one in self.instances if one.name == name), None)


@dataclass(frozen=True)
class Plan:
    """How a restore goes on from what is there: *half* is what it has made so far, *old* what that replaces, live or put aside already."""

    stamp: str
    restored: str
    before: str
    refused: list[str]
    half: Instance | None = None
    old: Instance | None = None
    call: tuple[str, dict[str, Any]] | None = None
    left_out: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "instance_made": self.restored,
            "instance_kept": self.before,
            "adopted": self.half is not None,
            "call": {"action": self.call[0], "arguments": self.call[1]} if self.call else None,
            "not_copied": self.left_out,
            "takes": "RDS takes 10 minutes and more to restore, longer for more data; the database is away for the two renames, some minutes",
            "refused": self.refused,
        }


def shown(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def major_of(version: Any) -> str:
    return str(version or "").partition(".")[0]


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def snapshot_name(instance: str, checkpoint: str) -> str:
    """Return the name of a checkpoint's snapshot within RDS's rules.

    RDS knows small letters, digits and single hyphens. A checkpoint's name that has more gets a few digits of its digest, so that two of them
    do not meet; should they all the same, the tag tells them apart and the second is refused.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", checkpoint.lower()).strip("-")
    return "-".join(part for part in (instance, plain, "" if plain == checkpoint else _digest(checkpoint, 6)) if part)


def stamp_of(target: str, live: Instance) -> str:
    """Return what is in the names of a restore: the same for whoever goes on with it, another one once that instance was replaced."""
    return _digest(f"{target} {live.id}", 8)


def snapshot_tags(live: Instance, checkpoint: str, digest: str, version: str) -> dict[str, str]:
    tags = {
        ENVIRONMENT: live.tags[ENVIRONMENT],
        MANAGED: "true",
        CHECKPOINT: checkpoint,
        DIGEST: digest,
        VERSION: version,
    }
    # RDS takes no empty value, and not every character.
    return {key: re.sub(r"[^\w .:/=+@-]", "_", value)[:256] for key, value in tags.items() if value}


def instance_faults(name: str, live: Instance | None) -> list[str]:
    """Say what makes an instance one that nothing here is done with."""
    if live is None:
        return [f"there is no RDS instance {name} in this account and region: look at its name and at AWS_REGION"]
    found = []
    if live.said.get("Engine") != "postgres" or live.said.get("DBClusterIdentifier"):
        found.append(f"{name} runs {live.said.get('Engine')}: only PostgreSQL on RDS, not Aurora, is known here")
    if not live.tags.get(ENVIRONMENT) or live.tags.get(MANAGED) != "true":
        found.append(
            f"{name} has not the tags {ENVIRONMENT} and {MANAGED}=true, by which the policy 'data' knows what it may touch: provision sets them"
        )
    if live.broken:
        found.append(f"{name} is {live.status}: see what RDS says of it, and mend that first")
    return found


def snapshot_faults(name: str, found: Snapshot | None, live: Instance, checkpoint: str, digest: str) -> list[str]:
    """Say why what bears the name of a checkpoint's snapshot is not that."""
    if len(name) > LONGEST_SNAPSHOT:
        return [f"snapshot {name}: RDS takes {LONGEST_SNAPSHOT} characters; give the checkpoint a shorter name"]
    if found is None:
        return []
    tags, theirs = found.tags, found.tags.get(CHECKPOINT)
    if tags.get(ENVIRONMENT) != live.tags.get(ENVIRONMENT) or tags.get(MANAGED) != "true" or not theirs:
        return [
            f"snapshot {name} is there and was not made here (its tags say so): give the checkpoint another name, or remove that snapshot"
        ]
    if theirs != checkpoint:
        return [
            f"snapshot {name} is that of checkpoint {theirs}, whose name RDS takes for the same: give this checkpoint another name"
        ]
    if digest and tags.get(DIGEST) != digest:
        return [
            f"snapshot {name} is that of an earlier checkpoint {checkpoint}: give this one another name, or remove that snapshot"
        ]
    if found.status not in ("available", "creating"):
        return [f"snapshot {name} is {found.status}: remove it, or give the checkpoint another name"]
    return []


def age_faults(checkpoint: str, at: str, seconds: float, moment: datetime) -> list[str]:
    """Say why a snapshot of that *moment* is not the checkpoint's, however little has changed since its dump at *at*, which took *seconds*."""
    if not at or moment - parse_time(at) <= CLOSE + timedelta(seconds=seconds):
        return []
    return [
        f"checkpoint {checkpoint} is of {shown(parse_time(at))}, and a snapshot of {shown(moment)} is not what it was then: what the log of changes"
        " does not know, such as roles, other databases and tables that are not logged, may be another"
    ]


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time in UTC. Raises ValueError with the reason."""
    try:
        found = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
    except ValueError:
        raise ValueError(f"to_time {text!r} is no ISO 8601 time: write it as 2026-11-27T10:30:00Z") from None
    if found.tzinfo is None or found.utcoffset() != timedelta(0):
        raise ValueError(f"to_time {text!r} is not in UTC: write it as 2026-11-27T10:30:00Z")
    return found


def one_spelling(text: str) -> str:
    """Return a time as all of its spellings are written in tags and in the ids of runs; what is no time stays as it is, to be refused."""
    try:
        return shown(parse_time(text))
    except ValueError:
        return text


def time_faults(order: Order, live: Instance, seen: Seen) -> list[str]:
    """Say why the instance cannot go back to that time."""
    try:
        wanted = parse_time(order.time)
    except ValueError as error:
        return [str(error)]
    latest = live.said.get("LatestRestorableTime")
    if not live.said.get("BackupRetentionPeriod") or latest is None:
        return [f"{live.name} has no automated backups (aws_database.backup_days): there is no time to go back to"]
    if wanted > seen.now:
        return [f"to_time {order.time} is in the future: now it is {shown(seen.now)}"]
    if wanted > latest:
        return [
            f"to_time {order.time} is too recent: {live.name} can go back to {shown(latest)} at the latest. Its log reaches S3 every 5 minutes; wait, or"
            " name an earlier time"
        ]
    found = []
    if seen.earliest is None or wanted < seen.earliest:
        oldest = shown(seen.earliest) if seen.earliest else "none"
        kept = [one.name for one in seen.instances if one.name.startswith(f"{live.name}-before-")]
        more = f"; earlier times are in the backups of what was put aside: {', '.join(kept)}" if kept else ""
        found.append(f"to_time {order.time} is before the oldest automated backup of {live.name} ({oldest}){more}")
    at = str(seen.manifest.get("at", ""))
    if at and wanted < parse_time(at):
        found.append(
            f"to_time {order.time} is before checkpoint {order.checkpoint} ({at}), so that it cannot be compared with it"
        )
    return found


def restored_halves(order: Order, seen: Seen, *states: str) -> list[Instance]:
    """Return what restores of this target have made, by how far they have come; the newest last."""
    found = [
        one
        for one in seen.instances
        if one.tags.get(REPLACES) == order.instance
        and one.tags.get(RESTORES) == order.target
        and one.tags.get(SWAP, FRESH) in states
    ]
    return sorted(found, key=lambda one: str(one.said.get("InstanceCreateTime", "")))


def done_already(order: Order, seen: Seen) -> Instance | None:
    """Return the live instance if it is what a restore of this very target has made."""
    return next(
        (
            one
            for one in restored_halves(order, seen, RESTORED)
            if one.name == order.instance and not _of_another(order, one, seen)
        ),
        None,
    )


def plan_restore(order: Order, seen: Seen) -> Plan:
    """Say how the restore goes on from what is there, with all that forbids it."""
    live = seen.named(order.instance)
    halves = restored_halves(order, seen, FRESH, ASIDE, RESTORING)
    if halves:
        return _plan_adoption(order, seen, halves, live)
    refused = _order_faults(order) + instance_faults(order.instance, live)
    cut = [
        one
        for one in seen.instances
        if one.tags.get(REPLACES) == order.instance and one.tags.get(SWAP) in (RESTORING, TAKING_BACK)
    ]
    refused += [_cut(one) for one in cut]
    making = [
        one
        for one in seen.instances
        if one.tags.get(REPLACES) == order.instance
        and one.tags.get(SWAP, FRESH) == FRESH
        and one.tags.get(RESTORES) != order.target
        and not one.ready
        and not one.broken
    ]
    refused += [
        f"a restore of {one.tags.get(RESTORES)} is under way ({one.name} is {one.status}): wait until it has ended, or is available"
        for one in making
    ]
    if live is None:
        return Plan("", "", "", refused)
    if not live.ready and not live.broken:
        refused.append(f"{live.name} is {live.status}: wait until it is available")
    if order.login_host != live.address:
        refused.append(
            f"login_host {order.login_host or '(none)'} is not where {live.name} answers ({live.address}): name that, or the other instance"
        )
    stamp = stamp_of(order.target, live)
    restored, before = f"{order.instance}-restored-{stamp}", f"{order.instance}-before-{stamp}"
    if len(order.instance) > LONGEST_INSTANCE:
        refused.append(
            f"{order.instance}: RDS takes {LONGEST} characters, and the names of a restore are 18 longer than the instance's; rename it"
        )
    for name in (restored, before):
        taken = seen.named(name)
        if taken is not None:
            back = taken.tags.get(SWAP) == TAKEN_BACK and taken.tags.get(RESTORES) == order.target
            what = (
                "is what was restored and taken back, with what was written into it"
                if back
                else "is there and is no half of this restore"
            )
            refused.append(
                f"the name {name} is taken: that instance {what}. Rename or remove it ({removal(name)}) to restore anew"
            )
    refused += time_faults(order, live, seen) if order.time else _snapshot_use_faults(order, live, seen)
    call = None if refused else _call(order, live, restored, stamp, seen)
    return Plan(stamp, restored, before, refused, None, live, call, left_out(live))


def _plan_adoption(order: Order, seen: Seen, halves: Sequence[Instance], live: Instance | None) -> Plan:
    half = halves[-1]
    stamp = half.tags.get(STAMP, "")
    before = f"{order.instance}-before-{stamp}"
    old = seen.named(before) or (live if live is not None and live.id != half.id else None)
    refused = _order_faults(order)
    if half.broken:
        refused.append(
            f"{half.name}, which this restore has made, is {half.status}: see what RDS says of it, remove it ({removal(half.name)}), run again"
        )
    if live is not None and old is not None and live.id not in (half.id, old.id):
        refused.append(
            f"{order.instance} is another instance ({live.id}), which is neither {half.name} nor {before}: look into RDS"
        )
    if _of_another(order, half, seen):
        refused.append(
            f"{half.name} was made of an earlier checkpoint {order.checkpoint}: remove it ({removal(half.name)}), run again"
        )
    if old is None:
        refused.append(f"neither {order.instance} nor {before} is there, which {half.name} is to replace")
    elif old.name == order.instance:
        refused += instance_faults(order.instance, old)
        if order.login_host != old.address:
            refused.append(f"login_host {order.login_host or '(none)'} is not where {old.name} answers ({old.address})")
    return Plan(
        stamp, f"{order.instance}-restored-{stamp}", before, refused, half, old, None, left_out(old) if old else []
    )


def plan_back(order: Order, seen: Seen) -> Plan:
    """Say how a restore is taken back. *half* is what was restored; without it, it has been taken back already."""
    refused = _order_faults(order)
    cut = restored_halves(order, seen, TAKING_BACK, RESTORING)
    live = seen.named(order.instance)
    mine = [one for one in restored_halves(order, seen, RESTORED) if one.name == order.instance]
    back = restored_halves(order, seen, TAKEN_BACK)
    if live is not None and any(one.tags.get(STAMP) == stamp_of(order.target, live) for one in back):
        # What was restored over this one is taken back. That it was itself restored to the same, earlier, is another matter.
        mine = []
    if not cut and not mine:
        if not back:
            refused.append(
                f"{order.instance} is not what a restore of {order.target} has made: there is nothing to take back"
            )
        return Plan("", "", "", refused)
    half = (cut or mine)[-1]
    stamp = half.tags.get(STAMP, "")
    before = f"{order.instance}-before-{stamp}"
    old = seen.named(before) or (live if live is not None and live.id != half.id else None)
    if old is not None and old.name == order.instance and half.tags.get(SWAP) == RESTORING:
        refused.append(
            f"the restore of {order.target} has not come so far that {order.instance} is another one: there is nothing to take back"
        )
    elif old is None:
        refused.append(f"{before}, which would become {order.instance} again, is no longer there")
    elif not old.ready and half.tags.get(SWAP) != TAKING_BACK:
        refused.append(f"{before} is {old.status}: it must be available to become {order.instance} again")
    if half.name == order.instance and order.login_host != half.address:
        refused.append(f"login_host {order.login_host or '(none)'} is not where {half.name} answers ({half.address})")
    return Plan(stamp, f"{order.instance}-restored-{stamp}", before, refused, half, old)


def _cut(half: Instance) -> str:
    word = "swapped_back" if half.tags.get(SWAP) == TAKING_BACK else "restored"
    return (
        f"another run was cut while instances were renamed ({half.name}): first let it end, with state: {word} for {half.tags.get(RESTORES)}"
        f" ({way_back(half)})"
    )


def _order_faults(order: Order) -> list[str]:
    if not order.target:
        return ["name the checkpoint, or a time (to_time)"]
    if order.confirm != order.target:
        return [f"confirm must repeat what is restored, {order.target}"]
    return []


def _snapshot_use_faults(order: Order, live: Instance, seen: Seen) -> list[str]:
    name = snapshot_name(order.instance, order.checkpoint)
    if seen.snapshot is None:
        return [
            f"checkpoint {order.checkpoint} has no snapshot {name}: it was made without snapshot_of."
            " Name a time instead (to_time), or restore its schemas (without instance)"
        ]
    found = snapshot_faults(name, seen.snapshot, live, order.checkpoint, str(seen.manifest.get("digest", "")))
    if not found and seen.snapshot.status != "available":
        found.append(f"snapshot {name} is still {seen.snapshot.status}: wait until it is available, then run again")
    taken = seen.snapshot.said.get("SnapshotCreateTime")
    if not found and taken and not order.allow_difference:
        at, seconds = str(seen.manifest.get("at", "")), float(seen.manifest.get("seconds") or 0)
        late = age_faults(order.checkpoint, at, seconds, taken)
        found += [f"snapshot {name}: {fault}; allow_difference: true accepts that" for fault in late]
    theirs = major_of(seen.snapshot.said.get("EngineVersion"))
    if theirs and theirs != live.major:
        found.append(
            f"snapshot {name} is of PostgreSQL {theirs} and {live.name} runs {live.major}, whose parameter group does not fit: restore it by hand"
        )
    return found


def wanted(live: Instance) -> dict[str, Any]:
    """Return what a restored instance must be like: as the live one, for RDS gives it defaults for most of it."""
    said = live.said
    storage, size = str(said.get("StorageType", "")), int(said.get("AllocatedStorage") or 0)
    options = [group["OptionGroupName"] for group in said.get("OptionGroupMemberships") or []]
    # RDS takes these for volumes alone that have them of their own.
    fast = {"Iops": said.get("Iops")} if storage.startswith("io") or (storage == "gp3" and size >= 400) else {}
    quick = {"StorageThroughput": said.get("StorageThroughput")} if storage == "gp3" and size >= 400 else {}
    secret = said.get("MasterUserSecret") or {}
    found = {
        **{name: said.get(name) for name in COPIED},
        **fast,
        **quick,
        "DBParameterGroupName": next(
            (group["DBParameterGroupName"] for group in said.get("DBParameterGroups") or []), None
        ),
        "DBSubnetGroupName": (said.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
        "EnableCloudwatchLogsExports": sorted(said.get("EnabledCloudwatchLogsExports") or []),
        "EnableIAMDatabaseAuthentication": said.get("IAMDatabaseAuthenticationEnabled"),
        "ManageMasterUserPassword": bool(secret) or None,
        "MaxAllocatedStorage": said.get("MaxAllocatedStorage"),
        "OptionGroupName": next((name for name in options if not name.startswith("default:")), None),
        "Port": (said.get("Endpoint") or {}).get("Port"),
        "VpcSecurityGroupIds": sorted(group["VpcSecurityGroupId"] for group in said.get("VpcSecurityGroups") or []),
    }
    return {name: value for name, value in found.items() if value is not None}


def restored_tags(order: Order, live: Instance, stamp: str, digest: str) -> dict[str, str]:
    """Return the live one's tags, its Name too, which it is going to have, and what it is."""
    kept = {key: value for key, value in live.tags.items() if not key.startswith("aws:") and key not in OWN}
    # To a time, the checkpoint is what to compare with alone.
    made_of = {DIGEST: digest} if digest and not order.time else {}
    return {**kept, **made_of, RESTORES: order.target, REPLACES: order.instance, STAMP: stamp}


def _of_another(order: Order, one: Instance, seen: Seen) -> bool:
    """Say whether it was made of an earlier checkpoint of this name."""
    theirs, ours = one.tags.get(DIGEST), seen.manifest.get("digest")
    return bool(not order.time and theirs and ours and theirs != ours)


def _call(order: Order, live: Instance, name: str, stamp: str, seen: Seen) -> tuple[str, dict[str, Any]]:
    # PITR could take the limit of the storage itself; one way for both is simpler.
    like = {key: value for key, value in wanted(live).items() if key not in AFTERWARDS}
    # A volume that is smaller than it was when it was made faster would be too small for that; one never shrinks.
    sizes = [int(one.get("AllocatedStorage") or 0) for one in (live.said, seen.snapshot.said if seen.snapshot else {})]
    support = live.said.get("EngineLifecycleSupport")
    like.update({"AllocatedStorage": max(sizes)} if max(sizes) else {})
    like.update({"EngineLifecycleSupport": support} if support else {})
    common = {**like, "Tags": tag_list(restored_tags(order, live, stamp, str(seen.manifest.get("digest", ""))))}
    if order.time:
        source = {
            "SourceDBInstanceIdentifier": live.name,
            "TargetDBInstanceIdentifier": name,
            "RestoreTime": shown(parse_time(order.time)),
        }
        return "RestoreDBInstanceToPointInTime", {**source, **common}
    source = {"DBSnapshotIdentifier": snapshot_name(order.instance, order.checkpoint), "DBInstanceIdentifier": name}
    return "RestoreDBInstanceFromDBSnapshot", {**source, **common}


def corrections(old: Instance, made: Instance) -> dict[str, Any]:
    """Return what ModifyDBInstance has to change so that *made* is like *old*."""
    must, has = wanted(old), wanted(made)
    differing = {name: value for name, value in must.items() if has.get(name) != value and name not in FIXED}
    found = {MODIFIED_AS.get(name, name): value for name, value in differing.items()}
    if "EnableCloudwatchLogsExports" in found:
        now, then = set(has.get("EnableCloudwatchLogsExports", [])), set(found.pop("EnableCloudwatchLogsExports"))
        found["CloudwatchLogsExportConfiguration"] = {
            "EnableLogTypes": sorted(then - now),
            "DisableLogTypes": sorted(now - then),
        }
    key = (old.said.get("MasterUserSecret") or {}).get("KmsKeyId")
    if "ManageMasterUserPassword" in found and key:
        found["MasterUserSecretKmsKeyId"] = key
    return found


def likeness_faults(old: Instance, made: Instance) -> list[str]:
    """Say where RDS gave something else than was asked for."""
    must, has = wanted(old), wanted(made)
    found = [
        f"{name} is {has.get(name)!r} instead of {value!r}"
        for name, value in sorted(must.items())
        if has.get(name) != value
    ]
    groups = [
        f"security group {g['VpcSecurityGroupId']} is {g['Status']}"
        for g in made.said.get("VpcSecurityGroups") or []
        if g.get("Status") != "active"
    ]
    return found + groups


def parameters_state(made: Instance) -> str:
    return next((str(group.get("ParameterApplyStatus", "")) for group in made.said.get("DBParameterGroups") or []), "")


def left_out(live: Instance) -> list[str]:
    """Say what of the live instance a restored one does not get."""
    found = []
    if live.said.get("MonitoringInterval"):
        found.append("enhanced monitoring (it needs iam:PassRole, which the policy 'data' does not grant)")
    if live.said.get("PerformanceInsightsEnabled"):
        found.append("Performance Insights")
    if live.said.get("AssociatedRoles"):
        roles = ", ".join(str(role.get("FeatureName", "")) for role in live.said["AssociatedRoles"])
        found.append(f"IAM roles for {roles} (they need iam:PassRole too)")
    if live.said.get("DedicatedLogVolume"):
        found.append("the dedicated log volume")
    if live.said.get("ProcessorFeatures"):
        found.append("processor features")
    if live.said.get("ReadReplicaDBInstanceIdentifiers"):
        found.append(
            f"read replicas ({', '.join(live.said['ReadReplicaDBInstanceIdentifiers'])}), which go on following the old instance"
        )
    return found


def way_back(half: Instance) -> str:
    """Return the command that ends a restore which was cut while instances were renamed."""
    target = half.tags.get(RESTORES, "")
    try:
        parse_time(target)
        what = "time"
    except ValueError:
        what = "checkpoint"
    more = " -e swap_back=true" if half.tags.get(SWAP) == TAKING_BACK else ""
    return f"ansible-playbook plano.delivery.restore -e instance=true -e {what}={target} -e confirm={target}{more}"


def away_faults(name: str, tagged: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Say why no new instance of that name is made: by the names and tags of all, a restore was cut while nobody had it."""
    halves = [Instance({"DBInstanceIdentifier": one, "TagList": tag_list(tags)}) for one, tags in tagged]
    cut = [
        half for half in halves if half.tags.get(REPLACES) == name and half.tags.get(SWAP) in (RESTORING, TAKING_BACK)
    ]
    return [
        f"{name} is away: a restore was cut while instances were renamed ({half.name}). Bring it back first: {way_back(half)}"
        for half in cut
    ]


def removal(name: str) -> str:
    """Return the commands that remove an instance for good, with a last snapshot."""
    return (
        f"aws rds modify-db-instance --db-instance-identifier {name} --no-deletion-protection --apply-immediately; "
        f"aws rds delete-db-instance --db-instance-identifier {name} --final-db-snapshot-identifier {name}-final"
    )
