# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A silence for the hosts that are changed."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.module_utils.monitoring import silences
from ansible_collections.plano.delivery.plugins.plugin_utils import _plain

DOCUMENTATION = r"""
name: alertmanager_silence
short_description: Make the body of a request that silences hosts while they are changed
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns what C(POST /api/v2/silences) of Alertmanager takes. It begins now, matches one environment and exactly the
    named hosts, and ends by itself.
  - Alerts named C(Deploy...) are left alone, as they judge the change itself. So are all that have no label C(host), such as
    errors of the backend as a whole, which is what users feel.
positional: _input
options:
  _input:
    description: Names of the hosts, as the label C(host) has them.
    type: list
    elements: str
    required: true
  environment:
    description: The environment, as the label C(environment) has it.
    type: str
    required: true
  minutes:
    description: How long it lasts if nobody ends it before, a day (1440) at most.
    type: int
    required: true
  change:
    description: Id of the change, the one who made the silence.
    type: str
    required: true
  comment:
    description: Why.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Silence the hosts that are changed
  ansible.builtin.uri:
    url: "https://mon.example.com:9093/api/v2/silences"
    method: POST
    url_username: "{{ monitoring_user }}"
    url_password: "{{ monitoring_password }}"
    force_basic_auth: true
    ca_path: "{{ playbook_dir }}/mon-ca.crt"
    body_format: json
    body: "{{ ansible_play_hosts | plano.delivery.alertmanager_silence(environment='prod', minutes=30, change=plano_change_id,
      comment='kernel and reboot') }}"
  delegate_to: localhost
  run_once: true
  register: silence
"""

RETURN = r"""
_value:
  description: The body of the request; the answer has C(silenceID), by which C(DELETE /api/v2/silence/ID) ends it.
  type: dict
"""


def alertmanager_silence(hosts: Any, environment: Any, minutes: Any, change: Any, comment: Any) -> dict[str, Any]:
    given = _plain.plain({"hosts": hosts, "environment": environment, "change": change, "comment": comment})
    try:
        # Numbers of --extra-vars come as text.
        number = int(minutes) if isinstance(minutes, str) and minutes.isdecimal() else minutes
        return silences.silence(minutes=number, now=datetime.now(timezone.utc), **given)
    except InputError as exc:
        raise AnsibleFilterError("alertmanager_silence: " + "; ".join(exc.faults)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_silence": alertmanager_silence}
