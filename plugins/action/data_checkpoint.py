# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stamp the change; the module does the rest on the host, and the controller takes the snapshot of an RDS instance."""

from __future__ import annotations

from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.aws import instances, restores
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _instances
from ansible_collections.plano.delivery.plugins.plugin_utils._data import DataAction

MADE = ("present", "protected")


class ActionModule(DataAction):
    """See the module of the same name."""

    def _carried_out(self, arguments: dict[str, Any], given: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        instance, name = _instances.text(given.get("snapshot_of")), _instances.text(given.get("name"))
        state = _instances.text(given.get("state")) or "present"
        if not instance:
            return super()._carried_out(arguments, given, task_vars)
        if state not in MADE or self._task.async_val:
            return {
                "failed": True,
                "msg": f"snapshot_of: only where a checkpoint is made (state {' or '.join(MADE)}), and not with async",
            }
        try:
            rds = _instances.connect()
            # What forbids a snapshot is told before a dump is made that should have had one.
            _live, planned, found = restores.look_for_snapshot(rds, instance, name, "")
        except EngineError as error:
            return {"failed": True, "msg": f"checkpoint {name} is not made, as it could have no snapshot: {error}"}
        began = rds.now()
        done = super()._carried_out(arguments, given, task_vars)
        if done.get("failed"):
            return done
        made = done.get("checkpoint") or {}
        took = float((done.get("seconds") or {}).get("total", 0))
        # One that this very task has made began later than the task, however long its dump and its upload took.
        late = instances.age_faults(name, str(made.get("at", "")), took, began) if found is None else []
        if late:
            return {**done, "failed": True, "msg": f"no snapshot is taken: {late[0]}. Give this one a new name"}
        if self._task.check_mode:
            asked = {"id": planned, "state": "planned"} if found is None else found.told()
            plan = {"plan": {**(done.get("plan") or {}), "snapshot": asked}}
            return {**done, **plan, "changed": bool(done.get("changed")) or found is None}
        try:
            told = restores.snapshotted(
                rds, instance, name, done["checkpoint"]["digest"], _instances.text(given.get("version"))
            )
        except EngineError as error:
            reason = f"checkpoint {name} stands, and can be restored; its snapshot {planned} does not: {error}"
            return {**done, "failed": True, "msg": f"{reason}. Run the same command again: it makes the snapshot alone"}
        return {**done, "snapshot": told["snapshot"], "changed": bool(done.get("changed")) or told["changed"]}
