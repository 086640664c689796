# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations of CloudWatch exporters, their cost and rights, from what is to be watched."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.plano.delivery.plugins.module_utils.aws import cloudwatch_exporter
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import InputError
from ansible_collections.plano.delivery.plugins.plugin_utils import _cloudwatch

DOCUMENTATION = r"""
name: cloudwatch_plan
short_description: Make the configurations of CloudWatch exporters from what is to be watched
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Turns one description into a configuration of the Prometheus CloudWatch exporter for each region, since one exporter
    reads one region. CloudFront, and web ACLs of the scope C(CLOUDFRONT), are asked for in C(us-east-1), whatever
    O(regions) says.
  - Works on the controller and asks nothing of AWS.
  - A description with faults is refused with all of them. P(plano.delivery.cloudwatch_faults#filter) returns them
    instead.
positional: _input
options:
  _input:
    description:
      - What is to be watched, a list. Each entry is a preset or a rule.
      - "A preset has C(preset) (V(rds), V(ec2), V(alb), V(wafv2), V(wafv2_cloudfront), V(cloudfront),
        V(cloudfront_additional)) and may have C(select), dimensions with lists of values; C(tags), tag keys with lists
        of values; C(metrics), a list of those of its metrics that are wanted."
      - A rule has the keys that an entry of C(metrics) has in the exporter's own configuration. With C(unlisted=true)
        it may ask for a metric of RDS, EC2, an Application Load Balancer, WAF or CloudFront that this collection does
        not know.
      - "Both may have C(regions); C(resources), how many to reckon the cost with where not all values of all dimensions
        are named; and the keys of O(settings)."
    type: list
    elements: dict
    required: true
  regions:
    description: Regions to watch where an entry names none.
    type: list
    elements: str
    default: []
  role_arn:
    description: Role that the exporters assume to read.
    type: str
  settings:
    description:
      - Settings of all exporters. C(period_seconds), C(range_seconds), C(delay_seconds), C(set_timestamp),
        C(use_get_metric_data), C(list_metrics_cache_ttl), C(warn_on_empty_list_dimensions).
      - Where nothing is said, those of the exporter hold, except that lists of metrics are kept for 900 seconds and
        empty ones are logged.
    type: dict
    default: {}
  scrape_interval:
    description: Seconds between two scrapes of Prometheus.
    type: int
    default: 60
  scrapers:
    description: Number of Prometheus servers that scrape. Each scrape costs.
    type: int
    default: 1
  free_requests:
    description: Requests a month that cost nothing. AWS grants them to the account as a whole, so less is left where
      others use the API too.
    type: int
    default: 1000000
  budget:
    description: US dollars that a month may cost. A description that costs more is refused.
    type: float
  ports:
    description: Region to the port that its exporter listens on. A region that is not named gets the first free one from 9106 on.
    type: dict
    default: {}
seealso:
  - plugin: plano.delivery.cloudwatch_faults
    plugin_type: filter
  - plugin: plano.delivery.cloudwatch_ports
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write down what each exporter is to read
  ansible.builtin.copy:
    content: "{{ item.value | to_nice_yaml(sort_keys=false) }}"
    dest: "/tmp/{{ item.key }}.yml"
    mode: "0644"
  loop: "{{ plan.configurations | dict2items }}"
  vars:
    plan: "{{ watch | plano.delivery.cloudwatch_plan(regions=['sa-east-1'], budget=15) }}"
    watch:
      - preset: "rds"
        select:
          DBInstanceIdentifier: ["plano-prod"]
      - preset: "alb"
        select:
          LoadBalancer: ["app/plano-prod/50dc6c495c0c9188"]
        resources: 1
      - preset: "cloudfront"
        select:
          DistributionId: ["E2EXAMPLE1PLANO"]
      - aws_namespace: "AWS/NATGateway"
        aws_metric_name: "ErrorPortAllocation"
        aws_dimensions: ["NatGatewayId"]
        aws_dimension_select:
          NatGatewayId: ["nat-0123456789abcdef0"]
        aws_statistics: ["Sum"]

- name: Show what it costs
  ansible.builtin.debug:
    msg: "{{ (watch | plano.delivery.cloudwatch_plan(regions=['sa-east-1'])).summary }}"
  vars:
    watch:
      - preset: "ec2"
        tags:
          Environment: ["prod"]
        resources: 3
"""

RETURN = r"""
_value:
  description: All that follows from the description.
  type: dict
  contains:
    configurations:
      description: By region, the configuration of its exporter.
      type: dict
    ports:
      description: By region, the port that its exporter listens on.
      type: dict
    families:
      description: By region, the names of the metrics that its exporter can show.
      type: dict
    clients:
      description: By region, as a text, what of the configuration an exporter takes up only when it starts.
      type: dict
    requests:
      description: By region, the requests to CloudWatch of one scrape, on average.
      type: dict
    cost:
      description: "A month: C(series), C(get_metric_statistics), C(get_metric_data), C(list_metrics), C(list_price),
        and C(usd), which is what is left to pay."
      type: dict
    policies:
      description: The least IAM policies, C(exporter) for the identity of the exporters' host and C(assumed_role) for
        O(role_arn), if any.
      type: dict
    summary:
      description: Regions, cost and requests in a line.
      type: str
"""


def cloudwatch_plan(watch: Any, **options: Any) -> dict[str, Any]:
    try:
        return cloudwatch_exporter.as_data(cloudwatch_exporter.plan(_cloudwatch.description(watch, **options)))
    except InputError as exc:
        count = "1 fault" if len(exc.faults) == 1 else f"{len(exc.faults)} faults"
        raise AnsibleFilterError(
            f"{count} in what CloudWatch exporters are to watch:\n" + "\n".join(f"- {fault}" for fault in exc.faults)
        ) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cloudwatch_plan": cloudwatch_plan}
