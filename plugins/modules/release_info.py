#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell what is released on a host, since when, and what drifted
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Reads the ledgers, compares disk, links, proxy and the answer of the running process, and changes nothing.
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
  components:
    description: Names of components; all of the host when empty.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask what runs
  plano.delivery.release_info:
  register: found
"""

RETURN = r"""
components:
  description: One item a component.
  type: list
  elements: dict
  returned: always
  sample:
    - component: backend
      version: 1.1.0
      state: confirmed
      standby: 1.0.0
      drift: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.plano.delivery.plugins.module_utils import _release
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError


def main() -> None:
    module = AnsibleModule(
        argument_spec={"components": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    try:
        found = _release.info(module.params["components"])
    except (EngineError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, components=found)


if __name__ == "__main__":
    main()
