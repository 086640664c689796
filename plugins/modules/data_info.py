#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_info
short_description: Tell which imports, distributions, undos and restores a database has seen, and how they ended
version_added: 0.1.0
description:
  - Reads the log of runs in the database and changes nothing.
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
  runs:
    description: Ids of runs; all when empty.
    type: list
    elements: str
    default: []
  states:
    description: Only runs in one of these states.
    type: list
    elements: str
    choices: [pending, confirmed, held, failed, reverting, reverted]
    default: []
  limit:
    description: How many runs to return at most, the newest first.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Ask what is neither over nor taken back
  plano.delivery.data_info:
    login_db: app
    session_role: app_owner
    states: [pending, reverting]
  register: found
"""

RETURN = r"""
runs:
  description: One item a run, the newest first; times are UTC.
  type: list
  elements: dict
  returned: always
  sample:
    - id: 2026-07-distribution
      kind: distribution
      state: confirmed
      target: public.distributions, public.results
      actor: ana@controller
      reason: monthly
      change: 20260701T080000Z-1f
      version: 1.1.0
      began: "2026-07-01T08:00:03Z"
      ended: "2026-07-01T08:00:04Z"
      reverts: null
      details: {"rows": 1204}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data
from ansible_collections.plano.delivery.plugins.module_utils.data import home, runs
from ansible_collections.plano.delivery.plugins.module_utils.data.session import connect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            "runs": {"type": "list", "elements": "str", "default": []},
            "states": {"type": "list", "elements": "str", "choices": list(runs.STATES), "default": []},
            "limit": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    options = module.params

    def work(login, _stamp):
        with connect(login) as session:
            found = []
            if home.exists(session):
                found = runs.listing(session, options["runs"], options["states"], options["limit"])
        return {"changed": False, "runs": [run.told() for run in found]}

    _data.run(module, work)


if __name__ == "__main__":
    main()
