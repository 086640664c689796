#!/usr/bin/python
# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: edge
short_description: Put WAF and CloudFront before an environment's load balancer
version_added: 0.1.0
description:
  - A web ACL for the load balancer, one for CloudFront, and a distribution that asks the load balancer by HTTPS only and shows it
    a secret in the header C(X-Plano-Origin).
  - M(community.aws.wafv2_web_acl) and M(community.aws.cloudfront_distribution) report a change at every run, and neither looks at tags
    before it removes.
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
  aliases:
    description: Domains that clients use. The certificate holds for them, and their records lead to the distribution.
    type: list
    elements: str
    default: []
  origin:
    description: A name that leads to the load balancer and that its certificate holds for.
    type: str
    default: ""
  origin_secret:
    description: What the load balancer demands, 32 to 128 letters, digits, hyphens and underscores.
    type: str
    default: ""
  certificate:
    description: ARN of a certificate in ACM in us-east-1.
    type: str
    default: ""
  regional_rules:
    description: AWS's managed rule groups for the load balancer, each with V(block) or V(count).
    type: dict
    default: {}
  global_rules:
    description: Those for CloudFront.
    type: dict
    default: {}
  rate:
    description: Requests of one address in five minutes; V(0) is no limit.
    type: int
    default: 0
  rate_action:
    description: What befalls more, V(block) or V(count).
    type: str
    default: block
  price_class:
    description: Where CloudFront answers from.
    type: str
    choices: [PriceClass_100, PriceClass_200, PriceClass_All]
    default: PriceClass_All
  cache_policy:
    description: Id of the cache policy.
    type: str
    required: true
  request_policy:
    description: Id of the origin request policy.
    type: str
    required: true
  log_bucket:
    description: Where CloudFront writes its access logs, as BUCKET.s3.amazonaws.com. Empty, it writes none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Put the edge before it
  plano.delivery.edge:
    environment: prod
    region: sa-east-1
    name: plano-prod
    aliases: [app.example.com]
    origin: origin.example.com
    origin_secret: "{{ origin_secret }}"
    certificate: arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012
    global_rules: {AWSManagedRulesCommonRuleSet: count}
    cache_policy: 4135ea2d-6df8-44a3-9df3-4b5a84be39ad
    request_policy: 216adef6-5c7f-47e4-b989-5492eafa07d3
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be, one line each; C(+) is made, C(~) changed and C(-) removed.
  returned: success
  type: list
  elements: str
strangers:
  description: What carries the environment's tags and is not described. It is left alone.
  returned: success
  type: list
  elements: str
distribution:
  description: C(id), C(arn) and C(domain_name).
  returned: when it is there
  type: dict
web_acl:
  description: C(id) of the one for the load balancer.
  returned: when it is there
  type: dict
global_web_acl:
  description: C(id) of the one for CloudFront.
  returned: when it is there
  type: dict
"""
