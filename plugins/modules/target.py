#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: target
short_description: Take hosts out of a load balancer's target group, or put them back
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Runs on the controller only, with boto3 and the controller's AWS credentials, so it works for a host that does not answer.
  - M(community.aws.elb_target) does not bring back a target that is still draining, does not wait for one that is registered already,
    and does not say why AWS refused.
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
    description: Says which state the targets would have, and refuses what a real run would refuse at once.
  diff_mode:
    support: full
  platform:
    platforms: all
options:
  target_group:
    description: ARN of the target group, which names its region too; or its name, in the region of the environment.
    type: str
    required: true
  targets:
    description: Instance ids, or addresses, as the type of the target group asks for.
    type: list
    elements: str
    required: true
  port:
    description: Port on which the targets answer.
    type: int
    required: true
  state:
    description:
      - V(drained) takes the targets out and returns when the requests they had have ended. It is refused when no other healthy target
        would be left, and when O(seconds) is no longer than the group's deregistration delay.
      - V(serving) puts them in. One that is still draining comes back.
    type: str
    choices: [serving, drained]
    required: true
  beside:
    description: Targets that are taken out at the same time and so cannot stand in for these.
    type: list
    elements: str
    default: []
  seconds:
    description: How long to wait until the targets are drained, or healthy. With V(0), V(serving) does not wait.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Take the host out of the load balancer
  plano.delivery.target:
    target_group: arn:aws:elasticloadbalancing:sa-east-1:123456789012:targetgroup/backend/0123456789abcdef
    targets: [i-0123456789abcdef0]
    port: 8080
    state: drained
    seconds: 90

- name: Put it back, and wait until it is healthy
  plano.delivery.target:
    target_group: arn:aws:elasticloadbalancing:sa-east-1:123456789012:targetgroup/backend/0123456789abcdef
    targets: [i-0123456789abcdef0]
    port: 8080
    state: serving
    seconds: 180
"""

RETURN = r"""
states:
  description: The state of each target at the end, as the load balancer names it, or V(absent).
  type: dict
  returned: success
  sample: {i-0123456789abcdef0: healthy}
"""
