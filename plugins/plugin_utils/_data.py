# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the data modules' action plugins do on the controller."""

from __future__ import annotations

import ipaddress
from typing import Any, Mapping

from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.plugin_utils import _controller, _plain


class DataAction(ActionBase):
    """Send the module one request, stamped with who changes what and why, and with what monitoring calls the server."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        found = dict(task_vars or {})
        for name in ("plano_change_id", "plano_reason"):
            found[name] = self._templar.template(found.get(name)) or ""
        given = _plain.plain(self._task.args)
        here = str(self._task.delegate_to or found.get("inventory_hostname", ""))
        arguments = {
            **self._task.args,
            "change": _controller.change_stamp(found, given.get("change") or {}),
            "server": given.get("server") or server_name(str(given.get("login_host") or ""), here, _addresses(found)),
        }
        # An alert names the server too, also of an operation that failed.
        return {**result, **self._carried_out(arguments, given, task_vars), "server": arguments["server"]}

    def _carried_out(self, arguments: dict[str, Any], _given: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """Let the module do its work; *_given* are the options in plain words, for those who look at them first."""
        done: dict[str, Any] = self._execute_module(
            module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
        )
        return done


def server_name(address: str, here: str, hosts: Mapping[str, str]) -> str:
    """Return what monitoring calls the server at *address*: its name in the inventory, or the identifier of an RDS instance.

    *here* is the host that asks, *hosts* the names of the inventory by their addresses.
    """
    try:
        loopback, number = ipaddress.ip_address(address).is_loopback, True
    except ValueError:
        loopback, number = address in ("", "localhost") or address.startswith("/"), False
    if loopback:
        return here
    if address in hosts:
        return hosts[address]
    # host-db.abc123.eu-west-1.rds.amazonaws.com: the endpoint of an instance begins with its identifier.
    return address if number else address.partition(".")[0]


def _addresses(task_vars: Mapping[str, Any]) -> dict[str, str]:
    hostvars = task_vars.get("hostvars") or {}
    names = [str(name) for name in hostvars]
    return {
        **{str(_plain.plain(hostvars[name].get("ansible_host", name))): name for name in names},
        **{name: name for name in names},
    }
