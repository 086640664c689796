#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check all inputs of all hosts before any host is touched
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Runs on the controller only, once for a whole play. Every variable that a role's argument specification names is
    templated and validated for every host, and pinned artifacts are checked, those on the controller to their last byte.
  - The component of a role, by which its artifacts are signed and pinned, has the role's name, or the one that its vars give as
    C(__ROLE_component).
  - What a specification cannot say a role says in its vars, as C(__ROLE_preflight), a list of faults made of its inputs alone.
    One that has nothing to do on a host says C(__ROLE_idle), and is not checked for it.
  - All faults are listed at once.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - ansible.builtin.action_common_attributes.flow
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: all
options:
  roles:
    description:
      - Inventory group to the roles of this collection that its hosts get, each by its name.
      - A role that a host gets more than once is an item of C(role) and C(vars), the variables that tell one use from another.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Check every input
  plano.delivery.preflight:
    roles:
      postgresql: [host, postgresql]
      backend: [host, backend]
      monitoring:
        - host
        - {role: exporter, vars: {exporter_name: blackbox}}
  run_once: true
"""

RETURN = r"""
change:
  description: Id of the change that the run's releases will belong to.
  returned: success
  type: str
  sample: 20261127T025447Z-55db
"""
