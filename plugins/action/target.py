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

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
except ImportError:
    boto3 = None

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
            group = targets.Group(self._client(args["target_group"]), args["target_group"])
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

    def _client(self, group: str) -> Any:
        if boto3 is None:
            raise targets.TargetError("a target group needs boto3 on the controller: pip install boto3")
        # Throttled calls are repeated with growing pauses, by botocore itself.
        patience = Config(retries={"mode": "standard", "total_max_attempts": 8}, connect_timeout=10, read_timeout=30)
        try:
            return boto3.client("elbv2", region_name=targets.region_of(group), config=patience)
        except BotoCoreError as exc:
            raise targets.TargetError(
                f"target group {group}: {exc} Name it by its ARN, which says the region."
            ) from exc
