# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what Prometheus is to read."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import prometheus
from ansible_collections.plano.delivery.plugins.plugin_utils import _prometheus

DOCUMENTATION = r"""
name: prometheus_faults
short_description: List what is wrong with what Prometheus is to read
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Takes what P(plano.delivery.prometheus_plan#filter) takes and returns every fault at once, each with where it is, so that a play
    can refuse them together with all other faults before it touches a host.
positional: _input
options:
  _input:
    description: Jobs with their hosts and addresses, probes, settings, and the paths of rules files besides those that are shipped.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what cannot be meant
  ansible.builtin.assert:
    that: description | plano.delivery.prometheus_faults | length == 0
"""

RETURN = r"""
_value:
  description: The faults; none when all is well.
  type: list
  elements: str
"""


def prometheus_faults(description: dict[str, Any]) -> list[str]:
    return prometheus.faults(_prometheus.with_rules(description))


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"prometheus_faults": prometheus_faults}
