# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stamp the change; the module does the rest on the host. An RDS instance is restored and renamed from here, and compared by the host."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.plano.delivery.plugins.module_utils.aws import instances, restores
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _instances
from ansible_collections.plano.delivery.plugins.plugin_utils._data import DataAction

FLOWS = {"restored": restores.restored, "swapped_back": restores.taken_back}


class ActionModule(DataAction):
    """See the module of the same name."""

    def _carried_out(self, arguments: dict[str, Any], given: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        told = {
            name: _instances.text(given.get(name))
            for name in ("instance", "checkpoint", "to_time", "confirm", "run_id", "login_host")
        }
        state = _instances.text(given.get("state")) or "restored"
        if not told["instance"]:
            if told["to_time"]:
                return _failed("to_time: only an instance goes back to a time; name it (instance)")
            return super()._carried_out(arguments, given, task_vars)
        if told["to_time"]:
            told = {**told, **{name: instances.one_spelling(told[name]) for name in ("to_time", "confirm")}}
            arguments = {**arguments, "to_time": told["to_time"], "confirm": told["confirm"]}
        if state not in FLOWS:
            return _failed(
                f"state {state} is not for an instance: it would make one, compare it and have to delete it, which the policy 'data' lets nobody"
                " do. Drill the checkpoint itself (without instance), which holds the same rows"
            )
        if told["run_id"] or self._task.async_val:
            return _failed(
                "run_id and async are not for an instance: what goes on, and from where, is read from the instances' tags"
            )
        order = instances.Order(
            told["instance"], told["checkpoint"], told["to_time"], told["confirm"], told["login_host"],
            boolean(given.get("allow_difference", False)),
        )  # fmt: skip

        def ask(step: str, **part: Any) -> Mapping[str, Any]:
            try:
                done: dict[str, Any] = self._execute_module(
                    module_args={**arguments, "part": {"step": step, **part}}, task_vars=task_vars
                )
            except AnsibleError as error:
                # A connection that is lost while the name is away must not end the task: what was begun is taken back first, and told.
                raise restores.InstanceError(
                    f"the data host could not be asked ({step}): {str(error).rstrip('.')}"
                ) from error
            if done.get("failed"):
                raise restores.InstanceError(str(done.get("msg", f"{step} failed")).rstrip("."))
            return done

        allow_loss = boolean(given.get("allow_loss", False))
        try:
            return FLOWS[state](_instances.connect(), order, ask, allow_loss, self._task.check_mode)
        except EngineError as error:
            return _failed(str(error))


def _failed(why: str) -> dict[str, Any]:
    return {"failed": True, "msg": why}
