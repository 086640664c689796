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

from . import fs
from .errors import EngineError

GENESIS = "0" * 64
READ_TRIES = 200

STAGED, SWITCHED, CONFIRMED = "staged", "switched", "confirmed"
REVERTED, FAILED, REJECTED, PRUNED = "reverted", "failed", "rejected", "pruned"


class LedgerError(EngineError):
    """The ledger does not hold together."""

    def __init__(self, path: Path, fault: str) -> None:
        name = path.parent.name
        of_data = path.parent.parent.name == "data"
        history = f"data/{name}" if of_data else name
        # What was done to data is also in the log of the database itself, so that this ledger may begin anew.
        advice = (
            f"keep a copy, then remove {path} and its .head: the next operation begins a new one"
            if of_data
            else f"keep a copy, then rebuild it from the releases on disk: plano recover {name} --rebuild"
        )
        super().__init__(
            f"ledger {path} is damaged: {fault}. What runs now goes on running and nothing was changed. "
            f"Look at it with 'plano history {history}', {advice}"
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
    entries, good = sound_part(data)
    rest = data[good:]
    if b"\n" in rest:
        raise LedgerError(path, f"line {len(entries) + 1} does not match its hash or the line before it")
    _check_head(path, entries, head, torn=bool(rest))
    return entries, good


def sound_part(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the entries up to the first line that does not hold, and how many bytes they take."""
    entries: list[dict[str, Any]] = []
    good = 0
    prev = GENESIS
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            body = {key: value for key, value in entry.items() if key != "hash"}
            sound = encode(entry) == line and seal(body, number, prev) == entry
        except (ValueError, AttributeError):
            sound = False
        if not sound:
            break
        prev = entry["hash"]
        good += len(line) + 1
        entries.append(entry)
    return entries, good


def _check_head(path: Path, entries: list[dict[str, Any]], head: bytes | None, torn: bool) -> None:
    if head is None:
        # Only a crash in the very first append leaves a ledger without its head.
        if len(entries) + torn > 1:
            raise LedgerError(path, "its head file is missing")
        return
    known = [head_of({"seq": 0, "hash": GENESIS})] + [head_of(entry) for entry in entries[-2:]]
    if head == known[-1]:
        return
    # The crash came between the append and the head: the head is one behind a complete last line.
    if not torn and len(known) > 1 and head == known[-2]:
        return
    raise LedgerError(path, f"its head file does not name its last entry ({len(entries)} are readable)")


@dataclass
class History:
    """What the entries add up to.

    *pending* is a switch that was neither confirmed nor reverted, *begun* an attempt without any outcome.
    """

    current: str | None = None
    since: str | None = None
    stack: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: dict[str, Any] | None = None
    begun: dict[str, Any] | None = None
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
        past.states.pop(release, None)  # in the order of what happened to them last
        past.states[release] = state
        if entry.get("schema"):
            past.schema, past.schema_keeps = entry["schema"], entry.get("schema_keeps", [])
        if state == STAGED and entry.get("attempt"):
            past.begun = entry
        elif state == SWITCHED:
            past.pending = entry
        elif state == CONFIRMED:
            _confirm(past, entry)
        elif state in (REVERTED, FAILED):
            past.begun = None
            if state == REVERTED:
                past.pending = None
            if release in past.stack:
                past.states[release] = CONFIRMED
        elif state == REJECTED:
            _reject(past, release, entry)
    return past


def _confirm(past: History, entry: dict[str, Any]) -> None:
    release, left = entry["release"], entry.get("previous")
    if entry.get("kind") == "rollback":
        if release in past.stack:
            del past.stack[past.stack.index(release) + 1 :]
        if left and left != release:
            # With the same entry, so that no interruption can leave a release that was rolled back unmarked.
            _reject(past, left, entry)
    past.stack = [name for name in past.stack if name != release] + [release]
    past.current, past.since, past.pending, past.begun = release, entry["time"], None, None
    past.rejected.pop(release, None)
    if entry.get("slot"):
        past.slots[release] = entry["slot"]


def _reject(past: History, release: str, entry: dict[str, Any]) -> None:
    past.states[release] = REJECTED
    past.rejected[release] = entry
    past.stack = [name for name in past.stack if name != release]


class Ledger:
    """The ledger of one component on this host. Append only while holding the component's lock, and mend it before the first time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")
        self.entries: list[dict[str, Any]] = []
        self._good = 0
        self.load()

    def load(self) -> None:
        """Read and check it all, also while another process appends. Raises LedgerError."""
        head = self._read(self.head_path)
        for _try in range(READ_TRIES):
            data = self._read(self.path)
            before, head = head, self._read(self.head_path)
            if before == head:
                break
        if data is None and head is not None:
            raise LedgerError(self.path, "the file is gone, but its head is there")
        self.entries, self._good = parse(self.path, data or b"", head)

    @staticmethod
    def _read(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    @property
    def history(self) -> History:
        return fold(self.entries)

    def mend(self) -> None:
        """Finish what a crash cut short: drop a torn last line, or let the head name a whole one; hold the lock."""
        whole = not self.entries or self._read(self.head_path) == head_of(self.entries[-1])
        if self.path.exists() and not (whole and self.path.stat().st_size == self._good):
            with self.path.open("r+b") as stream:
                stream.truncate(self._good)
                os.fsync(stream.fileno())
        if not whole:
            fs.write_atomic(self.head_path, head_of(self.entries[-1]))

    def append(self, state: str, release: str, **detail: Any) -> dict[str, Any]:
        """Write one entry durably and return it. Raises EngineError when the disk refuses; then nothing was added."""
        body = {"time": utc_now(), "state": state, "release": release}
        body.update({key: value for key, value in detail.items() if value is not None})
        entry = seal(body, len(self.entries) + 1, self.entries[-1]["hash"] if self.entries else GENESIS)
        line = encode(entry) + b"\n"
        try:
            self._write(line, entry)
        except OSError as exc:
            raise EngineError(
                f"cannot write '{state}' of {release} to ledger {self.path}: {fs.reason(exc, self.path)}. "
                "What is not in the ledger is not done; free the disk and run the same command again"
            ) from exc
        self.entries.append(entry)
        self._good += len(line)
        return entry

    def _write(self, line: bytes, entry: Mapping[str, Any]) -> None:
        fs.make_dir(self.path.parent)
        created = not self.path.exists()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if os.fstat(fd).st_size != self._good:
                os.ftruncate(fd, self._good)
                os.fsync(fd)
            try:
                fs.write_all(fd, line, self._good)
                os.fsync(fd)
                if created:
                    fs.fsync_dir(self.path.parent)
                fs.write_atomic(self.head_path, head_of(entry))
            except OSError:
                # An entry without its head would count after a restart, although its writer was told that it failed.
                os.ftruncate(fd, self._good)
                os.fsync(fd)
                raise
        finally:
            os.close(fd)


def replace_ledger(path: Path, entries: list[dict[str, Any]]) -> None:
    """Put *entries* in the place of whatever stands at *path*; a crash leaves what Ledger refuses, or all of them."""
    fs.make_dir(path.parent)
    fs.write_atomic(path.with_suffix(".head"), head_of(entries[-1]))
    fs.write_atomic(path, b"".join(encode(entry) + b"\n" for entry in entries))


def head_of(entry: Mapping[str, Any]) -> bytes:
    return encode({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n"
