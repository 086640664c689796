# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring an environment's part of an AWS account to what is described, from the controller."""

from __future__ import annotations

from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import describe
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision.plan import Item, Outcome
from ansible_collections.plano.delivery.plugins.plugin_utils._provision import Account, ProvisionAction


class ActionModule(ProvisionAction):
    kinds = describe.ENVIRONMENT_KINDS
    spec = {
        "network": {"type": "dict", "default": {}},
        "controller_sources": {"type": "list", "elements": "str", "default": []},
        "database_sources": {"type": "list", "elements": "str", "default": []},
        "backend_sources": {"type": "list", "elements": "str", "default": []},
        "backend_port": {"type": "int", "default": 8080},
        "backend_health_path": {"type": "str", "default": "/health"},
        "key": {"type": "dict", "default": {}},
        "instances": {"type": "list", "elements": "dict", "default": []},
        "instance_policies": {"type": "dict", "default": {}},
        "database": {"type": "dict", "default": {}},
        "bucket": {"type": "dict", "default": {}},
        "balancer": {"type": "dict", "default": {}},
        "delete_bucket_content": {"type": "bool", "default": False},
    }

    def faults(self, given: dict[str, Any]) -> list[str]:
        return describe.faults(given)

    def items(self, given: dict[str, Any], account: Account) -> list[Item]:
        behind = given["balancer"].get("only_cloudfront")
        lists = {describe.CLOUDFRONT_LIST: account.cloudfront_addresses()} if behind else {}
        return describe.environment(describe.completed(given), lists)

    def tells(self, outcome: Outcome) -> dict[str, Any]:
        found = outcome.found
        one = {
            key: {"id": found[key].id, **found[key].tells}
            for key in ("vpc", "database", "bucket", "target_group", "balancer")
            if key in found
        }
        hosts = {
            thing.name: {"id": thing.id, **thing.tells} for key, thing in found.items() if key.startswith("instance_")
        }
        return {**one, "instances": hosts}
