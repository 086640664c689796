# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: what the data modules have in common at their edge to Ansible."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .data.runs import Stamp
from .data.session import Login
from .engine.errors import EngineError

LOGIN: dict[str, Any] = {
    "login_db": {"type": "str", "required": True},
    "login_host": {"type": "str", "default": ""},
    "login_port": {"type": "int", "default": 5432},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_user": {"type": "str", "default": ""},
    "login_password": {"type": "str", "no_log": True},
    "session_role": {"type": "str", "default": ""},
    "ssl_mode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "prefer",
    },
    "ca_cert": {"type": "path", "default": ""},
    "lock_timeout": {"type": "float", "default": 10.0},
    "statement_timeout": {"type": "float", "default": 0.0},
}
CHANGE: dict[str, Any] = {
    "change": {
        "type": "dict",
        "default": {},
        "options": {name: {"type": "str"} for name in ("id", "actor", "reason", "commit")},
    },
    "version": {"type": "str", "default": ""},
    "server": {"type": "str", "default": ""},
}


def run(module: AnsibleModule, work: Callable[[Login, Stamp], dict[str, Any]]) -> None:
    """Do *work*, and end the module with its result or with what is wrong."""
    try:
        result = work(Login.of(module.params), stamp(module.params))
    except (EngineError, OSError) as error:
        module.fail_json(msg=str(error), **getattr(error, "details", {}))
    module.exit_json(**result)


def stamp(params: dict[str, Any]) -> Stamp:
    """Return who asks for the change and why."""
    given = {name: text or "" for name, text in (params.get("change") or {}).items()}
    return Stamp(
        given.get("actor") or "unknown",
        given.get("reason", ""),
        given.get("id", ""),
        params.get("version") or "",
        params.get("server") or "",
    )
