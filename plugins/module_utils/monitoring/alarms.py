# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts told to Alertmanager at the failure itself, before any rule has seen it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Mapping, NamedTuple

from ..engine.errors import InputError

LONGEST = 24 * 60


class Alarm(NamedTuple):
    """An alert of roles/prometheus/files/rules/import.yml: Alertmanager takes two of the same labels for one."""

    severity: str
    labels: tuple[str, ...]
    summary: str


_WHOLE = ("database", "datname")
ALARMS = {
    "ImportReverted": Alarm(
        "page", (*_WHOLE, "target"), "The last import into {target} of {datname} on {database} was taken back"
    ),
    "ImportHeld": Alarm(
        "ticket", (*_WHOLE, "target"), "The last import into {target} of {datname} on {database} is held"
    ),
    "ImportFailed": Alarm(
        "ticket", (*_WHOLE, "target"), "The last import into {target} of {datname} on {database} failed"
    ),
    "CheckpointUnverified": Alarm(
        "ticket", _WHOLE, "The newest checkpoint of {datname} on {database} does not match its manifest"
    ),
    "RestoreFailed": Alarm("page", _WHOLE, "A restore of {datname} on {database} failed"),
    "DataOperationFailed": Alarm(
        "ticket", (*_WHOLE, "operation"), "The last {operation} of {datname} on {database} failed"
    ),
}


def alarm(
    name: str,
    environment: str,
    labels: Mapping[str, str],
    reason: str,
    minutes: int,
    now: datetime,
    external: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return the body for POST /api/v2/alerts: the alert that the rule *name* is about to fire, with *reason* as its description.

    *labels* are exactly those that the rule keeps, *external* those that this Prometheus adds to all that leaves it. It ends after
    *minutes*, unless Prometheus tells of it by then. Raises InputError with every fault.
    """
    known = ALARMS.get(name)
    found = [] if known else [f"the alert {name!r} is none of {', '.join(ALARMS)}"]
    texts = {"environment": environment, "reason": reason, **{f"labels.{key}": text for key, text in labels.items()}}
    found += [
        f"{key}: it must be a text that is not empty, is {text!r}"
        for key, text in texts.items()
        if not isinstance(text, str) or not text.strip()
    ]
    if known and set(labels) != set(known.labels):
        found.append(f"labels: {name} has {', '.join(known.labels)}, not {', '.join(labels) or 'none'}")
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 0 < minutes <= LONGEST:
        found.append(f"minutes: it must be a number from 1 to {LONGEST}, is {minutes!r}")
    if found or known is None:
        raise InputError(found)
    start = now.astimezone(timezone.utc)
    return [
        {
            "labels": {
                **(external or {}), **labels, "alertname": name, "environment": environment, "severity": known.severity
            },
            "annotations": {
                "summary": known.summary.format_map(labels),
                "description": reason,
                "runbook": f"docs/runbooks/{name}.md",
            },
            "startsAt": _time(start),
            "endsAt": _time(start + timedelta(minutes=minutes)),
        }
    ]  # fmt: skip


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
