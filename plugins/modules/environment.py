#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: environment
short_description: Make an environment's part of an AWS account what is described
version_added: 0.1.0
description:
  - Network, security groups, key pair, hosts, what they may ask of AWS, a database on RDS, a bucket for artifacts and a load balancer, each
    where it is described. What AWS makes slowly is waited for, with a line every half minute.
  - What AWS cannot change in place, such as a network's range or a host's type, is refused before anything is changed.
  - An image is only used to make a host; a newer one does not replace hosts.
  - Docs of the role C(aws) say what each mapping holds.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - ansible.builtin.action_common_attributes.flow
  - plano.delivery.provision
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    support: full
    description: Observes, and returns the plan. What rests on what is not made yet is planned too.
  diff_mode:
    support: full
  platform:
    platforms: all
options:
  network:
    description: The VPC to make (C(cidr), C(zones), C(nat)) or the one to use (C(vpc), C(public_subnets), C(private_subnets)).
    type: dict
    default: {}
  controller_sources:
    description: Networks from which hosts may be signed in to, and the pages of the monitoring seen.
    type: list
    elements: str
    default: []
  database_sources:
    description: Networks, beside the hosts, from which the database may be reached.
    type: list
    elements: str
    default: []
  backend_sources:
    description: Networks from which the backend may be reached without a load balancer.
    type: list
    elements: str
    default: []
  backend_port:
    description: Where the backend listens.
    type: int
    default: 8080
  backend_health_path:
    description: What the load balancer asks a host for.
    type: str
    default: /health
  key:
    description: Name (C(name)) and public key (C(public_key)) of the pair that opens new hosts.
    type: dict
    default: {}
  instances:
    description: Hosts, each with C(name), C(role), C(type), C(image), and C(disk), C(network) and C(zone) if need be.
    type: list
    elements: dict
    default: []
  instance_policies:
    description: Role to the IAM policy of its hosts. A host of a role without one has no identity in AWS.
    type: dict
    default: {}
  database:
    description: PostgreSQL on RDS. Empty, there is none.
    type: dict
    default: {}
  bucket:
    description: The bucket of the artifacts. Empty, there is none.
    type: dict
    default: {}
  balancer:
    description: The load balancer in front of the hosts of the role backend. Empty, there is none.
    type: dict
    default: {}
  delete_bucket_content:
    description: Whether O(state=absent) may delete a bucket that holds something, with every version of it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make a small environment
  plano.delivery.environment:
    environment: dev
    region: sa-east-1
    name: plano-dev
    network: {cidr: 10.10.0.0/16, zones: [a, b]}
    controller_sources: [203.0.113.0/24]
    key: {name: plano-dev, public_key: "{{ lookup('ansible.builtin.file', 'id_ed25519.pub') }}"}
    instances:
      - {name: dev-app, role: backend, type: t4g.small, image: ami-0123456789abcdef0, network: public}

- name: Remove all of it
  plano.delivery.environment:
    environment: dev
    region: sa-east-1
    name: plano-dev
    state: absent
    confirm: dev
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be, one line each; C(+) is made, C(~) changed and C(-) removed.
  returned: success
  type: list
  elements: str
  sample: ["+ VPC plano-dev: 10.10.0.0/16"]
strangers:
  description: What carries the environment's tags and is not described, such as a host that was taken from the list. It is left alone.
  returned: success
  type: list
  elements: str
instances:
  description: Hosts by name, with C(id), C(private_address), C(public_address) and C(profile).
  returned: success
  type: dict
database:
  description: C(id), C(arn), C(endpoint), C(port), C(master_user), and C(master_secret), the ARN of the secret with its password.
  returned: when there is one
  type: dict
vpc:
  description: C(id).
  returned: when it is described
  type: dict
bucket:
  description: C(id) and C(arn).
  returned: when there is one
  type: dict
target_group:
  description: C(id) and C(arn), which are the same.
  returned: when there is a load balancer
  type: dict
balancer:
  description: C(id), C(arn), C(dns_name) and C(zone), for an alias record.
  returned: when there is one
  type: dict
"""
