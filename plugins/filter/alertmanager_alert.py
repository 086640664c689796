# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An alert at once, where a rule would first wait for a scrape."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import alarms
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: alertmanager_alert
short_description: Make the body of a request that tells Alertmanager of a failure at once
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns what C(POST /api/v2/alerts) of Alertmanager takes, for an operation on client data that failed.
  - Its labels are those of the rule of the same name, so that Alertmanager takes it and what Prometheus finds a moment later for one
    alert, and Prometheus ends it. Where Prometheus never sees it, it ends by itself.
positional: _input
options:
  _input:
    description: Name of the alert.
    type: str
    choices: [ImportReverted, ImportHeld, ImportFailed, CheckpointUnverified, RestoreFailed, DataOperationFailed]
    required: true
  environment:
    description: The environment, as the label C(environment) has it.
    type: str
    required: true
  labels:
    description:
      - C(database), what monitoring calls the server (C(server) in the result of the data modules), and C(datname), the database;
        for imports also C(target), for C(DataOperationFailed) also C(operation).
    type: dict
    required: true
  reason:
    description: What happened; people read it, so no values of clients.
    type: str
    required: true
  minutes:
    description: When it ends by itself, a day (1440) at most.
    type: int
    default: 10
  external:
    description: Labels that this Prometheus adds to all its alerts (C(prometheus_external_labels)).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Tell of it at once
  ansible.builtin.uri:
    url: "https://mon.example.com:9093/api/v2/alerts"
    method: POST
    url_username: "{{ monitoring_user }}"
    url_password: "{{ monitoring_password }}"
    force_basic_auth: true
    ca_path: "{{ playbook_dir }}/mon-ca.crt"
    body_format: json
    body: "{{ 'ImportHeld' | plano.delivery.alertmanager_alert(environment='prod', reason=imported.msg,
      labels={'database': imported.server, 'datname': 'shop', 'target': 'public.clients'}) }}"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The body of the request, a list of one alert.
  type: list
  elements: dict
"""


def alertmanager_alert(
    name: Any, environment: Any, labels: Any, reason: Any, minutes: Any = 10, external: Any = None
) -> list[dict[str, Any]]:
    given = _plain.plain(
        {"name": name, "environment": environment, "labels": labels, "reason": reason, "external": external or {}}
    )
    try:
        # Numbers of --extra-vars come as text.
        number = int(minutes) if isinstance(minutes, str) and minutes.isdecimal() else minutes
        return alarms.alarm(minutes=number, now=datetime.now(timezone.utc), **given)
    except InputError as exc:
        raise AnsibleFilterError("alertmanager_alert: " + "; ".join(exc.faults)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_alert": alertmanager_alert}
