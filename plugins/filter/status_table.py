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
  - A host that did not answer has a line that says so.
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
    rows = [row for host, result in zip(hosts, results) for row in _rows(result, host)]
    return status.table(sorted(rows, key=lambda row: (row["component"], row["host"])))


def _rows(result: Mapping[str, Any], host: str) -> list[dict[str, str]]:
    """Return a line for each component; a host that did not answer, or has none, gets a line too."""
    if result.get("components"):
        return [status.row(item, host) for item in result["components"]]
    state, why = ("absent", "none") if "components" in result else ("no answer", result.get("msg") or "unknown")
    blank = dict.fromkeys(status.COLUMNS, "-")
    return [{**blank, "host": host, "state": state, "drift": why.strip().splitlines()[-1]}]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"status_table": status_table}
