# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alertmanager's configuration, its secrets and the tests of its routes, from who hears of what."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import alertmanager
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: alertmanager_plan
short_description: Make Alertmanager's configuration, its secrets and tests from who hears of what
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Turns one description into the configuration of Alertmanager 0.25.0 or newer. Secrets are not part of it, it names the
    files they are in.
  - Follows the routes as Alertmanager does. What no alert reaches, and what its tests do not find where it should be, is
    refused, with all other faults. P(plano.delivery.alertmanager_faults#filter) returns them instead.
  - Works on the controller and asks nobody.
positional: _input
options:
  _input:
    description:
      - The inputs of the role C(plano.delivery.alertmanager), without C(alertmanager_) before their names.
      - C(version), C(receivers) and C(default_receiver) are needed. C(port), C(external_url), C(retention),
        C(watchdog_receiver), C(group_by), C(group_wait), C(group_interval), C(repeat_interval), C(routes), C(inhibitions),
        C(mute_times), C(templates) and C(route_tests) may be given.
    type: dict
    required: true
seealso:
  - plugin: plano.delivery.alertmanager_faults
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write down what Alertmanager is to do
  ansible.builtin.copy:
    content: "{{ (description | plano.delivery.alertmanager_plan).configuration }}"
    dest: "/tmp/alertmanager.yml"
    mode: "0644"
  vars:
    description:
      version: "0.28.1"
      default_receiver: "ops"
      receivers:
        - name: "ops"
          email:
            - to: "ops@example.com"
              from: "alerts@example.com"
              smarthost: "smtp.example.com:587"
      routes:
        - matchers: ['severity="page"']
          repeat_interval: "1h"
"""

RETURN = r"""
_value:
  description: All that follows from the description.
  type: dict
  contains:
    configuration:
      description: The text of C(alertmanager.yml).
      type: str
    files:
      description: What belongs into the release, the configuration and the templates, each C(dest) and C(content).
      type: list
    secrets:
      description: Name to value; each is to be the file C(/run/credentials/plano-alertmanager.service/NAME).
      type: dict
    tests:
      description: C(labels) of alerts and the C(receivers) that hear of them, those of C(route_tests) first, then what follows
        from the routes.
      type: list
    validate:
      description: Commands of C(amtool) that must accept the staged release.
      type: list
    retention:
      description: How long data is kept, as the command line takes it.
      type: str
"""


def alertmanager_plan(description: Any) -> dict[str, Any]:
    try:
        return alertmanager.plan(_plain.plain(description))
    except InputError as exc:
        count = "1 fault" if len(exc.faults) == 1 else f"{len(exc.faults)} faults"
        raise AnsibleFilterError(
            f"{count} in what Alertmanager is to do:\n" + "\n".join(f"- {fault}" for fault in exc.faults)
        ) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_plan": alertmanager_plan}
