#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_log
short_description: Log what every statement does to chosen tables, so that one run can be undone
version_added: 0.1.0
description:
  - Puts statement-level triggers with transition tables on the tables (and their partitions), which keep the image of each row before and
    after every statement, with the run, transaction, role and time.
  - The application's statements never fail because of the log, and a migration is never held up by it; after one, run this module again.
  - Applications have no grant on the log, so that for them it can only grow.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Returns every step; nothing is changed, also not for a moment that others could see.
  diff_mode:
    support: full
    description: Shows what the log lacks before and after.
  platform:
    platforms: posix
options:
  tables:
    description:
      - The tables, each C(schema.table). A table needs a primary key; of a partitioned one name the topmost.
      - Tables that are not named are left as they are.
    type: list
    elements: str
    default: []
  state:
    description: V(absent) takes the triggers away; what was logged stays until it is purged.
    type: str
    choices: [present, absent]
    default: present
  on_truncate:
    description: Whether C(TRUNCATE) is logged, row by row as it was before, or refused.
    type: str
    choices: [log, refuse]
    default: log
  keep_days:
    description:
      - Purge what is older than so many days, marks too; V(0) purges nothing. A run goes as a whole or not at all, and never one that is
        pending or being undone.
    type: int
    default: 30
  mark:
    description:
      - Name this point of the log, to come back to. Waits up to O(lock_timeout) for transactions that are writing to logged tables, so that
        none is on both sides. A name that exists is left as it is.
    type: str
    default: ""
  erase:
    description: Rows whose images are removed from all logs, for a person's right to it. That it was done is kept, not whose rows they were.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: The table, C(schema.table).
        type: str
        required: true
      key:
        description: A value for each column of its primary key.
        type: dict
        required: true
  wait:
    description: Seconds to wait while another call is at work on the log.
    type: float
    default: 0.0
seealso:
  - module: plano.delivery.data_undo
  - module: plano.delivery.data_run
"""

EXAMPLES = r"""
- name: Log the tables that distributions write to
  plano.delivery.data_log:
    login_db: app
    session_role: app_owner
    tables: [public.clients, public.distributions, public.results]
    keep_days: 90

- name: Name the point to come back to
  plano.delivery.data_log:
    login_db: app
    session_role: app_owner
    mark: before-july

- name: Erase a person's rows from the log
  plano.delivery.data_log:
    login_db: app
    session_role: app_owner
    erase:
      - table: public.clients
        key: {id: "{{ client_id }}"}
  no_log: true
"""

RETURN = r"""
steps:
  description: What was done, or in check mode would be.
  type: list
  elements: str
  returned: always
  sample: ["logged public.clients", "set mark before-july"]
drift:
  description: What the log lacked before, such as new partitions, disabled triggers, another structure.
  type: list
  elements: str
  returned: always
  sample: ["partition public.results_2027 has no triggers"]
tables:
  description: Each table that is or was logged, the bytes its images take on the disk, and how many its statements have left (erased ones included).
  type: list
  elements: dict
  returned: always
  sample:
    - {table: public.clients, logged: true, bytes: 81920, images: 412}
erased:
  description: How many images were erased.
  type: int
  returned: always
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import upkeep
from ansible_collections.plano.delivery.plugins.module_utils.data.names import parse_table


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            **_data.CHANGE,
            "tables": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "on_truncate": {"type": "str", "choices": ["log", "refuse"], "default": "log"},
            "keep_days": {"type": "int", "default": 30},
            "mark": {"type": "str", "default": ""},
            "erase": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "table": {"type": "str", "required": True},
                    "key": {"type": "dict", "required": True, "no_log": True},
                },
            },
            "wait": {"type": "float", "default": 0.0},
        },
        supports_check_mode=True,
    )
    options = module.params

    def work(login, stamp):
        wanted = upkeep.Wanted(
            tables=tuple(parse_table(name) for name in options["tables"]),
            present=options["state"] == "present",
            truncate=options["on_truncate"],
            keep_days=options["keep_days"],
            mark=options["mark"],
            erase=tuple((parse_table(row["table"]), row["key"]) for row in options["erase"]),
        )
        result = upkeep.carry_out(login, wanted, stamp, module.check_mode, options["wait"]).result()
        return {**result, "diff": {"before": {"lacks": result["drift"]}, "after": {"steps": result["steps"]}}}

    _data.run(module, work)


if __name__ == "__main__":
    main()
