# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a host out of its target group, or put it back, from the controller: also when the host does not answer."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.module_utils.aws import targets
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _aws

SPEC = {
    "target_group": {"type": "str", "required": True},
    "targets": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "required": True},
    "state": {"type": "str", "choices": ["serving", "drained"], "required": True},
    "beside": {"type": "list", "elements": "str", "default": []},
    "seconds": {"type": "int", "default": 0},
}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=SPEC)
        clock, apply = targets.Clock(), not self._task.check_mode
        try:
            name = args["target_group"]
            group = targets.Group(_aws.connect("elbv2", targets.region_of(name)), name, _aws.explained)
            if args["state"] == "drained":
                done = targets.drain(
                    group, args["targets"], args["port"], args["beside"], args["seconds"], apply, clock
                )
            else:
                done = targets.serve(group, args["targets"], args["port"], args["seconds"], apply, clock)
        except EngineError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        result.update(done)
        return result
