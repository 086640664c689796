#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_restore
short_description: Bring a checkpoint back, or prove that it can be
version_added: 0.1.0
description:
  - Loads the checkpoint beside the live schemas, compares every table, sequence and kind of object with its manifest, and swaps the schemas
    by rename in one transaction. Until that commits the live data is in use and untouched, whatever is killed or lost on the way.
  - Refuses to lose rows that the checkpoint does not hold, with their numbers, unless O(allow_loss=true).
  - Refuses when something in other schemas, or a publication, points at the schemas that would be replaced.
  - The replaced schemas stay aside, and O(state=swapped_back) takes the restore back in seconds.
  - With O(instance) it is a whole RDS instance that goes back, to the checkpoint's snapshot or to a time. It is restored into a new one that
    is like the live one, compared, and only then takes its name; the live one is renamed, stays, and is never deleted.
  - Rows that were erased for privacy (see M(plano.delivery.data_checkpoint)) are taken out before the swap.
extends_documentation_fragment:
  - plano.delivery.data
  - plano.delivery.data.change
  - plano.delivery.data.place
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    description: Returns RV(plan), with all that would make it refuse, and changes nothing, neither in the database nor on the host.
  diff_mode:
    support: full
    description: Shows the rows of each table now and in the checkpoint.
  platform:
    platforms: posix
options:
  checkpoint:
    description:
      - Name of the checkpoint. Needed for every state but V(cleaned), and for O(to_time).
      - With O(to_time), what is restored is compared with it; the time is not before it.
    type: str
    default: ""
  confirm:
    description:
      - The same name once more, or with O(to_time) the same time; without it, O(state=restored) and O(state=swapped_back) are refused.
    type: str
    default: ""
  state:
    description:
      - V(restored) brings the schemas of the checkpoint back.
      - V(swapped_back) takes the last restore of this checkpoint back. It can be repeated, which takes that back.
      - V(drilled) restores it into a scratch database, compares it, and drops that. It needs no confirmation and does not look at the live data.
      - V(cleaned) removes what killed restores left, and replaced schemas beyond O(keep).
    type: str
    choices: [restored, swapped_back, drilled, cleaned]
    default: restored
  instance:
    description:
      - An RDS instance that goes back as a whole, with all of its databases. The controller restores and renames, with boto3 and its AWS
        credentials (policy C(data) of docs/iam); the host compares. For V(restored) and V(swapped_back) of O(state).
      - A run that was cut is gone on with by the same task; nothing is made twice.
    type: str
    default: ""
  to_time:
    description: A time in UTC, ISO 8601, that O(instance) goes back to by its automated backups.
    type: str
    default: ""
  allow_difference:
    description:
      - Whether O(instance) may be restored although it is not what the checkpoint holds, and the log of changes in it does not explain why
        (or, for O(to_time) alone, although tables are others than now).
      - Also whether a snapshot counts that was taken more than an hour, and the time of the dump, after the checkpoint's own moment.
    type: bool
    default: false
  part:
    description: What the action plugin asks the host for with O(instance). It is not for playbooks.
    type: dict
    suboptions:
      step:
        description: What is to be done.
        type: str
        choices: [looked, compared, counted, proven, looked_back, marked_back, failed]
        required: true
      host:
        description: Address of the server that is, or was, live.
        type: str
        default: ""
      beside:
        description: Address of the server that was restored.
        type: str
        default: ""
      run:
        description: Id of the run.
        type: str
        default: ""
      stamp:
        description: What is in the names of both instances.
        type: str
        default: ""
      details:
        description: What became of it.
        type: dict
        default: {}
  run_id:
    description: Id of this restore in the log of runs; the same id again changes nothing. Empty is a new one each time. Not with O(instance).
    type: str
    default: ""
  allow_loss:
    description: Whether rows may be lost that the checkpoint (or, taking one back, the kept schemas) does not hold.
    type: bool
    default: false
  keep:
    description: How many sets of replaced schemas stay, the newest ones. V(0) keeps none, and a restore cannot be taken back then.
    type: int
    default: 1
notes:
  - Needs C(pg_dump) and C(pg_restore) of the server's major version on the host, PostgreSQL 15 or later, and a login that may create databases.
  - The server needs room for a second copy of the schemas, and a third one while a replaced set is kept.
seealso:
  - module: plano.delivery.data_checkpoint
"""

EXAMPLES = r"""
- name: See what a restore would do and lose
  plano.delivery.data_restore:
    login_db: shop
    session_role: shop_owner
    checkpoint: before-c1
    confirm: before-c1
  check_mode: true
  diff: true

- name: Bring it back
  plano.delivery.data_restore:
    login_db: shop
    session_role: shop_owner
    checkpoint: before-c1
    confirm: before-c1
    allow_loss: true

- name: It was the wrong one after all
  plano.delivery.data_restore:
    login_db: shop
    session_role: shop_owner
    checkpoint: before-c1
    confirm: before-c1
    state: swapped_back

- name: Let the whole RDS instance go back to a checkpoint's snapshot
  plano.delivery.data_restore:
    login_db: shop
    login_host: plano-prod.example.sa-east-1.rds.amazonaws.com
    login_user: shop_data
    login_password: "{{ shop_data_password }}"
    session_role: shop_owner
    instance: plano-prod
    checkpoint: before-c2
    confirm: before-c2
    allow_loss: true

- name: Or to a time, by its automated backups
  plano.delivery.data_restore:
    login_db: shop
    login_host: plano-prod.example.sa-east-1.rds.amazonaws.com
    login_user: shop_data
    login_password: "{{ shop_data_password }}"
    session_role: shop_owner
    instance: plano-prod
    to_time: "2026-11-27T10:30:00Z"
    confirm: "2026-11-27T10:30:00Z"
    allow_loss: true

- name: Prove every month that it works
  plano.delivery.data_restore:
    login_db: shop
    session_role: shop_owner
    checkpoint: year-2025
    state: drilled
    encryption:
      key_file: /etc/plano/checkpoint.age
"""

RETURN = r"""
run:
  description: Id of the restore in the log of runs.
  type: str
  returned: with O(state=restored) and O(state=swapped_back)
checkpoint:
  description: What the manifest says, without its lists.
  type: dict
  returned: with O(state=restored) and O(state=drilled)
plan:
  description: Tables with their rows now and then, what would be lost, the time and room it may take, and C(refused), why it would not be done.
  type: dict
  returned: with O(state=restored) when it is, or would be; with O(state=swapped_back) in check mode
losses:
  description: Tables whose rows are lost, with the numbers.
  type: list
  elements: dict
  returned: with O(state=restored) and O(state=swapped_back)
  sample: [{table: public.clients, rows_now: 505, rows_in_checkpoint: 504, rows_lost: 1, exact: true}]
kept:
  description: Schemas that were put aside; with O(instance), the instance that was.
  type: list
  elements: str
  returned: with O(state=restored) and O(state=swapped_back)
  sample: [public__before_4e3799e0]
erased:
  description: Rows that were taken out for privacy, by table.
  type: dict
  returned: with O(state=restored)
differences:
  description: Where what was restored is not what the checkpoint holds, and whether the log of changes explains it.
  type: list
  elements: dict
  returned: with O(instance)
  sample: [{what: public.clients, text: "public.clients has changed after the checkpoint", explained: true}]
sessions:
  description: Who was on the instance that was put aside after it was renamed, by an address that its clients keep. What they wrote stays there.
  type: list
  elements: dict
  returned: with O(instance)
  sample: [{role: shop_app, sessions: 2}]
remove:
  description: How to remove the instance that was put aside, once it is no longer needed; it costs what the live one costs.
  type: str
  returned: with O(instance)
log_detached:
  description: Triggers of the action log that the restored tables do not have; attach it again.
  type: list
  elements: str
  returned: with O(state=restored)
removed:
  description: What was removed, or would be.
  type: list
  elements: str
  returned: with O(state=cleaned)
seconds:
  description: How long its parts took; the live data is locked during C(swap) alone.
  type: dict
  returned: with O(state=restored) and O(state=drilled)
  sample: {files: 0.01, rename: 0.42, load: 0.13, analyze: 0.03, compare: 0.04, losses: 0.01, swap: 0.03}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _copies, _data


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_data.LOGIN,
            **_data.CHANGE,
            **_copies.PLACE,
            "checkpoint": {"type": "str", "default": ""},
            "confirm": {"type": "str", "default": ""},
            "state": {
                "type": "str",
                "choices": ["restored", "swapped_back", "drilled", "cleaned"],
                "default": "restored",
            },
            "run_id": {"type": "str", "default": ""},
            "allow_loss": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 1},
            **_copies.INSTANCE,
        },
        supports_check_mode=True,
    )
    _data.run(module, lambda login, stamp: _copies.restored(module.params, module.check_mode, login, stamp))


if __name__ == "__main__":
    main()
