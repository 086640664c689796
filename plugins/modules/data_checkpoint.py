#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_checkpoint
short_description: Keep a named, verified copy of a database's schemas
version_added: 0.1.0
description:
  - Dumps the schemas with PostgreSQL's own C(pg_dump) of the server's version and, in the same snapshot, counts every table's rows and
    computes a checksum of them. A manifest holds these, the digest of every file, the moment, and the versions of server and application.
  - A checkpoint is there whole or not at all. The same name again changes nothing.
  - Retention removes older ones when a new one stands; protected ones stay.
  - The digest in RV(checkpoint) goes into the host's ledger, so that an exchanged checkpoint does not stay unnoticed.
  - With O(snapshot_of) the controller takes a snapshot of the RDS instance too, from which M(plano.delivery.data_restore) restores all of it.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - plano.delivery.data.place
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Returns RV(plan) and changes nothing, neither in the database nor on the host.
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  name:
    description: Name of the checkpoint, 1 to 100 letters, digits, dots, dashes or underscores. Needed for every state but V(erased).
    type: str
    default: ""
  state:
    description:
      - V(present) makes it unless it is there; its files' names and sizes are looked at then, not their bytes.
      - V(protected) does the same and keeps it from retention and removal, V(unprotected) no longer does.
      - V(verified) reads every byte of it and writes down what came of it.
      - V(absent) removes it, here, in the database and in O(upload).
      - V(erased) adds O(erased) to the rows that no restore brings back.
    type: str
    choices: [present, protected, unprotected, verified, absent, erased]
    default: present
  schemas:
    description: Schemas to copy. What they need of other schemas must be among them.
    type: list
    elements: str
    default: [public]
  compress:
    description: Level of compression, 0 to 9; V(-1) is pg_dump's own.
    type: int
    default: -1
  comment:
    description: A word on why it is there, kept in the manifest.
    type: str
    default: ""
  keep:
    description: How many of the newest are kept when a new one stands; V(0) is no limit. Protected ones do not count and stay.
    type: int
    default: 0
  keep_days:
    description: Days for which all are kept, also those beyond O(keep); without O(keep), older ones go but the newest. V(0) is no limit.
    type: float
    default: 0.0
  snapshot_of:
    description:
      - An RDS instance that the database is on. When the checkpoint stands, a manual snapshot C(INSTANCE-CHECKPOINT) of it is taken and waited
        for, from the controller, with boto3 and its AWS credentials (policy C(data) of docs/iam); region and address come from its environment.
      - The same checkpoint again changes nothing; a snapshot that is still being made is waited for. No snapshot is ever removed here.
      - For a checkpoint that was made more than an hour ago none is taken, as it would hold what came later; give it a new name.
    type: str
    default: ""
  erased:
    description: Rows that were erased for privacy, by their keys. They are kept in a table for the owner only and in a file beside the checkpoints.
    type: list
    elements: dict
    default: []
    suboptions:
      table:
        description: The table, as SQL names it.
        type: str
        required: true
      key:
        description: Columns and their values.
        type: dict
        required: true
notes:
  - Needs C(pg_dump) and C(pg_restore) of the server's major version on the host (package postgresql-client-15 or the like).
  - With O(upload), needs boto3 1.26 or later (package python3-boto3).
seealso:
  - module: plano.delivery.data_restore
  - module: plano.delivery.data_checkpoint_info
"""

EXAMPLES = r"""
- name: Keep what is there before the import
  plano.delivery.data_checkpoint:
    login_db: shop
    session_role: shop_owner
    name: "before-{{ plano_change_id }}"
    keep: 7
    keep_days: 30

- name: Keep an encrypted one in s3 too, for good
  plano.delivery.data_checkpoint:
    login_db: shop
    login_host: 192.0.2.20
    login_user: shop_data
    login_password: "{{ shop_data_password }}"
    session_role: shop_owner
    name: year-2025
    state: protected
    encryption:
      method: age
      recipient: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    upload: s3://example-checkpoints/shop

- name: Keep all of the RDS instance too
  plano.delivery.data_checkpoint:
    login_db: shop
    login_host: plano-prod.example.sa-east-1.rds.amazonaws.com
    login_user: shop_data
    login_password: "{{ shop_data_password }}"
    session_role: shop_owner
    name: before-c2
    snapshot_of: plano-prod

- name: Remember that a client asked to be forgotten
  plano.delivery.data_checkpoint:
    login_db: shop
    session_role: shop_owner
    state: erased
    erased:
      - table: public.clients
        key: {id: 4711}
  no_log: true
"""

RETURN = r"""
checkpoint:
  description: What the manifest says, without its lists.
  type: dict
  returned: when there is one
  sample: {name: before-c1, digest: 10004d97, at: "2026-11-27T07:23:15.937980Z", tables: 9, rows: 1425, bytes: 30533, protected: false}
plan:
  description: What would be done, with the bytes it may take and those that are free.
  type: dict
  returned: in check mode, when it is not there
seconds:
  description: How long its parts took. The checksums are computed while pg_dump runs.
  type: dict
  returned: when there is one
  sample: {dump: 1.2, checksums: 0.9, files: 0.1, total: 1.4}
snapshot:
  description: The snapshot of the RDS instance. In check mode it is in RV(plan).
  type: dict
  returned: with O(snapshot_of)
  sample:
    id: plano-prod-before-c2
    arn: arn:aws:rds:sa-east-1:123456789012:snapshot:plano-prod-before-c2
    at: "2026-11-27T07:23:18Z"
    state: available
pruned:
  description: Names that retention removed, or would remove.
  type: list
  elements: str
  returned: with O(state=present) and O(state=protected)
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _copies, _data


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            **_data.CHANGE,
            **_copies.PLACE,
            "name": {"type": "str", "default": ""},
            "state": {
                "type": "str",
                "choices": ["present", "protected", "unprotected", "verified", "absent", "erased"],
                "default": "present",
            },
            "schemas": {"type": "list", "elements": "str", "default": ["public"]},
            "compress": {"type": "int", "default": -1},
            "comment": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 0},
            "keep_days": {"type": "float", "default": 0.0},
            "snapshot_of": {"type": "str", "default": ""},
            "erased": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "table": {"type": "str", "required": True},
                    "key": {"type": "dict", "required": True, "no_log": True},
                },
            },
        },
        supports_check_mode=True,
    )
    _data.run(module, lambda login, stamp: _copies.checkpointed(module.params, module.check_mode, login, stamp))


if __name__ == "__main__":
    main()
