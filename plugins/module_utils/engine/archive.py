# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar archives are checked whole before a byte is written.

The rules do not lean on tarfile's extraction filters: a hard link to a deeper symlink passes them
on some Pythons (CVE-2026-11940), so links are resolved here, against the archive's own members.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator

from .errors import EngineError
from .fs import CHUNK

MAX_MEMBERS = 200_000
MAX_BYTES = 8 << 30
MAX_NAME = 1024
MAX_LINK_HOPS = 40  # as the kernel's MAXSYMLINKS, see path_resolution(7)
END_OF_ARCHIVE = 1024  # two zero blocks, POSIX.1-2017 pax, "ustar Interchange Format"

_DECOMPRESSION_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError, ValueError)


class ArchiveError(EngineError):
    """The archive is damaged or holds something that a release must not hold."""


@dataclass(frozen=True)
class Contents:
    """What an accepted archive will write: *size* in bytes, *members* in number."""

    size: int
    members: int


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")  # type: ignore[return-value] # GzipFile is an IO[bytes] in all but name
    if magic.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if magic.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(path, "rb")
    return path.open("rb")


def _members(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield every member, then insist on a complete end of archive with nothing behind it."""
    end = 0
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:
        for member in tar:
            yield member
            blocks = -(-member.size // tarfile.BLOCKSIZE) if member.isreg() else 0
            end = member.offset_data + blocks * tarfile.BLOCKSIZE
    stream.seek(end)
    zeros = 0
    while True:
        chunk = stream.read(CHUNK)
        if not chunk:
            break
        if chunk.count(0) != len(chunk):
            raise ArchiveError("holds data behind its last readable member: damaged, or two archives in one")
        zeros += len(chunk)
    if zeros < END_OF_ARCHIVE:
        raise ArchiveError("is truncated: its end-of-archive mark is missing")


def _clean_name(name: str) -> str:
    """Return *name* without a leading ./ or a trailing slash, or refuse it."""
    if "\0" in name or len(name) > MAX_NAME:
        raise ArchiveError(f"member name {name[:80]!r} is too long or holds a NUL")
    if name.startswith("/"):
        raise ArchiveError(f"member {name!r} has an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"member {name!r} climbs out with '..'")
    return "/".join(parts)


def _resolve(name: str, links: dict[str, str]) -> None:
    """Follow the symlink *name* as the kernel would; refuse it if it ever leaves the archive."""
    pending = links[name].split("/")
    here = name.split("/")[:-1]
    hops = 0
    if links[name].startswith("/"):
        raise ArchiveError(f"link {name!r} points out of the archive, to {links[name]!r}")
    while pending:
        part = pending.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                raise ArchiveError(f"link {name!r} points out of the archive, to {links[name]!r}")
            here.pop()
            continue
        here.append(part)
        target = links.get("/".join(here))
        if target is not None:
            hops += 1
            if hops > MAX_LINK_HOPS or target.startswith("/"):
                raise ArchiveError(f"link {name!r} points out of the archive or in circles")
            here.pop()
            pending = target.split("/") + pending


def _check_kind(member: tarfile.TarInfo) -> None:
    if member.islnk():
        raise ArchiveError(f"member {member.name!r} is a hard link; repack with tar --hard-dereference")
    if member.issparse():
        raise ArchiveError(f"member {member.name!r} is a sparse file; repack without --sparse")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise ArchiveError(f"member {member.name!r} is a device, FIFO or other special file")
    if member.mode & 0o6000:
        raise ArchiveError(f"member {member.name!r} is setuid or setgid")


def inspect(path: Path) -> Contents:
    """Check the tar archive *path* (plain, gzip, bzip2 or xz) to its last byte.

    Raises ArchiveError, with the reason, for a damaged archive or one with an absolute or climbing
    name, a link out, a hard link, a special file, setuid, a name twice, or too much of anything.
    """
    try:
        with _open(path) as stream:
            return _inspect_members(_members(stream))
    except ArchiveError as exc:
        raise ArchiveError(
            f"archive {path.name} {exc}" if not str(exc).startswith("member") else f"archive {path.name}: {exc}"
        ) from None
    except _DECOMPRESSION_ERRORS as exc:
        raise ArchiveError(f"archive {path.name} is truncated, damaged or no tar archive ({exc})") from None


def _inspect_members(members: Iterator[tarfile.TarInfo]) -> Contents:
    kinds: dict[str, str] = {}
    links: dict[str, str] = {}
    size = count = 0
    for member in members:
        count += 1
        size += member.size if member.isreg() else 0
        if count > MAX_MEMBERS or size > MAX_BYTES:
            raise ArchiveError(f"is over the limit of {MAX_MEMBERS} members or {MAX_BYTES} unpacked bytes")
        name = _clean_name(member.name)
        _check_kind(member)
        kind = "dir" if member.isdir() else "link" if member.issym() else "file"
        if name == "" and kind == "dir":
            continue
        if name == "" or (name in kinds and not kind == kinds[name] == "dir"):
            raise ArchiveError(f"member {member.name!r} occurs twice")
        kinds[name] = kind
        if kind == "link":
            links[name] = member.linkname
    for name in kinds:
        parent = name.rpartition("/")[0]
        while parent:
            if kinds.get(parent, "dir") != "dir":
                raise ArchiveError(f"member {name!r} lies below {parent!r}, which is no directory")
            parent = parent.rpartition("/")[0]
    for name in links:
        _resolve(name, links)
    return Contents(size=size, members=count)


def extract(path: Path, destination: Path, strip: int = 0) -> None:
    """Unpack an archive that inspect() accepted into the empty directory *destination*.

    *strip* drops so many leading path components. Owner is the caller, modes become 0755 or 0644.
    Call fs.sync_file_system() on the result before it is renamed into place.
    """
    with _open(path) as stream, tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar:
        for member in tar:
            parts = _clean_name(member.name).split("/")[strip:]
            if not any(parts):
                continue
            target = destination.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, target)
                continue
            source = tar.extractfile(member)
            if source is None:
                raise ArchiveError(f"member {member.name!r} has no content")
            fd = os.open(
                target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if member.mode & 0o111 else 0o644
            )
            with source, os.fdopen(fd, "wb") as out:
                while True:
                    chunk = source.read(CHUNK)
                    if not chunk:
                        break
                    out.write(chunk)
