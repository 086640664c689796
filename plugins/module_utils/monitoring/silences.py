# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences of Alertmanager for the time of a change."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Sequence

from ..engine.errors import InputError

LONGEST = 24 * 60


def silence(
    environment: str, hosts: Sequence[str], minutes: int, change: str, comment: str, now: datetime
) -> dict[str, Any]:
    """Return the body for POST /api/v2/silences: what these hosts of this environment say is expected while they are changed.

    Alerts named Deploy... are left alone, as they judge the change itself, and so is all that has no host label, such as the
    errors of the backend as a whole: that is what users feel. Raises InputError with every fault.
    """
    found = [
        f"{name}: it must be a text that is not empty, is {value!r}"
        for name, value in (("environment", environment), ("change", change), ("comment", comment))
        if not isinstance(value, str) or not value.strip()
    ]
    if isinstance(hosts, str) or not hosts or not all(isinstance(host, str) and host for host in hosts):
        found.append(
            f"hosts: it must be a list of names, one at least (no list would silence everything), is {hosts!r}"
        )
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 0 < minutes <= LONGEST:
        found.append(f"minutes: it must be a number from 1 to {LONGEST}, is {minutes!r}")
    if found:
        raise InputError(found)
    start = now.astimezone(timezone.utc)
    return {
        "matchers": [
            _matcher("environment", environment),
            _matcher("host", "|".join(re.escape(host) for host in sorted(set(hosts))), regex=True),
            _matcher("alertname", "Deploy.*", regex=True, equal=False),
        ],
        "startsAt": _time(start),
        "endsAt": _time(start + timedelta(minutes=minutes)),
        "createdBy": change,
        "comment": comment,
    }


def _matcher(name: str, value: str, regex: bool = False, equal: bool = True) -> dict[str, Any]:
    return {"name": name, "value": value, "isRegex": regex, "isEqual": equal}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
