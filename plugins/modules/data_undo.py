#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_undo
short_description: Undo one run, or all that came after a mark; everything else stays
version_added: 0.1.0
description:
  - Brings the rows that a run has written back to what they were, with the action log of M(plano.delivery.data_log), in one transaction.
  - Refuses, with the list, when a row was changed later by others, when rows of others refer to one that would go, when the parent of
    one that would come back is gone, or when another row has its unique value now.
  - An undo is a run itself, and can be undone. Undoing what is undone already changes nothing.
  - A run that an application has made by setting C(plano.run_id) itself is undone as well as one of M(plano.delivery.data_run).
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Returns the whole plan, with conflicts and an estimate of the time. Nobody is kept from writing.
  diff_mode:
    support: full
    description: Shows counts a table; rows only with O(shown_rows).
  platform:
    platforms: posix
options:
  run:
    description: Id of the run to undo.
    type: str
    default: ""
  mark:
    description: Undo everything on logged tables that came after this mark, writes without a run too.
    type: str
    default: ""
  run_id:
    description: Id of the undo's own run; derived from what is undone when empty.
    type: str
    default: ""
  on_conflict:
    description: V(skip) leaves rows that cannot go back, and what must stay with them, as they are.
    type: str
    choices: [refuse, skip]
    default: refuse
  conflict_rows:
    description: How many conflicting rows to list, by their keys, which are clients' data; V(0) lists none, and they are counted all the same.
    type: int
    default: 20
  shown_rows:
    description: How many rows a table to show before and after. They are clients' data and go wherever the output goes.
    type: int
    default: 0
  wait:
    description: Seconds to wait while another undo, or another change of the data, is at work.
    type: float
    default: 0.0
seealso:
  - module: plano.delivery.data_log
  - module: plano.delivery.data_run
"""

EXAMPLES = r"""
- name: See what undoing a distribution would do
  plano.delivery.data_undo:
    login_db: app
    session_role: app_owner
    run: 2026-07-distribution
  check_mode: true
  diff: true

- name: Undo it
  plano.delivery.data_undo:
    login_db: app
    session_role: app_owner
    run: 2026-07-distribution
    change:
      reason: wrong rates

- name: Go back to a mark
  plano.delivery.data_undo:
    login_db: app
    session_role: app_owner
    mark: before-july
"""

RETURN = r"""
run_id:
  description: Id of the undo's run; undo that one to have the rows again.
  type: str
  returned: always
  sample: undo-2026-07-distribution-1
reverts:
  description: What was undone.
  type: str
  returned: always
  sample: run 2026-07-distribution
runs:
  description: Runs that are reverted by it.
  type: list
  elements: str
  returned: always
  sample: ["2026-07-distribution"]
rows:
  description: How many rows went back.
  type: int
  returned: always
  sample: 1204
skipped:
  description: How many rows could not.
  type: int
  returned: always
  sample: 0
tables:
  description: Rows that came back (insert), changed back (update), went (delete) or stayed (skipped), a table.
  type: list
  elements: dict
  returned: always
  sample:
    - {table: public.results, insert: 0, update: 0, delete: 1204, skipped: 0}
conflicts:
  description: Rows that cannot go back, why, and who has changed them later as far as the log knows; up to O(conflict_rows).
  type: list
  elements: dict
  returned: always
  sample:
    - table: public.clients
      key: {id: "7"}
      reason: was changed later
      by: {run: 2026-08-import, role: app, at: "2026-08-01T10:00:00+00:00"}
silenced_triggers:
  description: Triggers of the application that do not fire during an undo, because what they wrote was logged and is undone by itself.
  type: list
  elements: str
  returned: always
  sample: ["touch on public.clients"]
seconds:
  description: How long it took; in check mode an estimate.
  type: float
  returned: always
  sample: 0.41
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import undo


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            **_data.CHANGE,
            "run": {"type": "str", "default": ""},
            "mark": {"type": "str", "default": ""},
            "run_id": {"type": "str", "default": ""},
            "on_conflict": {"type": "str", "choices": ["refuse", "skip"], "default": "refuse"},
            "conflict_rows": {"type": "int", "default": 20},
            "shown_rows": {"type": "int", "default": 0},
            "wait": {"type": "float", "default": 0.0},
        },
        supports_check_mode=True,
    )
    options = module.params
    if bool(options["run"]) == bool(options["mark"]):
        module.fail_json(msg="give either a run or a mark to undo")

    def work(login, stamp):
        request = undo.Request(
            run=options["run"],
            mark=options["mark"],
            run_id=options["run_id"],
            skip=options["on_conflict"] == "skip",
            conflict_rows=options["conflict_rows"],
            shown_rows=options["shown_rows"],
        )
        outcome = undo.carry_out(login, request, stamp, options["wait"], module.check_mode)
        return {**outcome.result(), "diff": undo.difference(outcome)}

    _data.run(module, work)


if __name__ == "__main__":
    main()
