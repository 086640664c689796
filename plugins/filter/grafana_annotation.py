# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change did, as an annotation on Grafana's dashboards."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import annotations
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: grafana_annotation
short_description: Make an annotation of what a change did
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns the body of a request to Grafana's C(/api/annotations), or nothing where nothing was changed. It spans from the change's
    beginning, which its id says, until now.
positional: _input
options:
  _input:
    description: Name of a host to the fact C(plano_released) of it, which every M(plano.delivery.release) that changed something adds to.
    type: dict
    required: true
  environment:
    description: Name of the environment.
    type: str
    required: true
  change:
    description: Id of the change.
    type: str
    required: true
  reason:
    description: Why it was made.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Tell Grafana what was changed
  ansible.builtin.uri:
    url: https://grafana.example.com/api/annotations
    method: POST
    url_username: admin
    url_password: "{{ grafana_admin_password }}"
    force_basic_auth: true
    body_format: json
    body: "{{ {inventory_hostname: ansible_facts.plano_released | default([])}
      | plano.delivery.grafana_annotation(environment='prod', change=plano_change_id) }}"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The body of the request.
  type: dict
"""


def grafana_annotation(released: Any, environment: Any, change: Any, reason: Any = "") -> dict[str, Any]:
    return annotations.annotation(
        _plain.plain(released), str(environment), str(change), str(reason), datetime.now(timezone.utc)
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"grafana_annotation": grafana_annotation}
