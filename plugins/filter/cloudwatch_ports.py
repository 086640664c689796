# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the CloudWatch exporters of all regions listen."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.aws import cloudwatch_exporter
from ansible_collections.plano.delivery.plugins.plugin_utils import _cloudwatch

DOCUMENTATION = r"""
name: cloudwatch_ports
short_description: Tell where the CloudWatch exporters of all regions listen
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Returns what P(plano.delivery.cloudwatch_plan#filter) has in C(ports), also of a description that has faults, so that what
    scrapes the exporters knows their ports before anything else is known to be right.
positional: _input
options:
  _input:
    description: What is to be watched, as for P(plano.delivery.cloudwatch_plan#filter).
    type: list
    elements: dict
    required: true
  regions:
    description: Regions to watch where an entry names none.
    type: list
    elements: str
    default: []
  ports:
    description: Region to the port that its exporter listens on. A region that is not named gets the first free one from 9106 on.
    type: dict
    default: {}
seealso:
  - plugin: plano.delivery.cloudwatch_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say where to ask
  ansible.builtin.debug:
    msg: "{{ watch | plano.delivery.cloudwatch_ports(regions=['sa-east-1']) }}"
  vars:
    watch:
      - preset: "rds"
        select:
          DBInstanceIdentifier: ["plano-prod"]
"""

RETURN = r"""
_value:
  description: Region to port.
  type: dict
  sample: {sa-east-1: 9106, us-east-1: 9107}
"""


def cloudwatch_ports(watch: Any, regions: Any = (), ports: Any = None) -> dict[str, int]:
    return cloudwatch_exporter.ports(_cloudwatch.description(watch, regions=regions, ports=ports))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cloudwatch_ports": cloudwatch_ports}
