# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/cloudwatch.md says is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import costs
import pytest
import yaml

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import Description, plan

ROOT = Path(__file__).resolve().parents[5]
TEXT = (ROOT / "docs" / "cloudwatch.md").read_text(encoding="utf-8")
EXPOSITIONS = ROOT / "tests" / "rules" / "expositions"


@pytest.mark.parametrize("rows", [costs.cost_rows, costs.metric_rows])
def test_the_tables_are_those_that_the_command_prints(rows):
    assert "\n".join(rows()) in TEXT


def test_the_policy_is_the_one_of_the_example():
    assert f"```json\n{costs.policy()}\n```" in TEXT


def test_the_example_has_no_faults():
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL).group(1))
    found = plan(
        Description(
            example["cloudwatch_exporter_watch"],
            regions=example["cloudwatch_exporter_regions"],
            budget=example["cloudwatch_exporter_budget"],
        )
    )
    assert list(found.configurations) == ["sa-east-1", "us-east-1"]


def test_every_metric_that_is_free_to_have_was_seen_from_the_real_exporter():
    seen = "".join(path.read_text(encoding="utf-8") for path in EXPOSITIONS.glob("cloudwatch_exporter-*.prom"))
    # cloudfront_additional is for those who pay for it.
    promised = {
        name
        for row in costs.metric_rows()
        if "cloudfront_additional" not in row
        for name in re.findall(r"`(aws_\w+)`", row)
    }
    shown = set(re.findall(r"^# TYPE (aws_\w+) gauge$", seen, re.MULTILINE)) - {"aws_resource_info"}
    assert promised == shown
