# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with what CloudWatch exporters are to watch."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.plano.delivery.plugins.module_utils.aws import cloudwatch_exporter
from ansible_collections.plano.delivery.plugins.plugin_utils import _cloudwatch

DOCUMENTATION = r"""
name: cloudwatch_faults
short_description: List what is wrong with what CloudWatch exporters are to watch
version_added: 0.1.0
author:
  - plano.delivery contributors (@plano-delivery)
description:
  - Takes what P(plano.delivery.cloudwatch_plan#filter) takes and returns every fault at once, each with where it is and
    what to do, so that a play can refuse them together with all other faults before it touches a host.
  - The exporter itself checks next to nothing. It ignores a key it does not know, finds a wrong statistic when it is
    scraped, and drops every rule after it.
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
  role_arn:
    description: Role that the exporters assume to read.
    type: str
  settings:
    description: Settings of all exporters.
    type: dict
    default: {}
  scrape_interval:
    description: Seconds between two scrapes of Prometheus.
    type: int
    default: 60
  scrapers:
    description: Number of Prometheus servers that scrape.
    type: int
    default: 1
  free_requests:
    description: Requests a month that cost nothing.
    type: int
    default: 1000000
  budget:
    description: US dollars that a month may cost. More is a fault.
    type: float
  ports:
    description: Region to the port that its exporter listens on. A region that is not named gets the first free one from 9106 on.
    type: dict
    default: {}
seealso:
  - plugin: plano.delivery.cloudwatch_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Refuse what cannot be watched
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ watch | plano.delivery.cloudwatch_faults(regions=['sa-east-1'], budget=15) }}"
    watch:
      - preset: "rds"
        select:
          DBInstanceIdentifier: ["plano-prod"]
"""

RETURN = r"""
_value:
  description: The faults, empty when there is none.
  type: list
  elements: str
"""


def cloudwatch_faults(watch: Any, **options: Any) -> list[str]:
    return cloudwatch_exporter.description_faults(_cloudwatch.description(watch, **options))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cloudwatch_faults": cloudwatch_faults}
