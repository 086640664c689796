# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy: which slot serves is one line of a map file, and one command to every running process.

The file is written first and durably, so HAProxy finds the slot again whenever it starts. A reload leaves the old
process with the connections it has, beside the new one: each holds its own copy of the map, and may have requests in flight.
So the engine speaks to HAProxy's master, which knows all of them and refuses connections while it reads its
configuration. Whoever it then lists either read the map file after the record, or is told.
See "set map" and "show map" in HAProxy's management guide, section 9.3, and "show proc" in 9.4.
"""

from __future__ import annotations

import csv
import io
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import EngineError
from .fs import write_if_changed

SOCKET_SECONDS = 5.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Proxy:
    """One map entry *key* of the map file *map_path*; the backend of slot S is called ``<backend>_S``."""

    socket_path: str
    map_path: Path
    key: str
    backend: str

    def command(self, text: str) -> str:
        """Send one command to the master and return the answer; a reload in progress is waited for."""
        deadline = time.monotonic() + SOCKET_SECONDS
        while True:
            try:
                answer = self._ask(text)
            except OSError as exc:
                fault = str(exc)
            else:
                if answer:
                    return answer.decode(errors="replace").strip()
                fault = "it closed the connection"
            if time.monotonic() >= deadline:
                raise EngineError(
                    f"HAProxy's master does not answer on {self.socket_path} ({fault}); see 'systemctl status haproxy' and 'journalctl -u haproxy'"
                )
            time.sleep(POLL_SECONDS)

    def _ask(self, text: str) -> bytes:
        """Return the raw answer: at least a line end, or nothing when HAProxy went away."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(SOCKET_SECONDS)
            link.connect(self.socket_path)
            link.sendall(text.encode() + b"\n")
            # The master waits for more commands unless it is told that there are none.
            link.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                chunk = link.recv(65536)
                if not chunk:
                    return answer
                answer += chunk

    def workers(self) -> list[str]:
        """Return the process ids of all that may serve a request: the newest, and older ones that are ending."""
        said = self.command("show proc")
        rows = [line.split() for line in said.splitlines()]
        found = [row[0] for row in rows if len(row) > 1 and row[1] == "worker"]
        if not found:
            raise EngineError(f"HAProxy's master names no worker on {self.socket_path}: {said[:200]}")
        return found

    def each(self, text: str) -> list[str]:
        """Send one command to every worker and return the answers; one that ended meanwhile has none."""
        answers = {pid: self.command(f"@!{pid} {text}") for pid in self.workers()}
        there = self.workers()
        return [answer for pid, answer in answers.items() if pid in there]

    def recorded(self) -> str | None:
        """Return the slot that the map file names."""
        try:
            for line in self.map_path.read_text(encoding="utf-8").splitlines():
                parts = line.split()
                if len(parts) == 2 and parts[0] == self.key:
                    return parts[1]
        except FileNotFoundError:
            pass
        return None

    def serving(self) -> str | None:
        """Return the slot that the running HAProxy uses; both, should its processes not agree."""
        rows = [line.split() for answer in self.each(f"show map {self.map_path}") for line in answer.splitlines()]
        return " and ".join(sorted({row[2] for row in rows if len(row) == 3 and row[1] == self.key})) or None

    def record(self, slot: str) -> None:
        """Write the slot to the map file, durably."""
        write_if_changed(self.map_path, f"{self.key} {slot}\n".encode())

    def switch(self, slot: str) -> float:
        """Send new requests to *slot* from now on; requests in flight end where they began.

        Returns the seconds from the durable record to HAProxy's proven use of the slot.
        """
        started = time.monotonic()
        self.record(slot)
        said = self.each(f"set map {self.map_path} {self.key} {slot}")
        now = self.serving()
        if now != slot:
            raise EngineError(
                f"HAProxy still serves slot {now} of map {self.map_path} after 'set map' to {slot}: {' '.join(said).strip() or 'no answer'}"
            )
        return time.monotonic() - started

    def sessions(self, slot: str) -> int:
        """Return the number of requests in flight on *slot*."""
        return sum(
            int(row["scur"] or 0)
            for answer in self.each("show stat")
            for row in csv.DictReader(io.StringIO(answer.lstrip("# ")))
            if row["pxname"] == f"{self.backend}_{slot}" and row["svname"] == "BACKEND"
        )

    def drain(self, slot: str, seconds: float) -> bool:
        """Wait until no request is in flight on *slot*; say whether that came true in time."""
        deadline = time.monotonic() + seconds
        recorded = self.recorded()
        if recorded not in (None, slot) and self.serving() != recorded:
            # Somebody else spoke to HAProxy. The slot is about to be stopped, so this is the last moment to mend it.
            self.switch(recorded)
        return self.await_last(slot, deadline - time.monotonic())

    def await_last(self, slot: str, seconds: float) -> bool:
        """The waiting of drain() alone, which changes nothing and may go on beside a change of somebody else."""
        deadline = time.monotonic() + seconds
        while self.sessions(slot) > 0:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True
