# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledgers of client data on this host (module_utils/data/book.py writes them), as metrics.

It stands in the engine so that `plano metrics` can make the files anew without the collection.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Sequence, Tuple

from .metrics import Sample, family, put, seconds

FOLDER = "data"  # below /var/lib/plano; one folder a database
BEGUN = "begun"
IMPORT, CHECKPOINT, VERIFY, RESTORE, DRILL = "import", "checkpoint", "verify", "restore", "drill"
DISTRIBUTION, UNDO = "distribution", "undo"
OUTCOMES = ("accepted", "held", "reverted", "failed")
FAILED = "failed"
# What is a run in the log of the database, pending until it has ended.
RUNS = (IMPORT, DISTRIBUTION, UNDO, RESTORE)
# Imports and restores have metrics of their own for how they ended.
WATCHED = (CHECKPOINT, DRILL, DISTRIBUTION, UNDO)
HELP = {
    "plano_import_started_timestamp_seconds": "When the import now running began; 0 while there is none.",
    "plano_import_last_run_timestamp_seconds": "When the last import ended, however.",
    "plano_import_outcome": "1 for the outcome of the last import, 0 for the others.",
    "plano_import_rule_failures": "Rows of the last import that break a rule.",
    "plano_import_rows": "Rows of the last import by what became of them.",
    "plano_import_duration_seconds": "How long the last import took.",
    "plano_checkpoint_timestamp_seconds": "When the newest checkpoint was begun: what it holds is as of then.",
    "plano_checkpoint_verified": "Whether the newest checkpoint matches its manifest.",
    "plano_restore_success": "Whether the last restore succeeded.",
    "plano_restore_drill_timestamp_seconds": "When a checkpoint was last restored on trial, with success.",
    "plano_operation_failed_timestamp_seconds": "When the last operation of its kind failed; 0 when it did not.",
    "plano_run_pending_timestamp_seconds": "When the oldest pending run began; 0 while there is none.",
}

Entry = Dict[str, Any]


def databases(var: Path) -> list[str]:
    """Return the names of all databases that have a ledger below *var*."""
    # A ledger that was removed is still known by its head.
    return sorted({path.parent.name for path in (var / FOLDER).glob("*/ledger.*")})


def exposition(database: str, entries: Sequence[Entry]) -> str:
    """Return what the ledger of *database* says, as text for Prometheus."""
    servers = [entry["server"] for entry in entries if entry.get("server")]
    common = {"database": servers[-1] if servers else "", "datname": database}
    found: dict[str, list[Sample]] = {}
    for name, labels, value in [*_imports(entries), *_way_back(entries), *_ends(entries)]:
        found.setdefault(name, []).append(({**common, **labels}, value))
    return "".join(family(name, HELP[name], samples) for name, samples in found.items())


def publish(database: str, entries: Sequence[Entry], metrics: Path) -> None:
    """Write the file of *database*; the caller holds the lock of its ledger. Raises OSError, and leaves the file as it was."""
    put(metrics / f"plano_data_{database}.prom", exposition(database, entries))


Found = Iterator[Tuple[str, Dict[str, str], float]]


def _of(entries: Iterable[Entry], *operations: str) -> list[Entry]:
    return [entry for entry in entries if entry.get("operation") in operations]


def _imports(entries: Sequence[Entry]) -> Found:
    by_target: dict[str, list[Entry]] = {}
    for entry in _of(entries, IMPORT):
        by_target.setdefault(str(entry.get("target", "")), []).append(entry)
    for target, past in by_target.items():
        labels = {"target": target}
        running = past[-1] if past[-1]["state"] == BEGUN else None
        yield "plano_import_started_timestamp_seconds", labels, seconds(running["time"]) if running else 0
        ended = [entry for entry in past if entry["state"] in OUTCOMES]
        if ended:
            yield from _last_import(labels, ended[-1])


def _last_import(labels: dict[str, str], last: Entry) -> Found:
    yield "plano_import_last_run_timestamp_seconds", labels, seconds(last["time"])
    for outcome in OUTCOMES:
        yield "plano_import_outcome", {**labels, "outcome": outcome}, float(last["state"] == outcome)
    broken: Counter[tuple[str, str]] = Counter()
    for failure in last.get("failures") or []:
        broken[failure["rule"], failure["severity"]] += failure["rows"]
    for (rule, severity), rows in broken.items():
        yield "plano_import_rule_failures", {**labels, "rule": rule, "severity": severity}, rows
    for state, rows in (last.get("rows") or {}).items():
        yield "plano_import_rows", {**labels, "state": state}, rows
    if last.get("seconds") is not None:
        yield "plano_import_duration_seconds", labels, last["seconds"]


def _way_back(entries: Sequence[Entry]) -> Found:
    made = [entry for entry in _of(entries, CHECKPOINT) if entry["state"] == "confirmed"]
    if made:
        name = made[-1]["release"]
        past = [entry for entry in _of(entries, CHECKPOINT, VERIFY) if entry["release"] == name]
        begun = [entry for entry in past if entry["state"] == BEGUN and entry["seq"] < made[-1]["seq"]]
        yield "plano_checkpoint_timestamp_seconds", {}, seconds((begun or made)[-1]["time"])
        judged = [entry for entry in past if entry["state"] in ("confirmed", "verified", "damaged")][-1]
        sound = judged["state"] == "verified" or bool(judged.get("verified"))
        yield "plano_checkpoint_verified", {}, float(sound)
    restored = [entry for entry in _of(entries, RESTORE) if entry["state"] != BEGUN]
    if restored:
        yield "plano_restore_success", {}, float(restored[-1]["state"] == "confirmed")
    drilled = [entry for entry in _of(entries, DRILL) if entry["state"] == "confirmed"]
    if drilled:
        yield "plano_restore_drill_timestamp_seconds", {}, seconds(drilled[-1]["time"])


def _ends(entries: Sequence[Entry]) -> Found:
    for operation in WATCHED:
        ended = [entry for entry in _of(entries, operation) if entry["state"] != BEGUN]
        if ended:
            failed = ended[-1]["state"] == FAILED
            when = seconds(ended[-1]["time"]) if failed else 0
            yield "plano_operation_failed_timestamp_seconds", {"operation": operation}, when
    last = {(entry["operation"], entry["release"]): entry for entry in _of(entries, *RUNS)}
    pending = [entry["time"] for entry in last.values() if entry["state"] == BEGUN]
    yield "plano_run_pending_timestamp_seconds", {}, seconds(min(pending)) if pending else 0
