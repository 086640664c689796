# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was released here, as metrics: a text file a component, which node_exporter's textfile collector reads.

The names and their meaning are in docs/metrics.md. The files are made of the ledgers alone, so they can be made anew at any time.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from . import fs
from .ledger import CONFIRMED, REVERTED, Ledger, fold
from .release import Layout

REBOOT_REQUIRED = Path("/run/reboot-required")
HELP = {
    "plano_deploy_info": "What was confirmed last; always 1.",
    "plano_deploy_timestamp_seconds": "When it was confirmed.",
    "plano_deploy_started_timestamp_seconds": "When the change now under way began; 0 while there is none.",
    "plano_deploy_reverted_timestamp_seconds": "When a change was last reverted by itself.",
    "plano_host_reboot_required": "Whether the host waits for a restart.",
}


def seconds(time: str) -> float:
    """Return a ledger's time as seconds since 1970."""
    return datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


Sample = Tuple[Dict[str, str], float]


def family(name: str, words: str, samples: Sequence[Sample]) -> str:
    """Return all samples of one gauge, each its labels and its value, in Prometheus' text format."""
    return f"# HELP {name} {words}\n# TYPE {name} gauge\n" + "".join(_line(name, *each) for each in samples)


def _line(name: str, labels: dict[str, str], value: float) -> str:
    escaped = {key: text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') for key, text in labels.items()}
    shown = ",".join(f'{key}="{text}"' for key, text in escaped.items())
    braces = f"{{{shown}}}" if shown else ""
    return f"{name}{braces} {value:.17g}\n"


def sample(name: str, labels: dict[str, str], value: float) -> str:
    """Return a family of one sample."""
    return family(name, HELP[name], [(labels, value)])


def exposition(component: str, entries: Sequence[dict[str, Any]]) -> str:
    """Return what the ledger of *component* says, as text for Prometheus."""
    past = fold(list(entries))
    labels = {"component": component}
    under_way = past.pending or past.begun
    text = sample("plano_deploy_started_timestamp_seconds", labels, seconds(under_way["time"]) if under_way else 0)
    confirmed = [entry for entry in entries if entry["state"] == CONFIRMED and entry["release"] == past.current]
    if confirmed:
        last = confirmed[-1]
        change = last.get("change", {}).get("id", "")  # a ledger that was rebuilt does not know it
        what = {"version": past.versions[last["release"]], "release": last["release"], "change": change}
        text += sample("plano_deploy_info", {**labels, **what}, 1)
        text += sample("plano_deploy_timestamp_seconds", labels, seconds(last["time"]))
    reverted = [entry for entry in entries if entry["state"] == REVERTED]
    if reverted:
        text += sample("plano_deploy_reverted_timestamp_seconds", labels, seconds(reverted[-1]["time"]))
    return text


def publish(layout: Layout) -> None:
    """Write the file of a component; the caller holds its lock. Raises LedgerError or OSError, and leaves the file as it was."""
    text = exposition(layout.component, Ledger(layout.ledger).entries)
    put(layout.metrics / f"plano_{layout.component}.prom", text)


def publish_host(layout: Layout, reboot_required: Path = REBOOT_REQUIRED) -> None:
    """Write what is true of the host as a whole."""
    put(layout.metrics / "plano.prom", sample("plano_host_reboot_required", {}, float(reboot_required.exists())))


def put(path: Path, text: str) -> None:
    """Replace the file *path* of the textfile collector; the caller is its only writer."""
    fs.make_dir(path.parent)
    fs.remove_temps(path)
    fs.write_atomic(path, text.encode())
