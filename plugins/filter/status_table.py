# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of many hosts as one table."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible_collections.plano.delivery.plugins.module_utils.engine import status

DOCUMENTATION = r"""
name: status_table
short_description: Lay out what runs where as a table
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Turns results of M(plano.delivery.release_info) into a text table of component, host, version, since, state, standby, drift.
positional: _input, hosts
options:
  _input:
    description: Results of M(plano.delivery.release_info), one a host.
    type: list
    elements: dict
    required: true
  hosts:
    description: Names of the hosts, in the same order.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what runs where
  ansible.builtin.debug:
    msg: "{{ [found] | plano.delivery.status_table([inventory_hostname]) }}"
"""

RETURN = r"""
_value:
  description: The table, a line each.
  type: str
"""


def status_table(results: Iterable[Mapping[str, Any]], hosts: Iterable[str]) -> str:
    rows = [status.row(item, host) for host, result in zip(hosts, results) for item in result["components"]]
    return status.table(sorted(rows, key=lambda row: (row["component"], row["host"])))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"status_table": status_table}
