# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' configuration, made of what the inventory says."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import prometheus
from ansible_collections.plano.delivery.plugins.plugin_utils import _prometheus

DOCUMENTATION = r"""
name: prometheus_plan
short_description: Make Prometheus' configuration of what the inventory says
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns the files of a configuration, the secrets beside it, and what a Prometheus that runs it must answer. The role
    C(prometheus) makes the description of its own options.
positional: _input
options:
  _input:
    description: Jobs with their hosts and addresses, probes, settings, and the paths of rules files besides those that are shipped.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show Prometheus' configuration
  ansible.builtin.debug:
    msg: "{{ (description | plano.delivery.prometheus_plan)['files']['config/prometheus.yml'] }}"
"""

RETURN = r"""
_value:
  description: Key C(files), path in the release to text; C(rules), the paths among them that are rules; C(secrets), name to value.
  type: dict
"""


def prometheus_plan(description: dict[str, Any]) -> dict[str, Any]:
    whole = _prometheus.with_rules(description)
    found = prometheus.faults(whole)
    if found:
        raise AnsibleFilterError(f"prometheus_plan: {'; '.join(found)}")
    return prometheus.plan(whole)


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"prometheus_plan": prometheus_plan}
