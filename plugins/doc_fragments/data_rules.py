# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that judge rules."""

    DOCUMENTATION = r"""
options:
  rules:
    description:
      - The rules, each with C(name), C(check), C(table), C(severity) (V(critical) or V(warn)), C(max_failures) (rows, or a share such as V(0.5%))
        and what its check asks for. C(docs/data-imports.md) of the collection lists the checks.
      - All rules are looked at before any is judged; everything wrong with any of them is told at once.
    type: list
    elements: dict
    default: []
  rules_file:
    description: A YAML or JSON file on this host with a list of rules, or a mapping with C(rules); they come before those of O(rules).
    type: path
    default: ""
  checkpoint:
    description: Name of a checkpoint on this host, which rules with C(against) V(checkpoint) compare with.
    type: str
    default: ""
  checkpoint_folder:
    description: Folder of the checkpoints.
    type: path
    default: /var/lib/plano/checkpoints
  max_keys:
    description: How many keys of failing rows are kept of each rule; the counts are always whole.
    type: int
    default: 1000
  fail:
    description: Whether the task fails when a critical rule is broken. The result is the same without.
    type: bool
    default: true
"""
