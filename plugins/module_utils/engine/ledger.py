# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: the only truth about what was released, when, by whom and how it ended.

One JSON object a line, sequence-numbered, each line chained to the one before by SHA-256. A head
file beside it names the last entry, so that a removed, shortened or rewritten ledger is seen too.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Mapping

from .errors import EngineError
from .fs import fsync_dir, make_dir, write_atomic

GENESIS = "0" * 64

STAGED, SWITCHED, CONFIRMED = "staged", "switched", "confirmed"
REVERTED, FAILED, REJECTED, PRUNED = "reverted", "failed", "rejected", "pruned"


class LedgerError(EngineError):
    """The ledger does not hold together."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"ledger {path} is damaged: {fault}. What runs now goes on running and nothing was changed. "
            f"Look at it with 'plano history', keep a copy, then rebuild it from the releases on disk: "
            f"plano recover {path.parent.name} --rebuild"
        )


def utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(entry: Mapping[str, Any]) -> bytes:
    """The one spelling of an entry: sorted keys, no spaces, ASCII."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def seal(entry: Mapping[str, Any], seq: int, prev: str) -> dict[str, Any]:
    """Return *entry* with its place in the chain and its hash."""
    body = {**entry, "seq": seq, "prev": prev}
    return {**body, "hash": hashlib.sha256(encode(body)).hexdigest()}


def parse(path: Path, data: bytes, head: bytes | None) -> tuple[list[dict[str, Any]], int]:
    """Check every byte of a ledger.

    Returns its entries and the length in bytes of the good part: an append that a crash cut short
    (the head never named it) is not part of it. Raises LedgerError for anything else out of order.
    """
    entries: list[dict[str, Any]] = []
    good = 0
    prev = GENESIS
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = json.loads(line)
            body = {key: value for key, value in entry.items() if key != "hash"}
            sound = encode(entry) == line and seal(body, number, prev) == entry
        except (ValueError, AttributeError):
            sound = False
        if not sound:
            raise LedgerError(path, f"line {number} does not match its hash or the line before it")
        prev = entry["hash"]
        good += len(line) + 1
        entries.append(entry)
    torn = lines[-1] != b""
    _check_head(path, entries, head, torn)
    return entries, good


def _check_head(path: Path, entries: list[dict[str, Any]], head: bytes | None, torn: bool) -> None:
    if head is None:
        # Only a crash in the very first append leaves a ledger without its head.
        if len(entries) + torn > 1:
            raise LedgerError(path, "its head file is missing")
        return
    known = [encode({"seq": 0, "hash": GENESIS}) + b"\n"]
    known += [encode({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n" for entry in entries[-2:]]
    if head == known[-1]:
        return
    # The crash came between the append and the head: the head is one behind a complete last line.
    if not torn and len(known) > 1 and head == known[-2]:
        return
    raise LedgerError(path, f"its head file does not name its last entry ({len(entries)} are readable)")


@dataclass
class History:
    """What the entries add up to."""

    current: str | None = None
    since: str | None = None
    stack: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    schema: str | None = None
    schema_keeps: list[str] = field(default_factory=list)

    @property
    def previous(self) -> str | None:
        """The last confirmed release before current, the default rollback target."""
        return self.stack[-2] if len(self.stack) > 1 else None

    @property
    def slot(self) -> str | None:
        return self.slots.get(self.current) if self.current else None


def fold(entries: list[dict[str, Any]]) -> History:
    """Replay *entries* into the present state."""
    past = History()
    for entry in entries:
        state, release = entry["state"], entry["release"]
        if state == PRUNED:
            past.states.pop(release, None)
            past.stack = [name for name in past.stack if name != release]
            continue
        past.versions[release] = entry.get("version", past.versions.get(release, ""))
        past.states[release] = state
        if entry.get("schema"):
            past.schema, past.schema_keeps = entry["schema"], entry.get("schema_keeps", [])
        if state == SWITCHED:
            past.pending = entry
        elif state == CONFIRMED:
            if entry.get("kind") == "rollback" and release in past.stack:
                del past.stack[past.stack.index(release) + 1 :]
            else:
                past.stack = [name for name in past.stack if name != release] + [release]
            past.current, past.since, past.pending = release, entry["time"], None
            past.rejected.pop(release, None)
            if entry.get("slot"):
                past.slots[release] = entry["slot"]
        elif state == REVERTED:
            past.pending = None
            if release in past.stack:
                past.states[release] = CONFIRMED
        elif state == FAILED:
            if release in past.stack:
                past.states[release] = CONFIRMED
        elif state == REJECTED:
            past.rejected[release] = entry
            past.stack = [name for name in past.stack if name != release]
    return past


class Ledger:
    """The ledger of one component on this host. Append only while holding the component's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")
        self.entries: list[dict[str, Any]] = []
        self._good = 0
        self.load()

    def load(self) -> None:
        """Read and check it all. Raises LedgerError."""
        data = self.path.read_bytes() if self.path.exists() else None
        head = self.head_path.read_bytes() if self.head_path.exists() else None
        if data is None and head is not None:
            raise LedgerError(self.path, "the file is gone, but its head is there")
        self.entries, self._good = parse(self.path, data or b"", head)

    @property
    def history(self) -> History:
        return fold(self.entries)

    def append(self, state: str, release: str, **detail: Any) -> dict[str, Any]:
        """Write one entry durably and return it. Raises OSError when the disk refuses."""
        prev = self.entries[-1]["hash"] if self.entries else GENESIS
        body = {"time": utc_now(), "state": state, "release": release}
        body.update({key: value for key, value in detail.items() if value is not None})
        entry = seal(body, len(self.entries) + 1, prev)
        line = encode(entry) + b"\n"
        make_dir(self.path.parent)
        created = not self.path.exists()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.ftruncate(fd, self._good)
            os.pwrite(fd, line, self._good)
            os.fsync(fd)
        finally:
            os.close(fd)
        if created:
            fsync_dir(self.path.parent)
        write_atomic(self.head_path, encode({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n")
        self.entries.append(entry)
        self._good += len(line)
        return entry
