# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render on the controller, send one request to the host, bring the artifact only when the host lacks it."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.release import request_faults
from ansible_collections.plano.delivery.plugins.plugin_utils import _controller

MODULE = "plano.delivery.release"
# After its own deadline the host needs a moment to revert and to answer.
REVERT_GRACE_SECONDS = 45


def released(args: dict[str, Any], result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what serves now that did not before; a run that ends well tells Grafana of it."""
    kind = "deploy" if args.get("state", "present") == "present" else "rollback"
    return [
        {
            "component": item.get("component") or args.get("component"),
            "kind": kind,
            **{name: item.get(name) for name in ("version", "release", "previous")},
        }
        for item in result.get("rolled_back") or [result]
        if item.get("changed") and not item.get("failed") and item.get("status") == "confirmed"
    ]


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        args = copy.deepcopy(dict(self._task.args))
        known = {
            name: self._templar.template(task_vars[name])
            for name in ("plano_change_id", "plano_reason")
            if name in task_vars
        }
        args["change"] = _controller.change_stamp(
            {**known, "playbook_dir": task_vars.get("playbook_dir")}, args.get("change") or {}
        )
        try:
            if args.get("state", "present") == "present":
                result.update(self._present(args, task_vars))
            else:
                result.update(self._module(args, task_vars))
            if not result.get("failed") and not self._task.check_mode and args.get("pin_file"):
                self._pin(args, result)
        except EngineError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        result["change"] = args["change"]["id"]
        self._tell(args, result, str(task_vars.get("inventory_hostname")))
        moved = released(args, result)
        if moved:
            before = (task_vars.get("ansible_facts") or {}).get("plano_released") or []
            result["ansible_facts"] = {"plano_released": [*before, *moved]}
        return result

    def _tell(self, args: dict[str, Any], result: dict[str, Any], host: str) -> None:
        """Say in one line what happened: a run without -v shows no module's result."""
        for item in result.get("rolled_back") or [result]:
            if not item.get("changed") or item.get("failed"):
                continue
            switch = item.get("phases", {}).get("switch")
            took = f", switch {switch * 1000:.0f} ms" if switch is not None else ""
            name = item.get("component") or args.get("component")
            if item.get("status") == "unchanged":
                self._display.display(f"{host}: {name} unchanged, the engine on the host was brought up to date")
                continue
            move = f"{item.get('previous') or 'none'} -> {item.get('release')} {item.get('status')}"
            self._display.display(f"{host}: {name} {move}{took}, change {result['change']}")

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(module_name=MODULE, module_args=args, task_vars=task_vars)

    def _present(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        for item in args.get("files") or []:
            if item.get("src"):
                item["content"] = self._render(item.pop("src"), task_vars)
        # Not yet what the module makes of it: the text 'false' would be true here.
        required = boolean(args.get("require_signature"), strict=False)
        faults = request_faults({**args, "require_signature": required})
        if faults:
            raise AnsibleActionFail(f"{len(faults)} faults, no host was touched: " + "; ".join(faults))
        artifact = args.get("artifact") or {}
        local = _controller.find_local(artifact)
        if artifact:
            artifact["local"] = local is not None
            artifact["sources"] = _controller.presigned(map(str, artifact["sources"]))
        result = self._module(args, task_vars)
        if result.get("needs_artifact") and local is not None:
            result = self._with_upload(args, local, task_vars)
        if result.get("status") == "waiting":
            result = self._come_back(args, result, task_vars)
        return result

    def _render(self, src: str, task_vars: dict[str, Any]) -> str:
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        return "".join(lookup.run([src], variables=task_vars))

    def _with_upload(self, args: dict[str, Any], local: Path, task_vars: dict[str, Any]) -> dict[str, Any]:
        faults = _controller.source_faults({**args["artifact"], "sources": [local.as_uri()]})
        if faults:
            raise EngineError(f"artifact {args['artifact']['version']}: {'; '.join(faults)}")
        folder = self._make_tmp_path()
        try:
            remote = self._connection._shell.join_path(folder, "artifact")
            self._transfer_file(str(local), remote)
            args["artifact"]["uploaded"] = remote
            return self._module(args, task_vars)
        finally:
            self._remove_tmp_path(folder)

    def _come_back(self, args: dict[str, Any], first: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Prove that this host can still be reached: confirm over a connection that did not exist before."""
        question = {"component": args["component"], "change": args["change"], "confirm": first["attempt"]}
        deadline = time.monotonic() + float(args["confirm_within"]) + REVERT_GRACE_SECONDS
        while True:
            try:
                self._connection.reset()
                answer = self._module(question, task_vars)
            except AnsibleConnectionFailure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
                continue
            if answer.get("unreachable") and time.monotonic() < deadline:
                continue
            kept = {key: first[key] for key in ("diff", "previous", "version", "release") if key in first}
            return {**kept, **answer, "phases": {**first.get("phases", {}), **answer.get("phases", {})}}

    def _pin(self, args: dict[str, Any], result: dict[str, Any]) -> None:
        """A rollback pins the version it went to; allowing the rejected version again lifts that pin."""
        path = Path(args["pin_file"])
        if args.get("state", "present") == "present":
            if args.get("allow_rejected") and args.get("artifact") and path.exists():
                _controller.update_pins(path, {args["component"]: None})
            return
        pins: dict[str, dict[str, Any] | None] = {}
        for item in result.get("rolled_back") or []:
            if item["changed"] and item["version"] != item["previous_version"]:
                pins[item["component"]] = {
                    "version": item["version"],
                    "instead_of": item["previous_version"],
                    "change": args["change"]["id"],
                    "reason": args["change"]["reason"],
                }
        if pins:
            _controller.update_pins(path, pins)
            result["pinned"] = pins
