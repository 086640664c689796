# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring what stands before an environment's load balancer to what is described, from the controller."""

from __future__ import annotations

from typing import Any

from ansible_collections.plano.delivery.plugins.module_utils.aws.provision import describe
from ansible_collections.plano.delivery.plugins.module_utils.aws.provision.plan import Item, Outcome
from ansible_collections.plano.delivery.plugins.plugin_utils._provision import Account, ProvisionAction


class ActionModule(ProvisionAction):
    kinds = describe.EDGE_KINDS
    spec = {
        "aliases": {"type": "list", "elements": "str", "default": []},
        "origin": {"type": "str", "default": ""},
        "origin_secret": {"type": "str", "default": "", "no_log": True},
        "certificate": {"type": "str", "default": ""},
        "regional_rules": {"type": "dict", "default": {}},
        "global_rules": {"type": "dict", "default": {}},
        "rate": {"type": "int", "default": 0},
        "rate_action": {"type": "str", "default": "block"},
        "price_class": {
            "type": "str",
            "default": "PriceClass_All",
            "choices": ["PriceClass_100", "PriceClass_200", "PriceClass_All"],
        },
        "cache_policy": {"type": "str", "required": True},
        "request_policy": {"type": "str", "required": True},
        "log_bucket": {"type": "str", "default": ""},
    }

    def faults(self, given: dict[str, Any]) -> list[str]:
        return describe.edge_faults(given)

    def items(self, given: dict[str, Any], account: Account) -> list[Item]:
        return describe.edge(given)

    def tells(self, outcome: Outcome) -> dict[str, Any]:
        found = outcome.found
        told = {key: {"id": found[key].id} for key in ("web_acl", "global_web_acl") if key in found}
        if "distribution" in found:
            thing = found["distribution"]
            told["distribution"] = {
                "id": thing.id,
                "arn": thing.tells["arn"],
                "domain_name": thing.tells["domain_name"],
            }
        return told
