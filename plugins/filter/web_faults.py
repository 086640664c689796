# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the one user that Prometheus and its exporters answer."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.filter import web_config

DOCUMENTATION = r"""
name: web_faults
short_description: List what is wrong with the password of the monitoring
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Takes what P(plano.delivery.web_config#filter) takes and returns every fault at once, so that a play can refuse them together
    with all other faults before it touches a host. No fault tells a secret.
positional: _input, user, salt
options:
  _input:
    description: The password.
    type: str
    required: true
  user:
    description: Who may come in.
    type: str
    required: true
  salt:
    description: Random text, 16 characters at least, made once and kept as the password is.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a password that cannot be used
  ansible.builtin.assert:
    that: monitoring_password | plano.delivery.web_faults('plano', monitoring_password_salt) | length == 0
"""

RETURN = r"""
_value:
  description: The faults; none when all is well.
  type: list
  elements: str
"""


def web_faults(password: Any, user: Any, salt: Any) -> list[str]:
    return [f"monitoring: {fault}" for fault in web_config.faults(str(password), str(user), str(salt))]


class FilterModule:
    """What Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"web_faults": web_faults}
