# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change at a time: a kernel flock, which cannot outlive its holder, and a record of who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Iterator

from .errors import EngineError
from .fs import make_dir

POLL_SECONDS = 0.05


class Busy(EngineError):
    """Another change holds the lock; *holder* says which."""

    def __init__(self, component: str, holder: dict[str, Any]) -> None:
        self.holder = holder
        super().__init__(
            f"{component} is being changed by change {holder.get('change', 'unknown')} "
            f"(release {holder.get('release', 'unknown')}, pid {holder.get('pid', 'unknown')}, "
            f"since {holder.get('since', 'unknown')}). Nothing was done; run the same command again when it has ended."
        )


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Lock:
    """The lock of one component. The file stays; only the flock and the record inside it change."""

    def __init__(self, path: Path, component: str) -> None:
        self.path = path
        self.component = component
        self._fd: int | None = None
        self.taken_over: dict[str, Any] | None = None

    def holder(self) -> dict[str, Any]:
        """Return the record of the present or last holder, empty if none is readable."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8") or "{}")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def acquire(self, record: dict[str, Any], wait: float = 0.0) -> None:
        """Take the lock within *wait* seconds or raise Busy.

        A record left by a holder that died is kept in ``taken_over``: the kernel freed its flock, so no
        human is needed.
        """
        fd = _open(self.path)
        deadline = time.monotonic() + wait
        while not _try_alone(fd):
            if time.monotonic() >= deadline:
                os.close(fd)
                raise Busy(self.component, self.holder())
            time.sleep(POLL_SECONDS)
        self._fd = fd
        self.taken_over = self.holder() or None
        self._write(fd, {**record, "pid": os.getpid(), "boot": boot_id()})

    def release(self) -> None:
        if self._fd is not None:
            self._write(self._fd, {})
            os.close(self._fd)
            self._fd = None

    def _write(self, fd: int, record: dict[str, Any]) -> None:
        data = json.dumps(record, sort_keys=True).encode() if record else b""
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def staging(path: Path, clean: Callable[[], None]) -> Iterator[None]:
    """Keep housekeeping away while something is brought to the disk, by any number of processes at once.

    *clean* removes what killed processes left; it is called only when nobody else is staging.
    """
    fd = _open(path)
    try:
        if _try_alone(fd):
            clean()
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextmanager
def nobody_stages(path: Path) -> Iterator[bool]:
    """Yield whether nobody is staging; if so, nobody can begin before the block ends."""
    fd = _open(path)
    try:
        yield _try_alone(fd)
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    make_dir(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _try_alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
