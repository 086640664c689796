# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guarded change: prepare, switch, verify, then confirm or revert, under a lock, in a unit of its own.

stage() and plan() run in the caller. carry_out() is the critical section; systemd runs it, so that it
ends well or is reverted whatever happens to the caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import fs, health, metrics
from .activate import BlueGreen, Strategy, strategy, validate
from .errors import EngineError
from .ledger import (
    CONFIRMED,
    FAILED,
    GENESIS,
    PRUNED,
    REJECTED,
    REVERTED,
    STAGED,
    SWITCHED,
    History,
    Ledger,
    fold,
    replace_ledger,
    seal,
    sound_part,
    utc_now,
)
from .lock import Busy, Lock, nobody_stages, staging
from .release import Layout, Releases, describe, expand, tokens
from .store import Store
from .systemd import Host

MIGRATE_SECONDS = 1800.0
LOCK_SECONDS = 600.0
ASK_SECONDS = 1.0
UNIT_GONE_SECONDS = 1.0
KEEP = 5
KEEP_FAILED = 2
# Ledger, links, unit and map files of one change; a disk fuller than this refuses before anything is touched.
RESERVE_BYTES = 1 << 20
UNCHANGED, WAITING, REFUSED = "unchanged", "waiting", "refused"
HOUSEKEEPING = ""  # what the lock's record names as release when no release is being changed


class Refused(EngineError):
    """The change is not allowed; nothing was touched."""


class NeedsUpload(EngineError):
    """The artifact is on the controller only, and what the store has of it, if anything, is not sound."""


@dataclass
class Component:
    """One component on this host, with all that acts on it."""

    layout: Layout
    host: Host = field(default_factory=Host)

    def __post_init__(self) -> None:
        self.releases = Releases(self.layout)
        self.store = Store(self.layout.store, self.host)

    @property
    def name(self) -> str:
        return self.layout.component

    def ledger(self) -> Ledger:
        return Ledger(self.layout.ledger)

    def strategy(self, release: dict[str, Any]) -> Strategy:
        return strategy(release["activation"]["strategy"], self.layout, self.host)

    def drift(self, release: dict[str, Any]) -> list[str]:
        """Say where the host differs from what *release*, the current one, put there."""
        faults: list[str] = []
        try:
            faults += self.releases.verify(release["id"])
            if release["artifact"] and not self.store.has(release["artifact"]["sha256"]):
                faults.append(f"artifact {release['artifact']['sha256']} is not in the store")
            faults += self.strategy(release).drift(release)
        except (EngineError, OSError) as exc:
            faults.append(str(exc))
        return faults

    def silence(self, release: dict[str, Any]) -> str | None:
        """Ask the running process, the way users reach it; say what is wrong, or None.

        What is only asked of a change, such as whether others answer it, is later no fault of the release.
        """
        base = (release["activation"].get("proxy") or {}).get("url")
        words = tokens(self.layout, release, self.strategy(release).slot_of(release), base)
        checks = [check for check in release["health"] if check.get("only") != "change"]
        return health.wait(self.host, expand(checks, words), ASK_SECONDS)

    def serves(self, release: dict[str, Any]) -> bool:
        """Say whether *release*, the current one, is all there and answers."""
        return not self.drift(release) and self.silence(release) is None

    def described(self, release: str | None) -> dict[str, Any] | None:
        return self.releases.description(release) if release and self.releases.has(release) else None


# -- before the switch: in the caller, without the lock ----------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a request would do, found out without changing anything."""

    release: dict[str, Any]
    current: str | None
    changed: bool


def plan(component: Component, request: dict[str, Any]) -> Plan:
    """Compare *request* with the host. Raises InputError, LedgerError or Refused."""
    release = describe(request)
    past = component.ledger().history
    if release["id"] in past.rejected and not request.get("allow_rejected"):
        entry = past.rejected[release["id"]]
        raise Refused(
            f"release {release['id']} of {component.name} was rejected by change {entry['change']['id']} at {entry['time']}"
            f" ({entry['change'].get('reason') or 'no reason given'}); deploying it again is refused."
            " Deploy a mended version, or allow this one with -e release_allow_rejected=true"
        )
    live = past.current == release["id"] and past.pending is None and component.releases.has(release["id"])
    return Plan(
        release=release,
        current=past.current,
        changed=not (live and component.serves(release)),
    )


def stage(component: Component, request: dict[str, Any], release: dict[str, Any]) -> dict[str, float]:
    """Bring the artifact, the configuration and the secrets of *release* to the disk, complete and durable.

    Raises NeedsUpload before anything is removed when only the controller has the artifact.
    """

    def sweep() -> None:
        component.store.sweep()
        component.releases.sweep()

    phases: dict[str, float] = {}
    artifact = request.get("artifact")
    with staging(component.layout.staging_lock, sweep):
        if artifact:
            missing = not component.store.has(artifact["sha256"])
            damaged = not missing and component.store.verify(artifact["sha256"])
            if (missing or damaged) and artifact.get("local") and not artifact.get("uploaded"):
                raise NeedsUpload(f"artifact {artifact['version']} is not in the store, and only the controller has it")
            if damaged:
                component.store.remove(artifact["sha256"])
            if missing or damaged:
                phases.update(component.store.add(artifact))
        started = time.monotonic()
        files = {item["dest"]: item.get("content") or "" for item in request.get("files") or []}
        component.releases.add(release, files)
        component.releases.add_secrets(release, request.get("secrets") or {})
        phases["stage"] = round(time.monotonic() - started, 3)
    return phases


def target_of_rollback(component: Component, to: str | None, allow_rejected: bool = False) -> str:
    """Choose the release a rollback goes to. Raises Refused with the candidates when there is none.

    *to* is a version or a release id; without it, the last confirmed release before current.
    """
    past = component.ledger().history
    candidates = [name for name in past.stack[:-1] if component.releases.has(name)]
    shown = ", ".join(f"{past.versions[name]} ({name})" for name in reversed(candidates)) or "none"
    if past.current is None:
        raise Refused(f"{component.name} has no confirmed release on this host, so there is nothing to roll back")
    if to is None:
        if past.previous is None or past.previous not in candidates:
            raise Refused(f"{component.name} has no confirmed release before {past.current}; candidates: {shown}")
        return past.previous
    known = [
        name
        for name, state in past.states.items()
        if to in (name, past.versions[name]) and component.releases.has(name)
    ]
    allowed = [
        name
        for name in known
        # One that is being deployed again is in the stack, whatever its state is meanwhile.
        if past.states[name] == CONFIRMED or name in past.stack or (past.states[name] == REJECTED and allow_rejected)
    ]
    if allowed:
        order = past.stack
        return max(allowed, key=lambda name: order.index(name) if name in order else -1)
    if known:
        state = past.states[known[-1]]
        hint = "; allow it with -e release_allow_rejected=true" if state == REJECTED else ""
        raise Refused(
            f"{component.name} {to} is {state}, only confirmed releases are rollback targets{hint}; candidates: {shown}"
        )
    raise Refused(f"{component.name} {to} was never confirmed on this host or is no longer kept; candidates: {shown}")


def release_before_change(component: Component, change: str) -> str | None:
    """Return the release that served before *change*, or None when it did not touch this component.

    Raises Refused when a later change stands on top of it, or nothing stood before it.
    """
    entries = component.ledger().entries
    mine = [entry for entry in entries if entry["state"] == CONFIRMED and entry["change"]["id"] == change]
    if not mine:
        return None
    past = fold(entries)
    if past.current != mine[-1]["release"]:
        later = [entry for entry in entries if entry["state"] == CONFIRMED][-1]
        raise Refused(
            f"{component.name} was changed again since change {change}, by change {later['change']['id']}"
            f" (now {past.current}); take that one back first"
        )
    before = fold(entries[: mine[0]["seq"] - 1]).current
    if before is None:
        raise Refused(f"{component.name} was first deployed by change {change}; there is no release before it")
    return target_of_rollback(component, before)


# -- the critical section ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What the critical section is to do; written to disk for the unit that does it."""

    attempt: str
    release: str
    change: dict[str, Any]
    rollback: bool = False
    allow_rejected: bool = False
    keep: int = KEEP
    # Who signed the artifact, as this request proved it; a rollback asks nobody.
    signer: dict[str, str] | None = None

    @staticmethod
    def new(release: str, change: dict[str, Any], **options: Any) -> Order:
        return Order(attempt=uuid.uuid4().hex[:16], release=release, change=change, **options)


def unit_name(component: str, attempt: str) -> str:
    return f"plano-{component}-change-{attempt}.service"


def launch(component: Component, order: Order) -> None:
    """Start the critical section in a transient unit that outlives the caller.

    Should the engine itself be killed, systemd runs ExecStopPost, which reverts.
    """
    path = component.layout.outcome(order.attempt).with_suffix(".order")
    fs.make_dir(path.parent)
    fs.write_atomic(path, json.dumps(order.__dict__).encode(), 0o600)
    plano = str(component.layout.opt / "bin/plano")
    component.host.must(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={unit_name(component.name, order.attempt)}",
            f"--description=Change {order.change['id']} of {component.name}",
            f"--property=ExecStopPost={plano} recover {component.name}",
            "--property=TimeoutStopSec=300",
            plano,
            "carry-out",
            component.name,
            str(path),
        ]
    )


def follow(component: Component, attempt: str, confirmed: bool = False) -> dict[str, Any]:
    """Wait for the outcome of *attempt*; unless *confirmed*, also return when it waits for the controller."""
    path = component.layout.outcome(attempt)
    unit = unit_name(component.name, attempt)
    looked = time.monotonic()
    while True:
        outcome = read_outcome(path)
        if outcome and not (confirmed and outcome["status"] == WAITING):
            return outcome
        time.sleep(0.02)
        if time.monotonic() - looked > UNIT_GONE_SECONDS:
            looked = time.monotonic()
            if component.host.show(unit, "ActiveState").get("ActiveState") in ("inactive", "failed"):
                outcome = read_outcome(path)
                if not outcome or outcome["status"] == WAITING:
                    outcome = outcome_from_ledger(component, attempt) or {}
                return outcome or {
                    "status": FAILED,
                    "message": f"{unit} ended without an outcome; see journalctl -u {unit}",
                }


def read_outcome(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}


def outcome_from_ledger(component: Component, attempt: str) -> dict[str, Any] | None:
    for entry in reversed(component.ledger().entries):
        if entry.get("attempt") == attempt and entry["state"] in (CONFIRMED, REVERTED, FAILED):
            return {"status": entry["state"], "release": entry["release"], "message": entry.get("reason", "")}
    return None


def carry_out(component: Component, order: Order) -> dict[str, Any]:
    """Run the critical section and leave its outcome where follow() looks for it."""
    try:
        outcome = _under_lock(component, order)
    except (Busy, Refused) as exc:
        outcome = {"status": REFUSED, "message": str(exc)}
    except EngineError as exc:
        outcome = {"status": FAILED, "message": str(exc)}
    except OSError as exc:
        unit = unit_name(component.name, order.attempt)
        outcome = {
            "status": FAILED,
            "message": f"the system refused a step of the change: {exc}; see journalctl -u {unit}",
        }
    tell(component, order.attempt, outcome)
    if outcome["status"] == CONFIRMED:
        component.store.compile_python(outcome["artifact"])
    return outcome


def tell(component: Component, attempt: str, outcome: dict[str, Any]) -> None:
    path = component.layout.outcome(attempt)
    fs.make_dir(path.parent)
    fs.write_atomic(path, json.dumps(outcome).encode())


def _under_lock(component: Component, order: Order) -> dict[str, Any]:
    lock = Lock(component.layout.lock, component.name)
    record = {"change": order.change["id"], "release": order.release, "since": utc_now(), "attempt": order.attempt}
    asked = len(component.ledger().entries)
    _need_room(component)
    _queue(lock, record)
    with lock:
        ledger = component.ledger()
        ledger.mend()
        for entry in ledger.entries[asked:]:
            # Somebody was deploying the very same release meanwhile: the outcome of that is ours.
            if entry["release"] == order.release and entry["state"] in (REVERTED, FAILED):
                return {"status": entry["state"], "message": entry.get("reason", ""), "release": order.release}
        _finish_interrupted(component, ledger, at_boot=False)
        attempt = Attempt(component, ledger, order, lock.taken_over)
        try:
            return attempt.run()
        finally:
            attempt.publish()


def _need_room(component: Component) -> None:
    """Refuse when the disk could not even take the records of the change."""
    for place in (component.layout.ledger.parent, component.layout.home, component.host.unit_dir):
        free = fs.free_bytes(place)
        if free < RESERVE_BYTES:
            raise Refused(
                f"no space to record a change of {component.name}: {place} has {free} bytes free, {RESERVE_BYTES} are "
                "needed; free some space, then run the same command again"
            )


def _queue(lock: Lock, record: dict[str, Any]) -> None:
    """Take the lock; wait only for housekeeping, which is short, or for a change to the very same release."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.acquire(record, wait=0.2)
            return
        except Busy as exc:
            # A holder that has not yet written its record is asked again.
            other = exc.holder.get("release", HOUSEKEEPING) not in (HOUSEKEEPING, record["release"])
            if other or time.monotonic() > deadline:
                raise


@dataclass
class Attempt:
    """One try to make a release current, from lock to outcome."""

    component: Component
    ledger: Ledger
    order: Order
    taken_over: dict[str, Any] | None = None
    phases: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        past = self.ledger.history
        new = self.component.releases.description(self.order.release)
        old = self.component.described(past.current)
        acting = self.component.strategy(new)
        acting.warnings = self.warnings
        self._allow(past, new)
        acting.clear_temps(new)
        fs.remove_temps(self.ledger.head_path)
        if past.current == new["id"] and self.component.serves(new):
            return self._outcome(UNCHANGED, new, past.current)
        self._note(STAGED, new, taken_over=(self.taken_over or {}).get("change"), signer=self.order.signer)
        self.publish()
        try:
            self._before(acting, new, old)
        except (EngineError, OSError) as exc:
            self._note(FAILED, new, reason=str(exc))
            return self._outcome(FAILED, new, past.current, f"{exc}\n{self._serving(old)}")
        try:
            self._note(SWITCHED, new, previous=past.current, slot=acting.slot)
            self.phases["switch"] = round(acting.switch(new, old), 4)
            started = time.monotonic()
            acting.verify(new)
            self.phases["verify_live"] = round(time.monotonic() - started, 3)
            self._await_controller(new)
            self._note(CONFIRMED, new, previous=past.current, slot=acting.slot, phases=self.phases)
        except (EngineError, OSError) as exc:
            return self._revert(acting, new, old, str(exc))
        outcome = self._outcome(CONFIRMED, new, past.current)
        try:
            self._after(acting, new, old)
        except (EngineError, OSError) as exc:
            # The release serves and is confirmed; what is left over is said, not undone.
            self.warnings.append(f"{self.component.name} {new['id']} is confirmed, but tidying up met: {exc}")
        return outcome

    def publish(self) -> None:
        """Tell the metrics; what cannot be told there is no reason to undo anything."""
        try:
            metrics.publish(self.component.layout)
        except (EngineError, OSError) as exc:
            # Without the name of the temporary file, which is another one at each try.
            reason = exc.strerror if isinstance(exc, OSError) else exc
            told = f"{self.component.layout.metrics} could not be written: {reason}"
            if told not in self.warnings:
                self.warnings.append(told)

    def _allow(self, past: History, new: dict[str, Any]) -> None:
        if new["id"] in past.rejected and not self.order.allow_rejected:
            raise Refused(
                f"release {new['id']} of {self.component.name} is rejected; allow it with -e release_allow_rejected=true"
            )
        if new["artifact"]:
            damaged = self.component.store.verify(new["artifact"]["sha256"])
            if damaged:
                raise Refused(
                    f"the artifact of release {new['id']} is not what was stored ({'; '.join(damaged[:3])}); "
                    "run the deploy of its version, which fetches it again"
                )
        changed = self.component.releases.verify(new["id"])
        if changed:
            raise Refused(
                f"release {new['id']} is not what was staged ({'; '.join(changed[:3])}); deploy its version again"
            )
        fault = schema_fault(past, _manifest(self.component, new))
        if fault and (self.order.rollback or not new["migrate"]):
            raise Refused(f"{self.component.name} {new['version']} cannot serve: {fault}")

    def _before(self, acting: Strategy, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        started = time.monotonic()
        validate(self.component.host, self.component.layout, new)
        self.phases["validate"] = round(time.monotonic() - started, 3)
        if new["migrate"] and not self.order.rollback:
            self._migrate(new)
        self.phases.update(acting.prepare(new, old, self.order.rollback))

    def _migrate(self, new: dict[str, Any]) -> None:
        """Bring the schema forward from the new release; recorded, so a rollback knows what it meets."""
        manifest = _manifest(self.component, new)
        if not migration_is_due(self.ledger.history, manifest):
            return
        started = time.monotonic()
        run_migration(self.component, new)
        self.phases["migrate"] = round(time.monotonic() - started, 3)
        schema = manifest.get("schema") or {}
        if schema.get("revision"):
            self._note(STAGED, new, schema=schema["revision"], schema_keeps=schema.get("keeps") or [])

    def _await_controller(self, new: dict[str, Any]) -> None:
        """Insist that the controller gets in again by a new connection, before its time is up."""
        seconds = 0 if self.order.rollback else new["confirm_within"]
        if not seconds:
            return
        flag = self.component.layout.confirm(self.order.attempt)
        tell(self.component, self.order.attempt, self._outcome(WAITING, new, None))
        deadline = time.monotonic() + seconds
        while not flag.exists():
            if time.monotonic() >= deadline:
                raise EngineError(f"the controller did not come back over a new connection within {seconds} s")
            time.sleep(0.05)

    def _revert(self, acting: Strategy, new: dict[str, Any], old: dict[str, Any] | None, reason: str) -> dict[str, Any]:
        started = time.monotonic()
        previous = old["id"] if old else None
        try:
            acting.revert(new, old)
        except (EngineError, OSError) as exc:
            self._note(REVERTED, new, reason=f"{reason}; the revert met: {exc}", clean=False)
            return self._outcome(REVERTED, new, previous, f"{reason}\nTHE REVERT ITSELF FAILED: {exc}")
        self.phases["revert"] = round(time.monotonic() - started, 3)
        message = f"{reason}\n{self._serving(old)}"
        try:
            self._note(REVERTED, new, reason=reason, previous=previous)
        except EngineError as exc:
            # The next change, or the next boot, finds the switch pending and reverts again, which changes nothing.
            message += f"\n{exc}"
        return self._outcome(REVERTED, new, previous, message)

    def _after(self, acting: Strategy, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Housekeeping behind a confirmed change: it may fail without undoing it."""
        if self.order.rollback and old is not None and old["id"] != new["id"]:
            self._note(REJECTED, old)
        acting.settle(new, old, self.order.rollback)
        prune(self.component, self.ledger, self.order.keep, self.order.change)

    def _note(self, state: str, release: dict[str, Any], **detail: Any) -> None:
        self.ledger.append(
            state,
            release["id"],
            version=release["version"],
            component=self.component.name,
            change=self.order.change,
            attempt=self.order.attempt,
            kind="rollback" if self.order.rollback else "deploy",
            **detail,
        )

    def _serving(self, old: dict[str, Any] | None) -> str:
        return (
            f"{self.component.name} {old['id']} goes on serving."
            if old
            else f"No release of {self.component.name} was there before."
        )

    def _outcome(self, status: str, new: dict[str, Any], previous: str | None, message: str = "") -> dict[str, Any]:
        return {
            "status": status,
            "release": new["id"],
            "version": new["version"],
            "previous": previous,
            "message": message,
            "phases": self.phases,
            "warnings": self.warnings,
            "artifact": new["artifact"]["sha256"] if new["artifact"] else None,
            "attempt": self.order.attempt,
            "change": self.order.change["id"],
        }


def _manifest(component: Component, release: dict[str, Any]) -> dict[str, Any]:
    return component.store.manifest(release["artifact"]["sha256"]) if release["artifact"] else {}


def schema_fault(past: History, manifest: dict[str, Any]) -> str | None:
    """Say why code with this *manifest* cannot run on the schema the ledger last recorded, if so.

    It can when it names that schema revision in ``runs_on``, or when the migration that made the
    revision promised to keep the code's own revision working (``keeps``).
    """
    schema = manifest.get("schema") or {}
    own, runs_on = schema.get("revision"), schema.get("runs_on") or []
    if not own or past.schema is None or past.schema in (own, *runs_on) or own in past.schema_keeps:
        return None
    return (
        f"the database has schema {past.schema}, this release was made for {own} and runs on {', '.join(runs_on) or own} only."
        " Data is never rolled back with an artifact: restore a checkpoint, or go forward with a release that runs on this schema"
    )


def migration_is_due(past: History, manifest: dict[str, Any]) -> bool:
    """Say whether the release must bring the schema forward: not when it is there, or beyond its own."""
    own = (manifest.get("schema") or {}).get("revision")
    return not own or (own != past.schema and own not in past.schema_keeps)


def run_migration(component: Component, release: dict[str, Any]) -> None:
    """Run the release's migration in a sandbox of its own, with its own credentials."""
    words = tokens(component.layout, release)
    spec = expand(release["migrate"], words)
    argv = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--service-type=exec",
        "--property=DynamicUser=yes",
        "--property=ProtectSystem=strict",
        "--property=ProtectHome=yes",
        "--property=NoNewPrivileges=yes",
        f"--property=RuntimeMaxSec={MIGRATE_SECONDS:.0f}",
    ]
    argv += [f"--property=LoadCredential={name}:{words['SECRETS']}/{name}" for name in spec.get("credentials") or []]
    argv += [f"--setenv={name}={value}" for name, value in (spec.get("environment") or {}).items()]
    done = component.host.run([*argv, *spec["argv"]], timeout=MIGRATE_SECONDS + 30)
    if done.code != 0:
        raise EngineError(f"the migration failed and the code was not switched: {done.why}")


# -- after an interruption, and housekeeping ---------------------------------------------------------


def recover(component: Component, at_boot: bool = False) -> str | None:
    """Finish what an interruption left, and make the disk say what the ledger says; return what was finished."""
    if not component.layout.ledger.exists() and not component.layout.ledger.with_suffix(".head").exists():
        return None
    with Lock(component.layout.lock, component.name) as lock:
        lock.acquire({"change": "recover", "release": HOUSEKEEPING, "since": utc_now()}, wait=0.0 if at_boot else 60.0)
        ledger = component.ledger()
        ledger.mend()
        done = _finish_interrupted(component, ledger, at_boot)
        current = component.described(ledger.history.current)
        if current is not None:
            component.strategy(current).hold(current, at_boot)
        with contextlib.suppress(OSError):  # the timer of the host tries again
            metrics.publish(component.layout)
        return done


def _finish_interrupted(component: Component, ledger: Ledger, at_boot: bool) -> str | None:
    """Revert a switch that nobody confirmed, or stop what an attempt without a switch had started."""
    past = ledger.history
    last = past.pending or past.begun
    if last is None:
        return None
    acted = component.described(last["release"])
    old = component.described(past.current)
    if acted is not None:
        acting = component.strategy(acted)
        acting.slot = last.get("slot")
        if past.pending is None:
            # A rollback's target was confirmed before: running, it is a standby.
            if not at_boot and acted["id"] not in past.stack:
                acting.abandon(acted)
        elif at_boot:
            acting.restore_files(acted, old)
        else:
            acting.revert(acted, old)
    cause = "the host restarted" if at_boot else "the change was interrupted"
    reason = f"{cause} before the switch was confirmed" if past.pending else f"{cause} before the switch"
    kept = {key: last[key] for key in ("version", "component", "change", "attempt", "kind") if key in last}
    ledger.append(REVERTED if past.pending else FAILED, last["release"], reason=reason, previous=past.current, **kept)
    if past.pending is None:
        return f"{component.name}: {last['release']} was given up, because {reason}"
    return f"{component.name}: {last['release']} reverted to {past.current}, because {reason}"


def retire(component: Component) -> list[str]:
    """Stop the standby when its bake time is over. Returns what a person should know of it."""
    current = component.described(component.ledger().history.current)
    acting = component.strategy(current) if current else None
    if current and isinstance(acting, BlueGreen):
        # Not under the lock: a rollback that comes now need not wait for other people's requests.
        acting.await_standby(current)
    with Lock(component.layout.lock, component.name) as lock:
        lock.acquire({"change": "retire", "release": HOUSEKEEPING, "since": utc_now()}, wait=60.0)
        current = component.described(component.ledger().history.current)
        acting = component.strategy(current) if current else None
        if current and isinstance(acting, BlueGreen):
            acting.retire(current)
            return acting.warnings
    return []


def releases_to_prune(past: History, on_disk: list[str], keep: int) -> list[str]:
    """Return the releases to remove: confirmed ones beyond *keep*, others beyond the last few.

    Never current, the one before it, or one that a switch is pending on.
    """
    safe = {name for name in (past.current, past.previous, (past.pending or {}).get("release")) if name}
    confirmed = [name for name in past.stack if name in on_disk]
    others = [name for name in past.states if name in on_disk and name not in confirmed]
    extra = confirmed[: max(0, len(confirmed) - max(1, keep))] + others[: max(0, len(others) - KEEP_FAILED)]
    return [name for name in extra if name not in safe]


def prune(component: Component, ledger: Ledger, keep: int, change: dict[str, Any]) -> list[str]:
    """Remove old releases, and artifacts and secrets that no release names any more.

    Left to the next change while anybody is staging, who may be about to use what would be removed.
    """
    gone = releases_to_prune(ledger.history, component.releases.names(), keep)
    with nobody_stages(component.layout.staging_lock) as alone:
        if not alone:
            return []
        for name in gone:
            # In this order: what the ledger calls pruned nobody would look for on the disk again.
            component.releases.remove(name)
            fs.remove_tree(component.layout.state / name)
            ledger.append(PRUNED, name, component=component.name, change=change)
        _sweep_store(component)
        _sweep_secrets(component)
    return gone


def _sweep_store(component: Component) -> None:
    """Remove artifacts that no release of any component links to."""
    used = {os.path.basename(os.readlink(link)) for link in component.layout.opt.glob("*/releases/[!.]*/artifact")}
    for digest in component.store.digests():
        if digest not in used:
            component.store.remove(digest)


def _sweep_secrets(component: Component) -> None:
    used = {
        component.releases.description(name)["secrets"]
        for name in component.releases.names()
        if component.releases.has(name)
    }
    if component.layout.secrets.is_dir():
        for path in component.layout.secrets.iterdir():
            if path.name not in used and not path.name.startswith("."):
                fs.remove_tree(path)


def rebuild(component: Component) -> Path | None:
    """Start a new ledger; the damaged one is kept beside it.

    Its entries up to the damage still prove themselves and stay. Behind them, of the releases on disk only what
    current names can be called confirmed: nothing else has evidence.
    """
    path = component.layout.ledger
    with Lock(component.layout.lock, component.name) as lock:
        lock.acquire({"change": "rebuild", "release": HOUSEKEEPING, "since": utc_now()}, wait=60.0)
        data = path.read_bytes() if path.exists() else b""
        aside = None
        if data:
            aside = path.with_name(f"ledger-damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl")
            fs.write_atomic(aside, data)
        entries = sound_part(data)[0]
        for body in _missing_entries(component, fold(entries)):
            entries.append(seal(body, len(entries) + 1, entries[-1]["hash"] if entries else GENESIS))
        if not entries:
            raise Refused(
                f"nothing to rebuild the ledger of {component.name} from: no release below {component.layout.releases} is whole"
            )
        replace_ledger(path, entries)
        return aside


def _missing_entries(component: Component, past: History) -> list[dict[str, Any]]:
    """Return what a ledger that ends with *past* lacks to describe the disk: the outcome of the attempt it breaks off
    in, releases it does not know, and that the one that current names is confirmed."""
    link = component.layout.current
    current = os.path.basename(os.readlink(link)) if link.is_symlink() else None
    sound = {name: component.releases.description(name) for name in _sound_releases(component)}
    broken_off = past.pending or past.begun or {}
    confirmed = current in sound and (past.current != current or past.pending is not None)
    change = {"id": "rebuild", "actor": "plano recover --rebuild", "reason": "the ledger was damaged"}
    found = []

    def note(state: str, release: str, **detail: Any) -> None:
        body = {"time": utc_now(), "state": state, "release": release, "component": component.name, "change": change}
        body.update({key: value for key, value in detail.items() if value is not None})
        found.append(body)

    if broken_off and not (confirmed and broken_off["release"] == current):
        state = REVERTED if past.pending else FAILED
        detail = {key: broken_off.get(key) for key in ("version", "attempt")}
        note(state, broken_off["release"], reason="its outcome was lost with the damage", **detail)
    for name, release in sound.items():
        if name not in past.states and name != current:
            note(STAGED, name, version=release["version"])
    if confirmed and current is not None:
        release = sound[current]
        schema = {} if past.schema is not None else _manifest(component, release).get("schema") or {}
        note(
            CONFIRMED,
            current,
            version=release["version"],
            slot=component.strategy(release).slot_of(release),
            attempt=broken_off["attempt"] if broken_off.get("release") == current else None,
            schema=schema.get("revision"),
            schema_keeps=schema.get("keeps"),
        )
    return found


def _sound_releases(component: Component) -> list[str]:
    return [name for name in component.releases.names() if not component.releases.verify(name)]
