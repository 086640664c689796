#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_run
short_description: Run SQL or a command as a distribution that is logged before it is confirmed, and taken back when it fails
version_added: 0.1.0
description:
  - Writes the run down as pending, does the work with the setting C(plano.run_id), and confirms it when it ends well.
  - SQL is confirmed in the same transaction as its data. What a command has committed when it fails is undone at once by the action log.
  - The same O(run_id) again changes nothing when the run is confirmed. When its process has died, SQL is run again; what a command had
    committed is undone first, then it is run again.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Says whether the work would be done.
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  run_id:
    description: Id of the run, such as the month's; 1 to 100 letters, digits, dots, dashes, underscores or colons.
    type: str
    required: true
  target:
    description: What it is about, one run at a time each; the names of the O(tables) when empty.
    type: str
    default: ""
  tables:
    description: Tables it writes to, each C(schema.table). They must be logged by M(plano.delivery.data_log), or nothing is begun.
    type: list
    elements: str
    default: []
  sql:
    description: SQL to run in one transaction. It must not end it; names without a schema are looked up in O(search_path).
    type: str
  sql_file:
    description: File on this host with the SQL.
    type: path
  values:
    description:
      - Values of the SQL's parameters, such as C(%(total)s), besides C(%(run)s), the run's id; a percent sign is then written twice.
      - Without any, the SQL is taken as it is.
    type: dict
    default: {}
  argv:
    description:
      - Command to run, without a shell. It finds the server by libpq's environment, with C(PGOPTIONS) setting the run's id (and the role),
        and the id also as C(PLANO_RUN_ID).
      - It is killed when this module is. It must not leave processes behind.
    type: list
    elements: str
  environment:
    description: More of the command's environment.
    type: dict
    default: {}
  chdir:
    description: Folder the command runs in.
    type: path
    default: ""
  search_path:
    description: The C(search_path) of the SQL.
    type: str
    default: public
  timeout:
    description: Seconds after which the work is stopped and taken back; V(0) is never.
    type: float
    default: 0.0
  output_lines:
    description: How many of the command's last lines to show when it fails. They may hold clients' data; V(0) shows none.
    type: int
    default: 20
  show_output:
    description: Whether to show them when it ends well, too.
    type: bool
    default: false
  wait:
    description: Seconds to wait while another change of the data is at work.
    type: float
    default: 0.0
seealso:
  - module: plano.delivery.data_log
  - module: plano.delivery.data_undo
"""

EXAMPLES = r"""
- name: Distribute by SQL
  plano.delivery.data_run:
    login_db: app
    session_role: app_owner
    run_id: 2026-07-distribution
    tables: [public.distributions, public.results]
    sql_file: /srv/distribution.sql

- name: Distribute by the application's own command
  plano.delivery.data_run:
    login_db: app
    session_role: app_owner
    run_id: 2026-08-distribution
    tables: [public.distributions, public.results]
    argv: [/opt/app/bin/distribute, --month, 2026-08]
    timeout: 1800
"""

RETURN = r"""
run_id:
  description: Id of the run.
  type: str
  returned: always
  sample: 2026-07-distribution
state:
  description: State of the run; V(reverted) when it has failed and all it had committed was undone, V(failed) when it has changed nothing.
  type: str
  returned: always
  sample: confirmed
rows:
  description: How many rows it has written to logged tables.
  type: int
  returned: always
  sample: 1204
rows_taken_back:
  description: How many rows were undone because it has failed.
  type: int
  returned: always
  sample: 0
rc:
  description: What the command ended with.
  type: int
  returned: when a command was run
  sample: 0
output:
  description: Last lines of the command.
  type: list
  elements: str
  returned: when it has failed, or O(show_output)
  sample: ["no rate for 2026-08"]
seconds:
  description: How long it took.
  type: float
  returned: always
  sample: 3.2
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import distribution
from ansible_collections.plano.delivery.plugins.module_utils.data.names import parse_table


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            **_data.CHANGE,
            "run_id": {"type": "str", "required": True},
            "target": {"type": "str", "default": ""},
            "tables": {"type": "list", "elements": "str", "default": []},
            "sql": {"type": "str"},
            "sql_file": {"type": "path"},
            "values": {"type": "dict", "default": {}},
            "argv": {"type": "list", "elements": "str"},
            "environment": {"type": "dict", "default": {}},
            "chdir": {"type": "path", "default": ""},
            "search_path": {"type": "str", "default": "public"},
            "timeout": {"type": "float", "default": 0.0},
            "output_lines": {"type": "int", "default": 20},
            "show_output": {"type": "bool", "default": False},
            "wait": {"type": "float", "default": 0.0},
        },
        mutually_exclusive=[("sql", "sql_file", "argv")],
        required_one_of=[("sql", "sql_file", "argv"), ("target", "tables")],
        supports_check_mode=True,
    )
    options = module.params
    tables = tuple(sorted(options["tables"]))
    if not options["target"] and not tables:
        module.fail_json(msg="give the tables it writes to, or a target")

    def work(login, stamp):
        task = distribution.Work(
            run=options["run_id"],
            target=options["target"] or ", ".join(tables),
            tables=tuple(parse_table(name) for name in tables),
            sql=options["sql"]
            or (Path(options["sql_file"]).read_text(encoding="utf-8") if options["sql_file"] else ""),
            values=options["values"],
            argv=tuple(options["argv"] or ()),
            environment={name: str(value) for name, value in options["environment"].items()},
            folder=options["chdir"],
            search_path=options["search_path"],
            timeout=options["timeout"],
            lines=options["output_lines"],
            always_lines=options["show_output"],
        )
        return distribution.carry_out(login, task, stamp, options["wait"], module.check_mode).result()

    _data.run(module, work)


if __name__ == "__main__":
    main()
