# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what Alertmanager is to do."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.monitoring import alertmanager
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: alertmanager_faults
short_description: List what is wrong with what Alertmanager is to do
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Takes what P(plano.delivery.alertmanager_plan#filter) takes and returns every fault at once, each with where it is and
    what to do, so that a play can refuse them together with all other faults before it touches a host.
  - Alertmanager itself finds a part of them, one at a time. It takes routes that no alert reaches, and receivers that are
    never told.
  - No fault shows a secret.
positional: _input
options:
  _input:
    description: What Alertmanager is to do, as for P(plano.delivery.alertmanager_plan#filter).
    type: dict
    required: true
seealso:
  - plugin: plano.delivery.alertmanager_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Refuse what Alertmanager cannot do
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ description | plano.delivery.alertmanager_faults }}"
    description:
      version: "0.28.1"
      default_receiver: "ops"
      receivers:
        - name: "ops"
          webhook:
            - url: "https://example.com/alerts"
"""

RETURN = r"""
_value:
  description: The faults, empty when there is none.
  type: list
  elements: str
"""


def alertmanager_faults(description: Any) -> list[str]:
    return alertmanager.faults(_plain.plain(description))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_faults": alertmanager_faults}
