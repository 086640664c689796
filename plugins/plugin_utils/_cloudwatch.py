# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: from the options of the cloudwatch filters to what they are about."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import (
    FREE_REQUESTS,
    Description,
)


def description(
    watch: Any,
    regions: Any = (),
    role_arn: Any = None,
    settings: Any = None,
    scrape_interval: Any = 60,
    scrapers: Any = 1,
    free_requests: Any = FREE_REQUESTS,
    budget: Any = None,
    ports: Any = None,
) -> Description:
    """Take what the inventory says; an empty text or mapping stands for nothing, as roles' defaults have it."""
    return Description(
        watch=watch,
        regions=regions,
        role_arn=role_arn or None,
        settings={} if settings is None else settings,
        scrape_interval=_number(scrape_interval, int),
        scrapers=_number(scrapers, int),
        free_requests=_number(free_requests, int),
        budget=None if budget in (None, "") else _number(budget, float),
        ports={} if ports is None else _ports(ports),
    )


def _ports(given: Any) -> Any:
    return {str(region): _number(port, int) for region, port in given.items()} if isinstance(given, Mapping) else given


def _number(value: Any, kind: Callable[[str], Any]) -> Any:
    """Take numbers that came as text, as those of --extra-vars do; anything else is judged as it is."""
    if not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError:
        return value
