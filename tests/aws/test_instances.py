# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots and restores of an RDS instance on moto, cut at every call that changes something.

The data host is a stand-in here: what it compares is in tests/data/test_instance.py, on real PostgreSQL.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import moto_with_shims
import pytest
from ansible.errors import AnsibleConnectionFailure
from controller import play
from moto import mock_aws
from moto_server import Moto
from provisioning import account
from test_policies import HERE, MADE, OURS, judge, only
from test_policies import rds as rds_arn

from ansible_collections.plano.delivery.plugins.action import data_checkpoint as action_checkpoint
from ansible_collections.plano.delivery.plugins.action import data_restore as action_restore
from ansible_collections.plano.delivery.plugins.module_utils.aws import instances, policies, restores
from ansible_collections.plano.delivery.plugins.module_utils.aws.instances import Order
from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import UNANSWERED, AwsError
from ansible_collections.plano.delivery.plugins.module_utils.aws.restores import InstanceError, Patience, Rds
from ansible_collections.plano.delivery.plugins.module_utils.aws.tags import tag_list, tags_in
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _aws, _instances

NAME = "plano-prod"
ADDRESS = "plano-prod.aaaaaaaaaa.sa-east-1.rds.amazonaws.com"
TAGS = {"plano:environment": "prod", "plano:managed": "true", "Name": NAME, "team": "plano"}
MANIFEST = {"name": "before", "digest": "d1", "at": instances.shown(datetime.now(timezone.utc)), "seconds": 60.0}


class Cut(BaseException):
    """The run ends here, as by a Ctrl-C or a lost machine."""


current: Account


@functools.lru_cache(maxsize=None)
def client(service: str, watched: bool = False) -> Any:
    """Make each client once, for that takes its time; of the *watched* one the calls are counted."""
    made = boto3.client(service, region_name="sa-east-1")
    if watched:
        made.meta.events.register("before-call.rds", lambda model, **_more: current.before(model.name))
        made.meta.events.register("after-call.rds", lambda model, **_more: current.after(model.name))
    return made


class Host:
    """The data host, as a stand-in: *fails* maps a step to what is wrong, *loses* to the losses it counts."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.asked: list[str] = []
        self.checkpoint = "before"
        self.fails: dict[str, str] = {}
        self.sessions: list[dict[str, Any]] = []
        self.loses: dict[str, list[dict[str, Any]]] = {}
        self.marked: set[str] = set()
        self.parts: dict[str, dict[str, Any]] = {}

    def __call__(self, step: str, **part: Any) -> dict[str, Any]:
        self.asked.append(step)
        self.parts[step] = part
        for address in (part.get("host"), part.get("beside")):
            names = [one["Endpoint"]["Address"] for one in self.aws.describe_db_instances()["DBInstances"]]
            assert not address or address in names, f"nobody answers at {address}"
        if step in self.fails:
            raise InstanceError(self.fails[step])
        if step in ("compared", "marked_back"):
            self.marked.add(part["stamp"])
            run = "restore.before.1"
            return {"run": run, "losses": self.loses.get(step, []), "differences": [], "erased": {}}
        if step == "proven":
            assert part["stamp"] in self.marked
            return {"run": part["run"] or "restore.before.1"}
        losses = self.loses.get(step, [])
        return {
            "checkpoint": MANIFEST if self.checkpoint else None,
            "tables": [],
            "losses": losses,
            **({"sessions": self.sessions} if step == "counted" else {}),
            "refused": ["rows since"] if step == "looked_back" and losses else [],
        }


class Account:
    """An account with one live instance. It counts the calls that change something, and can cut the run before or after one."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.cut_at: int | None = None
        self.cut_before = False
        self.refuse: dict[str, int] = {}
        self.engaged: dict[str, int] = {}
        self.expired = False
        self.said: list[str] = []
        global current
        current = self
        self.aws, ec2 = client("rds"), client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"sa-east-1{zone}")["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")
        ]  # fmt: skip
        self.group = ec2.create_security_group(GroupName="db", Description="db", VpcId=vpc)["GroupId"]
        self.aws.create_db_subnet_group(DBSubnetGroupName="plano-prod", DBSubnetGroupDescription="d", SubnetIds=subnets)
        self.aws.create_db_parameter_group(
            DBParameterGroupName="plano-prod-17", DBParameterGroupFamily="postgres17", Description="d"
        )
        self.aws.create_db_instance(
            DBInstanceIdentifier=NAME, Engine="postgres", EngineVersion="17.4", DBInstanceClass="db.t4g.medium", AllocatedStorage=50,
            MaxAllocatedStorage=200, StorageType="gp3", MultiAZ=True, DeletionProtection=True, BackupRetentionPeriod=14, CopyTagsToSnapshot=True,
            DBSubnetGroupName="plano-prod", DBParameterGroupName="plano-prod-17", VpcSecurityGroupIds=[self.group], MasterUsername="plano_admin",
            ManageMasterUserPassword=True, EnableCloudwatchLogsExports=["postgresql"], CACertificateIdentifier="rds-ca-rsa2048-g1",
            PubliclyAccessible=False, Tags=tag_list(TAGS),
        )  # fmt: skip
        self.first = self.one(NAME)["DbiResourceId"]
        self.host = Host(self.aws)

    def before(self, name: str) -> None:
        if self.expired:
            raise _aws.exceptions.ClientError({"Error": {"Code": "ExpiredToken", "Message": "no"}}, name)
        if name.startswith(("Describe", "List")):
            return
        assert not name.startswith("Delete")
        if self.engaged.get(name):
            self.engaged[name] -= 1
            raise _aws.exceptions.ClientError({"Error": {"Code": "InvalidDBInstanceState", "Message": "no"}}, name)
        self.changes.append(name)
        if self.cut_before and len(self.changes) == self.cut_at:
            raise Cut
        if self.refuse.get(name):
            self.refuse[name] -= 1
            if not self.refuse[name]:
                raise _aws.exceptions.ClientError({"Error": {"Code": "InternalFailure", "Message": "no"}}, name)

    def after(self, name: str) -> None:
        if not self.cut_before and not name.startswith(("Describe", "List")) and len(self.changes) == self.cut_at:
            raise Cut

    def rds(self, **more: Any) -> Rds:
        patience = Patience(**{"look": 0, "say": 1000, "settle": 5, "rename": 5, "restore": 5, "snapshot": 5, **more})
        return Rds(client("rds", watched=True), _aws.explained, self.said.append, patience)

    def one(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.aws.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        return found

    def names(self) -> list[str]:
        return sorted(one["DBInstanceIdentifier"] for one in self.aws.describe_db_instances()["DBInstances"])

    def snapshot(self, checkpoint: str = "before", digest: str = "d1") -> dict[str, Any]:
        return restores.snapshotted(self.rds(), NAME, checkpoint, digest, "1.4.0")

    def restore(self, check: bool = False, allow_loss: bool = True, **more: Any) -> dict[str, Any]:
        order = {"checkpoint": "before", "confirm": more.get("time", "before"), "login_host": ADDRESS, **more}
        self.host.checkpoint = order["checkpoint"]
        return restores.restored(self.rds(), Order(NAME, **order), self.host, allow_loss, check)

    def back(self, check: bool = False, allow_loss: bool = True, **more: Any) -> dict[str, Any]:
        order = {"checkpoint": "before", "confirm": "before", "login_host": ADDRESS, **more}
        return restores.taken_back(self.rds(), Order(NAME, **order), self.host, allow_loss, check)

    def swap(self, name: str = NAME) -> str:
        return tags_in(self.one(name)["TagList"]).get(instances.SWAP, "")


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "sa-east-1"),
    ):
        monkeypatch.setenv(name, value)
    moto_with_shims.install()
    with mock_aws():
        yield Account()


def ago(**more: float) -> str:
    return instances.shown(datetime.now(timezone.utc) - timedelta(**more))


def test_a_checkpoint_has_one_snapshot_however_often_it_is_asked_for(mine: Account) -> None:
    first = mine.snapshot()
    assert (first["changed"], first["snapshot"]["id"], first["snapshot"]["state"]) == (
        True,
        "plano-prod-before",
        "available",
    )
    (said,) = mine.aws.describe_db_snapshots(DBSnapshotIdentifier="plano-prod-before")["DBSnapshots"]
    assert tags_in(said["TagList"]) == {
        "plano:environment": "prod", "plano:managed": "true", "plano:checkpoint": "before", "plano:digest": "d1", "plano:version": "1.4.0",
    }  # fmt: skip
    again = mine.snapshot()
    assert (again["changed"], again["snapshot"]) == (False, first["snapshot"])
    # One that is still being made is waited for.
    mine.aws.create_db_snapshot(
        DBSnapshotIdentifier="plano-prod-next",
        DBInstanceIdentifier=NAME,
        Tags=tag_list(instances.snapshot_tags(instances.Instance(mine.one(NAME)), "next", "d2", "")),
    )
    assert mine.snapshot("next", "d2")["snapshot"]["state"] == "available"
    assert mine.changes == ["CreateDBSnapshot"]


def test_a_snapshot_that_is_not_this_checkpoints_is_refused(mine: Account) -> None:
    mine.aws.create_db_snapshot(DBSnapshotIdentifier="plano-prod-foreign", DBInstanceIdentifier=NAME)
    mine.snapshot()
    for checkpoint, digest, text in (
        ("foreign", "d1", "was not made here"),
        ("before", "d9", "is that of an earlier checkpoint before"),
    ):
        with pytest.raises(InstanceError, match=text):
            mine.snapshot(checkpoint, digest)
    with pytest.raises(InstanceError, match="there is no RDS instance nobody"):
        restores.snapshotted(mine.rds(), "nobody", "before", "d1", "")
    assert mine.changes == ["CreateDBSnapshot"]


def test_a_snapshot_that_lasts_too_long_goes_on_without_us(mine: Account) -> None:
    mine.said.clear()
    with pytest.raises(InstanceError, match=r"snapshot plano-prod-before: still creating after 0 min.*run the same"):
        restores.snapshotted(mine.rds(snapshot=0, say=0), NAME, "before", "d1", "")
    assert mine.snapshot()["changed"] is False


def test_a_plan_tells_what_would_be_done_and_does_nothing(mine: Account) -> None:
    mine.snapshot()
    plan = mine.restore(check=True)["plan"]
    stamp = plan["instance_made"].rpartition("-")[2]
    assert plan["refused"] == []
    assert plan["instance_kept"] == f"plano-prod-before-{stamp}"
    assert plan["call"]["action"] == "RestoreDBInstanceFromDBSnapshot"
    asked = plan["call"]["arguments"]
    assert {name: asked[name] for name in ("DBSubnetGroupName", "DBParameterGroupName", "VpcSecurityGroupIds", "MultiAZ", "DeletionProtection", "Port")} == {
        "DBSubnetGroupName": "plano-prod", "DBParameterGroupName": "plano-prod-17", "VpcSecurityGroupIds": [mine.group], "MultiAZ": True,
        "DeletionProtection": True, "Port": 5432,
    }  # fmt: skip
    assert mine.changes == ["CreateDBSnapshot"] and mine.names() == [NAME]


def test_what_was_restored_is_like_the_live_one_and_takes_its_name(mine: Account) -> None:
    mine.snapshot()
    before = mine.one(NAME)
    told = mine.restore()
    kept = told["kept"][0]
    assert mine.names() == sorted([NAME, kept])
    now, old = mine.one(NAME), mine.one(kept)
    assert (old["DbiResourceId"], now["DbiResourceId"] == mine.first) == (mine.first, False)
    assert instances.wanted(instances.Instance(now)) == instances.wanted(instances.Instance(before))
    # RDS gives no managed password and no limit of storage with a restore: they came afterwards, with a secret of its own.
    assert now["MasterUserSecret"]["SecretArn"] != old["MasterUserSecret"]["SecretArn"]
    assert now["DeletionProtection"] and old["DeletionProtection"]
    tags = tags_in(now["TagList"])
    assert {name: tags[name] for name in TAGS} == TAGS
    assert (tags["plano:restores"], tags["plano:replaces"], tags["plano:swap"]) == ("before", NAME, "restored")
    assert mine.host.asked == ["looked", "compared", "counted", "proven"]
    assert mine.host.parts["proven"]["details"]["kept"] == kept
    assert f"--db-instance-identifier {kept}" in told["remove"] and "goes on costing" in told["remove"]
    assert mine.changes == [
        "CreateDBSnapshot", "RestoreDBInstanceFromDBSnapshot", "ModifyDBInstance", "AddTagsToResource", "ModifyDBInstance", "ModifyDBInstance",
        "AddTagsToResource",
    ]  # fmt: skip
    assert any("is away from here on" in line for line in mine.said)
    again = mine.restore()
    assert (again["changed"], len(mine.names())) == (False, 2)
    # Once something was written since, the same again is another restore, of another instance.
    lose(mine.host, "looked_back")
    assert mine.restore(check=True)["changed"]
    assert mine.restore(check=True)["plan"]["instance_kept"] != kept


def test_a_time_is_restored_into_a_new_instance_too(mine: Account) -> None:
    time = ago(hours=1)
    told = mine.restore(checkpoint="", time=time)
    assert told["plan"]["call"]["action"] == "RestoreDBInstanceToPointInTime"
    assert told["plan"]["call"]["arguments"]["RestoreTime"] == time
    assert mine.one(told["kept"][0])["DbiResourceId"] == mine.first
    assert tags_in(mine.one(NAME)["TagList"])["plano:restores"] == time
    assert mine.one(NAME)["MultiAZ"] and mine.one(NAME)["VpcSecurityGroups"][0]["VpcSecurityGroupId"] == mine.group


def test_a_time_that_is_restored_already_is_no_matter_of_the_new_ones_backups(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = ago(hours=1)
    mine.restore(checkpoint="", time=time)
    monkeypatch.setattr(Rds, "earliest", lambda *_given: datetime.now(timezone.utc))
    assert mine.restore(checkpoint="", time=time)["changed"] is False
    with pytest.raises(InstanceError, match="confirm must repeat"):
        mine.restore(checkpoint="", time=time, confirm="")
    lose(mine.host, "looked_back")
    with pytest.raises(InstanceError, match="is before the oldest automated backup"):
        mine.restore(checkpoint="", time=time)


def test_backups_of_what_had_the_name_before_do_not_reach_back_for_it(mine: Account) -> None:
    then, now = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 11, 1, tzinfo=timezone.utc)
    told = [
        {"DbiResourceId": ident, "RestoreWindow": {"EarliestTime": time}} for ident, time in (("x", then), ("y", now))
    ]
    aws = SimpleNamespace(
        meta=SimpleNamespace(region_name="sa-east-1"),
        describe_db_instance_automated_backups=lambda **_asked: {"DBInstanceAutomatedBackups": told},
    )
    rds = Rds(aws, _aws.explained, mine.said.append)
    live = {"DBInstanceIdentifier": NAME}
    assert rds.earliest(instances.Instance({**live, "DbiResourceId": "y"})) == now
    assert rds.earliest(instances.Instance({**live, "DbiResourceId": "z"})) is None


def lose(host: Host, step: str) -> None:
    host.loses[step] = [{"table": "public.clients", "rows_lost": 3}]


@pytest.mark.parametrize("cut_before", [True, False])
@pytest.mark.parametrize("number", range(2, 8))
def test_a_restore_that_was_cut_anywhere_is_gone_on_with(mine: Account, number: int, cut_before: bool) -> None:
    mine.snapshot()
    allow_loss = number % 2 == 0
    mine.cut_at, mine.cut_before = number, cut_before
    with pytest.raises(Cut):
        mine.restore(allow_loss=allow_loss)
    mine.cut_at = None
    told = mine.restore(allow_loss=allow_loss)
    assert told["changed"] is (cut_before or number < 7)
    (kept,) = [name for name in mine.names() if name != NAME]
    assert (mine.swap(), kept[: len("plano-prod-before-")]) == ("restored", "plano-prod-before-")
    assert mine.one(kept)["DbiResourceId"] == mine.first
    assert mine.changes.count("RestoreDBInstanceFromDBSnapshot") == (2 if cut_before and number == 2 else 1)
    assert mine.host.asked.count("proven") <= 2 and "failed" not in mine.host.asked


def test_a_database_that_is_away_is_said_aloud(mine: Account) -> None:
    mine.snapshot()
    mine.cut_at = 5
    with pytest.raises(Cut):
        mine.restore()
    mine.cut_at = None
    mine.aws.describe_db_instances()  # the rename goes on without us
    assert NAME not in mine.names()
    with pytest.raises(
        InstanceError, match=r"another run was cut while instances were renamed .* state: restored for before"
    ):
        mine.restore(checkpoint="", time=ago(hours=1))
    mine.restore()
    assert any("IS AWAY: a run was cut between its renames" in line for line in mine.said)
    assert mine.host.asked.count("looked") == 1


@pytest.mark.parametrize("step", ["compared", "counted", "proven"])
def test_what_the_data_host_finds_wrong_leaves_the_live_one_live(mine: Account, step: str) -> None:
    mine.snapshot()
    mine.host.fails[step] = "what was restored is not checkpoint before: public.clients differs"
    with pytest.raises(EngineError, match=r"public\.clients differs"):
        mine.restore(allow_loss=False)
    assert mine.host.asked[-1] == "failed"
    live = mine.one(NAME)["DbiResourceId"] == mine.first
    assert live is (step != "proven")
    assert len(mine.names()) == 2
    del mine.host.fails[step]
    mine.restore(allow_loss=False)
    assert (mine.swap(), len(mine.names())) == ("restored", 2)


def test_rows_that_were_written_meanwhile_are_counted_while_the_name_is_away(mine: Account) -> None:
    mine.snapshot()
    lose(mine.host, "counted")
    with pytest.raises(
        InstanceError, match=r"rows were written .* 3 rows of public.clients; allow_loss: true.* is what it was before"
    ):
        mine.restore(allow_loss=False)
    assert mine.one(NAME)["DbiResourceId"] == mine.first
    assert mine.host.parts["counted"]["host"].startswith("plano-prod-before-")
    told = mine.restore()
    assert told["losses"] == mine.host.loses["counted"]
    assert mine.changes.count("RestoreDBInstanceFromDBSnapshot") == 1


def test_what_was_made_of_an_earlier_checkpoint_of_that_name_is_not_gone_on_with(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    mine.cut_at = 2
    with pytest.raises(Cut):
        mine.restore()
    mine.cut_at = None
    mine.aws.delete_db_snapshot(DBSnapshotIdentifier="plano-prod-before")
    mine.snapshot(digest="d9")
    monkeypatch.setitem(MANIFEST, "digest", "d9")
    (half,) = (name for name in mine.names() if name != NAME)
    with pytest.raises(
        InstanceError, match=rf"{half} was made of an earlier checkpoint before: remove it .*{half}-final"
    ):
        mine.restore()
    monkeypatch.setitem(MANIFEST, "digest", "d1")
    mine.restore()
    assert tags_in(mine.one(NAME)["TagList"])["plano:digest"] == "d1"
    assert mine.restore()["changed"] is False
    # The new one of that name is another target: it is not done already.
    monkeypatch.setitem(MANIFEST, "digest", "d9")
    assert mine.restore(check=True)["plan"]["call"]["action"] == "RestoreDBInstanceFromDBSnapshot"


@pytest.mark.parametrize("allow_loss", [True, False])
def test_who_keeps_the_old_address_is_told(mine: Account, allow_loss: bool) -> None:
    mine.snapshot()
    mine.host.sessions = [{"role": "shop_app", "sessions": 2}]
    told = mine.restore(allow_loss=allow_loss)
    assert told["sessions"] == mine.host.sessions
    assert any(f"2 sessions of shop_app are on {told['kept'][0]} still" in line for line in mine.said)


def test_what_is_not_ready_for_its_rename_blocks_nobody(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.snapshot()
    wait = Rds.wait

    def busy(self: Rds, what: str, *more: Any) -> Any:
        if what == NAME:
            raise InstanceError(f"{NAME}: still backing-up after 30 min")
        return wait(self, what, *more)

    monkeypatch.setattr(Rds, "wait", busy)
    with pytest.raises(InstanceError, match="still backing-up"):
        mine.restore()
    assert [mine.swap(name) for name in mine.names()] == ["", "aside"]


def test_what_gave_the_name_back_blocks_nobody_and_is_compared_again(mine: Account) -> None:
    mine.snapshot()
    lose(mine.host, "counted")
    with pytest.raises(InstanceError, match="is what it was before"):
        mine.restore(allow_loss=False)
    (half,) = (name for name in mine.names() if name != NAME)
    assert mine.swap(half) == "aside"
    assert mine.restore(check=True, checkpoint="", time=ago(minutes=30))["plan"]["refused"] == []
    with pytest.raises(InstanceError, match="there is nothing to take back"):
        mine.back()
    mine.restore()
    assert mine.host.asked.count("compared") == 2
    assert mine.changes.count("RestoreDBInstanceFromDBSnapshot") == 1
    assert mine.swap() == "restored"


def test_a_taking_back_that_is_refused_late_can_be_asked_for_again(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    mine.restore()
    answer = Host.__call__

    def late(stand_in: Host, step: str, **part: Any) -> dict[str, Any]:
        if step == "looked_back" and part.get("host"):
            lose(stand_in, "looked_back")
        return answer(stand_in, step, **part)

    monkeypatch.setattr(Host, "__call__", late)
    with pytest.raises(InstanceError, match=r"rows since\. plano-prod is what it was before"):
        mine.back(allow_loss=False)
    assert (mine.one(NAME)["DbiResourceId"] == mine.first, mine.swap()) == (False, "restored")
    assert mine.restore(check=True, checkpoint="", time=ago(minutes=30))["plan"]["refused"] == []
    monkeypatch.setattr(Host, "__call__", answer)
    mine.host.loses.clear()
    mine.back(allow_loss=False)
    assert mine.one(NAME)["DbiResourceId"] == mine.first


def test_a_restore_that_was_cut_before_its_renames_is_compared_again(mine: Account) -> None:
    mine.snapshot()
    mine.cut_at = 4
    with pytest.raises(Cut):
        mine.restore()
    mine.cut_at = None
    assert [mine.swap(name) for name in mine.names()] == ["", "restoring"]
    mine.restore()
    assert mine.host.asked.count("compared") == 2


def test_a_second_rename_that_fails_takes_the_first_back(mine: Account) -> None:
    mine.snapshot()
    mine.refuse["ModifyDBInstance"] = 3
    with pytest.raises(
        InstanceError,
        match=r"ModifyDBInstance failed.*plano-prod is what it was before; plano-prod-restored-\w+ stays aside",
    ):
        mine.restore()
    assert mine.one(NAME)["DbiResourceId"] == mine.first
    mine.restore()
    assert mine.one(NAME)["DbiResourceId"] != mine.first
    assert mine.changes.count("RestoreDBInstanceFromDBSnapshot") == 1


def test_a_look_that_fails_says_nothing_of_what_is_waited_for(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, real = iter(range(10_000)), Rds.instances

    def unanswered(self: Rds) -> list[instances.Instance]:
        if next(looks) % 3:
            raise AwsError("RDS: AWS does not answer", UNANSWERED)
        return real(self)

    rds = mine.rds()
    monkeypatch.setattr(Rds, "instances", unanswered)
    assert rds.wait("x", lambda: rds.by_name(NAME), lambda _one: next(looks) > 20, 60).name == NAME
    mine.expired = True
    monkeypatch.setattr(Rds, "instances", real)
    with pytest.raises(AwsError, match="have expired"):
        rds.wait("x", lambda: rds.by_name(NAME), lambda _one: True, 60)
    mine.expired = False

    def down(self: Rds) -> list[instances.Instance]:
        raise AwsError("RDS: AWS does not answer", UNANSWERED)

    monkeypatch.setattr(Rds, "instances", down)
    with pytest.raises(InstanceError, match=r"x: still not known \(RDS: AWS does not answer\) after 0 min"):
        rds.wait("x", lambda: rds.by_name(NAME), lambda _one: True, 0)


@pytest.mark.parametrize("renamed", [True, False])
def test_a_first_rename_of_which_nothing_is_heard_is_taken_back(
    mine: Account, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    mine.snapshot()
    rename, made = Rds.rename, []

    def lost(self: Rds, one: instances.Instance, name: str) -> instances.Instance:
        if "-before-" in name and not made:
            made.append(name)
            if renamed:
                self.modify(one, NewDBInstanceIdentifier=name)
            raise AwsError("RDS: AWS does not answer", UNANSWERED)
        return rename(self, one, name)

    monkeypatch.setattr(Rds, "rename", lost)
    with pytest.raises(InstanceError, match=r"does not answer\. plano-prod is what it was before; .* stays aside"):
        mine.restore()
    assert mine.one(NAME)["DbiResourceId"] == mine.first
    mine.restore()
    assert (mine.swap(), len(mine.names())) == ("restored", 2)


@pytest.mark.parametrize(
    "error, text",
    [
        (
            AnsibleConnectionFailure("Failed to connect to the host via ssh"),
            r"Failed to connect.*is what it was before",
        ),
        (KeyError("losses"), r"KeyError: 'losses'\. plano-prod is what it was before"),
    ],
)
def test_whatever_ends_a_run_between_the_renames_gives_the_name_back(
    mine: Account, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    mine.snapshot()
    module = Module(*ANSWERS[:2], error, {"changed": False})
    done = act("data_restore", module, RESTORE, mine, monkeypatch)
    assert done["failed"] and re.search(text, done["msg"])
    assert mine.one(NAME)["DbiResourceId"] == mine.first
    assert module.asked[-1]["part"]["step"] == "failed"


def test_who_ends_a_run_between_the_renames_is_told_what_is_away(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    with pytest.raises(KeyboardInterrupt):
        act("data_restore", Module(*ANSWERS[:2], KeyboardInterrupt()), RESTORE, mine, monkeypatch)
    assert mine.said[-1] == "plano-prod IS AWAY: run the same command again at once"
    assert not act("data_restore", Module(*ANSWERS[2:]), RESTORE, mine, monkeypatch).get("failed")
    assert (mine.swap(), len(mine.names())) == ("restored", 2)


def test_another_restore_that_ended_meanwhile_is_not_swapped_over(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    settled, ran = restores._settled, []

    def slow(rds: Rds, old: instances.Instance, half: instances.Instance) -> instances.Instance:
        done = settled(rds, old, half)
        if not ran:
            ran.append(half.name)
            mine.restore()
        return done

    monkeypatch.setattr(restores, "_settled", slow)
    time = ago(minutes=30)
    mine.said.clear()
    with pytest.raises(InstanceError, match=r"is another instance now \(db-\w+; another restore\?\)") as refused:
        mine.restore(checkpoint="", time=time)
    assert "AWAY" not in f"{refused.value} {mine.said}"
    assert tags_in(mine.one(NAME)["TagList"])["plano:restores"] == "before"
    assert [mine.swap(name) for name in mine.names() if "-restored-" in name] == ["aside"]
    # Planned anew, it is compared with what is live now.
    mine.restore(checkpoint="", time=time)
    assert tags_in(mine.one(NAME)["TagList"])["plano:restores"] == time


def test_a_second_rename_that_is_accepted_and_not_begun_is_not_taken_back(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RDS tells it among the pending values first, and that a moment later."""
    mine.snapshot()
    rename, real, looks = Rds.rename, Rds.instances, iter(range(10_000))

    def unheard(self: Rds, one: instances.Instance, name: str) -> instances.Instance:
        if "-restored-" in one.name:
            monkeypatch.setattr(Rds, "instances", pending)
            raise AwsError("RDS: AWS does not answer", UNANSWERED)
        return rename(self, one, name)

    def pending(self: Rds) -> list[instances.Instance]:
        more = {"PendingModifiedValues": {"DBInstanceIdentifier": NAME}} if next(looks) else {}
        return [instances.Instance({**one.said, **(more if "-restored-" in one.name else {})}) for one in real(self)]

    monkeypatch.setattr(Rds, "rename", unheard)
    with pytest.raises(InstanceError, match=r"plano-prod IS AWAY until that has ended: run the same command again"):
        mine.restore()
    assert NAME not in mine.names()


def test_what_cannot_be_counted_after_the_swap_is_live_all_the_same(mine: Account) -> None:
    mine.snapshot()
    mine.host.fails["counted"] = "the old server does not answer"
    with pytest.raises(
        InstanceError, match=r"plano-prod is what before was restored to, and live; .*old server does not"
    ):
        mine.restore()
    assert mine.one(NAME)["DbiResourceId"] != mine.first
    assert mine.restore()["changed"] and mine.swap() == "restored"


def test_taking_back_twice_does_not_take_back_an_earlier_restore(mine: Account) -> None:
    mine.snapshot()
    mine.restore()
    second = mine.one(NAME)["DbiResourceId"]
    lose(mine.host, "looked_back")
    mine.restore()
    mine.host.loses.clear()
    assert mine.one(NAME)["DbiResourceId"] not in (mine.first, second)
    assert [mine.back()["changed"] for _twice in range(2)] == [True, False]
    assert mine.one(NAME)["DbiResourceId"] == second


def test_credentials_that_expire_between_the_renames_are_told_aloud(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    answer = Host.__call__

    def expire(stand_in: Host, step: str, **part: Any) -> dict[str, Any]:
        told = answer(stand_in, step, **part)
        mine.expired = mine.expired or step == "counted"
        return told

    monkeypatch.setattr(Host, "__call__", expire)
    with pytest.raises(
        InstanceError, match=r"have expired .*failed too.*plano-prod IS AWAY: run the same command again at once"
    ):
        mine.restore(allow_loss=False)
    assert NAME not in mine.names()
    monkeypatch.setattr(Host, "__call__", answer)
    mine.expired = False
    mine.restore(allow_loss=False)
    assert (mine.swap(), len(mine.names())) == ("restored", 2)


def test_what_is_not_like_the_live_one_does_not_take_its_name(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.snapshot()
    rds = client("rds", watched=True)
    modify = rds.modify_db_instance

    def forgetful(**asked: Any) -> Any:
        return modify(**{name: value for name, value in asked.items() if name != "MaxAllocatedStorage"})

    monkeypatch.setattr(rds, "modify_db_instance", forgetful)
    with pytest.raises(
        InstanceError, match=r"is not like plano-prod, .*: MaxAllocatedStorage is .* instead of 200.*not touched"
    ):
        mine.restore()
    monkeypatch.setattr(rds, "modify_db_instance", modify)
    mine.restore()
    assert mine.one(NAME)["MaxAllocatedStorage"] == 200


@pytest.mark.parametrize("status", ["storage-initialization", "storage-config-upgrade"])
def test_an_instance_that_serves_while_its_storage_is_prepared_is_gone_on_with(
    mine: Account, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    mine.snapshot()
    real = Rds.instances

    def told(self: Rds) -> list[instances.Instance]:
        return [
            instances.Instance({**one.said, "DBInstanceStatus": status}) if one.id != mine.first and one.ready else one
            for one in real(self)
        ]

    monkeypatch.setattr(Rds, "instances", told)
    mine.engaged["ModifyDBInstance"] = 5
    mine.restore()
    assert (mine.swap(), mine.engaged) == ("restored", {"ModifyDBInstance": 0})
    mine.engaged["ModifyDBInstance"] = 1_000_000
    with pytest.raises(AwsError, match="ModifyDBInstance failed"):
        mine.rds(settle=0).modify(instances.Instance(mine.one(NAME)), MultiAZ=True)


def test_what_an_older_boto3_does_not_know_is_asked_for_afterwards(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    rds = client("rds", watched=True)
    members = rds.meta.service_model.operation_model("RestoreDBInstanceFromDBSnapshot").input_shape.members
    for name in ("BackupRetentionPeriod", "PreferredBackupWindow"):
        monkeypatch.delitem(members, name)
    mine.aws.modify_db_instance(DBInstanceIdentifier=NAME, PreferredBackupWindow="04:00-04:30")
    mine.restore()
    now = mine.one(NAME)
    assert (now["BackupRetentionPeriod"], now["PreferredBackupWindow"]) == (14, "04:00-04:30")
    with pytest.raises(
        AwsError, match=r"boto3 on this controller cannot ask for that .*Unknown parameter.*newer"
    ) as no:
        mine.rds().modify(instances.Instance(now), Unknown=1)
    assert not no.value.passing


def test_parameters_that_wait_for_a_restart_get_it(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.snapshot()
    states = iter(["pending-reboot"] * 2)
    monkeypatch.setattr(instances, "parameters_state", lambda _one: next(states, "in-sync"))
    mine.restore()
    assert mine.changes.count("RebootDBInstance") == 1


def test_taking_back_gives_the_name_to_the_old_one(mine: Account) -> None:
    mine.snapshot()
    kept = mine.restore()["kept"][0]
    assert mine.back(check=True)["plan"] == {
        "instance_live": kept, "instance_kept": kept.replace("-before-", "-restored-"), "losses": [], "refused": [],
    }  # fmt: skip
    lose(mine.host, "looked_back")
    with pytest.raises(InstanceError, match=r"is not taken back: rows since\. Nothing was changed"):
        mine.back(allow_loss=False)
    del mine.host.loses["looked_back"]
    told = mine.back(allow_loss=False)
    assert (mine.one(NAME)["DbiResourceId"], told["kept"]) == (mine.first, [kept.replace("-before-", "-restored-")])
    assert mine.swap(told["kept"][0]) == "taken-back"
    again = mine.back()
    assert (again["changed"], mine.names()) == (False, sorted([NAME, *told["kept"]]))
    # What was written into it stays in it: it does not come back as if it were the checkpoint.
    with pytest.raises(InstanceError, match="is what was restored and taken back, with what was written into it"):
        mine.restore()


@pytest.mark.parametrize("cut_before", [True, False])
@pytest.mark.parametrize("number", range(1, 5))
def test_a_taking_back_that_was_cut_anywhere_is_gone_on_with(mine: Account, number: int, cut_before: bool) -> None:
    mine.snapshot()
    mine.restore()
    mine.cut_at, mine.cut_before = len(mine.changes) + number, cut_before
    with pytest.raises(Cut):
        mine.back()
    mine.cut_at = None
    told = mine.back()
    assert mine.one(NAME)["DbiResourceId"] == mine.first
    if told["changed"]:
        assert mine.swap(told["kept"][0]) == "taken-back"
    assert len(mine.names()) == 2


def test_a_restore_that_was_cut_between_its_renames_can_be_taken_back(mine: Account) -> None:
    mine.snapshot()
    with pytest.raises(InstanceError, match="is not what a restore of before has made: there is nothing to take back"):
        mine.back()
    mine.cut_at = 5
    with pytest.raises(Cut):
        mine.restore()
    mine.cut_at = None
    mine.aws.describe_db_instances()
    assert NAME not in mine.names()
    mine.back()
    assert mine.one(NAME)["DbiResourceId"] == mine.first


def taken(mine: Account) -> None:
    name = mine.restore(check=True)["plan"]["instance_made"]
    mine.aws.create_db_instance(
        DBInstanceIdentifier=name, Engine="postgres", DBInstanceClass="db.t4g.micro", MasterUsername="a"
    )


def creating(mine: Account) -> None:
    mine.aws.create_db_snapshot(
        DBSnapshotIdentifier="plano-prod-next",
        DBInstanceIdentifier=NAME,
        Tags=tag_list(instances.snapshot_tags(instances.Instance(mine.one(NAME)), "next", "d1", "")),
    )


@pytest.mark.parametrize(
    "prepare, order, texts",
    [
        (None, {"confirm": "yes"}, ["confirm must repeat what is restored, before"]),
        (None, {"checkpoint": "later", "confirm": "later"}, ["checkpoint later has no snapshot plano-prod-later", "Name a time"]),
        (creating, {"checkpoint": "next", "confirm": "next"}, ["snapshot plano-prod-next is still creating"]),
        (None, {"login_host": "192.0.2.1"}, ["login_host 192.0.2.1 is not where plano-prod answers"]),
        (taken, {}, ["the name plano-prod-restored-", "is there and is no half of this restore"]),
        (None, {"time": "2999-01-01T00:00:00Z"}, ["is in the future: now it is"]),
        (None, {"time": {"minutes": 2}}, ["is too recent: plano-prod can go back to", "every 5 minutes"]),
        (None, {"time": {"days": 9}, "checkpoint": ""}, ["is before the oldest automated backup of plano-prod"]),
        (None, {"time": "2026-11-27T10:30:00"}, ["is not in UTC: write it as"]),
        (None, {"time": "2026-11-27T10:30:00-03:00"}, ["is not in UTC"]),
        (None, {"time": "noon"}, ["'noon' is no ISO 8601 time"]),
        (None, {"checkpoint": "", "confirm": ""}, ["name the checkpoint, or a time"]),
        # All at once.
        (None, {"time": "noon", "confirm": "", "login_host": ""}, ["confirm must repeat", "login_host (none)", "no ISO 8601"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_made(
    mine: Account, prepare: Callable[[Account], None] | None, order: dict[str, Any], texts: list[str]
) -> None:
    order = {name: ago(**value) if isinstance(value, dict) else value for name, value in order.items()}
    mine.snapshot()
    if prepare:
        prepare(mine)
    names, count = mine.names(), len(mine.changes)
    with pytest.raises(InstanceError) as refused:
        mine.restore(**order)
    for text in texts:
        assert text in str(refused.value)
    assert str(refused.value).endswith("Nothing was changed")
    assert (mine.names(), len(mine.changes)) == (names, count)
    # What was creating has been looked at, and is there.
    assert bool(mine.restore(check=True, **order)["plan"]["refused"]) is (prepare is not creating)


def test_what_the_data_host_refuses_is_told_with_the_rest(mine: Account) -> None:
    mine.snapshot()
    mine.host.fails["looked"] = "there is no checkpoint before of shop"
    with pytest.raises(InstanceError, match=r"confirm must repeat .*; there is no checkpoint before of shop"):
        mine.restore(confirm="")


def test_an_instance_of_somebody_else_is_left_alone(mine: Account) -> None:
    mine.aws.create_db_instance(
        DBInstanceIdentifier="other", Engine="mysql", DBInstanceClass="db.t4g.micro", MasterUsername="a"
    )
    with pytest.raises(
        InstanceError, match=r"other runs mysql: only PostgreSQL.*other has not the tags plano:environment"
    ):
        restores.restored(mine.rds(), Order("other", "before", "", "before", "x"), mine.host, True, False)


def test_what_takes_long_is_told_every_half_minute(mine: Account) -> None:
    seconds = iter(range(0, 10_000, 20))
    rds = mine.rds(say=30, snapshot=200)
    rds.clock = restores.Clock(lambda: float(next(seconds)), lambda _seconds: None)
    mine.snapshot()
    with pytest.raises(InstanceError, match="still creating after 3 min"):
        rds.wait(
            "snapshot x", lambda: instances.Snapshot({"Status": "creating"}), lambda one: one.status == "available", 200
        )
    told = [line for line in mine.said if line.startswith("snapshot x: creating, ")]
    assert told[0] == "snapshot x: creating, 40 s" and len(told) == 4


def test_the_policy_suffices_and_grants_nothing_that_is_not_asked_for(mine: Account) -> None:
    asked: set[str] = set()

    def note(model: Any, **_more: Any) -> None:
        asked.add(f"rds:{model.name}")

    rds = client("rds", watched=True)
    rds.meta.events.register("before-call.rds", note)
    try:
        mine.snapshot()
        mine.restore()
        mine.back()
        mine.restore(checkpoint="", time=ago(hours=1))
        mine.rds().reboot(instances.Instance(mine.one(NAME)))
    finally:
        rds.meta.events.unregister("before-call.rds", note)
    granted = {
        action
        for statement in policies.POLICIES["data"](policies.EXAMPLE)["Statement"]
        for action in statement["Action"]
        if action.startswith("rds:")
    }
    assert asked <= granted
    # What an operator looks at by hand before a restore.
    beside = {"DescribeDBParameterGroups", "DescribeDBParameters", "DescribeDBSubnetGroups", "ListTagsForResource"}
    assert granted - asked == {f"rds:{action}" for action in beside}


@pytest.mark.parametrize(
    "action, resource, context, allowed",
    [
        ("rds:RestoreDBInstanceFromDBSnapshot", rds_arn("og:default:postgres-17"), {}, True),
        ("rds:RestoreDBInstanceFromDBSnapshot", rds_arn("snapshot:plano-prod-before-c1"), {}, True),
        ("rds:RestoreDBInstanceFromDBSnapshot", rds_arn("snapshot:plano-dev-before-c1"), {}, False),
        ("rds:RebootDBInstance", rds_arn("db:plano-prod-restored-1"), OURS, True),
        ("rds:RebootDBInstance", rds_arn("db:plano-prod-restored-1"), {}, False),
        ("rds:AddTagsToResource", rds_arn("db:plano-prod-restored-1"), MADE, True),
        ("rds:AddTagsToResource", rds_arn("db:plano-prod-restored-1"), {}, False),
        ("rds:DescribeDBInstanceAutomatedBackups", "*", HERE, True),
        ("rds:DeleteDBInstance", rds_arn("db:plano-prod-before-1"), OURS, False),
        ("rds:DeleteDBSnapshot", rds_arn("snapshot:plano-prod-before-c1"), OURS, False),
        ("rds:RemoveTagsFromResource", rds_arn("db:plano-prod"), OURS, False),
        ("secretsmanager:CreateSecret", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:rds!db-1", {}, True),
        ("secretsmanager:CreateSecret", "arn:aws:secretsmanager:sa-east-1:123456789012:secret:plano/prod/x", {}, False),
    ],
)
def test_the_policy_ends_at_the_environments_instances(
    action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    assert judge(policies.POLICIES["data"](policies.EXAMPLE), action, resource, context) is allowed


def test_with_the_policy_alone_all_of_it_passes_and_nothing_is_deleted(aws: Moto) -> None:
    boto3.client("rds").create_db_instance(
        DBInstanceIdentifier=NAME, Engine="postgres", EngineVersion="17.4", DBInstanceClass="db.t4g.micro", MasterUsername="a",
        ManageMasterUserPassword=True, AllocatedStorage=20, Tags=tag_list(TAGS),
    )  # fmt: skip
    said: list[str] = []
    patience = Patience(look=0, say=1000, settle=5, rename=5, restore=5, snapshot=5)
    with only(aws, "data") as known:
        rds = Rds(known("rds"), _aws.explained, said.append, patience)
        assert restores.snapshotted(rds, NAME, "before", "d1", "")["changed"]
        order = Order(NAME, "before", "", "before", ADDRESS)
        kept = restores.restored(rds, order, Host(known("rds")), True, False)["kept"][0]
        for method, arguments in (
            ("delete_db_instance", {"DBInstanceIdentifier": kept, "SkipFinalSnapshot": True}),
            ("delete_db_snapshot", {"DBSnapshotIdentifier": "plano-prod-before"}),
        ):
            with pytest.raises(_aws.exceptions.ClientError, match="AccessDenied"):
                getattr(known("rds"), method)(**arguments)
    with only(aws, "monitor") as known, pytest.raises(
        EngineError, match=r"rds:DescribeDBInstances is not allowed.*the policy 'data' grants it"
    ):
        restores.snapshotted(Rds(known("rds"), _aws.explained, said.append, patience), NAME, "next", "d1", "")


FOUND = {"losses": [], "differences": [], "erased": {}, "run": "r1"}
ANSWERS = (
    {"checkpoint": MANIFEST, "refused": [], "tables": [], "losses": []}, FOUND, {"losses": []}, {"run": "r1"},
)  # fmt: skip
RESTORE = {
    "instance": NAME, "checkpoint": "before", "confirm": "before", "login_host": ADDRESS, "login_db": "shop",
}  # fmt: skip


class Module:
    """The module on the data host, as a stand-in for what an action plugin runs there."""

    def __init__(self, *answers: dict[str, Any] | BaseException) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, module_args: dict[str, Any] | None = None, **_more: Any) -> dict[str, Any]:
        self.asked.append(dict(module_args or {}))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def act(
    name: str, module: Module, arguments: dict[str, Any], mine: Account, monkeypatch: pytest.MonkeyPatch, check: bool = False, wait: int = 0
) -> dict[str, Any]:  # fmt: skip
    """Run an action plugin as far as it is not the same for all data modules."""
    monkeypatch.setattr(_instances, "connect", mine.rds)
    plugin = (action_checkpoint if name == "data_checkpoint" else action_restore).ActionModule(
        SimpleNamespace(args=arguments, async_val=wait, check_mode=check, action=name), None, None, None, None, None
    )
    monkeypatch.setattr(plugin, "_execute_module", module, raising=False)
    done: dict[str, Any] = plugin._carried_out(arguments, arguments, {})
    return done


MADE_CHECKPOINT = {"changed": True, "checkpoint": {"name": "before", "digest": "d1"}}
SNAPSHOT_OF = {"name": "before", "snapshot_of": NAME, "version": "1.4.0"}


def test_the_task_makes_the_checkpoint_and_then_its_snapshot(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = act(
        "data_checkpoint", Module({"changed": True, "plan": {"tables": 1}}), SNAPSHOT_OF, mine, monkeypatch, check=True
    )
    assert planned["plan"] == {"tables": 1, "snapshot": {"id": "plano-prod-before", "state": "planned"}}
    assert mine.changes == []
    done = act("data_checkpoint", Module(MADE_CHECKPOINT), SNAPSHOT_OF, mine, monkeypatch)
    assert (done["changed"], done["snapshot"]["state"]) == (True, "available")
    again = act("data_checkpoint", Module({**MADE_CHECKPOINT, "changed": False}), SNAPSHOT_OF, mine, monkeypatch)
    assert (again["changed"], again["snapshot"]) == (False, done["snapshot"])
    module = Module({"changed": False})
    assert act("data_checkpoint", module, {"name": "before"}, mine, monkeypatch) == {"changed": False}


def test_a_snapshot_that_comes_long_after_its_dump_is_not_the_checkpoints(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there(**at: float) -> Module:
        return Module({"changed": False, "checkpoint": {"digest": "d1", "at": ago(**at)}, "seconds": {"total": 1200.0}})

    for check in (True, False):
        done = act("data_checkpoint", there(hours=1, minutes=21), SNAPSHOT_OF, mine, monkeypatch, check)
        assert done["failed"] and re.match(
            r"no snapshot is taken: checkpoint before is of .* Give this one a new name", done["msg"]
        )
    assert mine.changes == []
    # A dump that took long has its snapshot later; and one that is there already stays the checkpoint's.
    done = act("data_checkpoint", there(hours=1, minutes=19), SNAPSHOT_OF, mine, monkeypatch)
    assert done["snapshot"]["state"] == "available"
    assert not act("data_checkpoint", there(days=9), SNAPSHOT_OF, mine, monkeypatch).get("failed")
    # What has come to be all the same, by an older release, is seen at the restore.
    monkeypatch.setitem(MANIFEST, "at", ago(hours=1, minutes=2))
    plan = mine.restore(check=True)["plan"]
    assert plan["snapshot_at"] == done["snapshot"]["at"] and plan["checkpoint_at"] == MANIFEST["at"]
    assert re.search(
        r"snapshot plano-prod-before: checkpoint before is of .*; allow_difference: true", plan["refused"][0]
    )
    assert mine.restore(check=True, allow_difference=True)["plan"]["refused"] == []


def test_a_snapshot_that_fails_leaves_the_checkpoint_and_says_so(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.refuse["CreateDBSnapshot"] = 1
    done = act("data_checkpoint", Module(MADE_CHECKPOINT), SNAPSHOT_OF, mine, monkeypatch)
    assert done["failed"] and done["checkpoint"]["digest"] == "d1"
    assert "checkpoint before stands, and can be restored; its snapshot plano-prod-before does not: " in done["msg"]
    assert (
        act("data_checkpoint", Module(MADE_CHECKPOINT), SNAPSHOT_OF, mine, monkeypatch)["snapshot"]["state"]
        == "available"
    )


@pytest.mark.parametrize(
    "name, arguments, text",
    [
        ("data_checkpoint", {**SNAPSHOT_OF, "snapshot_of": "nobody"}, "checkpoint before is not made, as it could have no snapshot: there is no RDS"),
        ("data_checkpoint", {**SNAPSHOT_OF, "state": "absent"}, "snapshot_of: only where a checkpoint is made"),
        ("data_restore", {"to_time": "2026-11-27T10:30:00Z"}, "to_time: only an instance goes back to a time"),
        ("data_restore", {"instance": NAME, "state": "drilled"}, "state drilled is not for an instance: it would make one, compare it and have to delete it"),
        ("data_restore", {"instance": NAME, "run_id": "r1"}, "run_id and async are not for an instance"),
    ],
)  # fmt: skip
def test_what_a_task_cannot_mean_is_refused_before_the_host_is_asked(
    mine: Account, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, Any], text: str
) -> None:
    module = Module()
    done = act(name, module, arguments, mine, monkeypatch)
    assert done["failed"] and text in done["msg"] and module.asked == []


def test_the_task_restores_on_the_controller_and_compares_on_the_host(
    mine: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine.snapshot()
    module = Module(*ANSWERS)
    done = act("data_restore", module, RESTORE, mine, monkeypatch)
    assert (done["changed"], done["run"], mine.swap()) == (True, "r1", "restored")
    assert [one["part"]["step"] for one in module.asked] == ["looked", "compared", "counted", "proven"]
    assert {one["login_db"] for one in module.asked} == {"shop"}
    failing = Module({"failed": True, "msg": "the server does not answer."}, {"changed": False})
    done = act("data_restore", failing, {**RESTORE, "confirm": ""}, mine, monkeypatch)
    assert done == {
        "failed": True,
        "msg": "plano-prod is not restored: confirm must repeat what is restored, before; the server does not answer. Nothing was changed",
    }


def test_a_time_is_the_same_however_it_is_spelled(mine: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    time = ago(hours=1)
    spelled = {"to_time": time.replace("Z", "+00:00"), "confirm": time.replace("Z", ".25+00:00"), "checkpoint": ""}
    module = Module({**ANSWERS[0], "checkpoint": None}, *ANSWERS[1:])
    assert act("data_restore", module, {**RESTORE, **spelled}, mine, monkeypatch)["changed"]
    assert {one["to_time"] for one in module.asked} == {time}
    assert tags_in(mine.one(NAME)["TagList"])["plano:restores"] == time
    done = act("data_restore", Module(ANSWERS[0]), {**RESTORE, "to_time": "noon", "confirm": "noon"}, mine, monkeypatch)
    assert done["failed"] and "'noon' is no ISO 8601 time" in done["msg"]


def test_a_play_is_told_what_is_wrong_with_the_account(aws: Moto, tmp_path: Path) -> None:
    task = {"plano.delivery.data_checkpoint": {"login_db": "shop", "name": "before", "snapshot_of": NAME}}
    code, said = play(tmp_path, tasks=[task])
    assert code != 0
    assert "there is no RDS instance plano-prod in this account and region" in " ".join(said.split())


def test_provisioning_finds_what_it_described_and_leaves_the_old_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What took the name is, for the playbook provision, what it would have made."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with account(monkeypatch.setenv) as mine:
        mine.apply()
        rds = Rds(mine.client("rds"), _aws.explained, mine.said.append, Patience(look=0, settle=5))
        restores.snapshotted(rds, NAME, "before", "d1", "")
        kept = restores.restored(
            rds, Order(NAME, "before", "", "before", ADDRESS), Host(mine.client("rds")), True, False
        )["kept"][0]
        again = mine.apply()
        assert again.steps == []
        (stranger,) = map(str, again.strangers)
        assert kept in stranger


@pytest.mark.parametrize("back", [False, True])
def test_provisioning_makes_no_empty_database_while_a_restore_is_away(
    monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with account(monkeypatch.setenv) as mine:
        mine.apply()
        rds = Rds(mine.client("rds"), _aws.explained, mine.said.append, Patience(look=0, settle=5))
        order, host = Order(NAME, "before", "", "before", ADDRESS), Host(mine.client("rds"))
        restores.snapshotted(rds, NAME, "before", "d1", "")

        def cut(step: str, **part: Any) -> dict[str, Any]:
            if part.get("host"):
                raise Cut
            return host(step, **part)

        if back:
            restores.restored(rds, order, host, True, False)
        with pytest.raises(Cut):
            (restores.taken_back if back else restores.restored)(rds, order, cut, False, False)
        command = "restore -e instance=true -e checkpoint=before -e confirm=before" + back * " -e swap_back=true"
        with pytest.raises(EngineError, match=f"plano-prod is away: .*Bring it back first: .*{command}"):
            mine.apply()
        assert NAME not in [
            one["DBInstanceIdentifier"] for one in mine.client("rds").describe_db_instances()["DBInstances"]
        ]
        (restores.taken_back if back else restores.restored)(rds, order, host, False, False)
        assert mine.apply().steps == []
