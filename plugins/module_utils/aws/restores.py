# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of RDS instances, and restores into a new instance that takes the old one's name once it is proven to be what was asked for.

amazon.aws has the calls, but neither looks at what a restore needs before it begins, nor goes on with one that was cut, and its
rds_instance changes an instance that bears the name already instead of restoring it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, ContextManager, Mapping, TypeVar

from ..engine.errors import EngineError
from . import instances
from .instances import Instance, Order, Plan, Seen, Snapshot
from .refusals import AwsError, Call
from .tags import ENVIRONMENT, MANAGED, tag_list
from .targets import Clock

POLICY = "data"
_GONE = ("DBInstanceNotFound", "DBInstanceNotFoundFault", "DBSnapshotNotFound", "DBSnapshotNotFoundFault")
_TAKEN = ("DBInstanceAlreadyExists", "DBSnapshotAlreadyExists")
_ENGAGED = ("InvalidDBInstanceState", "InvalidDBInstanceStateFault")
_QUOTA = ("InstanceQuotaExceeded", "StorageQuotaExceeded", "SnapshotQuotaExceeded")
# Asks the data host for a step of data_restore; what fails there is raised as an EngineError.
Ask = Callable[..., Mapping[str, Any]]
_Thing = TypeVar("_Thing", Instance, Snapshot)


class InstanceError(EngineError):
    """What keeps an instance from being saved or restored; the message says what there is now, and what to do next."""


class GivenBack(InstanceError):
    """The name is where it was before the first rename, or was never taken."""


@dataclass(frozen=True)
class Patience:
    """Seconds between two looks, which begin with one, until something is said, and until waiting ends; what RDS does goes on then."""

    look: float = 15.0
    say: float = 30.0
    snapshot: float = 4 * 3600.0
    restore: float = 8 * 3600.0
    settle: float = 1800.0
    rename: float = 1800.0


class Rds:
    """RDS, by the client of boto3; *explained* tells what AWS refuses."""

    def __init__(
        self,
        client: Any,
        explained: Callable[[Call], ContextManager[None]],
        say: Callable[[str], None],
        patience: Patience | None = None,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.client = client
        self.explained = explained
        self.say = say
        self.patience = patience or Patience()
        self.clock = clock or Clock()
        self.now = now

    def _call(
        self, method: Callable[..., Any], action: str, what: str, resource: str, **arguments: Any
    ) -> dict[str, Any]:
        try:
            with self.explained(Call(f"rds:{action}", POLICY, what, resource, str(self.client.meta.region_name))):
                answer: dict[str, Any] = method(**arguments)
        except AwsError as error:
            if error.code in _QUOTA:
                raise AwsError(
                    f"{error} Ask for more in Service Quotas, or remove what is not needed; then run again", error.code
                ) from None
            raise
        return answer

    def instances(self) -> list[Instance]:
        method, found, marker = self.client.describe_db_instances, [], ""
        while True:
            page = self._call(method, "DescribeDBInstances", "RDS", "*", **({"Marker": marker} if marker else {}))
            found += [Instance(one) for one in page["DBInstances"]]
            marker = page.get("Marker") or ""
            if not marker:
                return found

    def by_id(self, ident: str) -> Instance | None:
        return next((one for one in self.instances() if one.id == ident), None)

    def by_name(self, name: str) -> Instance | None:
        return next((one for one in self.instances() if one.name == name), None)

    def snapshot(self, name: str) -> Snapshot | None:
        try:
            answer = self._call(
                self.client.describe_db_snapshots,
                "DescribeDBSnapshots",
                f"snapshot {name}",
                "*",
                DBSnapshotIdentifier=name,
            )
        except AwsError as error:
            if error.code in _GONE:
                return None
            raise
        return next((Snapshot(one) for one in answer["DBSnapshots"]), None)

    def earliest(self, live: Instance) -> datetime | None:
        """Return the oldest time that the automated backups of an instance reach back to; others have had its name before."""
        answer = self._call(
            self.client.describe_db_instance_automated_backups,
            "DescribeDBInstanceAutomatedBackups",
            f"backups of {live.name}",
            "*",
            DBInstanceIdentifier=live.name,
        )
        own = [one for one in answer["DBInstanceAutomatedBackups"] if one.get("DbiResourceId") == live.id]
        times = [(one.get("RestoreWindow") or {}).get("EarliestTime") for one in own]
        return min((time for time in times if time is not None), default=None)

    def make_snapshot(self, live: Instance, name: str, tags: Mapping[str, str]) -> None:
        self._call(
            self.client.create_db_snapshot,
            "CreateDBSnapshot",
            f"snapshot {name} of {live.name}",
            live.arn,
            DBSnapshotIdentifier=name,
            DBInstanceIdentifier=live.name,
            Tags=tag_list(tags),
        )

    def make(self, action: str, arguments: Mapping[str, Any], name: str) -> None:
        methods = {
            "RestoreDBInstanceFromDBSnapshot": self.client.restore_db_instance_from_db_snapshot,
            "RestoreDBInstanceToPointInTime": self.client.restore_db_instance_to_point_in_time,
        }
        # An older boto3 refuses what its model of RDS does not have; ModifyDBInstance asks for that afterwards.
        known = self.client.meta.service_model.operation_model(action).input_shape.members
        asked = {key: value for key, value in arguments.items() if key in known}
        self._call(methods[action], action, f"instance {name}", name, **asked)

    def modify(self, one: Instance, **changes: Any) -> None:
        asked = {"DBInstanceIdentifier": one.name, "ApplyImmediately": True, **changes}
        began = said = self.clock.now()
        while True:
            try:
                self._call(self.client.modify_db_instance, "ModifyDBInstance", f"instance {one.name}", one.arn, **asked)
                return
            except AwsError as error:
                now = self.clock.now()
                # It serves also in states in which RDS changes nothing, such as while it loads what it was restored from.
                if error.code not in _ENGAGED or now - began >= self.patience.settle:
                    raise
                if now - said >= self.patience.say:
                    self.say(f"{error}; asking again, {round(now - began)} s")
                    said = now
            self.clock.sleep(self.patience.look)

    def reboot(self, one: Instance) -> None:
        self._call(
            self.client.reboot_db_instance,
            "RebootDBInstance",
            f"instance {one.name}",
            one.arn,
            DBInstanceIdentifier=one.name,
        )

    def tag(self, one: Instance, state: str) -> None:
        """Write down how far a restore has come. The policy lets tag with the environment's own tags alone."""
        own = {key: one.tags[key] for key in (ENVIRONMENT, MANAGED) if key in one.tags}
        self._call(
            self.client.add_tags_to_resource,
            "AddTagsToResource",
            f"instance {one.name}",
            one.arn,
            ResourceName=one.arn,
            Tags=tag_list({**own, instances.SWAP: state}),
        )

    def rename(self, one: Instance, name: str) -> Instance:
        """Rename, and wait until RDS knows it by the new name alone. botocore's own waiter takes it for done before it began."""
        try:
            self.modify(one, NewDBInstanceIdentifier=name)
        except AwsError:
            # What was asked twice because an answer was lost is refused, and done all the same.
            found = self.by_id(one.id)
            if found is None or (found.name != name and found.status != "renaming" and found.becomes != name):
                raise
        return self.wait(
            f"renaming {one.name} to {name}",
            lambda: self.by_id(one.id),
            lambda found: found.name == name and found.ready,
            self.patience.rename,
        )

    def wait(
        self,
        what: str,
        look: Callable[[], _Thing | None],
        good: Callable[[_Thing], bool],
        seconds: float,
        more: str = "",
    ) -> _Thing:
        """Look until it is good, and say every half minute that it is not yet. Raises InstanceError."""
        began = said = self.clock.now()
        pause = min(1.0, self.patience.look)
        while True:
            try:
                found = look()
                state = found.status if found is not None else "not there yet"
            except AwsError as error:
                # One look in hours that fails says nothing of what is waited for.
                if not error.passing:
                    raise
                found, state = None, f"not known ({error})"
            if found is not None and good(found):
                return found
            now = self.clock.now()
            if state in instances.BROKEN:
                raise InstanceError(f"{what}: RDS says {state}. See its events in RDS; nothing was deleted{more}")
            if now - began >= seconds:
                raise InstanceError(
                    f"{what}: still {state} after {round((now - began) / 60)} min. RDS goes on with it; run the same command again, which"
                    f" goes on from there{more}"
                )
            if now - said >= self.patience.say:
                self.say(f"{what}: {state}, {round(now - began)} s")
                said = now
            self.clock.sleep(pause)
            pause = min(pause * 2, self.patience.look)


def look_for_snapshot(rds: Rds, instance: str, checkpoint: str, digest: str) -> tuple[Instance, str, Snapshot | None]:
    """Find the instance and what bears the name of the checkpoint's snapshot. Raises InstanceError with all that forbids one."""
    live = rds.by_name(instance)
    faults = instances.instance_faults(instance, live)
    name = instances.snapshot_name(instance, checkpoint)
    found = rds.snapshot(name)
    if live is not None and not faults:
        faults = instances.snapshot_faults(name, found, live, checkpoint, digest)
    if live is None or faults:
        raise InstanceError("; ".join(faults))
    return live, name, found


def snapshotted(rds: Rds, instance: str, checkpoint: str, digest: str, version: str) -> dict[str, Any]:
    """See to it that the checkpoint has its snapshot; return what a module tells of it."""
    live, name, found = look_for_snapshot(rds, instance, checkpoint, digest)
    made = found is None
    if found is None:
        ready = rds.wait(
            f"snapshot {name}: {instance}", lambda: rds.by_id(live.id), lambda one: one.ready, rds.patience.settle
        )
        try:
            rds.make_snapshot(ready, name, instances.snapshot_tags(live, checkpoint, digest, version))
        except AwsError as error:
            if error.code not in _TAKEN:
                raise
            # Asked twice because an answer was lost, or somebody else's: what there is says it.
            look_for_snapshot(rds, instance, checkpoint, digest)
    found = rds.wait(
        f"snapshot {name}", lambda: rds.snapshot(name), lambda one: one.status == "available", rds.patience.snapshot
    )
    return {"changed": made, "snapshot": found.told()}


def restored(rds: Rds, order: Order, ask: Ask, allow_loss: bool, check: bool) -> dict[str, Any]:
    """Restore into a new instance, compare it, and let it take the name. Raises EngineError."""
    seen, words = _look(rds, order, ask)
    plan = instances.plan_restore(order, seen)
    refused = [*plan.refused, *words.get("refused", [])]
    told = {
        **{name: words[name] for name in ("tables", "losses", "databases") if name in words},
        **plan.told(),
        "checkpoint_at": str(seen.manifest.get("at", "")),
        "snapshot_at": seen.snapshot.told()["at"] if seen.snapshot else "",
        "refused": refused,
    }
    result = {"changed": True, "plan": told, "checkpoint": words.get("checkpoint")}
    again = instances.done_already(order, seen)
    # What keeps a new restore from beginning, such as backups that begin with what this one has made, is no matter then.
    asked = order.confirm == order.target and again is not None and order.login_host == again.address
    if (
        again is not None
        and asked
        and "tables" in words
        and not ask("looked_back", stamp=again.tags[instances.STAMP])["losses"]
    ):
        return {
            **result,
            "changed": False,
            "msg": f"{order.instance} is what {order.target} was restored to, and nothing was written since",
        }
    if check:
        return result
    if refused:
        raise InstanceError(f"{order.instance} is not restored: {'; '.join(refused)}. Nothing was changed")
    with _Noted(rds, order, ask) as noted:
        half = plan.half or _make(rds, plan)
        old = _need(plan.old)
        # However far a run before this one has come: rows are written and erased as long as the live one is live.
        if old.name == order.instance or half.tags.get(instances.SWAP, instances.FRESH) == instances.FRESH:
            half = _settled(rds, old, half)
            rds.say(f"{half.name} is restored: comparing it with what it shall be, and counting what would be lost")
            noted.update(ask("compared", stamp=plan.stamp, beside=half.address))
        _swap(rds, order, plan, half, ask, allow_loss, noted)
    return {**result, **noted.result(plan)}


def taken_back(rds: Rds, order: Order, ask: Ask, allow_loss: bool, check: bool) -> dict[str, Any]:
    """Give the name back to the instance that a restore has put aside. Raises EngineError."""
    plan = instances.plan_back(order, Seen(rds.instances(), rds.now()))
    refused, losses = list(plan.refused), []
    going = plan.half is not None and plan.half.name == order.instance
    if going and not refused:
        found = ask("looked_back", stamp=plan.stamp)
        losses = found["losses"]
        refused += found["refused"]
    if check or (plan.half is None and not refused):
        told = {"instance_live": plan.before, "instance_kept": plan.restored, "losses": losses, "refused": refused}
        return {"changed": plan.half is not None, "plan": told}
    if refused:
        raise InstanceError(
            f"the restore of {order.target} is not taken back: {'; '.join(refused)}. Nothing was changed"
        )
    half, old = _need(plan.half), _need(plan.old)
    with _Noted(rds, order, ask) as noted:
        noted.update({"losses": losses, "run": ""})
        if old.name != order.instance:
            old = rds.wait(f"{old.name}", lambda: rds.by_id(old.id), lambda one: one.ready, rds.patience.rename)
            noted.update(ask("marked_back", stamp=plan.stamp, beside=old.address))
        rds.tag(half, instances.TAKING_BACK)

        def recounted(outgoing: Instance) -> None:
            found = ask("looked_back", stamp=plan.stamp, host=outgoing.address)
            noted.update(found)
            if found["refused"]:
                raise InstanceError("; ".join(found["refused"]))

        try:
            _exchange(
                rds, order.instance, half, plan.restored, old, (lambda _outgoing: None) if allow_loss else recounted
            )
        except GivenBack:
            _remember(rds, half, instances.RESTORED)
            raise
        _prove(ask, noted, plan.stamp, plan.restored)
        rds.tag(_need(rds.by_id(half.id)), instances.TAKEN_BACK)
    return {"changed": True, **noted.result(Plan(plan.stamp, plan.restored, plan.restored, []))}


def _look(rds: Rds, order: Order, ask: Ask) -> tuple[Seen, Mapping[str, Any]]:
    """Ask AWS and the data host for all that a plan needs."""
    found = rds.instances()
    words: Mapping[str, Any] = {}
    live = next((one for one in found if one.name == order.instance), None)
    cut = [one.id for one in instances.restored_halves(order, Seen(found, rds.now()), instances.RESTORING)]
    if live is not None and live.id not in cut and order.target and order.login_host == live.address:
        try:
            words = ask("looked")
        except EngineError as error:
            words = {"refused": [str(error)]}
    snapshot = None
    if order.checkpoint and not order.time:
        snapshot = rds.snapshot(instances.snapshot_name(order.instance, order.checkpoint))
    earliest = rds.earliest(live) if order.time and live is not None else None
    return Seen(found, rds.now(), snapshot, earliest, words.get("checkpoint") or {}), words


def _make(rds: Rds, plan: Plan) -> Instance:
    if plan.call is None:
        raise InstanceError(f"there is nothing to make {plan.restored} of")
    action, arguments = plan.call
    try:
        rds.make(action, arguments, plan.restored)
    except AwsError as error:
        found = rds.by_name(plan.restored) if error.code in _TAKEN else None
        # What was asked twice because an answer was lost is refused, and there all the same.
        if found is None or found.tags.get(instances.STAMP) != plan.stamp:
            raise
    return rds.wait(
        f"restoring {plan.restored}", lambda: rds.by_name(plan.restored), lambda _one: True, rds.patience.settle
    )


def _settled(rds: Rds, old: Instance, half: Instance) -> Instance:
    """Wait until the restored instance runs, and is in everything like the one that it replaces. Raises InstanceError where it is not."""
    half = rds.wait(f"restoring {half.name}", lambda: rds.by_id(half.id), lambda one: one.ready, rds.patience.restore)
    changes = instances.corrections(old, half)
    if changes:
        rds.modify(half, **changes)

    def like(one: Instance) -> bool:
        return one.ready and not instances.likeness_faults(old, one) and instances.parameters_state(one) != "applying"

    try:
        half = rds.wait(f"{half.name} becomes like {old.name}", lambda: rds.by_id(half.id), like, rds.patience.settle)
    except InstanceError:
        faults = instances.likeness_faults(old, _need(rds.by_id(half.id)))
        if not faults:
            raise
        raise InstanceError(
            f"{half.name} is not like {old.name}, which it would replace: {'; '.join(faults)}. The live instance was not touched; mend it in"
            " RDS, then run the same command again"
        ) from None
    if instances.parameters_state(half) == "pending-reboot":
        rds.reboot(half)
        half = rds.wait(
            f"restarting {half.name}",
            lambda: rds.by_id(half.id),
            lambda one: one.ready and instances.parameters_state(one) == "in-sync",
            rds.patience.settle,
        )
    return half


def _swap(rds: Rds, order: Order, plan: Plan, half: Instance, ask: Ask, allow_loss: bool, noted: _Noted) -> None:
    rds.tag(half, instances.RESTORING)

    def counted(outgoing: Instance) -> None:
        # Nobody reaches it by its name any more: what came after the first look is counted.
        _count(rds, ask, noted, outgoing, half)
        if noted.found["losses"]:
            lost = ", ".join(f"{one['rows_lost']} rows of {one['table']}" for one in noted.found["losses"])
            raise InstanceError(
                f"rows were written while {half.name} was compared and would be lost: {lost}; allow_loss: true accepts that"
            )

    if half.name != order.instance:
        old = _need(plan.old)
        try:
            _exchange(rds, order.instance, old, plan.before, half, (lambda _outgoing: None) if allow_loss else counted)
        except GivenBack:
            _remember(rds, half, instances.ASIDE)
            raise
        if allow_loss:
            # The name leads to what was restored again: this takes nobody's time.
            try:
                after = _need(rds.by_id(old.id))
                _count(rds, ask, noted, after, _need(rds.by_id(half.id)))
            except EngineError as error:
                raise InstanceError(
                    f"{order.instance} is what {order.target} was restored to, and live; what was lost could not be counted: {error}. Run the same"
                    " command again, which ends it"
                ) from error
    _prove(ask, noted, plan.stamp, plan.before)
    rds.tag(_need(rds.by_id(half.id)), instances.RESTORED)


def _count(rds: Rds, ask: Ask, noted: _Noted, outgoing: Instance, half: Instance) -> None:
    found = ask("counted", host=outgoing.address, beside=half.address)
    noted.update(found)
    for one in found.get("sessions", []):
        rds.say(
            f"{one['sessions']} sessions of {one['role']} are on {outgoing.name} still, by an address that they keep: what they write stays there"
        )


def _exchange(
    rds: Rds, name: str, outgoing: Instance, aside: str, incoming: Instance, before_second: Callable[[Instance], None]
) -> None:
    """Give *name* to *incoming*. Between the two renames nobody has it, and the database is away; what fails then takes the first back."""
    try:
        outgoing = rds.wait(outgoing.name, lambda: rds.by_id(outgoing.id), lambda one: one.ready, rds.patience.rename)
        incoming = rds.wait(incoming.name, lambda: rds.by_id(incoming.id), lambda one: one.ready, rds.patience.rename)
    except EngineError as error:
        raise (GivenBack if outgoing.name == name else InstanceError)(str(error)) from error
    if incoming.name == name:
        return
    # Hours may lie between the plan and this moment.
    holder = rds.by_name(name)
    if (holder.id != outgoing.id) if holder is not None else (outgoing.name != aside):
        raise GivenBack(
            f"{name} is another instance now ({holder.id if holder else 'being renamed'}; another restore?). Nothing was renamed; run again,"
            " which plans anew"
        )
    try:
        if outgoing.name == name:
            rds.say(f"{name} is away from here on, until {incoming.name} has its name: some minutes")
            outgoing = rds.rename(outgoing, aside)
        else:
            rds.say(
                f"{name} IS AWAY: a run was cut between its renames. This one brings it back, as what was {incoming.name}"
            )
        before_second(outgoing)
        # RDS may make its first backup of it meanwhile.
        incoming = rds.wait(incoming.name, lambda: rds.by_id(incoming.id), lambda one: one.ready, rds.patience.rename)
        rds.rename(incoming, name)
    except Exception as error:  # raised again, whatever it is, once the name is given back or is told to be away
        said = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        try:
            now, given_back = _given_back(rds, name, outgoing, incoming)
        except Exception as worse:  # told with the first one, for the name is nobody's now
            raise InstanceError(
                f"{said}; giving {outgoing.name} its name back failed too: {worse}. {_away(rds, name)}"
            ) from error
        raise (GivenBack if given_back else InstanceError)(f"{said}. {now}") from error
    except BaseException:  # Ctrl-C and the like: raised again
        # Whoever ends the run has no minutes for a rename.
        rds.say(f"{name} IS AWAY: run the same command again at once")
        raise
    rds.say(f"{name} is back: it is what was {incoming.name}")


def _given_back(rds: Rds, name: str, outgoing: Instance, incoming: Instance) -> tuple[str, bool]:
    """Take the first rename back, unless the second one goes on by itself; return how things are then, and whether they are as before."""
    then = rds.by_id(incoming.id)
    if then is not None and not then.becomes and then.status != "renaming" and then.name != name:
        # A rename that was accepted a moment ago may not be seen yet.
        rds.clock.sleep(rds.patience.look)
        then = rds.by_id(incoming.id)
    if then is not None and then.name == name:
        return f"{name} is what was {incoming.name} all the same: run the same command again, which ends it", False
    if then is not None and (then.status == "renaming" or then.becomes):
        return f"{name} IS AWAY until that has ended: run the same command again at once", False
    # By its id: the first rename may have been begun, or done, by a call whose answer was lost.
    now = rds.wait(outgoing.name, lambda: rds.by_id(outgoing.id), lambda one: one.ready, rds.patience.rename)
    if now.name != name:
        rds.say(f"{incoming.name} does not become {name}: {now.name} gets its name back")
        rds.rename(now, name)
    return f"{name} is what it was before; {incoming.name} stays aside", True


def _remember(rds: Rds, half: Instance, state: str) -> None:
    """Tag what was renamed meanwhile. A tag that is missing must not hide why it is needed."""
    try:
        rds.tag(_need(rds.by_id(half.id)), state)
    except EngineError as error:
        rds.say(f"{half.name} is not tagged as {state}: {error}")


def _away(rds: Rds, name: str) -> str:
    """Say whether anybody has the name; where that is not known, as if nobody had."""
    try:
        found = rds.by_name(name)
    except EngineError:
        found = None
    if found is None or not found.ready:
        return f"{name} IS AWAY: run the same command again at once"
    return f"{name} answers ({found.id}): run the same command again"


def _prove(ask: Ask, noted: _Noted, stamp: str, kept: str) -> None:
    details = {
        "losses": noted.found.get("losses", []),
        "kept": kept,
        "seconds": noted.seconds,
        "erased": noted.found.get("erased", {}),
    }
    noted.update(ask("proven", stamp=stamp, run=noted.found.get("run", ""), details=details))


def _need(one: Instance | None) -> Instance:
    if one is None:
        raise InstanceError(
            "an instance that was there is gone: somebody else works on it. Look into RDS, then run again"
        )
    return one


class _Noted:
    """What a restore found on its way; what ends it early is told to the ledger of the data host."""

    def __init__(self, rds: Rds, order: Order, ask: Ask) -> None:
        self.rds, self.order, self.ask = rds, order, ask
        self.began = rds.clock.now()
        self.found: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        return round(self.rds.clock.now() - self.began, 1)

    def update(self, found: Mapping[str, Any]) -> None:
        self.found.update(
            {name: found[name] for name in ("run", "losses", "differences", "erased", "sessions") if name in found}
        )

    def result(self, plan: Plan) -> dict[str, Any]:
        return {
            **self.found,
            "kept": [plan.before],
            "remove": f"{plan.before} goes on costing what {self.order.instance} costs. Once satisfied: {instances.removal(plan.before)}",
            "seconds": {"total": self.seconds},
        }

    def __enter__(self) -> _Noted:
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if not isinstance(error, EngineError):
            return
        try:
            self.ask("failed", run=self.found.get("run", ""), details={"reason": str(error), "seconds": self.seconds})
        except EngineError as also:
            self.rds.say(f"the ledger of the data host was not told: {also}")
