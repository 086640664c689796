# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs where: read from the ledger, the disk and the running process, and compared."""

from __future__ import annotations

from typing import Any, Sequence

from .change import Component
from .errors import EngineError
from .release import Layout
from .systemd import Host

COLUMNS = ("component", "host", "version", "since", "state", "standby", "drift")


def components(layout: Layout) -> list[str]:
    """Return the names of all components that have a ledger on this host."""
    # A ledger that was removed is still known by its head.
    return sorted({path.parent.name for path in layout.var.glob("*/ledger.*")})


def report(name: str, host: Host, opt: Layout) -> dict[str, Any]:
    """Describe one component. A damaged ledger or release, or a silent process, is part of the answer, not an error."""
    component = Component(Layout(name, opt.opt, opt.var, opt.run), host)
    found: dict[str, Any] = {
        "component": name,
        "release": None,
        "version": None,
        "since": None,
        "standby": None,
        "drift": [],
    }
    try:
        return {**found, **_look(component)}
    except (EngineError, OSError) as exc:
        return {**found, "state": "damaged", "drift": [str(exc)]}


def _look(component: Component) -> dict[str, Any]:
    ledger = component.ledger()
    past = ledger.history
    current = component.described(past.current)
    if current is None:
        gone = [f"release {past.current} is gone from the disk"] if past.current else []
        return {"state": "absent" if not gone else "damaged", "drift": gone, "candidates": []}
    drift = component.drift(current)
    fault = component.silence(current)
    if fault:
        drift.append(fault)
    previous = component.described(past.previous)
    signers = {entry["release"]: entry["signer"] for entry in ledger.entries if entry.get("signer")}
    return {
        "release": current["id"],
        "version": current["version"],
        "signer": signers.get(current["id"]),
        "since": past.since,
        "state": "switched" if past.pending else "unhealthy" if fault else "confirmed",
        "standby": _standby(component, past.versions, current["id"]),
        "previous": previous["version"] if previous else None,
        "slot": component.strategy(current).slot_of(current),
        "drift": drift,
        "candidates": [name for name in past.stack[:-1] if component.releases.has(name)],
        "rejected": sorted(past.rejected),
    }


def _standby(component: Component, versions: dict[str, str], current: str) -> str | None:
    for name in component.releases.names():
        if name != current and component.releases.has(name):
            release = component.releases.description(name)
            if component.strategy(release).standby(release):
                return versions.get(name) or str(release["version"])
    return None


def row(found: dict[str, Any], host: str) -> dict[str, str]:
    """Return one line of the status table, every cell a short text."""
    drift = found["drift"]
    return {
        "component": found["component"],
        "host": host,
        "version": found["version"] or "-",
        "since": (found["since"] or "-")[:19].replace("T", " "),
        "state": found["state"],
        "standby": found["standby"] or "-",
        "drift": "none" if not drift else drift[0] + (f" (+{len(drift) - 1})" if len(drift) > 1 else ""),
    }


def table(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> str:
    """Lay *rows* out as a plain text table with a header."""
    widths = [max([len(name)] + [len(item[name]) for item in rows]) for name in columns]
    lines = ["  ".join(name.upper().ljust(width) for name, width in zip(columns, widths)).rstrip()]
    lines += ["  ".join(item[name].ljust(width) for name, width in zip(columns, widths)).rstrip() for item in rows]
    return "\n".join(lines)
