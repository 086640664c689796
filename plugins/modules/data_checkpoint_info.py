#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_checkpoint_info
short_description: Tell which checkpoints of a database a host has
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Reads the manifests and looks at the files' names and sizes. It asks no server and changes nothing.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: posix
options:
  login_db:
    description: The database.
    type: str
    required: true
  folder:
    description: Folder of the checkpoints on this host.
    type: path
    default: /var/lib/plano/checkpoints
"""

EXAMPLES = r"""
- name: Ask which checkpoints there are
  plano.delivery.data_checkpoint_info:
    login_db: shop
  register: found

- name: Show the newest whole one
  ansible.builtin.debug:
    msg: "{{ found.checkpoints | selectattr('faults', 'equalto', []) | map(attribute='name') | list | last }}"
"""

RETURN = r"""
checkpoints:
  description: One item a checkpoint, the oldest first; C(faults) says what is wrong with one that is not whole.
  type: list
  elements: dict
  returned: always
  sample:
    - name: before-c1
      at: "2026-11-27T07:23:15.937980Z"
      schemas: [public]
      rows: 1425
      bytes: 30533
      protected: false
      faults: []
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils.data import checkpoint
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "login_db": {"type": "str", "required": True},
            "folder": {"type": "path", "default": str(checkpoint.FOLDER)},
        },
        supports_check_mode=True,
    )
    try:
        found = checkpoint.info(checkpoint.Place(Path(module.params["folder"]), module.params["login_db"]))
    except (EngineError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, checkpoints=found)


if __name__ == "__main__":
    main()
