# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's dump as pg_restore reads it, and how its rows get into a database.

Plain files are loaded by pg_restore itself. Encrypted ones are decrypted and unpacked on the way into COPY, so that no row ever stands plain
on the disk: pg_restore takes regular files only, and so neither pipes nor links to files.
"""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path
from typing import IO, Iterator, Mapping, Sequence

from . import fingerprint
from .errors import DataError
from .fingerprint import Shape
from .manifest import DUMP, Manifest
from .names import identifiers
from .seal import NONE, Seal
from .session import Login, Session
from .tools import Entry, Tools, listing

TOC = "toc.dat"
CHUNK = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS


class Archive:
    """The dump of a checkpoint in *stored*; *folder* is where its table of contents may be decrypted to."""

    def __init__(self, found: Manifest, stored: Path, seal: Seal, folder: Path) -> None:
        self.found, self.stored, self.seal = found, stored / DUMP, seal
        self.folder = self.stored if seal.method == NONE else folder

    @property
    def plain(self) -> bool:
        return self.seal.method == NONE

    def open(self) -> None:
        """Make the table of contents readable. Raises DataError when the key is another one."""
        if not self.plain:
            self.folder.mkdir(0o700, parents=True)
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

    def link(self, folder: Path, number: int, entry: Entry) -> None:
        """Let a table's stored rows be those that the dump in *folder* has under *number*; it is one file with two names."""
        for empty in folder.glob(f"{number}.dat*"):
            empty.unlink()
        source = self._rows(entry)
        os.link(source, folder / (str(number) + source.name[len(str(entry.id)) :]))

    def copy_in(self, session: Session, shape: Shape, entry: Entry) -> None:
        """Bring a table's rows into *shape*. Raises DataError; then the table is as empty as it was."""
        generated = session.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attgenerated <> ''", [shape.table.sql]
        )
        columns = [name for name in shape.columns if (name,) not in generated]
        source = self._rows(entry)
        process = self.seal.decrypt(source, subprocess.PIPE)
        try:
            names = f"({identifiers(columns)})" if columns else ""
            statement = f"COPY {shape.table.sql} {names} FROM STDIN"
            session.copy_in(statement, self._decrypted(source, process))
        finally:
            process.kill()
            process.communicate()

    @staticmethod
    def _decrypted(source: Path, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        yield from _unpacked(process.stdout, packed=".gz" in source.suffixes)
        if process.wait() != 0:
            raise DataError(f"{source} cannot be decrypted: nothing was changed")

    def _rows(self, entry: Entry) -> Path:
        for ending in (".dat.gz", ".dat"):
            path = self.stored / f"{entry.id}{ending}{self.seal.suffix}"
            if path.exists():
                return path
        raise DataError(
            f"checkpoint {self.found.name}: the dump names the file {entry.id}.dat of {entry.kind}, which is not there"
        )


def load(
    archive: Archive, tools: Tools, login: Login, folder: Path, entries: Sequence[Entry], rows: Mapping[Shape, Entry], jobs: int, work: Path,
    application: str,
) -> None:  # fmt: skip
    """Load *entries* of the dump in *folder* into the database of *login*; its rows, when they are encrypted, from *rows*."""

    def restore(name: str, chosen: Sequence[Entry], *sections: str) -> None:
        tools.run(
            "pg_restore", f"--jobs={jobs}", "--exit-on-error", f"--dbname={login.database}", write_list(work / name, chosen),
            *[f"--section={section}" for section in sections], *tools.role, str(folder), database=login.database, application=application,
        )  # fmt: skip

    if archive.plain:
        restore("entries", entries)
        return
    others = [entry for entry in entries if not entry.is_data]
    restore("before", others, "pre-data")
    fingerprint.parallel(login, list(rows), jobs, lambda session, shape: archive.copy_in(session, shape, rows[shape]))
    restore("after", others, "data", "post-data")


def write_list(path: Path, entries: Sequence[Entry]) -> str:
    """Write what pg_restore shall restore, and return the argument that says so."""
    path.write_text("".join(f"{entry.line}\n" for entry in entries), encoding="utf-8")
    return f"--use-list={path}"


def _unpacked(stream: IO[bytes] | None, packed: bool) -> Iterator[bytes]:
    """Yield what a program prints, unpacked when it is gzip's."""
    unpack = zlib.decompressobj(_GZIP) if packed else None
    while stream is not None:
        chunk = stream.read(CHUNK)
        if not chunk:
            break
        try:
            yield unpack.decompress(chunk) if unpack else chunk
        except zlib.error:
            raise DataError("what was decrypted is no dump: the key is another one, or the file was altered") from None
    if unpack and not unpack.eof:
        raise DataError("what was decrypted ends too early: the key is another one, or the file was altered")
