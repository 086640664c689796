# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
author:
  - plano.delivery contributors (@plano-delivery)
notes:
  - Runs on the controller only, with boto3 and the controller's AWS credentials.
  - Nothing is remembered between runs. What carries the tags C(plano:environment) and C(plano:managed=true) is the environment's,
    so that the next run goes on where one was cut; what does not carry them is never touched.
  - The modules of amazon.aws cannot plan what rests on what is not there yet, remove by name whoever made it, and one of them is one process
    each; here an environment is one plan and one call.
options:
  environment:
    description: Name of the environment, which all that is made carries as the tag C(plano:environment).
    type: str
    required: true
  region:
    description: Where it is.
    type: str
    required: true
  account:
    description: Number of the account. Credentials of another one are refused. Empty, any is taken.
    type: str
    default: ""
  name:
    description: Begins the names of all that is made.
    type: str
    required: true
  tags:
    description: Further tags of all that is made.
    type: dict
    default: {}
  state:
    description: V(absent) removes all that carries the environment's tags, in the order in which AWS lets it go.
    type: str
    choices: [present, absent]
    default: present
  confirm:
    description: The environment's name once more, for O(state=absent).
    type: str
    default: ""
"""
