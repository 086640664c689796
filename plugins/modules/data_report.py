#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_report
short_description: Write the report of a run for those who review it
version_added: 0.1.0
description:
  - Gathers what the log in the database and the ledger on the host know of a run, such as an import that was taken back, and writes it as
    Markdown and as an HTML page that loads nothing and prints well.
  - It has the timeline, the versions of the application, the rules that were broken, rows before and after, what was written and what
    was undone in each table, open conflicts, how many users were told, and questions for the review.
  - Clients' values are not in it; keys of conflicting rows only with O(show_keys).
extends_documentation_fragment:
  - plano.delivery.data
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  run:
    description: Id of the run.
    type: str
    required: true
  folder:
    description: Where to write C(run-ID.md) and C(run-ID.html) on the host; made for root and its group alone.
    type: path
    default: /var/lib/plano/reports
  language:
    description: Language of the report.
    type: str
    choices: [en, pt-BR]
    default: en
  conflicts:
    description: Rows that could not be undone, as M(plano.delivery.data_undo) returns them.
    type: list
    elements: dict
    default: []
  show_keys:
    description: Whether the report shows the keys of O(conflicts); they may tell who a client is.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Write down what happened
  plano.delivery.data_report:
    login_db: shop
    login_host: 127.0.0.1
    login_user: shop_data
    login_password: "{{ vault_shop_data }}"
    session_role: shop_owner
    run: import-2026-11-27
    language: pt-BR
  register: report

- name: Bring it here
  ansible.builtin.fetch:
    src: "{{ item }}"
    dest: "reports/{{ item | basename }}"
    flat: true
  loop: "{{ report.paths }}"
"""

RETURN = r"""
paths:
  description: The files, Markdown first.
  type: list
  elements: str
  returned: always
  sample: [/var/lib/plano/reports/run-import-2026-11-27.md, /var/lib/plano/reports/run-import-2026-11-27.html]
state:
  description: State of the run.
  type: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import facts, report, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.book import Book
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login, connect
from ansible_collections.plano.delivery.plugins.module_utils.engine import fs
from ansible_collections.plano.delivery.plugins.module_utils.engine.ledger import LedgerError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            "run": {"type": "str", "required": True},
            "folder": {"type": "path", "default": "/var/lib/plano/reports"},
            "language": {"type": "str", "choices": list(report.LANGUAGES), "default": "en"},
            "conflicts": {"type": "list", "elements": "dict", "default": []},
            "show_keys": {"type": "bool", "default": False, "no_log": False},
        },
        supports_check_mode=True,
    )

    def work(login: Login, _stamp: runs.Stamp) -> dict[str, Any]:
        book = Book(login.database)
        try:
            entries = book.entries()
        except LedgerError as error:
            # That is reported too, by 'plano verify'; the database's own log goes a long way.
            module.warn(str(error))
            entries = []
        return write(login, module.params, entries, apply=not module.check_mode)

    _data.run(module, work)


def write(login: Login, params: dict[str, Any], entries: list[dict[str, Any]], apply: bool) -> dict[str, Any]:
    """Write the report's files, or say whether that would change them."""
    run = runs.check_id(params["run"])
    with connect(login) as session:
        found = facts.gather(session, run, entries, params["conflicts"], params["show_keys"])
    told = report.parts(found, params["language"])
    folder = Path(params["folder"])
    files = {
        folder / f"run-{run}.md": report.markdown(told).encode(),
        folder / f"run-{run}.html": report.html(told, params["language"]).encode(),
    }
    changed = any(not path.is_file() or path.read_bytes() != text for path, text in files.items())
    if apply:
        fs.make_dir(folder, 0o750)
        for path, text in files.items():
            fs.write_if_changed(path, text, 0o640)
    return {"changed": changed, "paths": list(map(str, files)), "state": found.run.state}


if __name__ == "__main__":
    main()
