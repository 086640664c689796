# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of databases as one table."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping

from ansible_collections.plano.delivery.plugins.module_utils.engine import status

DOCUMENTATION = r"""
name: runs_table
short_description: Lay out runs of client data as a table
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Turns what M(plano.delivery.data_info) returns into a text table of host, run, kind, state, began, target, rows, by whom and why.
positional: _input, hosts
options:
  _input:
    description: Results of M(plano.delivery.data_info), one a host.
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
- name: Show what was done to the data
  ansible.builtin.debug:
    msg: "{{ [found] | plano.delivery.runs_table([inventory_hostname]) }}"
"""

RETURN = r"""
_value:
  description: The table, a line each.
  type: str
"""

COLUMNS = ("host", "run", "kind", "state", "began", "target", "rows", "actor", "reason")


def runs_table(results: Iterable[Mapping[str, Any]], hosts: Iterable[str]) -> str:
    rows = [_row(run, host) for host, result in zip(hosts, results) for run in result.get("runs") or []]
    return status.table(rows, COLUMNS) if rows else "No run has touched the data yet."


def _row(run: Mapping[str, Any], host: str) -> dict[str, str]:
    rows = run["details"].get("rows", "-")
    written = (
        sum(rows.get(kind, 0) for kind in ("inserted", "updated", "deleted")) if isinstance(rows, Mapping) else rows
    )
    return {
        "host": host,
        "run": run["id"],
        "kind": run["kind"],
        "state": run["state"],
        "began": run["began"][:19].replace("T", " "),
        "target": run["target"],
        "rows": str(written),
        "actor": run["actor"],
        "reason": run["reason"] or "-",
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"runs_table": runs_table}
