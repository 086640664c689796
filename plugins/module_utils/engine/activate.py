# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a release begins to serve, is proven, and stops: one class per activation strategy.

Each step either holds or raises EngineError; revert() brings the old release back from whatever
step the new one had reached, and is safe to run twice.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any, Sequence

from . import fs, health
from .errors import EngineError
from .proxy import Proxy
from .release import SLOTS, Layout, expand, tokens
from .state import State
from .systemd import UNIT_SECONDS, Host

START_SECONDS = 30.0
SOAK_SECONDS = 6.0
DRAIN_SECONDS = 30.0
BAKE_SECONDS = 900.0
SAVED = ".plano-saved"
# An answer of the new release through the proxy could be luck while an old connection lives on.
PROXY_PROOFS = 3
MAX_RESTARTS = 2


class Strategy:
    """What all strategies share: the current link, links into the file system, and checks."""

    def __init__(self, layout: Layout, host: Host) -> None:
        self.layout = layout
        self.host = host
        # Where there are slots: the one that the new release gets, chosen by prepare() or known from the ledger.
        self.slot: str | None = None
        # What a person should know of a change that went well otherwise.
        self.warnings: list[str] = []

    def words(self, release: dict[str, Any]) -> dict[str, str]:
        return tokens(self.layout, release)

    def prepare(self, new: dict[str, Any], old: dict[str, Any] | None, rollback: bool) -> dict[str, float]:
        """Do all that can be done before the switch; the old release serves undisturbed."""
        return {}

    def switch(self, new: dict[str, Any], old: dict[str, Any] | None) -> float:
        """Put *new* in the place of *old*; return the seconds during which neither was certain."""
        started = time.monotonic()
        self.point(new)
        if old is not None:
            self.unlink(old, new)
        self.apply(new)
        return time.monotonic() - started

    def verify(self, new: dict[str, Any]) -> None:
        """Prove that *new* serves, or raise."""
        checks = expand(new["health"], self.words(new))
        seconds = float(new["activation"].get("start_timeout") or START_SECONDS)
        unit = new["activation"].get("unit")
        fault = health.wait(self.host, checks, seconds, lambda: self.dead(unit) if unit else None)
        if not fault and unit and new["activation"]["strategy"] == "restart":
            fault = health.soak(
                self.host, checks, float(new["activation"].get("soak_seconds") or 0), lambda: self.dead(unit)
            )
        if fault:
            raise EngineError(fault + (self.host.journal(unit) if unit else ""))

    def settle(self, new: dict[str, Any], old: dict[str, Any] | None, rollback: bool) -> None:
        """Make the confirmed release survive a reboot."""
        for unit in self.units(new):
            self.host.enable(unit)

    def revert(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Bring *old* back and prove it; without an old one, leave nothing of *new* running."""
        self.point(old)
        self.unlink(new, old)
        if old is not None:
            self.apply(old)
            self.verify(old)
        else:
            self.withdraw(new)

    def restore_files(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Revert what is on disk only; at boot the units are started later, from it."""
        self.point(old)
        self.unlink(new, old)
        for release in [old] if old is not None else []:
            self.write_unit(release)

    def abandon(self, new: dict[str, Any]) -> None:
        """An attempt ended before its switch: stop what it had started for *new*."""

    def hold(self, current: dict[str, Any], at_boot: bool) -> None:
        """Make the disk say what the ledger says of *current*, the confirmed release, so that it also survives a reboot."""
        self.mend_link(current)
        for unit in self.units(current):
            self.host.enable(unit)

    def mend_link(self, current: dict[str, Any]) -> None:
        if self.pointed_at() != f"releases/{current['id']}":
            self.point(current)

    def pointed_at(self) -> str | None:
        return os.readlink(self.layout.current) if self.layout.current.is_symlink() else None

    def clear_temps(self, release: dict[str, Any]) -> None:
        """Remove the temporary files of killed writers; the caller holds the component's lock."""
        fs.remove_temps(self.layout.current)
        for unit in self.units(release):
            fs.remove_temps(self.host.unit_dir / unit)

    def units(self, release: dict[str, Any]) -> list[str]:
        """Return the units whose files this component writes."""
        unit, unit_file = release["activation"].get("unit"), release["activation"].get("unit_file")
        return [unit] if unit and unit_file else []

    def standby(self, release: dict[str, Any]) -> bool:
        """Say whether *release* runs besides the current one and could serve at once."""
        return False

    def slot_of(self, release: dict[str, Any]) -> str | None:
        return None

    def drift(self, release: dict[str, Any]) -> list[str]:
        """Say where the host differs from what *release*, the current one, put there."""
        faults = []
        if self.pointed_at() != f"releases/{release['id']}":
            faults.append(f"{self.layout.current} points at {self.pointed_at()}")
        for place, path in release["links"].items():
            if not Path(place).is_symlink() or os.readlink(place) != str(self.layout.current / path):
                faults.append(f"{place} is no longer the link of the release")
        unit, unit_file = release["activation"].get("unit"), release["activation"].get("unit_file")
        if unit and release["activation"]["strategy"] in ("restart", "reload"):
            if not self.host.is_active(unit):
                faults.append(f"{unit} is not running")
            if unit_file and self.host.unit_text(unit) != self.text(release, unit_file, self.words(release)):
                faults.append(f"{unit} is no longer the unit of the release")
        return faults

    # -- parts --------------------------------------------------------------------------------

    def point(self, release: dict[str, Any] | None) -> None:
        """Make current and the release's links name *release*, or nothing."""
        if release is None:
            fs.unlink_durable(self.layout.current)
            return
        fs.symlink_atomic(f"releases/{release['id']}", self.layout.current)
        for place, path in release["links"].items():
            self.link(Path(place), self.layout.current / path)

    def link(self, place: Path, target: Path) -> None:
        if place.is_symlink() and os.readlink(place) == str(target):
            fs.fsync_dir(place.parent)  # whoever made it may have been killed before it was durable
            return
        fs.make_dir(place.parent)
        saved = place.with_name(place.name + SAVED)
        ours = place.is_symlink() and os.readlink(place).startswith(f"{self.layout.current}/")
        if os.path.lexists(place) and not ours and not os.path.lexists(saved):
            os.link(place, saved, follow_symlinks=False)
            fs.fsync_dir(place.parent)
        fs.symlink_atomic(str(target), place)

    def unlink(self, gone: dict[str, Any], kept: dict[str, Any] | None) -> None:
        """Take back the links that *gone* has and *kept* has not; what stood there before returns."""
        stay = kept["links"] if kept is not None else {}
        for place, path in gone["links"].items():
            spot = Path(place)
            if place in stay or not spot.is_symlink() or os.readlink(spot) != str(self.layout.current / path):
                continue
            saved = spot.with_name(spot.name + SAVED)
            if os.path.lexists(saved):
                os.replace(saved, spot)
                fs.fsync_dir(spot.parent)
            else:
                fs.unlink_durable(spot)

    def text(self, release: dict[str, Any], path: str, words: dict[str, str]) -> str:
        source = self.layout.releases / release["id"] / path
        template = source.read_text(encoding="utf-8")
        body: str = expand(template, {**words, "UNIT": self.unit_digest(template, words)})
        return f"# Release {release['id']}, written by the plano engine; changes here are lost.\n{body}"

    @staticmethod
    def unit_digest(template: str, words: dict[str, str]) -> str:
        """Return what @UNIT@ stands for: the same for two releases whose processes are started in the same way."""
        return hashlib.sha256(expand(template, {**words, "ID": ""}).encode()).hexdigest()[:16]

    def write_unit(self, release: dict[str, Any]) -> None:
        unit, unit_file = release["activation"].get("unit"), release["activation"].get("unit_file")
        if unit and unit_file:
            self.host.write_unit(unit, self.text(release, unit_file, self.words(release)))

    def apply(self, release: dict[str, Any]) -> None:
        """Make the running service take up what current names."""
        self.write_unit(release)

    def withdraw(self, new: dict[str, Any]) -> None:
        """There was nothing before *new*: leave nothing of it running."""
        for argv in expand(new["activation"].get("withdraw") or [], self.words(new)):
            self.host.must(argv)
        unit = new["activation"].get("unit")
        if unit and new["activation"].get("unit_file"):
            self.host.stop(unit)

    def restart(self, unit: str) -> None:
        self.host.run(["systemctl", "reset-failed", unit])
        done = self.host.run(["systemctl", "restart", unit], UNIT_SECONDS)
        if done.code != 0:
            raise EngineError(f"{unit} did not restart: {done.why}{self.host.journal(unit)}")

    def commands(self, release: dict[str, Any]) -> bool:
        """Run the release's own commands; say whether it has any."""
        found = expand(release["activation"].get("commands") or [], self.words(release))
        for argv in found:
            self.host.must(argv)
        return bool(found)

    def dead(self, unit: str) -> str | None:
        """Say when waiting for *unit* is in vain: it failed, or it keeps crashing."""
        shown = self.host.show(unit, "ActiveState", "NRestarts", "Result")
        state, restarts = shown.get("ActiveState"), int(shown.get("NRestarts") or 0)
        if state == "failed":
            return f"{unit} failed ({shown.get('Result')})"
        if restarts > MAX_RESTARTS:
            return f"{unit} has crashed {restarts} times since it was started"
        return None


class Nothing(Strategy):
    """Files only: nothing runs them."""


class Restart(Strategy):
    """Stop the old, start the new.

    ``state_files`` are those that a newer artifact converts when it starts: they are kept as the old one leaves them, and put
    back when it comes back.
    """

    def __init__(self, layout: Layout, host: Host) -> None:
        super().__init__(layout, host)
        self.state = State(layout.state)
        self.rollback = False

    @staticmethod
    def converts(one: dict[str, Any], other: dict[str, Any] | None) -> bool:
        return bool(other and one["activation"].get("state_files") and one["artifact"] != other["artifact"])

    def prepare(self, new: dict[str, Any], old: dict[str, Any] | None, rollback: bool) -> dict[str, float]:
        self.rollback = rollback
        if old is not None and self.converts(old, new):
            # A copy from an earlier stay is worth nothing: what *old* has in place is newer.
            self.state.drop(old["id"])
            self.state.need_room(old["activation"]["state_files"])
        return super().prepare(new, old, rollback)

    def switch(self, new: dict[str, Any], old: dict[str, Any] | None) -> float:
        if old is not None and self.converts(old, new):
            self.host.stop(old["activation"]["unit"])
            self.state.keep(old["id"], old["activation"]["state_files"])
            if self.rollback and self.state.has(new["id"]):
                names = self.state.restore(new["id"], new["activation"]["state_files"])
                self.warnings.append(
                    f"{', '.join(names)} went back to what {new['id']} left; what {old['id']} made of it is kept in "
                    f"{self.state.path(old['id'])}"
                )
        return super().switch(new, old)

    def revert(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        if old is not None and self.converts(old, new) and self.state.has(old["id"]):
            self.host.stop(old["activation"]["unit"])
            self.state.restore(old["id"], old["activation"]["state_files"])
        super().revert(new, old)

    def restore_files(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        if old is not None and self.converts(old, new) and self.state.has(old["id"]):
            self.state.restore(old["id"], old["activation"]["state_files"])
        super().restore_files(new, old)

    def apply(self, release: dict[str, Any]) -> None:
        super().apply(release)
        if not self.commands(release):
            self.restart(release["activation"]["unit"])


class Reload(Strategy):
    """The service stays up and reads its configuration again; a restart only where it says it needs one."""

    def apply(self, release: dict[str, Any]) -> None:
        super().apply(release)
        if self.commands(release):
            return
        unit = release["activation"]["unit"]
        if not self.host.is_active(unit):
            self.host.start(unit)
        elif self.outlived(release, unit):
            self.restart(unit)
        else:
            self.reload(release, unit)

    def outlived(self, release: dict[str, Any], unit: str) -> bool:
        """Say whether the process was started in another way than *release* starts it: another artifact, other arguments or secrets.

        It tells by the variable PLANO_UNIT, which the unit of a release sets to @UNIT@; without one, a reload must do.
        """
        path = release["activation"].get("unit_file")
        if not path:
            return False
        template = (self.layout.releases / release["id"] / path).read_text(encoding="utf-8")
        wanted = self.unit_digest(template, self.words(release))
        return "@UNIT@" in template and self.host.environment(unit).get("PLANO_UNIT") != wanted

    def reload(self, release: dict[str, Any], unit: str) -> None:
        done = self.host.run(["systemctl", "reload", unit], UNIT_SECONDS)
        if done.code != 0:
            raise EngineError(f"{unit} did not reload: {done.why}{self.host.journal(unit)}")
        question = expand(release["activation"].get("restart_when") or [], self.words(release))
        if question and self.host.must(question).stdout.strip():
            self.host.must(["systemctl", "restart", unit], UNIT_SECONDS)

    def withdraw(self, new: dict[str, Any]) -> None:
        super().withdraw(new)
        unit = new["activation"].get("unit")
        if unit and not new["activation"].get("unit_file") and self.host.is_active(unit):
            # The service was there before us: give it back its own configuration.
            self.reload(new, unit)


class BlueGreen(Strategy):
    """Two slots behind HAProxy: the idle one is started and proven, then traffic moves, the old one stays warm."""

    def proxy(self, release: dict[str, Any]) -> Proxy:
        spec = release["activation"]["proxy"]
        return Proxy(spec["socket"], Path(spec["map"]), spec.get("key") or "active", spec["backend"])

    def unit(self, release: dict[str, Any], slot: str) -> str:
        return f"{release['activation']['unit']}@{slot}.service"

    def slot_words(self, release: dict[str, Any], slot: str) -> dict[str, str]:
        return tokens(self.layout, release, slot)

    def unit_text(self, release: dict[str, Any], slot: str) -> str:
        return self.text(release, release["activation"]["unit_file"], self.slot_words(release, slot))

    def holds(self, release: dict[str, Any], slot: str) -> bool:
        """Say whether the unit file of *slot* is that of *release*; one that lost its own is held nowhere."""
        try:
            return self.host.unit_text(self.unit(release, slot)) == self.unit_text(release, slot)
        except FileNotFoundError:
            return False

    def slot_of(self, release: dict[str, Any]) -> str | None:
        """Return the slot that holds *release*; the serving one when both do."""
        serving = self.proxy(release).recorded()
        order = [slot for slot in SLOTS if slot == serving] + [slot for slot in SLOTS if slot != serving]
        return next((slot for slot in order if self.holds(release, slot)), None)

    def other(self, slot: str) -> str:
        return next(name for name in SLOTS if name != slot)

    def home_of(self, old: dict[str, Any], failed: str | None) -> str:
        """Return the slot that *old* goes back to: never the one of the release that failed."""
        return self.other(failed) if failed else self.slot_of(old) or SLOTS[0]

    def standby(self, release: dict[str, Any]) -> bool:
        slot = self.slot_of(release)
        return slot is not None and self.host.is_active(self.unit(release, slot))

    def direct_fault(self, release: dict[str, Any], slot: str, seconds: float) -> str | None:
        checks = expand(release["health"], self.slot_words(release, slot))
        unit = self.unit(release, slot)
        return health.wait(self.host, checks, seconds, lambda: self.dead(unit))

    def idle_slot(self, new: dict[str, Any], old: dict[str, Any] | None) -> str:
        serving = self.slot_of(old) if old is not None else None
        return self.other(serving or self.proxy(new).recorded() or SLOTS[0])

    def prepare(self, new: dict[str, Any], old: dict[str, Any] | None, rollback: bool) -> dict[str, float]:
        started = time.monotonic()
        self.proxy(new).serving()  # a proxy that cannot switch is found out before anything starts
        slot = self.slot = self.idle_slot(new, old)
        unit = self.unit(new, slot)
        self.host.forget(self.retire_name)
        if self.holds(new, slot) and self.host.is_active(unit):
            fault = self.direct_fault(new, slot, 2.0)
            if fault is None:
                return {"warm": round(time.monotonic() - started, 3)}
        self.stop_slot(new, slot)
        self.host.write_unit(unit, self.unit_text(new, slot))
        phases = {}
        try:
            self.host.start(unit)
            phases["start"] = round(time.monotonic() - started, 3)
            fault = self.direct_fault(new, slot, float(new["activation"].get("start_timeout") or START_SECONDS))
            phases["health"] = round(time.monotonic() - started - phases["start"], 3)
            if fault is None and not rollback:  # a rollback goes to what was proven before, and is in a hurry
                fault = self.soak(new, slot)
                phases["soak"] = round(time.monotonic() - started - phases["start"] - phases["health"], 3)
            if fault:
                raise EngineError(
                    f"the new release in slot {slot} was never given traffic: {fault}{self.host.journal(unit)}"
                )
        except EngineError:
            self.host.stop(unit)
            raise
        return phases

    def soak(self, new: dict[str, Any], slot: str) -> str | None:
        seconds = new["activation"].get("soak_seconds")
        checks = expand(new["health"], self.slot_words(new, slot))
        unit = self.unit(new, slot)
        born = self.host.show(unit, "MainPID").get("MainPID")

        def gone() -> str | None:
            shown = self.host.show(unit, "MainPID", "ActiveState", "ExecMainStatus")
            if shown.get("MainPID") == born and shown.get("ActiveState") == "active":
                return None
            return f"{unit} exited during its soak time"

        return health.soak(self.host, checks, SOAK_SECONDS if seconds is None else float(seconds), gone)

    def switch(self, new: dict[str, Any], old: dict[str, Any] | None) -> float:
        if self.slot is None or not self.holds(new, self.slot):
            raise EngineError("the unit of the new release was changed after it was started")
        seconds = self.proxy(new).switch(self.slot)
        self.point(new)
        if old is not None:
            self.unlink(old, new)
        return seconds

    def verify(self, new: dict[str, Any]) -> None:
        words = {**self.slot_words(new, self.slot_of(new) or SLOTS[0]), "BASE": new["activation"]["proxy"]["url"]}
        checks = expand([check for check in new["health"] if check["type"] == "http"], words)
        for _proof in range(PROXY_PROOFS):
            fault = health.wait(self.host, checks, 5.0)
            if fault:
                raise EngineError(f"through the proxy: {fault}")

    def settle(self, new: dict[str, Any], old: dict[str, Any] | None, rollback: bool) -> None:
        self.enable_only(new, self.slot or self.slot_of(new))
        # A release that was rolled back is not worth keeping warm.
        self.retire_later(1.0 if rollback else self.bake_seconds(new))

    def enable_only(self, release: dict[str, Any], slot: str | None) -> None:
        for each in SLOTS:
            (self.host.enable if each == slot else self.host.disable)(self.unit(release, each))

    def bake_seconds(self, release: dict[str, Any]) -> float:
        seconds = release["activation"].get("bake_seconds")
        return BAKE_SECONDS if seconds is None else float(seconds)

    def retire_later(self, seconds: float) -> None:
        self.host.later(
            self.retire_name, seconds, [str(self.layout.opt / "bin/plano"), "retire", self.layout.component]
        )

    def units(self, release: dict[str, Any]) -> list[str]:
        return [self.unit(release, slot) for slot in SLOTS]

    def clear_temps(self, release: dict[str, Any]) -> None:
        super().clear_temps(release)
        fs.remove_temps(self.proxy(release).map_path)

    def abandon(self, new: dict[str, Any]) -> None:
        serving = self.proxy(new).recorded()
        for slot in SLOTS:
            if slot != serving and self.holds(new, slot):
                self.stop_slot(new, slot)

    def hold(self, current: dict[str, Any], at_boot: bool) -> None:
        slot = self.slot_of(current)
        if slot is None:
            return  # status shows it as drift; guessing a slot could stop the one that serves
        self.mend_link(current)
        proxy = self.proxy(current)
        self.enable_only(current, slot)
        if at_boot:
            proxy.record(slot)
            # What this boot starts was settled before it came to us; one more job does no harm when it is among it.
            self.host.run(["systemctl", "--no-block", "start", self.unit(current, slot)])
            return
        if proxy.recorded() != slot or proxy.serving() != slot:
            proxy.switch(slot)
        if self.host.is_active(self.unit(current, self.other(slot))) and not self.host.is_planned(self.retire_name):
            self.retire_later(self.bake_seconds(current))

    @property
    def retire_name(self) -> str:
        return f"plano-{self.layout.component}-retire"

    def standbys(self, current: dict[str, Any]) -> list[str]:
        serving = self.slot_of(current) or self.proxy(current).recorded()
        return [slot for slot in SLOTS if slot != serving]

    def await_standby(self, current: dict[str, Any]) -> None:
        """Wait for the last request of the slot that does not serve; nothing is changed, so no lock is needed."""
        for slot in self.standbys(current):
            self.proxy(current).await_last(slot, self.drain_seconds(current))

    def retire(self, current: dict[str, Any]) -> None:
        """Stop the slot that does not serve, once its last request has ended."""
        for slot in self.standbys(current):
            self.stop_slot(current, slot)

    def stop_slot(self, release: dict[str, Any], slot: str) -> None:
        unit = self.unit(release, slot)
        if self.host.show(unit, "ActiveState").get("ActiveState") in ("inactive", None):
            return
        proxy = self.proxy(release)
        if proxy.recorded() == slot and proxy.serving() == slot and self.layout.current.exists():
            raise EngineError(f"slot {slot} still serves; it is not stopped")
        self.drain(release, slot)
        self.host.stop(unit)

    def drain(self, release: dict[str, Any], slot: str) -> None:
        """Let the requests in flight on *slot* end; say so when their time was not enough."""
        seconds = self.drain_seconds(release)
        if not self.proxy(release).drain(slot, seconds):
            self.warnings.append(
                f"slot {slot} still had requests in flight after {seconds:g} s; they end with its process "
                "(more drain_seconds give them more time)"
            )

    def drain_seconds(self, release: dict[str, Any]) -> float:
        seconds = release["activation"].get("drain_seconds")
        return DRAIN_SECONDS if seconds is None else float(seconds)

    def revert(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        failed = self.slot or self.slot_of(new)
        if old is not None:
            slot = self.home_of(old, failed)
            unit = self.unit(old, slot)
            self.host.write_unit(unit, self.unit_text(old, slot))
            if not self.host.is_active(unit):
                self.host.start(unit)
                fault = self.direct_fault(old, slot, float(old["activation"].get("start_timeout") or START_SECONDS))
                if fault:
                    raise EngineError(f"the old release {old['id']} does not come back: {fault}")
            # On disk first: should HAProxy not answer now, it finds the old release whenever it starts.
            self.proxy(old).record(slot)
            self.point(old)
            self.proxy(old).switch(slot)
            self.verify(old)
            self.host.enable(unit)
        else:
            self.point(None)
        self.unlink(new, old)
        if failed is not None:
            self.host.disable(self.unit(new, failed))
            self.drain(new, failed)
            self.host.stop(self.unit(new, failed))

    def restore_files(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        self.point(old)
        self.unlink(new, old)
        failed = self.slot or self.slot_of(new)
        if failed is not None:
            self.host.disable(self.unit(new, failed))
            self.host.run(["systemctl", "--no-block", "stop", self.unit(new, failed)])
        if old is not None:
            slot = self.home_of(old, failed)
            self.host.write_unit(self.unit(old, slot), self.unit_text(old, slot))
            self.proxy(old).record(slot)

    def drift(self, release: dict[str, Any]) -> list[str]:
        faults = super().drift(release)
        slot = self.slot_of(release)
        if slot is None:
            return [*faults, "no slot holds the unit of the current release"]
        if not self.host.is_active(self.unit(release, slot)):
            faults.append(f"{self.unit(release, slot)} is not running")
        for name, found in (("map file", self.proxy(release).recorded()), ("HAProxy", self.proxy(release).serving())):
            if found != slot:
                faults.append(f"{name} names slot {found} instead of {slot}")
        return faults


STRATEGIES: dict[str, type[Strategy]] = {"bluegreen": BlueGreen, "restart": Restart, "reload": Reload, "none": Nothing}


def strategy(name: str, layout: Layout, host: Host) -> Strategy:
    return STRATEGIES[name](layout, host)


def validate(host: Host, layout: Layout, release: dict[str, Any]) -> None:
    """Run the release's own validation commands on the staged files, or raise with their words."""
    commands: Sequence[Sequence[str]] = expand(release["validate"], tokens(layout, release))
    for argv in commands:
        done = host.run(argv)
        if done.code != 0:
            raise EngineError(f"the configuration was refused before the switch by '{' '.join(argv)}': {done.why}")
