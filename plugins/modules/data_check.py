#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_check
short_description: Judge the rules of client data
version_added: 0.1.0
description:
  - Counts how many rows break each rule, with as few scans of the tables as possible, and changes nothing.
  - A rule that cannot be judged counts as broken.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data_rules
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  keys:
    description:
      - A name under which the keys of failing rows are written to the table C(plano_delivery.violation), in place of those that an earlier look
        of this name has left. Only the owner of the data may read it. Without a name no key is written.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Judge the clients
  plano.delivery.data_check:
    login_db: crm
    session_role: crm_owner
    rules:
      - name: email_form
        check: matches
        table: public.clients
        column: email
        pattern: "^[^@]+@[^@]+$"
        max_failures: 0.5%
        severity: warn
      - name: validity
        check: valid_period
        table: public.clients
        from: valid_from
        to: valid_until
        key: external_id
        at: today

- name: Judge what a file says, and keep the failing keys for those who mend the data
  plano.delivery.data_check:
    login_db: crm
    rules_file: /etc/plano/rules/crm.yml
    keys: nightly
    fail: false
"""

RETURN = r"""
rules:
  description: One item a rule, in their order.
  type: list
  elements: dict
  returned: always
  sample:
    - rule: email_form
      check: matches
      table: public.clients
      where: live
      severity: warn
      failures: 3
      total: 2000
      max_failures: 0.5%
      passed: true
kept_keys:
  description: How many keys were written down, or would be.
  type: int
  returned: always
  sample: 0
msg:
  description: Which critical rules are broken, and by how many rows.
  type: str
  returned: when any is
  sample: "rule validity (valid_period of public.clients) is broken by 2 of 2000 rows, 0 may"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _data, _data_rules
from ansible_collections.plano.delivery.plugins.module_utils.data import checks
from ansible_collections.plano.delivery.plugins.module_utils.data.runs import Stamp
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Login, connect


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_data.LOGIN, **_data_rules.RULES, "keys": {"type": "str", "default": "", "no_log": False}},
        supports_check_mode=True,
    )

    def work(login: Login, _stamp: Stamp) -> dict[str, object]:
        params = module.params
        with connect(login) as session:
            report = checks.look(
                session,
                _data_rules.rules(params),
                _data_rules.known(params),
                params["keys"],
                params["max_keys"],
                not module.check_mode,
            )
        result = {
            "changed": report.changed,
            "rules": [finding.told() for finding in report.findings],
            "kept_keys": report.kept,
        }
        if report.broken:
            result.update(msg="; ".join(map(str, report.broken)), failed=params["fail"])
        return result

    _data.run(module, work)


if __name__ == "__main__":
    main()
