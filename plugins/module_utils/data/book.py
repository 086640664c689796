# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host keeps of a database's data changes: one at a time, in a ledger outside the database, which a restore cannot take back.

The ledger is the engine's, with the states of a run in place of those of a release: `release` names the run or the checkpoint.
What it says is told to Prometheus with each entry (docs/metrics.md).
"""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path
from typing import Any, Iterator

from ..engine import data
from ..engine.ledger import Ledger
from ..engine.lock import Busy, Lock
from .errors import DataError

ROOT = Path("/var/lib/plano") / data.FOLDER
PATIENCE_SECONDS = 5.0


class Book:
    """The ledger and the lock of one database on this host. *server* is what monitoring calls the database's server."""

    def __init__(self, database: str, root: Path = ROOT, server: str = "") -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", database):
            raise DataError(
                f"database {database!r}: its name also names a folder; letters, digits, dots, dashes and underscores only"
            )
        self.database = database
        self.server = server or socket.gethostname()
        self.folder = root / database
        self.metrics = root.parent / "metrics"
        self.path = self.folder / "ledger.jsonl"

    def entries(self) -> list[dict[str, Any]]:
        """Return what happened so far, the oldest first. Raises LedgerError."""
        return Ledger(self.path).entries

    @contextlib.contextmanager
    def change(self, what: str, operation: str, change: str, wait: float = 0.0) -> Iterator[Page]:
        """Hold the host's lock on the database's data for the block; yields what writes its entries. Raises Busy, LedgerError."""
        lock = Lock(self.folder / "lock", f"the data of {self.database}")
        record = {"change": change, "release": what, "operation": operation}
        try:
            lock.acquire(record, wait)
        except Busy as busy:
            if busy.holder.get("release"):
                raise
            # No operation, but `plano metrics`, which ends within an instant.
            lock.acquire(record, wait + PATIENCE_SECONDS)
        with lock:
            ledger = Ledger(self.path)
            ledger.mend()
            yield Page(self, ledger, what, {"operation": operation, "change": change, "server": self.server})


class Page:
    """One operation's entries."""

    def __init__(self, book: Book, ledger: Ledger, what: str, stamp: dict[str, Any]) -> None:
        self._book = book
        self._ledger = ledger
        self._what = what
        self._stamp = stamp

    def write(self, state: str, **detail: Any) -> None:
        """Add an entry, durable when this returns: counts and names, never a client's values."""
        self._ledger.append(state, self._what, **self._stamp, **detail)
        # The entry is what counts: metrics that cannot be written now are made anew within five minutes (plano-metrics.timer).
        with contextlib.suppress(OSError):
            data.publish(self._book.database, self._ledger.entries, self._book.metrics)
