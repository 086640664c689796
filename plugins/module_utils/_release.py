# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the module plano.delivery.release does with the engine."""

from __future__ import annotations

from typing import Any

from .engine import bundle, change, fs, signature, status
from .engine.change import Component, Order, Refused
from .engine.ledger import CONFIRMED
from .engine.release import Layout, describe
from .engine.systemd import Host

# In the stamp of a change that a run takes back by itself: set where other hosts, not the release here, were the reason.
ABORTED = "aborted"


def present(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make the described release the current one. Returns the module's result."""
    component = Component(Layout(params["component"]))
    if _was_only_taken_back(component, params):
        params = {**params, "allow_rejected": True}
    found = change.plan(component, params)
    # Before anything is fetched, and also when nothing would be: an artifact in the store may be from a laxer time.
    signer = signature.check(component.host, params)
    release = found.release
    result: dict[str, Any] = {
        "changed": found.changed,
        "release": release["id"],
        "version": release["version"],
        "previous": found.current,
        "signer": signer,
        "status": change.UNCHANGED,
        "phases": {},
        "diff": _diff(component, params, found),
    }
    if not check_mode and bundle.install(component.host):
        result["changed"] = True
    if not found.changed:
        return result
    if check_mode:
        return {**result, "status": "planned"}
    try:
        phases = change.stage(component, params, release)
    except change.NeedsUpload:
        return {**result, "changed": False, "needs_artifact": True}
    order = Order.new(
        release["id"],
        params["change"],
        allow_rejected=bool(params["allow_rejected"]),
        keep=params["keep"],
        signer=signer,
    )
    change.launch(component, order)
    outcome = change.follow(component, order.attempt)
    return _merge(result, outcome, phases)


def rolled_back(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take components back; nothing on the controller is needed for what runs after it. Returns the module's result."""
    targets: list[tuple[Component, str]] = []
    if params.get("revert_change"):
        for component in _changed_by(params["revert_change"]):
            if params.get("component") in (None, component.name):
                target = change.release_before_change(component, params["revert_change"])
                if target is not None:
                    targets.append((component, target))
    else:
        component = Component(Layout(params["component"]))
        targets.append(
            (component, change.target_of_rollback(component, params.get("to"), bool(params["allow_rejected"])))
        )
    return _summary([_roll(component, target, params, check_mode) for component, target in targets])


def reverted(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take back what this very change confirmed here, because it was not good elsewhere. Returns the module's result.

    Each component is taken on its own: one that cannot go back does not keep the others from it.
    """
    stamp = {**params["change"], ABORTED: True}
    results: list[dict[str, Any]] = []
    stays: list[str] = []
    for component in _changed_by(stamp["id"]):
        try:
            target = change.release_before_change(component, stamp["id"])
        except Refused as exc:
            stays.append(str(exc))
            continue
        if target is not None:
            results.append(_roll(component, target, {**params, "change": stamp}, check_mode))
    found = _summary(results)
    return {**found, "warnings": found["warnings"] + ([f"stays as it is: {'; '.join(stays)}"] if stays else [])}


def _changed_by(change_id: str) -> list[Component]:
    """Return the components of this host that a change confirmed a release of, the last one first.

    Going back in this order passes only through combinations that were there before.
    """
    found = []
    for name in status.components(Layout("all")):
        component = Component(Layout(name))
        times = [
            entry["time"]
            for entry in component.ledger().entries
            if entry["state"] == CONFIRMED and entry["change"]["id"] == change_id
        ]
        if times:
            found.append((times[-1], component))
    return [component for _time, component in sorted(found, key=lambda item: item[0], reverse=True)]


def _was_only_taken_back(component: Component, params: dict[str, Any]) -> bool:
    """Say whether the release left this host because of others: nobody judged it here, so it may come again."""
    left = {name for name, entry in component.ledger().history.rejected.items() if entry["change"].get(ABORTED)}
    return bool(left) and describe(params)["id"] in left


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    bad = [item for item in results if item["status"] not in (CONFIRMED, change.UNCHANGED, "planned")]
    summary = (
        bad[0] if bad else results[0] if len(results) == 1 else {"status": CONFIRMED if results else change.UNCHANGED}
    )
    warnings = [warning for item in results for warning in item.get("warnings") or []]
    changed = any(item["changed"] for item in results)
    return {**summary, "changed": changed, "warnings": warnings, "rolled_back": results}


def _roll(component: Component, target: str, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    past = component.ledger().history
    result: dict[str, Any] = {
        "component": component.name,
        "changed": past.current != target,
        "release": target,
        "version": past.versions.get(target),
        "previous": past.current,
        "previous_version": past.versions.get(past.current or ""),
        "status": change.UNCHANGED,
        "phases": {},
    }
    if check_mode:
        return {**result, "status": "planned"}
    bundle.install(component.host)
    order = Order.new(target, params["change"], rollback=True, allow_rejected=bool(params["allow_rejected"]))
    change.launch(component, order)
    return _merge(result, change.follow(component, order.attempt), {})


def confirm(params: dict[str, Any]) -> dict[str, Any]:
    """Tell a waiting change that the controller came back, and return how it ended."""
    component = Component(Layout(params["component"]))
    flag = component.layout.confirm(params["confirm"])
    fs.write_atomic(flag, b"")
    outcome = change.follow(component, params["confirm"], confirmed=True)
    flag.unlink()
    return _merge({"changed": True, "phases": {}}, outcome, {})


def info(names: list[str]) -> list[dict[str, Any]]:
    """Return the status report of the named components, all when none is named."""
    layout = Layout("all")
    return [status.report(name, Host(), layout) for name in names or status.components(layout)]


def _merge(result: dict[str, Any], outcome: dict[str, Any], phases: dict[str, float]) -> dict[str, Any]:
    merged = {**result, **outcome, "phases": {**phases, **outcome.get("phases", {})}}
    if outcome["status"] == change.UNCHANGED:
        merged["changed"] = False
    return merged


def _diff(component: Component, params: dict[str, Any], found: change.Plan) -> list[dict[str, str]]:
    """Show each configuration file as it is and as it would be; secrets are not part of a release."""
    before = component.releases.content(found.current) if found.current else {}
    after = {item["dest"]: item.get("content") or "" for item in params.get("files") or []}
    shown = []
    if found.changed and found.current != found.release["id"]:
        shown.append(
            {
                "before_header": f"{component.name} current release",
                "after_header": f"{component.name} current release",
                "before": f"{found.current or 'none'}\n",
                "after": f"{found.release['id']}\n",
            }
        )
    for name in sorted(before.keys() | after.keys()):
        if before.get(name, "") != after.get(name, ""):
            header = f"{component.name}:{name}"
            shown.append(
                {
                    "before_header": header,
                    "after_header": header,
                    "before": before.get(name, ""),
                    "after": after.get(name, ""),
                }
            )
    return shown
