# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grafana's settings, data sources and dashboards as files, from what the inventory says."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import grafana
from ansible_collections.plano.delivery.plugins.plugin_utils import _grafana

DOCUMENTATION = r"""
name: grafana_plan
short_description: Make Grafana's settings, data sources and dashboards from what the inventory says
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Turns one description into the files that Grafana 11.0.0 or newer reads when it starts. Secrets are not part of them, they
    name the files those are in.
  - Dashboards are those in C(files/dashboards) of the role C(grafana) and those that the description names.
  - All faults are refused together. P(plano.delivery.grafana_faults#filter) returns them instead.
positional: _input
options:
  _input:
    description:
      - The inputs of the role C(plano.delivery.grafana), without C(grafana_) before their names.
      - C(version), C(external_url), C(admin_password), C(secret_key), C(user) and C(prometheus_url) are needed. C(port),
        C(monitoring_password), C(alertmanager_url), C(scrape_interval), C(data_sources), C(folder), C(dashboards),
        C(shipped_dashboards), C(settings) and C(secrets) may be given.
    type: dict
    required: true
seealso:
  - plugin: plano.delivery.grafana_faults
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show which dashboards Grafana must have
  ansible.builtin.debug:
    msg: "{{ (description | plano.delivery.grafana_plan).expected.dashboards }}"
  vars:
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
  description: All that follows from the description.
  type: dict
  contains:
    files:
      description: What belongs into the release, each C(dest) and C(content).
      type: list
    secrets:
      description: Name to value; each is to be the file C(/run/credentials/plano-grafana.service/NAME).
      type: dict
    expected:
      description: The C(sources) and C(dashboards) that a Grafana with these files must have.
      type: dict
"""


def grafana_plan(description: Any) -> dict[str, Any]:
    try:
        return grafana.plan(_grafana.with_dashboards(description))
    except InputError as exc:
        count = "1 fault" if len(exc.faults) == 1 else f"{len(exc.faults)} faults"
        raise AnsibleFilterError(
            f"{count} in what Grafana is to show:\n" + "\n".join(f"- {fault}" for fault in exc.faults)
        ) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"grafana_plan": grafana_plan}
