# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the data modules' action plugins do on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.plugin_utils import _controller, _plain


class DataAction(ActionBase):
    """Send the module one request, stamped with who changes what and why."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = _plain.plain(self._task.args.get("change") or {})
        arguments = {**self._task.args, "change": _controller.change_stamp(task_vars or {}, given)}
        return {
            **result,
            **self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val),
        }
