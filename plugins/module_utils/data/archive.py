# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's dump as pg_restore reads it: decrypted on the way, and with the names that its schemas shall have.

pg_restore knows no other name for a schema. So the definitions are restored into a scratch database, renamed there and dumped again without
a row; then the data files of the checkpoint take the places of the empty ones of that dump, as links, or as pipes that decrypt. pg_restore
loads them as if it had never been otherwise, and a row is read and written once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import threading
from pathlib import Path
from typing import Iterator, Mapping, Sequence

from .errors import DataError
from .manifest import DUMP, Manifest
from .seal import NONE, Seal
from .tools import Entry, Tools, listing

TOC = "toc.dat"
POLL_SECONDS = 0.01


class Archive:
    """The dump of a checkpoint in *stored*, as a folder that pg_restore reads."""

    def __init__(self, found: Manifest, stored: Path, seal: Seal, folder: Path) -> None:
        self.found, self.stored, self.seal, self.folder = found, stored / DUMP, seal, folder

    def open(self) -> None:
        """Bring the table of contents to the folder. Raises DataError when the key is another one."""
        self.folder.mkdir(0o700, parents=True)
        if self.seal.method == NONE:
            (self.folder / TOC).symlink_to(self.stored / TOC)
        else:
            self.seal.plain(self.stored / (TOC + self.seal.suffix), self.folder / TOC)

    def entries(self, tools: Tools) -> list[Entry]:
        """List the dump without what belongs to the action log. Raises DataError when a table of the manifest is not there."""
        left_out = set(self.found.left_out)
        entries = [
            entry
            for entry in listing(tools.answer("pg_restore", "--list", str(self.folder)))
            if not (entry.oid in left_out and entry.kind.startswith("TRIGGER "))
        ]
        missing = {shape.oid: shape for shape in self.found.shapes()}
        for entry in entries:
            if entry.is_data:
                missing.pop(entry.oid, None)
        if missing:
            raise DataError(
                f"checkpoint {self.found.name}: its dump lacks {', '.join(str(shape.table) for shape in missing.values())}"
            )
        return entries

    def data_file(self, entry: Entry) -> Path:
        """Return the stored file of a table's rows."""
        for ending in (".dat.gz", ".dat", ".dat.zst", ".dat.lz4"):
            path = self.stored / f"{entry.id}{ending}{self.seal.suffix}"
            if path.exists():
                return path
        raise DataError(
            f"checkpoint {self.found.name}: the dump names the file {entry.id}.dat of {entry.kind}, which is not there"
        )

    @contextlib.contextmanager
    def placed(self, folder: Path, places: Mapping[int, Entry]) -> Iterator[None]:
        """Let the stored rows stand in *folder* for the block, each under the number that maps to its entry."""
        pipes: dict[Path, Path] = {}
        for number, entry in places.items():
            for empty in folder.glob(f"{number}.dat*"):
                empty.unlink()
            source = self.data_file(entry)
            target = folder / (str(number) + source.name[len(str(entry.id)) : len(source.name) - len(self.seal.suffix)])
            if self.seal.method == NONE:
                target.symlink_to(source)
            else:
                os.mkfifo(target, 0o600)
                pipes[target] = source
        if not pipes:
            yield
            return
        feeder = _Feeder(self.seal, pipes)
        feeder.start()
        try:
            yield
        finally:
            feeder.end()
        if feeder.failed:
            raise DataError(
                f"{', '.join(sorted(path.name for path in feeder.failed))} could not be decrypted: nothing was changed"
            )


class _Feeder(threading.Thread):
    """Decrypts each file into its pipe as soon as somebody reads there. It starts the programs and outlives them."""

    def __init__(self, seal: Seal, pipes: dict[Path, Path]) -> None:
        super().__init__(daemon=True)
        self._seal, self._waiting = seal, dict(pipes)
        self._ending = threading.Event()
        self.failed: list[Path] = []

    def run(self) -> None:
        running: dict[Path, subprocess.Popen[bytes]] = {}
        while not self._ending.wait(POLL_SECONDS):
            for pipe, source in list(self._waiting.items()):
                target = _reader_of(pipe)
                if target is not None:
                    running[source] = self._seal.decrypt(source, target)
                    os.close(target)
                    del self._waiting[pipe]
            for source, process in list(running.items()):
                if process.poll() is not None:
                    del running[source]
                    if process.returncode != 0:
                        self.failed.append(source)
        for source, process in running.items():
            try:
                code = process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code != 0:
                self.failed.append(source)

    def end(self) -> None:
        self._ending.set()
        self.join()


def _reader_of(pipe: Path) -> int | None:
    """Open a pipe for writing if somebody reads it by now."""
    try:
        target = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
    fcntl.fcntl(target, fcntl.F_SETFL, fcntl.fcntl(target, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return target


def write_list(path: Path, entries: Sequence[Entry]) -> str:
    """Write what pg_restore shall restore, and return the argument that says so."""
    path.write_text("".join(f"{entry.line}\n" for entry in entries), encoding="utf-8")
    return f"--use-list={path}"
