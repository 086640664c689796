# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the inputs of all roles for all hosts on the controller, before any host is touched."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.plugin_utils import _controller

ROLES = Path(__file__).resolve().parents[2] / "roles"
# A value made of facts, its own host's or another's, can only be known once the hosts were asked.
FACTS = ("ansible_facts", "hostvars[")


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        groups = task_vars["groups"]
        seen: dict[tuple[str, ...], list[str]] = {}
        # What several roles share, such as a password, is one fault: told once, with all roles and hosts.
        found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
        for host in task_vars["ansible_play_hosts_all"]:
            mine: dict[str, tuple[str, dict[str, Any]]] = {}
            for group, roles in self._task.args["roles"].items():
                for item in roles if host in groups.get(group, []) else []:
                    role, given = (item, {}) if isinstance(item, str) else (item["role"], item["vars"])
                    mine[" ".join([role, *map(str, given.values())])] = (role, given)
            for title, (role, given) in mine.items():
                for fault in self._role_faults(host, role, given, task_vars, seen):
                    hosts, titles = found.setdefault(fault, ({}, {}))
                    hosts[host] = titles[title] = None
        mixed = self._inventories(task_vars)
        if mixed:
            found[mixed] = (dict.fromkeys(task_vars["ansible_play_hosts_all"]), {"inventory": None})
        if found:
            lines = [f"{', '.join(hosts)}: {', '.join(titles)}: {fault}" for fault, (hosts, titles) in found.items()]
            count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
            raise AnsibleActionFail(
                f"{count} in the inputs, no host was touched:\n" + "\n".join(f"- {line}" for line in lines)
            )
        given = self._templar.template(task_vars.get("plano_change_id"))
        result.update(changed=False, change=str(given or _controller.run_id()))
        return result

    def _inventories(self, task_vars: dict[str, Any]) -> str:
        """Say that hosts of several environments are about to be changed at once, each with the variables of the other, if so."""
        raw = task_vars["hostvars"].raw_get
        folders = {str(raw(host).get("inventory_dir")) for host in task_vars["ansible_play_hosts_all"]} - {"None"}
        if len(folders) < 2:
            return ""
        return f"the hosts are of several inventories ({', '.join(sorted(folders))}), so their variables would mix: name one of them by -i"

    def _role_faults(
        self,
        host: str,
        role: str,
        given: dict[str, Any],
        task_vars: dict[str, Any],
        seen: dict[tuple[str, ...], list[str]],
    ) -> list[str]:
        options = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        spec = options["argument_specs"]["main"]["options"]
        defaults = self._role_file(role, "defaults")
        variables = {
            **defaults,
            **dict(task_vars["hostvars"].raw_get(host)),
            **self._role_file(role, "vars"),
            **given,
            "hostvars": task_vars["hostvars"],
        }
        templar = self._templar.copy_with_new_env(available_variables=variables)
        if self._is_idle(role, variables, templar):
            return []
        faults: list[str] = []
        values: dict[str, Any] = {}
        # What the role finds by its name's beginning, such as the firewall's lists of all groups, is in no specification.
        skipped = [
            name for name in variables if name.startswith(f"{role}_") and name not in spec and _later(variables[name])
        ]
        for name in spec:
            if variables.get(name) is None:
                continue
            if _later(variables[name]):
                skipped.append(name)
                continue
            try:
                values[name] = templar.template(variables[name])
            except AnsibleError as exc:
                faults.append(f"{name}: {exc.message}")
                skipped.append(name)
        checked = {name: option for name, option in spec.items() if name not in skipped}
        faults += ArgumentSpecValidator(checked).validate(values).error_messages
        catalog, wanted = values.get(f"{role}_artifacts"), values.get(f"{role}_version")
        if isinstance(catalog, list) and wanted is not None:
            component = self._component(role, variables, templar)
            version = _controller.pinned(variables.get("plano_pins") or {}, component, str(wanted))
            if boolean(templar.template(variables.get("release_allow_rejected")), strict=False):
                version = str(wanted)
            faults += _controller.catalog_faults(component, catalog, version, seen)
            if not {"release_allowed_signers", "release_require_signature"} & set(skipped):
                allowed = str(values.get("release_allowed_signers") or "")
                required = boolean(values.get("release_require_signature"), strict=False)
                faults += _controller.signature_faults(component, catalog, version, allowed, required, seen)
        if not skipped:
            faults += self._own_faults(role, variables, templar, faults)
        return faults

    def _component(self, role: str, variables: dict[str, Any], templar: Any) -> str:
        try:
            return str(templar.template(variables.get(f"__{role}_component", role)))
        except AnsibleError:
            # What it is made of is missing, which is a fault of its own.
            return role

    def _is_idle(self, role: str, variables: dict[str, Any], templar: Any) -> bool:
        """Ask the role's vars, by __ROLE_idle, whether it has nothing to do on this host, so that nothing of it can be wrong."""
        try:
            return boolean(templar.template(variables.get(f"__{role}_idle", False)), strict=False)
        except AnsibleError:
            # What is missing or malformed is named with its own name.
            return False

    def _own_faults(self, role: str, variables: dict[str, Any], templar: Any, faults: list[str]) -> list[str]:
        """Ask the role's vars for what an argument specification cannot say: the list __ROLE_preflight, if it has one.

        It is made of the role's inputs alone, so it is not asked while one of them is not known yet.
        """
        own = f"__{role}_preflight"
        if own not in variables:
            return []
        try:
            return [str(fault) for fault in templar.template(variables[own])]
        except AnsibleError as exc:
            # What is missing or malformed was named before.
            return [] if faults else [f"{own}: {exc.message}"]

    def _role_file(self, role: str, kind: str) -> dict[str, Any]:
        path = ROLES / role / kind / "main.yml"
        if not path.is_file():
            return {}
        # Since ansible-core 2.19 a template must come from a trusted source; our own role is one.
        trust = {"trusted_as_template": True} if "trusted_as_template" in self._load_options else {}
        return self._loader.load_from_file(str(path), **trust) or {}

    @property
    def _load_options(self) -> set[str]:
        return set(inspect.signature(self._loader.load_from_file).parameters)


def _later(value: Any) -> bool:
    """Say whether a value is known only once the hosts were asked."""
    return any(word in str(value) for word in FACTS)
