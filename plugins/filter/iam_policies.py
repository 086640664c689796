# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least rights of those who work on an environment."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible_collections.plano.delivery.plugins.module_utils.aws import policies
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: iam_policies
short_description: Tell the least rights of those who work on an environment
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns IAM's policy documents for what deploys, works on data, changes the edge, monitors, audits and provisions, limited to one
    environment, and the trust policy by which a GitHub workflow takes up the deploy role.
positional: _input
options:
  _input:
    description: C(account), C(region), C(environment), C(name) and C(bucket), and C(repository) (ORG/REPO) for the trust policy.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what the deploy role may do
  ansible.builtin.debug:
    msg: "{{ (scope | plano.delivery.iam_policies).deploy }}"
  vars:
    scope: {account: "123456789012", region: sa-east-1, environment: prod, name: plano-prod, bucket: example-artifacts}
"""

RETURN = r"""
_value:
  description: C(audit), C(data), C(deploy), C(edge), C(monitor), C(provision_hosts) and C(provision_services), and C(github_trust) where a repository is named.
  type: dict
"""


def iam_policies(given: Mapping[str, Any]) -> dict[str, Any]:
    values = _plain.plain(given)
    repository = values.pop("repository", "")
    scope = policies.Scope(**values)
    found = {name: make(scope) for name, make in policies.POLICIES.items()}
    if repository:
        found["github_trust"] = policies.github_trust(scope.account, repository, scope.environment)
    return found


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"iam_policies": iam_policies}
