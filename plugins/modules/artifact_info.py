#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact_info
short_description: List the artifacts that are published in S3
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Lists what M(plano.delivery.artifact) published, as the objects say it about themselves. Other objects are passed over.
  - Runs on the controller, as M(plano.delivery.artifact) does.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - ansible.builtin.action_common_attributes.flow
  - plano.delivery.artifacts
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
  component:
    description: Of this component only.
    type: str
    default: ''
  version:
    description: This version of O(component) only.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: List the versions of the backend
  plano.delivery.artifact_info:
    bucket: example-artifacts
    component: backend
  register: found
"""

RETURN = r"""
artifacts:
  description: One item an artifact, in order of component and version.
  returned: success
  type: list
  elements: dict
  sample:
    - component: backend
      version: 1.4.2
      sha256: 7d1a54127b222502f5b79b5fb0803061152a44f92b37e23c6527baf665d4da9a
      sources: ["s3://example-artifacts/backend/backend-1.4.2.tar.gz"]
      size: 4194304
      published: '2026-11-27T02:54:47Z'
      encryption: AES256
catalog:
  description: The same as C(plano_artifacts) wants it.
  returned: success
  type: dict
"""
