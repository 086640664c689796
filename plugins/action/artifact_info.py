# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List what is published, from the controller."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.action.artifact import PLACE, opened
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain, _s3

SPEC = {**PLACE, "component": {"type": "str", "default": ""}, "version": {"type": "str", "default": ""}}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, args = self.validate_argument_spec(SPEC, required_by={"version": "component"})
        try:
            args = _plain.plain(args)
            bucket = opened(args)
            found = _s3.listed(bucket, args["component"], args["version"])
        except EngineError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        catalog: dict[str, list[dict[str, Any]]] = {}
        artifacts = []
        for item, each in found:
            artifact, url = each.artifact, bucket.place.url(each.key)
            if artifact is None:
                continue
            catalog.setdefault(artifact.component, []).append(artifact.entry(url))
            artifacts.append(
                {
                    "component": artifact.component,
                    **artifact.entry(url),
                    "size": each.size,
                    "published": item["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "encryption": each.details.get("ServerSideEncryption", ""),
                }
            )
        result.update(changed=False, artifacts=artifacts, catalog=catalog)
        return result
