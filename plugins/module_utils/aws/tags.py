# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags, by which all that is made here is known, and the form in which AWS takes and tells them."""

from __future__ import annotations

from typing import Mapping, Sequence

ENVIRONMENT, ROLE, MANAGED = "plano:environment", "plano:role", "plano:managed"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tags_in(listed: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in listed or []}
