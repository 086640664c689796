# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy: which slot serves is one line of a map file, and one command on the runtime socket.

The file is written first and durably, so HAProxy finds the slot again whenever it starts.
See "set map" and "show map" in HAProxy's management guide, section 9.3.
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


@dataclass(frozen=True)
class Proxy:
    """One map entry *key* of the map file *map_path*; the backend of slot S is called ``<backend>_S``."""

    socket_path: str
    map_path: Path
    key: str
    backend: str

    def command(self, text: str) -> str:
        """Send one command to the runtime socket and return the answer."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(SOCKET_SECONDS)
                link.connect(self.socket_path)
                link.sendall(text.encode() + b"\n")
                answer = b""
                while True:
                    chunk = link.recv(65536)
                    if not chunk:
                        return answer.decode(errors="replace").strip()
                    answer += chunk
        except OSError as exc:
            raise EngineError(
                f"HAProxy does not answer on {self.socket_path} ({exc}); see 'systemctl status haproxy' and 'journalctl -u haproxy'"
            ) from None

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
        """Return the slot that the running HAProxy uses."""
        for line in self.command(f"show map {self.map_path}").splitlines():
            parts = line.split()
            if len(parts) == 3 and parts[1] == self.key:
                return parts[2]
        return None

    def record(self, slot: str) -> None:
        """Write the slot to the map file, durably."""
        write_if_changed(self.map_path, f"{self.key} {slot}\n".encode())

    def switch(self, slot: str) -> float:
        """Send new requests to *slot* from now on; requests in flight end where they began.

        Returns the seconds from the durable record to HAProxy's proven use of the slot.
        """
        started = time.monotonic()
        self.record(slot)
        said = self.command(f"set map {self.map_path} {self.key} {slot}")
        now = self.serving()
        if now != slot:
            raise EngineError(
                f"HAProxy still serves slot {now} of map {self.map_path} after 'set map' to {slot}: {said or 'no answer'}"
            )
        return time.monotonic() - started

    def sessions(self, slot: str) -> int:
        """Return the number of requests in flight on *slot*."""
        table = csv.DictReader(io.StringIO(self.command("show stat").lstrip("# ")))
        return sum(
            int(row["scur"] or 0)
            for row in table
            if row["pxname"] == f"{self.backend}_{slot}" and row["svname"] == "BACKEND"
        )

    def drain(self, slot: str, seconds: float) -> bool:
        """Wait until no request is in flight on *slot*; say whether that came true in time."""
        deadline = time.monotonic() + seconds
        while self.sessions(slot) > 0:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True
