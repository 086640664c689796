# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what Grafana is to show."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import grafana
from ansible_collections.plano.delivery.plugins.plugin_utils import _grafana

DOCUMENTATION = r"""
name: grafana_faults
short_description: List what is wrong with what Grafana is to show
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Takes what P(plano.delivery.grafana_plan#filter) takes and returns every fault at once, each with where it is and what to
    do, so that a play can refuse them together with all other faults before it touches a host.
  - Grafana skips a dashboard that it cannot read, and shows an empty panel where a data source does not exist.
  - No fault shows a secret.
positional: _input
options:
  _input:
    description: What Grafana is to show, as for P(plano.delivery.grafana_plan#filter).
    type: dict
    required: true
seealso:
  - plugin: plano.delivery.grafana_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Refuse what Grafana cannot show
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ description | plano.delivery.grafana_faults }}"
    description:
      version: "12.1.0"
      external_url: "https://mon.example.com:3000"
      admin_password: "{{ vault_grafana_password }}"
      secret_key: "{{ vault_grafana_key }}"
      user: "plano"
      prometheus_url: "https://127.0.0.1:9090"
"""

RETURN = r"""
_value:
  description: The faults, empty when there is none.
  type: list
  elements: str
"""


def grafana_faults(description: Any) -> list[str]:
    try:
        return grafana.faults(_grafana.with_dashboards(description))
    except InputError as exc:
        return exc.faults


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"grafana_faults": grafana_faults}
