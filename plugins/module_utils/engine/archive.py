# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar archives are checked whole before a byte is written, and once more, by the same code, while they are.

They are read here and not by tarfile, which differs between Pythons in what it lets pass (a hard link to a
deeper symlink, CVE-2026-11940; a negative size, CVE-2025-8194), follows extension headers by recursion and
takes them into memory at any size. Understood is what a release may hold: directories, files and symlinks that
stay inside, in the ustar, pax and GNU formats. Everything else is refused by name.
"""

from __future__ import annotations

import bz2
import itertools
import lzma
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Iterator, NamedTuple

from .errors import EngineError
from .fs import CHUNK

BLOCK = 512  # POSIX.1-2017 pax, "ustar Interchange Format", as all of the layout below
END_OF_ARCHIVE = 2 * BLOCK
MAX_PADDING = 1 << 20  # of zeros behind the end; tar's own default fills up to 10 KiB
MAX_MEMBERS = 200_000
MAX_BYTES = 8 << 30  # of the whole stream, unpacked
MAX_EXTENSIONS = 64 << 20  # of all pax and GNU extension headers; GNU tar writes about 90 bytes a member
MAX_NAME = 1024
MAX_PART = 255  # NAME_MAX, see pathname(7)
MAX_DEPTH = 100
MAX_LINK_HOPS = 40  # as the kernel's MAXSYMLINKS, see path_resolution(7)
XZ_MEMORY = 128 << 20  # xz -9 needs 65 MiB; a header may ask for 4 GiB

_GNU = b"ustar  \0"
_FILE, _OLD_FILE, _LINK, _DIR, _SPARSE = b"0", b"\0", b"2", b"5", b"S"
_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_REFUSED = {
    b"1": "a hard link; pack again with tar --hard-dereference",
    b"3": "a character device, which no release may hold; pack again without it",
    b"4": "a block device, which no release may hold; pack again without it",
    b"6": "a FIFO, which no release may hold; pack again without it",
    _SPARSE: "a sparse file; pack again without tar --sparse",
}
# mode, uid, gid, size, mtime, devmajor, devminor: most do not matter here, but readers that need them stop at a wrong one
_NUMBERS = ((100, 108), (108, 116), (116, 124), (124, 136), (136, 148), (329, 337), (337, 345))
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_FILE_MODE, _EXECUTABLE_MODE = 0o644, 0o755  # said to the kernel outright: the caller's umask may be anything

_RELATIVE = "pack again from inside the directory: tar -C DIR -czf FILE ."
_ONCE = "pack again, each path once"
_AGAIN = "fetch or build it again"

_DECOMPRESSORS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)),
)


class ArchiveError(EngineError):
    """The archive is damaged or holds something that a release must not hold; the caller says which archive."""


@dataclass(frozen=True)
class Contents:
    """What an accepted archive will write: *size* in bytes, *members* in number, implied directories included."""

    size: int
    members: int


class _Header(NamedTuple):
    """What the header of one member says, extension headers applied."""

    name: str
    kind: bytes
    size: int
    mode: int
    target: str

    def __str__(self) -> str:
        return f"member {_shown(self.name)}"


class _Entry(NamedTuple):
    """What to create at *path* below the destination, checked."""

    path: str
    kind: bytes
    size: int = 0
    executable: bool = False
    target: str = ""
    content: Iterator[memoryview] = iter(())


# -- bytes -------------------------------------------------------------------------------------------


def _unpacked(raw: IO[bytes]) -> Iterator[bytes]:
    """Yield the tar stream inside *raw*, at most CHUNK bytes at a time whatever it was packed to."""
    data = raw.read(CHUNK)
    decompressor = next((make() for magic, make in _DECOMPRESSORS if data.startswith(magic)), None)
    if decompressor is None:
        while data:
            yield data
            data = raw.read(CHUNK)
        return
    while not decompressor.eof:
        if not data and getattr(decompressor, "needs_input", True):
            data = raw.read(CHUNK)
        try:
            chunk = decompressor.decompress(data, CHUNK)
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as exc:
            raise ArchiveError(f"it is damaged and cannot be decompressed ({exc}); {_AGAIN}") from None
        if chunk:
            yield chunk
        elif not data and not decompressor.eof:
            raise ArchiveError(f"it is truncated, its compressed data breaks off; {_AGAIN}")
        data = getattr(decompressor, "unconsumed_tail", b"")  # zlib hands back what the others keep
    if decompressor.unused_data or raw.read(1):
        raise ArchiveError(
            "it holds data behind the end of its compressed data: damaged, or several archives or streams in one"
            " (as pbzip2 writes them); pack one archive with gzip, bzip2 or xz"
        )


class _Source:
    """The tar stream, read forward only, with what is being read for when it breaks off."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._chunks = _unpacked(raw)
        self._left = memoryview(b"")
        self.position = 0
        self.reading = "its first header"

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield exactly the next *size* bytes, as they come."""
        while size:
            piece = self.some(size)
            if not piece:
                raise ArchiveError(f"it is truncated and breaks off within {self.reading}; {_AGAIN}")
            size -= len(piece)
            yield piece

    def some(self, size: int) -> memoryview:
        """Return up to *size* bytes, none only at the end of the stream."""
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        piece, self._left = self._left[:size], self._left[size:]
        self.position += len(piece)
        return piece

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def skip_to(self, position: int) -> None:
        for _piece in self.pieces(position - self.position):
            pass


def _finish(source: _Source) -> None:
    """Insist on a complete end of archive, of which a first block was read, and nothing behind it."""
    zeros = BLOCK
    while True:
        piece = source.some(CHUNK)
        if not piece:
            break
        zeros += len(piece)
        if bytes(piece).count(0) != len(piece):
            raise ArchiveError(
                "it holds data behind its end: damaged, or several archives in one; pack one archive, without tar --append"
            )
        if zeros > MAX_PADDING:
            raise ArchiveError(f"it has more than {MAX_PADDING} bytes of zeros behind its end; pack it again with tar")
    if zeros < END_OF_ARCHIVE:
        raise ArchiveError(f"it is truncated, its end-of-archive mark is incomplete; {_AGAIN}")


# -- headers -----------------------------------------------------------------------------------------


def _shown(name: str | bytes) -> str:
    return repr(name) if len(name) <= 80 else f"{name[:80]!r}..."


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 as GNU tar writes what is too large or negative."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** (len(field) - 1) if field[0] == 0xFF else 0)
    found = _OCTAL.fullmatch(field)
    if not found:
        raise ArchiveError(f"it is damaged, a header has {field!r} where a number belongs; {_AGAIN}")
    return int(found[1] or b"0", 8)


def _field(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _text(raw: bytes, what: str) -> str:
    if len(raw) > MAX_NAME:
        raise ArchiveError(f"{what} {_shown(raw)} has {len(raw)} bytes, {MAX_NAME} are allowed; shorten it")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ArchiveError(f"{what} {_shown(raw)} is not UTF-8; rename the file and pack again") from None
    if _CONTROL.search(text):
        raise ArchiveError(f"{what} {_shown(text)} has a control character; rename the file and pack again")
    return text


def _records(kind: bytes, data: bytes) -> dict[bytes, bytes]:
    """Return what an extension header says about where and how much is unpacked: path, linkpath, size, sparse."""
    if kind == _LONG_NAME:
        return {b"path": data.rstrip(b"\0")}
    if kind == _LONG_LINK:
        return {b"linkpath": data.rstrip(b"\0")}
    found: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 9)
        digits = data[start : max(space, start)]
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : max(end - 1, 0)].partition(b"=")
        if not start < end <= len(data) or data[end - 1] != ord("\n") or not key or not equals:
            raise ArchiveError(f"it is damaged, a pax header is no list of records; {_AGAIN}")
        if key in (b"path", b"linkpath", b"size"):
            found[key] = value
        elif key.startswith(b"GNU.sparse."):
            found[b"sparse"] = value
        start = end
    return found


def _check_block(block: bytes, source: _Source, first: bool) -> None:
    """Insist on a header in the POSIX or GNU format with a matching checksum and numbers where they belong."""
    magic = block[257:265]
    known = magic.startswith(b"ustar\0") or magic == _GNU
    if known and _number(block[148:156]) == sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        for start, end in _NUMBERS:
            _number(block[start:end])
        return
    if first:
        raise ArchiveError(
            f"it is damaged or no tar archive in the POSIX or GNU format, it begins with {block[:8]!r}; "
            "pack it with tar, plain or with gzip, bzip2 or xz"
        )
    raise ArchiveError(f"it is damaged, no valid header stands behind {source.reading}; {_AGAIN}")


def _headers(source: _Source) -> Iterator[_Header]:
    """Yield the header of every member; whoever takes it may read the content of a file from *source*."""
    extended: dict[bytes, bytes] | None = None  # what extension headers say about the member to come
    extensions = 0
    for count in itertools.count(1):
        block = source.read(BLOCK)
        if not block.strip(b"\0"):
            break
        if count > MAX_MEMBERS:
            raise ArchiveError(f"it has more than {MAX_MEMBERS} members; ship fewer files")
        _check_block(block, source, first=count == 1)
        kind, size = block[156:157], _number(block[124:136])
        if size < 0:
            raise ArchiveError(f"it is damaged, a header has the size {size}; {_AGAIN}")
        end = source.position + -(-size // BLOCK) * BLOCK
        if end > MAX_BYTES:
            raise ArchiveError(f"it unpacks to more than {MAX_BYTES} bytes; ship less")
        if kind in (_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK):
            extensions += size
            if extensions > MAX_EXTENSIONS:
                raise ArchiveError(
                    f"it has more than {MAX_EXTENSIONS} bytes of extension headers; pack again without tar --xattrs"
                )
            source.reading = "an extension header"
            data = source.read(end - source.position)
            if data[size:].strip(b"\0"):
                raise ArchiveError(f"it is damaged, an extension header has data behind its end; {_AGAIN}")
            records = _records(kind, data[:size])
            if kind != _GLOBAL_PAX:
                if extended and extended.keys() & records.keys():
                    raise ArchiveError("it has two extension headers that name one member; pack it again with tar")
                extended = {**(extended or {}), **records}
            elif records:
                raise ArchiveError(
                    "it has a global pax header that renames or resizes members; pack again without tar --pax-option"
                )
        else:
            header = _header(block, kind, size, extended or {})
            extended = None
            source.reading = str(header)
            yield header
        source.skip_to(end)
    if extended is not None:
        raise ArchiveError(f"it is damaged, it ends behind an extension header; {_AGAIN}")


def _header(block: bytes, kind: bytes, size: int, extended: dict[bytes, bytes]) -> _Header:
    name, target = _field(block[:100]), _field(block[157:257])
    prefix = b"" if block[257:265] == _GNU else _field(block[345:500])
    header = _Header(
        name=_text(extended.get(b"path", prefix + b"/" + name if prefix else name), "member name"),
        kind=_FILE if kind == _OLD_FILE else kind,
        size=size,
        mode=_number(block[100:108]),
        target=_text(extended.get(b"linkpath", target), "link target"),
    )
    # Before POSIX a slash made a directory; a name from an extension header would hide it.
    if kind == _OLD_FILE and name.endswith(b"/"):
        raise ArchiveError(f"{header} is a directory in the format of before 1988; pack it again with tar")
    if b"sparse" in extended:
        raise ArchiveError(f"{header} is {_REFUSED[_SPARSE]}")
    if extended.get(b"size", b"%d" % size) != b"%d" % size:
        raise ArchiveError(f"{header} has two sizes, {size} and {_shown(extended[b'size'])}; pack it again with tar")
    # Where POSIX has the rest of a long name, GNU tar has times: readers that do not look closely mistake one for the other.
    if block[257:265] == _GNU and block[345:500].strip(b"\0") and kind != _SPARSE:
        raise ArchiveError(
            f"{header} has fields of an incremental archive; pack again without tar --listed-incremental"
        )
    return header


# -- members -----------------------------------------------------------------------------------------


class _Node:
    """A place in the tree that an archive describes."""

    __slots__ = ("entries", "goal", "hops", "kind", "name", "parent", "target")

    def __init__(self, parent: _Node | None, name: str, kind: bytes, target: str = "") -> None:
        self.parent = parent
        self.name = name
        self.kind = kind
        self.target = target
        self.entries: dict[str, _Node] = {} if kind == _DIR else _NO_ENTRIES
        self.goal: _Node | None = None
        self.hops = 0

    @property
    def path(self) -> str:
        return f"{self.parent.path}/{self.name}" if self.parent and self.parent.parent else self.name


_NO_ENTRIES: dict[str, _Node] = {}


def _check_kind(header: _Header) -> None:
    if header.kind in _REFUSED:
        raise ArchiveError(f"{header} is {_REFUSED[header.kind]}")
    if header.kind not in (_FILE, _DIR, _LINK):
        raise ArchiveError(f"{header} is of kind {header.kind!r}, which no release may hold; pack again without it")
    if header.kind != _FILE and header.size:
        raise ArchiveError(f"{header} has content but is no file; pack it again with tar")
    if header.kind != _DIR and header.name.endswith("/"):
        raise ArchiveError(f"{header} is named like a directory but is none; pack it again with tar")
    if header.mode & 0o6000:
        raise ArchiveError(f"{header} is setuid or setgid; take that away with chmod ug-s and pack again")
    if header.kind == _LINK and not header.target:
        raise ArchiveError(f"{header} is a link to nothing; pack again without it")


def _parts(header: _Header) -> list[str]:
    """Return the path of a member without a leading ./ or a trailing slash, or refuse it."""
    if header.name.startswith("/"):
        raise ArchiveError(f"{header} has an absolute path; {_RELATIVE}")
    parts = [part for part in header.name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"{header} climbs out with '..'; {_RELATIVE}")
    if not parts and header.kind != _DIR:
        raise ArchiveError(f"{header} has no name; pack again without it")
    if len(parts) > MAX_DEPTH:
        raise ArchiveError(f"{header} lies {len(parts)} levels deep, {MAX_DEPTH} are allowed; ship a flatter tree")
    if any(len(part.encode()) > MAX_PART for part in parts):
        raise ArchiveError(f"{header} has more than {MAX_PART} bytes between two slashes; shorten its name")
    return parts


def _place(root: _Node, header: _Header, parts: list[str]) -> Iterator[_Node]:
    """Put a member into the tree; yield what is new: the directories that its path implies, then the member itself."""
    here = root
    for depth, part in enumerate(parts, start=1):
        is_last = depth == len(parts)
        if here.kind != _DIR:
            raise ArchiveError(f"{header} lies below {here.path!r}, which is no directory; {_ONCE}")
        known = here.entries.get(part)
        if known is None:
            known = _Node(here, part, header.kind, header.target) if is_last else _Node(here, part, _DIR)
            here.entries[part] = known
            yield known
        elif is_last and not header.kind == known.kind == _DIR:
            raise ArchiveError(f"{header} occurs twice, as {known.path!r}; {_ONCE}")
        here = known


def _follow(link: _Node, depth: int = 1) -> _Node:
    """Return where the kernel arrives behind *link*; refuse it if it ever leaves the root of the tree.

    What was found is kept, so that links to links cost no more than the text of each.
    """
    if link.goal is not None:
        return link.goal
    here = None if link.target.startswith("/") else link.parent
    link.hops = 1 if depth <= MAX_LINK_HOPS else depth  # who goes in circles gets ever deeper
    for part in link.target.split("/"):
        if here is None or link.hops > MAX_LINK_HOPS:
            break
        if part == "..":
            here = here.parent
        elif part not in ("", "."):
            # A place that does not exist is no way out either; the dots behind it are followed all the same.
            step = here.entries.get(part) or _Node(here, part, _FILE)
            here = _follow(step, depth + 1) if step.kind == _LINK else step
            link.hops += step.hops
    if link.hops > MAX_LINK_HOPS:
        raise ArchiveError(
            f"link {_shown(link.path)} goes in circles or on through more than {MAX_LINK_HOPS} links; pack again without it"
        )
    if here is None:
        raise ArchiveError(
            f"link {_shown(link.path)} points out of the archive, to {_shown(link.target)}; "
            "let it point inside, relative, or pack what it points to with tar --dereference"
        )
    link.goal = here
    return here


def _accepted(raw: IO[bytes], strip: int) -> Iterator[_Entry]:
    """Yield what the archive will create, each entry once it has passed, links last.

    Links last, because then nothing can be written through one, whatever the archive holds.
    """
    source = _Source(raw)
    root = _Node(None, "", _DIR)
    links: list[_Node] = []
    count = 0
    for header in _headers(source):
        _check_kind(header)
        for node in _place(root, header, _parts(header)[strip:]):
            count += 1
            if count > MAX_MEMBERS:
                raise ArchiveError(f"it has more than {MAX_MEMBERS} members, directories included; ship fewer files")
            if node.kind == _LINK:
                links.append(node)
            elif node.kind == _DIR:
                yield _Entry(node.path, _DIR)
            else:
                yield _Entry(
                    node.path, _FILE, header.size, bool(header.mode & 0o111), content=source.pieces(header.size)
                )
    _finish(source)
    if not count:
        raise ArchiveError(
            f"it has nothing left with strip={strip}; lower it" if strip else "it is empty; pack what to release"
        )
    for link in links:
        _follow(link)
    for link in links:
        yield _Entry(link.path, _LINK, target=link.target)


def inspect(path: Path, strip: int = 0) -> Contents:
    """Check the tar archive *path* (plain, gzip, bzip2 or xz) to its last byte, as it will be with *strip*.

    Raises ArchiveError, with the reason, for a damaged archive or one with an absolute or climbing
    name, a link out, a hard link, a special file, setuid, a name twice, or too much of anything.
    """
    size = members = 0
    with path.open("rb") as raw:
        for entry in _accepted(raw, strip):
            members += 1
            size += entry.size
    return Contents(size=size, members=members)


def extract(path: Path, destination: Path, strip: int = 0) -> None:
    """Unpack an archive that inspect() accepted into the empty directory *destination*.

    *strip* drops so many leading path components. Owner is the caller, modes become 0755 or 0644.
    Nothing is ever written outside of *destination*, even if the file changed since. Call
    fs.sync_file_system() on the result before it is renamed into place.
    """
    with path.open("rb") as raw:
        for entry in _accepted(raw, strip):
            target = os.path.join(destination, entry.path)
            if entry.kind == _DIR:
                os.mkdir(target)
                os.chmod(target, _EXECUTABLE_MODE)
            elif entry.kind == _LINK:
                os.symlink(entry.target, target)
            else:
                fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(fd, "wb") as out:
                    for piece in entry.content:
                        out.write(piece)
                    os.fchmod(fd, _EXECUTABLE_MODE if entry.executable else _FILE_MODE)
