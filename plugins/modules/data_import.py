#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_import
short_description: Import a file of client data, proven good or not at all
version_added: 0.1.0
description:
  - Stages the file, judges rules on the staged rows, publishes them in one transaction, judges rules on the live table before anybody sees the
    rows, and then commits, or takes all of it back.
  - The outcome is V(accepted), V(held) (a critical rule is broken on staging; live data is untouched, the staged rows stay to be looked at),
    V(reverted) (a critical rule is broken on live data; nobody has seen it), or the task fails with what is wrong with the file.
  - Only rows that differ are touched. One import of a table runs at a time. A run that is confirmed is not run again.
  - In check mode the file is staged in a temporary table, judged, and compared with the live table; nothing is changed.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - plano.delivery.data_rules
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows counts of rows, never a row.
  platform:
    platforms: posix
options:
  source:
    description: The file, on this host. Either this or O(content) is needed.
    type: path
  content:
    description: The file's content itself.
    type: str
  target:
    description: The table, as V(schema.table).
    type: str
    required: true
  format:
    description:
      - V(csv), V(jsonl) (one JSON object a line, all with the keys of the first), or V(sql) (INSERT statements into O(target) with VALUES,
        which are led to the staged table; every other statement is refused).
    type: str
    choices: [csv, jsonl, sql]
    default: csv
  dialect:
    description: How the file is written.
    type: dict
    suboptions:
      delimiter:
        description: What stands between values; one ASCII character.
        type: str
        default: ","
      quote:
        description: What values with a delimiter or a line break stand in; empty when nothing does.
        type: str
        default: '"'
      escape:
        description: What stands before a quote within a value; empty when quotes are doubled.
        type: str
        default: ""
      "null":
        description: What stands, without quotes, for no value.
        type: str
        default: ""
      encoding:
        description: The text's encoding, as Python names it.
        type: str
        default: utf-8
      header:
        description: Whether the first line has the names of the columns.
        type: bool
        default: true
      fields:
        description: The names of the columns in their order, for a file without a header, and for V(sql).
        type: list
        elements: str
        default: []
      max_line_bytes:
        description: The longest line that is read; a longer one is a fault.
        type: int
        default: 1048576
  columns:
    description: Names of the file's columns and the columns of O(target) they go to, where these differ.
    type: dict
    default: {}
  ignore:
    description: Columns of the file that are left out.
    type: list
    elements: str
    default: []
  key:
    description: Columns of a unique constraint of O(target), or its name, that tell which row is which; the primary key when empty.
    type: list
    elements: str
    default: []
  mode:
    description: V(upsert) adds new rows and changes those that differ; V(insert) only adds, and a key that is there already holds the import.
    type: str
    choices: [upsert, insert]
    default: upsert
  delete_missing:
    description: Whether rows of O(target) that the file does not have are deleted. A file without rows is refused then.
    type: bool
    default: false
  set:
    description: Columns of O(target) and constants they are given in rows that are added or changed; V(%(run\)s) is the run's id, V(%(file\)s) the file's name.
    type: dict
    default: {}
  before:
    description:
      - SQL statements in the publishing transaction before the rows, such as one for a parent row of the run. V(%(run\)s) and V(%(file\)s) are
        parameters; a percent sign is written twice.
    type: list
    elements: str
    default: []
  after:
    description:
      - The same after the rows; V(%(read\)s), V(%(inserted\)s), V(%(updated\)s), V(%(unchanged\)s), V(%(deleted\)s) and V(%(quarantined\)s)
        are counts.
    type: list
    elements: str
    default: []
  run:
    description: The run's id. Without one it follows from the file's content and O(target), so that the same file is the same run.
    type: str
    default: ""
  on_bad_row:
    description:
      - What to do with lines that are no rows (another number of values, broken quotes, text that is no date). V(fail) tells all of them and imports
        nothing; V(quarantine) puts them into the table C(plano_delivery.quarantine) with the reason and imports the rest.
    type: str
    choices: [fail, quarantine]
    default: fail
  max_bad_rows:
    description: How many rows, or which share of all, may be put into quarantine before the import is held.
    type: str
    default: 1%
  checks:
    description:
      - Checks of the application after the commit, as those of M(plano.delivery.release) (C(type) V(http), V(tcp) or V(command)). When they fail, the
        run is undone by the action log of O(target), without which they are refused.
    type: list
    elements: dict
    default: []
  checks_seconds:
    description: Seconds within which O(checks) must hold.
    type: float
    default: 10.0
  retention_days:
    description: Days after which staged rows of held imports, quarantined lines and failing keys are removed, by the next import.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Import clients
  plano.delivery.data_import:
    login_db: crm
    session_role: crm_owner
    source: /srv/inbox/clients.csv
    target: public.clients
    key: [external_id]
    run: "{{ ansible_date_time.iso8601 | to_uuid }}"
    set:
      run_id: "%(run)s"
    before:
      - INSERT INTO public.imports (run_id, file, rows, inserted, updated) VALUES (%(run)s, %(file)s, 0, 0, 0)
    after:
      - UPDATE public.imports SET rows = %(read)s, inserted = %(inserted)s, updated = %(updated)s WHERE run_id = %(run)s
    rules:
      - name: validity
        check: valid_period
        from: valid_from
        to: valid_until
        key: external_id
        bounds: "[]"
      - name: volume
        check: row_count_change
        min: -1%
        max: 20%

- name: Import a spreadsheet's export, and set aside up to 50 lines that are no rows
  plano.delivery.data_import:
    login_db: crm
    source: /srv/inbox/prices.csv
    target: public.prices
    dialect:
      delimiter: ";"
      encoding: cp1252
    columns:
      Artikel: article
      Preis: price
    ignore: [Bemerkung]
    on_bad_row: quarantine
    max_bad_rows: "50"
"""

RETURN = r"""
outcome:
  description: V(accepted), V(held), V(reverted), or V(failed) when the task fails for another reason; in check mode what it would be as far as staging tells.
  type: str
  returned: always
  sample: accepted
run:
  description: The run's id.
  type: str
  returned: always
  sample: 9d5c0b8e-5d3c-5b8e-9d5c-6b1f6f0d9c11
rows:
  description: Rows by what became of them.
  type: dict
  returned: always
  sample: {"read": 3, "inserted": 1, "updated": 1, "unchanged": 1, "deleted": 0, "quarantined": 0}
rules:
  description: One item a rule and place (C(where) is V(staging) or V(live)); constraints of the table only when they are broken.
  type: list
  elements: dict
  returned: always
failures:
  description: The rules that are broken, with their severity and count of rows.
  type: list
  elements: dict
  returned: always
seconds:
  description: Seconds by phase.
  type: dict
  returned: always
  sample: {"read": 0.0, "stage": 0.1, "rules": 0.1, "publish": 0.2, "live rules": 0.1, "analyze": 0.0}
staging:
  description: The table that holds the staged rows of a held import.
  type: str
  returned: always
  sample: plano_delivery.staging_7ac1b8d7010bb6cd
reason:
  description: Why the outcome is not V(accepted).
  type: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data, _data_rules
from ansible_collections.plano.delivery.plugins.module_utils.data import load, undo
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.names import parse_table
from ansible_collections.plano.delivery.plugins.module_utils.data.rules import limit, plain
from ansible_collections.plano.delivery.plugins.module_utils.data.runs import Stamp
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login
from ansible_collections.plano.delivery.plugins.module_utils.data.source import Dialect, Source

DIALECT = {
    "delimiter": {"type": "str", "default": ","},
    "quote": {"type": "str", "default": '"'},
    "escape": {"type": "str", "default": ""},
    "null": {"type": "str", "default": ""},
    "encoding": {"type": "str", "default": "utf-8"},
    "header": {"type": "bool", "default": True},
    "fields": {"type": "list", "elements": "str", "default": []},
    "max_line_bytes": {"type": "int", "default": 1 << 20},
}
OPTIONS = {
    "source": {"type": "path"},
    "content": {"type": "str", "no_log": True},
    "target": {"type": "str", "required": True},
    "format": {"type": "str", "choices": ["csv", "jsonl", "sql"], "default": "csv"},
    "dialect": {"type": "dict", "options": DIALECT, "apply_defaults": True},
    "columns": {"type": "dict", "default": {}},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "key": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "mode": {"type": "str", "choices": ["upsert", "insert"], "default": "upsert"},
    "delete_missing": {"type": "bool", "default": False},
    "set": {"type": "dict", "default": {}},
    "before": {"type": "list", "elements": "str", "default": []},
    "after": {"type": "list", "elements": "str", "default": []},
    "run": {"type": "str", "default": ""},
    "on_bad_row": {"type": "str", "choices": ["fail", "quarantine"], "default": "fail"},
    "max_bad_rows": {"type": "str", "default": "1%"},
    "checks": {"type": "list", "elements": "dict", "default": []},
    "checks_seconds": {"type": "float", "default": 10.0},
    "retention_days": {"type": "float", "default": 30.0},
}


def job_of(params: dict[str, object]) -> load.Job:
    """Return what the module's options ask for. Raises DataError."""
    dialect = dict(params["dialect"])
    return load.Job(
        source=Source.of(params["source"] or "", params["content"]),
        target=parse_table(params["target"]),
        dialect=Dialect(format=params["format"], **{**dialect, "fields": tuple(dialect["fields"])}),
        run=params["run"],
        columns={name: str(column) for name, column in params["columns"].items()},
        ignore=params["ignore"],
        key=params["key"],
        mode=params["mode"],
        delete_missing=params["delete_missing"],
        constants={name: plain(value) for name, value in params["set"].items()},
        before=params["before"],
        after=params["after"],
        rules=_data_rules.rules(params),
        checkpoint=_data_rules.known(params),
        on_bad_row=params["on_bad_row"],
        max_bad_rows=limit(params["max_bad_rows"]),
        checks=params["checks"],
        checks_seconds=params["checks_seconds"],
        keys=params["max_keys"],
        retention_days=params["retention_days"],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_data.LOGIN, **_data.CHANGE, **_data_rules.RULES, **OPTIONS},
        mutually_exclusive=[("source", "content")],
        required_one_of=[("source", "content")],
        supports_check_mode=True,
    )

    def work(login: Login, stamp: Stamp) -> dict[str, object]:
        job = job_of(module.params)
        taken_back = undo.of_an_import(login, job.target, stamp) if job.checks else None
        result = load.import_file(
            login, job, stamp, Book(login.database, server=stamp.server), taken_back, module.check_mode
        )
        told = result.told()
        if module._diff:
            told["diff"] = result.diff()
        if result.outcome != load.ACCEPTED and module.params["fail"]:
            told.update(failed=True, msg=f"The import is {result.outcome}: {result.reason}")
        return told

    _data.run(module, work)


if __name__ == "__main__":
    main()
